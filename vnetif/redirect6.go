package vnetif

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Options of neighbour discovery (RFC 4861, section 4.6), and the size of a redirect
// without them (section 4.5).
const (
	optionTargetMAC  = 2
	optionRedirected = 4
	redirect6Size    = header.ICMPv6MinimumSize + 2*header.IPv6AddressSize
)

// redirect6 returns the redirect about an IPv6 packet, or nil (RFC 4861, section 8.2). Hosts know routers by their
// link-local addresses, so it comes from one, and a router that it names is called by one.
func (f *forwarding) redirect6(l *link, ip header.IPv6, now time.Time) []byte {
	if !l.linkLocal.IsValid() || !ip.IsValid(len(ip)) || ip.HopLimit() <= 1 || f.own[ip.DestinationAddress()] ||
		f.own[ip.SourceAddress()] || !redirectable(ip.NextHeader(), ip.Payload()) {
		return nil
	}
	from, to := netip.AddrFrom16(ip.SourceAddress().As16()), netip.AddrFrom16(ip.DestinationAddress().As16())
	if !from.IsGlobalUnicast() || !to.IsGlobalUnicast() { // it forwards no others
		return nil
	}
	via, ok := f.nextHop(ip.DestinationAddress(), l.nic)
	neighbour := slices.ContainsFunc(l.addrs, func(p netip.Prefix) bool { return p.Contains(from) })
	if !ok || !neighbour || via == from || via != to && !via.IsLinkLocalUnicast() || !f.redirects.allow(from, to, now) {
		return nil
	}
	return redirectPacket6(ip, l.linkLocal, via, f.neighbourMAC(l.nic, via))
}

// redirectable reports whether there may be a redirect about a packet with this payload:
// not about one that says itself which way it goes, a later fragment, an ICMP error or a
// redirect, and not about what is not understood.
func redirectable(next uint8, p []byte) bool {
	for {
		switch next {
		case uint8(header.IPv6HopByHopOptionsExtHdrIdentifier), uint8(header.IPv6RoutingExtHdrIdentifier):
			return false
		case uint8(header.IPv6DestinationOptionsExtHdrIdentifier):
			if len(p) < 8 || len(p) < 8+8*int(p[1]) {
				return false
			}
			next, p = p[0], p[8+8*int(p[1]):]
		case uint8(header.IPv6FragmentExtHdrIdentifier):
			if len(p) < 8 || binary.BigEndian.Uint16(p[2:])>>3 != 0 {
				return false
			}
			next, p = p[0], p[8:]
		case uint8(header.ICMPv6ProtocolNumber):
			const errors = 0x80 // types below it are
			return len(p) > 0 && p[0] >= errors && header.ICMPv6Type(p[0]) != header.ICMPv6RedirectMsg
		default:
			return true
		}
	}
}

// neighbourMAC returns the Ethernet address of an IPv6 neighbour, "" if the router does
// not know it.
func (f *forwarding) neighbourMAC(nic tcpip.NICID, a netip.Addr) tcpip.LinkAddress {
	known, _ := f.stack.Neighbors(nic, ipv6.ProtocolNumber)
	for _, n := range known {
		if n.Addr == tcpip.AddrFromSlice(a.AsSlice()) && n.State != stack.Unreachable {
			return n.LinkAddr
		}
	}
	return ""
}

// redirectPacket6 is the message about a packet, to its sender: a redirect (RFC 4861, section
// 4.5) to a target, with its Ethernet address if that is known, and with as much of the
// packet as there is room for, in units of 8 bytes.
func redirectPacket6(about header.IPv6, src, target netip.Addr, targetMAC tcpip.LinkAddress) []byte {
	size := header.IPv6MinimumSize + redirect6Size + 8
	if targetMAC != "" {
		size += 8
	}
	quoted := about[:min(header.IPv6MinimumSize+int(about.PayloadLength()), header.IPv6MinimumMTU-size)&^7]
	b := make([]byte, header.IPv6MinimumSize+header.ICMPv6MinimumSize, size+len(quoted))
	b = append(b, target.AsSlice()...)
	b = append(b, about.DestinationAddressSlice()...)
	if targetMAC != "" {
		b = append(append(b, optionTargetMAC, 1), targetMAC...)
	}
	b = append(b, optionRedirected, byte(1+len(quoted)/8), 0, 0, 0, 0, 0, 0)
	b = append(b, quoted...)
	ip := header.IPv6(b)
	ip.Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(ip) - header.IPv6MinimumSize), TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: header.NDPHopLimit,
		SrcAddr: tcpip.AddrFromSlice(src.AsSlice()), DstAddr: about.SourceAddress(),
	})
	icmp := header.ICMPv6(ip.Payload())
	icmp.SetType(header.ICMPv6RedirectMsg)
	icmp.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: ip.SourceAddress(), Dst: ip.DestinationAddress()}))
	return b
}
