package replay

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// advance sends all segments whose conditions hold, and arranges to be called
// again when time or patience has passed.
func (p *tcpPeer) advance() {
	for !p.done && p.next < len(p.segs) {
		s := p.segs[p.next]
		if p.awaits(s) != "" {
			p.timed = time.Time{}
			p.await(p.paced(p.stallDelay(s)))
			return
		}
		due := p.due(s)
		if wait := due.Sub(p.now()); wait > 0 {
			p.timed = due
			arm(p.clock, &p.timer, wait, p.advance)
			disarm(p.patience)
			if p.open {
				p.ackLater(p.paced(p.ackDelay()))
			}
			return
		}
		p.at = p.moment(due)
		p.send(s)
		p.next++
	}
	if p.done {
		return
	}
	if p.awaits(nil) != "" {
		p.await(p.paced(StallDelay))
		return
	}
	p.succeed()
}

// due is when a segment is to be sent: as long as captured after the one before,
// or, if that was later in the capture, after the arrival of what it acknowledges.
func (p *tcpPeer) due(s *segment) time.Time {
	brought := p.brought[p.next]
	if p.next == 0 && p.open && s.ack > 0 || p.next > 0 && brought > p.segs[p.next-1].frame.At {
		k, _ := slices.BinarySearchFunc(p.came, s.ack, func(a arrival, ack int64) int { return cmp.Compare(a.to, ack) })
		if k < len(p.came) {
			return p.came[k].at.Add(s.frame.At - brought)
		}
	}
	switch {
	case p.next > 0:
		return p.last.Add(s.frame.At - p.segs[p.next-1].frame.At)
	case p.me == 0 && !p.both:
		return p.e.at(s.frame.At) // not Start: its first SYN may have been lost
	}
	return p.now()
}

// ackDelay is how long what has come may stay unacknowledged because the next
// captured segment waits for its time: over a long way, a little longer than that
// takes, which the live end's retransmission timeout allows for (RFC 6298, 2).
func (p *tcpPeer) ackDelay() time.Duration {
	return min(max(AckDelay, p.rtt+p.rtt/4), maxAckDelay)
}

// awaits says what of the live side a segment waits for, "" for nothing; for
// nil, what the conversation still waits for when all segments are sent.
func (p *tcpPeer) awaits(s *segment) string {
	if s == nil {
		return p.awaitsAtEnd()
	}
	need := s.ack
	if p.both && s.Flags.Has(pcap.SYN) {
		need = max(need, 1) // they cross: the live side must not find it when it comes to dial
	}
	if s.Flags.Has(pcap.RST) {
		// It ends everything, so what had been said before it comes first.
		need = max(need, p.seen[p.next])
		if p.open && p.acked < p.owed() {
			return fmt.Sprintf("its acknowledgement of byte %d", max(p.acked-1, 0))
		}
	}
	if need > 0 && (!p.open || p.got < need) {
		return p.number(need - 1)
	}
	// The window counts once it is known. Retransmissions are inside anyway.
	if s.len > 0 && p.open && s.end() > p.acked+p.window && s.end() > p.sent {
		return fmt.Sprintf("room in the live side's receive window (%d bytes, %d acknowledged of %d)", p.window, max(p.acked-1, 0), len(p.out.Data))
	}
	return ""
}

// number names what has a relative number of the live side.
func (p *tcpPeer) number(n int64) string {
	switch {
	case !p.open && p.me == 0:
		return "its answer to the SYN"
	case !p.open:
		return "its SYN"
	case n-1 >= int64(len(p.in.Data)):
		return "its FIN"
	}
	return fmt.Sprintf("byte %d", n-1)
}

func (p *tcpPeer) awaitsAtEnd() string {
	switch {
	case p.in.RST && (!p.in.FIN || p.in.syn == nil):
		if !p.rst {
			return "its RST"
		}
		return ""
	case p.in.known && !p.open:
		return p.number(0)
	case p.aborts:
		return "" // nothing of the live side counts after it
	case p.got-1 < int64(len(p.in.Data)):
		return fmt.Sprintf("byte %d", p.got-1)
	case p.in.FIN && !p.fin:
		return "its FIN"
	case p.acked < p.owed():
		return fmt.Sprintf("its acknowledgement of byte %d", max(p.acked-1, 0))
	}
	return ""
}

// await waits for the live side: patiently, and acknowledging what it sent if it
// seems to wait for that.
func (p *tcpPeer) await(delay time.Duration) {
	disarm(p.timer)
	if p.open {
		p.ackLater(delay)
	}
	arm(p.clock, &p.patience, p.deadline().Sub(p.now()), p.impatient)
}

func (p *tcpPeer) deadline() time.Time {
	at := p.since
	if !p.open && p.e.recent.After(at) {
		at = p.e.recent // other conversations may come first
	}
	if p.last.After(at) {
		at = p.last
	}
	return at.Add(p.e.o.Patience)
}

// impatient is called when patience may be at its end.
func (p *tcpPeer) impatient() {
	if p.done {
		return
	}
	if left := p.deadline().Sub(p.now()); left > 0 {
		arm(p.clock, &p.patience, left, p.impatient)
		return
	}
	var s *segment
	if p.next < len(p.segs) {
		s = p.segs[p.next]
	}
	d := &Divergence{Kind: "missing", Offset: max(p.got-1, 0), Text: fmt.Sprintf("the live side never sent %s (waited %v)", p.awaits(s), p.e.o.Patience)}
	if p.open && p.got-1 < int64(len(p.in.Data)) {
		d.Expected = p.in.Data[p.got-1:]
	}
	if p.narrowed > 0 {
		e := p.in.tooBig[p.narrowed-1]
		d.Hint = fmt.Sprintf("as in the capture (frame %d), it was told that its packets may have %d bytes at most", e.frame, e.mtu)
	} else if s != nil {
		d.Hint = fmt.Sprintf("frame %d of the played side waits for it", s.frame.Number)
	}
	p.failWith(d)
}

// splits reports whether a segment acknowledges what has come and more.
func (p *tcpPeer) splits(s *segment) bool { return p.open && p.got > p.ack && s.ack > p.got }

// stallDelay is how long a segment waits for what it acknowledges before what has
// come of that is acknowledged.
func (p *tcpPeer) stallDelay(s *segment) time.Duration {
	i, _ := slices.BinarySearch(p.bounds, p.ack+1)
	if p.splits(s) && len(p.bounds)-i >= 2 {
		return SplitDelay
	}
	return StallDelay
}

// ackLater arranges an acknowledgement that the capture does not have, if the
// live side has sent what is not acknowledged.
func (p *tcpPeer) ackLater(delay time.Duration) {
	if p.got <= max(p.ack, 1) || p.sent == 0 {
		disarm(p.stall)
		p.unacked, p.stallAt = time.Time{}, time.Time{}
		return
	}
	if p.unacked.IsZero() || p.unackedFrom != p.ack {
		p.unacked, p.unackedFrom = p.now(), p.ack
	}
	if at := p.unacked.Add(delay); at != p.stallAt {
		p.stallAt = at
		arm(p.clock, &p.stall, max(at.Sub(p.now()), 0), p.stalled)
	}
}

// stalled acknowledges what has come.
func (p *tcpPeer) stalled() {
	p.unacked, p.stallAt = time.Time{}, time.Time{}
	if p.done || p.got <= p.ack {
		return
	}
	split := p.next < len(p.segs) && p.splits(p.segs[p.next])
	p.buildAck()
	switch {
	case split:
		p.e.report.count("ack-split")
	case p.own:
		p.e.report.own(p)
	default:
		p.st.mark()
		p.e.report.synthetic(p)
	}
	p.advance()
}

// crossing is how long an acknowledgement may be on its way.
const crossing = 10 * time.Millisecond

// reack answers a keepalive (RFC 9293, 3.8.4) and other repetitions of what was
// acknowledged some time ago. Those that come sooner crossed the acknowledgement,
// and an answer would count as a duplicate.
func (p *tcpPeer) reack(at int64, n int) {
	if p.ack == 0 || at >= p.ack {
		return
	}
	if at == p.got-1 && n <= 1 && p.got == p.ack || p.now().Sub(p.last) >= crossing {
		p.build(pcap.ACK, p.sent, p.ack)
	}
}

// send sends a captured segment with its numbers mapped.
func (p *tcpPeer) send(s *segment) {
	if p.leavesOut(s) {
		return
	}
	patch := pcap.TCPPatch{DstPort: p.remote.Port(), AddSeq: p.isn - p.out.isn, Timestamps: true, TSVal: s.Options.TSVal + p.stamps}
	if s.ack >= 0 {
		ack := s.ack
		ack = p.whole(ack)
		if !s.Flags.Has(pcap.SYN) {
			ack = max(ack, p.ack)
		}
		if ack == p.ack && s.ack != p.lastAck && s.isPureAck() && s.Window == p.lastWin {
			// Moved up to the one before: now it would count as a duplicate.
			p.e.report.count("ack-merged")
			p.lastAck, p.last = s.ack, p.at
			return
		}
		patch.SetAck, patch.Ack = true, p.liveISN+uint32(ack)
		if len(s.sack) > 0 {
			patch.Blank = append(patch.Blank, 5) // of gaps that are not there now
		}
		if p.isOld(s) && ack > p.ack {
			// The live side will not look at an acknowledgement on a segment that it
			// has got already (RFC 9293, 3.10.7.4); in the capture that one was new.
			defer p.build(pcap.ACK, p.sent, ack)
			p.e.report.count("ack-apart")
		}
		p.ack, p.lastAck = max(p.ack, ack), s.ack
	}
	if s.Flags.Has(pcap.ACK) {
		patch.TSEcr = p.recent
	}
	patch.Blank = append(patch.Blank, p.unwanted(s)...)
	if !s.Flags.Has(pcap.SYN) && p.unscaled() {
		patch.SetWindow, patch.Window = true, p.unscale(s.Window)
	}
	p.tsval, p.lastWin = s.Options.TSVal+p.stamps, s.Window
	parts := [][]byte{s.packet}
	if mtu := p.mtu(); len(s.packet) > mtu {
		parts = splitSegment(s.packet, mtu)
		p.e.report.count("super-segment")
	}
	for _, part := range parts {
		frame := pcap.Ethernet(p.host.mac, p.st.mac, part)
		if err := pcap.PatchTCP(frame, patch); err != nil {
			p.fail("harness", 0, "frame %d cannot be played: %v", s.frame.Number, err)
			return
		}
		p.st.sendCaptured(frame, s.frame)
	}
	if s.Flags.Has(pcap.SYN) {
		p.syns++
	}
	if s.known() {
		if s.end() <= p.sent && s.len > 0 {
			p.e.report.count("played-retransmission")
		}
		if s.end() > s.seq { // an acknowledgement's number does not mean that what is before it was sent
			p.sent = max(p.sent, s.end())
		}
	}
	p.last = p.at
}

// mtu is what the played side's packets may have on their way.
func (p *tcpPeer) mtu() int {
	if p.host.out != nil {
		return min(p.e.mtu, p.host.port.MTU())
	}
	return p.e.mtu
}

// unscaled reports whether windows were scaled in the capture and are not now.
func (p *tcpPeer) unscaled() bool {
	return p.out.syn != nil && p.in.syn != nil && p.out.syn.WindowScale > 0 && p.in.syn.WindowScale >= 0 && !p.scales
}

func (p *tcpPeer) unscale(window uint16) uint16 {
	return uint16(min(int(window)<<min(p.out.syn.WindowScale, 14), 65535))
}

// whole moves an acknowledgement in the middle of a segment of the live side to
// the segment's end, which came with it: stacks take a segment that is
// acknowledged in part for one that is lost in part.
func (p *tcpPeer) whole(ack int64) int64 {
	i, _ := slices.BinarySearch(p.bounds, ack)
	if i == len(p.bounds) || p.bounds[i] == ack || p.bounds[i] > p.got {
		return ack
	}
	p.e.report.count("ack-moved")
	ack = p.bounds[i]
	p.bounds = p.bounds[i:]
	return ack
}

// isOld reports whether all of a segment was acknowledged.
func (p *tcpPeer) isOld(s *segment) bool {
	if s.end() == s.seq {
		return s.seq < p.acked
	}
	return s.end() <= p.acked && !s.Flags.Has(pcap.SYN)
}

// isPureAck reports whether a segment only acknowledges.
func (s *segment) isPureAck() bool {
	return s.len == 0 && s.Flags&^pcap.PSH == pcap.ACK && len(s.sack) == 0
}

// known reports whether the segment's sequence number is one of its stream.
func (s *segment) known() bool { return s.seq >= 0 }

// unwanted lists the options of a segment that this connection does not have.
func (p *tcpPeer) unwanted(s *segment) (kinds []uint8) {
	const windowScale, sackPermitted, sack, timestamps = 3, 4, 5, 8
	switch {
	case !s.Flags.Has(pcap.SYN):
		if !p.ts {
			kinds = append(kinds, timestamps)
		}
		if !p.sackOK {
			kinds = append(kinds, sack)
		}
	case s.Flags.Has(pcap.ACK):
		// The answer to a SYN offers nothing that the SYN did not (RFC 7323, 2.2).
		if !p.ts {
			kinds = append(kinds, timestamps)
		}
		if !p.sackOK {
			kinds = append(kinds, sackPermitted)
		}
		if !p.scales {
			kinds = append(kinds, windowScale)
		}
	case p.in.syn != nil:
		// Offer what was agreed upon in the capture: the segments that follow are
		// made for that.
		if !p.in.syn.Timestamps {
			kinds = append(kinds, timestamps)
		}
		if !p.in.syn.SACKPermitted {
			kinds = append(kinds, sackPermitted)
		}
		if p.in.syn.WindowScale < 0 {
			kinds = append(kinds, windowScale)
		}
	}
	return kinds
}

// build sends a segment that is not in the capture.
func (p *tcpPeer) build(flags pcap.TCPFlags, seq, ack int64) {
	p.buildSegment(pcap.Segment{Seq: p.isn + uint32(seq), Flags: flags}, ack)
}

// buildSegment fills in what all segments that are not in the capture have, and
// sends one.
func (p *tcpPeer) buildSegment(s pcap.Segment, ack int64) {
	s.DstMAC, s.SrcMAC, s.Src, s.Dst = p.host.mac, p.st.mac, p.local, p.remote
	s.Ack, s.Window = p.liveISN+uint32(ack), p.lastWin
	if p.unscaled() {
		s.Window = p.unscale(s.Window)
	}
	s.Timestamps, s.TSVal, s.TSEcr = p.ts && !s.Flags.Has(pcap.RST), p.tsval, p.recent
	frame, err := pcap.BuildTCP(s)
	if err != nil {
		return
	}
	p.ack = max(p.ack, ack)
	p.st.send(frame)
}

// splitSegment cuts the IP packet of a TCP super-segment (as offloading network
// cards are given) into packets of at most mtu bytes. FIN and PSH go to the last.
func splitSegment(packet []byte, mtu int) [][]byte {
	d := pcap.DecodeLink(pcap.LinkRaw, packet)
	if d.TCP == nil || d.PayloadOffset >= mtu {
		return [][]byte{packet}
	}
	var out [][]byte
	head, step := packet[:d.PayloadOffset], mtu-d.PayloadOffset
	for off := 0; off < len(d.Payload); off += step {
		part := d.Payload[off:min(off+step, len(d.Payload))]
		q := append(append([]byte(nil), head...), part...)
		if d.IP.Version == 4 {
			binary.BigEndian.PutUint16(q[2:], uint16(len(q)))
		} else {
			binary.BigEndian.PutUint16(q[4:], uint16(len(q)-40))
		}
		binary.BigEndian.PutUint32(q[d.TCP.Offset+4:], d.TCP.Seq+uint32(off))
		if off+len(part) < len(d.Payload) {
			q[d.TCP.Offset+13] &^= byte(pcap.FIN | pcap.PSH)
		}
		out = append(out, q)
	}
	return out
}
