package faults_test

import (
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/faults"
)

// explained returns one line of what Explain says of a rule, unwrapped.
func explained(t *testing.T, rule, line string) string {
	t.Helper()
	_, rest, found := strings.Cut(faults.Explain([]*faults.Rule{mustParse(t, rule)}), "\n   "+line+" ")
	if !found {
		return ""
	}
	var words []string
	for i, s := range strings.Split(rest, "\n") {
		if i > 0 && !strings.HasPrefix(s, strings.Repeat(" ", 14)) {
			break
		}
		words = append(words, strings.Fields(s)...)
	}
	return strings.Join(words, " ")
}

// What Explain says where a form of words depends on the numbers.
func TestExplainedWords(t *testing.T) {
	for _, c := range []struct{ rule, line, want string }{
		{"drop every 1", "hits", "all of them"},
		{"drop every 2", "hits", "the 2nd, the 4th and so on of each path"},
		{"drop every 11", "hits", "the 11th, the 22nd and so on of each path"},
		{"drop every 111", "hits", "the 111th, the 222nd and so on of each path"},
		{"drop first 1", "hits", "the first of each path"},
		{"duplicate gap 1ms", "and", "each arrives once more, 1ms after it"},
		{"duplicate copies 2 gap 1ms", "and", "each arrives 2 times more, 1ms after the one before"},
		{"reorder behind 1", "and", "holds each where it arrives until a later frame of its sender has arrived there, 1s at most"},
		{"reorder behind 2", "and", "holds each where it arrives until 2 later frames of its sender have arrived there, 1s at most"},
		{"rate 1mbit queue 1p", "and", "lets 1mbit/s pass; at most 1 frame may wait, what is more is lost"},
		{"rate 1mbit queue 9p,4kB", "and", "lets 1mbit/s pass; at most 9 frames and 4kB may wait, what is more is lost"},
		{"delay places 3:1ms", "and", "delays the one at this place of each path by its time: 3:1ms"},
		{"drop after 1 frame", "when", "after the first frame of them"},
		{"drop after 2 frames", "when", "after the first 2 frames of them"},
		{"drop after 1MB for 1s", "when", "after the first 1MB of them, for 1s"},
		{"drop during 1s..2s,4s..", "when", "from 1s until 2s and from 4s on"},
		{"drop off", "when", "always; off until somebody turns it on"},
		{"down a", "decided", "on the one cable: for what its port sends, and for what is on the way to it"},
		{"down all", "decided", "on the sender's cable, once for all receivers"},
		{"up a during 1s..2s", "and", "loses them at all other times: only then is the cable up"},
		{"partition all <-> all", "frames", "all frames"},
		{"partition all -> a", "frames", "frames from anybody to a"},

		{"drop nth 3", "by chance", ""},
		{"loss: drop 2%", "by chance", "depends on the seed, its name, the path, the frame's flow and its place in it; not on other rules"},
		{"drop 2% corr 25%", "by chance", "depends on the seed, its text, the path, the frame's flow and its place in it, " +
			"and by correlation on the frames before it on that path; not on other rules"},
		{"delay 2ms jitter 1ms corr 25%", "by chance", "depends on the seed, its text, the path, the frame's flow and its place in it, " +
			"and by correlation on the frames before it on that path; not on other rules"},
		{"drop gemodel 1% 25%", "by chance", "depends on the seed, its text, the path and the frame's place on it; not on other rules"},
		{"corrupt gemodel 1% 25%", "by chance", "depends on the seed, its text, the path and the frame's place on it; " +
			"what is done to it, on its flow and its place in that; not on other rules"},
		{"drop markov link a=0% b=1% a>b=1% step 10ms", "by chance",
			"depends on the seed, the chain's name, the path, the frame's place on it and the time; not on other rules"},
	} {
		if got := explained(t, c.rule, c.line); got != c.want {
			t.Errorf("%s: %s\n got %q\nwant %q", c.rule, c.line, got, c.want)
		}
	}
}

// However many rules there are, the picture and the words stay within 79 columns,
// and each rule stands at its stage.
func TestExplainOfManyRules(t *testing.T) {
	var rules []*faults.Rule
	for i := range 120 {
		text := "drop 1% from a"
		switch {
		case i%5 == 3:
			text = "pad 4B to all"
		case i == 50:
			text = "mtu 1400 error"
		case i == 51:
			text = "down a"
		}
		rules = append(rules, mustParse(t, text))
	}
	rules = append(rules, mustParse(t, "drop markov good=0% tx=0% burst=100% single=100% good>burst=1% burst>good=30% burst>tx=20% tx>burst=50%"))
	text := faults.Explain(rules)
	for line := range strings.Lines(text) {
		if n := len(strings.TrimSuffix(line, "\n")); n > 79 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{"the port's own MTU; rule 51\n", "rules 1..3, 5..8, 10..13,", " 49, 52, 54, 59, "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text[:2000])
		}
	}
	if none := faults.Explain(nil); strings.Count(none, "no rule\n") != 3 {
		t.Errorf("without rules:\n%s", none)
	}
}
