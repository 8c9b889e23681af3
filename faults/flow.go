package faults

import (
	"encoding/binary"

	"github.com/vnreplay/vnreplay/switch"
)

// flow is what tells conversations apart, one way: as five words, source (16
// bytes, an IPv4 or Ethernet address in the first), destination (the same), and
//
//	kind<<56 | protocol<<48 | EtherType<<32 | source port<<16 | destination port
//
// Words of addresses are read big-endian. VLAN tags are skipped. Ports are those
// of TCP, UDP, UDP-Lite, SCTP and DCCP; for ICMP and ICMPv6 echo the identifier
// stands as the source port. A fragment other than the first has no ports, nor
// has a packet that ends before them. What is neither IPv4 nor IPv6, or too short
// to be, goes by EtherType (0 for a length) and Ethernet addresses.
type flow [5]uint64

const (
	kindEthernet = iota
	kindIPv4
	kindIPv6
)

// IP protocol numbers (IANA).
const (
	protoHopByHop    = 0
	protoICMP        = 1
	protoIGMP        = 2
	protoTCP         = 6
	protoUDP         = 17
	protoDCCP        = 33
	protoRouting     = 43
	protoFragment    = 44
	protoAuth        = 51
	protoICMPv6      = 58
	protoDestination = 60
	protoSCTP        = 132
	protoUDPLite     = 136
)

// flowOf reads the flow of a frame of at least [vswitch.HeaderLen] bytes.
func flowOf(data []byte) flow {
	n := linkHeaderLen(data)
	etherType := binary.BigEndian.Uint16(data[n-2:])
	packet := data[n:]
	switch {
	case etherType == typeIPv4 && len(packet) >= 20 && packet[0]>>4 == 4:
		return flowOfIPv4(packet)
	case etherType == typeIPv6 && len(packet) >= 40 && packet[0]>>4 == 6:
		return flowOfIPv6(packet)
	}
	if etherType < typeFirst {
		etherType = 0
	}
	dst, src := vswitch.MAC(data), vswitch.MAC(data[6:])
	return flow{mac48(src), 0, mac48(dst), 0, kindEthernet<<56 | uint64(etherType)<<32}
}

func mac48(m vswitch.MAC) uint64 {
	return uint64(binary.BigEndian.Uint16(m[:]))<<48 | uint64(binary.BigEndian.Uint32(m[2:]))<<16
}

// flowOfIPv4 reads RFC 791 headers.
func flowOfIPv4(packet []byte) flow {
	protocol := packet[9]
	f := flow{
		uint64(binary.BigEndian.Uint32(packet[12:])) << 32, 0,
		uint64(binary.BigEndian.Uint32(packet[16:])) << 32, 0,
		kindIPv4<<56 | uint64(protocol)<<48,
	}
	headerLen := int(packet[0]&0x0f) * 4
	fragmentOffset := binary.BigEndian.Uint16(packet[6:]) & 0x1fff
	if headerLen >= 20 && headerLen <= len(packet) && fragmentOffset == 0 {
		f[4] |= ports(protocol, packet[headerLen:])
	}
	return f
}

// flowOfIPv6 reads RFC 8200 headers. The protocol is that after the extension
// headers which can be read.
func flowOfIPv6(packet []byte) flow {
	c := ipv6Upper(packet)
	word := func(at int) uint64 { return binary.BigEndian.Uint64(packet[at:]) }
	f := flow{word(8), word(16), word(24), word(32), kindIPv6<<56 | uint64(c.protocol)<<48}
	if !c.later {
		f[4] |= ports(c.protocol, packet[c.upper:])
	}
	return f
}

// ports reads the ports at the start of a transport header.
func ports(protocol byte, header []byte) uint64 {
	switch {
	case hasPorts(protocol):
		if len(header) >= 4 {
			return uint64(binary.BigEndian.Uint32(header))
		}
	case protocol == protoICMP, protocol == protoICMPv6:
		if len(header) >= 6 && isEcho(protocol, header[0]) {
			return uint64(binary.BigEndian.Uint16(header[4:])) << 16
		}
	}
	return 0
}

// hasPorts reports whether the headers of an IP protocol begin with two ports.
func hasPorts(protocol byte) bool {
	switch protocol {
	case protoTCP, protoUDP, protoUDPLite, protoSCTP, protoDCCP:
		return true
	}
	return false
}

// isEcho reports whether an ICMP type is an echo request or reply: RFC 792, RFC 4443.
func isEcho(protocol, icmpType byte) bool {
	if protocol == protoICMP {
		return icmpType == 8 || icmpType == 0
	}
	return icmpType == 128 || icmpType == 129
}

// hash is SipHash-2-4 of the flow's words.
func (k sipKey) hash(f flow) uint64 {
	s := k.start()
	for _, w := range f {
		s = s.word(w)
	}
	return s.sum(uint64(len(f)))
}
