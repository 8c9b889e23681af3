package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/regress"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
)

func testCommand() *cli.Command {
	return &cli.Command{
		Name:      "test",
		Usage:     "run the regressions in directories",
		UsageText: "vnreplay test DIR... [FLAGS]\nvnreplay test add CAPTURE --live ADDR=APP [FLAGS]",
		ArgsUsage: "DIR...",
		Description: "Runs every NAME.vnr.yaml below the directories, each in a process of its\n" +
			"own. Such a file stands beside a capture and says what is to come of it:\n" +
			"  live: {10.0.0.2: \"http-server:/index.html=index.html\"}\n" +
			"  expect: {verdict: same, within: 5s}\n" +
			"or it says verify: RECORDING, or run: SCENARIO. test add writes one.\n\n" +
			"Example: vnreplay test testdata/regressions --junit junit.xml",
		Subcommands:     []*cli.Command{testAddCommand()},
		HideHelpCommand: true,
		Flags: []cli.Flag{
			&cli.Uint64Flag{Name: "j", Base: 10, Usage: "run `N` at a time (as many as there are CPUs)"},
			&cli.StringFlag{Name: "run", Usage: "only those whose path matches `REGEXP`"},
			&cli.BoolFlag{Name: "list", Usage: "list them, run none"},
			&cli.BoolFlag{Name: "update", Usage: "take new figures and recordings over, and show them"},
			&cli.BoolFlag{Name: "tap", Usage: "print TAP, version 13"},
			&cli.StringFlag{Name: "junit", Usage: "write JUnit XML to `FILE`, too"},
			&cli.StringFlag{Name: "artifacts", Usage: "keep recordings of what fails in `DIR`"},
			wallLimitFlag,
			jsonFlag,
			&cli.StringFlag{Name: "one", Hidden: true},       // the process of one regression: what it is called
			&cli.StringFlag{Name: "recording", Hidden: true}, // and where it records
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, -1, "a directory"); err != nil {
				return err
			}
			t := tester{
				jobs: int(min(c.Uint64("j"), 1<<10)), junit: c.String("junit"), artifacts: c.String("artifacts"),
				update: c.Bool("update"), tap: c.Bool("tap"), json: c.Bool("json"), list: c.Bool("list"),
				wall: c.Duration("wall-limit"), stdout: c.App.Writer, stderr: c.App.ErrWriter,
			}
			if name := c.String("one"); name != "" {
				return t.child(c.Context, c.Args().First(), name, c.String("recording"))
			}
			switch {
			case t.tap && t.json:
				return usage("--tap and --json both want the standard output: give one")
			case c.IsSet("j") && t.jobs == 0:
				return usage("test: -j 0 runs nothing: want at least 1")
			case !c.IsSet("j"):
				t.jobs = runtime.GOMAXPROCS(0)
			}
			if t.update {
				t.jobs = 1 // two files may be about one recording
			}
			return t.run(c.Context, c.Args().Slice(), c.String("run"))
		},
	}
}

// reading is how long a process may take beside the run: it reads a capture.
const reading = 30 * time.Second

// tester is one call of the verb test.
type tester struct {
	jobs             int
	update           bool
	tap, json, list  bool
	junit, artifacts string
	wall             time.Duration
	stdout, stderr   io.Writer
}

// child runs one regression: this process is there for it.
func (t *tester) child(ctx context.Context, path, name, recording string) error {
	ctx, g := newGuard(ctx, t.stderr, grace)
	defer g.stop()
	one := oneTest{path: path, name: name, recording: recording, update: t.update, wall: t.wall}
	one.Path = name
	result := one.run(ctx, g)
	if ctx.Err() != nil {
		os.Remove(recording)
		return context.Cause(ctx)
	}
	return writeJSON(t.stdout, result)
}

// testOutcome is what test --json prints.
type testOutcome struct {
	regress.Summary
	Results []regress.Result `json:"results"`
}

func (t *tester) run(ctx context.Context, dirs []string, filter string) error {
	wanted, err := regexp.Compile(filter)
	if err != nil {
		return usage("test: --run %q is no regular expression: %v", filter, err)
	}
	paths, captures, err := regress.Find(dirs)
	if err != nil {
		return err
	}
	all := len(paths)
	paths = slices.DeleteFunc(paths, func(p string) bool { return !wanted.MatchString(filepath.ToSlash(p)) })
	if len(paths) == 0 {
		return t.nothing(dirs, filter, all)
	}
	if t.list {
		for _, p := range paths {
			if _, err := fmt.Fprintln(t.stdout, pcap.Printable(p)); err != nil {
				return err
			}
		}
		return nil
	}
	var junit *os.File
	if t.junit != "" { // before the work, so that it is not done in vain
		for _, file := range slices.Concat(paths, captures) {
			if sameFile(file, t.junit) {
				return usage("test: --junit %s is a regression's file: give another", t.junit)
			}
		}
		if junit, err = os.Create(t.junit); err != nil {
			return fmt.Errorf("--junit: %w", err)
		}
		defer junit.Close()
	}
	kept, discard, err := t.keeps()
	if err != nil {
		return err
	}
	ctx, g := newGuard(ctx, t.stderr, grace)
	defer g.stop()
	if t.artifacts == "" {
		g.discards(kept)
	}
	show, err := t.reporter(len(paths))
	if err != nil {
		return err
	}
	began, bar := time.Now(), newBar(t.stderr, len(paths))
	var werr error
	results := regress.Run(ctx, paths, regress.Options{
		Jobs: t.jobs, Limit: t.wall + reading, // it is within its own limit, or it hangs
		Command: func(path string) *exec.Cmd { return t.command(path, path, recordingOf(kept, path)) },
		Began:   func(path string, _ *regress.Result) { bar.began(path) },
		Ended:   func(path string, r *regress.Result) { bar.ended(path, r.Outcome) },
		Done: func(r regress.Result) {
			t.shown(&r, kept)
			bar.clear()
			if err := show(r); werr == nil {
				werr = err
			}
			bar.draw()
		},
	})
	bar.clear()
	for i := range results {
		t.shown(&results[i], kept)
	}
	discard(results)
	if werr == nil {
		werr = t.end(ctx, results, time.Since(began), untested(paths, captures), filter != "")
	}
	if junit != nil {
		if err := regress.JUnit(junit, results); werr == nil {
			werr = err
		}
	}
	switch status := regress.Summarise(results).Status; {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case werr != nil:
		return werr
	case status != exitOK:
		return quiet{status}
	}
	return nil
}

// nothing is for when there is nothing to run: a test that tests nothing is not
// to pass.
func (t *tester) nothing(dirs []string, filter string, all int) error {
	err := usage("no regressions in %s: they are in files NAME%s; vnreplay test add writes one", strings.Join(dirs, " "), regress.Suffixes[0])
	if all > 0 {
		err = usage("none of %s matches --run %q", count(uint64(all), "regression"), filter)
	}
	if t.tap {
		fmt.Fprintf(t.stdout, "TAP version 13\nBail out! %s\n", oneLine(err))
	}
	return err
}

// keeps is the directory of the recordings of what fails, and what removes it if
// nothing is in it.
func (t *tester) keeps() (dir string, discard func([]regress.Result), err error) {
	dir = t.artifacts
	if dir == "" {
		dir, err = os.MkdirTemp("", "vnreplay-test-")
	} else if err = os.MkdirAll(dir, 0o777); err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return "", nil, fmt.Errorf("--artifacts: %w", err)
	}
	return dir, func(results []regress.Result) {
		kept := func(r regress.Result) bool { return r.Recording != "" }
		for _, r := range results {
			if !kept(r) {
				// What an ended process may have left.
				removeRecordings(recordingOf(dir, r.Path))
			}
			removeEmpty(filepath.Dir(recordingOf(dir, r.Path)), dir)
		}
		if t.artifacts == "" && !slices.ContainsFunc(results, kept) {
			os.RemoveAll(dir)
		}
	}, nil
}

// shown makes the path of a recording what the user would call it: the processes
// need it from the root.
func (t *tester) shown(r *regress.Result, kept string) {
	if rel, err := filepath.Rel(kept, r.Recording); t.artifacts != "" && r.Recording != "" && err == nil {
		r.Recording = filepath.Join(t.artifacts, rel)
	}
}

// removeEmpty removes a directory and those above it, below top, that are empty.
func removeEmpty(dir, top string) {
	for strings.HasPrefix(dir, top+string(filepath.Separator)) && os.Remove(dir) == nil {
		dir = filepath.Dir(dir)
	}
}

// removeRecordings removes the recording of a regression, or those of several switches, whole
// or left by an ended process.
func removeRecordings(path string) {
	stem := strings.TrimSuffix(filepath.Base(path), regress.FailedSuffix)
	files, _ := os.ReadDir(filepath.Dir(path)) // if it is not there, nothing is left
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".partial")
		if name == filepath.Base(path) || strings.HasPrefix(name, stem+regress.BeforeSwitch) && strings.HasSuffix(name, regress.FailedSuffix) {
			os.Remove(filepath.Join(filepath.Dir(path), f.Name()))
		}
	}
}

// recordingOf is where the recording of a regression goes: as the regressions
// lie, so that no two are one, under a name that is no capture's, should dir be
// where they are.
func recordingOf(dir, path string) string {
	name := strings.ReplaceAll(regress.Name(filepath.ToSlash(path)), "../", "up/")
	return filepath.Join(dir, filepath.FromSlash(name)+regress.FailedSuffix)
}

// command is the process of one regression, in its directory. name is what the
// user knows it by.
func (t *tester) command(path, name, recording string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	os.MkdirAll(filepath.Dir(recording), 0o777) // without it, the recorder says so
	args := []string{"test", "--one", name, "--recording", recording, "--wall-limit", t.wall.String()}
	if t.update {
		args = append(args, "--update")
	}
	cmd := exec.Command(self, append(args, "--", filepath.Base(path))...)
	cmd.Args[0] = os.Args[0]
	cmd.Dir = filepath.Dir(path)
	return cmd
}

// reporter writes each result to the standard output.
func (t *tester) reporter(n int) (func(regress.Result) error, error) {
	switch {
	case t.json:
		return func(regress.Result) error { return nil }, nil
	case t.tap:
		tap, err := regress.NewTAP(t.stdout, n)
		return func(r regress.Result) error {
			if r.Outcome == regress.NotRun {
				return nil // the plan says that it is missing
			}
			return tap.Result(r)
		}, err
	}
	return func(r regress.Result) error { return regress.Text(t.stdout, r) }, nil
}

// end writes what follows the last result. untested are captures that no
// expectation is about.
func (t *tester) end(ctx context.Context, results []regress.Result, took time.Duration, untested []string, filtered bool) error {
	s := regress.Summarise(results)
	if ctx.Err() != nil {
		s.Status = exitStatus(context.Cause(ctx))
	}
	var err error
	switch {
	case t.json:
		return writeJSON(t.stdout, testOutcome{s, results})
	case t.tap && s.NotRun > 0:
		_, err = fmt.Fprintf(t.stdout, "Bail out! interrupted: %v\n", s)
		return err
	case t.tap:
		return nil
	}
	_, err = fmt.Fprintf(t.stdout, "\n%v, in %.2fs\n", s, took.Seconds())
	if n := stackOnly(results); n > 0 && err == nil {
		_, err = fmt.Fprintf(t.stdout, "note: %s the stack only: the live side is a transcript\n", tests(n))
	}
	if len(untested) > 0 && !filtered && err == nil {
		_, err = fmt.Fprintf(t.stdout, "note: no regression is about %s\n", pcap.Printable(list(untested, 5)))
	}
	return err
}

func stackOnly(results []regress.Result) (n int) {
	for _, r := range results {
		if r.StackOnly && r.Outcome != regress.Wrong {
			n++
		}
	}
	return n
}

func tests(n int) string {
	if n == 1 {
		return "1 replay tests"
	}
	return fmt.Sprintf("%d replays test", n)
}

// list writes the first n of some names.
func list(names []string, n int) string {
	if len(names) > n {
		return strings.Join(names[:n], ", ") + fmt.Sprintf(" and %d more", len(names)-n)
	}
	return strings.Join(names, ", ")
}

// untested are the captures that none of the expectations names.
func untested(paths, captures []string) []string {
	named := map[string]bool{}
	for _, path := range paths {
		x, err := loadExpectation(path, path)
		if err != nil {
			return nil // it is not known what it is about
		}
		files := x.Files()
		for _, l := range x.Live {
			more, _ := appFiles(l.Value)
			files = append(files, more...)
		}
		if x.Recording != "" { // of several switches there are several
			if s, err := scenario.Load(filepath.Join(filepath.Dir(path), x.Run)); err == nil {
				files = append(files, recordingPaths(x.Recording, s)...)
			}
		}
		for _, file := range files {
			named[filepath.Join(filepath.Dir(path), file)] = true
		}
	}
	return slices.DeleteFunc(captures, func(c string) bool { return named[c] })
}
