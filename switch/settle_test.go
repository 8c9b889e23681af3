package vswitch_test

import (
	"context"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// A goroutine that comes back from a long system call is not at rest, whatever
// the runtime's counts say at that moment: the clock must not move.
func TestClockStandsStillDuringSystemCalls(t *testing.T) {
	random, err := os.Open("/dev/urandom")
	if err != nil {
		t.Skip("no long system call at hand:", err)
	}
	defer random.Close()
	w, n := world(t, vswitch.Config{Limit: 24 * time.Hour})
	clock := n.StackClock()
	var tick func()
	tick = func() { clock.AfterFunc(ms, tick) } // there is always an instant to jump to
	tick()
	const calls = 3000
	buf := make([]byte, 64<<10) // about 100 µs
	moved := 0
	must(t, w.Run(context.Background(), func(context.Context) error {
		for range calls {
			before := w.Now()
			if _, err := random.Read(buf); err != nil {
				return err
			}
			if w.Now() != before {
				moved++
			}
			if err := sleep(n, time.Second); err != nil {
				return err
			}
		}
		return nil
	}))
	if moved > 0 {
		t.Errorf("the clock moved during %d of %d system calls", moved, calls)
	}
}

// A goroutine that is older than the run and waits in a system call, as the reader of a
// terminal does, may come back from it and wait again: the run goes on.
func TestOlderGoroutineWaitsInSystemCallsAgain(t *testing.T) {
	r, wr, err := os.Pipe()
	must(t, err)
	r.Fd() // from now on reads block in the system call
	var older sync.WaitGroup
	older.Go(func() {
		b := make([]byte, 1)
		for {
			if _, err := r.Read(b); err != nil {
				return
			}
		}
	})
	defer func() { wr.Close(); older.Wait(); r.Close() }()
	time.Sleep(50 * ms) // it waits: nothing else shows when
	w, n := world(t, vswitch.Config{WallLimit: 20 * time.Second})
	must(t, w.Run(context.Background(), func(context.Context) error {
		for range 100 {
			if _, err := wr.Write([]byte{0}); err != nil {
				return err
			}
			if err := sleep(n, ms); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Who collects garbage waits for it: meanwhile the clock stands still, and others do nothing.
func TestClockStandsStillDuringCollections(t *testing.T) {
	for range 20 {
		w, n := world(t, vswitch.Config{})
		steps := 0
		w.Go("other", func(context.Context) error {
			for steps = range 100 {
				if err := sleep(n, 100*time.Microsecond); err != nil {
					return err
				}
			}
			return nil
		})
		must(t, w.Run(context.Background(), func(context.Context) error {
			for range 5 {
				before, done := w.Now(), steps
				runtime.GC()
				if now := w.Now(); now != before || steps != done {
					t.Errorf("the clock moved by %v, others took %d steps", now.Sub(before), steps-done)
				}
				if err := sleep(n, ms); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}
