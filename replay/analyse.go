package replay

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Proto is what a conversation speaks.
type Proto uint8

// The protocols.
const (
	TCP Proto = iota
	UDP
	Echo // ICMP and ICMPv6 echo
)

// String returns "TCP", "UDP" or "echo".
func (p Proto) String() string { return [...]string{"TCP", "UDP", "echo"}[p] }

// Endpoint is a host's address in a capture.
type Endpoint struct {
	Addr   netip.Addr
	MAC    vswitch.MAC // in the first frame from or to it; zero if the link type has none
	Frames int         // sent
	Bytes  int64       // sent, IP headers included
}

// Conversation is what two endpoints say to each other over one pair of ports.
type Conversation struct {
	Number int // from 1, in the order of their first frames
	Proto  Proto
	// Ends are the two ends. The first opened the conversation: sent the SYN, the
	// first datagram, the echo requests. Echo's port is the identifier.
	Ends [2]netip.AddrPort
	// First and Last are the numbers of its first and last frames.
	First, Last int
	// Start is when it starts, after the first frame of the capture.
	Start time.Duration
	// Reason is why it cannot be replayed, "" if it can.
	Reason string
	// Streams are what each end sent over TCP.
	Streams [2]*Stream
	// Datagrams are what both sent over UDP or echo, in order.
	Datagrams []*Datagram

	both bool // both ends opened it, at once
}

// Datagram is one UDP datagram, echo message, or "port unreachable".
type Datagram struct {
	From        int // the end that sent it: 0 or 1
	Payload     []byte
	Seq         uint16        // of an echo message
	Unreachable bool          // an ICMP error: the port of the end that sent it is closed
	Frame       int           // number of its (first) frame
	At          time.Duration // never before the one before it

	frames []*Frame // one, or its fragments
	ip     *pcap.IP
	lost   bool // see Frame.Lost
	bad    bool // its checksum is wrong
	copy   bool // see Frame.Copy
}

// Bytes returns how many payload bytes end sent.
func (c *Conversation) Bytes(end int) int64 {
	if c.Proto == TCP {
		return int64(len(c.Streams[end].Data))
	}
	n := int64(0)
	for _, d := range c.Datagrams {
		if d.From == end {
			n += int64(len(d.Payload))
		}
	}
	return n
}

// String names the conversation by its ends, the opener first.
func (c *Conversation) String() string {
	if c.Proto == Echo {
		return fmt.Sprintf("echo %v > %v id %d", c.Ends[0].Addr(), c.Ends[1].Addr(), c.Ends[0].Port())
	}
	return fmt.Sprintf("%v %v > %v", c.Proto, c.Ends[0], c.Ends[1])
}

// end returns which end an address and port are, or -1.
func (c *Conversation) end(a netip.AddrPort) int {
	for i, e := range c.Ends {
		if e == a {
			return i
		}
	}
	return -1
}

// Analysis is what a capture holds.
type Analysis struct {
	Capture       *Capture
	Endpoints     []*Endpoint     // in order of their first frames
	Conversations []*Conversation // likewise
	// Ignored counts the frames that are part of no conversation, by reason.
	Ignored []Skip

	short bool // some of these are captured too short
}

// part reports whether the capture is only a part of what there was: it is cut, or has
// frames of which so little was captured that nobody can tell what they say, or to whom.
func (a *Analysis) part() bool { return a.Capture.Cut != nil || a.Capture.short > 0 || a.short }

// leftOut says which frames of no conversation, and how many, are left out of what is
// done with the rest; "" for none. How hosts find each other, and what they tell
// everybody, is not worth a word.
func (a *Analysis) leftOut() string {
	var all []Count
	for _, s := range a.Ignored {
		if !slices.Contains(everyday, s.Reason) {
			all = append(all, Count{s.Reason, s.Frames})
		}
	}
	return counts(all)
}

// Reasons of frames that are in every capture.
const (
	isARP       = "ARP"
	isND        = "neighbour discovery"
	fromNobody  = "from an unspecified, multicast or broadcast address"
	toEverybody = "to a multicast or broadcast address"
)

var everyday = []string{isARP, isND, fromNobody, toEverybody}

// Endpoint returns the endpoint with an address, or nil.
func (a *Analysis) Endpoint(addr netip.Addr) *Endpoint {
	for _, e := range a.Endpoints {
		if e.Addr == addr {
			return e
		}
	}
	return nil
}

// Analyse finds the endpoints and conversations of a capture.
func Analyse(c *Capture) *Analysis {
	a := &analyser{
		Analysis:  &Analysis{Capture: c},
		endpoints: map[netip.Addr]*Endpoint{},
		open:      map[convKey]*Conversation{},
		sums:      map[netip.Addr]*[2]int{},
		sound:     map[convKey]bool{},
	}
	for _, f := range c.Frames {
		a.countSums(f)
	}
	for _, f := range c.Frames {
		if k, ok := keyOf(f); ok && !a.damaged(f) {
			a.sound[k] = true
		}
	}
	for _, f := range c.Frames {
		a.frame(f)
	}
	for _, conv := range a.Conversations {
		if conv.Proto == TCP {
			conv.finishTCP()
		}
	}
	a.closedPorts()
	for _, s := range a.parts.order {
		if p := a.parts.open[s]; p != nil {
			for _, f := range p.frames {
				a.ignore("fragment of a datagram that is not whole", f)
			}
		}
	}
	for _, f := range a.parts.lost {
		a.ignore("fragment of a datagram that is not whole", f)
	}
	return a.Analysis
}

// convKey finds the conversation that is going on between two ends.
type convKey struct {
	proto Proto
	a, b  netip.AddrPort
}

type analyser struct {
	*Analysis
	endpoints map[netip.Addr]*Endpoint
	open      map[convKey]*Conversation
	parts     reassembler
	sums      map[netip.Addr]*[2]int // good and bad transport checksums by sender
	sound     map[convKey]bool       // ends between which there are frames that are not damaged
}

func (a *analyser) ignore(reason string, f *Frame) {
	a.Ignored = countSkip(a.Ignored, reason, f.Number)
}

func (a *analyser) countSums(f *Frame) {
	if f.IP == nil {
		return
	}
	n := a.sums[f.IP.Src]
	if n == nil {
		n = new([2]int)
		a.sums[f.IP.Src] = n
	}
	switch f.TransportChecksum(f.Data) {
	case pcap.SumGood:
		n[0]++
	case pcap.SumBad:
		n[1]++
	}
}

// damaged reports whether a frame's transport checksum is wrong, so that its
// receiver did not take it, if that is what it got. Where most of a sender's are wrong, the capture was
// rewritten without them, and they say nothing.
func (a *analyser) damaged(f *Frame) bool {
	n := a.sums[f.IP.Src]
	return f.TransportChecksum(f.Data) == pcap.SumBad && n[1] <= n[0]
}

// keyOf is the ends of the conversation that a frame is part of.
func keyOf(f *Frame) (convKey, bool) { return keyOfDecoded(f.Decoded) }

// keyOfDecoded is [keyOf] for what is not of a capture.
func keyOfDecoded(f *pcap.Decoded) (convKey, bool) {
	switch {
	case f.TCP != nil:
		return convKey{TCP, netip.AddrPortFrom(f.IP.Src, f.TCP.SrcPort), netip.AddrPortFrom(f.IP.Dst, f.TCP.DstPort)}, true
	case f.UDP != nil:
		return convKey{UDP, netip.AddrPortFrom(f.IP.Src, f.UDP.SrcPort), netip.AddrPortFrom(f.IP.Dst, f.UDP.DstPort)}, true
	case f.ICMP != nil && (f.ICMP.EchoRequest() || f.ICMP.EchoReply()):
		return convKey{Echo, netip.AddrPortFrom(f.IP.Src, f.ICMP.ID), netip.AddrPortFrom(f.IP.Dst, f.ICMP.ID)}, true
	case f.ICMP != nil && isPortUnreachable(f.ICMP):
		if in := pcap.DecodeLink(pcap.LinkRaw, f.Payload); in.UDP != nil {
			return convKey{UDP, netip.AddrPortFrom(in.IP.Src, in.UDP.SrcPort), netip.AddrPortFrom(in.IP.Dst, in.UDP.DstPort)}, true
		}
	}
	return convKey{}, false
}

// stray reports whether a damaged frame is not to be believed: where nothing
// sound goes between its ends, its ports may be what is damaged, and a TCP
// segment without payload says nothing that its repetition does not.
func (a *analyser) stray(f *Frame) bool {
	k, ok := keyOf(f)
	return ok && (!a.sound[k] && !a.sound[convKey{k.proto, k.b, k.a}] || f.TCP != nil && len(f.Payload) == 0)
}

func (a *analyser) endpoint(addr netip.Addr, mac vswitch.MAC) *Endpoint {
	e := a.endpoints[addr]
	if e == nil {
		e = &Endpoint{Addr: addr}
		a.endpoints[addr] = e
		a.Endpoints = append(a.Endpoints, e)
	}
	if e.MAC == (vswitch.MAC{}) || !usable(e.MAC) && usable(mac) {
		e.MAC = mac
	}
	return e
}

func (a *analyser) frame(f *Frame) {
	switch {
	case f.ARP != nil:
		a.ignore(isARP, f)
		return
	case f.IP == nil:
		a.ignore(f.notIP(), f)
		return
	case f.IP.Src.IsUnspecified() || !isHost(f.IP.Src):
		a.ignore(fromNobody, f)
		return
	}
	e := a.endpoint(f.IP.Src, f.Src)
	e.Frames++
	e.Bytes += int64(f.IP.TotalLen)
	// Programs that make packets leave the destination's MAC at the broadcast
	// address; a directed broadcast (RFC 919) has it too, and never answers.
	if !isHost(f.IP.Dst) || f.Dst.IsGroup() && f.TCP == nil && a.sums[f.IP.Dst] == nil {
		a.ignore(toEverybody, f)
		return
	}
	a.endpoint(f.IP.Dst, f.Dst)
	d, frames, whole := f.Decoded, []*Frame{f}, []byte(nil)
	if f.IP.IsFragment() {
		if f.Missing > 0 {
			a.ignore("fragment captured short", f)
			a.short = true
			return
		}
		p := a.parts.add(f.IP, f.Data[f.IP.Offset+f.IP.HeaderLen:f.PayloadOffset+len(f.Payload)], f)
		if p == nil {
			return // its conversation counts it when it is whole
		}
		d, frames, whole = pcap.DecodeDatagram(p.head, p.data), p.frames, p.data
	}
	bad := a.damaged(f)
	if bad && a.stray(f) {
		a.ignore("wrong transport checksum", f)
		return
	}
	switch {
	case d.TCP != nil && f.Copy && !d.TCP.Flags.Has(pcap.FIN):
		// It brings nothing. Not so a FIN's, to a stack that keeps none that comes beyond a gap.
	case d.TCP != nil:
		a.tcp(d, f, whole, bad)
	case d.UDP != nil:
		a.udp(d, frames, bad)
	case d.ICMP != nil && (d.ICMP.EchoRequest() || d.ICMP.EchoReply()):
		a.echo(d, frames, bad)
	case d.ICMP != nil && isPortUnreachable(d.ICMP):
		a.unreachable(d, f)
	case d.ICMP != nil && isTooBig(d.ICMP) && !f.IP.IsFragment():
		a.tooBig(d, f)
	case d.ICMP != nil && d.ICMP.Version == 6 && d.ICMP.Type >= 133 && d.ICMP.Type <= 137:
		a.ignore(isND, f)
	case d.ICMP != nil:
		a.ignore("other ICMP", f)
	default:
		a.ignore(fmt.Sprintf("IP protocol %d", f.IP.Protocol), f)
	}
}

// isHost reports whether an address can be one host's.
func isHost(a netip.Addr) bool {
	return !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func isPortUnreachable(i *pcap.ICMP) bool {
	return i.Version == 4 && i.Type == 3 && i.Code == 3 || i.Version == 6 && i.Type == 1 && i.Code == 4
}

// conversation returns the one between two ends that is open, with which end
// src is; or nil.
func (a *analyser) conversation(p Proto, src, dst netip.AddrPort) (c *Conversation, from int) {
	if c = a.open[convKey{p, src, dst}]; c == nil {
		c = a.open[convKey{p, dst, src}]
	}
	if c == nil {
		return nil, 0
	}
	return c, c.end(src)
}

// sameAddress is why a conversation of a host with itself cannot be replayed.
const sameAddress = "both ends have the same address"

// begin adds a conversation that src opens.
func (a *analyser) begin(p Proto, src, dst netip.AddrPort, f *Frame) *Conversation {
	delete(a.open, convKey{p, dst, src})
	c := &Conversation{Number: len(a.Conversations) + 1, Proto: p, Ends: [2]netip.AddrPort{src, dst}, First: f.Number, Start: f.At}
	if src.Addr() == dst.Addr() {
		c.Reason = sameAddress
	}
	for _, e := range c.Ends {
		if e.Addr().IsLoopback() {
			c.cannot("%v is a loopback address, which no host takes from a network (RFC 1122, 3.2.1.3)", e.Addr())
		}
	}
	if p != Echo && (src.Port() == 0 || dst.Port() == 0) {
		c.cannot("port 0 is nobody's")
	}
	a.open[convKey{p, src, dst}] = c
	a.Conversations = append(a.Conversations, c)
	return c
}

func (c *Conversation) cannot(format string, args ...any) {
	if c.Reason == "" {
		c.Reason = fmt.Sprintf(format, args...)
	}
}

func (a *analyser) udp(d *pcap.Decoded, frames []*Frame, bad bool) {
	src, dst := netip.AddrPortFrom(d.IP.Src, d.UDP.SrcPort), netip.AddrPortFrom(d.IP.Dst, d.UDP.DstPort)
	c, from := a.conversation(UDP, src, dst)
	if c == nil {
		c = a.begin(UDP, src, dst, frames[0])
	}
	if n := d.PayloadLen + 8; n > maxDatagram || d.IP.Version == 4 && n > maxDatagram-20 {
		c.cannot("frame %d: a datagram with %d bytes is longer than UDP's can be", frames[0].Number, d.PayloadLen)
	}
	c.add(&Datagram{From: from, Payload: d.Payload, bad: bad}, d, frames)
}

func (a *analyser) echo(d *pcap.Decoded, frames []*Frame, bad bool) {
	src, dst := netip.AddrPortFrom(d.IP.Src, d.ICMP.ID), netip.AddrPortFrom(d.IP.Dst, d.ICMP.ID)
	from := 0
	if d.ICMP.EchoReply() {
		src, dst, from = dst, src, 1
	}
	c := a.open[convKey{Echo, src, dst}]
	if c == nil {
		if from == 1 {
			a.ignore("echo reply without its request", frames[0])
			return
		}
		// A pair of hosts may ping each other with one identifier: only the
		// requester's direction makes the key.
		c = a.begin(Echo, src, dst, frames[0])
	}
	c.add(&Datagram{From: from, Payload: d.Payload, Seq: d.ICMP.Seq, bad: bad}, d, frames)
}

func (a *analyser) unreachable(d *pcap.Decoded, f *Frame) {
	in := pcap.DecodeLink(pcap.LinkRaw, d.Payload)
	if in.UDP == nil {
		a.ignore("other ICMP", f)
		return
	}
	c, from := a.conversation(UDP, netip.AddrPortFrom(in.IP.Dst, in.UDP.DstPort), netip.AddrPortFrom(in.IP.Src, in.UDP.SrcPort))
	if c == nil || in.IP.Dst != d.IP.Src {
		a.ignore("other ICMP", f)
		return
	}
	c.add(&Datagram{From: from, Unreachable: true}, d, []*Frame{f})
}

// add appends a datagram that was decoded from frames.
func (c *Conversation) add(dg *Datagram, d *pcap.Decoded, frames []*Frame) {
	dg.frames, dg.ip, dg.Frame, dg.At = frames, d.IP, frames[0].Number, frames[0].At
	if n := len(c.Datagrams); n > 0 {
		dg.At = max(dg.At, c.Datagrams[n-1].At) // its first fragment may have come long before the others
	}
	for _, f := range frames {
		dg.lost = dg.lost || f.Lost
		dg.copy = dg.copy || f.Copy
		c.Last = max(c.Last, f.Number)
		if f.Missing > 0 && !dg.Unreachable {
			c.cannot("frame %d was captured short (%d of %d bytes)", f.Number, len(f.Data), max(f.OrigLen, len(f.Data)+f.Missing))
		}
	}
	c.Datagrams = append(c.Datagrams, dg)
}
