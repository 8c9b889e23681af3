package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/internal/bench"
)

// tiny is so little that everything together takes seconds.
func tiny(t *testing.T) sizes {
	dir := t.TempDir()
	return sizes{tcpBytes: 1_000_000, frames: 2000, fed: 1000, paced: 50, dir: dir, command: &ownCommand{dir: dir}}
}

// Everything that is measured can be: its run ends, moves what it should, loses
// nothing where nothing is to be lost, and leaves nothing behind.
func TestEverythingOnce(t *testing.T) {
	if os.Getenv("VNREPLAY_REQUIRE_TOOLS") == "1" { // all at once
		if err := needTools("ip", "ethtool", "iperf3", "dumpcap", "tcpdump", "tcpreplay"); err != nil {
			t.Error(err)
		}
	}
	sizes := tiny(t)
	if _, err := sizes.command.path(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, g := range groups(sizes) {
		for _, s := range g.Subjects {
			t.Run(g.Name+"/"+s.Name(), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := s.Setup(ctx)
				if errors.Is(err, bench.ErrSkipped) {
					if os.Getenv("VNREPLAY_REQUIRE_TOOLS") == "1" {
						t.Fatal(err)
					}
					t.Skip(err)
				}
				if err != nil {
					t.Fatal(err)
				}
				r, err := s.Run(ctx)
				if err := errors.Join(err, s.Teardown()); err != nil {
					t.Fatal(err)
				}
				t.Logf("%+v", r)
				if r.Bytes == 0 || r.Elapsed <= 0 || r.CPU <= 0 {
					t.Errorf("%+v: nothing was moved, or in no time", r)
				}
				if r.Lost > 0 {
					t.Errorf("%d frames are lost", r.Lost)
				}
			})
		}
	}
	if out, err := exec.Command("ip", "netns", "list").Output(); err == nil && strings.Contains(string(out), "vnrbench-") {
		t.Errorf("namespaces are left: %s", out)
	}
}

// Ratios name subjects of their group: a misspelt one would be left out silently.
func TestRatiosNameSubjects(t *testing.T) {
	for _, g := range groups(tiny(t)) {
		known := map[string]bool{}
		for _, s := range g.Subjects {
			if known[s.Name()] {
				t.Errorf("%s: two subjects are called %q", g.Name, s.Name())
			}
			known[s.Name()] = true
		}
		for _, r := range g.Ratios {
			if !known[r.Of] || !known[r.To] {
				t.Errorf("%s: ratio %s / %s names no subject", g.Name, r.Of, r.To)
			}
		}
	}
}

func TestLateness(t *testing.T) {
	at := func(gaps ...time.Duration) []time.Time {
		began := time.Unix(100, 0)
		var s []time.Time
		for _, g := range gaps {
			if g < 0 {
				s = append(s, time.Time{})
				continue
			}
			s = append(s, began.Add(g))
		}
		return s
	}
	const us = time.Microsecond
	var r bench.Result
	if err := lateness(at(0, 150*us, -1, 303*us), &r); err != nil {
		t.Fatal(err)
	}
	if r.Frames != 3 || r.Lost != 1 || r.Late != 50*us || r.Drift < 0.0099 || r.Drift > 0.0101 {
		t.Errorf("%+v, want 3 frames, 1 lost, 50µs late, drift 0.01", r)
	}
	if err := lateness(at(0, -1), &r); err == nil {
		t.Error("the last frame did not arrive, and that is no error")
	}
}

// A command line that is wrong measures nothing.
func TestWrongCommandLines(t *testing.T) {
	for _, args := range [][]string{{"nothing"}, {"-reps", "0"}, {"-bytes", "-1"}, {"-dir", "/no/such/place"}, {"-only", "nobody", "tcp"}} {
		if err := run(t.Context(), args, &strings.Builder{}, &strings.Builder{}); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
