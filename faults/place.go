package faults

import (
	"fmt"
	"slices"
	"strings"
)

// Switch is what rules see of a switch: its name, and those of its ports.
type Switch struct {
	Name  string
	Ports []string
}

// Check returns an error if the rule has a place on none of the switches: a
// [*PortError] if it names a port that is not there, a [*SwitchError] if it is "on" a
// switch that is not there, or one that says which ports are on different switches.
func (r *Rule) Check(switches ...Switch) error {
	on := switches
	if r.sw != "" {
		on = slices.DeleteFunc(slices.Clone(switches), func(s Switch) bool { return s.Name != r.sw })
		if len(on) == 0 {
			e := &SwitchError{Rule: r, Switch: r.sw}
			for _, s := range switches {
				e.Switches = append(e.Switches, s.Name)
			}
			return e
		}
	}
	for _, s := range on {
		if r.missing(s) == "" {
			return nil
		}
	}
	if len(r.where.ports()) == 0 {
		return nil // there is no switch yet
	}
	e := &PortError{Rule: r}
	for _, s := range on {
		e.Ports = append(e.Ports, s.Ports...)
	}
	for _, name := range r.where.ports() {
		if !slices.Contains(e.Ports, name) {
			if e.Port = name; r.sw != "" {
				e.Switch = r.sw
			}
			return e
		}
	}
	var where []string
	for _, name := range r.where.ports() {
		for _, s := range on {
			if slices.Contains(s.Ports, name) {
				where = append(where, name+" on "+s.Name)
			}
		}
	}
	return fmt.Errorf("fault rule %q: its ports are on different switches (%s), and a rule is about the cables of one: name the router's port instead of the host beyond it",
		clip(r.String(), 2*maxQuoted), strings.Join(where, ", "))
}

// missing returns the first port that the rule names and the switch does not have, or "".
func (r *Rule) missing(s Switch) string {
	for _, name := range r.where.ports() {
		if !slices.Contains(s.Ports, name) {
			return name
		}
	}
	return ""
}

// PortError says that a rule names a port which is not there.
type PortError struct {
	Rule   *Rule
	Port   string   // the name in the rule
	Switch string   // the switch that the rule is on, if it says so
	Ports  []string // the names there are
}

func (e *PortError) Error() string {
	on := ""
	if e.Switch != "" {
		on = " on switch " + e.Switch
	}
	return fmt.Sprintf("fault rule %q: no port %q%s; %s%s",
		clip(e.Rule.String(), 2*maxQuoted), e.Port, on, listed("ports", e.Ports), didYouMean(e.Port, e.Ports))
}

// SwitchError says that a rule is on a switch which is not there.
type SwitchError struct {
	Rule     *Rule
	Switch   string   // the name in the rule
	Switches []string // the names there are
}

func (e *SwitchError) Error() string {
	return fmt.Sprintf("fault rule %q: no switch %q; %s%s",
		clip(e.Rule.String(), 2*maxQuoted), e.Switch, listed("switches", e.Switches), didYouMean(e.Switch, e.Switches))
}

// listed says which ports or switches there are.
func listed(what string, names []string) string {
	const most = 20
	switch n := len(names); {
	case n == 0:
		return "there are none"
	case n == 1 && what == "switches":
		return "the only one is " + names[0]
	case n > most:
		return fmt.Sprintf("the %s are %s and %d more", what, strings.Join(names[:most], ", "), n-most)
	}
	return fmt.Sprintf("the %s are %s", what, strings.Join(names, ", "))
}
