package vnetif

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/vnreplay/vnreplay/switch"
)

// forwarding is what a router's links do about three things in which gVisor's forwarding
// is no router's. It gives every TCP segment and UDP datagram that it forwards a new
// checksum, which would make those that were corrupted before look good; unless the
// network card does checksums: so the link says that it does, and does those of the
// packets that the router sends itself. It forwards IPv4 packets of which one hop
// is left with none; the link takes it away on arrival. And its "packet too big" (RFC
// 4443, section 3.2) names an MTU of 0, of which its own TCP concludes segments of one
// byte; the link fills in that of the interface which leads on. When it cuts what is a
// fragment already, its pieces begin at 0 again; the link cuts these on arrival. Redirects
// are made by it altogether.
type forwarding struct {
	own    map[tcpip.Address]bool // the router's addresses
	routes []tcpip.Route          // the first that fits is taken
	mtus   []uint32               // of the interfaces, in their order
	links  []*link                // the interfaces'
	stack  *stack.Stack

	redirects redirects
}

// joins takes in the link of an interface. One with IPv6 has a link-local address (RFC 4291,
// section 2.1): of those it was given the first, or one made of its Ethernet address.
func (f *forwarding) joins(l *link) {
	f.links = append(f.links, l)
	ipv6 := func(p netip.Prefix) bool { return p.Addr().Is6() }
	given := slices.IndexFunc(l.addrs, func(p netip.Prefix) bool { return ipv6(p) && p.Addr().IsLinkLocalUnicast() })
	switch {
	case given >= 0:
		l.linkLocal = l.addrs[given].Addr()
	case slices.ContainsFunc(l.addrs, ipv6):
		l.linkLocal = netip.AddrFrom16(header.LinkLocalAddr(l.mac).As16())
	default:
		return
	}
	f.own[tcpip.AddrFrom16(l.linkLocal.As16())] = true
}

// arrives is told of a frame without tags before the stack is.
func (f *forwarding) arrives(frame []byte) {
	if len(frame) < vswitch.HeaderLen+header.IPv4MinimumSize || binary.BigEndian.Uint16(frame[12:]) != uint16(header.IPv4ProtocolNumber) {
		return
	}
	ip := header.IPv4(frame[vswitch.HeaderLen:])
	if ip.TTL() != 1 || !ip.IsValid(len(ip)) || !ip.IsChecksumValid() || f.own[ip.DestinationAddress()] ||
		header.IsV4MulticastAddress(ip.DestinationAddress()) || vswitch.MAC(frame[:6]).IsGroup() {
		return
	}
	ip.SetTTL(0)
	ip.SetChecksum(0)
	ip.SetChecksum(^ip.CalculateChecksum())
}

// leaves fills in the transport checksum of a frame without tags, if the router itself
// sends it and it is no fragment.
func (f *forwarding) leaves(frame []byte) {
	if len(frame) < vswitch.HeaderLen {
		return
	}
	p := frame[vswitch.HeaderLen:]
	switch tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(frame[12:])) {
	case header.IPv4ProtocolNumber:
		ip := header.IPv4(p)
		if ip.IsValid(len(p)) && f.own[ip.SourceAddress()] && ip.FragmentOffset() == 0 && !ip.More() {
			fillChecksum(ip.TransportProtocol(), ip.SourceAddress(), ip.DestinationAddress(), ip.Payload())
		}
	case header.IPv6ProtocolNumber:
		ip := header.IPv6(p)
		if ip.IsValid(len(p)) && f.own[ip.SourceAddress()] {
			f.fillMTU(ip)
			fillChecksum(tcpip.TransportProtocolNumber(ip.NextHeader()), ip.SourceAddress(), ip.DestinationAddress(), ip.Payload())
		}
	}
}

// fillMTU gives a "packet too big" of the router's own the MTU that it lacks.
func (f *forwarding) fillMTU(ip header.IPv6) {
	icmp := header.ICMPv6(ip.Payload())
	if tcpip.TransportProtocolNumber(ip.NextHeader()) != header.ICMPv6ProtocolNumber || len(icmp) < header.ICMPv6PacketTooBigMinimumSize+header.IPv6MinimumSize ||
		icmp.Type() != header.ICMPv6PacketTooBig || icmp.MTU() != 0 {
		return
	}
	mtu := f.mtuTowards(header.IPv6(icmp[header.ICMPv6PacketTooBigMinimumSize:]).DestinationAddress())
	icmp.SetMTU(mtu)
	icmp.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: ip.SourceAddress(), Dst: ip.DestinationAddress()}))
}

// mtuTowards returns the MTU of the interface that leads to an address, 0 if none does.
func (f *forwarding) mtuTowards(a tcpip.Address) uint32 {
	for _, r := range f.routes {
		if i := int(r.NIC - nicOf(0)); r.Destination.Contains(a) && i < len(f.mtus) {
			return f.mtus[i]
		}
	}
	return 0
}

// pieces cuts an IPv4 fragment in a frame without tags, which has to be cut to go on, into
// frames with fragments that need not be (RFC 791, section 3.2). Others it returns as they
// are.
func (f *forwarding) pieces(frame []byte) [][]byte {
	whole := [][]byte{frame}
	if len(frame) < vswitch.HeaderLen+header.IPv4MinimumSize || binary.BigEndian.Uint16(frame[12:]) != uint16(header.IPv4ProtocolNumber) {
		return whole
	}
	ip := header.IPv4(frame[vswitch.HeaderLen:])
	if !ip.IsValid(len(ip)) || !ip.IsChecksumValid() || ip.HeaderLength() > header.IPv4MinimumSize || // options: some would be in the first only
		!ip.More() && ip.FragmentOffset() == 0 || ip.Flags()&header.IPv4FlagDontFragment != 0 ||
		ip.TTL() <= 1 || f.own[ip.DestinationAddress()] {
		return whole
	}
	mtu := int(f.mtuTowards(ip.DestinationAddress()))
	if mtu == 0 || int(ip.TotalLength()) <= mtu {
		return whole
	}
	const headers = vswitch.HeaderLen + header.IPv4MinimumSize
	most := (mtu - header.IPv4MinimumSize) &^ 7
	var out [][]byte
	for rest, at := ip.Payload(), ip.FragmentOffset(); len(rest) > 0; {
		n := min(most, len(rest))
		b := append(append(make([]byte, 0, headers+n), frame[:headers]...), rest[:n]...)
		rest = rest[n:]
		piece := header.IPv4(b[vswitch.HeaderLen:])
		piece.SetTotalLength(uint16(len(piece)))
		flags := ip.Flags()
		if len(rest) > 0 {
			flags |= header.IPv4FlagMoreFragments
		}
		piece.SetFlagsFragmentOffset(flags, at)
		piece.SetChecksum(0)
		piece.SetChecksum(^piece.CalculateChecksum())
		out = append(out, b)
		at += uint16(n)
	}
	return out
}

// fillChecksum computes the checksum of a TCP segment or a UDP datagram.
func fillChecksum(protocol tcpip.TransportProtocolNumber, src, dst tcpip.Address, p []byte) {
	at := 0
	switch {
	case protocol == header.TCPProtocolNumber && len(p) >= header.TCPMinimumSize:
		at = header.TCPChecksumOffset
	case protocol == header.UDPProtocolNumber && len(p) >= header.UDPMinimumSize:
		at = 6
	default:
		return
	}
	binary.BigEndian.PutUint16(p[at:], 0)
	sum := ^checksum.Checksum(p, header.PseudoHeaderChecksum(protocol, src, dst, uint16(len(p))))
	if sum == 0 && protocol == header.UDPProtocolNumber {
		sum = 0xffff // 0 says that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(p[at:], sum)
}
