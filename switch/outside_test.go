package vswitch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// busyWorld is a world in which something happens every 10 µs for 100 ms.
func busyWorld(t *testing.T) (*vswitch.World, *vswitch.Node) {
	w, n := world(t, vswitch.Config{WallLimit: 5 * time.Second})
	w.Go("busy", func(context.Context) error {
		for range 10000 {
			if err := sleep(n, 10*time.Microsecond); err != nil {
				return err
			}
		}
		return nil
	})
	return w, n
}

// A sleep of less than a few milliseconds is found, too; unless the machine has so much else
// to do that it is over before anybody looks.
func TestShortSleepIsCaughtWhileOthersAreBusy(t *testing.T) {
	for _, d := range []time.Duration{300 * time.Microsecond, ms} {
		caught := func() bool {
			w, n := busyWorld(t)
			err := w.Run(context.Background(), func(context.Context) error {
				if err := sleep(n, ms); err != nil {
					return err
				}
				time.Sleep(d)
				return nil
			})
			if err != nil && (!errors.Is(err, vswitch.ErrRealTime) || !strings.Contains(err.Error(), "outside_test.go:")) {
				t.Errorf("%v: got %v", d, err)
			}
			return err != nil
		}
		for tries := 1; !caught(); tries++ {
			if tries == 50 {
				t.Fatalf("%v: not caught in %d runs", d, tries)
			}
		}
	}
}

// Who waits for a process and what it wrote is at rest when both are there, and not before.
func TestWorldIsNotAtRestWhileAProcessRuns(t *testing.T) {
	echo, err := exec.LookPath("echo")
	if err != nil {
		if os.Getenv("VNREPLAY_REQUIRE_TOOLS") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no small process to start: %v", err)
	}
	for range 200 {
		w, n := world(t, vswitch.Config{})
		must(t, w.Run(context.Background(), func(context.Context) error {
			if err := sleep(n, time.Second); err != nil {
				return err
			}
			if out, err := exec.Command(echo, "hi").Output(); err != nil || len(out) == 0 {
				return fmt.Errorf("it wrote %q: %w", out, err)
			}
			return sleep(n, time.Second) // a deadlock, when the world was taken for at rest before
		}))
	}
}

// The goroutine that waits for signals, which comes with the first who asks for them, is no
// part of the run.
func TestSignalsMayBeAskedForInARun(t *testing.T) {
	w, n := world(t, vswitch.Config{WallLimit: 5 * time.Second})
	must(t, w.Run(context.Background(), func(ctx context.Context) error {
		_, stop := signal.NotifyContext(ctx, os.Interrupt)
		defer stop()
		return sleep(n, time.Second)
	}))
}

// What real time wakes while nothing is to come is no deadlock.
func TestWokenWhileNothingIsToComeIsNoDeadlock(t *testing.T) {
	older := make(chan struct{})
	w, n := world(t, vswitch.Config{})
	err := w.Run(context.Background(), func(context.Context) error {
		time.AfterFunc(500*time.Microsecond, func() { close(older) })
		<-older
		return sleep(n, time.Second)
	})
	if errors.Is(err, vswitch.ErrDeadlock) && strings.Contains(err.Error(), "waits in sleep") {
		t.Errorf("got %v", err)
	}
}

func TestRunInABubbleIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := vswitch.NewWorld(vswitch.Config{})
		defer w.Close()
		err := w.Run(context.Background(), func(context.Context) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "synctest") {
			t.Errorf("got %v", err)
		}
	})
}

// What a run sets up for itself no application may change.
func TestApplicationsLeaveTheSchedulerAlone(t *testing.T) {
	for name, change := range map[string]func(){
		"GOMAXPROCS":   func() { runtime.GOMAXPROCS(2) },
		"SetGCPercent": func() { debug.SetGCPercent(100) },
	} {
		w, n := world(t, vswitch.Config{})
		err := w.Run(context.Background(), func(context.Context) error {
			change()
			return sleep(n, time.Second)
		})
		if !errors.Is(err, vswitch.ErrRealTime) || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v", err)
		}
	}
}
