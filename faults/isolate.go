package faults

import (
	"slices"
	"strings"

	"github.com/vnreplay/vnreplay/switch"
)

// partition loses what is on its way from one group of ports to another.
type partition struct {
	a, b []string // in normal order; b is nil for all that are not in a
	both bool     // and back
}

func startPartition() (action, []clause) { return &partition{}, nil }

const partitionHint = "a partition is written client -> server (one way), a,b <-> c,d, or a,b (from all others)"

func (a *partition) parseHead(p *parser) (err error) {
	t := p.next()
	if t.atEnd() || slices.Contains(clauseWords, t.text) {
		return p.errorf(t, "between whom? %s", partitionHint)
	}
	if a.a, err = p.group(t); err != nil {
		return err
	}
	arrow := p.peek()
	switch arrow.text {
	case "->", "<->":
		p.next()
		a.both = arrow.text == "<->"
	case "<-":
		return p.errorf(p.peek(), "write the sender first: server -> client")
	default:
		a.both = true
		if a.a == nil {
			return p.errorf(t, "all from all others is nothing; all <-> all parts everybody")
		}
		return nil
	}
	if t, err = p.want(arrow.text, "the names of ports"); err != nil {
		return err
	}
	if a.b, err = p.group(t); err != nil {
		return err
	}
	if a.b == nil { // "all": whoever it may be
		a.b = []string{everyPort}
	}
	if a.a == nil {
		a.a = []string{everyPort}
	}
	if a.both && slices.Compare(a.b, a.a) < 0 { // the same either way
		a.a, a.b = a.b, a.a
	}
	return nil
}

// group reads names of ports with commas; nil is "all".
func (p *parser) group(t token) ([]string, error) {
	items, err := p.list(t)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, item := range items {
		name, err := p.portName(item, "")
		if err != nil {
			return nil, err
		}
		if name == everyPort {
			if len(items) > 1 {
				return nil, p.errorf(item, `"all" stands alone`)
			}
			return nil, nil
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (*partition) word() string        { return "partition" }
func (*partition) check(*parser) error { return nil }
func (*partition) draws() bool         { return false }

func (a *partition) options() []string {
	parts := []string{strings.Join(a.a, ",")}
	if a.b == nil {
		return parts
	}
	arrow := "->"
	if a.both {
		arrow = "<->"
	}
	return append(parts, arrow, strings.Join(a.b, ","))
}

func (a *partition) on(from, to *vswitch.Port) bool {
	if to == nil {
		return false
	}
	in := func(group []string, p *vswitch.Port) bool {
		return len(group) > 0 && group[0] == everyPort || slices.Contains(group, p.Name())
	}
	if a.b == nil {
		return in(a.a, from) != in(a.a, to)
	}
	return in(a.a, from) && in(a.b, to) || a.both && in(a.a, to) && in(a.b, from)
}

func (*partition) cables() (sender, receivers bool) { return false, true }

func (a *partition) ports() []string {
	return slices.DeleteFunc(slices.Concat(a.a, a.b), func(s string) bool { return s == everyPort })
}

func (a *partition) place() string {
	group := func(names []string) string {
		if names[0] == everyPort {
			return "anybody"
		}
		return oneOf(names)
	}
	switch {
	case a.b == nil:
		return "frames between " + group(a.a) + " and the others"
	case a.a[0] == everyPort && a.b[0] == everyPort:
		return "all frames"
	case a.both:
		return "frames between " + group(a.a) + " and " + group(a.b)
	}
	return "frames from " + group(a.a) + " to " + group(a.b)
}

var (
	_ placed = (*partition)(nil)
	_ placed = (*cut)(nil)
)

func (a *partition) verdict(_ *subject, v *vswitch.Verdict) { v.Drop = true }

// cut is a pulled cable, while the rule is in force (down) or while it is not (up).
type cut struct {
	port string
	up   bool
}

func startDown() (action, []clause) { return &cut{}, nil }
func startUp() (action, []clause)   { return &cut{up: true}, nil }

func (a *cut) parseHead(p *parser) (err error) {
	a.port, err = p.port(token{text: a.word()})
	return err
}

func (a *cut) word() string {
	if a.up {
		return "up"
	}
	return "down"
}

func (a *cut) options() []string { return []string{a.port} }
func (*cut) check(*parser) error { return nil }
func (*cut) draws() bool         { return false }

func (a *cut) checkRule(p *parser, r *Rule) error {
	if a.up && r.when.ever() {
		return p.errorf(p.end, "a cable is up anyway: up is for a cable that is down but for a while: up %s during 1s..2s", a.port)
	}
	return nil
}

func (a *cut) on(from, to *vswitch.Port) bool {
	if a.port == everyPort {
		return to == nil
	}
	if to == nil {
		return from.Name() == a.port
	}
	return to.Name() == a.port
}

func (a *cut) cables() (sender, receivers bool) { return true, a.port != everyPort }

func (a *cut) ports() []string {
	if a.port == everyPort {
		return nil
	}
	return []string{a.port}
}

func (a *cut) place() string {
	if a.port == everyPort {
		return "all frames"
	}
	return "frames that " + a.port + " sends, and those to it"
}

func (*cut) verdict(_ *subject, v *vswitch.Verdict) { v.Drop = true }

func (*partition) says() string { return "loses them" }

func (a *cut) says() string {
	if a.up {
		return "loses them at all other times: only then is the cable up"
	}
	return "loses them"
}
