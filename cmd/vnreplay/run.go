package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/regress"
	"github.com/vnreplay/vnreplay/faults"
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
			"recording whole and gives exit status 130; what it cannot finish, it names.\n" +
			"Rules count frames of any kind: the first one is often ARP's. What a rule\n" +
			"will do, vnreplay faults explain says. Of several switches each has a\n" +
			"recording: NAME.lan.pcapng, NAME.wan.pcapng for -w NAME.pcapng.\n\n" +
			"Example: vnreplay run lossy.yaml -w lossy.pcapng --seed 42 \\\n" +
			"           --fault 'drop nth 3 from client'",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "w", Usage: "write the recording to `FILE` (-: standard output)"},
			&cli.Uint64Flag{Name: "seed", Base: 10, Usage: "use seed `N`, not the scenario's"},
			&cli.StringSliceFlag{Name: "fault", Usage: "add a `RULE`; may be repeated"},
			&cli.StringFlag{Name: "faults", Usage: "take the rules from `FILE`, not the scenario"},
			&cli.StringSliceFlag{Name: "faults-from", Usage: "break just what was broken in recording `FILE`"},
			&cli.BoolFlag{Name: "strict", Usage: "a rule that never matched fails the run"},
			&cli.BoolFlag{Name: "check", Usage: "run again in a fresh process, compare"},
			wallLimitFlag,
			maxSizeFlag,
			jsonFlag,
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 1, "the scenario file"); err != nil {
				return err
			}
			size, err := maxSize(c)
			if err != nil {
				return err
			}
			r := runner{
				path: c.Args().First(), out: c.String("w"), check: c.Bool("check"), json: c.Bool("json"),
				extra: c.StringSlice("fault"), ruleFile: c.String("faults"), rulesFrom: c.StringSlice("faults-from"),
				strict: c.Bool("strict"), wallLimit: c.Duration("wall-limit"),
				maxSize: size, stdout: c.App.Writer, stderr: c.App.ErrWriter,
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
	rulesFrom []string // recordings
	strict    bool
	check     bool
	json      bool
	wallLimit time.Duration
	maxSize   int64

	stdout, stderr io.Writer
}

func (r *runner) run(ctx context.Context) error {
	switch {
	case r.out == "-" && r.json:
		return usage("--json and -w - both want the standard output")
	case r.ruleFile != "" && r.rulesFrom != nil:
		return usage("--faults and --faults-from both take the place of the scenario's rules: give one")
	}
	s, err := r.load()
	if err != nil {
		return err
	}
	paths, remove, err := r.target(s)
	if err != nil {
		return err
	}
	recs, err := createRecordings(paths, s)
	if err != nil {
		remove()
		return err
	}
	ctx, g := newGuard(ctx, r.stderr, grace)
	defer g.stop()
	for _, path := range recs.written() {
		g.leaves(path)
	}
	inTime := g.within(r.wallLimit)
	res, err := scenario.Run(ctx, s, scenario.Options{Recorders: recs.recorders(r.maxSize, g.cancel), WallLimit: r.wallLimit, Strict: r.strict})
	if res == nil { // it did not begin
		inTime()
		recs.abort()
		remove()
		return err
	}
	cerr := recs.close()
	inTime()
	if err == nil {
		err = cerr
	}
	out := runOutcome{Scenario: r.path, Result: res, Whole: cerr == nil}
	out.recorded(paths)
	if cerr != nil {
		out.recorded(recs.written())
		out.Broken = recs.broken()
	}
	if err == nil && r.check {
		out.Repeat = r.repeat(ctx, g, s, paths)
		err = context.Cause(ctx)
	}
	if err != nil {
		out.Error = oneLine(err)
	}
	if err == nil && res.OK() && out.Repeat.status() != exitHarness && r.out == "" {
		remove()
		out.recorded(nil)
	}
	if werr := r.print(&out); werr != nil && err == nil {
		err = werr
	}
	switch {
	case err != nil:
		return err
	case out.Repeat.status() != exitOK:
		return quiet{out.Repeat.status()}
	case !res.OK():
		return quiet{exitFailed}
	}
	return nil
}

// load reads the scenario and applies the flags.
func (r *runner) load() (*scenario.Scenario, error) {
	s, err := scenario.Load(r.path)
	if err != nil {
		if hint := notScenario(r.path); hint != "" {
			return nil, usage("%s: %s", r.path, hint)
		}
		return nil, err
	}
	if r.seed != nil {
		s.Seed = scenario.Number(*r.seed)
	}
	if r.ruleFile != "" {
		text, err := readFile(r.ruleFile, 16<<20)
		if err != nil {
			return nil, fmt.Errorf("--faults: %w", err)
		}
		if err := s.ReadFaults(text, r.ruleFile); err != nil {
			return nil, err
		}
	}
	if r.rulesFrom != nil {
		if err := r.breakLike(s); err != nil {
			return nil, fmt.Errorf("--faults-from: %w", err)
		}
	}
	extra, err := readTables(r.extra)
	if err == nil {
		err = s.AddFaults(extra...)
	}
	if err != nil {
		return nil, fmt.Errorf("--fault: %w", err)
	}
	return s, s.Check()
}

// breakLike puts the faults of the recordings of one run in place of the scenario's
// rules. Of a recording that is cut, or of some of the run's switches, there are not all.
func (r *runner) breakLike(s *scenario.Scenario) error {
	var opens []scenario.Opener
	var missing []string // switches
	for i, path := range r.rulesFrom {
		if err := readTwice("run", path); err != nil {
			return err
		}
		opens = append(opens, func() (*pcap.Reader, error) { return pcap.Open(path) })
		own, all, err := switchesIn(path)
		if err != nil {
			return err
		}
		if i == 0 {
			missing = all
		}
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == own })
	}
	rules, err := scenario.ExtractFaults(opens...)
	switch {
	case err != nil:
		return err
	case len(missing) > 0:
		return usage("of this run there are recordings of %s, too: give them all", strings.Join(missing, ", "))
	}
	return s.SetFaults(rules)
}

// switchesIn returns which switch a recording is of, and the names of all that its run
// had, where there are several.
func switchesIn(path string) (own string, all []string, err error) {
	r, err := pcap.Open(path)
	if err != nil {
		return "", nil, err
	}
	defer r.Close()
	meta, ok := r.Meta()
	if !ok || meta.Switch == "" {
		return "", nil, nil
	}
	s, err := scenario.ParseEmbedded(meta.Scenario, path+" (the scenario in it)", meta.Rules)
	if err != nil {
		return "", nil, err
	}
	return meta.Switch, s.SwitchNames(), nil
}

// readTables puts the values of tables into the rules of a command line that name
// their files.
func readTables(texts []string) ([]string, error) {
	out := slices.Clone(texts)
	for i, text := range texts {
		rule, err := faults.Parse(text)
		if err != nil || len(rule.Tables()) == 0 {
			continue // what is wrong with it is said with the others
		}
		rule, err = rule.WithTables(func(name string) ([]byte, error) { return readFile(name, scenario.MaxTable) })
		if err != nil {
			return nil, err
		}
		out[i] = rule.String()
	}
	return out, nil
}

// notScenario says what to do with a file that is of another kind, or "".
func notScenario(path string) string {
	if regress.IsExpectation(path) {
		return "what is expected of a regression, not a scenario: use vnreplay test"
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	c, err := pcap.Open(path)
	if err != nil {
		return ""
	}
	defer c.Close()
	if meta, ok := c.Meta(); ok && meta.Scenario != "" {
		return "a recording, not a scenario: use vnreplay verify"
	}
	return "a capture, not a scenario: use vnreplay replay"
}

// target is where the recordings go, and what removes them if nobody asked for them.
func (r *runner) target(s *scenario.Scenario) (paths []string, remove func(), err error) {
	if r.out == "" {
		dir, err := os.MkdirTemp("", "vnreplay-")
		if err != nil {
			return nil, nil, err
		}
		name := strings.TrimSuffix(filepath.Base(r.path), filepath.Ext(r.path))
		return recordingPaths(filepath.Join(dir, name+".pcapng"), s), func() { os.RemoveAll(dir) }, nil
	}
	paths = recordingPaths(r.out, s)
	if n := len(paths); n > 1 && !isRegularOrNew(r.out) {
		return nil, nil, usage("the scenario has %d switches, and each one a recording: with -w NAME.pcapng that of %s is NAME.%[2]s.pcapng", n, s.SwitchNames()[0])
	}
	for _, path := range paths {
		if r.check && !isRegularOrNew(path) {
			return nil, nil, usage("--check compares two files: give -w the name of a regular one, or leave it out")
		}
		for _, in := range append([]string{r.path, r.ruleFile}, r.rulesFrom...) {
			if sameFile(in, path) {
				return nil, nil, overwrites(path)
			}
		}
	}
	return paths, func() {}, nil
}
