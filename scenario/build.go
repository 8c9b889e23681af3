package scenario

import (
	"net/netip"
	"time"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// buildNetwork makes the switches, hosts and routers. Ports are numbered as
// [Scenario.ports] has them.
func (r *runner) buildNetwork(w *vswitch.World, recorders []vswitch.Recorder) error {
	named := map[string]*vswitch.Switch{}
	for i, name := range r.s.SwitchNames() {
		rec := &counter{counts: &r.affected}
		if i < len(recorders) {
			rec.next = recorders[i]
		}
		sw, err := w.NewSwitch(vswitch.SwitchConfig{Name: name, Hub: r.s.isHub(name), Recorder: rec})
		if err != nil {
			return err
		}
		r.switches = append(r.switches, sw)
		named[name] = sw
	}
	r.hosts, r.ports = map[string]*vnetif.Host{}, map[string]*vswitch.Port{}
	add := func(host *vnetif.Host, err error) error {
		if err != nil {
			return err
		}
		r.hosts[host.Name()] = host
		r.order = append(r.order, host)
		for _, p := range host.Ports() {
			r.ports[p.Name()] = p
		}
		return nil
	}
	ports := r.s.ports()
	for i, h := range r.s.Hosts {
		p := &ports[i]
		cfg := vnetif.HostConfig{Name: h.Name, Port: r.s.portConfig(p), Gateways: addrs(h.Value.Gateway), Addrs: prefixes(p.ip)}
		if err := add(vnetif.NewHost(named[p.sw], cfg)); err != nil {
			return err
		}
	}
	ports = ports[len(r.s.Hosts):]
	for _, router := range r.s.Routers {
		cfg := vnetif.RouterConfig{Name: router.Name, Routes: router.Value.routes()}
		for i := range router.Value.Interfaces {
			p := &ports[i]
			cfg.Interfaces = append(cfg.Interfaces, vnetif.Interface{Switch: named[p.sw], Addrs: prefixes(p.ip), Port: r.s.portConfig(p)})
		}
		ports = ports[len(cfg.Interfaces):]
		if err := add(vnetif.NewRouter(cfg)); err != nil {
			return err
		}
	}
	return nil
}

// portConfig is what package vswitch has to know of a port and its cable.
func (s *Scenario) portConfig(p *port) vswitch.PortConfig {
	link, _ := s.Links.Get(p.name)
	cfg := vswitch.PortConfig{
		Name:    p.name,
		MTU:     int(p.mtu),
		Latency: time.Duration(link.Latency),
		Rate:    int64(link.Rate),
		Queue:   int(link.Queue),
	}
	if p.mac != "" {
		cfg.MAC, _ = vswitch.ParseMAC(p.mac) // checked
	}
	return cfg
}

// routes are the router's routes: those it names, and those to everywhere.
func (r *Router) routes() (routes []vnetif.Route) {
	for _, x := range r.Routes {
		routes = append(routes, vnetif.Route{To: netip.MustParsePrefix(x.Name), Via: x.Value.Addr}) // checked
	}
	for _, a := range r.Gateway {
		routes = append(routes, vnetif.Route{To: everywhere(a), Via: a.Addr})
	}
	return routes
}

// everywhere is the network of all addresses of a's IP version.
func everywhere(a Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

func prefixes(list List[Prefix]) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, p.Prefix)
	}
	return out
}

func addrs(list List[Addr]) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, a.Addr)
	}
	return out
}
