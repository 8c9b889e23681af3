package vnetif

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vnreplay/vnreplay/switch"
)

// RouterConfig describes a router: a host with several interfaces that forwards IP
// packets between them.
type RouterConfig struct {
	// Name is the router's name in the world, and the name of its ports that have none.
	Name string
	// Interfaces are at least one; several may be on the same switch.
	Interfaces []Interface
	// Routes are those beyond the networks of the interfaces.
	Routes []Route
}

// Interface is one interface of a router.
type Interface struct {
	// Switch is the switch its port is on. All are switches of one world.
	Switch *vswitch.Switch
	// Addrs are the interface's addresses with their networks' prefix lengths.
	Addrs []netip.Prefix
	// Tags are as in [HostConfig].
	Tags []byte
	// Port is the interface's port and cable. Its name, if empty, is the router's, which
	// serves one interface on each switch.
	Port vswitch.PortConfig

	plug plug // if it is on another backend than Switch
}

// Route says by which next hop a network is reached. Of several that fit, the one with
// the longest prefix holds.
type Route struct {
	To  netip.Prefix
	Via netip.Addr // on a network of an interface
}

// NewRouter puts a router on its switches. Close the world to end it.
//
// It is a [Host] whose stack forwards: it counts TTLs and hop limits down and answers
// what it cannot forward by ICMP (RFC 1812, RFC 4443: time exceeded, destination
// unreachable, fragmentation needed or packet too big), so that path MTU discovery
// works through it. It fragments IPv4 packets that may be. What it sends back over the
// interface that it came in by it tells the sender by a redirect (RFC 792, RFC 1812,
// RFC 4861), as often as Linux does over IPv4. Hosts follow them, see [NewHost]; routers do not.
//
// An interface with IPv6 has a link-local address, too: of its Addrs the first that is one,
// or one made of its port's MAC (RFC 4291, appendix A), by which the router only answers and
// redirects. Redirects over IPv6 come from it, and hosts take them only from the gateway that
// they know; so it is the address to give them. A router that is to be named in one is the next
// hop of a route by its link-local address, which has to be on the network of one of Addrs.
//
// In real time one flaw of gVisor's is left: it reads the TTL of an IPv4 packet after it has
// given back the memory that this is in, so that, very seldom, a packet may leave with another
// one.
//
// A frame that it forwards is another frame, on another switch: it has another number,
// and each switch its own recording. Numbers and times of all are of the one world.
func NewRouter(cfg RouterConfig) (*Host, error) {
	if len(cfg.Interfaces) == 0 {
		return nil, fmt.Errorf("router %s: no interfaces", cfg.Name)
	}
	w, err := cfg.check()
	if err != nil {
		return nil, fmt.Errorf("router %s: %w", cfg.Name, err)
	}
	return newHost(w, cfg.Name, cfg.Interfaces, cfg.Routes, true)
}

func (cfg *RouterConfig) check() (w *vswitch.World, err error) {
	var all []netip.Prefix
	for n, i := range cfg.Interfaces {
		switch {
		case i.Switch == nil:
			return nil, fmt.Errorf("interface %d: no switch", n+1)
		case n > 0 && i.Switch.World() != w:
			return nil, fmt.Errorf("interface %d: switch %s is in another world", n+1, i.Switch.Name())
		}
		w = i.Switch.World()
		if err := (&HostConfig{Addrs: i.Addrs, Tags: i.Tags, Port: i.Port}).check(); err != nil {
			return nil, fmt.Errorf("interface %d: %w", n+1, err)
		}
		for _, p := range i.Addrs {
			if slices.ContainsFunc(all, func(q netip.Prefix) bool { return q.Addr() == p.Addr() }) {
				return nil, fmt.Errorf("interface %d: address %v is there twice", n+1, p)
			}
		}
		all = append(all, i.Addrs...)
	}
	for n, r := range cfg.Routes {
		switch {
		case !r.To.IsValid() || !usable(r.Via):
			return nil, fmt.Errorf("route %d (%v via %v): want a network such as 10.1.0.0/16 and an address", n+1, r.To, r.Via)
		case r.To.Addr().Is4() != r.Via.Is4():
			return nil, fmt.Errorf("route %d: %v and next hop %v are of different families", n+1, r.To, r.Via)
		case towards(cfg.Interfaces, r.Via) < 0:
			return nil, fmt.Errorf("route %d: %w: next hop %v", n+1, errOffLink, r.Via)
		case slices.ContainsFunc(cfg.Routes[:n], func(o Route) bool { return o.To.Masked() == r.To.Masked() }):
			return nil, fmt.Errorf("route %d: there is another one to %v", n+1, r.To.Masked())
		case slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Masked() == r.To.Masked() }):
			return nil, fmt.Errorf("route %d: %v is the network of an interface itself", n+1, r.To.Masked())
		case r.Via.Is6() && r.Via.IsLinkLocalUnicast() && towards(cfg.Interfaces[towards(cfg.Interfaces, r.Via)+1:], r.Via) >= 0:
			return nil, fmt.Errorf("route %d: next hop %v is on networks of several interfaces: give these longer prefixes, such as fe80::a:1/112", n+1, r.Via)
		}
	}
	return w, nil
}

var errOffLink = errors.New("no neighbour on the network of an address of its own")

// towards returns the interface on one of whose networks an address is, or -1.
func towards(interfaces []Interface, a netip.Addr) int {
	return slices.IndexFunc(interfaces, func(i Interface) bool {
		return slices.ContainsFunc(i.Addrs, func(p netip.Prefix) bool { return p.Contains(a) })
	})
}

// anywhere is the network of all addresses of a's family.
func anywhere(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// usable reports whether an address may be a host's.
func usable(a netip.Addr) bool { return a.IsValid() && a.Zone() == "" && !a.Is4In6() }
