package faults

import (
	"encoding/binary"
	"hash/crc32"
)

// fixChecksums makes the checksums of a frame what its receiver computes: that of
// an IPv4 header (RFC 791), and those of TCP (RFC 9293), UDP (RFC 768), ICMP (RFC
// 792), ICMPv6 (RFC 4443), IGMP (RFC 9776) and SCTP (RFC 9260) behind IPv4 or
// IPv6 (RFC 8200, with extension headers) and VLAN tags. A UDP checksum of 0 over
// IPv4, which means none, stays. Bytes behind the end of the IP packet, where
// short frames are padded, do not count.
//
// Of a fragment only the IPv4 header's checksum is made right: that of its
// transport protocol also covers bytes in other frames. What cannot be found (an
// IP or UDP length beyond the frame, a header cut short, a routing header of an
// unknown type with hops left) is left alone, and so are tunnels' inner headers.
func fixChecksums(data []byte) {
	h := headersOf(data)
	if h.version == 4 && h.headerEnd != 0 {
		putChecksum(data[h.link:h.headerEnd], 10, 0)
	}
	if !h.whole || h.fragment || h.upper > h.end {
		return
	}
	segment := data[h.upper:h.end]
	switch {
	case h.carries(protoTCP, 0):
		h.fixWithPseudoHeader(segment, 16)
	case h.carries(protoUDP, 0):
		h.fixUDP(segment)
	case h.carries(protoICMPv6, 6):
		h.fixWithPseudoHeader(segment, 2)
	case h.carries(protoICMP, 4), h.carries(protoIGMP, 4):
		if len(segment) >= 4 {
			putChecksum(segment, 2, 0)
		}
	case h.carries(protoSCTP, 0):
		fixCRC(segment)
	}
}

// fixUDP knows UDP's own length, which can be less than that of the IP payload,
// and the checksum that means none: RFC 768; RFC 8200, section 8.1.
func (h *headers) fixUDP(segment []byte) {
	const at = 6
	if len(segment) < 8 {
		return
	}
	length := int(binary.BigEndian.Uint16(segment[4:]))
	if length < 8 || length > len(segment) {
		return
	}
	if h.version == 4 && binary.BigEndian.Uint16(segment[at:]) == 0 {
		return
	}
	h.fixWithPseudoHeader(segment[:length], at)
	if binary.BigEndian.Uint16(segment[at:]) == 0 {
		binary.BigEndian.PutUint16(segment[at:], 0xffff)
	}
}

// fixWithPseudoHeader sets the checksum at segment[at:] of a transport protocol
// that counts the addresses in: RFC 9293, section 3.1; RFC 8200, section 8.1.
func (h *headers) fixWithPseudoHeader(segment []byte, at int) {
	if len(segment) < at+2 || h.final == 0 {
		return
	}
	source, size := h.link+12, 4
	if h.version == 6 {
		source, size = h.link+8, 16
	}
	pseudo := add16(0, h.data[source:source+size])
	pseudo = add16(pseudo, h.data[h.final:h.final+size])
	pseudo += uint64(h.protocol) + uint64(len(segment))
	putChecksum(segment, at, pseudo)
}

// putChecksum sets b[at:at+2] to the checksum of b, with sum counted in: RFC 1071.
func putChecksum(b []byte, at int, sum uint64) {
	b[at], b[at+1] = 0, 0
	sum = add16(sum, b)
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(b[at:], ^uint16(sum))
}

// add16 adds b to sum as 16-bit words, the last one filled up with a zero byte.
func add16(sum uint64, b []byte) uint64 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fixCRC sets the CRC32c of an SCTP packet, of which the lowest byte stands
// first: RFC 9260, section 6.8 and appendix A.
func fixCRC(packet []byte) {
	if len(packet) < 12 {
		return
	}
	field := packet[8:12]
	clear(field)
	binary.LittleEndian.PutUint32(field, crc32.Checksum(packet, castagnoli))
}
