package vnetif_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

func TestSleepTakesItsTimeAndNoOther(t *testing.T) {
	l := newLAN(t, setup{world: vswitch.Config{Limit: 1000 * time.Hour}})
	l.run(func(ctx context.Context) error {
		for _, d := range []time.Duration{0, -time.Second, time.Nanosecond, time.Second, 500 * time.Hour} {
			began := l.client.Now()
			if err := l.client.Sleep(d); err != nil {
				return err
			}
			equal(t, "slept", since(l.client, began), max(d, 0))
		}
		return nil
	})
	equal(t, "frames", l.wire.n, 0)
}

func TestSleepersWakeInOrderOfTime(t *testing.T) {
	l := newLAN(t, setup{})
	var order []string
	for _, d := range []time.Duration{30, 10, 20, 10} {
		l.w.Go(fmt.Sprint(d), func(context.Context) error {
			err := l.client.Sleep(d * time.Millisecond)
			order = append(order, d.String())
			return err
		})
	}
	l.run(func(ctx context.Context) error { return nil })
	equal(t, "order", strings.Join(order, " "), "10ns 10ns 20ns 30ns")
}

func TestAfterFuncCallsOnceAtItsInstant(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		var mu sync.Mutex
		var at []string
		note := func() {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, since(l.client, l.w.Start()).String())
		}
		l.client.AfterFunc(0, note)
		l.client.AfterFunc(-time.Second, note)
		timer := l.client.AfterFunc(time.Second, note)
		stopped := l.client.AfterFunc(time.Second, note)
		moved := l.client.AfterFunc(time.Second, note)
		equal(t, "stopping a pending timer", stopped.Stop(), true)
		equal(t, "stopping it again", stopped.Stop(), false)
		equal(t, "resetting a pending timer", moved.Reset(3*time.Second), true)
		equal(t, "resetting a stopped timer", stopped.Reset(2*time.Second), false)
		if err := l.client.Sleep(5 * time.Second); err != nil {
			return err
		}
		equal(t, "stopping a timer that has fired", timer.Stop(), false)
		equal(t, "resetting it", timer.Reset(time.Second), false)
		if err := l.client.Sleep(5 * time.Second); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		equal(t, "calls", strings.Join(at, " "), "0s 0s 1s 2s 3s 6s")
		return nil
	})
}

// f has a goroutine of its own: it may block.
func TestAfterFuncMayBlock(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		done := make(chan error)
		l.client.AfterFunc(time.Second, func() { done <- l.client.Sleep(time.Second) })
		err := <-done
		equal(t, "now", since(l.client, l.w.Start()), 2*time.Second)
		return err
	})
}

func TestWithTimeoutEndsAtItsInstant(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		began := l.client.Now()
		timed, cancel := l.client.WithTimeout(ctx, 90*time.Second)
		defer cancel()
		if at, ok := timed.Deadline(); !ok || !at.Equal(began.Add(90*time.Second)) {
			t.Errorf("Deadline: %v, %v", at, ok)
		}
		equal(t, "Err before", timed.Err(), nil)
		<-timed.Done()
		equal(t, "after", since(l.client, began), 90*time.Second)
		equal(t, "Err", timed.Err(), context.DeadlineExceeded)
		equal(t, "Cause", context.Cause(timed), context.DeadlineExceeded)
		cancel()
		equal(t, "Err after cancel", timed.Err(), context.DeadlineExceeded)
		return nil
	})
}

func TestWithTimeoutOfNothingHasEnded(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		timed, cancel := l.client.WithTimeout(ctx, 0)
		defer cancel()
		<-timed.Done()
		equal(t, "Err", timed.Err(), context.DeadlineExceeded)
		equal(t, "now", since(l.client, l.w.Start()), 0)
		return nil
	})
}

func TestCancellingATimeoutStopsItsTimer(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		timed, cancel := l.client.WithTimeout(ctx, time.Hour/2)
		cancel()
		<-timed.Done()
		equal(t, "Err", timed.Err(), context.Canceled)
		return nil
	})
	equal(t, "virtual time", l.w.Stats().Virtual, 0)
}

// Contexts derived from one with a timeout end with it, with its error.
func TestChildrenOfATimeout(t *testing.T) {
	l := newLAN(t, setup{})
	type key struct{}
	l.run(func(ctx context.Context) error {
		reason := errors.New("reason")
		outer, stop := context.WithCancelCause(context.WithValue(ctx, key{}, "value"))
		timed, cancel := l.client.WithTimeout(outer, 2*time.Second)
		defer cancel()
		child, cancelChild := context.WithCancel(timed)
		defer cancelChild()
		grandchild, cancelGrandchild := context.WithCancel(context.WithValue(child, key{}, "other"))
		cancelGrandchild()
		shorter, cancelShorter := l.client.WithTimeout(child, time.Second)
		defer cancelShorter()
		longer, cancelLonger := l.client.WithTimeout(child, time.Minute)
		defer cancelLonger()

		equal(t, "value", fmt.Sprintf("%v %v", timed.Value(key{}), longer.Value(key{})), "value value")
		equal(t, "Err of a cancelled grandchild", grandchild.Err(), context.Canceled)
		equal(t, "Err of its parent", child.Err(), nil)
		at, _ := longer.Deadline()
		equal(t, "deadline of a longer child", at.Sub(l.w.Start()), 2*time.Second)

		<-shorter.Done()
		equal(t, "shorter child", since(l.client, l.w.Start()), time.Second)
		equal(t, "its error", shorter.Err(), context.DeadlineExceeded)
		equal(t, "parent's error", timed.Err(), nil)
		<-child.Done()
		equal(t, "child", since(l.client, l.w.Start()), 2*time.Second)
		equal(t, "its error", child.Err(), context.DeadlineExceeded)
		equal(t, "its cause", context.Cause(child), context.DeadlineExceeded)
		<-longer.Done()
		equal(t, "longer child", since(l.client, l.w.Start()), 2*time.Second)
		equal(t, "its error", longer.Err(), context.DeadlineExceeded)

		timed, cancel = l.client.WithTimeout(outer, time.Hour)
		defer cancel()
		stop(reason)
		<-timed.Done()
		equal(t, "Err when the parent is cancelled", timed.Err(), context.Canceled)
		equal(t, "Cause", context.Cause(timed), reason)
		return nil
	})
}

func TestDeadlineOfTheParentInRealTimeIsTranslated(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		parent, cancel := context.WithTimeout(ctx, 40*time.Second) // of the wall clock
		defer cancel()
		timed, cancel := l.client.WithTimeout(parent, time.Hour)
		defer cancel()
		<-timed.Done()
		equal(t, "Err", timed.Err(), context.DeadlineExceeded)
		equal(t, "after", since(l.client, l.w.Start()), 40*time.Second)
		return nil
	})
}

// The limit on virtual time ends a run that would sleep on.
func TestVirtualTimeLimit(t *testing.T) {
	l := newLAN(t, setup{world: vswitch.Config{Limit: time.Minute}})
	err := l.fails(func(ctx context.Context) error { return l.client.Sleep(time.Hour) })
	wantErr(t, "the run", err, vswitch.ErrLimit)
	if !strings.Contains(err.Error(), "client waits in sleep 1h0m0s") {
		t.Errorf("%q does not say who sleeps", err)
	}
}
