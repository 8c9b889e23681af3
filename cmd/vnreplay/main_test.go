package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/pcap"
)

var update = flag.Bool("update", false, "rewrite golden texts in the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"vnreplay": main, "hang": hang, "full": full, "peer": peer})
}

// The scripts of testdata/script are command lines with what comes of them.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("FIXTURES", filepath.Join(root, "fixtures"))
			env.Setenv("TMPDIR", filepath.Join(env.WorkDir, "tmp"))
			return os.Mkdir(filepath.Join(env.WorkDir, "tmp"), 0o777)
		},
		Condition: func(cond string) (bool, error) {
			if cond == "race" {
				return raceEnabled, nil
			}
			_, err := exec.LookPath(cond)
			if err != nil && os.Getenv("VNREPLAY_REQUIRE_TOOLS") == "1" {
				t.Fatalf("%s is not installed", cond)
			}
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":  status,
			"flip":    flip,
			"cut":     cut,
			"capture": capture,
			"mark":    mark,
			"hostile": hostile,
			"await":   await,

			"wholefiles": wholeFiles,
		},
	})
}

// status N COMMAND...: the command's exit status is N, and an error is one line,
// with an excerpt of two more at most.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if asExit(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	stderr := ts.ReadFile("stderr")
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
	if want == exitUsage && strings.Count(stderr, "\n") > 3 {
		ts.Fatalf("the error is no line: %q", stderr)
	}
	for _, sign := range []string{"panic", "goroutine ", "runtime error"} {
		if strings.Contains(stderr, sign) {
			ts.Fatalf("crashed: %s", stderr)
		}
	}
}

func asExit(err error, exit **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*exit = e
	return ok
}

// mark FILE: puts a byte order mark before it.
func mark(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte("\ufeff"+ts.ReadFile(args[0])), 0o666))
}

// hostile FROM TO: copies a capture, with a comment on frame 1 that a terminal
// would act upon.
func hostile(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec("editcap", "-a", "1:evil \u009b31m \u202e", args[0], args[1]))
}

// flip FILE FRAME: flips a bit in the middle of a frame.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	data := []byte(ts.ReadFile(args[0]))
	r, err := pcap.NewReader(bytes.NewReader(data), path)
	ts.Check(err)
	for p, err := range r.Packets() {
		ts.Check(err)
		if p.Number == n {
			at := bytes.Index(data[p.Offset:], p.Data)
			data[int(p.Offset)+at+len(p.Data)/2] ^= 0x04
			ts.Check(os.WriteFile(path, data, 0o666))
			return
		}
	}
	ts.Fatalf("no frame %d", n)
}

// cut FROM TO BYTES: copies the first bytes of a file.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(ts.ReadFile(args[0]))[:n], 0o666))
}

// capture FILE SCENARIO [CLOCK]: writes an empty recording that carries a scenario.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	clock := "virtual"
	if len(args) > 2 {
		clock = args[2]
	}
	rec, err := pcap.Create(ts.MkAbs(args[0]), pcap.Meta{Scenario: ts.ReadFile(args[1]), Clock: clock})
	ts.Check(err)
	ts.Check(rec.Close())
}

// The help of every verb has an example and fits a terminal.
func TestHelp(t *testing.T) {
	var verbs [][]string
	var walk func(path []string, commands []*cli.Command)
	walk = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			verb := append(append([]string{}, path...), c.Name)
			verbs = append(verbs, verb)
			walk(verb, c.Subcommands)
		}
	}
	walk(nil, newApp(nil, nil).Commands)
	verbs = append(verbs, nil)
	if len(verbs) < 9 {
		t.Fatalf("only %d verbs", len(verbs))
	}
	for _, verb := range verbs {
		for _, flag := range []string{"--help", "-h"} {
			var out, errs bytes.Buffer
			args := append(append([]string{"vnreplay"}, verb...), flag)
			if got := run(args, &out, &errs); got != exitOK || errs.Len() > 0 {
				t.Errorf("%q: exit status %d, %s", args, got, errs.String())
			}
			if !strings.Contains(out.String(), "Example: vnreplay "+strings.Join(verb, " ")) {
				t.Errorf("%q shows no example of itself:\n%s", args, out.String())
			}
			for line := range strings.Lines(out.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
					t.Errorf("%q: a line of %d columns: %s", args, n, line)
				}
			}
		}
	}
}

// Told to end, a run closes its recording whole and says where it is.
func TestSignal(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			long := filepath.Join(dir, "long.yaml")
			err := os.WriteFile(long, []byte("limit: 720h\nhosts: {a: {ip: 10.0.0.1/24}, b: {ip: 10.0.0.2/24}}\n"+
				"apps: {p: {host: a, ping: {to: b, times: 1000000, interval: 1ms}}}\n"), 0o666)
			if err != nil {
				t.Fatal(err)
			}
			recording := filepath.Join(dir, "long.pcapng")
			cmd := exec.Command(exe, "run", long, "-w", recording)
			cmd.Args[0] = "vnreplay"
			cmd.Env = append(os.Environ(), "TMPDIR="+dir)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for range 200 { // until it has begun to write
				if info, err := os.Stat(recording + ".partial"); err == nil && info.Size() > 1<<20 {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			cmd.Process.Signal(sig)
			err = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != exitSignal+int(sig) {
				t.Errorf("exit status %d (%v), want %d: %s", got, err, exitSignal+int(sig), errs.String())
			}
			if !strings.Contains(out.String(), "recording: "+recording) || strings.Count(errs.String(), "\n") != 1 {
				t.Errorf("said %q and %q", out.String(), errs.String())
			}
			r, err := pcap.Open(recording)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			frames := 0
			for _, err := range r.Packets() {
				if err != nil {
					t.Fatalf("after frame %d: %v", frames, err)
				}
				frames++
			}
			if stats := r.Interfaces()[0].Stats; frames < 1000 || stats == nil {
				t.Errorf("%d frames, statistics %v", frames, stats)
			}
		})
	}
}
