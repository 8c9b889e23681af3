package vswitch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of a [Config].
const (
	DefaultLimit     = time.Hour
	DefaultWallLimit = time.Minute
)

// DefaultStart is the instant at which a world's clock starts.
var DefaultStart = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// Config describes a world.
type Config struct {
	// Seed is where all randomness of the world comes from.
	Seed uint64
	// RealTime makes a world whose clock is the machine's; see the package comment.
	// What rules decide still depends on the seed and the frames only.
	RealTime bool
	// Start is the instant at which a virtual clock starts. Default DefaultStart.
	Start time.Time
	// Limit ends a run with an error after so much virtual time. Default DefaultLimit.
	Limit time.Duration
	// WallLimit ends a run with an error after so much real time. Default
	// DefaultWallLimit; none in a world in real time.
	WallLimit time.Duration
}

type phase uint8

const (
	idle    phase = iota // before Run
	running              // applications run
	closing              // the run is over, parked calls get their error
	closed
)

// World is a set of switches and nodes that share a virtual clock and an order
// of everything. Make it, make its switches and hosts, call [World.Run] once,
// and [World.Close] it.
type World struct {
	cfg   Config
	start int64        // ns since 1970
	now   atomic.Int64 // in virtual time
	began time.Time    // in real time: when the clock stood at start

	frames atomic.Uint64 // that entered switches

	mu       sync.Mutex // guards what goroutines other than the loop may touch
	phase    phase
	switches []*Switch
	nodes    []*Node
	byName   map[string]*Node
	nports   int
	events   eventQueue
	ready    opQueue
	waiting  map[*Op]struct{}
	arrivals uint64
	dirty    []*Port // with frames to take or to be closed
	apps     []*application
	ctx      context.Context
	free     [len(bufferSizes)][][]byte // by size
	freeEv   []*event
	changer  *Node  // whose calls are changes of rules and cables; before all other nodes
	loopID   string // of the goroutine that runs the loop; set before phase is running

	// Of a world in real time.
	ended    chan struct{} // closed when the run is over
	returned chan struct{} // an application has returned
	cancel   context.CancelCauseFunc
	failure  error // the first that ends the run
	pumps    sync.WaitGroup

	// The loop's.
	spare   []*Port // the next dirty, so that none is allocated
	stats   Stats
	settler settler
	heap    [2]metrics.Sample // what lies on it, garbage included; what was in use at the last collection
	watch   realTimeWatch
	steps   uint64 // since the clock last moved
	over    int64  // when the last client returned, or never
	cut     error  // why the run ended before its time
	closing bool   // the run goes on after that for unacknowledged last bytes
	// lastArrival is the latest arrival of a frame that was sent while clients
	// ran or shortly after.
	lastArrival int64
	// What is on its way: frames and copies, and what their buffers hold.
	inFlight, inFlightBytes int
}

const never = -1 << 63

// Stats is what a world did.
type Stats struct {
	Frames    uint64        // frames that entered switches
	Events    uint64        // deliveries, timers and calls executed
	Virtual   time.Duration // how far the clock went
	Wall      time.Duration // how long the run took
	Unordered uint64        // calls whose order only the Go scheduler decided
	CutOff    uint64        // closed connections whose last bytes the end of the run left unacknowledged
}

// Errors of [World.Run]. Compare with [errors.Is].
var (
	// ErrDeadlock: applications wait for each other and nothing is to come.
	ErrDeadlock = errors.New("deadlock")
	// ErrLimit: the virtual or the wall time limit has passed, or too many frames
	// are in flight.
	ErrLimit = errors.New("limit passed")
	// ErrStuck: goroutines do not come to rest, or the clock does not move.
	ErrStuck = errors.New("the world does not settle")
	// ErrRealTime: an application waits in real time.
	ErrRealTime = errors.New("real time in a virtual world")
	// ErrStopped is no error of a run but a way to end one in real time that would go on
	// for ever: it ends at once, and in its time, when its context is cancelled with this
	// cause (context.WithCancelCause).
	ErrStopped = errors.New("stopped")
)

// IsHarnessError reports whether err is a failure of the run as such (one of the
// errors above, or ErrVerdict) rather than of an application in it.
func IsHarnessError(err error) bool {
	return errors.Is(err, ErrDeadlock) || errors.Is(err, ErrLimit) || errors.Is(err, ErrStuck) ||
		errors.Is(err, ErrRealTime) || errors.Is(err, ErrVerdict)
}

// NewWorld returns a world, in virtual time unless told otherwise.
func NewWorld(cfg Config) *World {
	began := time.Now()
	switch {
	case cfg.RealTime:
		cfg.Start = began
	case cfg.Start.IsZero():
		cfg.Start = DefaultStart
	}
	cfg.Start = cfg.Start.UTC().Round(0)
	if cfg.Limit <= 0 {
		cfg.Limit = DefaultLimit
	}
	if cfg.WallLimit <= 0 && !cfg.RealTime {
		cfg.WallLimit = DefaultWallLimit
	}
	w := &World{
		cfg: cfg, start: cfg.Start.UnixNano(), began: began,
		byName: map[string]*Node{}, waiting: map[*Op]struct{}{}, over: never, lastArrival: never,
		ended: make(chan struct{}), returned: make(chan struct{}, 1),
	}
	w.heap[0].Name, w.heap[1].Name = "/memory/classes/heap/objects:bytes", "/gc/heap/live:bytes"
	w.changer = &Node{w: w, name: "changes", number: -1}
	w.now.Store(w.start)
	return w
}

// Seed returns the world's seed.
func (w *World) Seed() uint64 { return w.cfg.Seed }

// Start returns the instant at which the clock started.
func (w *World) Start() time.Time { return w.cfg.Start }

// Now returns the current instant of the world's clock, in UTC.
func (w *World) Now() time.Time { return time.Unix(0, w.nowNanos()).UTC() }

// nowNanos is Now in ns since 1970. In real time it never goes back: the machine's
// clock is read once, and what has passed since is monotonic.
func (w *World) nowNanos() int64 {
	if w.cfg.RealTime {
		return w.start + int64(time.Since(w.began))
	}
	return w.now.Load()
}

// instant returns the instant d from now; the past is now, and the far future
// saturates.
func (w *World) instant(d time.Duration) int64 {
	now := w.nowNanos()
	if d <= 0 {
		return now
	}
	if at := now + int64(d); at > now {
		return at
	}
	return 1<<63 - 1
}

// Lookup returns the node with the given name.
func (w *World) Lookup(name string) (*Node, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, ok := w.byName[name]
	return n, ok
}

// Stats returns what the world did so far. Call it when the world is not running.
func (w *World) Stats() Stats {
	st := w.stats
	st.Frames = w.frames.Load()
	return st
}

// application is a function that runs on a goroutine of its own in the world.
type application struct {
	name   string
	fn     func(context.Context) error
	client bool // the run waits for it
	done   bool
	err    error
}

// Go adds a client application: the run ends when main and all of these have
// returned. Its error becomes part of the run's. The context is cancelled when
// the run ends, and carries the name as its key of [WithOrder]. Before Run the
// function waits for it; during the run it starts at once.
func (w *World) Go(name string, fn func(context.Context) error) { w.add(name, fn, true) }

// Background adds a server application: the run does not wait for it; when the
// run ends, its parked calls return net.ErrClosed and it should return. It
// returning net.ErrClosed then is no error.
func (w *World) Background(name string, fn func(context.Context) error) { w.add(name, fn, false) }

func (w *World) add(name string, fn func(context.Context) error, client bool) {
	if fn == nil {
		panic(fmt.Sprintf("vswitch: application %q is nil", name))
	}
	a := &application{name: name, fn: fn, client: client}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apps = append(w.apps, a)
	switch w.phase {
	case running:
		w.launch(a)
	case closing, closed:
		a.done, a.err = true, fmt.Errorf("application %s: %w", name, errClosed)
	}
}

// launch starts an application's goroutine. w.mu is held.
func (w *World) launch(a *application) {
	ctx := WithOrder(w.ctx, a.name)
	go func() {
		err := errors.New("it ended by runtime.Goexit, as t.Fatal does: return an error instead")
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			a.done, a.err = true, err
			select {
			case w.returned <- struct{}{}:
			default:
			}
		}()
		err = a.fn(ctx)
	}()
}

// markDirty notes that the loop has to look at p. w.mu is held.
func (w *World) markDirty(p *Port) {
	if !p.dirty {
		p.dirty = true
		w.dirty = append(w.dirty, p)
	}
}

// bufferSizes are the capacities of pooled frame buffers: of frames without data, of
// which a storm of broadcasts has millions in flight, and of others. Longer frames are
// rare and not pooled.
var bufferSizes = [...]int{128, 2048}

// buffer returns an empty buffer with room for n bytes. w.mu is held.
func (w *World) buffer(n int) []byte {
	for i, size := range bufferSizes {
		if n > size {
			continue
		}
		free := w.free[i]
		if k := len(free); k > 0 {
			w.free[i] = free[:k-1]
			return free[k-1]
		}
		return make([]byte, 0, size)
	}
	return make([]byte, 0, n)
}

// release takes a buffer back. w.mu is held.
func (w *World) release(b []byte) {
	for i, size := range bufferSizes {
		if cap(b) == size {
			w.free[i] = append(w.free[i], b[:0])
		}
	}
}

// newDelivery returns an event to be filled in. w.mu is held.
func (w *World) newDelivery() *event {
	if k := len(w.freeEv); k > 0 {
		ev := w.freeEv[k-1]
		w.freeEv = w.freeEv[:k-1]
		return ev
	}
	return new(event)
}

func (w *World) freeDelivery(ev *event) { w.freeEv = append(w.freeEv, ev) }

// Close ends the world: it must not be running. Ports are closed and every node
// is told, in order. Nothing of the world is left running afterwards. It returns
// the first error of a recorder, and may be called more than once.
func (w *World) Close() error {
	w.mu.Lock()
	if w.phase == running || w.phase == closing {
		w.mu.Unlock()
		return errors.New("World.Close: the world is running")
	}
	if w.phase == idle {
		close(w.ended)
	}
	w.phase = closed // nothing new comes from now on, not even Run
	var tell []func()
	for _, n := range w.nodes {
		if n.onClose != nil {
			tell = append(tell, n.onClose)
		}
	}
	w.nodes = nil
	w.mu.Unlock()
	err := w.closePorts()
	for _, onClose := range tell {
		onClose()
	}
	return errors.Join(err, w.awaitPumps())
}

// closePorts closes all ports in order of their numbers.
func (w *World) closePorts() error {
	w.mu.Lock()
	switches := w.switches
	var ports []*Port
	for _, s := range switches {
		ports = append(ports, s.Ports()...)
	}
	w.mu.Unlock()
	stopLanding := func() { // what is on its way arrives nowhere
		for _, s := range switches {
			s.stopLanding()
		}
	}
	stopLanding() // at once, and not port by port
	defer stopLanding()
	slices.SortFunc(ports, func(a, b *Port) int { return a.number - b.number })
	var first error
	for _, p := range ports {
		if err := p.sw.closePort(p); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// take brings what ports were given into the switches, in port order.
func (w *World) take() error {
	w.mu.Lock()
	dirty := w.dirty
	if len(dirty) == 0 {
		w.mu.Unlock()
		return nil
	}
	w.dirty, w.spare = w.spare, nil
	w.mu.Unlock()
	slices.SortFunc(dirty, func(a, b *Port) int { return a.number - b.number })
	for _, p := range dirty {
		w.mu.Lock()
		p.dirty = false
		frames, shut := p.outbox, p.closing
		p.outbox = nil
		w.mu.Unlock()
		for _, data := range frames {
			if err := p.sw.enter(p, data, w.nowNanos()); err != nil {
				return err
			}
		}
		w.mu.Lock()
		if p.outbox == nil {
			clear(frames)
			p.outbox = frames[:0]
		}
		w.mu.Unlock()
		if shut {
			if err := p.sw.closePort(p); err != nil {
				return err
			}
		}
	}
	w.spare = dirty[:0]
	return nil
}

// nextEvent takes the next event off the queue, or returns nil; peek leaves it there.
func (w *World) nextEvent(peek bool) *event {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.events.len() == 0 {
		return nil
	}
	if peek {
		return w.events.first()
	}
	return w.events.pop()
}

// clientsDone reports whether main and all client applications have returned.
func (w *World) clientsDone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.apps {
		if a.client && !a.done {
			return false
		}
	}
	return true
}

// collect is how many events pass between two looks at how much garbage there is; a
// collection in between, on its own, would reorder goroutines.
const collect = 16384

// littleGarbage is what may lie about, in bytes, however little the world holds.
const littleGarbage = 32 << 20

// collectGarbage collects, now and then, when there is as much garbage as what is in use, as
// the collector does by default: so that what a collection costs stays in proportion.
// When that is does not enter into the run.
func (w *World) collectGarbage() error {
	if w.stats.Events%collect != 0 {
		return nil
	}
	metrics.Read(w.heap[:])
	live := w.heap[1].Value.Uint64()
	if w.heap[0].Value.Uint64() < live+max(live, littleGarbage) {
		return nil
	}
	runtime.GC()
	w.settler.suspect = true // others may have run meanwhile
	return w.settler.settle()
}
