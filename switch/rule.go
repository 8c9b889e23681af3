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
	// v is the zero Verdict, and the switch's. A rule that does something to the
	// frame writes there what, and returns true. One that leaves the frame alone
	// returns false without having written to v: most rules leave most frames
	// alone, and then nothing of a Verdict, which is large, is moved about.
	//
	// Judge must not keep or change f, keep v, block, send, ask the time (f.At is
	// the time) or draw from a random source that others share. It is never called
	// concurrently.
	Judge(f *Frame, to *Port, v *Verdict) bool
}

// RuleFunc lets a plain function be a [Rule]. The zero Verdict leaves the frame
// alone.
type RuleFunc func(f *Frame, to *Port) Verdict

// Judge calls fn.
func (fn RuleFunc) Judge(f *Frame, to *Port, v *Verdict) bool {
	got := fn(f, to)
	if got.IsZero() {
		return false
	}
	*v = got
	return true
}

// Placed is a [Rule] that says on which kinds of cables it can do anything: it is not
// asked about the others, which takes time. One that can do nothing on any cable is
// neither asked nor shown frames ([Watcher]), and costs a frame nothing; of a [Gate]
// that is about Judge, not about Refuse. It is asked for that once, when it is added.
type Placed interface {
	Rule
	Cables() (sender, receivers bool)
}

// Watcher is a [Rule] that sees frames also while it is turned off, so that what it
// counts by does not depend on that.
type Watcher interface {
	Rule
	// Watch is called as Judge would be, if the rule were on.
	Watch(f *Frame, to *Port)
}

// Gate is a [Rule] that can also refuse frames inside the sender's write, where
// the sender is told, as by a network card whose MTU a frame exceeds.
type Gate interface {
	Rule
	// Refuse returns the error that [Port.Send] gives the sender at from, or nil
	// to let the frame enter, where it is judged like any other. A refused frame
	// is in no recording; it is counted by the rule ([RuleCounts].Refused) and, if
	// the error is [ErrTooBig], by the port (Counters.Oversize).
	//
	// It is called on the sender's goroutine, one call at a time in a world, while
	// the world is locked: of the world it may call nothing but the port's
	// accessors. at is the current instant. It must not keep or change data.
	Refuse(from *Port, data []byte, at time.Time) error
}

// Verdict is what one rule does to a frame on one cable. The zero Verdict leaves
// it alone. The verdicts of several rules compose in the order of the rules, the
// sender's cable and the receiver's taken together: delays add up, copies add up
// (the last rule with a gap names the gap), the last one that holds a frame says
// behind how many, bytes are changed one after the other, and one drop drops the
// frame with all its copies.
type Verdict struct {
	// Drop loses the frame on this cable.
	Drop bool

	// Copies is how many extra copies arrive, each Gap after the one before.
	// Copies are not judged again. Never negative; see MaxCopies.
	Copies int
	Gap    time.Duration

	// Delay is added to the cables' latency. Never negative; see MaxDelay.
	Delay time.Duration

	// Behind holds the frame at the receiver's end of its cable until so many
	// later frames of the same sender have arrived there (frames that are held
	// themselves do not count), and no longer than Within: it arrives one
	// nanosecond after the last of them. Its copies are held with it. Behind is
	// never negative; see MaxBehind. Within is more than 0 if Behind is; see MaxDelay.
	Behind int
	Within time.Duration

	// Edits change bytes, in order. All copies carry the changed bytes. Of bytes
	// that the rules before have cut off nothing is left to change.
	Edits []Edit

	// Truncate cuts the frame, after Edits, to so many bytes, Ethernet header
	// included; 0, and what is no less than its length, leaves it. At least HeaderLen.
	Truncate int

	// Pad is how many zero bytes follow the frame, after Truncate. They are not
	// sent over the cable, but added where it ends: they take no time and no MTU.
	// Never negative; see MaxPad.
	Pad int

	// Reason, if any, is a short text for the recording, of letters, digits and
	// the punctuation -_.:/+ (others are written as '_').
	Reason string
}

// Bounds of what the rules of a switch together do to a frame on its way to one
// receiver.
const (
	MaxCopies = 10_000
	MaxDelay  = 24 * time.Hour // also of one gap, of Within, and of a cable's latency
	MaxBehind = 1_000_000
	MaxPad    = 65535 // bytes
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
	case v.Behind < 0 || v.Behind > MaxBehind:
		wrong = fmt.Sprintf("behind %d frames: want 0 to %d", v.Behind, MaxBehind)
	case v.Behind > 0 && (v.Within <= 0 || v.Within > MaxDelay):
		wrong = fmt.Sprintf("behind %d frames within %v: want more than 0, at most %v", v.Behind, v.Within, MaxDelay)
	case v.Truncate < 0 || v.Truncate > 0 && v.Truncate < HeaderLen:
		wrong = fmt.Sprintf("truncate to %d bytes: want 0, or at least the %d of the Ethernet header", v.Truncate, HeaderLen)
	case v.Pad < 0 || v.Pad > MaxPad:
		wrong = fmt.Sprintf("pad %d bytes: want 0 to %d", v.Pad, MaxPad)
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
	return !v.Drop && v.Copies == 0 && v.Delay == 0 && v.Behind == 0 &&
		len(v.Edits) == 0 && v.Truncate == 0 && v.Pad == 0
}

// Apply does to data what the verdict does to a frame's bytes. It changes data in
// place and may return it longer, in the same array if its capacity allows.
func (v *Verdict) Apply(data []byte) []byte {
	for i := range v.Edits {
		v.Edits[i].Apply(data)
	}
	if v.Truncate > 0 && v.Truncate < len(data) {
		data = data[:v.Truncate]
	}
	for range v.Pad {
		data = append(data, 0)
	}
	return data
}

// Edit replaces bytes of a frame. Old and New have the same length, and
// Offset+len(Old) lies within the frame.
type Edit struct {
	Offset int    // from the first byte of the Ethernet header
	Old    []byte // what stood there when the rule was asked, for the recording
	New    []byte // what stands there afterwards
}

// Apply changes data in place, as far as it goes.
func (e *Edit) Apply(data []byte) {
	if e.Offset < len(data) {
		copy(data[e.Offset:], e.New)
	}
}

// Hit is one verdict that did something: which rule, on which cable.
type Hit struct {
	Rule *InstalledRule
	// To is the receiving port, or nil for the sender's cable.
	To *Port
	Verdict
}
