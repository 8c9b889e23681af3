package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/switch"
)

// Step is a change in the course of a run: when, and one thing that changes then.
// What enters the switch at that instant before it is not affected.
type Step struct {
	At Duration `yaml:"at" jsonschema:"required"` // on the virtual clock, from its start

	On     string `yaml:"on"`     // the name of a rule that is turned on
	Off    string `yaml:"off"`    // the name of a rule that is turned off: what it counts stands still
	Remove string `yaml:"remove"` // the name of a rule that is taken away for good
	Add    string `yaml:"add"`    // the text of a rule that comes behind the others
	Down   string `yaml:"down"`   // a host whose cable is pulled
	Up     string `yaml:"up"`     // a host whose cable is plugged in again
}

// deeds are the things a step can do, with their keys.
func (t *Step) deeds() []struct{ key, value string } {
	all := []struct{ key, value string }{
		{"on", t.On}, {"off", t.Off}, {"remove", t.Remove}, {"add", t.Add}, {"down", t.Down}, {"up", t.Up},
	}
	return slices.DeleteFunc(all, func(d struct{ key, value string }) bool { return d.value == "" })
}

// addsGate returns the rule that the step adds if it refuses frames to their
// senders, or nil.
func (t *Step) addsGate() *faults.Rule {
	if t.Add == "" {
		return nil
	}
	if r, err := faults.Parse(t.Add); err == nil && r.Refuses() {
		return r
	}
	return nil
}

// steps returns the script in order of time.
func (s *Scenario) steps() []Step {
	steps := slices.Clone(s.Script)
	slices.SortStableFunc(steps, func(a, b Step) int { return int(min(max(a.At-b.At, -1), 1)) })
	return steps
}

// rules returns the texts of all rules, those that the script adds behind those
// there are at first: in the order of their numbers.
func (s *Scenario) rules() []string {
	texts := slices.Clone(s.Faults)
	for _, t := range s.steps() {
		if t.Add != "" {
			texts = append(texts, t.Add)
		}
	}
	return texts
}

// checkScript comes after checkFaults.
func (s *Scenario) checkScript() *pathError {
	if len(s.Script) > MaxSteps {
		return at([]string{"script"}, "%d steps, at most %d", len(s.Script), MaxSteps)
	}
	named := map[string]bool{}
	for _, text := range s.Faults {
		if r, err := faults.Parse(text); err == nil && r.Name() != "" {
			named[r.Name()] = true
		}
	}
	for i := range s.Script {
		step := &s.Script[i]
		if step.Add == "" {
			continue
		}
		r, e := s.checkRule([]string{"script", strconv.Itoa(i), "add"}, step.Add)
		if e != nil {
			return e
		}
		if r.Name() != "" && named[r.Name()] {
			return at([]string{"script", strconv.Itoa(i), "add"}, "a second rule with the name %q", r.Name())
		}
		named[r.Name()] = true
		step.Add = r.String()
	}
	for i := range s.Script {
		step := &s.Script[i]
		path := []string{"script", strconv.Itoa(i)}
		deeds := step.deeds()
		switch {
		case time.Duration(step.At) > MaxLimit:
			return at(append(path, "at"), "at most %v of virtual time", Duration(MaxLimit))
		case len(deeds) != 1:
			return at(path, "a step does one thing: on, off, remove, add, down or up")
		}
		d := deeds[0]
		path = append(path, d.key)
		switch d.key {
		case "on", "off", "remove":
			if !named[d.value] {
				var names []string
				for name := range named {
					names = append(names, name)
				}
				slices.Sort(names)
				return at(path, "no fault rule has the name %q%s", d.value, instead(d.value, names))
			}
		case "down", "up":
			if !slices.Contains(s.PortNames(), d.value) {
				return s.noPort(path, d.value)
			}
		}
	}
	return nil
}

// checkRule reads a rule and checks it against the scenario.
func (s *Scenario) checkRule(path []string, text string) (*faults.Rule, *pathError) {
	r, err := faults.Parse(text)
	if err == nil {
		err = r.Check(s.seen()...)
	}
	if err == nil && len(r.Tables()) > 0 {
		err = fmt.Errorf("the table %q has not been read; a scenario that is not in a file of its own holds a table's values", r.Tables()[0])
	}
	if err == nil {
		return r, nil
	}
	e := &pathError{path: path, err: err}
	if syntax, ok := err.(*faults.SyntaxError); ok {
		e.column = syntax.Column
	}
	return nil, e
}

// ruleRun is a fault rule in a run. installed is nil until the script adds the rule.
type ruleRun struct {
	text      string
	installed faults.InstalledAll
}

// play lets the script's changes happen on the world's clock.
func (r *runner) play(w *vswitch.World) error {
	if len(r.s.Script) == 0 {
		return nil
	}
	name := "script"
	for _, taken := w.Lookup(name); taken; _, taken = w.Lookup(name) {
		name += "." // hosts may have any name
	}
	node, err := w.NewNode(name)
	if err != nil {
		return err
	}
	for _, step := range r.s.steps() {
		node.StackClock().AfterFunc(time.Duration(step.At), func() {
			if err := r.do(&step); err != nil && r.scriptErr == nil {
				r.scriptErr = fmt.Errorf("script, at %v: %w", step.At, err)
			}
		})
	}
	return nil
}

// do makes one change.
func (r *runner) do(step *Step) error {
	switch d := step.deeds()[0]; d.key {
	case "down", "up":
		r.ports[d.value].SetUp(d.key == "up")
	case "add":
		rule, err := faults.Parse(d.value)
		if err != nil {
			return err
		}
		in, err := faults.InstallAll(r.switches, []*faults.Rule{rule})
		if err != nil {
			return err
		}
		i := slices.IndexFunc(r.rules, func(x *ruleRun) bool { return x.installed == nil })
		r.rules[i].installed = in[0]
	default:
		for _, x := range r.rules {
			switch {
			case x.installed == nil || x.installed.Name() != d.value:
			case d.key == "remove":
				x.installed.Remove()
			default:
				x.installed.SetOn(d.key == "on")
			}
		}
	}
	return nil
}
