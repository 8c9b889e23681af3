package pcap

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// A capture may begin in the middle of a run: the second of several files, or the
// stream of somebody who joins. Its head then has to say what came before it:
// which ports there are, which rules and which of them are off, which cables are
// down, how many frames were sent.

// standing is what holds at one point of a live recording. It is not changed once
// it is made.
type standing struct {
	ports []standingPort
	ever  int      // interfaces there were so far
	rules []string // their texts, by number
	off   []int    // numbers of those that are turned off
	gone  []int    // and of those that are removed
	down  []string // ports whose cables are pulled
}

// standingPort is a port that is open.
type standingPort struct {
	iface int    // its number in the recording as a whole
	block []byte // its interface block
}

// liveState is what the encoder of a live recording keeps besides.
type liveState struct {
	standing
	moved bool // something changed since it was last asked for

	// spans is set if the recording is cut into files: then what the ports'
	// frames came to is counted from cut to cut, and closed holds the statistics
	// of a port that was just closed as the file it is in has them.
	spans  bool
	from   time.Time // of the current file
	closed []byte
}

// now returns what holds after what was encoded last; was is what held before.
func (e *encoder) now(was *standing) *standing {
	if !e.live.moved && was != nil {
		return was
	}
	e.live.moved = false
	s := e.live.standing
	s.ports, s.ever = nil, e.ever
	for i := range e.ports {
		if p := &e.ports[i]; p.port != nil && p.block != nil {
			s.ports = append(s.ports, standingPort{p.iface, p.block})
		}
	}
	slices.SortFunc(s.ports, func(a, b standingPort) int { return a.iface - b.iface })
	s.rules, s.off, s.gone, s.down = slices.Clone(s.rules), slices.Clone(s.off), slices.Clone(s.gone), slices.Clone(s.down)
	return &s
}

// changed takes note of changes that are recorded now.
func (s *liveState) changed(changes []Change) {
	s.moved = true
	for i := range changes {
		c := &changes[i]
		switch c.What {
		case vswitch.RuleAdded:
			for len(s.rules) < c.Rule {
				s.rules = append(s.rules, "")
			}
			s.rules[c.Rule-1] = c.Text
		case vswitch.RuleRemoved:
			s.gone = with(s.gone, c.Rule)
			s.off = without(s.off, c.Rule)
		case vswitch.RuleOff:
			s.off = with(s.off, c.Rule)
		case vswitch.RuleOn:
			s.off = without(s.off, c.Rule)
		case vswitch.CableDown:
			s.down = with(s.down, c.Port)
		case vswitch.CableUp:
			s.down = without(s.down, c.Port)
		}
	}
}

func with[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

func without[T comparable](list []T, v T) []T {
	return slices.DeleteFunc(list, func(x T) bool { return x == v })
}

// head returns the section header and the interface blocks of a capture that
// begins where s holds, and the numbers that interfaces have in it. file is its
// number if it is one of several, after how many frames were sent before.
func (s *standing) head(meta Meta, file int, after uint64) ([]byte, *renumbering, error) {
	meta.File, meta.After = file, after
	meta.Rules, meta.Off, meta.Removed, meta.Down = s.rules, s.off, s.gone, s.down
	comments, err := meta.Marshal()
	if err != nil {
		// The run is described in full where it begins.
		meta.Rules, meta.Scenario = nil, ""
		if comments, err = meta.Marshal(); err != nil {
			return nil, nil, err
		}
	}
	b := appendSection(nil, comments)
	n := &renumbering{next: s.ever, n: len(s.ports)}
	if s.ever != len(s.ports) {
		n.numbers = map[int]int{}
	}
	for i, p := range s.ports {
		b = append(b, p.block...)
		if n.numbers != nil {
			n.numbers[p.iface] = i
		}
	}
	return b, n, nil
}

// renumbering gives the interfaces of a recording the numbers they have in a
// capture that lacks those of ports that were closed before it began.
type renumbering struct {
	numbers map[int]int // nil: they are the same
	n       int         // interfaces there so far
	next    int         // the number of the recording's next
}

// of returns the number of an interface there.
func (r *renumbering) of(iface int) int {
	if r.numbers == nil {
		return iface
	}
	return r.numbers[iface]
}

// renumber gives the interfaces of blocks of the recording their numbers, in place.
func (r *renumbering) renumber(blocks []byte) {
	eachBlock(blocks, func(kind uint32, block []byte) { r.one(kind, block) })
}

// one does that for one block.
func (r *renumbering) one(kind uint32, block []byte) {
	switch kind {
	case blockInterface:
		if r.numbers != nil {
			r.numbers[r.next] = r.n
			r.next++
		}
		r.n++
	case blockPacket:
		if r.numbers != nil {
			setBlockIface(block, r.numbers[blockIface(block)])
		}
	case blockStats: // the last block of an interface
		if r.numbers != nil {
			n := blockIface(block)
			setBlockIface(block, r.numbers[n])
			delete(r.numbers, n)
		}
	}
}

// spanBook counts what became of the frames of one file, for one port. The port's
// own counters would not do: the frame at which a file ends may be in them or not.
type spanBook struct {
	vswitch.Counters        // but RxFrames is what is to arrive, copies included
	lost             uint64 // frames the recorder lost
}

// bookSent books a frame that is being recorded.
func (e *encoder) bookSent(from *recordedPort, ev *vswitch.Sent) {
	from.book.TxFrames++
	from.book.TxBytes += uint64(len(ev.Data))
	if ev.Lost != vswitch.NotLost {
		from.book.TxLost[ev.Lost]++
	}
	for i := range ev.Receivers {
		rc := &ev.Receivers[i]
		to, err := e.portOf(rc.Port)
		if err != nil {
			continue // it is in no file, so nobody counts it
		}
		if rc.Lost != vswitch.NotLost {
			to.book.RxLost[rc.Lost]++
			continue
		}
		n := uint64(len(rc.Arrivals))
		to.book.RxFrames += n
		to.book.RxBytes += n * uint64(arriving(ev, rc.Port))
		to.book.RxCopies += n - 1
	}
}

// arriving is how long a frame is when it reaches a port.
func arriving(ev *vswitch.Sent, to *vswitch.Port) int {
	n := len(ev.Data)
	for i := range ev.Hits {
		if h := &ev.Hits[i]; h.To == nil || h.To == to {
			if h.Truncate > 0 {
				n = min(n, h.Truncate)
			}
			n += h.Pad
		}
	}
	return n
}

// cut ends the file in which the recording is so far, at the frame number last:
// it returns the statistics of all open ports, and begins new books.
func (e *encoder) cut(at time.Time) []byte {
	var b []byte
	for i := range e.ports {
		p := &e.ports[i]
		if p.block == nil {
			continue
		}
		c := PortCounters{Name: p.port.Name(), Until: e.last, Open: true, Counters: p.book.Counters}
		b = appendStatistics(b, p.iface, countersOf(c, e.span(p, at), p.book.lost, nil))
		p.book = spanBook{}
	}
	e.live.from = at
	return b
}

// span is the time of a port in the current file.
func (e *encoder) span(p *recordedPort, end time.Time) Statistics {
	start := p.since
	if e.live.from.After(start) {
		start = e.live.from
	}
	return Statistics{Time: end, Start: start, End: end}
}

// closeSpan takes note that a port was closed, with its counters.
func (e *encoder) closeSpan(p *recordedPort, c PortCounters, st Statistics, notes []string) {
	if e.live.spans {
		left := min(c.RxInFlight, p.book.RxFrames)
		refused := [...]uint64{c.Runts, c.Oversize, c.TxQueueFull}
		c.Counters = p.book.Counters
		c.RxFrames -= left
		c.RxInFlight = left
		c.Runts, c.Oversize, c.TxQueueFull = refused[0], refused[1], refused[2]
		e.live.closed = appendStatistics(nil, p.iface, countersOf(c, e.span(p, st.End), p.book.lost, notes))
	}
	e.live.moved = true
	e.live.down = without(e.live.down, p.port.Name())
	p.block = nil
}

// lose takes note of a frame that is not recorded because its recorder has no room.
func (e *encoder) lose(ev *vswitch.Sent) error {
	p, err := e.portOf(ev.From)
	if err != nil {
		return err
	}
	p.lost++
	p.lostAll++
	p.book.lost++
	return nil
}

const lostPrefix = "vnr.recorder-lost="

// lostComment says how many frames of a port the recorder lost.
func lostComment(n uint64) string { return lostPrefix + strconv.FormatUint(n, 10) }

// ruleText is the text of a rule that can tell it, at most maxText bytes of it.
func ruleText(r vswitch.Rule) string {
	s, ok := r.(fmt.Stringer)
	if !ok {
		return ""
	}
	text := s.String()
	if len(text) > maxText {
		text = text[:cutAt(text, maxText-len("…"))] + "…"
	}
	return text
}
