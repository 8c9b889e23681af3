package vnetif

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/vnreplay/vnreplay/switch"
)

// Dial is [Host.DialContext] without a context.
func (h *Host) Dial(network, address string) (net.Conn, error) {
	return h.DialContext(context.Background(), network, address)
}

// DialContext connects to address, "host:port", where host is an IP address or
// the name of a host of the world; of a name's addresses those of the network's
// family are tried in order. The networks are "tcp", "tcp4", "tcp6", "udp",
// "udp4", "udp6". It fits http.Transport.DialContext.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return h.DialFrom(ctx, network, netip.AddrPort{}, address)
}

// DialFrom is [Host.DialContext] from a given local address; its IP address may
// be left out (the zero Addr), its port may be 0.
func (h *Host) DialFrom(ctx context.Context, network string, local netip.AddrPort, address string) (net.Conn, error) {
	fail := func(addr net.Addr, err error) error {
		return &net.OpError{Op: "dial", Net: network, Addr: addr, Err: err}
	}
	proto, family, err := parseNetwork(network)
	if err != nil || proto == "ip" {
		return nil, fail(nil, net.UnknownNetworkError(network))
	}
	targets, err := h.resolve(family, address)
	if err != nil {
		return nil, fail(nil, err)
	}
	var last error
	for _, to := range targets {
		if to.Addr().IsUnspecified() {
			to = netip.AddrPortFrom(loopbackOf(to.Addr()), to.Port())
		}
		var c net.Conn
		var addr net.Addr
		if proto == "tcp" {
			c, last = h.dialTCP(ctx, local, to)
			addr = tcpAddr(to)
		} else {
			c, last = h.dialUDP(ctx, network, local, to)
			addr = udpAddr(to)
		}
		if last == nil {
			return c, nil
		}
		last = fail(addr, last)
		if ctx.Err() != nil || errors.Is(last, net.ErrClosed) {
			break
		}
	}
	return nil, last
}

func loopbackOf(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// dialTCP connects, in two steps: the first try sends the SYN, later ones look
// whether the connection stands.
func (h *Host) dialTCP(ctx context.Context, local, to netip.AddrPort) (net.Conn, error) {
	var (
		op      vswitch.Op
		wq      waiter.Queue
		entry   waiter.Entry
		ep      tcpip.Endpoint
		c       *Conn
		err     error
		expired atomic.Bool
	)
	stop := func() {
		if ep != nil {
			wq.EventUnregister(&entry)
			if err != nil {
				ep.Close()
			}
		}
	}
	done := func(e error) bool {
		err = e
		stop()
		return true
	}
	op = vswitch.Op{
		Kind: vswitch.OpDial,
		Key:  "tcp " + to.String() + " " + vswitch.Order(ctx),
		What: func() string { return "tcp to " + to.String() },
		Try: func() bool {
			switch {
			case expired.Load():
				return done(context.DeadlineExceeded)
			case ctx.Err() != nil:
				return done(ctx.Err())
			case ep == nil:
				var terr tcpip.Error
				if ep, terr = h.stack.NewEndpoint(tcp.ProtocolNumber, protocolOf(to.Addr()), &wq); terr != nil {
					ep = nil
					return done(callError("socket", errorOf(terr)))
				}
				entry = waiter.NewFunctionEntry(waiter.WritableEvents|waiter.EventHUp|waiter.EventErr,
					func(waiter.EventMask) { h.node.Wake(&op) })
				wq.EventRegister(&entry)
				if local != (netip.AddrPort{}) {
					if terr := ep.Bind(fullAddress(local)); terr != nil {
						return done(callError("bind", errorOf(terr)))
					}
				}
				switch terr := ep.Connect(fullAddress(to)).(type) {
				case nil:
				case *tcpip.ErrConnectStarted:
					return false
				default:
					return done(callError("connect", errorOf(terr)))
				}
			}
			if ep.Readiness(waiter.WritableEvents|waiter.EventHUp|waiter.EventErr) == 0 {
				return false
			}
			if terr := ep.LastError(); terr != nil {
				return done(callError("connect", errorOf(terr)))
			}
			if tcp.EndpointState(ep.State()) == tcp.StateError {
				return done(callError("connect", errorOf(&tcpip.ErrConnectionReset{})))
			}
			c = newTCP(h, ep, &wq, to.Addr().Is6())
			return done(nil)
		},
	}
	defer context.AfterFunc(ctx, func() { h.node.Wake(&op) })()
	if t, ok := ctx.Deadline(); ok {
		at := h.instant(new(instants), t)
		timer := h.node.AppClock(0).AfterFunc(at.Sub(h.Now()), func() { expired.Store(true); h.node.Wake(&op) })
		defer timer.Stop()
	}
	if werr := h.node.Do(&op); werr != nil {
		err = werr
		stop()
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (h *Host) dialUDP(ctx context.Context, network string, local, to netip.AddrPort) (net.Conn, error) {
	var c *PacketConn
	var err error
	op := vswitch.Op{Kind: vswitch.OpDial, Key: "udp " + to.String() + " " + vswitch.Order(ctx), Try: func() bool {
		c, err = h.bindPacket(network, udp.ProtocolNumber, to.Addr().Is6(), local)
		if err != nil {
			return true
		}
		if terr := c.ep.Connect(fullAddress(to)); terr != nil {
			err = callError("connect", errorOf(terr))
			c.ep.Close()
		}
		c.nameEnds()
		return true
	}}
	if werr := h.node.DoEarly(&op); werr != nil {
		return nil, werr
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Listen announces on a local address, "host:port"; without host, on all
// addresses of the host. The networks are "tcp", "tcp4", "tcp6"; port 0 means
// any. "tcp" without an address listens on IPv4 and IPv6. As with package net, a port
// of which connections are still closing is free (SO_REUSEADDR). It may be called
// before the world runs.
func (h *Host) Listen(network, address string) (net.Listener, error) {
	fail := func(err error) error { return &net.OpError{Op: "listen", Net: network, Err: err} }
	proto, family, err := parseNetwork(network)
	if err != nil || proto != "tcp" {
		return nil, fail(net.UnknownNetworkError(network))
	}
	at, err := h.localAddress(family, address)
	if err != nil {
		return nil, fail(err)
	}
	var l *Listener
	op := vswitch.Op{Kind: vswitch.OpDial, Key: network + " listen " + address, Try: func() bool {
		v6 := at.Addr().Is6()
		number := tcpip.NetworkProtocolNumber(ipv4.ProtocolNumber)
		if v6 {
			number = ipv6.ProtocolNumber
		}
		wq := new(waiter.Queue)
		ep, terr := h.stack.NewEndpoint(tcp.ProtocolNumber, number, wq)
		if terr != nil {
			err = callError("socket", errorOf(terr))
			return true
		}
		ep.SocketOptions().SetV6Only(family == 6)
		ep.SocketOptions().SetReuseAddress(at.Port() != 0) // a port that is chosen is to be nobody's
		if terr = ep.Bind(fullAddress(at)); terr == nil {
			terr = ep.Listen(backlog)
		}
		if terr != nil {
			ep.Close()
			err = callError("bind", errorOf(terr))
			return true
		}
		l = &Listener{v6: v6, socket: newSocket(h, "tcp", ep, wq, func(a tcpip.FullAddress) net.Addr { return tcpAddr(addrPort(a, v6)) })}
		return true
	}}
	if werr := h.node.DoEarly(&op); werr != nil {
		return nil, fail(werr)
	}
	if err != nil {
		return nil, fail(err)
	}
	return l, nil
}

// backlog is how many connections may wait to be accepted: Linux' somaxconn.
const backlog = 4096

// ListenPacket opens a socket for datagrams on a local address. The networks are
// "udp", "udp4", "udp6" with "host:port", and "ip4:icmp" and "ip6:ipv6-icmp"
// with a host or nothing: those send ICMP echo requests and receive their
// replies, messages from the ICMP header on; the identifier is the socket's own.
// It may be called before the world runs.
func (h *Host) ListenPacket(network, address string) (net.PacketConn, error) {
	fail := func(err error) error { return &net.OpError{Op: "listen", Net: network, Err: err} }
	proto, family, err := parseNetwork(network)
	if err != nil || proto == "tcp" {
		return nil, fail(net.UnknownNetworkError(network))
	}
	transport := tcpip.TransportProtocolNumber(udp.ProtocolNumber)
	if proto == "ip" {
		transport = icmp.ProtocolNumber4
		if family == 6 {
			transport = icmp.ProtocolNumber6
		}
		address = net.JoinHostPort(address, "0")
	}
	at, err := h.localAddress(family, address)
	if err != nil {
		return nil, fail(err)
	}
	var c *PacketConn
	op := vswitch.Op{Kind: vswitch.OpDial, Key: network + " listen " + address, Try: func() bool {
		c, err = h.bindPacket(network, transport, at.Addr().Is6(), at)
		return true
	}}
	if werr := h.node.DoEarly(&op); werr != nil {
		return nil, fail(werr)
	}
	if err != nil {
		return nil, fail(err)
	}
	return c, nil
}

// bindPacket makes a socket for datagrams. The loop calls it.
func (h *Host) bindPacket(network string, transport tcpip.TransportProtocolNumber, v6 bool, local netip.AddrPort) (*PacketConn, error) {
	number := tcpip.NetworkProtocolNumber(ipv4.ProtocolNumber)
	if v6 {
		number = ipv6.ProtocolNumber
	}
	wq := new(waiter.Queue)
	ep, terr := h.stack.NewEndpoint(transport, number, wq)
	if terr != nil {
		return nil, callError("socket", errorOf(terr))
	}
	ep.SocketOptions().SetV6Only(network == "udp6")
	// By default gVisor sets Don't Fragment in IPv4 headers even of datagrams that
	// it fragments, all with identification 0; without path MTU discovery each has
	// its own, so that fragments of different datagrams cannot be taken for one.
	if terr := ep.SetSockOptInt(tcpip.MTUDiscoverOption, int(tcpip.PMTUDiscoveryDont)); terr != nil {
		ep.Close()
		return nil, callError("setsockopt", errorOf(terr))
	}
	if terr := ep.Bind(fullAddress(local)); terr != nil {
		ep.Close()
		return nil, callError("bind", errorOf(terr))
	}
	ep.SocketOptions().SetBroadcast(true)
	addrOf := func(a tcpip.FullAddress) net.Addr { return udpAddr(addrPort(a, v6)) }
	if transport != udp.ProtocolNumber {
		addrOf = func(a tcpip.FullAddress) net.Addr { return ipAddr(addrPort(a, v6)) }
	}
	return &PacketConn{newSocket(h, network, ep, wq, addrOf), v6}, nil
}

// parseNetwork splits "tcp6" into "tcp" and 6; family 0 is either.
func parseNetwork(network string) (proto string, family int, err error) {
	switch network {
	case "tcp", "udp":
		return network, 0, nil
	case "tcp4", "udp4", "tcp6", "udp6":
		return network[:3], int(network[3] - '0'), nil
	case "ip4:icmp", "ip4:1":
		return "ip", 4, nil
	case "ip6:ipv6-icmp", "ip6:58":
		return "ip", 6, nil
	}
	return "", 0, net.UnknownNetworkError(network)
}

// splitAddress splits "host:port".
func splitAddress(address string) (host string, port uint16, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return "", 0, &net.AddrError{Err: "want a port number from 0 to 65535", Addr: address}
	}
	return host, uint16(n), nil
}

// resolve returns the addresses that "host:port" stands for, those of one family.
func (h *Host) resolve(family int, address string) ([]netip.AddrPort, error) {
	host, port, err := splitAddress(address)
	if err != nil {
		return nil, err
	}
	fits := func(a netip.Addr) bool {
		return family == 0 || family == 4 && a.Is4() || family == 6 && a.Is6()
	}
	if host == "" {
		host = "127.0.0.1"
		if family == 6 {
			host = "::1"
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip = ip.Unmap().WithZone(""); !fits(ip) {
			return nil, &net.AddrError{Err: fmt.Sprintf("not an IPv%d address", family), Addr: host}
		}
		return []netip.AddrPort{netip.AddrPortFrom(ip, port)}, nil
	}
	var candidates []netip.Addr
	if node, ok := h.world.Lookup(host); ok {
		candidates = node.Addrs()
	} else if host == "localhost" {
		candidates = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	var found []netip.AddrPort
	for _, a := range candidates {
		if fits(a) {
			found = append(found, netip.AddrPortFrom(a, port))
		}
	}
	if found == nil {
		return nil, &net.DNSError{Err: "no host of this world has that name", Name: host, IsNotFound: true}
	}
	return found, nil
}

// localAddress is resolve for addresses to listen on: no host means any.
func (h *Host) localAddress(family int, address string) (netip.AddrPort, error) {
	host, port, err := splitAddress(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if host == "" {
		any := netip.IPv6Unspecified()
		if family == 4 {
			any = netip.IPv4Unspecified()
		}
		return netip.AddrPortFrom(any, port), nil
	}
	found, err := h.resolve(family, address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return found[0], nil
}
