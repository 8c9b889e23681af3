package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/switch"
)

// ErrNoScenario: a capture carries no scenario, so there is nothing to run again.
// Compare with [errors.Is].
var ErrNoScenario = errors.New("carries no scenario")

// ErrRealTime: a capture was recorded in real time, and no second run has the same
// times. Compare with [errors.Is].
var ErrRealTime = errors.New("was recorded in real time, which does not repeat")

// Verification is the outcome of [Verify].
type Verification struct {
	File string
	*pcap.Comparison
	// Fields are the fields that differ in the first frame that does, if its
	// bytes do.
	Fields []pcap.FieldDiff
	// Versions names the versions that are not those of the recording, a clause
	// each; with them a difference is no surprise.
	Versions []string
	// Hint says what the difference looks like, where that is known; or "".
	Hint string
	// Result is what the second run did.
	Result *Result
}

// Verify runs the scenario that a recording carries once more and compares the
// recordings. The scenario in a file from a stranger is held to the same limits
// as any, and names no files.
//
// The error is one of reading the file (package pcap), [ErrRealTime], [ErrNoScenario], an
// [*Error] in the scenario that it carries, or one of [Run]. Failed expectations
// are none: the recorded run may have had the same.
func Verify(ctx context.Context, path string, opts Options) (*Verification, error) {
	v := &Verification{File: path}
	// It is read twice. Opening a named pipe would wait for its writer, each time.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file, and it is read twice", path)
	}
	s, sw, frames, size, err := v.open(ctx, path)
	if err != nil {
		return nil, err
	}
	again, err := os.CreateTemp("", "vnreplay-verify-*.pcapng")
	if err != nil {
		return nil, err
	}
	// Where an open file can lose its name, nothing is left whatever happens.
	os.Remove(again.Name())
	defer os.Remove(again.Name())
	defer again.Close()
	if v.Result, err = rerun(ctx, s, sw, opts, again, frames, size); err != nil {
		return nil, err
	}
	return v, v.compare(path, again)
}

// open reads what the recording says of its run: the scenario, and which of its
// switches it is of; and how many frames and bytes it has.
func (v *Verification) open(ctx context.Context, path string) (s *Scenario, sw, frames int, size int64, err error) {
	r, err := pcap.Open(path)
	if err != nil {
		return nil, 0, 0, 0, err
	}
	defer r.Close()
	meta, ok := r.Meta()
	if ok && meta.Clock != "virtual" {
		name := pcap.Printable(path)
		return nil, 0, 0, 0, fmt.Errorf("%s %w: to break the same frames again, vnreplay faults extract %s; to play one side of it against a live stack, vnreplay replay %s --live ADDRESS",
			path, ErrRealTime, name, name)
	}
	if !ok || meta.Scenario == "" {
		return nil, 0, 0, 0, fmt.Errorf("%s %w: it was not recorded by vnreplay run (%s)", path, ErrNoScenario, describe(r))
	}
	if meta.View != "wire" {
		return nil, 0, 0, 0, fmt.Errorf("%s: it is %s of a recording; verify that one", path, viewName(meta.View))
	}
	s, err = ParseEmbedded(meta.Scenario, path+" (the scenario in it)", meta.Rules)
	if err != nil {
		return nil, 0, 0, 0, err
	}
	now := Versions()
	for _, part := range []struct{ what, then, now string }{
		{"vnreplay", meta.Version, now.VNReplay}, {"gVisor", meta.Stack, now.Stack}, {"Go", meta.Go, now.Go},
	} {
		if part.then != part.now {
			v.Versions = append(v.Versions, fmt.Sprintf("recorded with %s %s, this is %s", part.what, pcap.Printable(part.then), part.now))
		}
	}
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	// Where it is damaged, the comparison ends, too, and says so.
	for _, err := range r.Packets() {
		if err != nil || ctx.Err() != nil {
			break
		}
		frames++
	}
	if sw, err = s.switchIn(meta, r.Interfaces()); err != nil {
		return nil, 0, 0, 0, fmt.Errorf("%s: %w", path, err)
	}
	return s, sw, frames, size, context.Cause(ctx)
}

// switchIn returns the place of the switch that a recording with these interfaces is of,
// among the scenario's.
func (s *Scenario) switchIn(m pcap.Meta, interfaces []pcap.Interface) (int, error) {
	names := s.SwitchNames()
	i := slices.Index(names, m.Switch)
	switch {
	case m.Switch == "" && len(names) == 1:
		return 0, nil
	case m.Switch == "":
		return 0, fmt.Errorf("its scenario has %d switches, and it does not say of which one it is", len(names))
	case i < 0:
		return 0, fmt.Errorf("it says that it is of switch %s, which its scenario does not have", pcap.Printable(m.Switch))
	}
	for _, p := range s.ports() {
		if p.sw != m.Switch && slices.ContainsFunc(interfaces, func(i pcap.Interface) bool { return i.Name == p.name }) {
			return 0, fmt.Errorf("it is merged from recordings of several switches (%s is on %s): take each by itself", p.name, p.sw)
		}
	}
	return i, nil
}

// viewName is what people call a view: "the view at client".
func viewName(view string) string {
	if strings.HasPrefix(view, "at ") {
		return "the view " + pcap.Printable(view)
	}
	return "another view (" + pcap.Printable(view) + ")"
}

// describe says what to do with a capture that has no scenario.
func describe(r *pcap.Reader) string {
	if meta, ok := r.Meta(); ok {
		return fmt.Sprintf("its command line is not in it; repeat that, with seed %d", meta.Seed)
	}
	return "replay it instead: vnreplay replay " + pcap.Printable(r.Name()) + " --live ADDRESS"
}

// rerun runs s with a recording of switch sw to w. The recording to compare it with has so
// many frames, in so many bytes: what goes beyond them is not the same, so it is
// not run to its end.
func rerun(ctx context.Context, s *Scenario, sw int, opts Options, w io.Writer, frames int, size int64) (*Result, error) {
	rec, err := pcap.NewRecorder(&limitWriter{w: w, left: 64<<20 + 2*size}, s.Metas()[sw])
	if err != nil {
		return nil, err
	}
	opts.Recorders = make([]vswitch.Recorder, sw+1)
	opts.Recorders[sw] = &limitRecorder{Recorder: rec, left: frames + 1}
	res, err := Run(ctx, s, opts)
	if cerr := rec.Close(); err == nil {
		err = cerr
	}
	if errors.Is(err, errTooLong) {
		err = nil // the comparison will find where
	}
	return res, err
}

var errTooLong = errors.New("the second run sends more than the first")

// limitRecorder ends the run after so many frames.
type limitRecorder struct {
	vswitch.Recorder
	left int
}

func (l *limitRecorder) Record(e vswitch.Event) error {
	if _, ok := e.(*vswitch.Sent); ok {
		if l.left == 0 {
			return errTooLong
		}
		l.left--
	}
	return l.Recorder.Record(e)
}

type limitWriter struct {
	w    io.Writer
	left int64
}

func (l *limitWriter) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, errTooLong
	}
	return l.w.Write(p)
}

// compare compares the recording with that of the second run.
func (v *Verification) compare(path string, again io.ReadSeeker) error {
	if _, err := again.Seek(0, io.SeekStart); err != nil {
		return err
	}
	expected, err := pcap.Open(path)
	if err != nil {
		return err
	}
	defer expected.Close()
	actual, err := pcap.NewReader(again, "the second run")
	if err != nil {
		return err
	}
	if v.Comparison, err = pcap.Compare(expected, actual); err != nil {
		return err
	}
	d := v.Difference
	if d == nil || d.Expected == nil || d.Actual == nil {
		return nil
	}
	v.Fields = pcap.Diff(d.Expected.Data, d.Actual.Data)
	if DateDiffers(d.Expected.Data, d.Actual.Data) {
		v.Hint = "the bytes are in an HTTP Date header: " + DateAdvice
	}
	return nil
}
