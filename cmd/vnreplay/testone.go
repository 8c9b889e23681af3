package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/regress"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/scenario"
)

// oneTest is one regression, in the process that it has for itself, in the
// directory of its expectation file.
type oneTest struct {
	path      string // of the expectation file
	name      string // what the user knows it by
	recording string // where a recording goes that is to be looked at
	update    bool
	wall      time.Duration
	x         *regress.Expectation
	regress.Result
}

// run runs the regression. It writes nothing: the process that started this one
// does.
func (o *oneTest) run(ctx context.Context, g *guard) regress.Result {
	var err error
	if o.x, err = loadExpectation(o.path, o.name); err == nil {
		o.Kind = o.x.Kind()
		inTime := g.within(o.wall)
		switch o.Kind {
		case regress.Replay:
			err = o.replay(ctx, g)
		case regress.Verify:
			err = o.verify(ctx, g)
		case regress.Scene:
			err = o.scenario(ctx, g)
		}
		inTime()
	}
	if err != nil {
		o.fails(err)
	}
	return o.Result
}

// beside is a file of the regression's, as the user knows it.
func (o *oneTest) beside(file string) string { return filepath.Join(filepath.Dir(o.name), file) }

// fails is for what keeps the regression from being run.
func (o *oneTest) fails(err error) {
	o.Outcome = regress.Wrong
	if exitStatus(err) == exitHarness {
		o.Outcome = regress.Harness
	}
	var in *scenario.Error
	if errors.As(err, &in) && !strings.HasPrefix(in.File, o.name) {
		in.File = o.beside(in.File) // an error in a scenario beside it
	}
	o.What = oneLine(err)
	if in != nil {
		o.Say(in.Excerpt())
	}
}

// record makes a recorder for a run that may have to be looked at.
func (o *oneTest) record(g *guard, meta pcap.Meta) (*pcap.Recorder, *ceiling, error) {
	rec, err := pcap.Create(o.recording, meta)
	if err != nil {
		return nil, nil, fmt.Errorf("recording: %w", err)
	}
	g.discards(rec.Written())
	return rec, &ceiling{Recorder: rec, most: mostRecorded, end: g.cancel}, nil
}

// recordScenario makes the recordings of a run of a scenario that may have to be looked
// at.
func (o *oneTest) recordScenario(g *guard, s *scenario.Scenario) (*recordings, error) {
	recs, err := createRecordings(recordingPaths(o.recording, s), s)
	if err != nil {
		return nil, err
	}
	for _, path := range recs.written() {
		g.discards(path)
	}
	return recs, nil
}

// mostRecorded is where a regression's recording ends.
const mostRecorded = 4_000_000_000

func (o *oneTest) replay(ctx context.Context, g *guard) error {
	capture, err := replay.Load(o.x.Capture)
	if err != nil {
		return err
	}
	capture.Name = o.beside(o.x.Capture)
	a := replay.Analyse(capture)
	opts := replay.Options{Seed: uint64(o.x.Seed), AllowPartial: o.x.AllowPartial, WallLimit: o.wall}
	for _, l := range o.x.Live {
		live, err := parseLive(l.Name+"="+l.Value, a)
		if err != nil {
			return o.x.Errorf([]string{"live", l.Name}, "%s", strings.TrimPrefix(oneLine(err), "--live "))
		}
		o.StackOnly = o.StackOnly || live.App == nil
		opts.Live = append(opts.Live, live)
	}
	v := scenario.Versions()
	rec, ceil, err := o.record(g, pcap.Meta{Version: v.VNReplay, Stack: v.Stack, Go: v.Go, Seed: opts.Seed})
	if err != nil {
		return err
	}
	opts.Recorder = ceil
	report, err := replay.Run(ctx, a, opts)
	if cerr := rec.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(rec.Written())
		if errors.Is(err, replay.ErrNotInThere) {
			return o.x.Errorf([]string{"live"}, "%v", err)
		}
		return err
	}
	if err := o.judge(report); err != nil {
		return err
	}
	switch o.Outcome {
	case regress.Failed, regress.Harness:
		o.Recording = o.recording
	default:
		os.Remove(o.recording)
	}
	return nil
}

// judge says what the report of a replay is worth.
func (o *oneTest) judge(r *replay.Report) error {
	same, all, sameBytes, bytes := r.Coverage()
	o.What = fmt.Sprintf("%v, %d/%d conversations", r.Verdict, same, all)
	o.Figures = figuresOf(r)
	if r.Verdict != replay.Diverged && sameBytes < bytes {
		o.What += fmt.Sprintf(", %v of the bytes", percent(sameBytes, bytes))
	}
	want := o.x.Expect.Verdict
	if want == "" {
		want = regress.Same
	}
	switch {
	case r.Verdict == replay.HarnessFailed:
		o.Outcome = regress.Harness
	case r.Verdict == replay.Partial:
		o.Outcome = regress.Partial
		o.Say("allow-partial: true accepts it, where that is all that can be had")
	case r.Verdict.String() != want:
		return o.surprise(r, want)
	case r.Verdict == replay.Diverged:
		o.Outcome, o.What = regress.OK, o.What+", as expected"
		return nil
	default:
		wrong := wrongFigures(o.x.Expect, r)
		if len(wrong) == 0 {
			o.Outcome = regress.OK
			return nil
		}
		if o.update {
			return o.set(wrong)
		}
		o.Outcome, o.What = regress.Failed, fmt.Sprintf("%s, but %s as expected", o.What, areNot(len(wrong)))
		for _, f := range wrong {
			o.Say(fmt.Sprintf("%s: %s, expected %s", f.Key, f.actual, f.expected))
		}
		o.Say("vnreplay test --update takes the new figures over")
	}
	return o.sayReport(r)
}

func areNot(n int) string {
	if n == 1 {
		return "1 figure is not"
	}
	return fmt.Sprintf("%d figures are not", n)
}

// surprise is for a verdict that is not the expected one.
func (o *oneTest) surprise(r *replay.Report, want string) error {
	o.Outcome = regress.Failed
	if want == regress.Diverged {
		if o.update {
			return o.set([]wrongFigure{{Figure: regress.Figure{Key: "verdict", Value: regress.Same}}})
		}
		o.What += ", expected diverged"
		o.Say("what was known to diverge no longer does: vnreplay test --update takes that over")
		return nil
	}
	if o.update {
		o.Say("a divergence is not taken over by --update: if it is right, write verdict: diverged")
	}
	return o.sayReport(r)
}

func (o *oneTest) sayReport(r *replay.Report) error {
	var text strings.Builder
	if err := r.Print(&text); err != nil {
		return err
	}
	o.Say(text.String())
	return nil
}

// set puts figures into the expectation file.
func (o *oneTest) set(figures []wrongFigure) error {
	text, err := os.ReadFile(o.path)
	if err != nil {
		return err
	}
	var values []regress.Figure
	for _, f := range figures {
		values = append(values, f.Figure)
	}
	out, changed, err := regress.Set(string(text), o.name, values)
	if err != nil {
		return err
	}
	if err := replaceFile(o.path, strings.NewReader(out)); err != nil {
		return err
	}
	o.Outcome, o.Changed = regress.OK, changed
	return nil
}

func (o *oneTest) verify(ctx context.Context, g *guard) error {
	file := string(o.x.Verify)
	v := verifyFile(ctx, file, o.wall)
	v.File = o.beside(file)
	if v.err != nil && v.status != exitFailed && v.Verdict == "error" {
		return v.err
	}
	o.What = v.Verdict + ", " + count(uint64(v.Frames), "equal frame")
	switch {
	case v.status == exitOK:
		o.Outcome = regress.OK
		return nil
	case v.status == exitUsage:
		o.Outcome = regress.Partial
	case o.update:
		before, err := pcap.CountFrames(file)
		if err != nil {
			return err
		}
		if err := o.rerecord(ctx, g, file); err != nil {
			return err
		}
		return o.changedRecording(file, v.Diff, before)
	default:
		o.Outcome = regress.Failed
	}
	var text bytes.Buffer
	v.write(&text, io.Discard)
	o.Say(text.String())
	return nil
}

// changedRecording says what an update of a recording changed.
func (o *oneTest) changedRecording(file string, first *frameDifference, before int) error {
	after, err := pcap.CountFrames(file)
	if err != nil {
		return err
	}
	o.Outcome, o.What = regress.OK, "recorded anew"
	o.Changed = append(o.Changed,
		fmt.Sprintf("- %s: %s", pcap.Printable(file), count(uint64(before), "frame")),
		fmt.Sprintf("+ %s: %s, the first that differs is frame %d (%s)", pcap.Printable(file), count(uint64(after), "frame"), first.Frame, first.Kind))
	return nil
}

// percent is a share, rounded down.
func percent(part, of int64) regress.Percent {
	if of == 0 {
		return 1000
	}
	return regress.Percent(part * 1000 / of)
}
