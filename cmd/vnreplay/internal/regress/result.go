package regress

import (
	"fmt"
	"strings"
	"time"
)

// Outcome is what came of a regression.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"
	Failed  Outcome = "failed"  // it diverged, or an expectation does not hold
	Partial Outcome = "partial" // nothing, or only a part, could be replayed
	Wrong   Outcome = "error"   // its files cannot be used
	Harness Outcome = "harness" // the run itself failed
	NotRun  Outcome = "not run" // the command was interrupted before its end
)

// Status is the exit status that an outcome gives.
func (o Outcome) Status() int {
	return map[Outcome]int{OK: 0, Failed: 1, Partial: 2, Wrong: 2, Harness: 3}[o]
}

// Result is what came of one regression. It is also what the process of one
// regression says to the one that collects them, as JSON.
type Result struct {
	Path    string  `json:"path"` // of the expectation file
	Kind    Kind    `json:"kind,omitempty"`
	Outcome Outcome `json:"outcome"`
	What    string  `json:"what"` // one line
	// Report are lines that say more of what is not as expected.
	Report []string `json:"report,omitempty"`
	// StackOnly: the live side said what the capture says.
	StackOnly bool   `json:"stack_only,omitempty"`
	Recording string `json:"recording,omitempty"` // of what is not as expected
	// Figures of a replay, as an expectation has them.
	Figures []Figure `json:"figures,omitempty"`
	// Changed are the lines that an update took out ("- ") and put in ("+ ").
	Changed []string      `json:"changed,omitempty"`
	Took    time.Duration `json:"took_ns"` // wall time
	Trial   bool          `json:"-"`       // of a regression that is not there yet
}

// MaxLines is how many lines a report has at most. Where the recording is and what
// repeats it are two more.
const MaxLines = 38

// Say appends a text to the report, line by line, up to MaxLines.
func (r *Result) Say(text string) {
	for line := range strings.Lines(text) {
		r.Report = append(r.Report, strings.TrimRight(line, " \n"))
	}
	if n := len(r.Report); n > MaxLines {
		r.Report = append(r.Report[:MaxLines-1], fmt.Sprintf("... and %d lines more", n-MaxLines+1))
	}
}

// Summary counts results by outcome.
type Summary struct {
	Total   int `json:"total"`
	OK      int `json:"ok"`
	Failed  int `json:"failed"`
	Partial int `json:"partial"`
	Wrong   int `json:"error"`
	Harness int `json:"harness"`
	NotRun  int `json:"not_run"`
	Status  int `json:"status"` // exit status: the gravest
}

// Summarise counts.
func Summarise(results []Result) (s Summary) {
	counts := map[Outcome]*int{OK: &s.OK, Failed: &s.Failed, Partial: &s.Partial, Wrong: &s.Wrong, Harness: &s.Harness, NotRun: &s.NotRun}
	for _, r := range results {
		s.Total++
		*counts[r.Outcome]++
		s.Status = max(s.Status, r.Outcome.Status())
	}
	return s
}

// String is one line: "3 ok, 1 failed".
func (s Summary) String() string {
	parts := []string{fmt.Sprintf("%d ok", s.OK)}
	for _, p := range []struct {
		n    int
		what string
	}{{s.Failed, "failed"}, {s.Partial, "partial"}, {s.Wrong, "with an error"}, {s.Harness, "that the harness failed"}, {s.NotRun, "not run"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}
