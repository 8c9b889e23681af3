package scenario

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/switch"
)

// onlySwitch is the name of the switch of a scenario that names none.
const onlySwitch = "switch"

// SwitchNames returns the names of the scenario's switches, in order of creation. Each
// has a recording of its own.
func (s *Scenario) SwitchNames() []string {
	if len(s.Switches) == 0 {
		return []string{onlySwitch}
	}
	return s.Switches.Names()
}

// isHub reports whether a switch is a hub.
func (s *Scenario) isHub(sw string) bool {
	if len(s.Switches) == 0 {
		return s.Switch == hub
	}
	kind, _ := s.Switches.Get(sw)
	return kind == hub
}

// switchOf returns the switch of a host or interface, whose name or "" is given; ok is
// false if it has to say.
func (s *Scenario) switchOf(given string) (name string, ok bool) {
	switch names := s.SwitchNames(); {
	case given != "":
		return given, slices.Contains(names, given)
	case len(names) == 1:
		return names[0], true
	}
	return "", false
}

// switchOf returns the switch of the interface, which has a name; ok is false if it has
// to say.
func (i *Interface) switchOf(s *Scenario, name string) (sw string, ok bool) {
	if i.Switch == "" && slices.Contains(s.Switches.Names(), name) {
		return name, true
	}
	return s.switchOf(i.Switch)
}

// port is the port of a host or of a router's interface.
type port struct {
	name string
	path []string // to what the file says of it
	sw   string   // the name of its switch; "" if it does not say
	ip   List[Prefix]
	mtu  Number
	mac  string
}

// ports returns all ports in the order in which they are made, so that each one's place
// is its number in the world.
func (s *Scenario) ports() []port {
	var all []port
	for i := range s.Hosts {
		h := &s.Hosts[i].Value
		sw, _ := s.switchOf(h.Switch)
		all = append(all, port{s.Hosts[i].Name, []string{"hosts", s.Hosts[i].Name}, sw, h.IP, h.MTU, h.MAC})
	}
	for i := range s.Routers {
		r := &s.Routers[i]
		for k := range r.Value.Interfaces {
			in := &r.Value.Interfaces[k]
			sw, _ := in.Value.switchOf(s, in.Name)
			all = append(all, port{interfacePort(r.Name, in.Name), []string{"routers", r.Name, "interfaces", in.Name}, sw, in.Value.IP, in.Value.MTU, in.Value.MAC})
		}
	}
	return all
}

// interfacePort is the name of the port of a router's interface.
func interfacePort(router, name string) string { return router + "." + name }

// PortNames returns the names of all ports, in order of creation: a host's is its own,
// that of interface wan of router gw is gw.wan. They are what links, fault rules, the
// script's down and up, and recordings call them.
func (s *Scenario) PortNames() []string {
	var names []string
	for _, p := range s.ports() {
		names = append(names, p.name)
	}
	return names
}

// seen is what fault rules see of the switches.
func (s *Scenario) seen() []faults.Switch {
	var all []faults.Switch
	for _, name := range s.SwitchNames() {
		all = append(all, faults.Switch{Name: name})
	}
	for _, p := range s.ports() {
		for i := range all {
			if all[i].Name == p.sw {
				all[i].Ports = append(all[i].Ports, p.name)
			}
		}
	}
	return all
}

// hostNames returns the names of all that can run applications: hosts and routers.
func (s *Scenario) hostNames() []string { return append(s.Hosts.Names(), s.Routers.Names()...) }

func (s *Scenario) hasHost(name string) bool { return slices.Contains(s.hostNames(), name) }

// noHost is the error about a name that is no host's or router's.
func (s *Scenario) noHost(path []string, name string) *pathError {
	return at(path, "no host %q%s", name, instead(name, s.hostNames()))
}

// noPort is the error about a name that is no port's.
func (s *Scenario) noPort(path []string, name string) *pathError {
	names := s.PortNames()
	if r, ok := s.Routers.Get(name); ok && len(r.Interfaces) > 0 {
		var own []string
		for _, i := range r.Interfaces {
			own = append(own, interfacePort(name, i.Name))
		}
		return at(path, "router %s has a port for each interface: say which one: %s", name, strings.Join(own, ", "))
	}
	if len(s.Routers) == 0 {
		return s.noHost(path, name)
	}
	return at(path, "no host or interface %q%s", name, instead(name, names))
}

// addrsOf returns the addresses of a host or router.
func (s *Scenario) addrsOf(name string) (addrs List[Prefix]) {
	if r, ok := s.Routers.Get(name); ok {
		for _, i := range r.Interfaces {
			addrs = append(addrs, i.Value.IP...)
		}
		return addrs
	}
	h, _ := s.Hosts.Get(name)
	return h.IP
}

func (s *Scenario) checkSwitches() *pathError {
	if s.Switch != "" && s.Switch != learning && s.Switch != hub {
		return at([]string{"switch"}, `want "learning" or "hub"; the names of several switches stand under switches`)
	}
	switch {
	case s.Switch != "" && len(s.Switches) > 0:
		return at([]string{"switch"}, "switches says of each whether it is learning or a hub: leave this out")
	case len(s.Switches) > MaxSwitches:
		return at([]string{"switches"}, "%d switches, at most %d", len(s.Switches), MaxSwitches)
	}
	if e := unique("switches", s.Switches.Names()); e != nil {
		return e
	}
	for i := range s.Switches {
		switch e := &s.Switches[i]; e.Value {
		case learning, hub:
		case "":
			e.Value = learning
		default:
			return at([]string{"switches", e.Name}, `want "learning" or "hub"`)
		}
	}
	return nil
}

func (s *Scenario) checkHosts() *pathError {
	if e := unique("hosts", s.Hosts.Names()); e != nil {
		return e
	}
	for _, h := range s.Hosts {
		path := []string{"hosts", h.Name}
		if _, err := netip.ParseAddr(h.Name); err == nil {
			return keyError(path, "a host's name is not an address")
		}
		if _, ok := s.switchOf(h.Value.Switch); !ok {
			return s.noSwitch(append(path, "switch"), h.Value.Switch)
		}
		if len(h.Value.Gateway) > MaxAddrs {
			return at(append(path, "gateway"), "more than %d gateways", MaxAddrs)
		}
	}
	return nil
}

// noSwitch is the error about a switch that is not there, or is not said.
func (s *Scenario) noSwitch(path []string, name string) *pathError {
	names := s.SwitchNames()
	if name == "" {
		return at(path, "on which switch? there is %s", strings.Join(names, ", "))
	}
	if len(s.Switches) == 0 {
		return at(path, "no switch %q: where there are several, they stand under switches: {lan: learning, wan: learning}", name)
	}
	return at(path, "no switch %q%s", name, instead(name, names))
}

func (s *Scenario) checkRouters() *pathError {
	if e := unique("routers", s.Routers.Names()); e != nil {
		return e
	}
	interfaces := 0
	for _, r := range s.Routers {
		path := []string{"routers", r.Name}
		_, isHost := s.Hosts.Get(r.Name)
		_, err := netip.ParseAddr(r.Name)
		interfaces += len(r.Value.Interfaces)
		switch {
		case isHost:
			return keyError(path, "a host is called %q already", r.Name)
		case err == nil:
			return keyError(path, "a router's name is not an address")
		case len(r.Value.Interfaces) == 0:
			return at(path, "no interfaces; a router has at least one: {interfaces: {lan: {ip: 10.0.0.254/24}}}")
		case interfaces > MaxRouters:
			return at(append(path, "interfaces"), "more than %d interfaces of all routers", MaxRouters)
		case len(r.Value.Routes) > MaxRoutes:
			return at(append(path, "routes"), "%d routes, at most %d", len(r.Value.Routes), MaxRoutes)
		case len(r.Value.Gateway) > MaxAddrs:
			return at(append(path, "gateway"), "more than %d gateways", MaxAddrs)
		}
		for _, i := range r.Value.Interfaces {
			path := append(slices.Clone(path), "interfaces", i.Name)
			if !validName(i.Name) {
				return keyError(path, "name %q: want letters, digits, and _ . - inside, at most 63", i.Name)
			}
			if _, ok := i.Value.switchOf(s, i.Name); !ok {
				return s.noSwitch(append(path, "switch"), i.Value.Switch)
			}
		}
	}
	return nil
}

// checkPorts checks what is the same of hosts and interfaces, and that no two have an
// address in common.
func (s *Scenario) checkPorts() *pathError {
	names, addrs, macs := map[string]bool{}, map[netip.Addr]string{}, map[vswitch.MAC]string{}
	ports := s.ports()
	for _, p := range ports {
		path := func(key string) []string { return append(slices.Clone(p.path), key) }
		switch {
		case names[p.name]:
			return keyError(p.path, "a second port of the name %q", p.name)
		case !validName(p.name):
			return keyError(p.path, "the port's name %q is longer than 63 characters", p.name)
		case len(p.ip) == 0:
			return at(p.path, "no address; it has at least one: {ip: 10.0.0.1/24}")
		case len(p.ip) > MaxAddrs:
			return at(path("ip"), "more than %d addresses", MaxAddrs)
		case p.mtu != 0 && (p.mtu < 68 || p.mtu > vswitch.MaxMTU):
			return at(path("mtu"), "an MTU is from 68 (RFC 791) to %d bytes", vswitch.MaxMTU)
		}
		names[p.name] = true
		for i, ip := range p.ip {
			place := append(path("ip"), strconv.Itoa(i))
			a := ip.Addr()
			switch other, taken := addrs[a]; {
			case taken:
				return at(place, "%v is %s's address already", a, other)
			case a.IsMulticast() || a.IsUnspecified() || a.IsLoopback():
				return at(place, "%v cannot be a host's address", a)
			case isNetwork(ip.Prefix):
				return at(place, "%v is the address of the network, or of all its hosts, not of one", ip)
			case a.Is6() && p.mtu != 0 && p.mtu < 1280:
				return at(path("mtu"), "IPv6 needs an MTU of at least 1280 bytes (RFC 8200)")
			}
			addrs[a] = p.name
		}
		if p.mac == "" {
			continue
		}
		mac, err := vswitch.ParseMAC(p.mac)
		switch other, taken := macs[mac]; {
		case err != nil:
			return at(path("mac"), "%w", err)
		case mac.IsGroup() || mac == vswitch.MAC{}:
			return at(path("mac"), "%v cannot be a host's address", mac)
		case taken:
			return at(path("mac"), "%v is %s's address already", mac, other)
		}
		macs[mac] = p.name
	}
	for i, p := range ports {
		if other, taken := macs[vswitch.PortMAC(i)]; p.mac == "" && taken {
			k := slices.IndexFunc(ports, func(q port) bool { return q.name == other })
			return at(append(slices.Clone(ports[k].path), "mac"), "%v is the address that %s gets by default", vswitch.PortMAC(i), p.name)
		}
	}
	return nil
}

// isNetwork reports whether an address is that of its network, all zeros behind the
// prefix, or the one for broadcasts, all ones. Networks of two addresses (RFC 3021)
// and IPv6 have neither.
func isNetwork(p netip.Prefix) bool {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return false
	}
	a := p.Addr().As4()
	host, ones := binary.BigEndian.Uint32(a[:])<<p.Bits(), ^uint32(0)<<p.Bits()
	return host == 0 || host == ones
}

// checkNextHops checks gateways and routes: what they name is on a network of an
// interface.
func (s *Scenario) checkNextHops() *pathError {
	for _, h := range s.Hosts {
		for i, a := range h.Value.Gateway {
			path := []string{"hosts", h.Name, "gateway", strconv.Itoa(i)}
			if e := checkNextHop(path, a, h.Value.IP); e != nil {
				return e
			}
			if e := checkSecond(path, h.Value.Gateway[:i], a); e != nil {
				return e
			}
		}
	}
	for _, r := range s.Routers {
		path, own := []string{"routers", r.Name}, s.addrsOf(r.Name)
		for i, a := range r.Value.Gateway {
			path := append(slices.Clone(path), "gateway", strconv.Itoa(i))
			if e := checkNextHop(path, a, own); e != nil {
				return e
			}
			if e := checkSecond(path, r.Value.Gateway[:i], a); e != nil {
				return e
			}
			if e := r.Value.checkWay(path, a); e != nil {
				return e
			}
		}
		known := map[netip.Prefix]string{} // what leads to a network
		for _, p := range own {
			known[p.Masked()] = "an interface"
		}
		for _, a := range r.Value.Gateway {
			known[everywhere(a)] = "gateway"
		}
		for _, route := range r.Value.Routes {
			path := append(slices.Clone(path), "routes", route.Name)
			to, err := netip.ParsePrefix(route.Name)
			switch {
			case err != nil:
				return keyError(path, "want a network such as 10.50.0.0/16 or fd00:5::/32; for all others there is gateway")
			case to != to.Masked():
				return keyError(path, "%v is in network %v: write that", to, to.Masked())
			case to.Addr().Is4() != route.Value.Is4():
				return at(path, "%v is of another IP version than %v", route.Value, to)
			case known[to] != "":
				return keyError(path, "%s leads to %v already", known[to], to)
			}
			known[to] = "another route"
			if e := checkNextHop(path, route.Value, own); e != nil {
				return e
			}
			if e := r.Value.checkWay(path, route.Value); e != nil {
				return e
			}
		}
	}
	return nil
}

// checkSecond checks that a gateway is the only one of its family: another would never be
// asked.
func checkSecond(path []string, before List[Addr], a Addr) *pathError {
	if slices.ContainsFunc(before, func(b Addr) bool { return a.Is4() == b.Is4() }) {
		return at(path, "%v is the second gateway of its IP version; there is at most one for IPv4 and one for IPv6", a)
	}
	return nil
}

// checkWay checks that a link-local next hop is on a network of one interface only.
func (r *Router) checkWay(path []string, a Addr) *pathError {
	var on []string
	for _, i := range r.Interfaces {
		if slices.ContainsFunc(i.Value.IP, func(p Prefix) bool { return p.Contains(a.Addr) }) {
			on = append(on, i.Name)
		}
	}
	if a.Is6() && a.IsLinkLocalUnicast() && len(on) > 1 {
		return at(path, "%v is on networks of interfaces %s: give these longer prefixes, such as fe80::a:1/112", a, strings.Join(on, ", "))
	}
	return nil
}

func checkNextHop(path []string, a Addr, own List[Prefix]) *pathError {
	if slices.ContainsFunc(own, func(p Prefix) bool { return p.Addr() == a.Addr }) {
		return at(path, "%v is its own address; want that of the next router", a)
	}
	i := slices.IndexFunc(own, func(p Prefix) bool { return p.Contains(a.Addr) })
	switch {
	case i < 0:
		return at(path, "%v is on no network of its own, so it cannot be reached", a)
	case isNetwork(netip.PrefixFrom(a.Addr, own[i].Bits())):
		return at(path, "%v is no host's address in %v", a, own[i].Masked())
	}
	return nil
}

func (s *Scenario) checkLinks() *pathError {
	names, seen := s.PortNames(), map[string]bool{}
	for _, l := range s.Links {
		path := []string{"links", l.Name}
		switch {
		case !slices.Contains(names, l.Name):
			e := s.noPort(path, l.Name)
			e.key = true
			return e
		case seen[l.Name]:
			return keyError(path, "a second %q", l.Name)
		case time.Duration(l.Value.Latency) > MaxLatency:
			return at(append(path, "latency"), "at most %v", Duration(MaxLatency))
		case l.Value.Rate > MaxRate || l.Value.Rate < 0:
			return at(append(path, "rate"), "at most %v", Rate(MaxRate))
		case l.Value.Queue > MaxQueue || l.Value.Queue < 0:
			return at(append(path, "queue"), "at most %v", Queue(MaxQueue))
		case l.Value.Queue != 0 && l.Value.Rate == 0:
			return at(append(path, "queue"), "a queue has an effect only with a rate")
		}
		seen[l.Name] = true
	}
	return nil
}
