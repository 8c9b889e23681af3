package vnetif

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/vnreplay/vnreplay/switch"
)

// HostConfig describes a host.
type HostConfig struct {
	// Name is the host's name in the world: other hosts dial it, rules and
	// recordings call its port by it.
	Name string
	// Addrs are the host's addresses with the lengths of their networks'
	// prefixes, the preferred first.
	Addrs []netip.Prefix
	// Gateways are next hops for everything that is on no network of Addrs; at
	// most one for IPv4 and one for IPv6.
	Gateways []netip.Addr
	// Tags are the 802.1Q or 802.1ad tags that every frame of the host bears,
	// outermost first: four bytes each, as on the wire. A host with tags takes
	// frames with any tags, or with none. They count against the port's MTU, except
	// for a first one of 802.1Q, for which ports have room.
	Tags []byte
	// Port is the host's port and cable. Its name, if empty, is the host's.
	Port vswitch.PortConfig
}

// Host is a host on a switch: a TCP/IP stack that gives blocking Go code its
// network and its time. Its methods may be called from any goroutine of the
// world; see the package comment.
type Host struct {
	name  string
	addrs []netip.Prefix
	world *vswitch.World
	node  *vswitch.Node
	ports []*vswitch.Port // of its interfaces that are on switches
	stack *stack.Stack

	follow  *following  // nil for a router
	forward *forwarding // nil for others

	mu    sync.Mutex
	dying []tcpip.Endpoint // closed by the application, not yet by TCP
}

// liveBuffer is how many bytes of datagrams wait to be read, in real time.
const liveBuffer = 1 << 20

const nicLoopback tcpip.NICID = 1000

// nicOf is the number that gVisor knows the host's interface i by.
func nicOf(i int) tcpip.NICID { return tcpip.NICID(i) + 1 }

// NewHost puts a host on a switch, or on a [Backend] that delivers after Send has
// returned. Close the world to end it.
//
// It follows ICMP redirects from its gateway (RFC 1122, section 3.2.2.2; RFC 4861, section 8):
// for five minutes all that it sends to that destination goes to the better router, once
// that has said its Ethernet address. Over IPv6 it believes a gateway that it has by a
// link-local address. The gateway itself still has to answer for its own.
//
// What routers say of the MTUs of paths (RFC 1191, RFC 8201) it heeds for TCP, and over IPv6,
// for ten minutes, for datagrams and pings, which it cuts into fragments.
func NewHost[P Port](on Backend[P], cfg HostConfig) (*Host, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("host %s: %w", cfg.Name, err)
	}
	var routes []Route
	for _, gw := range cfg.Gateways {
		routes = append(routes, Route{To: anywhere(gw), Via: gw})
	}
	return newHost(on.World(), cfg.Name, []Interface{{plug: plugOf(on), Addrs: cfg.Addrs, Tags: cfg.Tags, Port: cfg.Port}}, routes, false)
}

// newHost makes a host with interfaces and routes that have been checked.
func newHost(w *vswitch.World, name string, interfaces []Interface, routes []Route, forward bool) (*Host, error) {
	node, err := w.NewNode(name)
	if err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	h := &Host{name: name, world: w, node: node}
	if forward {
		h.forward = &forwarding{own: map[tcpip.Address]bool{}}
		for _, i := range interfaces {
			for _, p := range i.Addrs {
				h.forward.own[tcpip.AddrFromSlice(p.Addr().AsSlice())] = true
			}
		}
	}
	var nics []stack.LinkEndpoint
	for n, i := range interfaces {
		nic, err := h.connect(nicOf(n), i)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", name, err)
		}
		nics = append(nics, nic)
		h.addrs = append(h.addrs, i.Addrs...)
	}
	h.stack = newStack(w, node)
	node.OnClose(h.stack.Destroy)
	node.OnMidClose(h.midClose)
	table := routeTable(interfaces, routes)
	if fw := h.forward; fw != nil {
		fw.stack, fw.routes = h.stack, table
		for _, nic := range nics {
			fw.mtus = append(fw.mtus, nic.MTU())
		}
	} else {
		h.follow.stack, h.follow.routes = h.stack, table
	}
	if err := h.configure(nics, interfaces, table); err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	var addrs []netip.Addr
	for _, p := range h.addrs {
		addrs = append(addrs, p.Addr())
	}
	node.SetAddrs(addrs)
	return h, nil
}

// connect plugs in an interface of the host and returns its link.
func (h *Host) connect(nic tcpip.NICID, i Interface) (stack.LinkEndpoint, error) {
	if i.Port.Name == "" {
		i.Port.Name = h.name
	}
	l := &link{tags: slices.Clone(i.Tags), forward: h.forward}
	var end interface {
		vswitch.Endpoint
		stack.LinkEndpoint
	} = l
	if h.world.RealTime() {
		live := &liveLink{link: link{tags: l.tags, forward: h.forward}}
		l, end = &live.link, live
	}
	if i.plug == nil {
		i.plug = plugOf(i.Switch)
	}
	port, err := i.plug(i.Port, end)
	if err != nil {
		return nil, err
	}
	if p, ok := port.(*vswitch.Port); ok {
		h.ports = append(h.ports, p)
	}
	mac := port.MAC()
	l.nic, l.addrs, l.now = nic, slices.Clone(i.Addrs), h.world.Now
	for _, p := range i.Addrs {
		if p.Addr().Is4() {
			l.own4 = append(l.own4, p.Addr().As4())
		}
	}
	l.port, l.mac = port, tcpip.LinkAddress(mac[:])
	if h.forward != nil {
		h.forward.joins(l)
	} else {
		l.follow = &following{link: l, ways: learned[*betterWay]{lasts: followFor, now: l.now}}
		h.follow = l.follow
		l.paths = &pathMTUs{
			link: l, to: learned[int]{lasts: pathMTUFor, now: l.now},
			firstID: func() uint32 { rng := h.stack.SecureRNG(); return rng.Uint32() },
		}
	}
	return ethernet.New(end), nil
}

// check says what a stack would not notice, or only when a host already hangs at
// the switch.
func (cfg *HostConfig) check() error {
	mtu := cfg.Port.MTU
	if mtu == 0 {
		mtu = vswitch.DefaultMTU
	}
	if len(cfg.Tags)%tagLen != 0 || len(cfg.Tags) > maxTags*tagLen {
		return fmt.Errorf("%d bytes of tags: want %d for each of at most %d tags", len(cfg.Tags), tagLen, maxTags)
	}
	mtu -= tagRoom(cfg.Tags)
	for i, p := range cfg.Addrs {
		switch {
		case !p.IsValid() || !usable(p.Addr()):
			return fmt.Errorf("address %d (%v): want an address with a prefix length such as 10.0.0.1/24", i+1, p)
		case slices.ContainsFunc(cfg.Addrs[:i], func(q netip.Prefix) bool { return q.Addr() == p.Addr() }):
			return fmt.Errorf("address %d (%v) is there twice", i+1, p)
		case p.Addr().Is4() && isNetwork(p, p.Addr()):
			return fmt.Errorf("address %d (%v) is that of its network, or of all in it: want a host's", i+1, p)
		case p.Addr().Is6() && mtu < header.IPv6MinimumMTU:
			return fmt.Errorf("address %d (%v): IPv6 needs an MTU of at least %d (RFC 8200), the port has %d", i+1, p, header.IPv6MinimumMTU, mtu)
		case mtu < header.IPv4MinimumMTU:
			return fmt.Errorf("address %d (%v): IPv4 needs an MTU of at least %d (RFC 791), the port has %d", i+1, p, header.IPv4MinimumMTU, mtu)
		}
	}
	for i, gw := range cfg.Gateways {
		switch {
		case !usable(gw):
			return fmt.Errorf("gateway %d (%v): want an address such as 10.0.0.254", i+1, gw)
		case slices.ContainsFunc(cfg.Gateways[:i], func(a netip.Addr) bool { return a.Is4() == gw.Is4() }):
			return fmt.Errorf("gateway %d (%v) is the second of its family", i+1, gw)
		case !cfg.reaches(gw):
			return fmt.Errorf("gateway %d: %w: %v", i+1, errOffLink, gw)
		}
	}
	return nil
}

// reaches reports whether an address is a neighbour's.
func (cfg *HostConfig) reaches(a netip.Addr) bool {
	return a.Is6() && a.IsLinkLocalUnicast() || slices.ContainsFunc(cfg.Addrs, func(p netip.Prefix) bool {
		return p.Contains(a) && p.Addr() != a && (a.Is6() || !isNetwork(p, a))
	})
}

// loopbackNets are the networks of every host's loopback interface.
var loopbackNets = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}

// routeTable returns the routes to the networks of interfaces, and those beyond. The
// first one that fits is taken: the more special ones are first.
func routeTable(interfaces []Interface, more []Route) []tcpip.Route {
	var routes []tcpip.Route
	add := func(to netip.Prefix, via netip.Addr, nic tcpip.NICID) {
		net := tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(to.Masked().Addr().AsSlice()), PrefixLen: to.Bits()}
		r := tcpip.Route{Destination: net.Subnet(), NIC: nic}
		if via.IsValid() {
			r.Gateway = tcpip.AddrFromSlice(via.AsSlice())
		}
		routes = append(routes, r)
	}
	for i := range interfaces {
		for _, p := range interfaces[i].Addrs {
			add(p, netip.Addr{}, nicOf(i))
		}
	}
	for _, p := range loopbackNets {
		add(p, netip.Addr{}, nicLoopback)
	}
	for _, r := range more {
		add(r.To, r.Via, nicOf(max(towards(interfaces, r.Via), 0)))
	}
	slices.SortStableFunc(routes, func(a, b tcpip.Route) int { return b.Destination.Prefix() - a.Destination.Prefix() })
	return routes
}

// routeTo returns the route of a table that leads to an address: the first that fits.
func routeTo(routes []tcpip.Route, to tcpip.Address) (r tcpip.Route, ok bool) {
	i := slices.IndexFunc(routes, func(r tcpip.Route) bool { return r.Destination.Contains(to) })
	if i < 0 {
		return r, false
	}
	return routes[i], true
}

// configure gives the stack its interfaces, addresses and routes.
func (h *Host) configure(nics []stack.LinkEndpoint, interfaces []Interface, routes []tcpip.Route) error {
	add := func(nic tcpip.NICID, p netip.Prefix, how stack.AddressProperties) error {
		pa := tcpip.ProtocolAddress{
			Protocol:          protocolOf(p.Addr()),
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(p.Addr().AsSlice()), PrefixLen: p.Bits()},
		}
		if err := h.stack.AddProtocolAddress(nic, pa, how); err != nil {
			return fmt.Errorf("address %v: %w", p, errorOf(err))
		}
		return nil
	}
	for i, nic := range nics {
		if err := h.stack.CreateNICWithOptions(nicOf(i), nic, stack.NICOptions{Name: fmt.Sprintf("eth%d", i)}); err != nil {
			return errorOf(err)
		}
		for _, p := range interfaces[i].Addrs {
			if err := add(nicOf(i), p, stack.AddressProperties{}); err != nil {
				return err
			}
		}
	}
	if err := h.stack.CreateNICWithOptions(nicLoopback, loopback.New(), stack.NICOptions{Name: "lo"}); err != nil {
		return errorOf(err)
	}
	for _, p := range loopbackNets {
		if err := add(nicLoopback, p, stack.AddressProperties{}); err != nil {
			return err
		}
	}
	h.stack.SetRouteTable(routes)
	if h.forward != nil {
		for _, l := range h.forward.links {
			if l.hasAddr(l.linkLocal) || !l.linkLocal.IsValid() {
				continue
			}
			// All but redirects comes from the addresses that the router was given.
			if err := add(l.nic, netip.PrefixFrom(l.linkLocal, 64), stack.AddressProperties{PEB: stack.NeverPrimaryEndpoint}); err != nil {
				return err
			}
		}
		for _, protocol := range []tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
			if err := h.stack.SetForwardingDefaultAndAllNICs(protocol, true); err != nil {
				return errorOf(err)
			}
		}
	}
	return nil
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// netipOf is gVisor's address as the standard library has it.
func netipOf(a tcpip.Address) netip.Addr {
	b, _ := netip.AddrFromSlice(a.AsSlice())
	return b
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Addrs returns the host's addresses, the preferred first.
func (h *Host) Addrs() []netip.Prefix { return append([]netip.Prefix(nil), h.addrs...) }

// Port returns the host's port; a router's first one. It is nil for a host on a backend
// that is no switch.
func (h *Host) Port() *vswitch.Port {
	if len(h.ports) == 0 {
		return nil
	}
	return h.ports[0]
}

// Ports returns the ports of the host's interfaces, in their order; those on switches.
func (h *Host) Ports() []*vswitch.Port { return slices.Clone(h.ports) }

// World returns the world the host lives in.
func (h *Host) World() *vswitch.World { return h.world }

// Now returns the current instant of the world's clock.
func (h *Host) Now() time.Time { return h.world.Now() }

// closes notes an endpoint that the application has closed or shut down.
func (h *Host) closes(ep tcpip.Endpoint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.dying) == cap(h.dying) { // so that it does not grow with every connection
		h.dying = slices.DeleteFunc(h.dying, finished)
	}
	if !slices.Contains(h.dying, ep) {
		h.dying = append(h.dying, ep)
	}
}

// midClose counts connections that the application has closed, or shut down for
// writing, and that still have bytes or FINs to exchange. TIME_WAIT does not count.
func (h *Host) midClose() vswitch.MidClose {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dying = slices.DeleteFunc(h.dying, finished)
	var m vswitch.MidClose
	for _, ep := range h.dying {
		if tcp.EndpointState(ep.State()) == tcp.StateFinWait2 {
			m.Waiting++
		} else {
			m.Unacknowledged++
		}
	}
	return m
}

// finished reports whether a closed endpoint has nothing more to exchange.
func finished(ep tcpip.Endpoint) bool {
	switch tcp.EndpointState(ep.State()) {
	case tcp.StateEstablished, tcp.StateFinWait1, tcp.StateFinWait2, tcp.StateClosing, tcp.StateLastAck, tcp.StateCloseWait:
		return false
	}
	return true
}

// HostStats are counters of a host's stack.
type HostStats struct {
	TCPConnections     uint64 // those that are not closed, now
	TCPRetransmits     uint64 // segments sent again
	TCPResetsSent      uint64
	TCPResetsReceived  uint64
	TCPChecksumErrors  uint64
	TCPTimeouts        uint64 // retransmission timeouts
	UDPChecksumErrors  uint64
	UDPBufferOverflows uint64 // datagrams dropped because nobody read them in time
	IPMalformed        uint64 // among them bad IPv4 header checksums
	NotForwarded       uint64 // packets that a router dropped, of which its ICMP messages say some
}

// Stats returns the stack's counters. Call it when the world is not running, or
// from one of its goroutines.
func (h *Host) Stats() HostStats {
	s := h.stack.Stats()
	notForwarded := s.IP.Forwarding.Errors.Value()
	if h.forward != nil {
		notForwarded += h.forward.refused.Load()
	}
	return HostStats{
		NotForwarded:       notForwarded,
		TCPConnections:     s.TCP.CurrentConnected.Value(),
		TCPRetransmits:     s.TCP.Retransmits.Value(),
		TCPResetsSent:      s.TCP.ResetsSent.Value(),
		TCPResetsReceived:  s.TCP.ResetsReceived.Value(),
		TCPChecksumErrors:  s.TCP.ChecksumErrors.Value(),
		TCPTimeouts:        s.TCP.Timeouts.Value(),
		UDPChecksumErrors:  s.UDP.ChecksumErrors.Value(),
		UDPBufferOverflows: s.UDP.ReceiveBufferErrors.Value(),
		IPMalformed:        s.IP.MalformedPacketsReceived.Value(),
	}
}
