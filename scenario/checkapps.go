package scenario

import (
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/faults"
)

// kind returns the word of the application's kind and its configuration; count
// is how many it has.
func (a *App) kind() (word string, config any, count int) {
	v := reflect.ValueOf(a).Elem()
	for f := range fields(v.Type()) {
		if p := v.FieldByIndex(f.Index); p.Kind() == reflect.Pointer && !p.IsNil() {
			if count == 0 {
				word, config = f.Tag.Get("yaml"), p.Interface()
			}
			count++
		}
	}
	return word, config, count
}

// kinds lists the words of all kinds.
func kinds() (words []string) {
	for f := range fields(reflect.TypeFor[App]()) {
		if f.Type.Kind() == reflect.Pointer {
			words = append(words, f.Tag.Get("yaml"))
		}
	}
	return words
}

// usage is what all applications so far may use together.
type usage struct {
	files     int
	fileBytes int64
	parallel  Number
}

// clients adds the clients or connections of one application.
func (u *usage) clients(path []string, n Number) *pathError {
	switch n = max(n, 1); {
	case n > MaxParallel:
		return at(path, "at most %d", MaxParallel)
	case u.parallel+n > MaxClients:
		return at(path[:2], "more than %d clients and connections over all applications", MaxClients)
	}
	u.parallel += n
	return nil
}

func (s *Scenario) checkApps() *pathError {
	if e := unique("apps", s.Apps.Names()); e != nil {
		return e
	}
	var used usage
	for i := range s.Apps {
		name, a := s.Apps[i].Name, &s.Apps[i].Value
		path := []string{"apps", name}
		word, config, count := a.kind()
		switch {
		case name == keyFaults || name == keyTCP || name == keyRun:
			return keyError(path, "%q is a key of expect; call the application something else", name)
		case a.Host == "":
			return at(path, "no host; say where it runs: host: %s", s.Hosts[0].Name)
		case !s.hasHost(a.Host):
			return s.noHost(append(path, "host"), a.Host)
		case time.Duration(a.At) > MaxLimit:
			return at(append(path, "at"), "at most %v", Duration(MaxLimit))
		case count == 0:
			return at(path, "what does it do? give one of %s", strings.Join(kinds(), ", "))
		case count > 1:
			return at(path, "%d kinds of application; give one of them a name of its own", count)
		}
		if e := s.checkKind(append(path, word), config, &used); e != nil {
			return e
		}
	}
	return nil
}

// checkKind checks the configuration of one application.
func (s *Scenario) checkKind(path []string, config any, used *usage) *pathError {
	in := func(keys ...string) []string { return append(append([]string(nil), path...), keys...) }
	switch c := config.(type) {
	case *HTTPServer:
		return c.check(in, used)
	case *Port:
		return checkPort(in("port"), c.Port, false)
	case *HTTPGet:
		return s.checkGet(in, c, used)
	case *Echo:
		switch {
		case c.Size > MaxMessage:
			return at(in("size"), "at most %v", Size(MaxMessage))
		case c.Times > MaxTimes:
			return at(in("times"), "at most %d", MaxTimes)
		}
		return s.checkTarget(in("to"), c.To, true)
	case *Ping:
		switch {
		case c.Size > MaxMessage:
			return at(in("size"), "at most %v", Size(MaxMessage))
		case c.Times > MaxTimes:
			return at(in("times"), "at most %d", MaxTimes)
		}
		return s.checkTarget(in("to"), c.To, false)
	case *Bulk:
		switch {
		case c.Bytes == 0:
			return at(in("bytes"), "how many bytes? such as bytes: 1MB")
		}
		if e := used.clients(in("parallel"), c.Parallel); e != nil {
			return e
		}
		if c.Bytes > MaxTransfer/Size(max(1, c.Parallel)) {
			return at(in("bytes"), "at most %v over all connections", Size(MaxTransfer))
		}
		return s.checkTarget(in("to"), c.To, true)
	}
	return nil
}

func checkPort(path []string, port Number, mayDefault bool) *pathError {
	if port > 65535 || port == 0 && !mayDefault {
		return at(path, "a port is from 1 to 65535")
	}
	return nil
}

func (c *HTTPServer) port() Number {
	if c.Port == 0 {
		return 80
	}
	return c.Port
}

func (c *HTTPServer) check(in func(...string) []string, used *usage) *pathError {
	if e := checkPort(in("port"), c.Port, true); e != nil {
		return e
	}
	for _, f := range c.Files {
		used.files++
		switch {
		case !strings.HasPrefix(f.Name, "/") || strings.ContainsAny(f.Name, "?#% ") || len(f.Name) > 1000:
			return keyError(in("files", f.Name), "want the path of a URL, such as /big, without escapes")
		case f.Value.Name != "":
			return at(in("files", f.Name), "file %s was not read; only a scenario in a file names files", strconv.Quote(f.Value.Name))
		case f.Value.Len() < 0 || f.Value.Len() > MaxFileBytes-used.fileBytes:
			return at(in("files", f.Name), "all files together have at most %v", Size(MaxFileBytes))
		case used.files > MaxFiles:
			return at(in("files", f.Name), "at most %d files", MaxFiles)
		}
		used.fileBytes += f.Value.Len()
	}
	return nil
}

func (s *Scenario) checkGet(in func(...string) []string, c *HTTPGet, used *usage) *pathError {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "http" || u.Hostname() == "" || u.User != nil:
		return at(in("url"), "want a URL such as http://server/big")
	case c.Times > MaxTimes:
		return at(in("times"), "at most %d", MaxTimes)
	}
	if e := used.clients(in("parallel"), c.Parallel); e != nil {
		return e
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return s.checkTarget(in("url"), host+":"+port, true)
}

func (s *Scenario) checkExpect() *pathError {
	if s.Expect == nil {
		return nil
	}
	for _, x := range s.Expect.Apps {
		path := []string{"expect", x.Name}
		app, ok := s.Apps.Get(x.Name)
		if !ok {
			e := at(path, "no application %q%s", x.Name,
				instead(x.Name, append(s.Apps.Names(), keyFaults, keyTCP, keyRun)))
			e.key = true
			return e
		}
		if e := s.checkHash(append(path, "sha256"), app, x.Value.SHA256); e != nil {
			return e
		}
	}
	for _, x := range s.Expect.Faults {
		if s.ruleIndex(x.Name) < 0 {
			return keyError([]string{"expect", keyFaults, x.Name}, "no fault rule with the name or number %q", x.Name)
		}
	}
	return nil
}

// ruleIndex returns the place of the fault rule with a name or number, or -1.
func (s *Scenario) ruleIndex(nameOrNumber string) int {
	rules := s.rules()
	if n, err := strconv.Atoi(nameOrNumber); err == nil && 1 <= n && n <= len(rules) && strconv.Itoa(n) == nameOrNumber {
		return n - 1
	}
	for i, text := range rules {
		if r, err := faults.Parse(text); err == nil && r.Name() == nameOrNumber && nameOrNumber != "" {
			return i
		}
	}
	return -1
}

// AddFaults adds rules behind those that the scenario has, such as from a
// command line. On an error nothing is added.
func (s *Scenario) AddFaults(texts ...string) error {
	before := s.Faults
	s.Faults = append(slices.Clone(before), texts...)
	if e := s.checkFaults(); e != nil {
		s.Faults = before
		return e.err
	}
	return nil
}
