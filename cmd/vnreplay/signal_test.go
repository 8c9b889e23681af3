package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hang FILE: a command that does not end by itself, at work on a file.
func hang() {
	_, g := newGuard(context.Background(), os.Stderr, grace)
	g.leaves(os.Args[1])
	os.WriteFile(os.Args[1], nil, 0o666)
	for {
		time.Sleep(time.Hour)
	}
}

// full COMMAND...: with a full disk as its standard output.
func full() {
	out, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	cmd.Run()
	os.Exit(cmd.ProcessState.ExitCode())
}

// program is this test binary as one of the programs of TestMain.
func program(t *testing.T, name string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd, errs := exec.Command(exe, args...), &bytes.Buffer{}
	cmd.Args[0], cmd.Stderr = name, errs
	return cmd, errs
}

// endsBy waits for the command's end.
func endsBy(t *testing.T, cmd *exec.Cmd, sig syscall.Signal, within time.Duration) {
	t.Helper()
	kill := time.AfterFunc(within, func() { cmd.Process.Kill() })
	defer kill.Stop()
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != exitSignal+int(sig) {
		t.Errorf("exit status %d, want %d", got, exitSignal+int(sig))
	}
}

// A command that cannot end by itself ends a second after the signal, or with the
// second one, and says what it leaves.
func TestSignalWhileBlocked(t *testing.T) {
	for name, sigs := range map[string]int{"one": 1, "two": 2} {
		t.Run(name, func(t *testing.T) {
			partial := filepath.Join(t.TempDir(), "x.partial")
			cmd, errs := program(t, "hang", partial)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for range 400 {
				if _, err := os.Stat(partial); err == nil {
					break
				}
				time.Sleep(25 * time.Millisecond)
			}
			began := time.Now()
			for i := range sigs {
				time.Sleep(time.Duration(i) * (again + 200*time.Millisecond))
				cmd.Process.Signal(syscall.SIGTERM)
			}
			endsBy(t, cmd, syscall.SIGTERM, 20*time.Second)
			if took := time.Since(began); sigs == 1 && took < grace {
				t.Errorf("it ended after %v, without the time to end by itself", took)
			}
			if want := "vnreplay: terminated; left unfinished: " + partial + "\n"; errs.String() != want {
				t.Errorf("said %q, want %q", errs, want)
			}
		})
	}
}

// Nobody reads what a run writes: one signal ends it, and so does its wall limit.
func TestNobodyReads(t *testing.T) {
	long := filepath.Join(t.TempDir(), "long.yaml")
	err := os.WriteFile(long, []byte("limit: 720h\nhosts: {a: {ip: 10.0.0.1/24}, b: {ip: 10.0.0.2/24}}\n"+
		"apps: {p: {host: a, ping: {to: b, times: 1000000, interval: 1ms}}}\n"), 0o666)
	if err != nil {
		t.Fatal(err)
	}
	start := func(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
		cmd, errs := program(t, "vnreplay", append([]string{"run", long, "-w", "-"}, args...)...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out.Read(make([]byte, 1)) // it has begun to write; no more of it is read
		return cmd, errs
	}
	t.Run("signal", func(t *testing.T) {
		cmd, _ := start(t)
		time.Sleep(500 * time.Millisecond)
		cmd.Process.Signal(syscall.SIGINT)
		endsBy(t, cmd, syscall.SIGINT, 20*time.Second)
	})
	t.Run("wall limit", func(t *testing.T) {
		cmd, errs := start(t, "--wall-limit", "200ms")
		endsBy(t, cmd, exitHarness-exitSignal, 30*time.Second)
		if !strings.Contains(errs.String(), "nobody takes the recording") {
			t.Errorf("said %q", errs)
		}
	})
}
