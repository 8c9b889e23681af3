package faults

import (
	"fmt"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// An action is the WHAT of a rule with its options.
type action interface {
	// word is the kind's name.
	word() string
	// options are the options that differ from their defaults, in normal form.
	options() []string
	// check looks at the options together, once all are read.
	check(p *parser) error
	// draws reports whether verdict looks at the subject's draw.
	draws() bool
	// says is what it does to the frames it hits, in words: "loses them".
	says() string
	// verdict writes into v, which is zero, what becomes of a frame that is hit: it
	// stays zero if there is nothing in this frame that the action could change.
	verdict(s *subject, v *vswitch.Verdict)
}

// kind is one of the faults there are.
type kind struct {
	word string
	// whole is set where a how-often makes no sense.
	whole bool
	// start makes an action with its defaults and the clauses that set its options.
	start func() (action, []clause)
}

// kinds are the faults, in the order in which people are told of them.
var kinds = []kind{
	{word: "drop", start: startDrop},
	{word: "duplicate", start: startDuplicate},
	{word: "corrupt", start: startCorrupt},
	{word: "truncate", start: startTruncate},
	{word: "pad", start: startPad},
	{word: "delay", start: startDelay},
	{word: "reorder", start: startReorder},
	{word: "rate", whole: true, start: startRate},
	{word: "partition", whole: true, start: startPartition},
	{word: "mtu", whole: true, start: startMTU},
	{word: "down", whole: true, start: startDown},
	{word: "up", whole: true, start: startUp},
}

func findKind(word string) *kind {
	for i := range kinds {
		if kinds[i].word == word {
			return &kinds[i]
		}
	}
	return nil
}

func kindWords() []string {
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = k.word
	}
	return words
}

// drop loses the frame.
type drop struct{}

func startDrop() (action, []clause) { return drop{}, nil }

func (drop) word() string        { return "drop" }
func (drop) options() []string   { return nil }
func (drop) check(*parser) error { return nil }
func (drop) draws() bool         { return false }
func (drop) says() string        { return "loses them" }

func (drop) verdict(_ *subject, v *vswitch.Verdict) { v.Drop = true }

// duplicate makes copies of the frame, each gap after the one before.
type duplicate struct {
	copies int
	gap    time.Duration
}

// maxCopies bounds the copies that one rule makes of one frame.
const maxCopies = 1000

func startDuplicate() (action, []clause) {
	a := &duplicate{copies: 1}
	return a, []clause{
		{word: "copies", shape: "copies N", parse: func(p *parser, word token) error {
			t, err := p.want(word.text, "how many extra copies arrive")
			if err != nil {
				return err
			}
			n, err := p.whole(t, "the number of extra copies", 1, maxCopies)
			a.copies = int(n)
			return err
		}},
		{word: "gap", shape: "gap TIME", parse: func(p *parser, word token) error {
			t, err := p.want(word.text, "the time between copies, such as 1ms")
			if err != nil {
				return err
			}
			a.gap, err = p.duration(t, "the time between copies", maxGap)
			return err
		}},
	}
}

func (*duplicate) word() string        { return "duplicate" }
func (*duplicate) check(*parser) error { return nil }
func (*duplicate) draws() bool         { return false }

func (a *duplicate) options() []string {
	var words []string
	if a.copies != 1 {
		words = append(words, "copies", formatInt(a.copies))
	}
	if a.gap != 0 {
		words = append(words, "gap", formatDuration(a.gap))
	}
	return words
}

func (a *duplicate) says() string {
	s, after := "each arrives once more", "after it"
	if a.copies > 1 {
		s, after = fmt.Sprintf("each arrives %d times more", a.copies), "after the one before"
	}
	if a.gap > 0 {
		s += fmt.Sprintf(", %s %s", formatDuration(a.gap), after)
	}
	return s
}

func (a *duplicate) verdict(_ *subject, v *vswitch.Verdict) { v.Copies, v.Gap = a.copies, a.gap }
