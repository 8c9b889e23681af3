package vswitch

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"
)

const (
	// What connections in mid-close get of virtual time after the last client
	// application has returned: lastWords while what they sent, or their FIN, is
	// not acknowledged, so that a few retransmissions are possible, and lingering
	// while they only wait for the peer's FIN.
	lastWords = time.Minute
	lingering = time.Second
	// maxStepsPerInstant bounds what may happen without the clock moving.
	maxStepsPerInstant = 8 << 20
	// maxLastCalls bounds the calls that applications make once the run is over.
	maxLastCalls = 1 << 20
	// longJump is the smallest jump of the clock before which the loop looks for
	// goroutines that sleep in real time.
	longJump = 100 * time.Millisecond
)

// Run runs the world: it calls main and the functions given to [World.Go] and
// [World.Background] on goroutines of their own, moves frames and the clock, and
// returns when main and all client applications have returned, nothing is due any
// more, no frame is in flight and no connection is in mid-close: for those whose
// last bytes are not acknowledged it goes on for at most a virtual minute, and for
// those that wait for the peer's FIN only, a second; see [Stats].CutOff. Then every
// parked call returns net.ErrClosed, in order.
//
// While a world in virtual time runs, the process has GOMAXPROCS 1 and no automatic
// garbage collection; both are restored. Such worlds of one process run one after the
// other. In real time connections in mid-close get 3 s and 1 s of real time.
//
// The error joins what main, the applications, the recorder and the harness
// itself report; see [IsHarnessError]. A world runs once.
func (w *World) Run(ctx context.Context, main func(context.Context) error) error {
	switch {
	case main == nil:
		return errors.New("World.Run: main is nil")
	case !w.cfg.RealTime && inBubble():
		return errors.New("World.Run: called in a bubble of testing/synctest, whose clock stands still for as long as the world runs: call it outside, the world has a clock of its own")
	case ctx.Value(insideKey{}) != nil:
		return errors.New("World.Run: called by an application of a world that runs, which it would wait for")
	}
	if w.cfg.RealTime {
		return w.runLive(ctx, main)
	}
	restore, err := seize(ctx)
	if err != nil {
		return err
	}
	defer restore()

	appCtx, cancel := context.WithCancel(context.WithValue(ctx, insideKey{}, w))
	defer cancel()
	w.mu.Lock()
	if w.phase != idle {
		w.mu.Unlock()
		return errors.New("World.Run: a world runs only once")
	}
	w.phase = running
	w.loopID = goroutineID()
	w.ctx = appCtx
	apps := append([]*application{{name: "main", fn: main, client: true}}, w.apps...)
	w.apps = apps
	w.mu.Unlock()
	defer w.end() // also when a rule or a recorder panics

	began := time.Now()
	w.settler.start(ctx, began.Add(w.cfg.WallLimit))
	w.watch.start(&w.settler.buf)
	w.settler.older = w.watch.before
	harness := w.launchAll(apps)
	if harness == nil {
		harness = w.loop(ctx)
	}
	ended := w.nowNanos()
	w.cut = harness
	portsErr := w.closePorts()
	if errors.Is(harness, portsErr) { // a recorder's error, said once
		portsErr = nil
	}
	closeErr := w.shutdown(cancel)
	w.stats.Virtual = time.Duration(ended - w.start)
	w.stats.Wall = time.Since(began)
	return w.verdict(harness, portsErr, closeErr)
}

// insideKey marks the contexts of applications.
type insideKey struct{}

// end closes the world to calls. Calls are left only where shutdown failed, as
// when a goroutine is busy for good; their callers are let go all the same.
func (w *World) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.phase = closed
	if w.cfg.RealTime {
		return // ended tells them
	}
	for op := range w.waiting {
		w.finish(op, errClosed)
	}
}

// launchAll starts applications one by one, so that what they do before their
// first blocking call happens in their order.
func (w *World) launchAll(apps []*application) error {
	for _, a := range apps {
		w.mu.Lock()
		w.launch(a)
		w.mu.Unlock()
		if err := w.settler.settle(); err != nil {
			return w.explain(err)
		}
	}
	return nil
}

// verdict joins the errors of a run. Applications that failed because the
// harness did are not blamed for it.
func (w *World) verdict(harness error, more ...error) error {
	w.mu.Lock() // an application that did not return may yet
	defer w.mu.Unlock()
	errs := []error{harness}
	for _, a := range w.apps {
		switch {
		case !a.done || a.err == nil:
		case errors.Is(a.err, errClosed) && (harness != nil || !a.client):
		case errors.Is(a.err, context.Canceled) && harness != nil:
		case a.name == "main":
			errs = append(errs, a.err)
		default:
			errs = append(errs, fmt.Errorf("%s: %w", a.name, a.err))
		}
	}
	return errors.Join(append(errs, more...)...)
}

// loop is the life of the world, until nothing is left to do.
func (w *World) loop(ctx context.Context) error {
	for {
		if err := w.settler.settle(); err != nil {
			return w.explain(err)
		}
		if err := w.take(); err != nil {
			return err
		}
		if err := w.checkLimits(ctx); err != nil {
			return err
		}
		if op := w.nextReady(); op != nil {
			w.step()
			w.try(op)
			if err := w.collectGarbage(); err != nil {
				return w.explain(err)
			}
			continue
		}
		if w.over == never && w.clientsDone() {
			w.over = w.nowNanos()
		}
		ev := w.nextEvent(true)
		if w.over != never && !w.unfinished(ev) {
			return w.watch.probe(w)
		}
		if ev == nil {
			return w.deadlock()
		}
		if err := w.watch.glance(w); err != nil {
			return err
		}
		if jump := time.Duration(ev.at - w.nowNanos()); jump > 0 {
			if err := w.mayJump(jump); err != nil {
				return err
			}
			if ev.at-w.start > int64(w.cfg.Limit) {
				w.now.Store(w.start + int64(w.cfg.Limit))
				return w.explain(fmt.Errorf("%w: %v of virtual time", ErrLimit, w.cfg.Limit))
			}
			w.now.Store(ev.at)
			w.steps = 0
		}
		w.step()
		ev = w.nextEvent(false)
		if ev.port == nil {
			ev.fire()
		} else if err := w.arrive(ev); err != nil {
			return err
		}
		if err := w.collectGarbage(); err != nil {
			return w.explain(err)
		}
	}
}

func (w *World) step() {
	w.stats.Events++
	w.steps++
}

// try executes one call, if it can proceed.
func (w *World) try(op *Op) {
	if op.Try() {
		w.mu.Lock()
		w.finish(op, nil)
		w.mu.Unlock()
	}
}

// unfinished reports whether, after all clients have returned, the run has to go
// on to the next event: because something is due now, because frames are in
// flight that were sent until shortly after, or, for a while, because connections
// are in mid-close. Those that the end of the run cuts off are counted.
func (w *World) unfinished(next *event) bool {
	if next != nil && (next.at <= w.over || next.at <= w.lastArrival) {
		return true
	}
	all := w.midClosing()
	if next != nil && next.at-w.start <= int64(w.cfg.Limit) {
		left := next.at - w.over
		w.closing = all.Unacknowledged > 0
		if all.Unacknowledged > 0 && left <= int64(lastWords) || all.Waiting > 0 && left <= int64(lingering) {
			return true
		}
	}
	w.stats.CutOff = uint64(all.Unacknowledged)
	return false
}

// checkLimits ends a run whose context is done or whose time is up.
func (w *World) checkLimits(ctx context.Context) error {
	if w.steps > maxStepsPerInstant {
		return w.explain(fmt.Errorf("%w: %d events at one instant", ErrStuck, w.steps))
	}
	// An application may cancel its own run: what would come after is not to happen.
	if ctx.Err() != nil {
		return w.explain(context.Cause(ctx))
	}
	if w.stats.Events%64 != 0 { // the wall clock takes longer to read
		return nil
	}
	if err := w.watch.alone(w); err != nil {
		return err
	}
	if err := w.overdue(ctx); err != nil {
		return w.explain(err)
	}
	return nil
}

// overdue is the error of a run that is to end by now.
func (w *World) overdue(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if time.Now().After(w.settler.deadline) {
		return fmt.Errorf("%w: %v of wall time", ErrLimit, w.cfg.WallLimit)
	}
	return nil
}

// mayJump makes sure that nobody waits in real time for what the jump passes over.
func (w *World) mayJump(d time.Duration) error {
	if err := w.watch.probeSometimes(w); err != nil {
		return err
	}
	if d > longJump {
		return w.watch.sleepers(w)
	}
	return nil
}

// deadlock is the error of a world in which nothing will happen any more.
func (w *World) deadlock() error {
	if err := w.watch.sleepers(w); err != nil {
		return err
	}
	if err := w.watch.probe(w); err != nil {
		return err
	}
	if w.stirred() {
		return w.explain(fmt.Errorf("%w: while nothing was to come, something outside the world woke a goroutine, such as a signal, the end of a process, a timer of package time or a goroutine older than the run", ErrRealTime))
	}
	err := fmt.Errorf("%w: nothing is to come and applications wait", ErrDeadlock)
	if outside := w.watch.outside(); outside != "" {
		err = fmt.Errorf("%w; outside the network: %s (if what is waited for there is a timer of package time, or a goroutine older than the run, that is real time: %s)", err, outside, instead)
	}
	return w.explain(err)
}

// stirred reports whether, although nothing was to come, something has.
func (w *World) stirred() bool {
	done := w.clientsDone()
	w.mu.Lock()
	defer w.mu.Unlock()
	return done || len(w.ready) > 0 || len(w.dirty) > 0 || w.events.len() > 0
}

// explain adds to an error when it came and who waits on what.
func (w *World) explain(err error) error {
	var names []string
	w.mu.Lock()
	for _, a := range w.apps {
		if a.client && !a.done {
			names = append(names, a.name)
		}
	}
	w.mu.Unlock()
	at := time.Duration(w.nowNanos() - w.start)
	msg := fmt.Sprintf("at %v", at)
	if len(names) > 0 {
		msg += "; not finished: " + someOf(names)
	}
	if s := w.waiters(); s != "" {
		msg += "; " + s
	}
	return fmt.Errorf("%w (%s)", err, msg)
}

// shutdown gives every parked call its error, in order, until all applications
// have returned. Closes are executed.
func (w *World) shutdown(cancel func()) error {
	w.mu.Lock()
	w.phase = closing
	w.mu.Unlock()
	cancel()
	// A run that was cancelled or whose time is up still has to be cleaned up. The
	// signal that cancelled it woke a goroutine that the baseline counts, and
	// lowered it: take it anew.
	w.settler.start(context.WithoutCancel(w.settler.ctx), time.Now().Add(5*time.Second))
	for i := range maxLastCalls {
		if err := w.settler.settle(); err != nil {
			return err
		}
		if i%collect == collect-1 {
			runtime.GC()
		}
		op := w.nextWaiting()
		if op == nil {
			return w.unreturned()
		}
		err := errClosed
		if op.Kind == OpClose && op.Try() {
			err = nil
		}
		w.mu.Lock()
		w.finish(op, err)
		w.mu.Unlock()
	}
	return fmt.Errorf("%w: applications keep calling after the end of the run (%s)", ErrStuck, w.waiters())
}

// nextWaiting returns the first of all parked calls in the world's order, or nil.
func (w *World) nextWaiting() *Op {
	w.mu.Lock()
	defer w.mu.Unlock()
	for op := range w.waiting {
		if op.index < 0 {
			heap.Push(&w.ready, op)
		}
	}
	if len(w.ready) == 0 {
		return nil
	}
	return w.ready[0]
}

// unreturned is the error of applications that did not return although none of
// their calls is parked any more.
func (w *World) unreturned() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for _, a := range w.apps {
		if !a.done {
			names = append(names, a.name)
		}
	}
	if names == nil {
		return nil
	}
	return fmt.Errorf("%w: the run is over and %s did not return; outside the network: %s",
		ErrStuck, someOf(names), w.watch.outside())
}

// someOf lists the first few names and counts the others.
func someOf(names []string) string {
	const most = 5
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}
