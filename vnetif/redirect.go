package vnetif

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/vnreplay/vnreplay/switch"
)

// redirects are the messages by which a router tells a neighbour of a better way, which
// gVisor sends none of: that what it sent could go at once to where the router sends it, on
// the network that it came from (RFC 792; RFC 1812, section 5.2.7.2). The packet is
// forwarded all the same. How often it says so is Linux's for IPv4 (ip_rt_send_redirect): again
// after 40 ms, 80 ms and so on, because a host may first have to find out the better way's
// address; and after nine times not any more, before it has been quiet for 20 s, because some
// hosts take no notice. For IPv6, where Linux has two buckets of tokens, it is the same here.
type redirects struct {
	mu   sync.Mutex
	told map[[2]netip.Addr]toldWay // by source and destination
}

type toldWay struct {
	times int
	last  time.Time
}

const (
	redirectLoad    = 20 * time.Millisecond
	redirectNumber  = 9
	redirectSilence = 20 * time.Second

	mostTold   = 1024 // sources and destinations
	mostQuoted = 576  // bytes of the message's whole packet (RFC 1812, section 4.3.2.3)
)

// redirect tells the sender of a frame without tags, which has come to the link, of a better
// way, if there is one.
func (f *forwarding) redirect(l *link, frame []byte, now time.Time) {
	if len(frame) < vswitch.HeaderLen || vswitch.MAC(frame[:6]).IsGroup() {
		return
	}
	protocol := tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(frame[12:]))
	var packet []byte
	var src, dst tcpip.Address
	switch protocol {
	case header.IPv4ProtocolNumber:
		if packet = f.redirect4(l, frame[vswitch.HeaderLen:], now); packet != nil {
			src, dst = header.IPv4(packet).SourceAddress(), header.IPv4(packet).DestinationAddress()
		}
	case header.IPv6ProtocolNumber:
		if packet = f.redirect6(l, frame[vswitch.HeaderLen:], now); packet != nil {
			src, dst = header.IPv6(packet).SourceAddress(), header.IPv6(packet).DestinationAddress()
		}
	}
	if packet == nil {
		return
	}
	// It goes to the host, and not to who brought the frame, which may be another router: so
	// the stack sends it, which finds out the Ethernet address.
	route, err := f.stack.FindRoute(l.nic, src, dst, protocol, false)
	if err != nil {
		return
	}
	defer route.Release()
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: int(route.MaxHeaderLength()), Payload: buffer.MakeWithData(packet),
	})
	defer pkt.DecRef()
	_ = route.WriteHeaderIncludedPacket(pkt) // one that finds no room is none
}

// redirect4 returns the redirect about an IPv4 packet, or nil.
func (f *forwarding) redirect4(l *link, ip header.IPv4, now time.Time) []byte {
	if !ip.IsValid(len(ip)) || !ip.IsChecksumValid() || ip.TTL() <= 1 || ip.FragmentOffset() != 0 || sourceRouted(ip) || isError(ip) {
		return nil
	}
	to := netip.AddrFrom4(ip.DestinationAddress().As4())
	if f.own[ip.DestinationAddress()] || to.IsMulticast() || to == limitedBroadcast {
		return nil
	}
	via, ok := f.nextHop(ip.DestinationAddress(), l.nic)
	from := netip.AddrFrom4(ip.SourceAddress().As4())
	i := slices.IndexFunc(l.addrs, func(p netip.Prefix) bool { return p.Contains(from) && p.Contains(via) && from != p.Addr() })
	if !ok || i < 0 || from == via || isNetwork(l.addrs[i], via) || !f.redirects.allow(from, to, now) {
		return nil
	}
	return redirectPacket4(ip, l.addrs[i].Addr(), via)
}

// nextHop returns to which neighbour the router sends what is for an address, if that is out
// of the interface.
func (f *forwarding) nextHop(to tcpip.Address, nic tcpip.NICID) (via netip.Addr, ok bool) {
	r, ok := routeTo(f.routes, to)
	switch {
	case !ok || r.NIC != nic:
		return netip.Addr{}, false
	case r.Gateway.Len() > 0:
		to = r.Gateway
	}
	return netipOf(to), true
}

// isNetwork reports whether an address is the one for broadcasts on a network, or its own.
func isNetwork(p netip.Prefix, a netip.Addr) bool {
	if p.Bits() > 30 {
		return false
	}
	b := a.As4()
	host, ones := binary.BigEndian.Uint32(b[:])<<p.Bits(), ^uint32(0)<<p.Bits()
	return host == 0 || host == ones
}

// sourceRouted reports whether a packet says itself which way it goes (RFC 791: options 131
// and 137).
func sourceRouted(ip header.IPv4) bool {
	for o := ip.Options(); len(o) > 0; {
		switch {
		case o[0] == 0:
			return false
		case o[0] == 131 || o[0] == 137:
			return true
		case o[0] == 1:
			o = o[1:]
		case len(o) < 2 || int(o[1]) < 2 || int(o[1]) > len(o):
			return true // not understood: better no message
		default:
			o = o[o[1]:]
		}
	}
	return false
}

// isError reports whether a packet is an ICMP error: about these there are none.
func isError(ip header.IPv4) bool {
	if ip.TransportProtocol() != header.ICMPv4ProtocolNumber {
		return false
	}
	icmp := header.ICMPv4(ip.Payload())
	if len(icmp) < header.ICMPv4MinimumSize {
		return true
	}
	switch icmp.Type() {
	case header.ICMPv4DstUnreachable, header.ICMPv4SrcQuench, header.ICMPv4Redirect, header.ICMPv4TimeExceeded, header.ICMPv4ParamProblem:
		return true
	}
	return false
}

// allow reports whether the source may be told now of the better way to a destination, and
// notes that it is.
func (r *redirects) allow(from, to netip.Addr, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	pair := [2]netip.Addr{from, to}
	way, known := r.told[pair]
	switch since := now.Sub(way.last); {
	case !known || since >= redirectSilence:
		way.times = 0
	case way.times >= redirectNumber:
		r.told[pair] = toldWay{way.times, now} // it has not been quiet
		return false
	case since < redirectLoad<<way.times:
		return false
	}
	if !known && len(r.told) >= mostTold {
		for p, way := range r.told {
			if now.Sub(way.last) >= redirectSilence {
				delete(r.told, p)
			}
		}
		if len(r.told) >= mostTold {
			return false
		}
	}
	if r.told == nil {
		r.told = map[[2]netip.Addr]toldWay{}
	}
	r.told[pair] = toldWay{way.times + 1, now}
	return true
}

// redirectPacket4 is the message about a packet, to its sender: a redirect for the host (RFC
// 792, type 5, code 1), with as much of the packet as there is room for.
func redirectPacket4(about header.IPv4, src, via netip.Addr) []byte {
	const headers = header.IPv4MinimumSize + header.ICMPv4MinimumSize
	quoted := about[:min(int(about.TotalLength()), mostQuoted-headers)]
	ip := header.IPv4(append(make([]byte, headers, headers+len(quoted)), quoted...))
	ip.Encode(&header.IPv4Fields{
		TOS: 0xc0, TotalLength: uint16(len(ip)), Flags: header.IPv4FlagDontFragment, TTL: 64, Protocol: uint8(header.ICMPv4ProtocolNumber),
		SrcAddr: tcpip.AddrFromSlice(src.AsSlice()), DstAddr: about.SourceAddress(),
	})
	icmp := header.ICMPv4(ip.Payload())
	icmp.SetType(header.ICMPv4Redirect)
	icmp.SetCode(1)
	copy(icmp[4:8], via.AsSlice())
	icmp.SetChecksum(^checksum.Checksum(icmp, 0))
	return ip // whose header's checksum the stack fills in
}
