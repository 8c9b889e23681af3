package vnettest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/vnettest"
)

// FuzzScene fails where the seed loses more than one SYN.
func FuzzScene(f *testing.F) {
	if os.Getenv(envScene) == "" {
		f.Skip("it is run by TestFuzz")
	}
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		n := vnettest.New(t, vnettest.Config{Seed: seed, Faults: []string{`loss: drop 25% from client if "tcp[tcpflags] & tcp-syn != 0"`}})
		n.HTTPServer("server", ":80", handler)
		n.Run(download(n))
		if lost := n.Rule("loss").Counts().Dropped; lost > 1 {
			t.Fatalf("%d SYNs were lost", lost)
		}
	})
}

// Fuzzing tries thousands of inputs and makes those that fail smaller: it leaves no
// recordings. The command that go test prints for an input then makes one.
func TestFuzz(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	dir, tmp := t.TempDir(), t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, append(args, "-test.fuzzcachedir="+filepath.Join(dir, "cache"), "-test.parallel=1")...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), envScene+"=1", "TMPDIR="+tmp)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Fatalf("%v passed:\n%s", args, out)
		}
		return string(out)
	}
	kept := func() []string {
		found, _ := filepath.Glob(filepath.Join(tmp, "vnettest-*", "*"))
		return found
	}
	out := run("-test.run=^$", "-test.fuzz=^FuzzScene$", "-test.fuzztime=500x")
	if !strings.Contains(out, "SYNs were lost") || !strings.Contains(out, "nothing is recorded while fuzzing") || len(kept()) > 0 {
		t.Errorf("fuzzing left %v, and says:\n%s", kept(), out)
	}
	m := regexp.MustCompile(`go test -run=(FuzzScene/\w+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("it does not say how to repeat it:\n%s", out)
	}
	out = run("-test.run=" + m[1])
	if found := kept(); len(found) != 1 || !strings.Contains(out, "recording: "+found[0]) {
		t.Errorf("alone it left %v, and says:\n%s", found, out)
	}
	if again := fmt.Sprintf("-run '^FuzzScene$/^%s$'", strings.TrimPrefix(m[1], "FuzzScene/")); !strings.Contains(out, again) {
		t.Errorf("it does not say %q:\n%s", again, out)
	}
}

// The command that a failing test prints is one: pasted into a shell, it fails in
// the same way. So does a name that a shell and an expression would misread.
func TestPrintedCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a test binary")
	}
	for _, scene := range []string{"fatal", `odd\/name_'n_\[b\]\$`} {
		// As in a test binary, / separates subtests: it is no part of a name's pattern.
		p := play(t, t.TempDir(), strings.ReplaceAll(scene, `\/`, "$/^"))
		m := regexp.MustCompile(`again: +(.*)`).FindStringSubmatch(p.out)
		if m == nil {
			t.Fatalf("it prints no command:\n%s", p.out)
		}
		tmp := t.TempDir()
		cmd := exec.Command("sh", "-c", m[1])
		cmd.Env = append(os.Environ(), envScene+"=1", "TMPDIR="+tmp)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "    "+strings.TrimSpace(m[0])) || strings.Contains(string(out), "no tests to run") {
			t.Errorf("%s: %v\n%s", m[1], err, out)
		}
	}
}
