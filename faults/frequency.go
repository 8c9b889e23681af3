package faults

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A frequency is the HOW-OFTEN of a rule: which of the frames that the rule's
// where (and when) matches it hits.
type frequency interface {
	// text is the normal form, "" for always.
	text() string
	// draws reports whether hits looks at the subject's draw.
	draws() bool
	// never reports whether it hits no frame, whatever comes.
	never() bool
	// says is which of the frames are hit, in words: "each with probability 2%".
	says() string
	// hits decides.
	hits(s *subject) bool
}

// frequencyShapes is how people are told what a frequency looks like.
const frequencyShapes = "how often (2%, nth 3)"

// frequencyWords introduce the frequencies that are no probability.
var frequencyWords = []struct {
	word  string
	parse func(p *parser, word token) (frequency, error)
}{
	{"nth", parseNth},
	{"every", parseEvery},
	{"first", parseFirst},
	{"gemodel", parseGilbert},
	{"markov", parseMarkov},
}

// looksLikeFrequency reports whether t begins a frequency, rightly written or not.
func looksLikeFrequency(t token) bool {
	for _, f := range frequencyWords {
		if t.text == f.word {
			return true
		}
	}
	return !t.atEnd() && strings.ContainsRune("0123456789.+-%", rune(t.text[0]))
}

// oftenWord is what errors call the HOW-OFTEN.
const oftenWord = "how often"

// oftenClause is the HOW-OFTEN, which sets *often. Where the fault k has none, it
// says so.
func (p *parser) oftenClause(k *kind, often *frequency) clause {
	c := clause{word: oftenWord, shape: frequencyShapes, match: looksLikeFrequency}
	if k.whole {
		c.shape = ""
		c.parse = func(p *parser, t token) error {
			return p.errorf(t, "%q is about all frames, or those of its filter: it has no how-often", k.word)
		}
		return c
	}
	c.parse = func(p *parser, t token) (err error) {
		*often, err = p.frequency(t)
		return err
	}
	return c
}

// frequency reads the HOW-OFTEN that begins with t.
func (p *parser) frequency(t token) (frequency, error) {
	for _, f := range frequencyWords {
		if t.text == f.word {
			return f.parse(p, t)
		}
	}
	r, err := p.ratio(t)
	if err != nil {
		return nil, err
	}
	f := probability{ratio: r, below: r.threshold()}
	if p.peek().text == "corr" {
		f.corr, err = p.correlation(p.next())
	}
	return f, err
}

// correlation is how much a random number depends on the one before, as netem
// has it; see correlate. The zero value is: not.
type correlation struct {
	ratio ratio
	rho   uint64
}

// correlation reads what follows "corr".
func (p *parser) correlation(word token) (correlation, error) {
	t, err := p.want(word.text, "a correlation, such as 25%")
	if err != nil {
		return correlation{}, err
	}
	r, err := p.ratio(t)
	return correlation{r, r.threshold()}, err
}

// text is the normal form's part, "" for none.
func (c correlation) text() string {
	if c.rho == 0 {
		return ""
	}
	return " corr " + c.ratio.String()
}

// mix correlates a random word with what stands in last, and leaves it there.
func (c correlation) mix(word uint64, last *memory) uint64 {
	if c.rho != 0 {
		if last.has {
			word = correlate(word, last.word, c.rho)
		}
		last.word, last.has = word, true
	}
	return word
}

// memory is the last random word of a path.
type memory struct {
	word uint64
	has  bool
}

// always hits every frame.
type always struct{}

func (always) text() string       { return "" }
func (always) draws() bool        { return false }
func (always) never() bool        { return false }
func (always) says() string       { return "all of them" }
func (always) hits(*subject) bool { return true }

// probability hits a frame when its draw falls below the threshold.
type probability struct {
	ratio ratio
	below uint64 // ratio·2^64 rounded down; a ratio of 1 does not fit and is asked for by itself
	corr  correlation
}

func (f probability) text() string { return f.ratio.String() + f.corr.text() }
func (f probability) draws() bool  { return f.ratio.num != 0 && !f.ratio.isOne() } // else it is certain
func (f probability) never() bool  { return f.ratio.num == 0 }
func (f probability) says() string {
	s := "each with probability " + f.ratio.String()
	if f.corr.rho != 0 {
		return s + ", its draw correlated with the one before by " + f.corr.ratio.String() + " as in netem"
	}
	return s + ", independently"
}
func (f probability) hits(s *subject) bool {
	switch {
	case !f.draws():
		return f.ratio.isOne()
	case f.corr.rho != 0:
		return f.corr.mix(s.word(0), &s.path.often) < f.below
	case s.flow.alone:
		return s.word(0) < f.below
	}
	return s.flow.odds.falls(s.path.key.draw, s.flow.hash, s.flow.n, 0, f.below)
}

// nth hits the frames whose place on their path is in a list of ranges, which
// are in order and neither touch nor overlap.
type nth []span

// span is a range of places, both ends in it. An open range ends at maxPlace.
type span struct{ first, last uint64 }

const maxPlace = ^uint64(0)

func (nth) draws() bool { return false }
func (nth) never() bool { return false }
func (f nth) says() string {
	return "by their places on each path: " + strings.TrimPrefix(f.text(), "nth ")
}

func (f nth) hits(s *subject) bool {
	_, found := slices.BinarySearchFunc(f, s.place(), func(s span, n uint64) int {
		switch {
		case s.last < n:
			return -1
		case s.first > n:
			return 1
		}
		return 0
	})
	return found
}

func (f nth) text() string {
	var b strings.Builder
	b.WriteString("nth ")
	for i, s := range f {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(s.first, 10))
		if s.last != s.first {
			b.WriteString("..")
		}
		if s.last != s.first && s.last != maxPlace {
			b.WriteString(strconv.FormatUint(s.last, 10))
		}
	}
	return b.String()
}

// normalSpans sorts spans and joins those that touch or overlap.
func normalSpans(spans []span) nth {
	slices.SortFunc(spans, func(a, b span) int {
		if a.first < b.first {
			return -1
		}
		if a.first > b.first {
			return 1
		}
		return 0
	})
	joined := spans[:0]
	for _, s := range spans {
		if n := len(joined); n > 0 && (joined[n-1].last == maxPlace || s.first <= joined[n-1].last+1) {
			joined[n-1].last = max(joined[n-1].last, s.last)
			continue
		}
		joined = append(joined, s)
	}
	return nth(joined)
}

func parseNth(p *parser, word token) (frequency, error) {
	t, err := p.want(word.text, "the places of frames: 3, 3,17..19 or 20..")
	if err != nil {
		return nil, err
	}
	items, err := p.list(t)
	if err != nil {
		return nil, err
	}
	spans := make([]span, len(items))
	for i, item := range items {
		if spans[i], err = p.span(item); err != nil {
			return nil, err
		}
	}
	return normalSpans(spans), nil
}

// span reads "3", "17..19" or "20..".
func (p *parser) span(t token) (span, error) {
	const what = "a frame's place"
	first, last, isRange := strings.Cut(t.text, "..")
	if !isRange {
		if a, b, dash := strings.Cut(t.text, "-"); dash && a != "" && b != "" {
			return span{}, p.errorf(t, "a range is written %s..%s", a, b)
		}
		n, err := p.whole(t, what, 1, maxNumber)
		return span{n, n}, err
	}
	if first == "" {
		return span{}, p.errorf(t, "a range begins with a number: 1%s", t.text)
	}
	a, err := p.whole(t.part(0, len(first)), what, 1, maxNumber)
	if err != nil || last == "" {
		return span{a, maxPlace}, err
	}
	b, err := p.whole(t.part(len(t.text)-len(last), len(t.text)), what, 1, maxNumber)
	if err != nil {
		return span{}, err
	}
	if b < a {
		return span{}, p.errorf(t, "the range ends before it begins: %d..%d", b, a)
	}
	return span{a, b}, nil
}

// every hits each n-th frame of its path: the n-th, the 2n-th ...
type every uint64

func (f every) text() string { return "every " + strconv.FormatUint(uint64(f), 10) }
func (every) draws() bool    { return false }
func (every) never() bool    { return false }
func (f every) says() string {
	if f == 1 {
		return "all of them"
	}
	return "the " + ordinal(uint64(f)) + ", the " + ordinal(2*uint64(f)) + " and so on of each path"
}
func (f every) hits(s *subject) bool { return s.place()%uint64(f) == 0 }

// ordinal writes "1st", "2nd", "3rd", "4th", "11th".
func ordinal(n uint64) string {
	end := "th"
	if tens := n / 10 % 10; tens != 1 {
		switch n % 10 {
		case 1:
			end = "st"
		case 2:
			end = "nd"
		case 3:
			end = "rd"
		}
	}
	return strconv.FormatUint(n, 10) + end
}

func parseEvery(p *parser, word token) (frequency, error) {
	n, err := p.wholeAfter(word, "a number of frames: every 10 is the 10th, the 20th ...")
	return every(n), err
}

// first hits the first n frames of its path.
type first uint64

func (f first) text() string { return "first " + strconv.FormatUint(uint64(f), 10) }
func (first) draws() bool    { return false }
func (first) never() bool    { return false }
func (f first) says() string {
	if f == 1 {
		return "the first of each path"
	}
	return fmt.Sprintf("the first %d of each path", f)
}
func (f first) hits(s *subject) bool { return s.place() <= uint64(f) }

func parseFirst(p *parser, word token) (frequency, error) {
	n, err := p.wholeAfter(word, "a number of frames")
	return first(n), err
}

// wholeAfter reads the number of frames that follows word.
func (p *parser) wholeAfter(word token, what string) (uint64, error) {
	t, err := p.want(word.text, what)
	if err != nil {
		return 0, err
	}
	return p.whole(t, "a number of frames", 1, maxNumber)
}
