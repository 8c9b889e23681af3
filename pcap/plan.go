package pcap

import (
	"slices"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// plan is what the clauses of a frame's fate amount to for one receiver, but for
// queueing. The recorder and the rebuilding share it: what a recording leaves
// out is exactly what planFor and late put back.
type plan struct {
	takes  time.Duration // from sending to arrival: both cables, what rules delay, and how long they may hold it
	copies int           // besides the frame itself
	gap    time.Duration // from one copy to the next
	drop   bool          // a rule dropped it
	behind int           // it is held until so many have passed it
	faults []*Fault      // those that apply, in order
}

// planFor composes the faults for the receiver name as [vswitch.Verdict] says. It
// appends those that apply to faults.
func planFor(f *Fate, name string, latency time.Duration, faults []*Fault) plan {
	p := plan{takes: latency, faults: faults}
	var within time.Duration
	for i := range f.Faults {
		ft := &f.Faults[i]
		if ft.At != "" && ft.At != name {
			continue
		}
		p.faults = append(p.faults, ft)
		switch ft.Kind {
		case FaultDrop:
			p.drop = true
		case FaultDup:
			p.copies += ft.Copies
			if ft.Gap > 0 {
				p.gap = ft.Gap
			}
		case FaultDelay:
			p.takes += ft.By
		case FaultReorder:
			p.behind, within = ft.Behind, ft.Within
		}
	}
	p.takes += within
	return p
}

// arrival is when copy k arrives if it waits in no queue and, if it is held, not
// enough others pass it.
func (p *plan) arrival(sent time.Time, k int) time.Time {
	return sent.Add(p.takes + time.Duration(k)*p.gap)
}

// late appends to by how much later than that the copies arrive, or nothing if all
// arrive and none is late.
func (p *plan) late(sent time.Time, arrivals []time.Time, by []time.Duration) []time.Duration {
	on := len(arrivals) == 1+p.copies
	for k := 0; k < len(arrivals) && on; k++ {
		on = arrivals[k].Equal(p.arrival(sent, k))
	}
	if on {
		return by
	}
	for k := range arrivals {
		by = append(by, arrivals[k].Sub(p.arrival(sent, k)))
	}
	return by
}

// apply returns data as the receiver got it, a copy if a rule changed it, or the
// first edit that lies outside of the frame as it was sent.
func (p *plan) apply(data []byte) ([]byte, *vswitch.Edit) {
	sent, copied := len(data), false
	for _, ft := range p.faults {
		switch ft.Kind {
		case FaultCorrupt, FaultPad:
			if !copied {
				data, copied = slices.Clone(data), true
			}
		}
		v := vswitch.Verdict{Edits: ft.Edits}
		for i := range ft.Edits {
			if e := &ft.Edits[i]; e.Offset > sent-len(e.New) {
				return nil, e
			}
		}
		switch ft.Kind {
		case FaultTruncate:
			v.Truncate = ft.Size
		case FaultPad:
			v.Pad = ft.Size
		}
		data = v.Apply(data)
	}
	return data, nil
}
