package replay

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// tcpPeer plays one end of a TCP connection. Numbers are relative: 0 is a SYN's,
// 1 the first byte's.
type tcpPeer struct {
	*Played
	part

	next int    // of segs
	isn  uint32 // it uses

	// The live end's.
	open    bool   // its SYN came
	liveISN uint32 // if open
	got     int64  // the next number expected
	early   []piece
	fin     bool // came, in its place
	rst     bool // came
	acked   int64
	window  int64
	scales  bool // it offered window scaling
	scale   int  // of its windows
	ts      bool
	sackOK  bool
	recent  uint32 // its last timestamp

	// Ours.
	syns    int     // sent
	sent    int64   // one past the highest number sent
	ack     int64   // the highest acknowledgement sent, 0 for none
	lastAck int64   // of the last captured segment sent, as captured
	bounds  []int64 // where segments of the live side end, from p.ack on
	came    []arrival
	tsval   uint32
	stamps  uint32 // what is added to captured timestamps
	lastWin uint16

	// Receiving; see tcprecv.go.
	own    bool  // it acknowledges what it has itself
	newest int64 // where the last piece of early begins

	timer, stall, patience vswitch.Timer
	stallAt                time.Time // when stall fires, if it is armed
	unacked                time.Time // since when the live side has sent more than ack, if it has
	unackedFrom            int64     // ack at that time
}

// part is what an end of a conversation plays, and what it plays against.
type part struct {
	out, in  *Stream         // what it plays; what the live end is to send
	segs     []*segment      // of out, those that are sent
	seen     []int64         // for each of segs: up to where in had been seen when it was captured
	brought  []time.Duration // for each of segs: when what it acknowledges was captured
	rtt      time.Duration   // how long its first acknowledgement took, as the live end saw it
	aborts   bool            // the last of segs is a RST
	turns    []turn
	match    *matcher // of in
	gappy    bool     // the captured acknowledgements speak of gaps
	losses   []int64  // where segments of the live side start that are still to be lost
	narrowed int      // how many of in.tooBig were met
}

// arrival is when the live side's stream had come up to a number.
type arrival struct {
	to int64
	at time.Time
}

// piece is a run of bytes that came before its place in the stream.
type piece struct {
	at   int64
	data []byte
	fin  bool
}

func newTCPPeer(p *Played) *tcpPeer {
	t := &tcpPeer{Played: p, part: part{out: p.Streams[p.me], in: p.Streams[p.Live]}}
	i, high, arrived := 0, int64(0), int64(0)
	type captured struct {
		to int64
		at time.Duration
	}
	var seen []captured
	for _, s := range t.out.segments {
		for ; i < len(t.in.segments) && t.in.segments[i].frame.Number < s.frame.Number; i++ {
			x := t.in.segments[i]
			if x.end() > x.seq {
				high = max(high, x.end())
			}
			switch {
			case x.end() == x.seq || x.lost:
			case x.end() > arrived:
				arrived = x.end()
				seen = append(seen, captured{arrived, x.frame.At})
			case x.end() == 1 && arrived == 1:
				seen[0].at = x.frame.At // another SYN: which one was answered nobody knows
			}
		}
		if s.lost {
			continue // it did not reach the live end then, and does not now
		}
		at := time.Duration(0)
		if k, _ := slices.BinarySearchFunc(seen, s.ack, func(c captured, ack int64) int { return cmp.Compare(c.to, ack) }); k < len(seen) {
			at = seen[k].at
		}
		if t.rtt == 0 && s.ack > 0 && at > 0 {
			t.rtt = s.frame.At - at
		}
		t.segs, t.seen, t.brought = append(t.segs, s), append(t.seen, high), append(t.brought, at)
	}
	t.segs = t.segs[:t.alive()]
	t.seen, t.brought = t.seen[:len(t.segs)], t.brought[:len(t.segs)]
	// Resets at the end are one: what the live side does after the first is its
	// own affair.
	n := len(t.segs)
	for n > 0 && t.segs[n-1].Flags.Has(pcap.RST) {
		n--
	}
	if t.aborts = n < len(t.segs); t.aborts {
		t.segs, t.seen = t.segs[:n+1], t.seen[:n+1]
	}
	if t.findTurns(); p.e.o.Compare == CompareNone {
		t.turns = nil
	}
	t.findLosses()
	t.match = newMatcher(p.e.report, t.in.Data, t.out.Data)
	return t
}

// alive returns how many of the played segments count: what follows a reset does
// not, unless the live end went on after it.
func (p *tcpPeer) alive() int {
	for i, s := range p.segs {
		if s.Flags.Has(pcap.RST) && !slices.ContainsFunc(p.in.segments, func(x *segment) bool {
			return x.frame.Number > s.frame.Number && !x.Flags.Has(pcap.RST) && (x.ack > s.seq || s.seq < 0)
		}) {
			return i + 1
		}
	}
	return len(p.segs)
}

// start is called when the world starts.
func (p *tcpPeer) start() {
	p.isn, p.stamps = p.out.isn+p.e.addSeq, p.e.addStamp
	p.since = p.e.at(p.Start)
	if p.me == 0 || p.both {
		p.st.peers[peerKey{TCP, p.local, p.remote}] = p
	} else {
		p.st.waiting = append(p.st.waiting, p)
	}
	p.advance()
}

// now is the world's.
func (p *tcpPeer) now() time.Time { return p.e.world.Now() }

// take handles a segment of the live side.
func (p *tcpPeer) take(d *pcap.Decoded, data []byte) {
	t := d.TCP
	if p.done {
		p.after(d)
		return
	}
	if t.Flags.Has(pcap.RST) {
		p.reset(d)
		return
	}
	if p.narrow(d, data) || p.loses(t, len(d.Payload)) {
		return
	}
	if t.Flags.Has(pcap.SYN) && !p.opened(t) {
		return
	}
	if !p.open {
		return
	}
	if t.Flags.Has(pcap.ACK) {
		if p.acknowledged(t) {
			p.window = int64(t.Window)
			if !t.Flags.Has(pcap.SYN) {
				p.window <<= p.scale
			}
		}
	}
	at := near(p.got, t.Seq-p.liveISN)
	if t.Flags.Has(pcap.SYN) {
		at++
	}
	if t.Options.Timestamps && at <= p.got {
		p.recent = t.Options.TSVal
	}
	if len(d.Payload) > 0 || t.Flags.Has(pcap.FIN) {
		p.e.report.segment(p, at, len(d.Payload))
		p.hears(at, d.Payload, t.Flags.Has(pcap.FIN))
	}
	if !p.done {
		p.advance()
	}
}

// acknowledged takes an acknowledgement of the live side, and reports whether it
// is not an old one.
func (p *tcpPeer) acknowledged(t *pcap.TCP) bool {
	a := near(p.acked, t.Ack-p.isn)
	if !p.out.known || a < p.acked {
		return false
	}
	if a > p.acked {
		p.progress()
	}
	p.acked = a
	p.Matched[p.me] = min(max(a-1, 0), int64(len(p.out.Data)))
	return true
}

// owed is the acknowledgement that the live side gives in the capture: of all
// that was played, if the capture does not have it reset the connection, else of
// as much as there.
func (p *tcpPeer) owed() int64 {
	if !p.out.known {
		return 0
	}
	if p.in.RST || p.aborts {
		return min(p.sent, p.out.acked+1)
	}
	return p.sent
}

// opened handles a SYN of the live side and reports whether it is as captured.
func (p *tcpPeer) opened(t *pcap.TCP) bool {
	if p.open {
		if t.Seq != p.liveISN && t.Flags.Has(pcap.ACK) && p.me == 0 && p.syns > 1 {
			// Its answer to a SYN that, as in the capture, came again after the end.
			p.e.report.count("late-syn")
			return false
		}
		if t.Seq != p.liveISN {
			p.fail("reopened", p.got-1, "the live side opened the connection again")
			return false
		}
		if p.both && t.Flags.Has(pcap.ACK) {
			// There its SYN comes again, with an acknowledgement, and is not acceptable
			// any more: the answer is an acknowledgement (RFC 9293, 3.10.7.4), which not
			// all stacks find in a captured SYN.
			p.ackOwn()
			return true
		}
		p.e.report.retransmitted(p, 1)
		return true
	}
	if p.in.syn == nil {
		p.fail("accepted", 0, "the live side accepted a connection that the capture shows refused (frame %d)", p.in.rst.frame)
		return false
	}
	p.open, p.liveISN, p.got = true, t.Seq, 1
	p.arrived()
	if p.liveISN != p.in.isn {
		p.e.report.count("isn")
	}
	if p.in.syn.MSS != t.Options.MSS {
		p.e.report.count("mss")
	}
	if first := p.in.first(); first != nil && first.Window != t.Window {
		p.e.report.count("window")
	}
	p.progress()
	own := p.out.syn
	if own == nil {
		return true // it refuses
	}
	offered := t.Options
	p.scales = offered.WindowScale >= 0
	if own.WindowScale >= 0 && p.scales {
		p.scale = offered.WindowScale
	}
	p.ts = own.Timestamps && offered.Timestamps
	p.sackOK = own.SACKPermitted && offered.SACKPermitted
	if o := p.in.syn; o.Timestamps != offered.Timestamps || o.SACKPermitted != offered.SACKPermitted || (o.WindowScale >= 0) != (offered.WindowScale >= 0) {
		p.e.report.count("tcp-options")
	}
	p.recent = offered.TSVal
	return true
}

// place puts bytes of the live side at their place in its stream.
func (p *tcpPeer) place(at int64, data []byte, fin bool) {
	end := at + int64(len(data))
	if fin {
		end++
	}
	switch {
	case end <= p.got:
		if p.changes(at, data) {
			return
		}
		p.e.report.retransmitted(p, int64(len(data)))
		p.reack(at, len(data))
		return
	case at > p.got:
		if len(p.early) < 4096 {
			p.newest = at
			p.early = append(p.early, piece{at, bytes.Clone(data), fin})
			slices.SortStableFunc(p.early, func(a, b piece) int { return int(a.at - b.at) })
		}
		return
	}
	if old := p.got - at; old > 0 {
		if p.changes(at, data[:min(old, int64(len(data)))]) {
			return
		}
		p.e.report.retransmitted(p, old)
		data = data[min(old, int64(len(data))):]
	}
	p.bounds = append(p.bounds, end)
	p.accept(data, fin)
	for len(p.early) > 0 && p.early[0].at <= p.got && !p.done {
		e := p.early[0]
		p.early = p.early[1:]
		if over := p.got - e.at; over <= int64(len(e.data)) {
			p.accept(e.data[over:], e.fin)
			p.bounds = append(p.bounds, p.got)
		}
	}
}

// changes reports whether bytes that the live side sends again are others than
// before: a divergence. The one byte of a keepalive or window probe may be any.
func (p *tcpPeer) changes(at int64, data []byte) bool {
	if len(data) <= 1 || at < 1 {
		return false
	}
	want := p.in.Data[min(at-1, int64(len(p.in.Data))):]
	same := p.match.again(at-1, data)
	if same == len(data) || same == len(want) {
		return false
	}
	offset := at - 1 + int64(same)
	p.failWith(&Divergence{Kind: "bytes", Offset: offset, Expected: want[same:], Actual: bytes.Clone(data[same:]),
		Text: fmt.Sprintf("byte %d differs where it is sent again", offset)})
	return true
}

// accept compares bytes that are next in the stream, and a FIN after them.
func (p *tcpPeer) accept(data []byte, fin bool) {
	p.progress()
	p.resort(data)
	offset := p.got - 1
	want := p.in.Data[min(offset, int64(len(p.in.Data))):]
	same := p.match.match(offset, data)
	if !p.inTime(offset + int64(same)) {
		return
	}
	p.got += int64(same)
	p.arrived()
	p.Matched[p.Live] = p.got - 1
	if same < len(data) {
		at := offset + int64(same)
		if same == len(want) {
			p.failWith(&Divergence{Kind: "extra", Offset: at, Actual: bytes.Clone(data[same:]),
				Text: fmt.Sprintf("the live side sent more than the %d bytes of the capture", len(p.in.Data))})
			return
		}
		p.failWith(&Divergence{Kind: "bytes", Offset: at, Expected: want[same:], Actual: bytes.Clone(data[same:]),
			Text: fmt.Sprintf("byte %d differs", at), Hint: p.match.why})
		return
	}
	if !fin || p.fin {
		return
	}
	switch n := int64(len(p.in.Data)); {
	case p.got-1 < n:
		p.failWith(&Divergence{Kind: "closed-early", Offset: p.got - 1, Expected: p.in.Data[p.got-1:],
			Text: fmt.Sprintf("the live side closed after %d of %d bytes", p.got-1, n)})
	case p.in.RST && !p.in.FIN:
		p.fail("closed", p.got-1, "the live side closed (FIN); in the capture it resets (frame %d)", p.in.rst.frame)
	case p.aborts && !p.in.FIN && !p.out.FIN && p.next < len(p.segs):
		p.fail("closed", p.got-1, "the live side closed (FIN); in the capture it does not before the played side resets the connection (frame %d)", p.out.rst.frame)
	default:
		if !p.in.FIN {
			p.e.report.count("closed-after-capture")
		}
		p.fin = true
		p.got++
		p.arrived()
	}
}

// arrived notes how far the live side's stream has come.
func (p *tcpPeer) arrived() {
	if n := len(p.came); n == 0 || p.came[n-1].to < p.got {
		p.came = append(p.came, arrival{p.got, p.now()})
	}
}

// fail reports a divergence at an offset of the live side's stream.
func (p *tcpPeer) fail(kind string, offset int64, format string, args ...any) {
	p.failWith(&Divergence{Kind: kind, Offset: offset, Text: fmt.Sprintf(format, args...)})
}

func (p *tcpPeer) failWith(d *Divergence) {
	if d.Frame == 0 {
		d.Frame = p.in.frameOf(d.Offset)
	}
	if p.open && !p.rst {
		p.build(pcap.RST|pcap.ACK, p.sent, max(p.got, 1))
	}
	p.stop()
	p.diverge(d)
}
