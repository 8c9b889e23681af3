package replay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// datagramPeer plays one end of a UDP or echo conversation.
type datagramPeer struct {
	*Played
	next int         // of Datagrams: the next played one, or len
	came []bool      // of Datagrams: the live ones that were received
	sent []time.Time // played datagrams
	all  int         // live datagrams received
	dns  *dnsState
	// again is how many came that are in the capture once, see repeats.
	again int
	// quote is the last packet of the live side, for an ICMP error.
	quote []byte

	timer, patience vswitch.Timer
}

func newDatagramPeer(p *Played) *datagramPeer {
	d := &datagramPeer{Played: p, came: make([]bool, len(p.Datagrams)), dns: newDNSState(p)}
	for i, x := range p.Datagrams {
		d.came[i] = x.copy && x.From == p.Live // the live side does not make copies
	}
	return d
}

func (p *datagramPeer) start() {
	p.since = p.e.at(p.Start)
	if p.me == 0 {
		p.st.peers[peerKey{p.Proto, p.local, p.remote}] = p
	} else {
		p.st.waiting = append(p.st.waiting, p)
	}
	p.advance()
}

// missing returns the first live datagram before index end that has not come,
// or -1.
func (p *datagramPeer) missing(end int) int {
	for i, d := range p.Datagrams[:end] {
		if d.From == p.Live && !p.came[i] && !p.dns.optional[i] {
			return i
		}
	}
	return -1
}

func (p *datagramPeer) advance() {
	for !p.done {
		for p.next < len(p.Datagrams) && (p.Datagrams[p.next].From == p.Live || p.Datagrams[p.next].lost) {
			p.next++
		}
		if p.missing(p.next) >= 0 {
			p.timed = time.Time{}
			disarm(p.timer)
			arm(p.clock, &p.patience, p.deadline().Sub(p.e.world.Now()), p.impatient)
			return
		}
		disarm(p.patience)
		if p.next == len(p.Datagrams) {
			for i, optional := range p.dns.optional {
				if optional && !p.came[i] {
					p.e.report.count("dns-retry")
					p.Matched[p.Live] += int64(len(p.Datagrams[i].Payload))
				}
			}
			p.finish(true)
			return
		}
		if p.moot(p.next) {
			p.Matched[p.me] += int64(len(p.Datagrams[p.next].Payload))
			p.next++
			continue
		}
		due := p.due()
		if wait := due.Sub(p.e.world.Now()); wait > 0 {
			p.timed = due
			arm(p.clock, &p.timer, wait, p.advance)
			return
		}
		p.at = p.moment(due)
		p.send(p.Datagrams[p.next])
		p.next++
	}
}

// deadline is when patience ends.
func (p *datagramPeer) deadline() time.Time {
	at := p.since
	if p.all == 0 && len(p.sent) == 0 && p.e.recent.After(at) {
		at = p.e.recent // other conversations may come first
	}
	if p.last.After(at) {
		at = p.last
	}
	return at.Add(p.e.o.Patience)
}

// due is when the next datagram is to be sent.
func (p *datagramPeer) due() time.Time {
	for i := p.next - 1; i >= 0; i-- {
		if d := p.Datagrams[i]; d.From == p.me && !d.lost {
			return p.last.Add(p.Datagrams[p.next].At - d.At)
		}
	}
	if p.me == 0 {
		return p.e.at(p.Datagrams[p.next].At) // not Start: what came before may have been lost
	}
	return p.e.world.Now()
}

func (p *datagramPeer) impatient() {
	if p.done {
		return
	}
	i := p.missing(p.next)
	if i < 0 {
		return
	}
	if p.deadline().After(p.e.world.Now()) {
		p.advance()
		return
	}
	d := p.Datagrams[i]
	p.stop()
	div := &Divergence{Kind: "missing", Frame: d.Frame, Offset: -1, Expected: d.Payload,
		Text: fmt.Sprintf("the live side never sent %s (waited %v)", p.name(i), p.e.o.Patience)}
	for _, w := range p.Datagrams[:i] {
		if w.bad && w.From == p.me {
			div.Hint = fmt.Sprintf("frame %d, played before it, has a wrong checksum in the capture and was sent with it", w.Frame)
		}
	}
	p.diverge(div)
}

func (p *datagramPeer) stop() {
	disarm(p.timer)
	disarm(p.patience)
}

// name names a datagram of the live side: "datagram 3 of 5".
func (p *datagramPeer) name(i int) string {
	n, k := 0, 0
	for j, d := range p.Datagrams {
		if d.From == p.Live {
			n++
			if j <= i {
				k++
			}
		}
	}
	what := "datagram"
	switch {
	case p.Datagrams[i].Unreachable:
		return "that the port is unreachable"
	case p.Proto == Echo && p.Live == 0:
		what = "echo request"
	case p.Proto == Echo:
		what = "echo reply"
	}
	return fmt.Sprintf("%s %d of %d", what, k, n)
}

// take handles a datagram of the live side.
func (p *datagramPeer) take(d *pcap.Decoded, data []byte) {
	unreachable := d.ICMP != nil && p.Proto == UDP
	i := p.expected(d, unreachable)
	if i < 0 && p.unanswered(d) {
		p.e.report.count("unanswered-echo")
		return
	}
	if (i < 0 || !p.sameQuery(i, d.Payload)) && p.asksAgain(d.Payload) {
		p.e.report.count("dns-retry")
		return
	}
	if i < 0 && unreachable && p.spared() {
		p.e.report.count("unreachable-again")
		return
	}
	if i < 0 && !unreachable && p.repeats(d) {
		p.e.report.count("answer-again")
		return
	}
	if p.done && (!p.Same || i < 0) {
		if p.Same {
			p.Same = false
			p.report(&Divergence{Kind: "extra", Offset: -1, Frame: p.Last, Actual: bytes.Clone(d.Payload), Text: "the live side sent one more " + p.unit(unreachable), Hint: p.closed(unreachable)})
		}
		return
	}
	if p.done {
		return
	}
	switch {
	case i < 0:
		p.stop()
		p.report(&Divergence{Kind: "extra", Offset: -1, Frame: p.Last, Actual: bytes.Clone(d.Payload), Text: "the live side sent one more " + p.unit(unreachable), Hint: p.closed(unreachable)})
		p.finish(false)
		return
	case p.early(i) && p.missing(i) >= 0:
		p.stop()
		w := p.missing(i)
		p.diverge(&Divergence{Kind: "order", Frame: p.Datagrams[w].Frame, Offset: -1, Expected: p.Datagrams[w].Payload, Actual: bytes.Clone(d.Payload),
			Text: fmt.Sprintf("the live side sent %s before %s", p.name(i), p.name(w))})
		return
	case p.early(i):
		p.stop()
		p.diverge(&Divergence{Kind: "early", Frame: p.Datagrams[i].Frame, Offset: -1, Actual: bytes.Clone(d.Payload),
			Text: fmt.Sprintf("the live side sent %s when only %d had reached it", p.name(i), p.arrived())})
		return
	}
	want := p.Datagrams[i]
	payload := p.query(want.Payload, d.Payload)
	m := newMatcher(p.e.report, want.Payload, nil)
	if at := m.match(0, payload); !unreachable && (at < len(want.Payload) || at < len(d.Payload)) {
		p.stop()
		p.diverge(&Divergence{Kind: "bytes", Frame: want.Frame, Offset: int64(at), Expected: want.Payload[at:], Actual: bytes.Clone(d.Payload[at:]),
			Text: fmt.Sprintf("byte %d of %s differs", at, p.name(i)), Hint: m.why})
		return
	}
	if p.missing(i) >= 0 {
		p.e.report.count("datagram-order")
	}
	p.progress()
	p.came[i] = true
	p.all++
	if !unreachable {
		p.Matched[p.Live] += int64(len(want.Payload))
	}
	if p.refuses() && d.IP.TotalLen <= len(data)-d.IP.Offset {
		p.quote = bytes.Clone(data[d.IP.Offset : d.IP.Offset+d.IP.TotalLen])
	}
	p.advance()
}

// closed is the hint for an ICMP error.
func (p *datagramPeer) closed(unreachable bool) string {
	if !unreachable {
		return ""
	}
	return nobodyListens(p.remote.Port())
}

func (p *datagramPeer) unit(unreachable bool) string {
	switch {
	case unreachable:
		return "ICMP error than the capture has: the port is unreachable"
	case p.Proto == Echo:
		return "echo message than the capture has"
	}
	return "datagram than the capture has"
}

// report adds a divergence without ending the conversation.
func (p *datagramPeer) report(d *Divergence) {
	d.Conversation, d.From, d.To = p.Conversation, p.Ends[p.Live], p.Ends[p.me]
	p.e.report.diverge(p.e, d)
}

// refuses reports whether the played end answers that its port is unreachable.
func (p *datagramPeer) refuses() bool {
	return slices.ContainsFunc(p.Datagrams, func(d *Datagram) bool { return d.Unreachable && d.From == p.me })
}

// unanswered reports whether a datagram is the echo of a request that nobody
// answered in the capture.
func (p *datagramPeer) unanswered(d *pcap.Decoded) bool {
	if p.Proto != Echo || p.me != 0 {
		return false
	}
	asked := false
	for _, w := range p.Datagrams {
		if w.Seq == d.ICMP.Seq {
			if w.From == p.Live {
				return false
			}
			asked = asked || bytes.Equal(w.Payload, d.Payload)
		}
	}
	return asked
}

// expected returns which captured datagram one of the live side is: the first
// that has not come and is equal, else the first that has not come; -1 if all
// have. Echo messages go by their sequence number.
func (p *datagramPeer) expected(d *pcap.Decoded, unreachable bool) int {
	first := -1
	for i, w := range p.Datagrams {
		if w.From != p.Live || p.came[i] || w.Unreachable != unreachable {
			continue
		}
		if p.Proto == Echo && w.Seq != d.ICMP.Seq {
			continue
		}
		if first < 0 {
			first = i
		}
		if unreachable || bytes.Equal(w.Payload, d.Payload) || p.sameQuery(i, d.Payload) {
			return i
		}
	}
	return first
}

// early reports whether live datagram i comes before what it answers: before as
// many were sent as the capture shows, of those that came before it at most one
// for each of its own.
func (p *datagramPeer) early(i int) bool {
	before, own := 0, 0
	for j, d := range p.Datagrams[:i+1] {
		switch {
		case d.From == p.Live:
			own++
		case !p.Datagrams[j].lost:
			before++
		}
	}
	return p.arrived() < min(before, own)
}

// arrived counts the played datagrams that had reached the live side when it
// sent what arrives now.
func (p *datagramPeer) arrived() int {
	there := p.st.port.Latency() + p.host.port.Latency()
	sentAt := p.e.world.Now().Add(-2 * there)
	n := 0
	for n < len(p.sent) && !p.sent[n].After(sentAt) {
		n++
	}
	return n
}

// send sends a captured datagram, with its fragments if it came in some.
func (p *datagramPeer) send(d *Datagram) {
	p.last = p.at
	p.sent = append(p.sent, p.e.world.Now())
	if d.Unreachable {
		p.sendUnreachable()
		return
	}
	segment := d.segment()
	if p.Proto == Echo {
		binary.BigEndian.PutUint16(segment[4:], p.remote.Port())
		if p.me == 0 {
			binary.BigEndian.PutUint16(segment[4:], p.local.Port())
		}
	} else {
		binary.BigEndian.PutUint16(segment[2:], p.remote.Port())
		p.answer(segment[8:])
	}
	if !d.bad && (p.Proto == Echo || segment[6]|segment[7] != 0) { // UDP's 0: no checksum
		pcap.FillChecksum(d.ip, segment)
	}
	for _, f := range d.frames {
		packet := bytes.Clone(f.packet())
		copy(packet[f.IP.HeaderLen:], segment[f.IP.FragOffset:])
		if f.IP.Version == 4 && packet[10]|packet[11] == 0 && f.IPChecksum(f.Data) == pcap.SumBad {
			// The sender left it to its network card.
			binary.BigEndian.PutUint16(packet[10:], headerSum(packet[:f.IP.HeaderLen]))
			p.e.report.count("unfilled-checksum")
		}
		p.st.sendCaptured(pcap.Ethernet(p.host.mac, p.st.mac, packet), f)
	}
	p.Matched[p.me] += int64(len(d.Payload))
}

// headerSum is the checksum of an IPv4 header whose own is 0 (RFC 1071).
func headerSum(h []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// segment puts together the transport header and payload.
func (d *Datagram) segment() []byte {
	var out []byte
	for _, f := range d.frames {
		body := f.packet()[f.IP.HeaderLen:]
		if end := f.IP.FragOffset + len(body); end > len(out) {
			out = append(out, make([]byte, end-len(out))...)
		}
		copy(out[f.IP.FragOffset:], body)
	}
	return out
}

// maxQuote is how much of a packet an ICMP error quotes, so that it stays under
// 576 bytes (RFC 1812, 4.3.2.3).
const maxQuote = 548

func (p *datagramPeer) sendUnreachable() {
	kind, code, proto := byte(3), byte(3), uint8(pcap.ProtoICMP)
	if p.local.Addr().Is6() {
		kind, code, proto = 1, 4, pcap.ProtoICMPv6
	}
	message := append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, p.quote[:min(len(p.quote), maxQuote)]...)
	frame, err := pcap.BuildIP(p.host.mac, p.st.mac, p.local.Addr(), p.remote.Addr(), proto, 64, message)
	if err == nil {
		p.st.send(frame)
	}
}
