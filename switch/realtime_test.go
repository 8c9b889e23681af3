package vswitch_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// realTime is what an application may do that waits by the wall clock. Each
// gives up by itself, so that a test that misses it ends.
var realTime = map[string]func(){
	"sleep": func() { time.Sleep(500 * ms) },
	"sleep deep in a library": func() {
		s := []int{2, 1}
		slices.SortFunc(s, func(a, b int) int {
			new(sync.Once).Do(func() { time.Sleep(500 * ms) })
			return a - b
		})
	},
	"ticker": func() {
		tick := time.NewTicker(200 * time.Microsecond)
		defer tick.Stop()
		for end := time.Now().Add(500 * ms); time.Now().Before(end); {
			<-tick.C
		}
	},
	"ticker in a select": func() {
		tick := time.NewTicker(200 * time.Microsecond)
		defer tick.Stop()
		quit := make(chan struct{})
		for end := time.Now().Add(500 * ms); time.Now().Before(end); {
			select {
			case <-tick.C:
			case <-quit:
			}
		}
	},
	"chain of timers": func() {
		woken := make(chan struct{})
		for end := time.Now().Add(500 * ms); time.Now().Before(end); {
			time.AfterFunc(200*time.Microsecond, func() { woken <- struct{}{} })
			<-woken
		}
	},
}

func TestRealTimeIsCaught(t *testing.T) {
	for name, wait := range realTime {
		t.Run(name, func(t *testing.T) {
			w, n := world(t, vswitch.Config{})
			ended := make(chan struct{})
			err := w.Run(context.Background(), func(context.Context) error {
				go func() { defer close(ended); wait() }()
				for range 100 {
					if err := sleep(n, time.Second); err != nil {
						return err
					}
				}
				return nil
			})
			if !errors.Is(err, vswitch.ErrRealTime) || !vswitch.IsHarnessError(err) ||
				!strings.Contains(err.Error(), "realtime_test.go:") || !strings.Contains(err.Error(), "host's Sleep") {
				t.Errorf("got %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("not one line: %v", err)
			}
			t.Log(err)
			<-ended
		})
	}
}

// The application itself sleeps, and what others do in the meantime never lets
// the clock make a long jump.
func TestSleepIsCaughtWhileOthersAreBusy(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	a.on = func([]byte) { _ = a.Send(ether(b.MAC(), a.MAC(), "ping")) }
	b.on = func([]byte) { _ = b.Send(ether(a.MAC(), b.MAC(), "pong")) }
	a.send(b.MAC(), "ping")
	err := l.w.Run(context.Background(), func(context.Context) error {
		time.Sleep(300 * ms)
		return nil
	})
	if !errors.Is(err, vswitch.ErrRealTime) || !strings.Contains(err.Error(), "realtime_test.go:") {
		t.Errorf("got %v after %v of virtual time", err, l.w.Stats().Virtual)
	}
}

// However long the dump of all goroutines is, it is read to its end: here it takes about
// 90 MB, and who waits for a real pipe comes last.
func TestRealTimeIsCaughtBehindThousandsOfDeepStacks(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a few hundred megabytes of stacks")
	}
	w, n := world(t, vswitch.Config{WallLimit: 5 * time.Minute})
	r, wr, err := os.Pipe()
	must(t, err)
	defer r.Close()
	release := make(chan struct{})
	var all sync.WaitGroup
	err = w.Run(context.Background(), func(context.Context) error {
		for range 6000 {
			all.Go(func() { waitDeep(100, release) })
		}
		if err := sleep(n, ms); err != nil { // all wait
			return err
		}
		all.Go(func() { _, _ = r.Read(make([]byte, 1)) })
		return sleep(n, time.Hour)
	})
	close(release)
	must(t, wr.Close())
	all.Wait()
	if !errors.Is(err, vswitch.ErrRealTime) || !strings.Contains(err.Error(), "realtime_test.go:") {
		t.Errorf("got %v", err)
	}
}

// waitDeep waits with at least so many calls on its stack.
//
//go:noinline
func waitDeep(calls int, release chan struct{}) {
	if calls > 0 {
		waitDeep(calls-1, release)
		return
	}
	<-release
}

func TestSleepAtADeadlockIsCaught(t *testing.T) {
	w, _ := world(t, vswitch.Config{})
	err := w.Run(context.Background(), func(context.Context) error {
		time.Sleep(300 * ms)
		return nil
	})
	if !errors.Is(err, vswitch.ErrRealTime) || !strings.Contains(err.Error(), "realtime_test.go:") {
		t.Errorf("got %v", err)
	}
}

// A ticker and a sleeper that were there before are not the application's.
func TestOlderTickerDoesNotFailTheRun(t *testing.T) {
	var older sync.WaitGroup
	older.Go(func() { time.Sleep(200 * ms) })
	quit := make(chan struct{})
	older.Go(func() {
		tick := time.NewTicker(200 * time.Microsecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	})
	defer func() { close(quit); older.Wait() }()
	runtime.Gosched() // both are under way
	w, n := world(t, vswitch.Config{})
	must(t, w.Run(context.Background(), func(context.Context) error {
		for range 1000 {
			if err := sleep(n, time.Second); err != nil {
				return err
			}
		}
		return nil
	}))
}

// A binary built with -trimpath names the line as well, and takes no package of
// the standard library for the application's.
func TestRealTimeIsCaughtWithTrimmedPaths(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the tests again")
	}
	if os.Getenv("VSWITCH_TRIMMED") != "" {
		t.Skip("this is the binary built with -trimpath")
	}
	cmd := exec.Command("go", "test", "-trimpath", "-count=1", "-run=^TestRealTimeIsCaught$|^TestSleep|^TestOlderTicker", "-v", ".")
	cmd.Env = append(os.Environ(), "VSWITCH_TRIMMED=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "github.com/vnreplay/vnreplay/switch/realtime_test.go:") {
		t.Errorf("%v\n%s", err, out)
	}
}
