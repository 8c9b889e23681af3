package vnettest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
)

// A golden recording is made by a process of its own: the test binary, once more,
// for this test only. These variables say so to it.
const (
	envTest   = "VNETTEST_GOLDEN_TEST"   // the test
	envGolden = "VNETTEST_GOLDEN_FILE"   // its Config.Golden
	envOut    = "VNETTEST_GOLDEN_OUTPUT" // where the recording is to be
)

// inChild reports whether this is such a process.
func inChild() bool { return os.Getenv(envTest) != "" }

// isChild reports whether this is the process that makes this golden recording of
// this test.
func isChild(t testing.TB, golden string) bool {
	return golden != "" && os.Getenv(envTest) == t.Name() && os.Getenv(envGolden) == golden
}

// childPath is where such a process records; "" for the other worlds in it.
func childPath(t testing.TB, golden string) string {
	if !isChild(t, golden) {
		return ""
	}
	return os.Getenv(envOut) + ".run"
}

// handOver gives the recordings of a run that went well the names under which they are
// waited for, and ends the test: what follows is the business of the other process.
func (n *Net) handOver() {
	n.t.Helper()
	if n.t.Failed() {
		n.t.FailNow()
	}
	for _, r := range n.recs {
		if err := os.Rename(r.path, r.file(os.Getenv(envOut))); err != nil {
			n.t.Fatalf("vnettest: %v", err)
		}
	}
	n.t.SkipNow()
}

// golden makes the recordings that Config.Golden is compared with, or that take
// its place.
func (n *Net) golden() {
	n.t.Helper()
	if inChild() {
		return // that of another world, which runs for what comes after it only
	}
	name := n.cfg.Golden
	why := ""
	switch {
	case n.t.Failed():
		why = "the test has failed"
	case raceEnabled:
		why = "the binary is built with -race, and under the race detector no two runs are the same"
	case seedFlag.set && seedFlag.n != n.cfg.Seed:
		why = fmt.Sprintf("-vnettest.seed says %d and the test %d", seedFlag.n, n.cfg.Seed)
	case fuzzing():
		why = "this is go test -fuzz"
	}
	switch {
	case why == "":
	case updating():
		n.t.Errorf("vnettest: %s is not written: %s", name, why)
		return
	default:
		n.t.Logf("vnettest: %s is not compared: %s", name, why)
		return
	}
	actual := filepath.Join(n.t.TempDir(), "golden.pcapng")
	var said string
	var err error
	n.inTurn(func() { said, err = n.again(actual) })
	for _, r := range n.recs {
		if !exists(r.file(actual)) {
			n.t.Errorf("vnettest: %s: the run in a process of its own came to nothing: %v\n%s", r.file(name), err, indent(said))
			return
		}
	}
	if updating() {
		for _, r := range n.recs {
			n.update(r.file(name), r.file(actual))
		}
		return
	}
	for _, r := range n.recs {
		n.compare(r.file(name), r.file(actual))
	}
	if !n.t.Failed() {
		return
	}
	// What is kept is the run that was compared, also of switches where nothing differs:
	// recordings of two runs do not go together.
	for _, r := range n.recs {
		if err := move(r.file(actual), r.path); err != nil {
			n.t.Errorf("vnettest: %v", err)
		}
	}
}

// again runs this test in a process of its own, to make a recording at path. It
// returns what that said. Its exit status is of no interest where the recording is
// there: what comes after this world in the test may miss it.
func (n *Net) again(path string) (said string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	args := []string{"-test.run=" + pattern(n.t.Name()), "-test.count=1", "-test.v=true"}
	if t, ok := n.t.(*testing.T); ok {
		if deadline, ok := t.Deadline(); ok {
			args = append(args, "-test.timeout="+max(time.Until(deadline), time.Second).String())
		}
	}
	cmd := exec.CommandContext(n.t.Context(), self, append(args, ownFlags()...)...)
	cmd.Dir = startDir
	cmd.Env = append(os.Environ(), envTest+"="+n.t.Name(), envGolden+"="+n.cfg.Golden, envOut+"="+path)
	out, err := cmd.CombinedOutput()
	if err == nil {
		err = errors.New("the test ended before that run did, or made none")
	}
	return string(out), err
}

// compare fails the test if a recording differs from the golden one of its switch.
func (n *Net) compare(name, actual string) {
	n.t.Helper()
	update := command(n.t, "-vnettest.update")
	d, err := compareFiles(absolute(name), actual)
	switch {
	case errors.Is(err, os.ErrNotExist):
		n.t.Errorf("vnettest: %s does not exist; to make it:\n  %s", name, update)
	case err != nil:
		n.t.Errorf("vnettest: %v", err)
	case !d.Equal():
		n.t.Errorf("vnettest: this run is not the one in %s: %s\n  if that is meant:  %s", name, d.text(), update)
	}
}

// update makes actual the golden recording, and logs what changed. A file that
// says the same already stays as it is.
func (n *Net) update(name, actual string) {
	n.t.Helper()
	path := absolute(name)
	frames, err := pcap.CountFrames(actual)
	if err != nil {
		n.t.Errorf("vnettest: %v", err)
		return
	}
	said := ""
	switch d, err := compareFiles(path, actual); {
	case errors.Is(err, os.ErrNotExist):
		said = fmt.Sprintf("is new, with %d frames", frames)
	case err != nil:
		said = fmt.Sprintf("is written, with %d frames; it could not be read: %v", frames, err)
	case d.Equal() && d.Run == "":
		n.t.Logf("vnettest: %s is as it was, with %d frames", name, frames)
		return
	default:
		was, _ := pcap.CountFrames(path)
		said = fmt.Sprintf("has changed, from %d frames to %d: %s", was, frames, d.text())
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		n.t.Errorf("vnettest: %v", err)
		return
	}
	if err := copyFile(actual, path); err != nil {
		n.t.Errorf("vnettest: %v", err)
		return
	}
	n.t.Logf("vnettest: %s %s", name, said)
}

// comparison is that of a golden recording with one of now.
type comparison struct {
	*pcap.Comparison
	versions []string
}

func compareFiles(golden, actual string) (*comparison, error) {
	want, err := pcap.Open(golden)
	if err != nil {
		return nil, err
	}
	defer want.Close()
	got, err := pcap.Open(actual)
	if err != nil {
		return nil, err
	}
	defer got.Close()
	c, err := pcap.Compare(want, got)
	if err != nil {
		return nil, err
	}
	return &comparison{c, versionsDiffer(want)}, nil
}

// versionsDiffer says which versions a recording was made with that are not those
// of now; with them, a difference is no surprise.
func versionsDiffer(r *pcap.Reader) []string {
	m, ok := r.Meta()
	if !ok {
		return []string{"it was not recorded by vnreplay"}
	}
	var differ []string
	now := scenario.Versions()
	for _, v := range []struct{ what, then, now string }{
		{"vnreplay", m.Version, now.VNReplay}, {"gVisor", m.Stack, now.Stack}, {"Go", m.Go, now.Go},
	} {
		if v.then != v.now {
			differ = append(differ, fmt.Sprintf("it was recorded with %s %s, this is %s", v.what, pcap.Printable(v.then), v.now))
		}
	}
	return differ
}

// text says in lines where the recordings part.
func (c *comparison) text() string {
	var b strings.Builder
	switch d := c.Difference; {
	case d != nil:
		fmt.Fprintf(&b, "%s\n", pcap.Printable(d.String()))
		if d.Expected != nil && d.Actual != nil {
			b.WriteString(indent(pcap.FormatDiff(pcap.Diff(d.Expected.Data, d.Actual.Data))))
			if scenario.DateDiffers(d.Expected.Data, d.Actual.Data) {
				fmt.Fprintf(&b, "  the bytes are in an HTTP Date header: %s\n", scenario.DateAdvice)
			}
		}
		fmt.Fprintf(&b, "  equal frames before it: %d\n", c.Frames)
	case c.Cut != nil:
		fmt.Fprintf(&b, "%v\n", c.Cut)
	case c.CutShort != "":
		fmt.Fprintf(&b, "its run was cut short after frame %d: %s\n", c.Frames, c.CutShort)
	default:
		fmt.Fprintf(&b, "all %d frames are equal\n", c.Frames)
	}
	if c.Run != "" {
		fmt.Fprintf(&b, "  what they say of their runs differs: %s\n", pcap.Printable(c.Run))
	}
	for _, v := range c.versions {
		fmt.Fprintf(&b, "  %s\n", v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// copyFile copies a file; the copy appears when it is whole.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := pcap.CreateFile(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Discard()
		return err
	}
	return out.Close()
}

func indent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString("  " + line)
	}
	return b.String()
}
