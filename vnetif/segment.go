package vnetif

import (
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// frames appends the frames of a packet to o: one, or as many as the segments that a
// TCP packet bigger than its MSS is cut into.
func (l *liveLink) frames(o *outgoing, pkt *stack.PacketBuffer) {
	gso := &pkt.GSOOptions
	rest := pieces(pkt.AsSlices())
	if gso.Type == stack.GSONone || gso.Type == stack.GSOGvisor || !gso.NeedsCsum {
		one := func(size int, from pieces) {
			frame := o.room(len(l.tags) + size)
			from.fill(l.head(frame, len(pkt.LinkHeader().Slice()), &from))
		}
		frames, ok := l.instead(pkt)
		if !ok {
			one(pkt.Size(), rest)
		}
		for _, frame := range frames {
			one(len(frame), pieces{frame})
		}
		return
	}
	var (
		linkLen = len(pkt.LinkHeader().Slice())
		ipLen   = len(pkt.NetworkHeader().Slice())
		tcpLen  = len(pkt.TransportHeader().Slice())
	)
	template := make([]byte, linkLen+ipLen+tcpLen)
	rest.fill(template)
	left := pkt.Data().Size()
	mss := int(gso.MSS)
	if mss <= 0 || mss > left {
		mss = left
	}
	for i, offset := 0, 0; i == 0 || left > 0; i++ {
		n := min(mss, left)
		left -= n
		frame := o.room(len(l.tags) + len(template) + n)
		from := pieces{template}
		packet := l.head(frame, linkLen, &from)
		from.fill(packet[:ipLen+tcpLen])
		rest.fill(packet[ipLen+tcpLen:])
		number(packet, ipLen, i, offset, left == 0)
		offset += n
	}
}

// pieces is a packet that lies in several pieces.
type pieces [][]byte

// fill copies from the front of the pieces into b, and removes what it copied.
func (p *pieces) fill(b []byte) {
	for len(b) > 0 && len(*p) > 0 {
		n := copy(b, (*p)[0])
		b = b[n:]
		if n == len((*p)[0]) {
			*p = (*p)[1:]
		} else {
			(*p)[0] = (*p)[0][n:]
		}
	}
}

// head writes a frame's Ethernet header, of so many bytes of from, with the host's
// tags, and returns the frame behind it.
func (l *liveLink) head(frame []byte, linkLen int, from *pieces) []byte {
	if len(l.tags) == 0 || linkLen < addressesTo {
		from.fill(frame[:linkLen])
		return frame[linkLen:]
	}
	from.fill(frame[:addressesTo])
	copy(frame[addressesTo:], l.tags)
	rest := frame[addressesTo+len(l.tags):]
	from.fill(rest[:linkLen-addressesTo])
	return rest[linkLen-addressesTo:]
}

// number makes segment i of a packet, which begins offset bytes behind its first, a
// packet of its own: lengths, identification, sequence number, flags and checksums.
// Its headers are those of the whole.
func number(packet []byte, ipLen, i, offset int, last bool) {
	tcp := header.TCP(packet[ipLen:])
	tcp.SetSequenceNumber(tcp.SequenceNumber() + uint32(offset))
	flags := tcp.Flags()
	if !last {
		flags &^= header.TCPFlagFin | header.TCPFlagPsh
	}
	if i > 0 {
		flags &^= header.TCPFlagCwr
	}
	tcp.SetFlags(uint8(flags))
	tcp.SetChecksum(0)
	var sum uint16
	if packet[0]>>4 == header.IPv4Version {
		ip := header.IPv4(packet)
		ip.SetTotalLength(uint16(len(packet)))
		ip.SetID(ip.ID() + uint16(i))
		ip.SetChecksum(0)
		ip.SetChecksum(^ip.CalculateChecksum())
		sum = header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(tcp)))
	} else {
		ip := header.IPv6(packet)
		ip.SetPayloadLength(uint16(len(packet) - header.IPv6MinimumSize))
		sum = header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(tcp)))
	}
	tcp.SetChecksum(^checksum.Checksum(tcp, sum))
}
