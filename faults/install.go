package faults

import (
	"fmt"
	"strings"

	"github.com/vnreplay/vnreplay/switch"
)

// Installed is a rule in its place on a switch: Counts says what it did, Matched
// how often it was asked (never, if it is idle), Remove takes it off.
type Installed struct {
	*vswitch.InstalledRule
	compiled *Compiled
}

// Rule returns the rule.
func (in *Installed) Rule() *Rule { return in.compiled.rule }

// Matched is that of [Compiled], with the frames that were refused to their senders.
func (in *Installed) Matched() uint64 { return in.compiled.Matched() + in.Counts().Refused }

// Unfit is that of [Compiled].
func (in *Installed) Unfit() uint64 { return in.compiled.Unfit() }

// Install adds rules to a switch, in their order, behind those it has. Draws are
// keyed with the world's seed, the switch's name and, for rules without a name,
// the number of equal rules before it (in this call and in force on the switch).
//
// During a run, rules are added like any other ([vswitch.InstalledRule] says when
// that takes effect), one after the other; one that is "off" is on until it is
// turned off right after.
//
// Either all rules are installed or none. A rule that names a port which the
// switch does not have is a [*PortError]; a rule whose name another one in force
// on the switch has is an error, too.
func Install(sw *vswitch.Switch, rules []*Rule) ([]*Installed, error) {
	var ports []string
	for _, p := range sw.Ports() {
		ports = append(ports, p.Name())
	}
	occurrences := make(map[string]int)
	fits := make(map[string]*fit) // by expression
	for _, in := range sw.Rules() {
		if c := compiledOf(in.Rule()); c != nil {
			occurrences[c.key]++
			c.shareFit(fits)
		}
	}
	compiled := make([]*Compiled, len(rules))
	for i, r := range rules {
		if err := r.CheckPorts(ports); err != nil {
			return nil, err
		}
		if files := r.Tables(); len(files) > 0 {
			return nil, fmt.Errorf("fault rule %q: the table %q has not been read: see Rule.WithTables", r, files[0])
		}
		key := r.key()
		occurrences[key]++
		if r.name != "" && occurrences[key] > 1 {
			return nil, fmt.Errorf("fault rule %q: switch %s has a rule of that name already", r, sw.Name())
		}
		compiled[i] = r.Compile(Keys{Seed: sw.World().Seed(), Switch: sw.Name(), Occurrence: occurrences[key]})
		compiled[i].shareFit(fits)
	}
	installed := make([]*Installed, len(rules))
	for i, c := range compiled {
		var rule vswitch.Rule = c
		if c.rule.Refuses() {
			rule = gate{c}
		}
		installed[i] = &Installed{sw.AddRule(c.rule.name, rule), c}
		if c.rule.off {
			installed[i].SetOn(false)
		}
	}
	return installed, nil
}

// compiledOf returns the compiled rule that r is, or nil.
func compiledOf(r vswitch.Rule) *Compiled {
	switch r := r.(type) {
	case *Compiled:
		return r
	case gate:
		return r.Compiled
	}
	return nil
}

// CheckPorts returns a [*PortError] if the rule names a port that is not among
// ports.
func (r *Rule) CheckPorts(ports []string) error {
	for _, name := range r.where.ports() {
		found := false
		for _, p := range ports {
			found = found || p == name
		}
		if !found {
			return &PortError{Rule: r, Port: name, Ports: ports}
		}
	}
	return nil
}

// PortError says that a rule names a port which is not there.
type PortError struct {
	Rule  *Rule
	Port  string   // the name in the rule
	Ports []string // the names there are
}

func (e *PortError) Error() string {
	const listed = 20
	there := "there are none"
	if n := len(e.Ports); n > 0 {
		there = "the ports are " + strings.Join(e.Ports[:min(n, listed)], ", ")
		if n > listed {
			there += fmt.Sprintf(" and %d more", n-listed)
		}
	}
	return fmt.Sprintf("fault rule %q: no port %q; %s%s",
		clip(e.Rule.String(), 2*maxQuoted), e.Port, there, didYouMean(e.Port, e.Ports))
}
