package faults_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/faults"
)

// Where a piece of a word is missing, the error is about the word, not about the end of
// the rule.
func TestErrorsAboutMissingPiecesNameTheWord(t *testing.T) {
	for text, want := range map[string]string{
		"drop markov = a=1%":             `column 13, "=": a chain is written`,
		"drop markov a= b=1%":            `column 13, "a=": a probability is`,
		"drop markov a=1% b=1% >b=1% x":  `column 23, ">b=1%": no such state`,
		"drop markov a=1% b=1% a>=1% x":  `column 23, "a>=1%": no such state`,
		"drop markov a=1% b=1% a>b= x":   `column 23, "a>b=": a probability is`,
		"pad 5.. to server":              `column 5, "5..": the padding is`,
		"delay places :5ms from client":  `column 14, ":5ms": a frame's place is a whole number`,
		"delay places 3: from client":    `column 15, ":": not a unit of time`,
		"rate 5mbit queue p from client": `column 18, "p": the number of frames that may wait is a whole number`,
	} {
		_, err := faults.Parse(text)
		var e *faults.SyntaxError
		if !errors.As(err, &e) || !strings.HasPrefix(e.Error(), "fault rule, "+want) {
			t.Errorf("%q: got %v\nwant %s", text, err, want)
			continue
		}
		checkSyntaxError(t, text, e)
	}
}

// A window that is all of the run is none: "up" without another says nothing, and
// what is printed without it means the same.
func TestWindowOfTheWholeRunIsNone(t *testing.T) {
	for _, text := range []string{"drop during 0s..", "drop during 0s..5s,3s..", "drop during 4s..,0s..4s"} {
		if got := mustParse(t, text).String(); got != "drop" {
			t.Errorf("%q prints as %q", text, got)
		}
	}
	for _, text := range []string{"up server during 0s..", "up server during 0s.. off"} {
		if r, err := faults.Parse(text); err == nil {
			t.Errorf("%q was read as %q, which cannot be read", text, r)
		}
	}
}

// "after" a time "for" another is printed as a window, whose end has to be a time
// that a rule can name.
func TestForEndsWhereARuleCanName(t *testing.T) {
	for text, normal := range map[string]string{
		"drop after 719h for 1h":  "drop during 719h..720h",
		"drop after 1ns for 1ns":  "drop during 1ns..2ns",
		"drop during 5s.. for 1s": "drop during 5s..6s",
	} {
		if got := mustParse(t, text).String(); got != normal {
			t.Errorf("%q prints as %q, want %q", text, got, normal)
		}
		if got := mustParse(t, normal).String(); got != normal {
			t.Errorf("%q prints as %q", normal, got)
		}
	}
	const want = `fault rule, column 17, "for": this ends at 721h; a rule can name the first 720h of a run`
	if _, err := faults.Parse("drop after 720h for 1h"); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
