package replay

import (
	"bytes"
	"sync"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// The players of a replay are event-driven machines that one caller at a time may
// enter. In virtual time there is one, the world's loop. In real time ports, timers and
// applications call on goroutines of their own, so each of them enters by
// [engine.enter] and goes by [engine.leave]; in virtual time both do nothing.
//
// One thing cannot wait for its turn: the watcher, which is called inside the switch,
// also for what a player is sending at that moment. In real time it writes down what it
// sees, and everybody who enters or leaves looks at that first.

// serial is the lock of a replay in real time.
type serial struct {
	mu   sync.Mutex
	over bool // nobody enters any more

	seen    sync.Mutex // held inside the switch: nothing is waited for with it
	glimpse []glimpse
	spare   []glimpse
}

// glimpse is a frame that entered the switch and has not been looked at.
type glimpse struct {
	from   *vswitch.Port
	number uint64
	at     time.Duration // as engine.sinceStart
	data   []byte
}

// enter waits for the caller's turn. It reports false when the replay is over, and then
// there is nothing to leave.
func (e *engine) enter() bool {
	if !e.real {
		return true
	}
	e.turn.mu.Lock()
	if e.turn.over {
		e.turn.mu.Unlock()
		return false
	}
	e.look()
	return true
}

// leave lets the next one in.
func (e *engine) leave() {
	if e.real {
		e.look()
		e.turn.mu.Unlock()
	}
}

// glimpsed notes a frame for whoever has the next turn.
func (s *serial) glimpsed(f *vswitch.Frame, at time.Duration) {
	s.seen.Lock()
	defer s.seen.Unlock()
	s.glimpse = append(s.glimpse, glimpse{f.From, f.Seq, at, bytes.Clone(f.Data)})
}

// look lets the watcher see what was noted. e.turn.mu is held.
func (e *engine) look() {
	e.turn.seen.Lock()
	list := e.turn.glimpse
	e.turn.glimpse, e.turn.spare = e.turn.spare[:0], nil
	e.turn.seen.Unlock()
	for _, g := range list {
		e.watcher.see(g.from, g.number, g.at, g.data)
	}
	clear(list)
	e.turn.spare = list[:0]
}

// clockOf returns the clock of a player.
func (e *engine) clockOf(n *vswitch.Node) vswitch.Clock {
	if !e.real {
		return n.StackClock()
	}
	return turnClock{e, n.StackClock()}
}

// turnClock is a clock whose calls wait for their turn. Its timers are set and stopped by
// callers that have theirs.
type turnClock struct {
	e *engine
	vswitch.Clock
}

// AfterFunc implements vswitch.Clock.
func (c turnClock) AfterFunc(d time.Duration, f func()) vswitch.Timer {
	t := &turnTimer{c: c, f: f}
	t.Reset(d)
	return t
}

// turnTimer is a timer that never calls after it was stopped: a call that waits for its
// turn while that happens is none.
type turnTimer struct {
	c       turnClock
	f       func()
	pending vswitch.Timer // nil: none
}

// Stop implements vswitch.Timer.
func (t *turnTimer) Stop() bool {
	was := t.pending != nil
	if was {
		t.pending.Stop()
		t.pending = nil
	}
	return was
}

// Reset implements vswitch.Timer.
func (t *turnTimer) Reset(d time.Duration) bool {
	was := t.Stop()
	var mine vswitch.Timer
	mine = t.c.Clock.AfterFunc(d, func() {
		if !t.c.e.enter() {
			return
		}
		defer t.c.e.leave()
		if t.pending == mine {
			t.pending = nil
			t.f()
		}
	})
	t.pending = mine
	return was
}
