package live

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/vnreplay/vnreplay/faults"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// rule is a rule that is or was on the switch.
type rule struct {
	*faults.Installed
	removed bool
}

// RuleStatus is what a rule did so far.
type RuleStatus struct {
	Number  int    `json:"number"` // from 1; not reused
	Name    string `json:"name,omitempty"`
	Text    string `json:"text"`
	On      bool   `json:"on"`
	Removed bool   `json:"removed,omitempty"`
	// Asked is how often it was in force where it was about a frame.
	Asked uint64 `json:"asked"`
	// Idle: its probability is 0, so that it is not asked.
	Idle bool `json:"idle,omitempty"`
	vswitch.RuleCounts
}

// status is called inside of Inspect.
func (r *rule) status() RuleStatus {
	return RuleStatus{Number: r.Number(), Name: r.Name(), Text: r.Rule().String(), On: r.On() && !r.removed, Removed: r.removed,
		Asked: r.Matched(), Idle: r.Rule().Idle(), RuleCounts: r.Counts()}
}

// maxRuleText bounds a rule that is added to a running switch: its text goes into one
// comment of the recording.
const maxRuleText = 60_000

// AddFault puts a rule behind those that there are. It holds for frames that enter
// from now on. The error is a *faults.SyntaxError, a *faults.PortError, ErrEnded, or says
// that there is a rule of its name.
func (s *Switch) AddFault(text string) (RuleStatus, error) {
	r, err := faults.Parse(text)
	if err != nil {
		return RuleStatus{}, err
	}
	if n := len(r.String()); n > maxRuleText {
		return RuleStatus{}, fmt.Errorf("a rule of %d bytes: at most %d can be added to a running switch; give longer ones at its start", n, maxRuleText)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return RuleStatus{}, ErrEnded
	}
	installed, err := faults.Install(s.sw, []*faults.Rule{r})
	if err != nil {
		return RuleStatus{}, err
	}
	added := &rule{Installed: installed[0]}
	s.rules = append(s.rules, added)
	return s.inspect(added), nil
}

// SetFault turns a rule on or off; which is its number or its name.
func (s *Switch) SetFault(which string, on bool) (RuleStatus, error) {
	return s.changeRule(which, func(r *rule) { r.SetOn(on) })
}

// RemoveFault takes a rule off the switch for good.
func (s *Switch) RemoveFault(which string) (RuleStatus, error) {
	return s.changeRule(which, func(r *rule) {
		r.Remove()
		r.removed = true
	})
}

func (s *Switch) changeRule(which string, change func(*rule)) (RuleStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return RuleStatus{}, ErrEnded
	}
	r, err := s.find(which)
	if err != nil {
		return RuleStatus{}, err
	}
	change(r)
	return s.inspect(r), nil
}

// find returns the rule of a number or a name. Of rules of one name, of which only one is
// on the switch at a time, it is the last.
func (s *Switch) find(which string) (*rule, error) {
	number, err := strconv.Atoi(which)
	var found *rule
	for _, r := range s.rules {
		if err == nil && r.Number() == number || err != nil && r.Name() == which {
			found = r
		}
	}
	switch {
	case len(s.rules) == 0:
		return nil, errors.New("there are no rules")
	case found == nil && err == nil:
		return nil, fmt.Errorf("no rule %d: there are 1 to %d", number, s.rules[len(s.rules)-1].Number())
	case found == nil:
		return nil, fmt.Errorf("no rule %q: give its number, or its name", which)
	case found.removed:
		return nil, fmt.Errorf("rule %d was removed", found.Number())
	}
	return found, nil
}

// inspect is the status of one rule. s.mu is held.
func (s *Switch) inspect(r *rule) (st RuleStatus) {
	s.sw.Inspect(func() { st = r.status() })
	return st
}

// SetCable plugs the cable of a port in, or pulls it out.
func (s *Switch) SetCable(name string, up bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return ErrEnded
	}
	for _, p := range s.ports {
		if p.cfg.Name == name {
			p.port.SetUp(up)
			return nil
		}
	}
	return fmt.Errorf("no port %q: vnreplay ctl status lists them", name)
}
