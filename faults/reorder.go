package faults

import (
	"fmt"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// reorder changes the order in which frames arrive, in one of two ways: frames
// that are hit are held until others have passed them ("behind"), or frames that
// are hit pass all the others, which are delayed ("ahead", netem's way).
type reorder struct {
	behind int
	within time.Duration

	ahead lateness // if isAhead: how late the others are
	gap   uint64   // and how many frames are in a round: only its last can be hit

	isAhead               bool
	behindToken, gapToken token
}

const (
	defaultWithin = time.Second
	maxBehind     = 100_000
)

func startReorder() (action, []clause) {
	a := &reorder{behind: 1, within: defaultWithin, gap: 1}
	return a, []clause{
		{word: "behind", shape: "behind N", parse: func(p *parser, word token) error {
			a.behindToken = word
			t, err := p.want(word.text, "how many later frames pass it")
			if err != nil {
				return err
			}
			n, err := p.whole(t, "the number of frames that pass it", 1, maxBehind)
			a.behind = int(n)
			return err
		}},
		{word: "within", shape: "within TIME", parse: func(p *parser, word token) error {
			if a.behindToken.atEnd() {
				a.behindToken = word
			}
			t, err := p.want(word.text, "how long it waits for them at most, such as 100ms")
			if err != nil {
				return err
			}
			if a.within, err = p.duration(t, "how long it waits", maxLate); err == nil && a.within == 0 {
				err = p.errorf(t, "nothing passes in no time")
			}
			return err
		}},
		{word: "ahead", shape: "ahead TIME", parse: func(p *parser, word token) error {
			a.isAhead = true
			t, err := p.want(word.text, "how late the other frames are, such as 10ms")
			if err != nil {
				return err
			}
			if a.ahead.mean, err = p.duration(t, "how late the others are", maxLate); err == nil && a.ahead.mean == 0 {
				err = p.errorf(t, "nothing is passed in no time")
			}
			return err
		}},
		{word: "gap", shape: "gap N", parse: func(p *parser, word token) (err error) {
			a.gapToken = word
			a.gap, err = p.wholeAfter(word, "a number of frames: gap 5 lets at most each 5th pass the others")
			return err
		}},
		a.ahead.jitterClause(),
	}
}

func (*reorder) word() string  { return "reorder" }
func (a *reorder) draws() bool { return a.ahead.jitter != 0 }

func (a *reorder) options() []string {
	if !a.isAhead {
		parts := []string{"behind", formatInt(a.behind)}
		if a.within != defaultWithin {
			parts = append(parts, "within", formatDuration(a.within))
		}
		return parts
	}
	parts := append([]string{"ahead", formatDuration(a.ahead.mean)}, a.ahead.jitterText()...)
	if a.gap > 1 {
		parts = append(parts, "gap", formatPlace(a.gap))
	}
	return parts
}

func (a *reorder) check(p *parser) error {
	switch {
	case a.isAhead && !a.behindToken.atEnd():
		return p.errorf(a.behindToken, `frames are either held ("behind 3") or pass the others ("ahead 10ms"), not both`)
	case !a.isAhead && !a.gapToken.atEnd():
		return p.errorf(a.gapToken, `"gap" goes with "ahead": reorder 25%% ahead 10ms gap 5; frames are held "behind 3" others`)
	case !a.isAhead && a.ahead.jitter != 0:
		return p.errorf(p.end, `"jitter" goes with "ahead": it is about the frames that are passed`)
	}
	return nil
}

// verdict is for those that are held; see pass for the other way.
func (a *reorder) verdict(_ *subject, v *vswitch.Verdict) { v.Behind, v.Within = a.behind, a.within }

// pass is what an "ahead" does with a frame: those that are hit go as they are,
// unless the round is not at its end, and all others are late.
func (a *reorder) pass(s *subject, hit bool, v *vswitch.Verdict) {
	s.path.round++
	if hit && s.path.round >= a.gap {
		s.path.round = 0
		return
	}
	v.Delay = a.ahead.of(s)
}

func (a *reorder) says() string {
	if !a.isAhead {
		later := "a later frame of its sender has"
		if a.behind > 1 {
			later = fmt.Sprintf("%d later frames of its sender have", a.behind)
		}
		return "holds each where it arrives until " + later + " arrived there, " + formatDuration(a.within) + " at most"
	}
	s := "lets them pass the others, which are late by " + a.ahead.says()
	if a.gap > 1 {
		s += fmt.Sprintf("; at most one in %d", a.gap)
	}
	return s
}
