package pcap

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Describer writes frames as lines in tcpdump's grammar. It remembers the
// initial sequence numbers of TCP connections, so frames are to be given in
// order. The zero value is ready for use.
type Describer struct {
	conns map[flow]*isns
}

// flow is a connection as seen from one of its ends.
type flow struct{ src, dst netip.AddrPort }

// isns are the bases of relative numbers, one for each end.
type isns struct{ own, peer base }

type base struct {
	seq   uint32
	known bool
}

// maxFlows bounds what a describer remembers; past it, it starts anew.
const maxFlows = 1 << 16

// bases updates and returns the bases for a segment from src to dst. Like
// tcpdump, it takes a SYN's number as base, and where no SYN was seen the first
// number met, with the peer's base one before the acknowledgement.
func (s *Describer) bases(src, dst netip.AddrPort, t *TCP) (own, peer uint32) {
	if s.conns == nil || len(s.conns) > maxFlows {
		s.conns = make(map[flow]*isns)
	}
	c, reverse := s.conns[flow{src, dst}], false
	if c == nil {
		if c = s.conns[flow{dst, src}]; c != nil {
			reverse = true
		} else {
			c = &isns{}
			s.conns[flow{src, dst}] = c
		}
	}
	o, p := &c.own, &c.peer
	if reverse {
		o, p = p, o
	}
	if t.Flags.Has(SYN) && (!o.known || o.seq != t.Seq) {
		if !t.Flags.Has(ACK) {
			*p = base{} // a new connection between the same ports
		}
		*o = base{t.Seq, true}
	}
	if !o.known {
		*o = base{t.Seq, true}
	}
	if !p.known && t.Flags.Has(ACK) {
		*p = base{t.Ack - 1, true}
	}
	return o.seq, p.seq
}

// Frame describes a frame: data as captured, origLen its length on the wire.
func (s *Describer) Frame(linkType int, data []byte, origLen int) string {
	d := DecodeLink(linkType, data)
	var b strings.Builder
	for _, v := range d.VLANs {
		fmt.Fprintf(&b, "vlan %d ", v.ID)
	}
	s.describe(&b, linkType, d)
	if d.Problem != "" {
		fmt.Fprintf(&b, " [%s]", Printable(d.Problem))
	}
	if len(data) < origLen {
		fmt.Fprintf(&b, " [captured %d of %d bytes]", len(data), origLen)
	} else if d.Missing > 0 && d.Problem == "" {
		fmt.Fprintf(&b, " [%d bytes missing]", d.Missing)
	}
	return b.String()
}

func (s *Describer) describe(b *strings.Builder, linkType int, d *Decoded) {
	switch {
	case d.ARP != nil:
		describeARP(b, d.ARP)
	case d.TCP != nil:
		s.describeTCP(b, d)
	case d.UDP != nil:
		fmt.Fprintf(b, "%v.%d > %v.%d: UDP len %d", d.IP.Src, d.UDP.SrcPort, d.IP.Dst, d.UDP.DstPort, max(d.UDP.Length-8, 0))
	case d.ICMP != nil:
		fmt.Fprintf(b, "%v > %v: ", d.IP.Src, d.IP.Dst)
		describeICMP(b, d)
	case d.IP != nil:
		fmt.Fprintf(b, "%v > %v: %s len %d", d.IP.Src, d.IP.Dst, protoName(d.IP.Protocol), d.PayloadLen)
	default:
		describeLink(b, linkType, d)
	}
	if d.IP != nil && d.IP.IsFragment() {
		more := ""
		if d.IP.More {
			more = "+"
		}
		fmt.Fprintf(b, " frag id %d %d:%d%s", d.IP.ID, d.IP.FragOffset, d.IP.FragOffset+d.IP.TotalLen-d.IP.HeaderLen, more)
	}
}

// describeLink describes a frame of which no more than the link header was
// decoded. It tells no addresses that the link type does not have, and of what was
// not decoded at all only the length.
func describeLink(b *strings.Builder, linkType int, d *Decoded) {
	switch {
	case d.PayloadOffset == 0 || linkType != LinkEthernet && d.EtherType == 0:
		fmt.Fprintf(b, "len %d", d.PayloadLen)
		return
	case linkType == LinkEthernet:
		fmt.Fprintf(b, "%v > %v: ", d.Src, d.Dst)
	case d.Src != vswitch.MAC{}:
		fmt.Fprintf(b, "%v: ", d.Src)
	}
	if linkType == LinkEthernet && d.EtherType < 0x600 {
		fmt.Fprintf(b, "802.3 len %d", d.EtherType)
	} else {
		fmt.Fprintf(b, "ethertype 0x%04x len %d", d.EtherType, len(d.Payload))
	}
}

func protoName(p uint8) string {
	switch p {
	case ProtoICMP:
		return "ICMP"
	case ProtoTCP:
		return "TCP"
	case ProtoUDP:
		return "UDP"
	case ProtoICMPv6:
		return "ICMPv6"
	}
	return "ip-proto-" + strconv.Itoa(int(p))
}

func describeARP(b *strings.Builder, a *ARP) {
	switch a.Operation {
	case 1:
		fmt.Fprintf(b, "ARP who-has %v tell %v", a.TargetIP, a.SenderIP)
	case 2:
		fmt.Fprintf(b, "ARP reply %v is-at %v", a.SenderIP, a.SenderMAC)
	default:
		fmt.Fprintf(b, "ARP op %d %v > %v", a.Operation, a.SenderIP, a.TargetIP)
	}
}

func (s *Describer) describeTCP(b *strings.Builder, d *Decoded) {
	t := d.TCP
	own, peer := s.bases(netip.AddrPortFrom(d.IP.Src, t.SrcPort), netip.AddrPortFrom(d.IP.Dst, t.DstPort), t)
	fmt.Fprintf(b, "%v.%d > %v.%d: [%v]", d.IP.Src, t.SrcPort, d.IP.Dst, t.DstPort, t.Flags)
	switch seq := t.Seq - own; {
	case d.PayloadLen > 0:
		fmt.Fprintf(b, " %d:%d", seq, seq+uint32(d.PayloadLen))
	case t.Flags&(SYN|FIN|RST) != 0:
		fmt.Fprintf(b, " seq %d", seq)
	}
	if t.Flags.Has(ACK) {
		fmt.Fprintf(b, " ack %d", t.Ack-peer)
	}
	if d.PayloadLen > 0 {
		fmt.Fprintf(b, " len %d", d.PayloadLen)
	} else {
		fmt.Fprintf(b, " win %d", t.Window)
	}
	if t.Flags.Has(URG) {
		fmt.Fprintf(b, " urg %d", t.Urgent)
	}
	o := &t.Options
	if o.MSS > 0 {
		fmt.Fprintf(b, " mss %d", o.MSS)
	}
	if o.SACKPermitted {
		b.WriteString(" sackOK")
	}
	if o.WindowScale >= 0 {
		fmt.Fprintf(b, " wscale %d", o.WindowScale)
	}
	for i, k := range o.SACK {
		if i == 0 {
			b.WriteString(" sack")
		}
		fmt.Fprintf(b, " {%d:%d}", k.Left-peer, k.Right-peer)
	}
}

var unreachable4 = []string{"net", "host", "protocol", "port", "need to frag", "source route failed"}
var unreachable6 = []string{"route", "prohibited", "beyond scope", "address", "port"}

func describeICMP(b *strings.Builder, d *Decoded) {
	i, name := d.ICMP, "ICMP"
	if i.Version == 6 {
		name = "ICMPv6"
	}
	b.WriteString(name)
	length := d.PayloadLen + d.PayloadOffset - i.Offset
	nth := func(names []string, code uint8) string {
		if int(code) < len(names) {
			return names[code]
		}
		return "code " + strconv.Itoa(int(code))
	}
	switch {
	case i.EchoRequest():
		fmt.Fprintf(b, " echo request id %d seq %d", i.ID, i.Seq)
	case i.EchoReply():
		fmt.Fprintf(b, " echo reply id %d seq %d", i.ID, i.Seq)
	case i.Version == 4 && i.Type == 3:
		b.WriteString(" unreachable " + nth(unreachable4, i.Code))
		if i.MTU > 0 {
			fmt.Fprintf(b, " mtu %d", i.MTU)
		}
	case i.Version == 6 && i.Type == 1:
		b.WriteString(" unreachable " + nth(unreachable6, i.Code))
	case i.Version == 4 && i.Type == 11, i.Version == 6 && i.Type == 3:
		b.WriteString(" time exceeded")
	case i.Version == 6 && i.Type == 2:
		fmt.Fprintf(b, " packet too big mtu %d", i.MTU)
	case i.Via.IsValid():
		fmt.Fprintf(b, " redirect %v to %v", i.About, i.Via)
	case i.Version == 6 && i.Type == 135 && i.Target.IsValid():
		fmt.Fprintf(b, " neighbor solicitation who has %v", i.Target)
	case i.Version == 6 && i.Type == 136 && i.Target.IsValid():
		fmt.Fprintf(b, " neighbor advertisement %v", i.Target)
	case i.Version == 6 && i.Type == 133:
		b.WriteString(" router solicitation")
	case i.Version == 6 && i.Type == 134:
		b.WriteString(" router advertisement")
	case i.Version == 6 && i.Type == 143:
		b.WriteString(" multicast listener report")
	default:
		fmt.Fprintf(b, " type %d code %d", i.Type, i.Code)
	}
	fmt.Fprintf(b, " len %d", length)
}

// Printable returns s with every rune that could disturb a terminal or a log
// (control and format characters, invalid UTF-8, spaces other than ' ') written
// as an escape of Go's.
func Printable(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[size:]
	}
	return b.String()
}
