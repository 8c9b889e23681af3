package vnetif

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// RawConfig describes a raw interface.
type RawConfig struct {
	// Port is the interface's port and cable. Its name is also the interface's
	// name in the world.
	Port vswitch.PortConfig
	// Monitor, if not nil, is shown every frame the interface sends (when it is
	// handed over) and receives (before the listener), one at a time. It must not
	// block, change or keep the frame.
	Monitor func(dir Direction, at time.Time, frame []byte)
	// Flush makes Disconnect wait for a call of the listener or of Monitor that is
	// under way on another goroutine, as there can be in real time. They must not call
	// Disconnect themselves then.
	Flush bool
}

// Direction says which way a frame went, as seen from the interface.
type Direction int

// The directions.
const (
	Received Direction = iota
	Transmitted
)

// Raw is a virtual network interface without a stack: Ethernet frames in and
// out. It offers what mirage-vnetif's Vnetif offers in OCaml.
type Raw struct {
	world   *vswitch.World
	port    Port
	node    *vswitch.Node
	monitor func(Direction, time.Time, []byte)
	flush   bool

	watching sync.Mutex // one call of monitor at a time

	mu       sync.Mutex
	listener func([]byte)
	queue    [][]byte
	emptying bool      // SetListen hands over what is in the queue
	room     sync.Cond // in the queue, for Deliver in real time
	underWay int       // calls of Deliver, and of SetListen that empty the queue
	idle     sync.Cond // there are none
	reading  []*vswitch.Op
	closed   bool
	stats    RawStats
}

// RawStats are an interface's counters since it was made or they were reset.
// Bytes count Ethernet headers.
type RawStats struct {
	RxFrames, RxBytes uint64
	TxFrames, TxBytes uint64
	// RxOverflow counts frames dropped because nobody listened and ReadFrame's
	// queue was full. In real time the port waits instead; see
	// vswitch.PortConfig.Patience.
	RxOverflow uint64
}

// rawQueue is how many received frames wait for ReadFrame.
const rawQueue = 1024

// NewRaw puts a raw interface on a switch, or on another [Backend]. Its frames wait in a
// queue for [Raw.ReadFrame] until [Raw.SetListen] names a listener.
func NewRaw[P Port](on Backend[P], cfg RawConfig) (*Raw, error) {
	r := &Raw{world: on.World(), monitor: cfg.Monitor, flush: cfg.Flush}
	r.room.L, r.idle.L = &r.mu, &r.mu
	port, err := on.Connect(cfg.Port, r)
	if err != nil {
		return nil, fmt.Errorf("raw interface: %w", err)
	}
	r.port = port
	if r.node, err = r.world.NewNode(port.Name()); err != nil {
		port.Close()
		return nil, fmt.Errorf("raw interface: %w", err)
	}
	r.node.OnClose(r.shut)
	return r, nil
}

// Port returns the interface's port, or nil if it is on a backend that is no switch.
func (r *Raw) Port() *vswitch.Port {
	p, _ := r.port.(*vswitch.Port)
	return p
}

// MAC returns the interface's address.
func (r *Raw) MAC() vswitch.MAC { return r.port.MAC() }

// MTU returns the largest payload after the Ethernet header, in bytes.
func (r *Raw) MTU() int { return r.port.MTU() }

// Write sends a frame of at most size bytes, Ethernet header included: fill is
// called once with a zeroed buffer of that size and returns how many bytes the
// frame has. The errors are those of [vswitch.Port.Send]; it does not block.
func (r *Raw) Write(size int, fill func(frame []byte) int) error {
	if limit := r.MTU() + vswitch.HeaderLen; size > limit {
		return &vswitch.SizeError{Port: r.port.Name(), Len: size, MTU: r.MTU()}
	}
	size = max(size, 0)
	buf := make([]byte, size)
	n := fill(buf)
	if n < 0 || n > size {
		return fmt.Errorf("port %s: fill returned %d for a buffer of %d bytes", r.port.Name(), n, size)
	}
	return r.WriteFrame(buf[:n])
}

// WriteFrame sends one frame, Ethernet header included. It copies the frame and
// does not block. The errors are those of [vswitch.Port.Send].
func (r *Raw) WriteFrame(frame []byte) error {
	if err := r.port.Send(frame); err != nil {
		return err
	}
	r.watch(Transmitted, frame)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.TxFrames++
	r.stats.TxBytes += uint64(len(frame))
	return nil
}

// watch shows a frame to the monitor.
func (r *Raw) watch(dir Direction, frame []byte) {
	if r.monitor == nil {
		return
	}
	r.watching.Lock()
	defer r.watching.Unlock()
	r.monitor(dir, r.world.Now(), frame)
}

// SetListen has f called by the world's loop (in real time: on the port's goroutine) for
// every frame from now on, those waiting for ReadFrame first; nil stops it, but for a
// call that may be under way. f may change the frame, must not keep it and must not
// block; it may send.
func (r *Raw) SetListen(f func(frame []byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listener = f
	if r.emptying { // f itself, or somebody else at the same time, sets a listener: it goes on with that
		return
	}
	r.emptying = true
	r.underWay++
	for r.listener != nil && len(r.queue) > 0 {
		f, frame := r.listener, r.queue[0]
		r.queue = r.queue[1:]
		r.mu.Unlock()
		f(frame)
		r.mu.Lock()
	}
	r.emptying = false
	r.room.Broadcast()
	if r.underWay--; r.underWay == 0 {
		r.idle.Broadcast()
	}
}

// Listen is SetListen for blocking code: it parks the caller until the interface
// is disconnected (nil) or the run ends (net.ErrClosed).
func (r *Raw) Listen(f func(frame []byte)) error {
	r.SetListen(f)
	return r.wait("listen", func() bool { return r.isClosed() })
}

// ReadFrame parks until a frame has arrived, copies it into b and returns its
// length; what does not fit is lost. After Disconnect, or when the run ends, the
// error is net.ErrClosed.
func (r *Raw) ReadFrame(b []byte) (n int, err error) {
	waited := r.wait("read", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.queue) == 0 {
			err = net.ErrClosed
			return r.closed
		}
		n, err = copy(b, r.queue[0]), nil
		r.queue = r.queue[1:]
		r.room.Signal()
		return true
	})
	return n, first(waited, err)
}

// wait parks until try returned true; it is tried again when a frame arrives
// and on Disconnect.
func (r *Raw) wait(what string, try func() bool) error {
	op := &vswitch.Op{Kind: vswitch.OpRead, Key: what, What: func() string { return "raw interface (" + what + ")" }, Try: try}
	r.mu.Lock()
	r.reading = append(r.reading, op)
	r.mu.Unlock()
	err := r.node.Do(op)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.reading {
		if r.reading[i] == op {
			r.reading = append(r.reading[:i], r.reading[i+1:]...)
			break
		}
	}
	return err
}

func (r *Raw) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// Deliver is called by the switch.
func (r *Raw) Deliver(frame []byte) { r.DeliverBatch([][]byte{frame}) }

// DeliverBatch is called by the switch.
func (r *Raw) DeliverBatch(frames [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.underWay++
	for _, frame := range frames {
		if !r.receive(frame) {
			break
		}
	}
	if r.underWay--; r.underWay == 0 {
		r.idle.Broadcast()
	}
}

// receive hands a frame to the listener or, if there is none, to the queue. It reports
// false after Disconnect. r.mu is held; it is released while others are called.
func (r *Raw) receive(frame []byte) bool {
	for r.world.RealTime() && !r.closed && (r.emptying || r.listener == nil && len(r.queue) >= rawQueue) {
		r.room.Wait()
	}
	if r.closed {
		return false
	}
	r.stats.RxFrames++
	r.stats.RxBytes += uint64(len(frame))
	if r.monitor != nil {
		r.mu.Unlock()
		r.watch(Received, frame)
		r.mu.Lock()
	}
	for r.emptying && !r.closed { // what came before comes first
		r.room.Wait()
	}
	switch f := r.listener; {
	case f != nil:
		r.mu.Unlock()
		f(frame)
		r.mu.Lock()
	case len(r.queue) >= rawQueue:
		r.stats.RxOverflow++
	default:
		r.queue = append(r.queue, append([]byte(nil), frame...))
		r.wakeLocked()
	}
	return true
}

func (r *Raw) wakeLocked() {
	for _, op := range r.reading {
		r.node.Wake(op)
	}
}

// Stats returns the interface's counters.
func (r *Raw) Stats() RawStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// ResetStats sets the counters to zero. The port's own are not touched.
func (r *Raw) ResetStats() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats = RawStats{}
}

// Disconnect takes the interface off the switch and wakes blocked calls. No call of the
// listener or of Monitor begins any more; in real time one may be under way, for which
// it waits if the interface has [RawConfig].Flush. It may be called more than once.
func (r *Raw) Disconnect() error {
	r.shut()
	err := r.port.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.flush && r.underWay > 0 {
		r.idle.Wait()
	}
	return err
}

// shut wakes whoever waits.
func (r *Raw) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed, r.listener = true, nil
	r.wakeLocked()
	r.room.Broadcast()
}
