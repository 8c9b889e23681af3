package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Told to end, test ends the processes of its regressions, says what was run, and
// leaves nothing.
func TestSignalToTest(t *testing.T) {
	t.Run("text", func(t *testing.T) {
		out := endTest(t)
		for _, want := range []string{"ok       r/a.vnr.yaml", "not run  r/b.vnr.yaml\nnot run  r/c.vnr.yaml\nnot run  r/d.vnr.yaml\n", "1 ok, 3 not run, in "} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing:\n%s", want, out)
			}
		}
	})
	t.Run("json", func(t *testing.T) {
		var out testOutcome
		if err := json.Unmarshal([]byte(endTest(t, "--json")), &out); err != nil || out.NotRun != 3 || out.Status != exitSignal+int(syscall.SIGTERM) {
			t.Errorf("%v, %+v", err, out.Summary)
		}
	})
}

// endTest ends a test in its middle, and returns what it has said.
func endTest(t *testing.T, flags ...string) string {
	dir := t.TempDir()
	tmp := filepath.Join(dir, "tmp")
	r := filepath.Join(dir, "r")
	for _, d := range []string{tmp, r} {
		if err := os.Mkdir(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	const hosts = "hosts: {a: {ip: 10.0.0.1/24}, b: {ip: 10.0.0.2/24}}\n"
	for name, text := range map[string]string{
		"a.yaml":     hosts + "apps: {p: {host: a, ping: {to: b, times: 1}}}\n",
		"long.yaml":  "limit: 720h\n" + hosts + "apps: {p: {host: a, ping: {to: b, times: 1000000, interval: 1ms}}}\n",
		"a.vnr.yaml": "run: a.yaml\n", "b.vnr.yaml": "run: long.yaml\n", "c.vnr.yaml": "run: long.yaml\n", "d.vnr.yaml": "run: a.yaml\n",
	} {
		if err := os.WriteFile(filepath.Join(r, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	cmd, errs := program(t, "vnreplay", append([]string{"test", "r", "-j", "2", "--junit", "junit.xml"}, flags...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+tmp)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 400 { // until both of the long ones are at work
		if found, _ := filepath.Glob(filepath.Join(tmp, "*", "r", "[bc].failed.pcapng.partial")); len(found) == 2 {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	began := time.Now()
	cmd.Process.Signal(syscall.SIGTERM) // its own id: the processes of the regressions hear nothing of it
	endsBy(t, cmd, syscall.SIGTERM, 20*time.Second)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it ended after %v", took)
	}
	if errs.String() != "vnreplay: terminated\n" {
		t.Errorf("said %q", errs)
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if running, err := exec.Command("pgrep", "-f", "--", "--one r/[bc].vnr.yaml --recording "+tmp).Output(); err == nil {
		t.Errorf("still running: %s", running)
	}
	text, err := os.ReadFile(filepath.Join(dir, "junit.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var junit struct {
		Tests   int `xml:"tests,attr"`
		Skipped int `xml:"skipped,attr"`
	}
	if err := xml.Unmarshal(text, &junit); err != nil || junit.Tests != 4 || junit.Skipped != 3 {
		t.Errorf("%+v, %v", junit, err)
	}
	return out.String()
}

// A regression that does not end in its time is ended, and the harness's failure.
func TestWallLimitOfTest(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"long.yaml": "limit: 720h\nhosts: {a: {ip: 10.0.0.1/24}, b: {ip: 10.0.0.2/24}}\n" +
			"apps: {p: {host: a, ping: {to: b, times: 1000000, interval: 1ms}}}\n",
		"long.vnr.yaml": "run: long.yaml\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	cmd, errs := program(t, "vnreplay", "test", dir, "--wall-limit", "100ms")
	var out bytes.Buffer
	cmd.Stdout = &out
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != exitHarness || errs.Len() > 0 {
		t.Errorf("exit status %d, %s", got, errs)
	}
	if !strings.Contains(out.String(), "HARNESS  "+dir) || !strings.Contains(out.String(), "wall") {
		t.Errorf("%s", out.String())
	}
}
