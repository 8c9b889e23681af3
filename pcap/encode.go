package pcap

import (
	"fmt"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// encoder turns the events of a switch into the blocks of a recording: the part of
// the work that does not depend on where the blocks go. An untouched frame costs
// one copy; neither it nor the comments of a touched one cost an allocation.
type encoder struct {
	full bool // arrivals are recorded, too

	ports []recordedPort // by port number
	open  int            // ports connected and not disconnected
	ever  int            // ports ever connected
	last  uint64         // the last frame's number

	changes []Change // since the last frame

	live *liveState // what a live recording keeps besides, or nil

	// Scratch.
	fate    Fate
	applied []*Fault
	late    []time.Duration
	clause  []byte
}

type recordedPort struct {
	port  *vswitch.Port
	iface int
	since time.Time

	lost    uint64 // frames the recorder lost since the last one it wrote
	lostAll uint64 // and in all
	block   []byte // its interface block, in a live recording
	book    spanBook
}

// append appends what an event is recorded as to b.
func (e *encoder) append(b []byte, ev vswitch.Event) ([]byte, error) {
	switch ev := ev.(type) {
	case *vswitch.Sent:
		return e.sent(b, ev)
	case *vswitch.Delivered:
		if e.full {
			return e.delivered(b, ev)
		}
	case *vswitch.Connected:
		return e.connected(b, ev), nil
	case *vswitch.Changed:
		e.changed(ev)
	case *vswitch.Disconnected:
		return e.disconnected(b, ev)
	}
	return b, nil
}

func (e *encoder) connected(b []byte, ev *vswitch.Connected) []byte {
	p := ev.Port
	info := PortInfo{MAC: p.MAC(), MTU: p.MTU(), Latency: p.Latency(), Rate: p.Rate(), Queue: p.Queue(), After: e.last}
	for len(e.ports) <= p.Number() {
		e.ports = append(e.ports, recordedPort{})
	}
	rp := recordedPort{port: p, iface: e.ever, since: ev.Time}
	e.open++
	e.ever++
	at := len(b)
	b = appendInterface(b, p.Name(), info.description(), info.comment())
	if e.live != nil {
		rp.block = append(rp.block, b[at:]...)
		e.live.moved = true
	}
	e.ports[p.Number()] = rp
	return b
}

// portOf returns what is known of a port.
func (e *encoder) portOf(p *vswitch.Port) (*recordedPort, error) {
	if n := p.Number(); n < len(e.ports) && e.ports[n].port == p {
		return &e.ports[n], nil
	}
	return nil, fmt.Errorf("pcap: recorder is told of port %s, which it was not told is connected", p.Name())
}

func (e *encoder) sent(b []byte, ev *vswitch.Sent) ([]byte, error) {
	e.last = ev.Seq
	p, err := e.portOf(ev.From)
	if err != nil {
		return b, err
	}
	if e.live != nil && e.live.spans {
		e.bookSent(p, ev)
	}
	ns := ev.At.UnixNano()
	plain := ev.Simple && len(ev.Hits) == 0 && ev.Lost == vswitch.NotLost && len(e.changes) == 0 && onTime(ev, ns)
	if plain && p.lost == 0 {
		return appendPacket(b, p.iface, ns, ev.Data, Outbound, ev.Seq), nil
	}
	b, at := beginPacket(b, p.iface, ns, ev.Data, len(ev.Data))
	if !plain {
		b = e.comments(b, ev, ns)
		e.settleChanges()
	}
	if p.lost > 0 {
		b = appendUint64Option(b, optPacketDrop, p.lost)
		p.lost = 0
	}
	return endPacket(b, at, Outbound, ev.Seq), nil
}

func (e *encoder) delivered(b []byte, ev *vswitch.Delivered) ([]byte, error) {
	p, err := e.portOf(ev.Port)
	if err != nil {
		return b, err
	}
	return appendPacket(b, p.iface, ev.Time.UnixNano(), ev.Data, Inbound, ev.Seq), nil
}

// onTime reports whether the one copy of a frame that no rule touched arrives
// after both cables' latencies; ns is when it was sent.
func onTime(ev *vswitch.Sent, ns int64) bool {
	rc := &ev.Receivers[0]
	return rc.Lost == vswitch.NotLost && inTime(ev, rc, ns)
}

// inTime reports that of a receiver that gets it.
func inTime(ev *vswitch.Sent, rc *vswitch.Receiver, ns int64) bool {
	return len(rc.Arrivals) == 1 && rc.Arrivals[0].UnixNano()-ns == int64(ev.From.Latency()+rc.Port.Latency())
}

// comments appends a comment option per clause of the frame's fate.
func (e *encoder) comments(b []byte, ev *vswitch.Sent, ns int64) []byte {
	f := &e.fate
	f.To, f.Names, f.Faults, f.Lost, f.Queued, f.Changes = ToOwner, f.Names[:0], f.Faults[:0], f.Lost[:0], f.Queued[:0], e.changes
	switch {
	case ev.Lost != vswitch.NotLost:
		f.Lost = append(f.Lost, Lost{Cause: ev.Lost})
	case ev.Simple:
	case len(ev.Receivers) == 0:
		f.To = ToNone
	case len(ev.Receivers) == e.open-1 && e.open == e.ever:
		// Where a port has been closed before, "all" would depend on the place
		// of statistics blocks, which other programs move; names do not.
		f.To = ToAll
	default:
		f.To = ToNames
		for i := range ev.Receivers {
			f.Names = append(f.Names, ev.Receivers[i].Port.Name())
		}
	}
	for i := range ev.Hits {
		f.addHit(&ev.Hits[i])
	}
	for i := range ev.Receivers {
		rc := &ev.Receivers[i]
		name := rc.Port.Name()
		switch rc.Lost {
		case vswitch.NotLost:
			if len(f.Faults) == 0 && inTime(ev, rc, ns) {
				continue
			}
			plan := planFor(f, name, ev.From.Latency()+rc.Port.Latency(), e.applied[:0])
			e.applied = plan.faults
			k := len(e.late)
			if e.late = plan.late(ev.At, rc.Arrivals, e.late); len(e.late) > k {
				f.Queued = append(f.Queued, Queued{By: e.late[k:len(e.late):len(e.late)], At: name})
			}
		case vswitch.DroppedByRule:
			// A fault clause says so.
		default:
			f.Lost = append(f.Lost, Lost{Cause: rc.Lost, At: name})
		}
	}
	e.late = e.late[:0]
	e.clause = f.clauses(e.clause, func(clause []byte) {
		var at int
		b, at = beginOption(b, optComment)
		b = endOption(append(b, clause...), at)
	})
	return b
}

// addHit adds the faults that one verdict amounts to.
func (f *Fate) addHit(h *vswitch.Hit) {
	if h.Drop {
		f.addFault(FaultDrop, h)
	}
	if h.Copies > 0 {
		ft := f.addFault(FaultDup, h)
		ft.Copies, ft.Gap = h.Copies, h.Gap
	}
	if len(h.Edits) > 0 {
		f.addFault(FaultCorrupt, h).Edits = h.Edits
	}
	if h.Truncate > 0 {
		f.addFault(FaultTruncate, h).Size = h.Truncate
	}
	if h.Pad > 0 {
		f.addFault(FaultPad, h).Size = h.Pad
	}
	if h.Delay > 0 {
		f.addFault(FaultDelay, h).By = h.Delay
	}
	if h.Behind > 0 {
		ft := f.addFault(FaultReorder, h)
		ft.Behind, ft.Within = h.Behind, h.Within
	}
}

// addFault adds a fault of the given kind, with what all faults of a hit have.
func (f *Fate) addFault(kind FaultKind, h *vswitch.Hit) *Fault {
	f.Faults = append(f.Faults, Fault{Kind: kind, Rule: h.Rule.Number(), Name: h.Rule.Name(), Reason: plainReason(h.Reason)})
	ft := &f.Faults[len(f.Faults)-1]
	if h.To != nil {
		ft.At = h.To.Name()
	}
	return ft
}

// changed keeps a change for the next frame's comments: a block of its own that
// stock Wireshark shows would be a frame that nobody sent.
func (e *encoder) changed(ev *vswitch.Changed) {
	c := Change{What: ev.What, Time: ev.Time}
	if ev.Rule != nil {
		c.Rule, c.Name = ev.Rule.Number(), ev.Rule.Name()
		if ev.What == vswitch.RuleAdded {
			c.Text = ruleText(ev.Rule.Rule())
		}
	} else {
		c.Port = ev.Port.Name()
	}
	e.changes = append(e.changes, c)
}

// settleChanges forgets the changes, which are recorded now.
func (e *encoder) settleChanges() {
	if e.live != nil && len(e.changes) > 0 {
		e.live.changed(e.changes)
	}
	e.changes = e.changes[:0]
}

// plainReason writes bytes that a reason may not have as '_'.
func plainReason(s string) string {
	for i := range len(s) {
		if !plainByte(s[i]) {
			b := []byte(s)
			for j, c := range b {
				if !plainByte(c) {
					b[j] = '_'
				}
			}
			return string(b)
		}
	}
	return s
}

func (e *encoder) disconnected(b []byte, ev *vswitch.Disconnected) ([]byte, error) {
	p, err := e.portOf(ev.Port)
	if err != nil {
		return b, err
	}
	e.open--
	c := PortCounters{Name: ev.Port.Name(), Until: e.last, Counters: ev.Port.Counters()}
	st := Statistics{Time: ev.Time, Start: p.since, End: ev.Time}
	var notes []string
	if ev.Cut != nil {
		notes = append(notes, cutComment(ev.Cut))
	}
	for i := range e.changes {
		notes = append(notes, string(e.changes[i].append(nil)))
	}
	e.settleChanges()
	if e.live != nil {
		e.closeSpan(p, c, st, notes)
	}
	return appendStatistics(b, p.iface, countersOf(c, st, p.lostAll, notes)), nil
}

// countersOf completes the statistics of a port with its counters; lost are the
// frames it sent that the recorder lost.
func countersOf(c PortCounters, st Statistics, lost uint64, notes []string) *Statistics {
	st.Received, st.Dropped = c.RxFrames, lost
	for _, l := range losses {
		st.Dropped += c.RxLost[l]
	}
	st.Comments = append([]string{c.comment()}, notes...)
	if lost > 0 {
		st.Comments = append(st.Comments, lostComment(lost))
	}
	return &st
}
