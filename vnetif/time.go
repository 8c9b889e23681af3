package vnetif

import (
	"context"
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// worldDeadline turns a deadline that an application set into an instant of the
// world's clock; the zero time, for none, stays.
func worldDeadline(t, now time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	if t == t.Round(0) { // no monotonic reading: an instant of the world's clock
		return t.UTC()
	}
	return now.Add(roundUp(time.Until(t)))
}

// roundUp rounds a positive duration up to two significant decimal digits. It
// recovers d from time.Until(time.Now().Add(d)), which is a little less.
func roundUp(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	unit := time.Duration(1)
	for d/unit >= 100 {
		unit *= 10
	}
	return (d + unit - 1) / unit * unit
}

// Sleep parks the caller for d on the world's clock. It returns net.ErrClosed
// when the run ends first.
func (h *Host) Sleep(d time.Duration) error {
	var (
		op     vswitch.Op
		timer  vswitch.Timer
		passed bool
	)
	op = vswitch.Op{Kind: vswitch.OpSleep, Key: d.String(), What: d.String, Try: func() bool {
		if timer == nil && d > 0 {
			timer = h.node.AppClock(0).AfterFunc(d, func() {
				passed = true
				h.node.Wake(&op)
			})
		}
		return passed || d <= 0
	}}
	return h.node.Do(&op)
}

// Timer is a call that [Host.AfterFunc] arranged.
type Timer struct{ t vswitch.Timer }

// Stop cancels the call and reports whether it had still been pending.
func (t *Timer) Stop() bool { return t.t.Stop() }

// Reset makes the call happen d from now and reports whether it had been pending.
func (t *Timer) Reset(d time.Duration) bool { return t.t.Reset(d) }

// AfterFunc calls f on a goroutine of its own when d has passed on the world's clock.
func (h *Host) AfterFunc(d time.Duration, f func()) *Timer {
	return &Timer{h.node.AppClock(0).AfterFunc(d, func() { go f() })}
}

// WithTimeout is [context.WithTimeout] on the world's clock: Deadline tells an
// instant of it. Call cancel when the work is done.
func (h *Host) WithTimeout(parent context.Context, d time.Duration) (ctx context.Context, cancel context.CancelFunc) {
	inner, cancelInner := context.WithCancelCause(parent)
	c := &timeoutContext{Context: inner, deadline: h.Now().Add(d)}
	if outer, ok := parent.Deadline(); ok {
		if outer = worldDeadline(outer, h.Now()); outer.Before(c.deadline) {
			c.deadline = outer
		}
	}
	timer := h.node.AppClock(0).AfterFunc(c.deadline.Sub(h.Now()), func() {
		c.mu.Lock()
		c.expired = inner.Err() == nil
		c.mu.Unlock()
		cancelInner(context.DeadlineExceeded)
	})
	return c, func() {
		timer.Stop()
		cancelInner(context.Canceled)
	}
}

// timeoutContext is a context whose deadline is on the world's clock.
type timeoutContext struct {
	context.Context
	deadline time.Time
	mu       sync.Mutex
	expired  bool
}

// Deadline returns the instant of the world's clock at which the context ends.
func (c *timeoutContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Err returns context.DeadlineExceeded when the time has passed.
func (c *timeoutContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expired {
		return context.DeadlineExceeded
	}
	return c.Context.Err()
}

// AfterFunc lets derived contexts follow this one without a goroutine.
func (c *timeoutContext) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(c.Context, f)
}
