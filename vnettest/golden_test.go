package vnettest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/pcap"
)

// The life of a golden recording: it is missing, made, compared, it differs, it is
// made anew.
func TestGolden(t *testing.T) {
	dir := t.TempDir()
	golden := filepath.Join(dir, "testdata", "golden.pcapng")
	if underRace {
		p := play(t, dir, "golden")
		p.says(t, "testdata/golden.pcapng is not compared: the binary is built with -race")
		p = play(t, dir, "golden", "-vnettest.update")
		p.says(t, "testdata/golden.pcapng is not written: the binary is built with -race")
		if p.passed {
			t.Error("-vnettest.update passed under -race")
		}
		return
	}

	p := play(t, dir, "golden")
	p.recording(t)
	p.says(t, "testdata/golden.pcapng does not exist; to make it:", "go test -run '^TestScene$/^golden$' -count=1 github.com/vnreplay/vnreplay/vnettest -vnettest.update")

	p = play(t, dir, "golden", "-vnettest.update")
	p.says(t, "testdata/golden.pcapng is new, with ")
	p.nothingLeft(t)
	n, meta := frames(t, golden)
	if n < 30 || meta.Seed != 3 {
		t.Errorf("the golden recording has %d frames, seed %d", n, meta.Seed)
	}

	// The same again, also many times, shuffled and with the user's own flag.
	p = play(t, dir, "golden", "-test.count=3", "-test.shuffle=on")
	if !p.passed {
		t.Errorf("it failed:\n%s", p.out)
	}
	p.nothingLeft(t)
	before := stat(t, golden)
	p = play(t, dir, "golden", "-update")
	p.says(t, "testdata/golden.pcapng is as it was, with ")
	if stat(t, golden) != before {
		t.Error("a golden recording that is as it was has been written")
	}

	// Another run: what differs, by name, and the recording to look at.
	t.Setenv("VNETTEST_SECONDS", "2")
	p = play(t, dir, "golden")
	kept := p.recording(t)
	p.says(t, "this run is not the one in testdata/golden.pcapng: frame 1: time: ", "equal frames before it: 0", "if that is meant:  go test ")
	differs(t, golden, kept)
	p = play(t, dir, "golden", "-vnettest.seed=4")
	p.says(t, "testdata/golden.pcapng is not compared: -vnettest.seed says 4 and the test 3")
	p = play(t, dir, "golden", "-vnettest.seed=3") // as the command that is printed has it
	p.recording(t)

	p = play(t, dir, "golden", "-update")
	p.says(t, "testdata/golden.pcapng has changed, from ", "frame 1: time: ")
	if p = play(t, dir, "golden"); !p.passed {
		t.Errorf("after -update:\n%s", p.out)
	}

	// A damaged file is said to be one, and can be made anew.
	whole, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(golden, whole[:len(whole)/2], 0o666); err != nil {
		t.Fatal(err)
	}
	p = play(t, dir, "golden")
	p.recording(t)
	p.says(t, "this run is not the one in testdata/golden.pcapng: ", "golden.pcapng")
	if p = play(t, dir, "golden", "-update"); !p.passed {
		t.Errorf("-update of a cut file:\n%s", p.out)
	}
	if again, _ := os.ReadFile(golden); string(again) != string(whole) {
		t.Error("the golden recording is not what it was")
	}
}

func stat(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime().String()
}

// differs fails the test unless two whole recordings differ.
func differs(t *testing.T, a, b string) {
	t.Helper()
	var readers [2]*pcap.Reader
	for i, path := range []string{a, b} {
		r, err := pcap.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		readers[i] = r
	}
	if c, err := pcap.Compare(readers[0], readers[1]); err != nil || c.Difference == nil {
		t.Errorf("the recordings compare as %+v, %v", c, err)
	}
}

// A test that has failed writes no golden recording.
func TestGoldenOfAFailingTest(t *testing.T) {
	if underRace {
		t.Skip("goldens are not compared under -race")
	}
	dir := t.TempDir()
	p := play(t, dir, "golden_only_here", "-vnettest.update")
	if p.passed {
		t.Error("it passed")
	}
	p.says(t, "testdata/here.pcapng: the run in a process of its own came to nothing", "not in the other process")
	if _, err := os.Stat(filepath.Join(dir, "testdata")); !os.IsNotExist(err) {
		t.Error("it made testdata")
	}
	// What fails after the run is not the recording's fault.
	p = play(t, dir, "golden_fails", "-vnettest.update")
	p.recording(t)
	p.says(t, "testdata/fails.pcapng is new", "and now this")
}

// The process for the second golden recording of a test runs the first world, too,
// and only for that.
func TestTwoGoldensOfATest(t *testing.T) {
	if underRace {
		t.Skip("goldens are not compared under -race")
	}
	dir := t.TempDir()
	p := play(t, dir, "two_goldens", "-vnettest.update")
	if n := strings.Count(p.out, " is new, with "); n != 2 || !p.passed {
		t.Fatalf("%d goldens are new:\n%s", n, p.out)
	}
	if p = play(t, dir, "two_goldens"); !p.passed {
		t.Errorf("compared:\n%s", p.out)
	}
}

func TestParallelGoldens(t *testing.T) {
	if underRace {
		t.Skip("goldens are not compared under -race")
	}
	dir := t.TempDir()
	p := play(t, dir, "parallel_goldens", "-vnettest.update")
	if n := strings.Count(p.out, " is new, with "); n != 3 || !p.passed {
		t.Fatalf("%d goldens are new:\n%s", n, p.out)
	}
	for range 2 {
		if p = play(t, dir, "parallel_goldens", "-test.parallel=4", "-test.cpu=4"); !p.passed {
			t.Errorf("compared:\n%s", p.out)
		}
		p.nothingLeft(t)
	}
}

// Of several switches there is a golden recording of each, and the one that differs is kept
// and named, with that of the other switch.
func TestGoldenOfSeveralSwitches(t *testing.T) {
	if underRace {
		t.Skip("under the race detector no recordings are compared")
	}
	dir := t.TempDir()
	const scene = "golden behind a gateway"
	p := play(t, dir, scene, "-vnettest.update")
	p.says(t, "testdata/gateway.lan.pcapng is new, with ", "testdata/gateway.wan.pcapng is new, with ")
	p.nothingLeft(t)
	if p = play(t, dir, scene); !p.passed {
		t.Errorf("it failed:\n%s", p.out)
	}
	for _, name := range []string{"lan", "wan"} {
		if _, meta := frames(t, filepath.Join(dir, "testdata", "gateway."+name+".pcapng")); meta.Switch != name {
			t.Errorf("the recording of %s is of switch %q", name, meta.Switch)
		}
	}
	t.Setenv("VNETTEST_SECONDS", "1")
	p = play(t, dir, scene)
	p.says(t, "this run is not the one in testdata/gateway.wan.pcapng: ", "TestScene_golden_behind_a_gateway.lan.pcapng", "TestScene_golden_behind_a_gateway.wan.pcapng")
	if p.passed || len(p.left) != 2 {
		t.Errorf("it left %v", p.left)
	}
	p = play(t, dir, scene, "-update")
	p.says(t, "testdata/gateway.wan.pcapng has changed, from ")
	if p = play(t, dir, scene); !p.passed {
		t.Errorf("after -update:\n%s", p.out)
	}

	// Both that are kept are of the run that was compared, in which nobody sleeps, also
	// where one of them is as it should be.
	t.Setenv("VNETTEST_SLEEP", "1")
	if err := os.Remove(filepath.Join(dir, "testdata", "gateway.wan.pcapng")); err != nil {
		t.Fatal(err)
	}
	p = play(t, dir, scene)
	p.says(t, "testdata/gateway.wan.pcapng does not exist")
	p.saysNot(t, "gateway.lan.pcapng does not exist", "not the one in")
	if len(p.left) != 2 {
		t.Fatalf("it left %v", p.left)
	}
	want, err := os.ReadFile(filepath.Join(dir, "testdata", "gateway.lan.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(p.left[0]); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not of the run that was compared (%v)", p.left[0], err)
	}
}
