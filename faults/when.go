package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// when says during which parts of a run a rule is in force. The zero value is:
// always.
type when struct {
	during []window      // in order, apart; nil: all the time
	after  amount        // it begins when so much has passed
	lasts  time.Duration // ... and ends so long after that; 0: never
	until  amount        // it ends when so much has passed
	off    bool          // it is off at first

	forToken token
}

// window is a part of the world's time, counted from its start: from first, and
// before end.
type window struct{ first, end time.Duration }

const (
	endless = time.Duration(1<<63 - 1)
	maxTime = 30 * 24 * time.Hour // of a world's clock that a rule can name
)

// amount is a number of frames or of bytes; the zero value is none.
type amount struct {
	n     uint64
	bytes bool
}

func (a amount) String() string {
	switch {
	case a.bytes:
		return formatSize(a.n)
	case a.n == 1:
		return "1 frame"
	}
	return fmt.Sprintf("%d frames", a.n)
}

// passed reports whether that much has passed.
func (a amount) passed(frames, bytes uint64) bool {
	if a.bytes {
		return bytes >= a.n
	}
	return frames >= a.n
}

// clauses are the words that set w.
func (w *when) clauses() []clause {
	return []clause{
		{word: "during", shape: "during", parse: func(p *parser, word token) error {
			t, err := p.want(word.text, "times from the start of the run: 1s..4s or 1s..2s,4s..")
			if err != nil {
				return err
			}
			w.during, err = p.windows(t)
			return err
		}},
		{word: "after", shape: "after", parse: func(p *parser, word token) error {
			at, a, err := p.point(word)
			if err != nil {
				return err
			}
			if a == (amount{}) {
				return w.within(p, word, window{at, endless})
			}
			w.after = a
			return nil
		}},
		{word: "for", shape: "for", parse: func(p *parser, word token) error {
			w.forToken = word
			t, err := p.want(word.text, "how long, such as 1s")
			if err != nil {
				return err
			}
			if w.lasts, err = p.duration(t, "how long a rule is in force", maxTime); err == nil && w.lasts == 0 {
				return p.errorf(t, "a rule is in force for more than no time")
			}
			return err
		}},
		{word: "until", shape: "until", parse: func(p *parser, word token) error {
			at, a, err := p.point(word)
			if err != nil {
				return err
			}
			if a == (amount{}) {
				return w.within(p, word, window{0, at})
			}
			w.until = a
			return nil
		}},
		{word: "off", shape: "off", parse: func(*parser, token) error { w.off = true; return nil }},
	}
}

// within adds the time of "after" and "until" to what "during" said.
func (w *when) within(p *parser, word token, add window) error {
	if w.during == nil {
		w.during = []window{{0, endless}}
	}
	var both []window
	for _, in := range w.during {
		if in = (window{max(in.first, add.first), min(in.end, add.end)}); in.first < in.end {
			both = append(both, in)
		}
	}
	if both == nil {
		return p.errorf(word, "this leaves no time in which the rule is in force")
	}
	w.during = both
	return nil
}

// check looks at the words together.
func (w *when) check(p *parser) error {
	if slices.Equal(w.during, []window{{0, endless}}) {
		w.during = nil // always, and written so
	}
	if w.lasts == 0 {
		return nil
	}
	if w.after != (amount{}) {
		return nil
	}
	if n := len(w.during); n == 1 && w.during[0].end == endless && w.during[0].first > 0 {
		end := w.during[0].first + w.lasts
		if end > maxTime {
			// It is printed as a part of the run, which could not be read again.
			return p.errorf(w.forToken, "this ends at %s; a rule can name the first %s of a run", formatDuration(end), formatDuration(maxTime))
		}
		w.during[0].end, w.lasts = end, 0
		return nil
	}
	return p.errorf(w.forToken, `"for" goes with "after": after 1MB for 1s; or give the times: during 0s..%s`, formatDuration(w.lasts))
}

// point reads what follows "after" and "until": a time, or an amount of traffic.
func (p *parser) point(word token) (time.Duration, amount, error) {
	t, err := p.want(word.text, "a time, a number of frames or a size: 10s, 100 frames, 1MB")
	if err != nil {
		return 0, amount{}, err
	}
	if next := p.peek(); next.text == "frames" || next.text == "frame" {
		p.next()
		n, err := p.whole(t, "a number of frames", 1, maxNumber)
		return 0, amount{n: n}, err
	}
	if looksLikeSize(t) {
		n, err := p.size(t, "the traffic", maxNumber)
		if err == nil && n == 0 {
			err = p.errorf(t, "this has always passed")
		}
		return 0, amount{n: n, bytes: true}, err
	}
	if strings.Trim(t.text, "0123456789") == "" {
		return 0, amount{}, p.errorf(t, "a number of what? %s frames, %sB, %ss", t.text, t.text, t.text)
	}
	at, err := p.duration(t, "a time from the start of the run", maxTime)
	if err == nil && at == 0 {
		err = p.errorf(t, "the run starts at 0s")
	}
	return at, amount{}, err
}

// windows reads "1s..4s,6s..".
func (p *parser) windows(t token) ([]window, error) {
	items, err := p.list(t)
	if err != nil {
		return nil, err
	}
	var all []window
	for _, item := range items {
		first, end, isRange := strings.Cut(item.text, "..")
		if !isRange || first == "" {
			return nil, p.errorf(item, "a part of the run's time is written 1s..4s, or 6s.. to its end")
		}
		w := window{end: endless}
		if w.first, err = p.duration(item.part(0, len(first)), "a time from the start of the run", maxTime); err != nil {
			return nil, err
		}
		if end != "" {
			at := item.part(len(item.text)-len(end), len(item.text))
			if w.end, err = p.duration(at, "a time from the start of the run", maxTime); err != nil {
				return nil, err
			}
			if w.end <= w.first {
				return nil, p.errorf(item, "it ends before it begins")
			}
		}
		all = append(all, w)
	}
	slices.SortStableFunc(all, func(a, b window) int { return int(min(max(a.first-b.first, -1), 1)) })
	joined := all[:1]
	for _, w := range all[1:] {
		if last := &joined[len(joined)-1]; w.first <= last.end {
			last.end = max(last.end, w.end)
		} else {
			joined = append(joined, w)
		}
	}
	return joined, nil
}

// text is the normal form's part.
func (w *when) text() []string {
	var parts []string
	if w.during != nil {
		var list []string
		for _, in := range w.during {
			s := formatDuration(in.first) + ".."
			if in.end != endless {
				s += formatDuration(in.end)
			}
			list = append(list, s)
		}
		parts = append(parts, "during", strings.Join(list, ","))
	}
	if w.after != (amount{}) {
		parts = append(parts, "after", w.after.String())
	}
	if w.lasts != 0 {
		parts = append(parts, "for", formatDuration(w.lasts))
	}
	if w.until != (amount{}) {
		parts = append(parts, "until", w.until.String())
	}
	if w.off {
		parts = append(parts, "off")
	}
	return parts
}

// ever reports whether the rule is in force whenever it is on.
func (w *when) ever() bool {
	return w.during == nil && w.after == (amount{}) && w.until == (amount{})
}

// onTime reports whether at, from the start of the run, is in one of the windows.
func (w *when) onTime(at time.Duration) bool {
	if w.during == nil {
		return true
	}
	for _, in := range w.during {
		if in.first <= at && at < in.end {
			return true
		}
	}
	return false
}

// traffic is what has passed of the frames that a rule is about, on whatever of
// its cables, each counted once.
type traffic struct {
	frames, bytes uint64
	last          uint64        // the number of the last frame counted
	reached       time.Duration // when the amount of "after" had passed
	inForce       bool          // for the last frame
}

// inForce reports whether the rule is in force for frame seq, which is counted.
// The frame that completes an amount belongs to what is before.
func (w *when) inForce(t *traffic, at time.Duration, seq uint64, size int) bool {
	if w.ever() {
		return true
	}
	if seq != 0 && seq == t.last {
		return t.inForce // on another cable
	}
	in := w.onTime(at)
	if w.after != (amount{}) {
		in = in && w.after.passed(t.frames, t.bytes) && (w.lasts == 0 || at < t.reached+w.lasts)
	}
	if w.until != (amount{}) {
		in = in && !w.until.passed(t.frames, t.bytes)
	}
	before := w.after.passed(t.frames, t.bytes)
	t.frames++
	t.bytes += uint64(size)
	if !before && w.after.passed(t.frames, t.bytes) {
		t.reached = at
	}
	t.last, t.inForce = seq, in
	return in
}
