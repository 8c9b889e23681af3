package faults

import (
	"fmt"

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

// InstalledAll is one rule in its places on the switches of a world, one at least; see
// [InstallAll].
type InstalledAll []*Installed

// Name is the rule's name, or "".
func (all InstalledAll) Name() string { return all[0].Name() }

// Rule returns the rule.
func (all InstalledAll) Rule() *Rule { return all[0].Rule() }

// Counts says how many frames the rule affected on all switches; a packet that a router
// forwards is a frame on each. Call it where Counts of a rule may be called, as with
// Matched and Unfit.
func (all InstalledAll) Counts() (sum vswitch.RuleCounts) {
	for _, in := range all {
		sum.Add(in.Counts())
	}
	return sum
}

// Matched is how often the rule was asked, on all switches.
func (all InstalledAll) Matched() (n uint64) {
	for _, in := range all {
		n += in.Matched()
	}
	return n
}

// Unfit is that of [Compiled], on all switches.
func (all InstalledAll) Unfit() (n uint64) {
	for _, in := range all {
		n += in.Unfit()
	}
	return n
}

// SetOn turns the rule on or off, on one switch after the other; see
// [vswitch.InstalledRule] for when that takes effect.
func (all InstalledAll) SetOn(on bool) {
	for _, in := range all {
		in.SetOn(on)
	}
}

// Remove takes the rule off all switches for good.
func (all InstalledAll) Remove() {
	for _, in := range all {
		in.Remove()
	}
}

// Install adds rules to a switch, in their order, behind those it has. Draws are
// keyed with the world's seed, the switch's name and, for rules without a name,
// the number of equal rules before it (in this call and in force on the switch).
//
// During a run, rules are added like any other ([vswitch.InstalledRule] says when
// that takes effect), one after the other; one that is "off" is on until it is
// turned off right after.
//
// Either all rules are installed or none. A rule that has no place on the switch
// is an error, that of [Rule.Check]; a rule whose name another one in force
// on the switch has is an error, too.
func Install(sw *vswitch.Switch, rules []*Rule) ([]*Installed, error) {
	all, err := InstallAll([]*vswitch.Switch{sw}, rules)
	if err != nil {
		return nil, err
	}
	installed := make([]*Installed, len(all))
	for i, in := range all {
		installed[i] = in[0]
	}
	return installed, nil
}

// InstallAll adds rules to several switches of one world, each rule to each switch, so
// that it has the same number on all: a result for each rule, which has one [Installed] for
// each switch, in their order. Where a rule has no place (it is "on" another switch, or
// the switch has not all of its ports) it is asked about no frame. A rule that has a
// place nowhere is an error, that of [Rule.Check]. The rest is as with [Install].
func InstallAll(switches []*vswitch.Switch, rules []*Rule) ([]InstalledAll, error) {
	seen := make([]Switch, len(switches))
	for i, sw := range switches {
		seen[i].Name = sw.Name()
		for _, p := range sw.Ports() {
			seen[i].Ports = append(seen[i].Ports, p.Name())
		}
	}
	for _, r := range rules {
		if err := r.Check(seen...); err != nil {
			return nil, err
		}
		if files := r.Tables(); len(files) > 0 {
			return nil, fmt.Errorf("fault rule %q: the table %q has not been read: see Rule.WithTables", r, files[0])
		}
	}
	compiled := make([][]*Compiled, len(switches))
	for i, sw := range switches {
		var err error
		if compiled[i], err = compileFor(sw, seen[i], rules); err != nil {
			return nil, err
		}
	}
	installed := make([]InstalledAll, len(rules))
	for i, sw := range switches {
		for k, c := range compiled[i] {
			installed[k] = append(installed[k], c.install(sw))
		}
	}
	return installed, nil
}

// compileFor compiles rules for a switch; seen is what they see of it.
func compileFor(sw *vswitch.Switch, seen Switch, rules []*Rule) ([]*Compiled, error) {
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
		key := r.key()
		occurrences[key]++
		if r.name != "" && occurrences[key] > 1 {
			return nil, fmt.Errorf("fault rule %q: switch %s has a rule of that name already", r, sw.Name())
		}
		compiled[i] = r.Compile(Keys{Seed: sw.World().Seed(), Switch: sw.Name(), Occurrence: occurrences[key]})
		compiled[i].idle = compiled[i].idle || r.missing(seen) != ""
		compiled[i].shareFit(fits)
	}
	return compiled, nil
}

// install adds the rule to the switch that it was compiled for.
func (c *Compiled) install(sw *vswitch.Switch) *Installed {
	var rule vswitch.Rule = c
	if c.rule.Refuses() {
		rule = gate{c}
	}
	in := &Installed{sw.AddRule(c.rule.name, rule), c}
	if c.rule.off {
		in.SetOn(false)
	}
	return in
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
