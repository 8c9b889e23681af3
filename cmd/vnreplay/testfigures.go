package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/regress"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/scenario"
)

// wrongFigure is a figure that is not as expected; its Value is what an update
// writes.
type wrongFigure struct {
	regress.Figure
	actual, expected string
}

// figuresOf are the figures of a replay as an expectation has them: bounds with a
// little room, so that what does no harm in the next version of a stack does not
// turn a test red.
func figuresOf(r *replay.Report) []regress.Figure {
	_, _, sameBytes, bytes := r.Coverage()
	out := []regress.Figure{
		{Key: "coverage", Value: percent(sameBytes, bytes).String()},
		{Key: "retransmits", Value: fmt.Sprintf("0..%d", r.Retransmits+3)},
		{Key: "synthetic-acks", Value: "0"},
		{Key: "within", Value: scenario.Duration(roomy(r.Virtual)).String()},
	}
	if r.Synthetic > 0 {
		out[2].Value = fmt.Sprintf("0..%d", r.Synthetic)
	}
	return out
}

// roomy is twice a time, in whole seconds, and one at least.
func roomy(d time.Duration) time.Duration {
	return max((2*d + time.Second - 1).Truncate(time.Second), time.Second)
}

// wrongFigures are those that do not hold.
func wrongFigures(x regress.Figures, r *replay.Report) (wrong []wrongFigure) {
	values := map[string]string{}
	for _, f := range figuresOf(r) {
		values[f.Key] = f.Value
	}
	say := func(key, actual, expected string) {
		wrong = append(wrong, wrongFigure{regress.Figure{Key: key, Value: values[key]}, actual, expected})
	}
	counted := func(key string, n int, want *scenario.CountRange) {
		if want != nil && !want.Contains(scenario.Number(n)) {
			say(key, fmt.Sprint(n), want.String())
		}
	}
	same, _, sameBytes, bytes := r.Coverage()
	values["conversations"] = fmt.Sprint(same)
	counted("conversations", same, x.Conversations)
	if got := percent(sameBytes, bytes); x.Coverage != nil && got < *x.Coverage {
		say("coverage", got.String(), x.Coverage.String())
	}
	counted("retransmits", r.Retransmits, x.Retransmits)
	if x.SyntheticAcks == nil {
		x.SyntheticAcks = &scenario.CountRange{} // what is not said is 0
	}
	counted("synthetic-acks", r.Synthetic, x.SyntheticAcks)
	if x.Within != nil && r.Virtual > time.Duration(*x.Within) {
		say("within", r.Virtual.Round(time.Microsecond).String(), x.Within.String())
	}
	return wrong
}

// scenario runs a scenario and holds its run to the recording, if there is one.
func (o *oneTest) scenario(ctx context.Context, g *guard) error {
	s, err := scenario.Load(o.x.Run)
	if err != nil {
		return err
	}
	recs, err := o.recordScenario(g, s)
	if err != nil {
		return err
	}
	res, err := scenario.Run(ctx, s, scenario.Options{Recorders: recs.recorders(mostRecorded, g.cancel), WallLimit: o.wall, Strict: o.x.Strict})
	if cerr := recs.close(); err == nil {
		err = cerr
	}
	if err != nil {
		recs.discard()
		return err
	}
	made := recs.written()
	o.Recording = made[0]
	if !res.OK() {
		o.Outcome, o.What = regress.Failed, fmt.Sprintf("%s failed", count(uint64(len(res.Failures)), "expectation"))
		for i, f := range res.Failures {
			if i == most {
				o.Say(fmt.Sprintf("and %d more", len(res.Failures)-i))
				break
			}
			o.Say(pcap.Printable(f.String()))
		}
		return nil
	}
	o.Outcome, o.What = regress.OK, fmt.Sprintf("as expected, %s", count(res.Frames, "frame"))
	if o.x.Recording != "" {
		if err := o.golden(recordingPaths(o.x.Recording, s), made); err != nil {
			return err
		}
	}
	if o.Outcome == regress.OK {
		recs.discard()
		o.Recording = ""
	}
	return nil
}

// golden compares the recordings of a run, made, with those that they are to be equal to.
func (o *oneTest) golden(want, made []string) error {
	equal := 0
	comparisons := make([]*pcap.Comparison, len(want))
	for i, path := range want {
		c, err := o.compare(path, made[i])
		if err != nil {
			return err
		}
		if comparisons[i] = c; c != nil {
			equal += c.Frames
		}
	}
	ended := slices.IndexFunc(comparisons, func(c *pcap.Comparison) bool { return c != nil && c.Difference == nil && !c.Equal() })
	switch i := earliest(comparisons); {
	case o.update:
	case i >= 0:
		o.Recording = made[i] // those of the other switches are beside it
		o.differs(want[i], comparisons[i].Difference)
	case ended >= 0:
		o.Recording = made[ended]
		o.ends(want[ended], comparisons[ended])
	}
	if o.Outcome == regress.OK && len(o.Changed) == 0 {
		o.What = "the same, " + count(uint64(equal), "frame")
	}
	return nil
}

// compare compares one recording of a run, made, with the one that it is to be equal to,
// want. With --update it is put in its place: there is no comparison then.
func (o *oneTest) compare(want, made string) (*pcap.Comparison, error) {
	if _, err := os.Stat(want); errors.Is(err, os.ErrNotExist) {
		if !o.update {
			return nil, o.x.Errorf([]string{"recording"}, "%s: no such file; vnreplay test --update records it", want)
		}
		n, err := pcap.CountFrames(made)
		o.Changed = append(o.Changed, fmt.Sprintf("+ %s: %s", pcap.Printable(want), count(uint64(n), "frame")))
		return nil, errors.Join(err, o.keep(want, made))
	}
	c, err := compareFiles(want, made)
	if err != nil || c.Equal() || !o.update {
		return c, err
	}
	before := c.Frames // all that are there, if it is cut
	if c.Cut == nil {
		if before, err = pcap.CountFrames(want); err != nil {
			return nil, err
		}
	}
	if err := o.keep(want, made); err != nil {
		return nil, err
	}
	first := &frameDifference{Frame: c.Frames + 1, Kind: pcap.Extra.String()}
	if d := c.Difference; d != nil {
		first.Frame, first.Kind = d.Frame, d.Kind.String()
	}
	return nil, o.changedRecording(want, first, before)
}

// differs says how a run differs from the recording that it is to be equal to.
func (o *oneTest) differs(want string, d *pcap.Difference) {
	o.Outcome, o.What = regress.Failed, fmt.Sprintf("the run differs from %s at frame %d", o.beside(want), d.Frame)
	o.Say(pcap.Printable(d.String()))
	if d.Expected != nil && d.Actual != nil {
		o.Say(pcap.FormatDiff(pcap.Diff(d.Expected.Data, d.Actual.Data)))
		if scenario.DateDiffers(d.Expected.Data, d.Actual.Data) {
			o.Say("the bytes are in an HTTP Date header: " + scenario.DateAdvice)
		}
	}
}

// ends is for a recording that ends before the run that it is to be equal to.
func (o *oneTest) ends(want string, c *pcap.Comparison) {
	o.Outcome, o.What = regress.Partial, fmt.Sprintf("the same up to frame %d, where %s ends", c.Frames, o.beside(want))
	if c.Cut != nil {
		o.Say(oneLine(c.Cut))
	} else {
		o.Say("the run was cut short: " + c.CutShort)
	}
	o.Say("vnreplay test --update records it anew")
}

// rerecord runs the scenario that a recording carries, and records it anew.
func (o *oneTest) rerecord(ctx context.Context, g *guard, path string) error {
	r, err := pcap.Open(path)
	if err != nil {
		return err
	}
	meta, _ := r.Meta()
	r.Close()
	s, err := scenario.ParseEmbedded(meta.Scenario, path, meta.Rules)
	if err != nil {
		return err
	}
	recs, err := o.recordScenario(g, s)
	if err != nil {
		return err
	}
	defer recs.discard()
	_, err = scenario.Run(ctx, s, scenario.Options{Recorders: recs.recorders(mostRecorded, g.cancel), WallLimit: o.wall})
	if cerr := recs.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return o.keep(path, recs.written()[max(slices.Index(s.SwitchNames(), meta.Switch), 0)])
}

// keep puts what was recorded in the place of a file.
func (o *oneTest) keep(path, made string) error {
	f, err := os.Open(made)
	if err != nil {
		return err
	}
	defer f.Close()
	return replaceFile(path, f)
}

// replaceFile writes a file anew: it is the old one until the new one is whole.
func replaceFile(path string, from io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone, when all went well
	_, err = io.Copy(f, from)
	mode := os.FileMode(0o644)
	if info, serr := os.Stat(path); serr == nil {
		mode = info.Mode().Perm()
	}
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
