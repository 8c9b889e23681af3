package vswitch_test

import (
	"context"
	"os"
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
