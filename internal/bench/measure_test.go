package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vnreplay/vnreplay/internal/bench"
)

var update = flag.Bool("update", false, "rewrite the golden texts")

// scripted is a subject whose results are known before.
type scripted struct {
	name     string
	results  []bench.Result
	setupErr error
	runErr   error
	calls    *[]string
}

func (s *scripted) Name() string { return s.name }

func (s *scripted) Setup(context.Context) error {
	*s.calls = append(*s.calls, "setup "+s.name)
	return s.setupErr
}

func (s *scripted) Run(context.Context) (bench.Result, error) {
	*s.calls = append(*s.calls, "run "+s.name)
	if s.runErr != nil {
		return bench.Result{}, s.runErr
	}
	r := s.results[0]
	s.results = s.results[1:]
	return r, nil
}

func (s *scripted) Teardown() error {
	*s.calls = append(*s.calls, "teardown "+s.name)
	return nil
}

// gbps is a run at a rate.
func gbps(rate float64, cpu time.Duration, lost uint64) bench.Result {
	return bench.Result{Bytes: 1e9, Elapsed: time.Duration(8 / rate * float64(time.Second)), CPU: cpu, Lost: lost}
}

var errBroken = errors.New("it broke")

func measured(t *testing.T) (report *bench.Report, calls []string, err error) {
	t.Helper()
	s, ms := time.Second, time.Millisecond
	g := bench.Group{
		Name: "tcp", Title: "one connection", Metric: bench.Gbps,
		Subjects: []bench.Subject{
			&scripted{name: "ours", calls: &calls, results: []bench.Result{gbps(4, 2*s, 0), gbps(8, s, 0), gbps(6, 1500*ms, 0)}},
			&scripted{name: "theirs", calls: &calls, results: []bench.Result{gbps(2, 4*s, 3), gbps(2, 4*s, 0), gbps(4, 3*s, 4)}},
			&scripted{name: "absent", calls: &calls, setupErr: bench.Skip("no tool: install it")},
			&scripted{name: "broken", calls: &calls, runErr: errBroken},
		},
		Ratios: []bench.Ratio{{Of: "ours", To: "theirs", AtLeast: 1.4}, {Of: "ours", To: "absent"}},
	}
	frames := bench.Group{Name: "frames", Title: "single frames", Metric: bench.MillionFrames, Subjects: []bench.Subject{
		&scripted{name: "ours", calls: &calls, results: []bench.Result{
			{Frames: 1e6, Bytes: 1e9, Elapsed: s, CPU: 150 * ms, Late: 40 * time.Microsecond}, {Frames: 1e6, Elapsed: s / 2, CPU: 100 * ms}, {Frames: 1e6, Elapsed: s, CPU: 125 * ms},
		}},
	}}
	report, err = bench.Measure(t.Context(), []bench.Group{g, frames}, bench.Options{Reps: 3})
	report.Go, report.OS, report.Arch, report.CPUs = "go1.99", "plan9", "mips", 2
	return report, calls, err
}

// Subjects of a group take turns; who cannot be measured is asked once.
func TestSubjectsTakeTurns(t *testing.T) {
	_, calls, err := measured(t)
	if !errors.Is(err, errBroken) || errors.Is(err, bench.ErrSkipped) {
		t.Errorf("error %v, want that of the broken subject and no other", err)
	}
	one := func(name string) string { return "setup " + name + ",run " + name + ",teardown " + name }
	want := strings.Join([]string{
		one("ours"), one("theirs"), "setup absent", one("broken"), one("ours"), one("theirs"), one("ours"), one("theirs"),
		one("ours"), one("ours"), one("ours"),
	}, ",")
	if diff := cmp.Diff(want, strings.Join(calls, ",")); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestReportAsText(t *testing.T) {
	report, _, _ := measured(t)
	var b strings.Builder
	if err := report.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.golden", b.String())
	for line := range strings.Lines(b.String()) {
		if len([]rune(strings.TrimRight(line, "\n"))) > 80 {
			t.Errorf("longer than 80 columns: %q", line)
		}
	}
}

func TestReportAsJSON(t *testing.T) {
	report, _, _ := measured(t)
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json.golden", string(b)+"\n")
}

// Who is interrupted says so, and what had been measured is there.
func TestMeasureEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	var calls []string
	g := bench.Group{Metric: bench.Gbps, Subjects: []bench.Subject{
		&scripted{name: "a", calls: &calls, results: make([]bench.Result, 10)},
	}}
	opts := bench.Options{Reps: 10, Progress: func(_, _ string, rep, _ int) {
		if rep == 3 {
			cancel(errBroken)
		}
	}}
	report, err := bench.Measure(ctx, []bench.Group{g}, opts)
	if !errors.Is(err, errBroken) || len(report.Tables[0].Rows[0].Runs) != 2 {
		t.Errorf("error %v and %d runs, want the cause, and 2", err, len(report.Tables[0].Rows[0].Runs))
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", path, diff)
	}
}
