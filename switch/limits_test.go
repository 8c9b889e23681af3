package vswitch_test

import (
	"context"
	"errors"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

func TestDeadlockNamesWhoWaitsOnWhat(t *testing.T) {
	w, n := world(t, vswitch.Config{})
	b := newNode(t, w, "b")
	hole := make(chan struct{})
	w.Go("get", func(context.Context) error { return forever(b, vswitch.OpRead, "10.0.0.1:49152 > 10.0.0.2:80") })
	w.Background("server", func(context.Context) error { return forever(n, vswitch.OpAccept, ":80") })
	w.Go("stuck", func(ctx context.Context) error {
		select {
		case <-hole:
		case <-ctx.Done():
		}
		return nil
	})
	err := w.Run(context.Background(), func(context.Context) error { return sleep(n, time.Second) })
	if !errors.Is(err, vswitch.ErrDeadlock) || !vswitch.IsHarnessError(err) {
		t.Fatalf("Run: %v", err)
	}
	for _, want := range []string{
		"limits_test.go:", // the select of "stuck"
		"[select]",
		"(at 1s; not finished: get, stuck; node waits in accept :80 since 0s; b waits in read 10.0.0.1:49152 > 10.0.0.2:80 since 0s)",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("not one line: %v", err)
	}
}

func TestVirtualLimit(t *testing.T) {
	w, n := world(t, vswitch.Config{Limit: 10 * time.Second})
	err := w.Run(context.Background(), func(context.Context) error {
		for {
			if err := sleep(n, 3*time.Second); err != nil {
				return err
			}
		}
	})
	if !errors.Is(err, vswitch.ErrLimit) || !vswitch.IsHarnessError(err) {
		t.Fatalf("Run: %v", err)
	}
	equal(t, "error", err.Error(), "limit passed: 10s of virtual time (at 10s; not finished: main; node waits in sleep for 3s since 9s)")
	equal(t, "virtual time", w.Stats().Virtual, 10*time.Second)

	w, n = world(t, vswitch.Config{Limit: 10 * time.Second})
	must(t, w.Run(context.Background(), func(context.Context) error { return sleep(n, 10*time.Second) }))
}

func TestWallLimit(t *testing.T) {
	w, n := world(t, vswitch.Config{WallLimit: 100 * ms, Limit: math.MaxInt64})
	began := time.Now()
	err := w.Run(context.Background(), func(context.Context) error {
		for {
			if err := sleep(n, 1*ms); err != nil {
				return err
			}
		}
	})
	if !errors.Is(err, vswitch.ErrLimit) || !strings.Contains(err.Error(), "100ms of wall time") {
		t.Errorf("Run: %v", err)
	}
	if wall := time.Since(began); wall > 5*time.Second {
		t.Errorf("took %v", wall)
	}
}

func TestBusyGoroutineIsNamed(t *testing.T) {
	w, n := world(t, vswitch.Config{WallLimit: 100 * ms})
	parked := make(chan error, 1)
	w.Background("server", func(context.Context) error {
		err := forever(n, vswitch.OpAccept, ":80")
		parked <- err
		return err
	})
	began := time.Now()
	err := w.Run(context.Background(), func(ctx context.Context) error {
		if err := sleep(n, time.Second); err != nil {
			return err
		}
		for ctx.Err() == nil {
		}
		return nil
	})
	if !errors.Is(err, vswitch.ErrStuck) || !strings.Contains(err.Error(), "limits_test.go:") || !strings.Contains(err.Error(), "at 1s; not finished: main") {
		t.Errorf("Run: %v", err)
	}
	if wall := time.Since(began); wall > 5*time.Second {
		t.Errorf("took %v", wall)
	}
	equal(t, "the parked call", <-parked, net.ErrClosed)
}

// A goroutine that is busy for good cannot be ended; those that are parked are
// let go all the same.
func TestBusyForGoodDoesNotHoldTheOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the 5 s that a run has for its end")
	}
	w, n := world(t, vswitch.Config{WallLimit: 100 * ms})
	parked := make(chan error, 1)
	w.Background("server", func(context.Context) error {
		err := forever(n, vswitch.OpAccept, ":80")
		parked <- err
		return err
	})
	var stop atomic.Bool
	ended := make(chan struct{})
	err := w.Run(context.Background(), func(context.Context) error {
		defer close(ended)
		err := sleep(n, time.Second)
		for !stop.Load() {
		}
		return err
	})
	if !errors.Is(err, vswitch.ErrStuck) {
		t.Errorf("Run: %v", err)
	}
	select {
	case err := <-parked:
		equal(t, "the parked call", err, net.ErrClosed)
	case <-time.After(5 * time.Second):
		t.Error("the parked call never returned")
	}
	stop.Store(true)
	<-ended
}

func TestClockThatDoesNotMoveIsNoticed(t *testing.T) {
	if raceDetector {
		t.Skip("millions of events of one goroutine: slow, and nothing to race")
	}
	w, n := world(t, vswitch.Config{})
	clock := n.StackClock()
	var again func()
	again = func() { clock.AfterFunc(0, again) }
	clock.AfterFunc(0, again)
	began := time.Now()
	err := w.Run(context.Background(), func(context.Context) error { return sleep(n, time.Second) })
	if !errors.Is(err, vswitch.ErrStuck) || !strings.Contains(err.Error(), "events at one instant (at 0s; not finished: main; node waits in sleep for 1s since 0s)") {
		t.Errorf("Run: %v", err)
	}
	t.Logf("noticed after %v", time.Since(began))
}

func TestApplicationThatDoesNotReturnIsNamed(t *testing.T) {
	w, _ := world(t, vswitch.Config{})
	hole := make(chan struct{})
	ended := make(chan struct{})
	w.Background("careless", func(context.Context) error { defer close(ended); <-hole; return nil })
	err := w.Run(context.Background(), nothing)
	if !errors.Is(err, vswitch.ErrStuck) || !strings.Contains(err.Error(), "the run is over and careless did not return; outside the network: ") ||
		!strings.Contains(err.Error(), "limits_test.go:") {
		t.Errorf("Run: %v", err)
	}
	close(hole)
	<-ended
}

func TestApplicationThatCallsWithoutEndIsNoticed(t *testing.T) {
	w, n := world(t, vswitch.Config{})
	var stop atomic.Bool
	ended := make(chan struct{})
	w.Background("careless", func(context.Context) error {
		defer close(ended)
		for !stop.Load() {
			_ = forever(n, vswitch.OpAccept, ":80")
		}
		return nil
	})
	began := time.Now()
	err := w.Run(context.Background(), nothing)
	if !errors.Is(err, vswitch.ErrStuck) || !strings.Contains(err.Error(), "keep calling after the end of the run") {
		t.Errorf("Run: %v", err)
	}
	t.Logf("noticed after %v", time.Since(began))
	stop.Store(true)
	<-ended
}

// One frame about which rules think for long does not outlast the limit.
func TestWallLimitWithinAFrame(t *testing.T) {
	l := newLANIn(t, vswitch.Config{WallLimit: 50 * time.Millisecond}, vswitch.SwitchConfig{Hub: true}, "a", "b")
	a, asked := l.stations["a"], 0
	for range 2000 {
		l.sw.AddRule("slow", vswitch.RuleFunc(func(*vswitch.Frame, *vswitch.Port) vswitch.Verdict {
			asked++
			time.Sleep(time.Millisecond)
			return vswitch.Verdict{}
		}))
	}
	l.at(0, func() { a.send(l.stations["b"].MAC(), "x") })
	if err := l.tryRun(); !errors.Is(err, vswitch.ErrLimit) {
		t.Errorf("%v, want %v", err, vswitch.ErrLimit)
	}
	if asked > 1000 {
		t.Errorf("%d rules were asked, of which each takes a fiftieth of the limit", asked)
	}
}
