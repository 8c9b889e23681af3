package vswitch

import (
	"errors"
	"fmt"
	"time"
)

// Rule decides what becomes of frames. A switch asks its rules, in the order in
// which they were added, at the instant a frame enters.
type Rule interface {
	// Judge gives the verdict on one frame for one cable. For every frame a rule
	// is asked first about the sender's cable, with to == nil (that verdict holds
	// for all receivers), and then about the cable to each receiver, in port
	// order. It is always shown the frame as it was sent, whatever other rules
	// decided.
	//
	// Judge must not keep or change f, block, send, ask the time (f.At is the
	// time) or draw from a random source that others share. It is never called
	// concurrently.
	Judge(f *Frame, to *Port) Verdict
}

// RuleFunc lets a plain function be a [Rule].
type RuleFunc func(f *Frame, to *Port) Verdict

// Judge calls fn.
func (fn RuleFunc) Judge(f *Frame, to *Port) Verdict { return fn(f, to) }

// Verdict is what one rule does to a frame on one cable. The zero Verdict leaves
// it alone. The verdicts of several rules compose in the order of the rules, the
// sender's cable and the receiver's taken together: delays add up, copies add up
// (the last rule with a gap names the gap), edits are applied one after the
// other, and one drop drops the frame with all its copies.
type Verdict struct {
	// Drop loses the frame on this cable.
	Drop bool

	// Copies is how many extra copies arrive, each Gap after the one before.
	// Copies are not judged again. Never negative; see MaxCopies.
	Copies int
	Gap    time.Duration

	// Delay is added to the cables' latency. Never negative; see MaxDelay.
	Delay time.Duration

	// Edits change bytes, in order. All copies carry the changed bytes.
	Edits []Edit

	// Reason, if any, is a short text for the recording, of letters, digits and
	// the punctuation -_.:/+ (others are written as '_').
	Reason string
}

// Bounds of what the rules of a switch together do to a frame on its way to one
// receiver.
const (
	MaxCopies = 10_000
	MaxDelay  = 24 * time.Hour // also of one gap, and of a cable's latency
)

// ErrVerdict is the run's error when a rule gives a verdict that breaks the
// contract of [Verdict].
var ErrVerdict = errors.New("impossible verdict")

// check returns what is wrong with the verdict of r on f.
func (v *Verdict) check(r *InstalledRule, f *Frame, to *Port) error {
	if v.IsZero() {
		return nil
	}
	var wrong string
	switch {
	case v.Copies < 0 || v.Copies > MaxCopies:
		wrong = fmt.Sprintf("%d copies: want 0 to %d", v.Copies, MaxCopies)
	case v.Delay < 0 || v.Delay > MaxDelay:
		wrong = fmt.Sprintf("delay %v: want 0 to %v", v.Delay, MaxDelay)
	case v.Gap < 0 || v.Gap > MaxDelay:
		wrong = fmt.Sprintf("gap %v: want 0 to %v", v.Gap, MaxDelay)
	}
	for _, e := range v.Edits {
		switch {
		case len(e.Old) != len(e.New):
			wrong = fmt.Sprintf("edit at byte %d replaces %d bytes by %d", e.Offset, len(e.Old), len(e.New))
		case e.Offset < 0 || e.Offset+len(e.New) > len(f.Data):
			wrong = fmt.Sprintf("edit of %d bytes at byte %d does not lie within the frame", len(e.New), e.Offset)
		}
	}
	if wrong == "" {
		return nil
	}
	cable := f.From
	if to != nil {
		cable = to
	}
	return fmt.Errorf("%w: rule %d %q on frame %d (%d bytes, from port %s), cable of port %s: %s",
		ErrVerdict, r.number, r.name, f.Seq, len(f.Data), f.From.cfg.Name, cable.cfg.Name, wrong)
}

// IsZero reports whether the verdict leaves the frame alone.
func (v *Verdict) IsZero() bool {
	return !v.Drop && v.Copies == 0 && v.Delay == 0 && len(v.Edits) == 0
}

// Edit replaces bytes of a frame. Old and New have the same length, and
// Offset+len(Old) lies within the frame.
type Edit struct {
	Offset int    // from the first byte of the Ethernet header
	Old    []byte // what stood there when the rule was asked, for the recording
	New    []byte // what stands there afterwards
}

// Hit is one verdict that did something: which rule, on which cable.
type Hit struct {
	Rule *InstalledRule
	// To is the receiving port, or nil for the sender's cable.
	To *Port
	Verdict
}

// InstalledRule is a rule in its place on a switch.
type InstalledRule struct {
	number int
	name   string
	rule   Rule
	sw     *Switch
	// frames it was counted for, by what it did; frames, not receivers.
	counts  RuleCounts
	lastSeq uint64 // the frame counts were last raised for, per kind
	seen    hitKind
}

// RuleCounts says how many frames a rule affected. A frame is counted once in
// each field that applies, however many receivers were affected.
type RuleCounts struct {
	Frames  uint64 // affected in any way
	Dropped uint64
	Copied  uint64 // frames that were duplicated, not copies made
	Changed uint64 // frames of which bytes were changed
	Delayed uint64
}

// Number is the rule's place among the rules ever added to its switch, from 1.
// Numbers are not reused.
func (r *InstalledRule) Number() int { return r.number }

// Name is the name it was added under: the recording's "rule=".
func (r *InstalledRule) Name() string { return r.name }

// Rule returns the rule itself.
func (r *InstalledRule) Rule() Rule { return r.rule }

// Counts returns what the rule did so far. Call it when the world is not running,
// or from what its loop calls.
func (r *InstalledRule) Counts() RuleCounts { return r.counts }

// Remove takes the rule off its switch: frames that enter from now on are not
// judged by it. It may be called more than once.
func (r *InstalledRule) Remove() { r.sw.removeRule(r) }

type hitKind uint8

const (
	hitAny hitKind = 1 << iota
	hitDrop
	hitCopy
	hitChange
	hitDelay
)

// count adds one verdict on frame seq to the rule's counts.
func (r *InstalledRule) count(seq uint64, v *Verdict) {
	if r.lastSeq != seq {
		r.lastSeq, r.seen = seq, 0
	}
	add := func(k hitKind, did bool, n *uint64) {
		if did && r.seen&k == 0 {
			r.seen |= k
			*n++
		}
	}
	add(hitAny, true, &r.counts.Frames)
	add(hitDrop, v.Drop, &r.counts.Dropped)
	add(hitCopy, v.Copies > 0, &r.counts.Copied)
	add(hitChange, len(v.Edits) > 0, &r.counts.Changed)
	add(hitDelay, v.Delay > 0, &r.counts.Delayed)
}
