package vnetif

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/header/parse"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/vnreplay/vnreplay/switch"
)

// forwarding is what a router's links do about things in which gVisor's forwarding
// is no router's. It gives every TCP segment and UDP datagram that it forwards a new
// checksum, which would make those that were corrupted before look good; unless the
// network card does checksums: so the link says that it does, and does those of the
// packets that the router sends itself. It forwards IPv4 packets of which one hop
// is left with none; the link takes it away on arrival. And its "packet too big" (RFC
// 4443, section 3.2) names an MTU of 0, of which its own TCP concludes segments of one
// byte; the link fills in that of the interface which leads on. When it cuts what is a
// fragment already, its pieces begin at 0 again; the link cuts these on arrival. It forwards
// what came to all stations, and what must not leave its network; the link does not give it
// that. Redirects are made by it altogether.
type forwarding struct {
	own    map[tcpip.Address]bool // the router's addresses
	routes []tcpip.Route          // the first that fits is taken
	mtus   []uint32               // of the interfaces, in their order
	links  []*link                // the interfaces'
	stack  *stack.Stack

	redirects redirects
	fragments ownFragments
	refused   atomic.Uint64 // packets that were not given to the stack
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

// refuses reports whether a frame without tags has a packet for somebody else that a router
// may not forward, or cannot. It says so to nobody, but counts it. Not forwarded is what is
// for no address at all (RFC 1812, section 5.3.7; RFC 4291, section 2.5.2), what has to do
// with IPv4's link-local addresses (RFC 3927, section 2.7; gVisor knows of IPv6's itself),
// what was sent to all stations by its Ethernet address but to one by IP (RFC 1812, section
// 5.3.4), because that would double what has a way already, and what gVisor would spoil.
func (f *forwarding) refuses(frame []byte) bool {
	if len(frame) < vswitch.HeaderLen {
		return false
	}
	p := frame[vswitch.HeaderLen:]
	var src, dst netip.Addr
	var spoils bool
	switch tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(frame[12:])) {
	case header.IPv4ProtocolNumber:
		ip := header.IPv4(p)
		if !ip.IsValid(len(p)) {
			return false
		}
		src, dst, spoils = netipOf(ip.SourceAddress()), netipOf(ip.DestinationAddress()), spoils4(ip)
	case header.IPv6ProtocolNumber:
		ip := header.IPv6(p)
		if !ip.IsValid(len(p)) {
			return false
		}
		src, dst, spoils = netipOf(ip.SourceAddress()), netipOf(ip.DestinationAddress()), spoils6(ip)
	default:
		return false
	}
	if f.own[tcpip.AddrFromSlice(dst.AsSlice())] || dst.IsMulticast() || dst == limitedBroadcast {
		return false
	}
	no := spoils || dst.IsUnspecified() || dst.Is4() && (thisNetwork.Contains(dst) || src.IsLinkLocalUnicast() || dst.IsLinkLocalUnicast()) ||
		vswitch.MAC(frame[:6]).IsGroup() && !f.isBroadcast(dst)
	if no {
		f.refused.Add(1)
	}
	return no
}

// spoils4 reports whether gVisor would forward less than an IPv4 packet; see surplus.
func spoils4(ip header.IPv4) bool {
	return ip.TransportProtocol() == header.UDPProtocolNumber && !ip.More() && ip.FragmentOffset() == 0 && surplus(ip.Payload())
}

// spoils6 reports whether gVisor would forward less than an IPv6 packet (see surplus), or
// panic: it does when the headers, with all extensions, are longer than the least MTU (ipv6.go,
// handleForwardingError, as of 20260905035102), as which nobody may send them (RFC 7112,
// section 5).
func spoils6(ip header.IPv6) bool {
	switch tcpip.TransportProtocolNumber(ip.NextHeader()) {
	case header.TCPProtocolNumber, header.ICMPv6ProtocolNumber:
		return false
	case header.UDPProtocolNumber:
		return surplus(ip.Payload())
	}
	whole := ip[:header.IPv6MinimumSize+int(ip.PayloadLength())]
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(whole)})
	defer pkt.DecRef()
	protocol, _, _, _, ok := parse.IPv6(pkt) // no protocol of a fragment
	headers := len(pkt.NetworkHeader().Slice())
	return ok && (headers > header.IPv6MinimumMTU || protocol == header.UDPProtocolNumber && surplus(header.UDP(whole[headers:])))
}

// surplus reports whether there is more behind a UDP datagram in its packet (RFC 9868 calls it
// surplus area). gVisor takes it away when it forwards the packet, but leaves the packet's length
// as it was.
func surplus(udp header.UDP) bool {
	return len(udp) >= header.UDPMinimumSize && int(udp.Length()) >= header.UDPMinimumSize && int(udp.Length()) < len(udp)
}

var (
	limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	thisNetwork      = netip.PrefixFrom(netip.IPv4Unspecified(), 8)
)

// isBroadcast reports whether an IPv4 address is that of all stations on a network of the router's.
func (f *forwarding) isBroadcast(a netip.Addr) bool {
	return a.Is4() && slices.ContainsFunc(f.links, func(l *link) bool {
		return slices.ContainsFunc(l.addrs, func(p netip.Prefix) bool { return p.Contains(a) && isNetwork(p, a) })
	})
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

// leaves returns the frames without tags that leave now that the stack sends one. If the
// router itself sends it, its transport checksum is filled in; see ownFragments for those that
// are fragments.
func (f *forwarding) leaves(frame []byte) [][]byte {
	if len(frame) >= vswitch.HeaderLen {
		f.fill(frame)
	}
	return f.fragments.whole(frame, f.own)
}

// fill fills in the transport checksum of a frame, if the router itself sends it and it is no
// fragment.
func (f *forwarding) fill(frame []byte) {
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
