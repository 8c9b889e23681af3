package scenario

import (
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// Check reports what is wrong with a scenario that a program made; [Load] and
// [Parse] have done it for theirs. The error is an [*Error] without a place in a file.
func (s *Scenario) Check() error {
	if e := s.check(); e != nil {
		return &Error{File: s.name, Msg: strings.Join(e.path, ".") + ": " + e.Error(), err: e.err}
	}
	return nil
}

func (s *Scenario) check() *pathError {
	for _, part := range []func() *pathError{s.checkTop, s.checkHosts, s.checkLinks, s.checkFaults, s.checkScript, s.checkApps, s.checkExpect} {
		if e := part(); e != nil {
			return e
		}
	}
	n := len(s.Effective())
	for _, text := range s.Faults {
		n += len(text) + len("rule.10000=\n")
	}
	if n > MaxEffective {
		return at(nil, "%d bytes with its rules and the files it names, at most %d fit into a recording", n, MaxEffective)
	}
	return nil
}

func (s *Scenario) checkTop() *pathError {
	switch {
	case s.Switch != "" && s.Switch != learning && s.Switch != hub:
		return at([]string{"switch"}, `want "learning" or "hub"`)
	case !s.Start.IsZero() && (s.Start.Year() < 1970 || s.Start.Year() > 2200):
		return at([]string{"start"}, "the clock starts between 1970 and 2200")
	case time.Duration(s.Limit) > MaxLimit:
		return at([]string{"limit"}, "at most %v of virtual time", Duration(MaxLimit))
	case len(s.Hosts) == 0:
		return at([]string{"hosts"}, "no hosts; a scenario has at least one")
	case len(s.Hosts) > MaxHosts:
		return at([]string{"hosts"}, "%d hosts, at most %d", len(s.Hosts), MaxHosts)
	case len(s.Apps) > MaxApps:
		return at([]string{"apps"}, "%d applications, at most %d", len(s.Apps), MaxApps)
	case len(s.Faults) > MaxFaults:
		return at([]string{"faults"}, "%d fault rules, at most %d", len(s.Faults), MaxFaults)
	}
	return nil
}

// validName: as package vswitch wants names of ports, and applications' names
// are the same.
func validName(s string) bool {
	ok := s != "" && len(s) <= 63
	for i, r := range []byte(s) {
		alnum := '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		ok = ok && (alnum || i > 0 && (r == '_' || r == '.' || r == '-'))
	}
	return ok
}

// keyError makes an error about the last key of a path.
func keyError(path []string, format string, args ...any) *pathError {
	e := at(path, format, args...)
	e.key = true
	return e
}

// unique refuses a second entry of one name (the file's parser does, too).
func unique(section string, names []string) *pathError {
	seen := map[string]bool{}
	for _, name := range names {
		path := []string{section, name}
		if !validName(name) {
			return keyError(path, "name %q: want letters, digits, and _ . - inside, at most 63", name)
		}
		if seen[name] {
			return keyError(path, "a second %q", name)
		}
		seen[name] = true
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

func (s *Scenario) checkHosts() *pathError {
	if e := unique("hosts", s.Hosts.Names()); e != nil {
		return e
	}
	addrs, macs := map[netip.Addr]string{}, map[vswitch.MAC]string{}
	for _, h := range s.Hosts {
		path := func(key string) []string { return []string{"hosts", h.Name, key} }
		if _, err := netip.ParseAddr(h.Name); err == nil {
			return keyError([]string{"hosts", h.Name}, "a host's name is not an address")
		}
		switch mtu := h.Value.MTU; {
		case len(h.Value.IP) == 0:
			return at([]string{"hosts", h.Name}, "no address; a host has at least one: {ip: 10.0.0.1/24}")
		case len(h.Value.IP) > MaxAddrs || len(h.Value.Gateway) > MaxAddrs:
			return at([]string{"hosts", h.Name}, "more than %d addresses", MaxAddrs)
		case mtu != 0 && (mtu < 68 || mtu > vswitch.MaxMTU):
			return at(path("mtu"), "an MTU is from 68 (RFC 791) to %d bytes", vswitch.MaxMTU)
		}
		for i, p := range h.Value.IP {
			place := append(path("ip"), strconv.Itoa(i))
			a := p.Addr()
			switch other, taken := addrs[a]; {
			case taken:
				return at(place, "%v is %s's address already", a, other)
			case a.IsMulticast() || a.IsUnspecified() || a.IsLoopback():
				return at(place, "%v cannot be a host's address", a)
			case isNetwork(p.Prefix):
				return at(place, "%v is the address of the network, or of all its hosts, not of one", p)
			case a.Is6() && h.Value.MTU != 0 && h.Value.MTU < 1280:
				return at(path("mtu"), "IPv6 needs an MTU of at least 1280 bytes (RFC 8200)")
			}
			addrs[a] = h.Name
		}
		if h.Value.MAC == "" {
			continue
		}
		mac, err := vswitch.ParseMAC(h.Value.MAC)
		switch other, taken := macs[mac]; {
		case err != nil:
			return at(path("mac"), "%w", err)
		case mac.IsGroup() || mac == vswitch.MAC{}:
			return at(path("mac"), "%v cannot be a host's address", mac)
		case taken:
			return at(path("mac"), "%v is %s's address already", mac, other)
		}
		macs[mac] = h.Name
	}
	for i, h := range s.Hosts {
		if other, taken := macs[vswitch.PortMAC(i)]; h.Value.MAC == "" && taken {
			return at([]string{"hosts", other, "mac"}, "%v is the address that host %s gets by default", vswitch.PortMAC(i), h.Name)
		}
	}
	return nil
}

// noHost is the error about a name that is no host's.
func (s *Scenario) noHost(path []string, name string) *pathError {
	return at(path, "no host %q%s", name, instead(name, s.Hosts.Names()))
}

func (s *Scenario) hasHost(name string) bool {
	_, ok := s.Hosts.Get(name)
	return ok
}

func (s *Scenario) checkLinks() *pathError {
	seen := map[string]bool{}
	for _, l := range s.Links {
		path := []string{"links", l.Name}
		switch {
		case !s.hasHost(l.Name):
			e := s.noHost(path, l.Name)
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

func (s *Scenario) checkFaults() *pathError {
	named := map[string]int{}
	for i, text := range s.Faults {
		path := []string{"faults", strconv.Itoa(i)}
		r, e := s.checkRule(path, text)
		if e != nil {
			return e
		}
		if r.Name() != "" {
			if first, taken := named[r.Name()]; taken {
				return at(path, "fault rule %d has the name %q already", first, r.Name())
			}
			named[r.Name()] = i + 1
		}
		// The normal form is what a recording names, and what draws are keyed by.
		s.Faults[i] = r.String()
	}
	return nil
}

// checkTarget checks the "host:port" or "host" that an application talks to.
func (s *Scenario) checkTarget(path []string, to string, withPort bool) *pathError {
	host := to
	if withPort {
		h, port, err := net.SplitHostPort(to)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 {
			return at(path, "want a host and a port, such as server:7 or [fd00::2]:7")
		}
		host = h
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if !s.hasHost(host) {
		return s.noHost(path, host)
	}
	return nil
}

// checkHash checks the sha256 of an application's expectation.
func (s *Scenario) checkHash(path []string, app App, want string) *pathError {
	sum, err := hex.DecodeString(want)
	switch {
	case want == "":
		return nil
	case app.HTTPGet == nil:
		return at(path, "only http-get has one; the others compare by themselves")
	case want == served:
		if s.servedFile(app.HTTPGet.URL) == nil {
			return at(path, "no http-server of this scenario serves %s", app.HTTPGet.URL)
		}
	case err != nil || len(sum) != 32:
		return at(path, "want %q or 64 hexadecimal digits", served)
	}
	return nil
}

// served is the sha256 of an expectation that means: of the file that the
// scenario's own server serves.
const served = "served"

// servedFile returns the file of this scenario that a URL names, or nil.
func (s *Scenario) servedFile(rawURL string) *Entry[File] {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	for _, a := range s.Apps {
		server := a.Value.HTTPServer
		if server == nil || !s.isHost(a.Value.Host, u.Hostname()) || server.port().String() != port {
			continue
		}
		for i := range server.Files {
			if server.Files[i].Name == u.Path {
				return &server.Files[i]
			}
		}
	}
	return nil
}

// isHost reports whether nameOrAddr is the host's name or one of its addresses.
func (s *Scenario) isHost(host, nameOrAddr string) bool {
	if host == nameOrAddr {
		return true
	}
	a, err := netip.ParseAddr(nameOrAddr)
	h, _ := s.Hosts.Get(host)
	for _, p := range h.IP {
		if err == nil && p.Addr() == a {
			return true
		}
	}
	return false
}
