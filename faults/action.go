package faults

import (
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
	// verdict says what becomes of a frame that is hit. It is the zero Verdict
	// if there is nothing in this frame that the action could change.
	verdict(s *subject) vswitch.Verdict
}

// kinds are the faults there are. Each starts as an action with its defaults
// and the clauses that set its options.
var kinds = []struct {
	word  string
	start func() (action, []clause)
}{
	{"drop", startDrop},
	{"duplicate", startDuplicate},
	{"corrupt", startCorrupt},
}

func findKind(word string) func() (action, []clause) {
	for _, k := range kinds {
		if k.word == word {
			return k.start
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
func (drop) verdict(*subject) vswitch.Verdict {
	return vswitch.Verdict{Drop: true}
}

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

func (a *duplicate) verdict(*subject) vswitch.Verdict {
	return vswitch.Verdict{Copies: a.copies, Gap: a.gap}
}
