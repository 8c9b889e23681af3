package scenario

import (
	"encoding/hex"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// Check reports what is wrong with a scenario that a program made; [Load] and
// [Parse] have done it for theirs. The error is an [*Error] without a place in a file.
func (s *Scenario) Check() error {
	if e := s.check(); e != nil {
		return &Error{File: s.name, Msg: e.inWords(), err: e.err}
	}
	return nil
}

func (s *Scenario) check() *pathError {
	for _, part := range []func() *pathError{s.checkTop, s.checkSwitches, s.checkHosts, s.checkRouters, s.checkPorts, s.checkNextHops, s.checkLinks,
		s.checkFaults, s.checkScript, s.checkApps, s.checkExpect} {
		if e := part(); e != nil {
			return e
		}
	}
	if n := len(s.withoutFaults().Effective()); n > MaxEffective {
		return at(nil, "%d bytes with the files it names, at most %d are read from a recording", n, MaxEffective)
	}
	return nil
}

func (s *Scenario) checkTop() *pathError {
	switch {
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

func (s *Scenario) checkFaults() *pathError {
	named := map[string]int{}
	size := 0
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
		if size += len(s.Faults[i]); size > MaxRuleBytes {
			return at(path, "fault rules of more than %d bytes together", MaxRuleBytes)
		}
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
	for _, p := range s.addrsOf(host) {
		if err == nil && p.Addr() == a {
			return true
		}
	}
	return false
}
