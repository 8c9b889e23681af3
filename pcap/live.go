package pcap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Defaults of a [LiveConfig].
const (
	DefaultQueue     = 4 << 20
	DefaultFlush     = 250 * time.Millisecond
	DefaultCloseWait = 10 * time.Second
)

// LiveConfig describes a [LiveRecorder]. Outputs has at least one element; the rest
// may be left out.
type LiveConfig struct {
	// Meta describes the run. View becomes "wire", an empty Clock "real".
	Meta Meta

	// Outputs is where the recording goes: [ToFile], [ToWriter], a [*Rotation] (one
	// at most), [*Broadcaster]s. The recorder finishes or aborts them. They are
	// written one after the other, so what goes to the disk comes first.
	Outputs []Output

	// DropWhenFull says what happens to a frame when the outputs are so slow that
	// the queue is full. False: Record waits, and with it the switch (back
	// pressure): nothing is lost. True: the frame is not recorded, which is counted
	// and stands in the file; see [LiveRecorder].
	DropWhenFull bool

	// Queue is how much may wait to be written, in bytes: a number of chunks of 1 MiB, at
	// least two. Memory is taken when it is needed. A longer queue bears longer pauses of
	// the disk, and is a little slower, as it does not fit into the processor's caches.
	// Default DefaultQueue.
	Queue int

	// Flush is the longest that a recorded frame waits before it is given to the
	// outputs, also when no others follow. Default DefaultFlush.
	Flush time.Duration

	// CloseWait bounds Close. Default DefaultCloseWait.
	CloseWait time.Duration
}

// Errors of a [LiveRecorder]. Compare with [errors.Is].
var (
	// ErrAborted: the recording was given up by [LiveRecorder.Abort].
	ErrAborted = errors.New("recording given up")
	// ErrNotRead: what takes the recording (who reads the pipe, the disk) did not
	// take the rest of it in the time that was given.
	ErrNotRead = errors.New("the rest of the recording was not taken in time")
)

// LiveRecorder is a [vswitch.Recorder] for switches in real time. Record encodes a
// frame into a chunk of memory and returns; chunks go through a bounded queue to one
// goroutine that writes them to the outputs. The file is what [Recorder] would have
// written, but for "clock=real".
//
// Record may be called from any goroutine, one at a time, as a switch does; all other
// methods may be called at any time from anywhere.
//
// Frames lost to a full queue (see [LiveConfig.DropWhenFull]) leave gaps in the packet
// ids, are told by the next packet of their sender (epb_dropcount, [Packet.Lost]), are
// in the drops of its statistics (isb_ifdrop), and in a comment there:
// "vnr.recorder-lost=N". What came of them nobody knows from the file. Ports that come
// and go, and changes of rules and cables, are never lost.
//
// The first error of an output ends the recording: Failed is closed at once, and
// Record returns the error from then on. What was written before can be read up to
// its last whole block, under the provisional name of the file.
type LiveRecorder struct {
	meta    Meta
	outputs []Output
	drop    bool
	flush   time.Duration // the writer needs some time, too
	wait    time.Duration

	mu      sync.Mutex
	enc     encoder
	state   *standing // of the chunk sealed last
	cur     *chunk    // being filled, or nil
	queue   []*chunk  // sealed, oldest first
	writing *chunk    // out of the queue, not written yet
	free    []*chunk
	left    int // chunks that may yet be made
	enough  int // so many free ones make Record go on when it waits
	closing bool
	err     error
	stats   LiveStats

	idle   bool          // the writer waits for work
	work   chan struct{} // tells it, capacity 1
	space  chan struct{} // tells Record that a chunk is free, capacity 1
	failed chan struct{} // closed with the first error
	done   chan struct{} // closed when the writer has returned

	rotate    *Rotation
	owed      *cut      // the next chunk begins a file
	fileSize  int64     // of the current file, about
	fileSince time.Time // stamp at which it began
	fileHas   bool      // a frame
	cutAsked  bool      // by Rotate

	finish sync.Once
	result error
}

var _ vswitch.Recorder = (*LiveRecorder)(nil)

// NewLiveRecorder returns a recorder and starts its writer. Close or Abort ends it.
// The error is [ErrMetaTooLong], or says what is wrong with cfg; then the outputs are still
// the caller's. If it is that of an output, all are aborted.
func NewLiveRecorder(cfg LiveConfig) (*LiveRecorder, error) {
	if len(cfg.Outputs) == 0 {
		return nil, errors.New("pcap: a live recorder without outputs")
	}
	if cfg.Queue <= 0 {
		cfg.Queue = DefaultQueue
	}
	if cfg.Flush <= 0 {
		cfg.Flush = DefaultFlush
	}
	if cfg.CloseWait <= 0 {
		cfg.CloseWait = DefaultCloseWait
	}
	cfg.Meta.View = "wire"
	if cfg.Meta.Clock == "" {
		cfg.Meta.Clock = "real"
	}
	if _, err := cfg.Meta.Marshal(); err != nil {
		return nil, err
	}
	r := &LiveRecorder{
		meta: cfg.Meta, outputs: cfg.Outputs, drop: cfg.DropWhenFull, flush: cfg.Flush - cfg.Flush/8, wait: cfg.CloseWait,
		left: max(2, (cfg.Queue+chunkSize-1)/chunkSize),
		work: make(chan struct{}, 1), space: make(chan struct{}, 1),
		failed: make(chan struct{}), done: make(chan struct{}),
	}
	r.enough = max(1, r.left/4)
	r.enc.live = &liveState{standing: standing{
		rules: slices.Clone(cfg.Meta.Rules), off: slices.Clone(cfg.Meta.Off),
		gone: slices.Clone(cfg.Meta.Removed), down: slices.Clone(cfg.Meta.Down),
	}}
	for _, o := range cfg.Outputs {
		if rot, ok := o.(*Rotation); ok {
			if r.rotate != nil {
				return nil, errors.New("pcap: a live recorder with two rotations")
			}
			r.rotate, r.enc.live.spans = rot, true
		}
	}
	r.state = r.enc.now(nil)
	for _, o := range cfg.Outputs {
		if err := o.begin(r.meta, r.state); err != nil {
			for _, o := range cfg.Outputs {
				o.abort()
			}
			return nil, err
		}
	}
	go r.write()
	return r, nil
}

// Record records one event. It waits only for room in the queue, and not even for that
// if the recorder drops.
//
// The error is the first one of the outputs, a [*WriteError]; or [ErrAborted].
func (r *LiveRecorder) Record(e vswitch.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.err != nil:
		return r.err
	case r.closing:
		return errRecorderClosed
	}
	need, frames := blockOverhead, uint64(0)
	switch e := e.(type) {
	case *vswitch.Changed: // stands in the next frame's comments
		r.enc.changed(e)
		return nil
	case *vswitch.Sent:
		need, frames = len(e.Data)+blockOverhead, 1
		if r.rotate != nil {
			r.cutBefore(e, need)
		}
		if ok, err := r.room(need); err != nil {
			return err
		} else if !ok {
			r.stats.Lost++
			return r.enc.lose(e)
		}
		r.fileHas = true
	case *vswitch.Delivered:
		return nil // those are derived
	default:
		if err := r.anyRoom(need); err != nil {
			return err
		}
		if e, ok := e.(*vswitch.Connected); ok {
			r.cur.opened++
			if r.fileSince.IsZero() {
				r.fileSince = e.Time
			}
		}
	}
	c := r.cur
	n := len(c.buf)
	b, err := r.enc.append(c.buf, e)
	if err != nil {
		r.fail(err)
		return err
	}
	c.buf = b
	c.frames += frames
	r.stats.Frames += frames
	r.fileSize += int64(len(b) - n)
	if _, ok := e.(*vswitch.Disconnected); ok && r.rotate != nil {
		c.closed = append(c.closed, closedPort{n, len(b), r.enc.live.closed})
	}
	if n == 0 {
		c.since = time.Now()
		r.wake()
	}
	return nil
}

// cutBefore lets a file of a rotation end before e if it is long enough.
func (r *LiveRecorder) cutBefore(e *vswitch.Sent, need int) {
	if r.fileSince.IsZero() {
		r.fileSince = e.At
	}
	l := &r.rotate.limits
	full := l.Size > 0 && r.fileSize+int64(need) > l.Size
	if !r.fileHas || !full && !r.cutAsked && (l.Every <= 0 || e.At.Sub(r.fileSince) < l.Every) {
		return
	}
	if r.cur != nil && len(r.cur.buf) > 0 {
		r.seal()
	}
	r.owed = &cut{at: e.At, statistics: r.enc.cut(e.At)}
	r.fileSize, r.fileSince, r.fileHas, r.cutAsked = 0, e.At, false, false
	for _, p := range r.enc.ports {
		r.fileSize += int64(len(p.block))
	}
}

// ErrNoRotation: the recording is not one of several files. Compare with [errors.Is].
var ErrNoRotation = errors.New("the recording does not go into files that rotate")

// Rotate lets the next frame begin a file, whatever the limits of the [Rotation] are,
// unless the current file has no frame yet.
func (r *LiveRecorder) Rotate() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.rotate == nil:
		return ErrNoRotation
	case r.err != nil:
		return r.err
	case r.closing:
		return errRecorderClosed
	}
	r.cutAsked = r.fileHas
	return nil
}

// Failed is closed when the recording has ended with an error: at the first error of an
// output, or when it is given up. So who runs a switch on which nothing happens learns of
// it, too.
func (r *LiveRecorder) Failed() <-chan struct{} { return r.failed }

// Err returns the error with which the recording has ended, or nil.
func (r *LiveRecorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// LiveStats says how far a recording is.
type LiveStats struct {
	Frames uint64 // recorded
	Lost   uint64 // not recorded, as the queue was full
	Bytes  int64  // given to the outputs; of each, without section headers

	// What is recorded and not written yet.
	WaitingFrames uint64
	WaitingBytes  int64
	Lag           time.Duration // for how long the oldest of it has been waiting
}

// Stats returns how far the recording is.
func (r *LiveRecorder) Stats() LiveStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	var oldest *chunk
	add := func(c *chunk) {
		if c == nil || len(c.buf) == 0 {
			return
		}
		if oldest == nil {
			oldest = c
		}
		s.WaitingFrames += c.frames
		s.WaitingBytes += int64(len(c.buf))
	}
	add(r.writing)
	for _, c := range r.queue {
		add(c)
	}
	add(r.cur)
	if oldest != nil {
		s.Lag = time.Since(oldest.since)
	}
	return s
}

// Close finishes the recording as [LiveRecorder.Finish] does, within the time that the
// configuration allows.
func (r *LiveRecorder) Close() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), r.wait,
		fmt.Errorf("%w (%v)", ErrNotRead, r.wait))
	defer cancel()
	return r.Finish(ctx)
}

// Finish writes what waits, finishes the outputs and returns the first error, if any: a
// file has got its name when that is nil. Where the outputs take longer than ctx lasts,
// they are aborted, and the error is [ErrNotRead] (or ctx's cause). Who only listens to a
// [Broadcaster] does not fail the recording: they are cut off then.
//
// A goroutine that is in the middle of writing to what cannot be interrupted (standard
// output that nobody reads) is left behind; it ends with the process, or when its write
// does. Further calls return the same.
func (r *LiveRecorder) Finish(ctx context.Context) error {
	r.finish.Do(func() { r.result = r.finishOnce(ctx) })
	return r.result
}
