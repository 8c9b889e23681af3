package vnetif

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// instants remembers the deadlines with a monotonic reading that an application
// set lately, and the instants of the world's clock they were taken for.
type instants [2]struct{ wall, world time.Time }

// sameOrigin is the step by which two deadlines differ that were computed from
// the same time.Now(), as net/http does. Two others differ by a multiple of it,
// to the nanosecond, once in ten million.
const sameOrigin = 10 * time.Millisecond

// take turns a deadline that an application set at now into an instant of the
// world's clock; the zero time, for none, stays. A deadline that was set before
// keeps its instant, and one that was computed from the same time.Now() keeps its
// distance.
func (m *instants) take(t, now time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	if t == t.Round(0) { // no monotonic reading: an instant of the world's clock
		return t.UTC()
	}
	for _, known := range m {
		if d := t.Sub(known.wall); !known.wall.IsZero() && d%sameOrigin == 0 {
			m.remember(t, known.world.Add(d))
			return known.world.Add(d)
		}
	}
	at := now.Add(roundUp(time.Until(t)))
	m.remember(t, at)
	return at
}

// instant is the instant of the world's clock that a deadline stands for. In real time
// the two clocks are one until the machine's is set; what a monotonic reading says still
// holds then.
func (h *Host) instant(known *instants, t time.Time) time.Time {
	switch {
	case !h.world.RealTime():
		return known.take(t, h.Now())
	case t == t.Round(0): // none, or without a monotonic reading
		return t
	}
	return h.Now().Add(time.Until(t))
}

func (m *instants) remember(wall, world time.Time) {
	if m[0].wall != wall {
		m[1], m[0] = m[0], struct{ wall, world time.Time }{wall, world}
	}
}

// roundUp rounds a duration up to two significant decimal digits; what has passed
// is 0. It recovers d from time.Until(time.Now().Add(d)), which is a little less.
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
		passed atomic.Bool
	)
	op = vswitch.Op{Kind: vswitch.OpSleep, Key: d.String(), What: d.String, Try: func() bool {
		if timer == nil && d > 0 {
			timer = h.node.AppClock(0).AfterFunc(d, func() {
				passed.Store(true)
				h.node.Wake(&op)
			})
		}
		return passed.Load() || d <= 0
	}}
	err := h.node.Do(&op)
	if timer != nil {
		timer.Stop() // the run may have ended first
	}
	return err
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
	c := &timeoutContext{parent: parent, deadline: h.Now().Add(d)}
	c.over, c.signal = context.WithCancel(context.Background())
	if outer, ok := parent.Deadline(); ok {
		if outer = h.instant(new(instants), outer); outer.Before(c.deadline) {
			c.deadline = outer
		}
	}
	unfollow := context.AfterFunc(parent, func() { c.end(parent.Err()) })
	timer := h.node.AppClock(0).AfterFunc(c.deadline.Sub(h.Now()), func() { c.end(context.DeadlineExceeded) })
	return c, func() {
		unfollow()
		timer.Stop()
		c.end(context.Canceled)
	}
}

// timeoutContext is a context whose deadline is on the world's clock. It is not
// made of one of package context, because contexts derived from it would then
// take their error from that one, which knows of no deadline.
type timeoutContext struct {
	parent   context.Context
	deadline time.Time
	over     context.Context // done when this one is
	signal   func()

	mu    sync.Mutex
	err   error
	after []*func() // to be called at the end, in the order in which they came
}

// end ends the context, once.
func (c *timeoutContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	c.signal()
	for _, f := range c.after {
		go (*f)()
	}
	c.after = nil
}

// Deadline returns the instant of the world's clock at which the context ends.
func (c *timeoutContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Done returns the channel that is closed when the context ends.
func (c *timeoutContext) Done() <-chan struct{} { return c.over.Done() }

// Err returns context.DeadlineExceeded when the time has passed.
func (c *timeoutContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc lets derived contexts follow this one without a goroutine. Those of package
// context would be called in an order that is another one in every run.
func (c *timeoutContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	c.after = append(c.after, &f)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.Index(c.after, &f)
		if i < 0 {
			return false
		}
		c.after = slices.Delete(c.after, i, i+1)
		return true
	}
}

// Value returns the parent's value.
func (c *timeoutContext) Value(key any) any { return c.parent.Value(key) }
