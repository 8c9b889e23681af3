package vnettest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Switch is one of several switches.
type Switch struct {
	// Name is how hosts, fault rules ("drop 1% on wan") and recordings call it.
	Name string
	// Hub makes it a hub.
	Hub bool
}

// Router is a host that forwards IP packets between its interfaces; see
// [vnetif.NewRouter].
type Router struct {
	// Name is how other hosts dial it.
	Name string
	// Interfaces are at least one.
	Interfaces []Interface
	// Gateways are next hops for what nothing else leads to, at most one for IPv4 and
	// one for IPv6.
	Gateways []string
	// Routes are next hops for further networks.
	Routes []Route
}

// Interface is one interface of a router, and its cable. What has no words here is as with
// [Host].
type Interface struct {
	// Name is the interface's: the port of interface wan of router gw is called gw.wan.
	Name string
	// Switch is the name of its switch. Default: the switch of the interface's name, or the
	// only one.
	Switch string

	// Addrs are its addresses with the lengths of their networks' prefixes, one at least.
	Addrs []string

	MAC     string
	Latency time.Duration
	Rate    int64
	Queue   int
	MTU     int
}

// Route is a network, such as "10.50.0.0/16", and the address of the router that leads to it.
type Route struct{ To, Via string }

// onlySwitch is the name of a network's only switch.
const onlySwitch = "switch"

// switches are the network's switches.
func (c *Config) switches() ([]Switch, error) {
	if len(c.Switches) == 0 {
		return []Switch{{onlySwitch, c.Hub}}, nil
	}
	if c.Hub {
		return nil, errors.New("Config.Hub is about an only switch; each of Config.Switches has its own")
	}
	for i, s := range c.Switches {
		if fileName(s.Name) != s.Name {
			return nil, fmt.Errorf("Config.Switches[%d]: name %q: want at most 100 letters, digits, and _ . -, for a file is called so", i, s.Name)
		}
		if s.Name == "" || slices.ContainsFunc(c.Switches[:i], func(o Switch) bool { return o.Name == s.Name }) {
			return nil, fmt.Errorf("Config.Switches[%d]: it needs a Name, and one of its own; it is called %q", i, s.Name)
		}
	}
	return c.Switches, nil
}

// switchOf returns the switch on which a host or interface is: the one it names, that of one
// of the other names it may go by, or the only one.
func (n *Net) switchOf(named string, also ...string) (*vswitch.Switch, error) {
	for _, name := range append([]string{named}, also...) {
		if i := slices.IndexFunc(n.switches, func(s *vswitch.Switch) bool { return s.Name() == name }); i >= 0 {
			return n.switches[i], nil
		}
		if named != "" {
			break
		}
	}
	switch {
	case named != "":
		return nil, fmt.Errorf("no switch %q; the switches are %s", named, n.switchNames())
	case len(n.switches) > 1:
		return nil, fmt.Errorf("on which Switch? The switches are %s", n.switchNames())
	}
	return n.switches[0], nil
}

func (n *Net) switchNames() string {
	var names []string
	for _, s := range n.switches {
		names = append(names, s.Name())
	}
	return strings.Join(names, ", ")
}

// addRouter makes router number i of the Config.
func (n *Net) addRouter(i int) (*vnetif.Host, error) {
	r := &n.cfg.Routers[i]
	fail := func(err error) (*vnetif.Host, error) {
		return nil, fmt.Errorf("router %q (Config.Routers[%d]): %w", r.Name, i, err)
	}
	if r.Name == "" {
		return fail(errors.New("it needs a Name"))
	}
	if len(r.Interfaces) == 0 {
		return fail(errors.New("it needs Interfaces, one at least"))
	}
	cfg := vnetif.RouterConfig{Name: r.Name}
	var own []netip.Prefix
	for k := range r.Interfaces {
		in, err := n.routerInterface(r, k)
		if err != nil {
			return fail(fmt.Errorf("interface %q (Interfaces[%d]): %w", r.Interfaces[k].Name, k, err))
		}
		cfg.Interfaces = append(cfg.Interfaces, in)
		own = append(own, in.Addrs...)
	}
	for k, x := range r.Routes {
		route, err := x.parse()
		if err == nil {
			err = checkNextHop(route.Via, own)
		}
		if err != nil {
			return fail(fmt.Errorf("route to %q via %q (Routes[%d]): %w", x.To, x.Via, k, err))
		}
		cfg.Routes = append(cfg.Routes, route)
	}
	gateways, err := parseGateways(r.Gateways)
	if err != nil {
		return fail(err)
	}
	for k, a := range gateways {
		if err := checkNextHop(a, own); err != nil {
			return fail(fmt.Errorf("gateway %v (Gateways[%d]): %w", a, k, err))
		}
		if slices.ContainsFunc(gateways[:k], func(b netip.Addr) bool { return a.Is4() == b.Is4() }) {
			return fail(fmt.Errorf("gateway %v (Gateways[%d]): it is the second of its family", a, k))
		}
		everywhere := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if a.Is4() {
			everywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		cfg.Routes = append(cfg.Routes, vnetif.Route{To: everywhere, Via: a})
	}
	h, err := vnetif.NewRouter(cfg)
	if err != nil {
		return fail(err)
	}
	return h, nil
}

// parse returns what the route says.
func (x Route) parse() (r vnetif.Route, err error) {
	if r.To, err = netip.ParsePrefix(x.To); err != nil {
		return r, errors.New("want a network, such as 10.50.0.0/16")
	}
	if r.To != r.To.Masked() {
		return r, fmt.Errorf("%v is in network %v: write that", r.To, r.To.Masked())
	}
	if r.Via, err = netip.ParseAddr(x.Via); err != nil {
		return r, errors.New("want the IP address of a router, such as 10.9.0.77")
	}
	if r.To.Addr().Is4() != r.Via.Is4() {
		return r, errors.New("they are of different IP versions")
	}
	return r, nil
}

// checkNextHop checks that a router with addresses of its own reaches the next hop a.
func checkNextHop(a netip.Addr, own []netip.Prefix) error {
	if slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Addr() == a }) {
		return fmt.Errorf("%v is the router's own address; want that of the next router", a)
	}
	if !slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return fmt.Errorf("%v is on no network of the router's interfaces, so it cannot be reached", a)
	}
	return nil
}

func (n *Net) routerInterface(r *Router, k int) (in vnetif.Interface, err error) {
	x := &r.Interfaces[k]
	if x.Name == "" {
		return in, errors.New("it needs a Name")
	}
	port := r.Name + "." + x.Name
	// On one switch two ports of a name are refused anyway; rules and recordings name
	// ports across switches.
	for _, h := range n.hosts {
		if slices.ContainsFunc(h.Ports(), func(p *vswitch.Port) bool { return p.Name() == port }) {
			return in, fmt.Errorf("%s has a port of the name %q already", h.Name(), port)
		}
	}
	if slices.ContainsFunc(r.Interfaces[:k], func(o Interface) bool { return o.Name == x.Name }) {
		return in, errors.New("it is the second of that name")
	}
	if len(x.Addrs) == 0 {
		return in, errors.New("it needs Addrs, such as 10.0.0.254/24")
	}
	if in.Switch, err = n.switchOf(x.Switch, x.Name); err != nil {
		return in, err
	}
	if in.Addrs, err = parseAddrs(x.Addrs); err != nil {
		return in, err
	}
	in.Port, err = portConfig(x.MAC, vswitch.PortConfig{
		Name: port, MTU: x.MTU, Latency: x.Latency, Rate: x.Rate, Queue: x.Queue,
	})
	return in, err
}
