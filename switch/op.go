package vswitch

import (
	"cmp"
	"container/heap"
	"fmt"
	"net"
	"sort"
	"strings"
	"time"
)

// errClosed is what calls get when the world does not run (any more).
var errClosed = net.ErrClosed

// OpKind is the kind of a blocking call; calls of one object that can proceed at
// the same time are executed in the order of the kinds.
type OpKind uint8

// The kinds, in order.
const (
	OpAccept OpKind = iota
	OpDial
	OpRead
	OpWrite
	OpClose
	OpSleep
)

var opNames = [...]string{"accept", "dial", "read", "write", "close", "sleep"}

// String returns the kind's word.
func (k OpKind) String() string { return opNames[k] }

// Op is one blocking call of application code. The calling goroutine parks in
// [Node.Do]; the world's loop executes calls one at a time when everything is
// settled, ordered by (node, Object, Kind, Key, arrival).
type Op struct {
	// Object is the number of the object called, from [Node.NextObject]; 0 for
	// calls on the node itself.
	Object uint64
	Kind   OpKind
	// Key orders calls that are alike in node, object and kind.
	Key string
	// What describes the call for people: "10.0.0.1:49152 > 10.0.0.2:80". It may
	// be nil; it is called by the loop, for error messages.
	What func() string
	// Try executes the call if it can proceed and reports whether it did. It is
	// called by the loop and must not block. After a false it is called again
	// once [Op.Wake] was called. In real time it is called on the goroutine that called
	// Do, at the same time as those of other calls, perhaps without having been woken.
	Try func() bool

	node    *Node
	arrival uint64
	since   int64
	index   int // in the ready heap; -1: parked
	active  bool
	done    chan error
}

// opQueue is the heap of calls that are to be tried, in the world's order.
type opQueue []*Op

func (a *Op) compare(b *Op) int {
	return cmp.Or(cmp.Compare(a.node.number, b.node.number), cmp.Compare(a.Object, b.Object),
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
}

func (q opQueue) Len() int { return len(q) }

func (q opQueue) Less(i, j int) bool {
	if c := q[i].compare(q[j]); c != 0 {
		return c < 0
	}
	return q[i].arrival < q[j].arrival
}

func (q opQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *opQueue) Push(x any) {
	op := x.(*Op)
	op.index = len(*q)
	*q = append(*q, op)
}

func (q *opQueue) Pop() any {
	old := *q
	op := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	op.index = -1
	return op
}

// Do parks the calling goroutine until the loop has executed op. It returns nil
// when Try returned true, whatever the outcome of the call was, and an error
// that is [net.ErrClosed] when the world is not running or the run ended first.
// An Op may be used again when Do has returned.
//
// When the run is over, calls of kind OpClose are still executed.
func (n *Node) Do(op *Op) error {
	w := n.w
	w.mu.Lock()
	switch w.phase {
	case idle:
		if w.cfg.RealTime {
			break
		}
		w.mu.Unlock()
		return fmt.Errorf("the world is not running: call it from a function given to World.Run or World.Go: %w", errClosed)
	case closed:
		w.mu.Unlock()
		return fmt.Errorf("the world's run is over: %w", errClosed)
	}
	if w.cfg.RealTime {
		w.mu.Unlock()
		return n.doLive(op)
	}
	if op.done == nil {
		op.done = make(chan error, 1)
	}
	w.arrivals++
	op.node, op.arrival, op.since, op.active = n, w.arrivals, w.nowNanos(), true
	w.waiting[op] = struct{}{}
	heap.Push(&w.ready, op)
	w.mu.Unlock()
	return <-op.done
}

// DoEarly is [Node.Do], but executes op at once on the caller's goroutine when the
// world does not run yet. It is for calls that set a world up, such as Listen;
// Try must then return true at the first call.
func (n *Node) DoEarly(op *Op) error {
	n.w.mu.Lock()
	early := n.w.phase == idle && !n.w.cfg.RealTime
	n.w.mu.Unlock()
	if !early {
		return n.Do(op)
	}
	op.node, op.index = n, -1
	if !op.Try() {
		return fmt.Errorf("%s before the world runs: %w", op.Kind, errClosed)
	}
	return nil
}

// Wake asks the loop to try op again. It does nothing if op is not waiting. It
// may be called from anywhere, also from within Try of another call.
func (n *Node) Wake(op *Op) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	switch {
	case !op.active:
	case n.w.cfg.RealTime:
		select {
		case op.done <- nil:
		default: // it is going to try anyway
		}
	case op.index < 0:
		heap.Push(&n.w.ready, op)
	}
}

// finish ends a call. w.mu is held.
func (w *World) finish(op *Op, err error) {
	if op.index >= 0 {
		heap.Remove(&w.ready, op.index)
	}
	op.active = false
	delete(w.waiting, op)
	op.done <- err
}

// nextReady takes the next call to try off the queue, or returns nil.
func (w *World) nextReady() *Op {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.ready) == 0 {
		return nil
	}
	op := heap.Pop(&w.ready).(*Op)
	if len(w.ready) > 0 && op.compare(w.ready[0]) == 0 {
		w.stats.Unordered++
	}
	return op
}

// waiters lists the calls that wait, in order, a clause each.
func (w *World) waiters() string {
	w.mu.Lock()
	ops := make(opQueue, 0, len(w.waiting))
	for op := range w.waiting {
		copied := *op // in real time its call may return meanwhile, and use it again
		ops = append(ops, &copied)
	}
	w.mu.Unlock()
	sort.Slice(ops, func(i, j int) bool { return ops.Less(i, j) })
	const most = 10
	var s []string
	for i, op := range ops {
		if i == most {
			s = append(s, fmt.Sprintf("and %d more", len(ops)-most))
			break
		}
		what := ""
		if op.What != nil {
			what = " " + op.What()
		}
		s = append(s, fmt.Sprintf("%s waits in %s%s since %v", op.node.name, op.Kind, what, time.Duration(op.since-w.start)))
	}
	return strings.Join(s, "; ")
}
