package pcap

import (
	"encoding/binary"

	"github.com/gopacket/gopacket"
)

// Sum is the outcome of checking a checksum.
type Sum uint8

// What [Decoded.IPChecksum] and [Decoded.TransportChecksum] answer.
const (
	// SumAbsent: there is no checksum to check: none in the header, UDP's 0 over
	// IPv4, a fragment, or bytes missing from the capture.
	SumAbsent Sum = iota
	SumGood
	SumBad
	// SumPartial: the field holds the sum of the pseudo-header only, as the
	// kernel leaves it for a network card to complete. The bytes are the
	// sender's; the frame was captured on its way to the card.
	SumPartial
)

// String returns the outcome's word.
func (s Sum) String() string { return [...]string{"absent", "good", "bad", "partial"}[s] }

// IPChecksum checks the header checksum of an IPv4 packet in data, the frame
// that was decoded.
func (d *Decoded) IPChecksum(data []byte) Sum {
	if d.IP == nil || d.IP.Version != 4 {
		return SumAbsent
	}
	h := data[d.IP.Offset : d.IP.Offset+d.IP.HeaderLen]
	if gopacket.FoldChecksum(gopacket.ComputeChecksum(h, 0)) == 0 {
		return SumGood
	}
	return SumBad
}

// TransportChecksum checks the checksum of TCP (RFC 9293), UDP (RFC 768), ICMP
// (RFC 792) and ICMPv6 (RFC 4443) in data, the frame that was decoded. Those of
// fragments cannot be checked.
func (d *Decoded) TransportChecksum(data []byte) Sum {
	if d.IP == nil || d.IP.IsFragment() || d.Missing > 0 {
		return SumAbsent
	}
	start := d.transportOffset()
	if start < 0 {
		return SumAbsent
	}
	return checkTransport(d.IP, data[start:d.PayloadOffset+len(d.Payload)])
}

// transportOffset is where the transport header starts, or -1.
func (d *Decoded) transportOffset() int {
	switch {
	case d.TCP != nil:
		return d.TCP.Offset
	case d.UDP != nil:
		return d.UDP.Offset
	case d.ICMP != nil:
		return d.ICMP.Offset
	}
	return -1
}

// checksumAt is where a protocol keeps its checksum within its header, or -1.
func checksumAt(proto uint8) int {
	switch proto {
	case ProtoTCP:
		return 16
	case ProtoUDP:
		return 6
	case ProtoICMP, ProtoICMPv6:
		return 2
	}
	return -1
}

// checkTransport checks the sum of a whole transport segment with its header.
func checkTransport(ip *IP, segment []byte) Sum {
	at := checksumAt(ip.Protocol)
	if at < 0 || len(segment) < at+2 {
		return SumAbsent
	}
	have := binary.BigEndian.Uint16(segment[at:])
	if ip.Protocol == ProtoUDP && have == 0 {
		if ip.Version == 4 {
			return SumAbsent
		}
		return SumBad // RFC 8200, 8.1: not optional over IPv6
	}
	pseudo := pseudoHeader(ip, len(segment))
	if gopacket.FoldChecksum(gopacket.ComputeChecksum(segment, pseudo)) == 0 {
		return SumGood
	}
	// The kernel stores the folded pseudo-header sum, not complemented.
	if ip.Protocol != ProtoICMP && have == ^gopacket.FoldChecksum(pseudo) {
		return SumPartial
	}
	return SumBad
}

// pseudoHeader sums the pseudo-header of RFC 9293 (IPv4) and RFC 8200, 8.1
// (IPv6). ICMP over IPv4 has none.
func pseudoHeader(ip *IP, length int) uint32 {
	if ip.Protocol == ProtoICMP {
		return 0
	}
	var b [40]byte
	src, dst := ip.Src.AsSlice(), ip.Dst.AsSlice()
	n := copy(b[:], src)
	n += copy(b[n:], dst)
	binary.BigEndian.PutUint32(b[n:], uint32(length))
	b[n+7] = ip.Protocol
	return gopacket.ComputeChecksum(b[:n+8], 0)
}

// FillChecksum computes the checksum of a whole TCP, UDP, ICMP or ICMPv6 segment
// that ip carries and stores it. It reports whether the protocol has one.
func FillChecksum(ip *IP, segment []byte) bool {
	at := checksumAt(ip.Protocol)
	if at < 0 || len(segment) < at+2 {
		return false
	}
	binary.BigEndian.PutUint16(segment[at:], 0)
	sum := gopacket.FoldChecksum(gopacket.ComputeChecksum(segment, pseudoHeader(ip, len(segment))))
	if sum == 0 && ip.Protocol == ProtoUDP {
		sum = 0xffff // RFC 768: 0 means none
	}
	binary.BigEndian.PutUint16(segment[at:], sum)
	return true
}
