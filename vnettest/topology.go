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

	Addrs   []string
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
	cfg := vnetif.RouterConfig{Name: r.Name}
	for k := range r.Interfaces {
		in, err := n.routerInterface(r, k)
		if err != nil {
			return fail(fmt.Errorf("interface %q (Interfaces[%d]): %w", r.Interfaces[k].Name, k, err))
		}
		cfg.Interfaces = append(cfg.Interfaces, in)
	}
	gateways, err := parseGateways(r.Gateways)
	if err != nil {
		return fail(err)
	}
	for _, a := range gateways {
		everywhere := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if a.Is4() {
			everywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		cfg.Routes = append(cfg.Routes, vnetif.Route{To: everywhere, Via: a})
	}
	for _, x := range r.Routes {
		to, err := netip.ParsePrefix(x.To)
		if err != nil {
			return fail(fmt.Errorf("route to %q: want a network, such as 10.50.0.0/16", x.To))
		}
		via, err := netip.ParseAddr(x.Via)
		if err != nil {
			return fail(fmt.Errorf("route to %s via %q: want an IP address", x.To, x.Via))
		}
		cfg.Routes = append(cfg.Routes, vnetif.Route{To: to, Via: via})
	}
	return vnetif.NewRouter(cfg)
}

func (n *Net) routerInterface(r *Router, k int) (in vnetif.Interface, err error) {
	x := &r.Interfaces[k]
	if x.Name == "" {
		return in, errors.New("it needs a Name")
	}
	if in.Switch, err = n.switchOf(x.Switch, x.Name); err != nil {
		return in, err
	}
	if in.Addrs, err = parseAddrs(x.Addrs); err != nil {
		return in, err
	}
	in.Port, err = portConfig(x.MAC, vswitch.PortConfig{
		Name: r.Name + "." + x.Name, MTU: x.MTU, Latency: x.Latency, Rate: x.Rate, Queue: x.Queue,
	})
	return in, err
}
