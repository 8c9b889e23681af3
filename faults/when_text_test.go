package faults_test

import (
	"testing"

	"github.com/vnreplay/vnreplay/faults"
)

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
