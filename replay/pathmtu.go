package replay

import (
	"encoding/binary"
	"net/netip"

	"github.com/vnreplay/vnreplay/pcap"
)

// tooBig is a captured ICMP error to a sender: a packet was longer than the MTU of
// the next hop (RFC 1191, RFC 8201).
type tooBig struct {
	frame int
	from  netip.Addr // the router, or the other end
	mtu   int
	seq   uint32 // of the segment that was
}

// minQuote is what an ICMP error quotes of a TCP header at least: the ports and the
// sequence number (RFC 792).
const minQuote = 8

// isTooBig reports whether an ICMP message says that a packet was too big.
func isTooBig(i *pcap.ICMP) bool {
	return i.Version == 4 && i.Type == 3 && i.Code == 4 || i.Version == 6 && i.Type == 2
}

// tooBig takes an ICMP error into the conversation of the segment that it quotes.
func (a *analyser) tooBig(d *pcap.Decoded, f *Frame) {
	in := pcap.DecodeLink(pcap.LinkRaw, d.Payload)
	if in.IP == nil || in.IP.Protocol != pcap.ProtoTCP || in.IP.FragOffset > 0 || len(d.Payload) < in.IP.HeaderLen+minQuote || d.ICMP.Offset+8 > len(f.Data) {
		a.ignore("other ICMP", f)
		return
	}
	tcp, mtu := d.Payload[in.IP.HeaderLen:], binary.BigEndian.Uint32(f.Data[d.ICMP.Offset+4:])
	if d.ICMP.Version == 4 {
		mtu &= 0xffff
	}
	src := netip.AddrPortFrom(in.IP.Src, binary.BigEndian.Uint16(tcp))
	c, from := a.conversation(TCP, src, netip.AddrPortFrom(in.IP.Dst, binary.BigEndian.Uint16(tcp[2:])))
	if c == nil || mtu == 0 || mtu > 65535 || in.IP.Src != d.IP.Dst {
		a.ignore("other ICMP", f) // an MTU of 0 is that of routers before RFC 1191
		return
	}
	c.Last = max(c.Last, f.Number)
	s := c.Streams[from]
	s.tooBig = append(s.tooBig, tooBig{f.Number, d.IP.Src, int(mtu), binary.BigEndian.Uint32(tcp[4:])})
}

// narrow reports whether a segment of the live side is too big for its path, as it
// was in the capture from some place of the stream on. Then it is lost, and the
// live side is told so.
func (p *tcpPeer) narrow(d *pcap.Decoded, data []byte) bool {
	if len(p.in.tooBig) == 0 || !p.open || d.IP.TotalLen > len(data)-d.IP.Offset {
		return false
	}
	end := near(p.got, d.TCP.Seq-p.liveISN) + int64(len(d.Payload))
	for len(p.in.tooBig) > p.narrowed {
		if e := p.in.tooBig[p.narrowed]; end <= near(p.got, e.seq-p.in.isn) || d.IP.TotalLen <= e.mtu {
			break
		}
		p.narrowed++
	}
	if p.narrowed == 0 {
		return false
	}
	e := p.in.tooBig[p.narrowed-1]
	if d.IP.TotalLen <= e.mtu {
		return false
	}
	p.e.report.count("path-mtu")
	message, proto := []byte{3, 4, 0, 0, 0, 0, 0, 0}, uint8(pcap.ProtoICMP)
	if d.IP.Version == 6 {
		message[0], message[1], proto = 2, 0, pcap.ProtoICMPv6
	}
	binary.BigEndian.PutUint32(message[4:], uint32(e.mtu))
	packet := data[d.IP.Offset : d.IP.Offset+d.IP.TotalLen]
	message = append(message, packet[:min(len(packet), maxQuote)]...)
	if frame, err := pcap.BuildIP(p.host.mac, p.st.mac, e.from, p.remote.Addr(), proto, 64, message); err == nil {
		p.st.send(frame)
	}
	return true
}
