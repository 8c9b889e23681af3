package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run a scenario, and record it",
		UsageText: "vnreplay run SCENARIO [-w FILE] [FLAGS]",
		Description: "Runs the scenario in virtual time and checks its expectations. A run that\n" +
			"fails keeps its recording, also without -w. Ctrl-C ends a run, closes its\n" +
			"recording whole and gives exit status 130.\n\n" +
			"Example: vnreplay run lossy.yaml -w lossy.pcapng --seed 42 \\\n" +
			"           --fault 'drop nth 3 from client'",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "w", Usage: "write the recording to `FILE` (-: standard output)"},
			&cli.Uint64Flag{Name: "seed", Usage: "use seed `N`, not the scenario's"},
			&cli.StringSliceFlag{Name: "fault", Usage: "add a `RULE`; may be repeated"},
			&cli.StringFlag{Name: "faults", Usage: "take the rules from `FILE`, not the scenario"},
			&cli.BoolFlag{Name: "check", Usage: "run again in a fresh process, compare"},
			wallLimitFlag,
			jsonFlag,
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 1, "the scenario file"); err != nil {
				return err
			}
			if err := checkWallLimit(c); err != nil {
				return err
			}
			r := runner{
				path: c.Args().First(), out: c.String("w"), check: c.Bool("check"), json: c.Bool("json"),
				extra: c.StringSlice("fault"), ruleFile: c.String("faults"), wallLimit: c.Duration("wall-limit"),
				stdout: c.App.Writer, stderr: c.App.ErrWriter,
			}
			if c.IsSet("seed") {
				seed := c.Uint64("seed")
				r.seed = &seed
			}
			return r.run(c.Context)
		},
	}
}

// runner is one call of the verb run.
type runner struct {
	path, out string
	seed      *uint64
	extra     []string // rules
	ruleFile  string
	check     bool
	json      bool
	wallLimit time.Duration

	stdout, stderr io.Writer
}

func (r *runner) run(ctx context.Context) error {
	switch {
	case r.out == "-" && r.json:
		return usage("--json and -w - both want the standard output")
	case r.check && r.out != "" && !isRegularOrNew(r.out):
		return usage("--check compares two files: give -w the name of a regular one, or leave it out")
	}
	s, err := r.load()
	if err != nil {
		return err
	}
	path, remove, err := r.target()
	if err != nil {
		return err
	}
	rec, err := pcap.Create(path, s.Meta())
	if err != nil {
		remove()
		return fmt.Errorf("recording: %w", err)
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	res, err := scenario.Run(ctx, s, scenario.Options{Recorder: rec, WallLimit: r.wallLimit})
	cerr := rec.Close()
	if err == nil {
		err = cerr
	}
	if res == nil {
		remove()
		return err
	}
	out := runOutcome{Scenario: r.path, Result: res, Recording: path, Whole: cerr == nil}
	if cerr != nil {
		out.Recording = rec.Written()
	}
	if err != nil {
		out.Error = pcap.Printable(err.Error())
	} else if r.check {
		out.Repeat = r.repeat(ctx, path)
	}
	if err == nil && res.OK() && out.Repeat.ok() && r.out == "" {
		remove()
		out.Recording = ""
	}
	if werr := r.print(&out); werr != nil && err == nil {
		err = werr
	}
	switch {
	case err != nil:
		return err
	case !out.Repeat.ok():
		return quiet{exitHarness}
	case !res.OK():
		return quiet{exitFailed}
	}
	return nil
}

// load reads the scenario and applies the flags.
func (r *runner) load() (*scenario.Scenario, error) {
	s, err := scenario.Load(r.path)
	if err != nil {
		return nil, err
	}
	if r.seed != nil {
		s.Seed = scenario.Number(*r.seed)
	}
	if r.ruleFile != "" {
		texts, err := readRules(r.ruleFile)
		if err != nil {
			return nil, err
		}
		if err := s.SetFaults(texts); err != nil {
			return nil, fmt.Errorf("--faults %s: %w", r.ruleFile, err)
		}
	}
	if err := s.AddFaults(r.extra...); err != nil {
		return nil, fmt.Errorf("--fault: %w", err)
	}
	return s, s.Check()
}

// readRules reads rules from a file, one a line; lines that are empty or begin
// with # are none.
func readRules(path string) ([]string, error) {
	text, err := readFile(path, 16<<20)
	if err != nil {
		return nil, fmt.Errorf("--faults: %w", err)
	}
	var rules []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			rules = append(rules, line)
		}
	}
	return rules, nil
}

// target is where the recording goes, and what removes it if nobody asked for it.
func (r *runner) target() (path string, remove func(), err error) {
	if r.out != "" {
		return r.out, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "vnreplay-")
	if err != nil {
		return "", nil, err
	}
	name := strings.TrimSuffix(filepath.Base(r.path), filepath.Ext(r.path))
	return filepath.Join(dir, name+".pcapng"), func() { os.RemoveAll(dir) }, nil
}

func isRegularOrNew(path string) bool {
	if path == "-" {
		return false
	}
	info, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist) || err == nil && info.Mode().IsRegular()
}

// again is how long after a signal another one counts as a second: timeout(1)
// and process managers send one twice.
const again = 300 * time.Millisecond

// untilSignal returns a context that ends when the process is told to end; told
// once more, it ends at once. Call it before a world runs: a handler that is
// installed later looks like an application's goroutine to it.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	ch := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		var first time.Time
		for {
			select {
			case sig := <-ch:
				if !first.IsZero() && time.Since(first) > again {
					os.Exit(exitSignal + int(sig.(syscall.Signal)))
				}
				if first.IsZero() {
					first = time.Now()
					cancel(interrupted{sig.(syscall.Signal)})
				}
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(ch)
		cancel(nil)
		close(done)
	}
}
