package vnetif

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/vnreplay/vnreplay/switch"
)

// following is how a host heeds redirects (RFC 1122, section 3.2.2.2; RFC 4861, section 8),
// of which gVisor's stack takes no notice. That keeps to the gateway with which a connection
// began; so it is the link that changes to whom the frames go, as soon as the better way's
// Ethernet address is known, also those of connections that are there already. After a while,
// as Linux does it for IPv4, a better way is forgotten: the gateway will tell of it again.
type following struct {
	link   *link
	stack  *stack.Stack
	routes []tcpip.Route // the first that fits is taken

	mu   sync.Mutex // may be taken with locks of the stack held, and not the other way round
	ways learned[*betterWay]
}

// betterWay is the next hop that a redirect named, for one destination.
type betterWay struct {
	via tcpip.Address
	mac tcpip.LinkAddress // "" while it is not known
}

const followFor = 5 * time.Minute

// redirection is what a redirect says: that from is not the best router to a destination.
type redirection struct {
	from, self, to, via tcpip.Address
}

// hears is told of a frame without tags before the stack is.
func (f *following) hears(frame []byte) {
	r, ok := readRedirect(frame)
	if !ok || !f.believes(r) {
		return
	}
	f.mu.Lock()
	if hop, ok := f.firstHop(r.to); !ok || hop != r.from || hop == r.to {
		f.mu.Unlock()
		return // only who is asked to forward may say that another would be better
	}
	way := &betterWay{via: r.via}
	noted := f.ways.put(r.to, way)
	f.mu.Unlock()
	if !noted {
		return
	}
	// Until there is an answer the frames take the old way.
	protocol := protocolOf(netipOf(r.via))
	_ = f.stack.GetLinkAddress(f.link.nic, r.via, r.self, protocol, func(found stack.LinkResolutionResult) {
		f.mu.Lock()
		defer f.mu.Unlock()
		switch now, _ := f.ways.get(r.to); {
		case now != way:
		case found.Err != nil:
			f.ways.forget(r.to)
		default:
			way.mac = found.LinkAddress
		}
	})
}

// believes reports whether a redirect is one for this interface, to a way that it can take.
func (f *following) believes(r redirection) bool {
	via, to := netipOf(r.via), netipOf(r.to)
	if !f.link.hasAddr(netipOf(r.self)) || f.link.hasAddr(via) || !to.IsGlobalUnicast() {
		return false
	}
	if via.Is6() {
		return via.IsLinkLocalUnicast() || via == to
	}
	return slices.ContainsFunc(f.link.addrs, func(p netip.Prefix) bool { return p.Contains(via) && !isNetwork(p, via) })
}

// firstHop returns the gateway to which the host sends what is for an address; f.mu is held.
func (f *following) firstHop(to tcpip.Address) (gateway tcpip.Address, ok bool) {
	if way, ok := f.ways.get(to); ok {
		return way.via, true
	}
	r, ok := routeTo(f.routes, to)
	return r.Gateway, ok && r.Gateway.Len() > 0
}

// leads gives a packet with its Ethernet header, which is about to leave, to the better way.
func (f *following) leads(pkt *stack.PacketBuffer) {
	if !f.ways.some.Load() {
		return
	}
	var to tcpip.Address
	switch ip := pkt.NetworkHeader().Slice(); {
	case pkt.NetworkProtocolNumber == header.IPv4ProtocolNumber && len(ip) >= header.IPv4MinimumSize:
		to = header.IPv4(ip).DestinationAddress()
	case pkt.NetworkProtocolNumber == header.IPv6ProtocolNumber && len(ip) >= header.IPv6MinimumSize:
		to = header.IPv6(ip).DestinationAddress()
	default:
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if way, ok := f.ways.get(to); ok && way.mac != "" {
		copy(pkt.LinkHeader().Slice(), way.mac)
	}
}

// readRedirect returns what a frame without tags says, if it is a redirect and well formed.
func readRedirect(frame []byte) (r redirection, ok bool) {
	if len(frame) < vswitch.HeaderLen || vswitch.MAC(frame[:6]).IsGroup() {
		return r, false
	}
	p := frame[vswitch.HeaderLen:]
	switch tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(frame[12:])) {
	case header.IPv4ProtocolNumber:
		return readRedirect4(p)
	case header.IPv6ProtocolNumber:
		return readRedirect6(p)
	}
	return r, false
}

// readRedirect4 reads RFC 792's. Those for a network are taken for ones for the host.
func readRedirect4(ip header.IPv4) (r redirection, ok bool) {
	if len(ip) < header.IPv4MinimumSize || ip.TransportProtocol() != header.ICMPv4ProtocolNumber || !ip.IsValid(len(ip)) ||
		!ip.IsChecksumValid() || ip.More() || ip.FragmentOffset() != 0 {
		return r, false
	}
	const mostCode = 3
	icmp := header.ICMPv4(ip.Payload())
	if len(icmp) < header.ICMPv4MinimumSize+header.IPv4MinimumSize || icmp.Type() != header.ICMPv4Redirect || icmp.Code() > mostCode ||
		checksum.Checksum(icmp, 0) != 0xffff {
		return r, false
	}
	about := header.IPv4(icmp[header.ICMPv4MinimumSize:])
	self := ip.DestinationAddress()
	return redirection{
		from: ip.SourceAddress(), self: self, to: about.DestinationAddress(), via: tcpip.AddrFrom4([4]byte(icmp[4:8])),
	}, header.IPVersion(about) == header.IPv4Version && about.SourceAddress() == self
}

// readRedirect6 reads RFC 4861's, and checks what section 8.1 says.
func readRedirect6(ip header.IPv6) (r redirection, ok bool) {
	if len(ip) < header.IPv6MinimumSize || ip.NextHeader() != uint8(header.ICMPv6ProtocolNumber) || !ip.IsValid(len(ip)) ||
		ip.HopLimit() != header.NDPHopLimit || !header.IsV6LinkLocalUnicastAddress(ip.SourceAddress()) {
		return r, false
	}
	icmp := header.ICMPv6(ip.Payload())
	if len(icmp) < redirect6Size || icmp.Type() != header.ICMPv6RedirectMsg || icmp.Code() != 0 ||
		checksum.Checksum(icmp, header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(icmp)))) != 0xffff {
		return r, false
	}
	for o := icmp[redirect6Size:]; len(o) > 0; o = o[8*int(o[1]):] {
		if len(o) < 8 || o[1] == 0 || len(o) < 8*int(o[1]) {
			return r, false
		}
	}
	target, destination := icmp[8:24], icmp[24:40]
	return redirection{
		from: ip.SourceAddress(), self: ip.DestinationAddress(), to: tcpip.AddrFrom16([16]byte(destination)), via: tcpip.AddrFrom16([16]byte(target)),
	}, true
}
