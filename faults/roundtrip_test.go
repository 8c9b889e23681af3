package faults_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/faults"
)

// pick draws one of the texts.
func pick(t *rapid.T, label string, texts ...string) string {
	return rapid.SampledFrom(texts).Draw(t, label)
}

// drawFrequency draws a how-often, in any of its spellings.
func drawFrequency(t *rapid.T) string {
	n := func(label string, most int) int { return rapid.IntRange(1, most).Draw(t, label) }
	switch rapid.IntRange(0, 6).Draw(t, "frequency") {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%d.%0*d%%", rapid.IntRange(0, 99).Draw(t, "percent"), n("places", 9), rapid.IntRange(0, 9).Draw(t, "digits"))
	case 2:
		den := n("den", 100_000)
		return fmt.Sprintf("%d/%d", rapid.IntRange(0, den).Draw(t, "num"), den)
	case 3:
		return fmt.Sprintf("%d‰", n("permille", 1000))
	case 4:
		return fmt.Sprintf("every %d", n("every", 20))
	case 5:
		return fmt.Sprintf("first %d", n("first", 20))
	}
	var items []string
	for range n("items", 6) {
		first := n("place", 40)
		switch rapid.IntRange(0, 4).Draw(t, "item") {
		case 0:
			items = append(items, fmt.Sprintf("%d..%d", first, first+n("length", 10)-1))
		case 1:
			items = append(items, fmt.Sprintf("%d..", first+20))
		default:
			items = append(items, fmt.Sprint(first))
		}
	}
	return "nth " + strings.Join(items, ",")
}

// drawParts draws a kind and its options.
func drawParts(t *rapid.T) (kind string, options []string) {
	kind = pick(t, "kind", "drop", "duplicate", "corrupt")
	maybe := func(label string) bool { return rapid.Bool().Draw(t, label) }
	switch {
	case kind == "duplicate":
		if maybe("copies?") {
			options = append(options, fmt.Sprintf("copies %d", rapid.IntRange(1, 4).Draw(t, "copies")))
		}
		if maybe("gap?") {
			options = append(options, fmt.Sprintf("gap %d%s", rapid.IntRange(0, 3000).Draw(t, "gap"), pick(t, "unit", "ns", "us", "µs", "ms")))
		}
	case kind == "corrupt" && maybe("exact?"):
		var patches []string
		at := rapid.IntRange(0, 40).Draw(t, "offset")
		for range rapid.IntRange(1, 3).Draw(t, "patches") {
			b := rapid.IntRange(1, 255).Draw(t, "byte")
			how := rapid.IntRange(0, 2).Draw(t, "how")
			patches = append(patches, fmt.Sprintf([]string{"@%d:00%02x>0000", "@%d=00%02X", "@%d^00%02x"}[how], at, b))
			at += 2 + rapid.IntRange(0, 4).Draw(t, "hole")
		}
		options = []string{strings.Join(patches, ",")}
	case kind == "corrupt" && maybe("bits?"):
		options = []string{fmt.Sprintf("bits %d", rapid.IntRange(1, 30).Draw(t, "bits"))}
	}
	return kind, options
}

// drawRule draws the text of a rule, as untidy as the language allows.
func drawRule(t *rapid.T, name string) string {
	kind, options := drawParts(t)
	words := []string{kind, drawFrequency(t)}
	if name != "" {
		words = append([]string{name + ":"}, words...)
	}
	if from := pick(t, "from", "", "", "all", "client", "server"); from != "" {
		options = append(options, "from "+from)
	}
	if to := pick(t, "to", "", "", "all", "server", "spy"); to != "" {
		options = append(options, "to "+to)
	}
	words = append(words, rapid.Permutation(options).Draw(t, "order")...)
	return strings.Join(words, pick(t, "space", " ", "  ", "\t", " \n "))
}

// What a rule prints reads back as the same rule: it prints the same again, and
// judges the same.
func TestRoundTrip(t *testing.T) {
	l := newLAN(t, 11)
	rapid.Check(t, func(t *rapid.T) {
		text := drawRule(t, pick(t, "name", "", "", "loss", "a-1_B"))
		r, err := faults.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		normal := r.String()
		again, err := faults.Parse(normal)
		if err != nil {
			t.Fatalf("%q prints as %q: %v", text, normal, err)
		}
		if again.String() != normal {
			t.Fatalf("%q prints as %q, that as %q", text, normal, again)
		}
		if again.Name() != r.Name() || again.From() != r.From() || again.To() != r.To() {
			t.Fatalf("%q and %q differ in name or ports", text, normal)
		}
		keys := faults.Keys{Seed: 3, Occurrence: 1}
		a, b := r.Compile(keys), again.Compile(keys)
		for i := range 60 {
			frame := udp(client, server, i%3, i, 20)
			for _, to := range []int{-1, server} {
				va, vb := verdictText(l.judge(a, frame, client, to)), verdictText(l.judge(b, frame, client, to))
				if va != vb {
					t.Fatalf("frame %d: %q does %s, %q does %s", i, text, va, normal, vb)
				}
			}
		}
	})
}

// FuzzParse: whatever the text, there is a rule that prints as itself or an error
// that keeps its promises.
func FuzzParse(f *testing.F) {
	for _, text := range slices.Concat(malformed, []string{
		"loss: drop 2% from client to server", "drop nth 3,17..19,40..", "drop 0.5‰ to all", "drop every 10", "drop first 5", "drop 1/3",
		"duplicate 0.5% copies 2 gap 1ms from client", "corrupt bits 7", "corrupt nth 4 @66:4f>4e,@70=00,@80^01 from server",
	}) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := faults.Parse(text)
		if err != nil {
			var e *faults.SyntaxError
			if !errors.As(err, &e) {
				t.Fatalf("%T: %v", err, err)
			}
			if len(text) <= 1000 {
				checkSyntaxError(t, text, e)
			}
			return
		}
		normal := r.String()
		again, err := faults.Parse(normal)
		if err != nil {
			t.Fatalf("%q prints as %q: %v", text, normal, err)
		}
		if again.String() != normal {
			t.Fatalf("%q prints as %q, that as %q", text, normal, again)
		}
	})
}
