package vswitch

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// InstalledRule is a rule in its place on a switch.
//
// Rules may be added, removed, turned off and on before the run, and during it.
// During the run such a change is an event of its own ([Changed]). From an
// application it takes effect, and the call returns, when all that was sent
// before has entered the switch; from what the world's loop calls (an endpoint, a
// timer) it takes effect at once.
type InstalledRule struct {
	number int
	name   string
	rule   Rule
	sw     *Switch
	off    bool // both guarded by the world's mu
	gone   bool // removed
	// whether it is asked about senders' and about receivers' cables
	onSenders, onReceivers bool

	// frames it was counted for, by what it did; frames, not receivers.
	counts  RuleCounts
	refused atomic.Uint64
	lastSeq uint64 // the frame counts were last raised for, per kind
	seen    hitKind
}

// RuleCounts says how many frames a rule affected. A frame is counted once in
// each field that applies, however many receivers were affected.
type RuleCounts struct {
	Frames    uint64 `json:"frames"` // affected in any way, those refused not included
	Dropped   uint64 `json:"dropped"`
	Copied    uint64 `json:"duplicated"` // frames that were duplicated, not copies made
	Changed   uint64 `json:"corrupted"`  // frames of which bytes were changed
	Truncated uint64 `json:"truncated"`
	Padded    uint64 `json:"padded"`
	Delayed   uint64 `json:"delayed"`
	Reordered uint64 `json:"reordered"` // frames held behind later ones
	Refused   uint64 `json:"refused"`   // frames that a [Gate] kept from entering
}

// Add adds the counts of the same rule on another switch, whose frames are others.
func (c *RuleCounts) Add(d RuleCounts) {
	c.Frames += d.Frames
	c.Dropped += d.Dropped
	c.Copied += d.Copied
	c.Changed += d.Changed
	c.Truncated += d.Truncated
	c.Padded += d.Padded
	c.Delayed += d.Delayed
	c.Reordered += d.Reordered
	c.Refused += d.Refused
}

// Number is the rule's place among the rules ever added to its switch, from 1.
// Numbers are not reused.
func (r *InstalledRule) Number() int { return r.number }

// Name is the name it was added under: the recording's "rule=".
func (r *InstalledRule) Name() string { return r.name }

// Rule returns the rule itself.
func (r *InstalledRule) Rule() Rule { return r.rule }

// Counts returns what the rule did so far. Call it when the world is not running,
// or from what its loop calls; in real time from [Switch.Inspect].
func (r *InstalledRule) Counts() RuleCounts {
	c := r.counts
	c.Refused = r.refused.Load()
	return c
}

// On reports whether the rule is turned on. Call it where Counts may be called.
func (r *InstalledRule) On() bool { return !r.off }

// Remove takes the rule off its switch for good. It may be called more than once.
func (r *InstalledRule) Remove() {
	r.change(RuleRemoved, func() bool { was := r.gone; r.gone = true; return !was })
}

// SetOn turns the rule on (its initial state) or off. A rule that is off is not
// asked about frames; one that is a [Watcher] sees them all the same.
func (r *InstalledRule) SetOn(on bool) {
	what := RuleOff
	if on {
		what = RuleOn
	}
	r.change(what, func() bool { was := r.off; r.off = !on; return was == on && !r.gone })
}

// change lets set change the rule, which reports whether it did.
func (r *InstalledRule) change(what Change, set func() bool) {
	s := r.sw
	s.change(fmt.Sprint("rule ", r.number), func() {
		if set() {
			s.setRules(s.installed)
			s.changed(&Changed{Time: s.w.Now(), What: what, Rule: r})
		}
	})
}

// AddRule puts r behind the rules the switch has. name is what recordings and
// summaries call it; it may be empty. See [InstalledRule] for when it takes
// effect.
func (s *Switch) AddRule(name string, r Rule) *InstalledRule {
	if r == nil {
		panic(fmt.Sprintf("vswitch: rule %q is nil", name))
	}
	in := &InstalledRule{name: name, rule: r, sw: s, onSenders: true, onReceivers: true}
	if p, ok := r.(Placed); ok {
		in.onSenders, in.onReceivers = p.Cables()
	}
	s.change("add rule "+name, func() {
		s.nrules++
		in.number = s.nrules
		s.setRules(append(slices.Clip(s.installed), in))
		s.changed(&Changed{Time: s.w.Now(), What: RuleAdded, Rule: in})
	})
	return in
}

// setRules works out which of the installed rules hold from now on. w.mu is held.
func (s *Switch) setRules(installed []*InstalledRule) {
	s.installed = nil
	force := inForce{ports: s.force.Load().ports}
	for _, r := range installed {
		if r.gone {
			continue
		}
		s.installed = append(s.installed, r)
		somewhere := r.onSenders || r.onReceivers
		if r.off {
			if w, ok := r.rule.(Watcher); ok && somewhere {
				force.watchers = append(force.watchers, w)
			}
			continue
		}
		if somewhere {
			force.rules = append(force.rules, r)
		}
		if _, ok := r.rule.(Gate); ok {
			force.gates = append(force.gates, r)
		}
	}
	s.force.Store(&force)
}

// changed tells the recorder of a change during a run; what holds before it is
// what the run began with. A recorder's error comes back with its next event.
// w.mu is held.
func (s *Switch) changed(e *Changed) {
	if s.w.phase == running {
		_ = s.record(e)
	}
}

// refuse asks the gates about a frame that p's endpoint sends. w.mu is held.
func (s *Switch) refuse(p *Port, data []byte) error {
	for _, r := range s.force.Load().gates {
		if err := r.rule.(Gate).Refuse(p, data, s.w.Now()); err != nil {
			r.refused.Add(1)
			if errors.Is(err, ErrTooBig) {
				p.counters.Oversize++
			}
			return err
		}
	}
	return nil
}

// Rules returns the rules installed, in order, those that are off among them.
func (s *Switch) Rules() []*InstalledRule {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return slices.Clone(s.installed)
}

type hitKind uint16

const (
	hitAny hitKind = 1 << iota
	hitDrop
	hitCopy
	hitChange
	hitTruncate
	hitPad
	hitDelay
	hitReorder
)

// kinds are what the verdict does.
func (v *Verdict) kinds() hitKind {
	k := hitAny
	for _, x := range [...]struct {
		did bool
		k   hitKind
	}{
		{v.Drop, hitDrop}, {v.Copies > 0, hitCopy}, {len(v.Edits) > 0, hitChange}, {v.Truncate > 0, hitTruncate},
		{v.Pad > 0, hitPad}, {v.Delay > 0, hitDelay}, {v.Behind > 0, hitReorder},
	} {
		if x.did {
			k |= x.k
		}
	}
	return k
}

// count adds one verdict on frame seq to the rule's counts.
func (r *InstalledRule) count(seq uint64, v *Verdict) {
	if r.lastSeq != seq {
		r.lastSeq, r.seen = seq, 0
	}
	fresh := v.kinds() &^ r.seen
	r.seen |= fresh
	r.counts.add(fresh)
}

// Count adds one frame on which rules acted so.
func (c *RuleCounts) Count(hits []Hit) {
	var k hitKind
	for i := range hits {
		k |= hits[i].kinds()
	}
	c.add(k)
}

func (c *RuleCounts) add(k hitKind) {
	for _, x := range [...]struct {
		k hitKind
		n *uint64
	}{
		{hitAny, &c.Frames}, {hitDrop, &c.Dropped}, {hitCopy, &c.Copied}, {hitChange, &c.Changed}, {hitTruncate, &c.Truncated},
		{hitPad, &c.Padded}, {hitDelay, &c.Delayed}, {hitReorder, &c.Reordered},
	} {
		if k&x.k != 0 {
			*x.n++
		}
	}
}
