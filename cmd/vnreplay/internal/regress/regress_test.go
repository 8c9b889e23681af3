package regress

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/vnreplay/vnreplay/scenario"
)

var update = flag.Bool("update", false, "rewrite golden files")

// noFiles is for applications that name no files, or are refused.
func noFiles(app string) ([]string, error) {
	if app == "exec:sh" {
		return nil, errors.New("not here")
	}
	if file, ok := strings.CutPrefix(app, "file:"); ok {
		return []string{file}, nil
	}
	return nil, nil
}

// Every error of an expectation file names its line and column and shows the place.
func TestErrors(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/errors.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"there.pcapng", "two.pcapng", "two.pcap", "s.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	os.Mkdir(filepath.Join(dir, "directory"), 0o777)
	os.Symlink("/etc/passwd", filepath.Join(dir, "out.pcap"))
	var out bytes.Buffer
	for _, f := range archive.Files {
		path := filepath.Join(dir, f.Name)
		if err := os.WriteFile(path, f.Data, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path, f.Name, noFiles)
		var e *scenario.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: error %v, want a *scenario.Error", f.Name, err)
			continue
		}
		if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %q", f.Name, err)
		}
		fmt.Fprintf(&out, "%v\n%s\n", err, e.Excerpt())
	}
	const golden = "testdata/errors.golden"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("(-want +got; -update rewrites it)\n%s", diff)
	}
}

func TestSet(t *testing.T) {
	for name, c := range map[string]struct {
		in      string
		figures []Figure
		out     string
		changed []string
	}{
		"block": {
			"live: {a: b} # x\nexpect:\n  verdict: same\n  retransmits: 0..3 # few\n  within: 1s\n",
			[]Figure{{"retransmits", "0..9"}, {"synthetic-acks", "0..2"}},
			"live: {a: b} # x\nexpect:\n  verdict: same\n  retransmits: 0..9 # few\n  within: 1s\n  synthetic-acks: 0..2\n",
			[]string{"-   retransmits: 0..3 # few", "+   retransmits: 0..9 # few", "+   synthetic-acks: 0..2"},
		},
		"flow": {
			"live: {a: b}\nexpect: {retransmits: \">=3\", verdict: same}\n",
			[]Figure{{"retransmits", ">=9"}, {"within", "2s"}},
			"live: {a: b}\nexpect: {retransmits: \">=9\", verdict: same, within: 2s}\n",
			[]string{"- expect: {retransmits: \">=3\", verdict: same}", "+ expect: {retransmits: \">=9\", verdict: same, within: 2s}"},
		},
		"none": {
			"live: {é: b}", []Figure{{"synthetic-acks", "0..2"}},
			"live: {é: b}\nexpect:\n  synthetic-acks: 0..2\n",
			[]string{"+ expect:", "+   synthetic-acks: 0..2", "+ "},
		},
	} {
		out, changed, err := Set(c.in, name, c.figures)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.out, out); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
		if diff := cmp.Diff(c.changed, changed); diff != "" {
			t.Errorf("%s, changed (-want +got)\n%s", name, diff)
		}
	}
	if _, _, err := Set("expect: {}\n", "empty", []Figure{{"within", "2s"}}); err == nil {
		t.Error("a second expect is written")
	}
}

// hostile are results with all that could break out of a format.
var hostile = []Result{
	{Path: "a/x #1.vnr.yaml", Outcome: OK, What: "same", StackOnly: true, Took: 120 * time.Millisecond},
	{Path: "a/]]><b>\x01\x1b[31m.vnr.yaml", Outcome: Failed, What: `di"verged\ <&>`, Recording: "/r", Report: []string{"  indented", "...", "---", "not ok 7", "]]>", "é: 雪"}},
	{Path: "b/c/p.vnr.yml", Outcome: Partial, What: "partial", Report: []string{"x"}},
	{Path: "e.vnr.yaml", Outcome: Wrong, What: "e.vnr.yaml:1:2: wrong"},
	{Path: "h.vnr.yaml", Outcome: Harness, What: "hangs"},
	{Path: "n.vnr.yaml", Outcome: NotRun, What: "interrupted"},
}

func TestJUnit(t *testing.T) {
	var out bytes.Buffer
	if err := JUnit(&out, hostile); err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(out.Bytes()) {
		t.Error("not UTF-8")
	}
	var back junitSuites
	if err := xml.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if got, want := back.junitCounts, (junitCounts{6, 1, 3, 1, "0.120"}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	sum := 0
	for _, s := range back.Suites {
		sum += len(s.Cases)
		if s.Tests != len(s.Cases) {
			t.Errorf("suite %s says %d of %d", s.Name, s.Tests, len(s.Cases))
		}
	}
	c := back.Suites[0].Cases[1]
	if sum != 6 || c.Failure == nil || c.Failure.Message != hostile[1].What || c.Class != "a" ||
		c.Failure.Text != "  indented\n...\n---\nnot ok 7\n]]>\né: 雪\nrecording: /r\nagain: vnreplay test 'a/]]><b>\\x01\\x1b[31m.vnr.yaml'" {
		t.Errorf("%d cases, %+v: %+v", sum, c, c.Failure)
	}
}

func TestTAP(t *testing.T) {
	var out bytes.Buffer
	tap, err := NewTAP(&out, len(hostile))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range hostile {
		if err := tap.Result(r); err != nil {
			t.Fatal(err)
		}
	}
	head, rest, _ := strings.Cut(out.String(), "\n")
	if head != "TAP version 13" || !strings.HasPrefix(rest, "1..6\nok 1 - a/x \\#1.vnr.yaml\n") {
		t.Errorf("%s", out.String())
	}
	blocks := strings.Split(out.String(), "\n  ---\n")[1:]
	if len(blocks) != 5 {
		t.Fatalf("%d blocks", len(blocks))
	}
	for i, block := range blocks {
		block, _, _ := strings.Cut(block, "\n  ...\n")
		var d struct{ Message, Outcome, Report string }
		text := strings.ReplaceAll("\n"+block, "\n  ", "\n") + "\n"
		if err := yaml.Unmarshal([]byte(text), &d); err != nil {
			t.Errorf("block %d: %v\n%s", i, err, text)
		}
		want := strings.TrimLeft(strings.Join(hostile[i+1].details(), "\n"), " ")
		if d.Message != hostile[i+1].line() || strings.TrimSuffix(d.Report, "\n") != want {
			t.Errorf("block %d: %q, want %q", i, d, want)
		}
	}
	prove, err := exec.LookPath("prove")
	if err != nil {
		return
	}
	file := filepath.Join(t.TempDir(), "out.tap")
	os.WriteFile(file, out.Bytes(), 0o666)
	said, _ := exec.Command(prove, "--exec", "cat", file).CombinedOutput()
	if !strings.Contains(string(said), "Failed 5/6 subtests") || strings.Contains(string(said), "Parse error") {
		t.Errorf("prove: %s", said)
	}
}

// Results come in the order of the paths, whichever ends first, and several
// processes are at work at once.
func TestRun(t *testing.T) {
	paths := []string{"a", "b", "c", "d"}
	var most, now int
	var order []string
	results := Run(t.Context(), paths, Options{
		Jobs: 4, Limit: time.Minute,
		Command: func(path string) *exec.Cmd {
			// The first one ends last: all the others have to be at work for it.
			wait := map[string]string{"a": "0.8", "b": "0.5", "c": "0.2", "d": "0.1"}[path]
			return exec.Command("sh", "-c", "sleep "+wait+`; echo '{"outcome": "ok", "what": "`+path+`"}'`)
		},
		Began: func(string, *Result) { now++; most = max(most, now) },
		Ended: func(string, *Result) { now-- },
		Done:  func(r Result) { order = append(order, r.Path) },
	})
	if !slices.Equal(order, paths) || most != 4 || len(results) != 4 || results[2].What != "c" {
		t.Errorf("order %v, %d at once, %+v", order, most, results)
	}
}

func TestRunOfBadProcesses(t *testing.T) {
	scripts := map[string]string{
		"crashes": "echo panic: no >&2; exit 2", "silent": "exit 0", "hangs": "trap '' TERM; exec sleep 60 2>/dev/null", "chatty": "exec yes",
	}
	var paths []string
	for p := range scripts {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	began := time.Now()
	results := Run(t.Context(), paths, Options{
		Jobs: 4, Limit: time.Second,
		Command: func(path string) *exec.Cmd { return exec.Command("sh", "-c", scripts[path]) },
		Began:   func(string, *Result) {}, Ended: func(string, *Result) {}, Done: func(Result) {},
	})
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	for i, r := range results {
		if r.Outcome != Harness || r.Path != paths[i] {
			t.Errorf("%+v", r)
		}
	}
	if want := []string{"panic: no"}; !slices.Equal(results[1].Report, want) {
		t.Errorf("%+v", results[1])
	}
}

// What is not over when the context ends is not run, and says so.
func TestRunInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	results := Run(ctx, []string{"a", "b", "c"}, Options{
		Jobs: 1, Limit: time.Minute,
		Command: func(path string) *exec.Cmd {
			if path == "a" {
				return exec.Command("echo", `{"outcome": "ok"}`)
			}
			return exec.Command("sleep", "60")
		},
		Began: func(path string, _ *Result) {
			if path == "b" {
				time.AfterFunc(100*time.Millisecond, cancel)
			}
		},
		Ended: func(string, *Result) {}, Done: func(Result) {},
	})
	if s := Summarise(results); s.OK != 1 || s.NotRun != 2 || s.Total != 3 {
		t.Errorf("%+v", s)
	}
}

func TestSummaryIsTheGravest(t *testing.T) {
	if s := Summarise(hostile); s.Status != 3 || s.String() != "1 ok, 1 failed, 1 partial, 1 with an error, 1 that the harness failed, 1 not run" {
		t.Errorf("%+v: %v", s, s)
	}
	if s := Summarise(hostile[:3]); s.Status != 2 {
		t.Errorf("%+v", s)
	}
}
