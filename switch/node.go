package vswitch

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// Node is a party of the world, such as a host. Timers and blocking calls belong
// to a node; the number of the node, given in order of creation, places them in
// the world's order.
type Node struct {
	w      *World
	name   string
	number int
	addrs  []netip.Addr  // guarded by w.mu
	seq    [3]uint64     // per class, guarded by w.mu
	object atomic.Uint64 // last object number given out

	midClose func() MidClose // both guarded by w.mu
	onClose  func()
}

// NewNode adds a party to the world. Names are not empty and unique in a world.
func (w *World) NewNode(name string) (*Node, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase >= closing {
		return nil, fmt.Errorf("node %q: %w", name, errClosed)
	}
	if !validName(name) {
		return nil, fmt.Errorf("name %q: want letters, digits, and _ . - inside", name)
	}
	if _, dup := w.byName[name]; dup {
		return nil, fmt.Errorf("node %q: the name is taken", name)
	}
	n := &Node{w: w, name: name, number: len(w.nodes)}
	w.nodes = append(w.nodes, n)
	w.byName[name] = n
	return n, nil
}

// validName: a letter or digit, then letters, digits, and "_.-". Names stand in
// rules and in recordings without quotes.
func validName(s string) bool {
	for i, r := range []byte(s) {
		alnum := '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !alnum && (i == 0 || r != '_' && r != '.' && r != '-') {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// Name returns the node's name.
func (n *Node) Name() string { return n.name }

// World returns the world the node is in.
func (n *Node) World() *World { return n.w }

// SetAddrs tells the world which addresses the node's name stands for, the
// preferred first.
func (n *Node) SetAddrs(addrs []netip.Addr) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.addrs = append([]netip.Addr(nil), addrs...)
}

// Addrs returns the addresses set by [Node.SetAddrs].
func (n *Node) Addrs() []netip.Addr {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	return append([]netip.Addr(nil), n.addrs...)
}

// NextObject returns a number for a new object of the node (a connection, a
// listener), from 1. Call it from [Op.Try] or before the run: numbers given out
// there do not depend on the Go scheduler.
func (n *Node) NextObject() uint64 {
	return n.object.Add(1)
}

// MidClose counts connections that an application has closed and that are not
// closed yet.
type MidClose struct {
	Unacknowledged int // of which bytes, or the FIN, are not acknowledged by the peer
	Waiting        int // that wait for the peer's FIN only
}

// OnMidClose sets the function that the world asks, at settled points after all
// client applications have returned, for the node's connections in mid-close:
// the run goes on for them for a while.
func (n *Node) OnMidClose(f func() MidClose) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.midClose = f
}

// midClosing asks all nodes.
func (w *World) midClosing() (all MidClose) {
	var asks []func() MidClose
	w.mu.Lock()
	for _, n := range w.nodes {
		if n.midClose != nil {
			asks = append(asks, n.midClose)
		}
	}
	w.mu.Unlock()
	for _, ask := range asks {
		m := ask()
		all.Unacknowledged += m.Unacknowledged
		all.Waiting += m.Waiting
	}
	return all
}

// OnClose sets what [World.Close] calls for the node, nodes in order of creation.
func (n *Node) OnClose(f func()) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.onClose = f
}

// Clock is a source of time.
type Clock interface {
	// Now returns the current instant, in UTC and without a monotonic reading.
	Now() time.Time
	// AfterFunc arranges for f to be called once, d from now (at once, but never
	// within AfterFunc, when d is not positive). In virtual time f is called by
	// the world's loop, with everything settled, and must not block. In real time it
	// is called on a goroutine of its own.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a call that a [Clock] has been asked for.
type Timer interface {
	// Stop cancels the call and reports whether it had still been pending.
	Stop() bool
	// Reset makes the call happen d from now, whether or not it had been pending
	// or had happened, and reports whether it had been pending.
	Reset(d time.Duration) bool
}

// StackClock returns the clock for the node's network stack.
func (n *Node) StackClock() Clock { return nodeClock{n, classStack, 0} }

// AppClock returns the clock for timers that an application asked for on one of
// the node's objects; object is 0 for those of the node itself. At one instant
// these come after all timers of stacks, in order of nodes and objects.
func (n *Node) AppClock(object uint64) Clock { return nodeClock{n, classApp, object} }

type nodeClock struct {
	n      *Node
	class  class
	object uint64
}

func (c nodeClock) Now() time.Time { return c.n.w.Now() }

func (c nodeClock) AfterFunc(d time.Duration, f func()) Timer {
	if c.n.w.cfg.RealTime {
		return liveTimer{time.AfterFunc(d, f)}
	}
	t := &timer{n: c.n}
	t.ev = event{class: c.class, owner: c.n.number, object: c.object, index: -1, fire: f}
	t.Reset(d)
	return t
}

type timer struct {
	n  *Node
	ev event
}

func (t *timer) Stop() bool {
	w := t.n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.ev.index < 0 {
		return false
	}
	w.events.remove(&t.ev)
	return true
}

func (t *timer) Reset(d time.Duration) bool {
	w := t.n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	pending := t.ev.index >= 0
	t.ev.at = w.instant(d)
	t.n.seq[t.ev.class]++
	t.ev.seq = t.n.seq[t.ev.class]
	if pending {
		w.events.fix(&t.ev)
	} else {
		w.events.push(&t.ev)
	}
	return pending
}
