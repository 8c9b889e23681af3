package pcap

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
)

// DefaultBacklog is how far a subscriber may be behind by default, in bytes.
const DefaultBacklog = 4 << 20

// Errors of [Broadcaster.Stream]. Compare with [errors.Is].
var (
	// ErrOver: the recording is over, or has not begun.
	ErrOver = errors.New("there is no recording to stream")
	// ErrCutOff: the stream ends before the recording does, as its reader did not take
	// it in time.
	ErrCutOff = errors.New("the stream was not taken in time")
)

// Broadcaster is the [Output] to any number of subscribers, who come and go. Each gets,
// from the moment it joins, a capture that is whole in itself: a section header that
// describes the run and says how many frames were sent before ([Meta.After]), the
// interfaces of all ports that are open, numbered anew, and then what is recorded from
// there on, statistics included. Those count from the start of the port, not of the
// stream.
//
// A subscriber that does not keep up holds up nobody: what it is behind waits in memory,
// up to a bound, and packets beyond that are left out of its stream. That is told there
// as losses of the recorder are, by the next packet of the same sender (epb_dropcount)
// and in its statistics: "vnr.recorder-lost=N".
//
// All methods may be called at any time from anywhere.
type Broadcaster struct {
	backlog int

	mu    sync.Mutex
	meta  Meta
	state *standing // nil: not begun
	last  uint64
	over  bool
	subs  []*subscriber
	empty chan struct{} // closed when it is over and nobody is left
}

// BroadcasterConfig describes a [Broadcaster]; the zero value has defaults.
type BroadcasterConfig struct {
	// Backlog is how far a subscriber may be behind, in bytes, before it misses packets.
	// It takes at most twice that memory, and only when it is behind. Default
	// DefaultBacklog.
	Backlog int
}

// NewBroadcaster returns an output without subscribers.
func NewBroadcaster(cfg BroadcasterConfig) *Broadcaster {
	if cfg.Backlog <= 0 {
		cfg.Backlog = DefaultBacklog
	}
	return &Broadcaster{backlog: cfg.Backlog, empty: make(chan struct{})}
}

// StreamStats is what one subscriber got.
type StreamStats struct {
	Name    string // as given to Stream
	Frames  uint64 // put into its stream
	Bytes   int64  // written to it
	Lost    uint64 // frames left out, as it was too far behind
	Waiting int    // bytes not written yet
}

// subscriber is one stream. All but what its own goroutine writes is guarded by the
// broadcaster's mu.
type subscriber struct {
	stats   StreamStats
	numbers *renumbering
	wait    []byte // to be written next
	lost    map[int]*missed
	cut     bool
	wake    chan struct{} // capacity 1
	stop    func()        // ends a write that hangs
}

// missed counts what a subscriber missed on one of its interfaces.
type missed struct{ since, all uint64 }

// Stream writes the recording to w, from now to its end, in the calling goroutine; name
// is how [Broadcaster.Streams] calls it. It returns nil when the recording is over and w
// has all of it.
//
// Otherwise the error is w's; ctx's cause; [ErrCutOff] when the recorder was finished and
// w did not take the rest in time; or [ErrOver]. A write that hangs is ended by ctx and
// by the recorder if w has a method SetWriteDeadline, as connections and pipes have.
func (b *Broadcaster) Stream(ctx context.Context, name string, w io.Writer) (StreamStats, error) {
	s := &subscriber{
		stats: StreamStats{Name: name}, lost: map[int]*missed{}, wake: make(chan struct{}, 1),
		stop: func() { interrupt(w) },
	}
	if err := b.join(s); err != nil {
		return s.stats, err
	}
	stop := context.AfterFunc(ctx, s.stop)
	defer stop()
	err := b.run(ctx, s, w)
	if ctx.Err() != nil && err != nil {
		err = context.Cause(ctx)
	}
	return b.leave(s), err
}

func (b *Broadcaster) join(s *subscriber) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == nil || b.over {
		return ErrOver
	}
	var err error
	if s.wait, s.numbers, err = b.state.head(b.meta, 0, b.last); err != nil {
		return err
	}
	b.subs = append(b.subs, s)
	return nil
}

func (b *Broadcaster) leave(s *subscriber) StreamStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs = slices.DeleteFunc(b.subs, func(x *subscriber) bool { return x == s })
	if b.over && len(b.subs) == 0 {
		close(b.empty)
	}
	s.stats.Waiting = len(s.wait)
	return s.stats
}

// run writes what comes until that ends.
func (b *Broadcaster) run(ctx context.Context, s *subscriber, w io.Writer) error {
	var spare []byte
	for {
		b.mu.Lock()
		full, over, cut := s.wait, b.over, s.cut
		if len(full) > 0 {
			s.wait = spare[:0] // and spare becomes what was written
		}
		b.mu.Unlock()
		switch {
		case cut:
			return ErrCutOff
		case len(full) == 0 && over:
			return nil
		case len(full) == 0:
			select {
			case <-s.wake:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		n, err := w.Write(full)
		b.mu.Lock()
		s.stats.Bytes += int64(n)
		cut = s.cut
		b.mu.Unlock()
		switch {
		case err != nil && cut:
			return ErrCutOff
		case err != nil:
			return err
		case n < len(full):
			return io.ErrShortWrite
		}
		spare = full
		if cap(spare) > 2*chunkSize && len(spare) < chunkSize {
			spare = nil // it is not behind any more
		}
	}
}

// Streams returns what the present subscribers got so far.
func (b *Broadcaster) Streams() []StreamStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []StreamStats
	for _, s := range b.subs {
		st := s.stats
		st.Waiting = len(s.wait)
		all = append(all, st)
	}
	return all
}

func (b *Broadcaster) begin(meta Meta, st *standing) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != nil {
		return errOutputUsed
	}
	b.meta, b.state = meta, st
	return nil
}

func (b *Broadcaster) put(c *chunk) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.subs {
		s.put(c, b.backlog)
		signal(s.wake)
	}
	b.state, b.last = c.after, c.last
	return nil
}

// finish lets all streams end when they are read.
func (b *Broadcaster) finish() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return nil
	}
	b.over = true
	for _, s := range b.subs {
		signal(s.wake)
	}
	if len(b.subs) == 0 {
		close(b.empty)
	}
	return nil
}

// abort is finish: what there is of the recording is of use.
func (b *Broadcaster) abort() { _ = b.finish() }

// drain waits for all streams to be read, and ends those that are not when ctx is done.
func (b *Broadcaster) drain(ctx context.Context) {
	select {
	case <-b.empty:
		return
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.subs {
		s.cut = true
		s.stop()
		signal(s.wake)
	}
}

// put adds a chunk to the stream, or as much of it as there is room for.
func (s *subscriber) put(c *chunk, backlog int) {
	at := len(s.wait)
	if at+len(c.buf) <= backlog && len(s.lost) == 0 {
		s.wait = append(s.wait, c.buf...)
		s.stats.Frames += c.frames
		if s.numbers.numbers == nil {
			s.numbers.n += c.opened
		} else {
			s.numbers.renumber(s.wait[at:])
		}
		return
	}
	eachBlock(c.buf, func(kind uint32, block []byte) {
		if kind == blockPacket && len(s.wait)+len(block)+12 > backlog {
			m := s.missedOn(s.numbers.of(blockIface(block)))
			m.since += 1 + lostBefore(block)
			m.all++
			s.stats.Lost++
			return
		}
		at := len(s.wait)
		s.wait = append(s.wait, block...)
		s.numbers.one(kind, s.wait[at:])
		switch kind {
		case blockPacket:
			s.stats.Frames++
			if m := s.lost[blockIface(s.wait[at:])]; m != nil && m.since > 0 {
				s.wait = addLost(s.wait, at, m.since)
				m.since = 0
			}
		case blockStats:
			if m := s.lost[blockIface(s.wait[at:])]; m != nil {
				s.wait = addLostStatistics(s.wait, at, m.all)
				delete(s.lost, blockIface(s.wait[at:]))
			}
		}
	})
}

func (s *subscriber) missedOn(iface int) *missed {
	m := s.lost[iface]
	if m == nil {
		m = &missed{}
		s.lost[iface] = m
	}
	return m
}

// packetOptions returns the options of a packet block.
func packetOptions(block []byte) []byte {
	const fixed = 28
	return block[fixed+padded(int(binary.LittleEndian.Uint32(block[20:]))) : len(block)-4]
}

// lostBefore returns how many packets a packet block says were lost before it.
func lostBefore(block []byte) (n uint64) {
	eachOption(packetOptions(block), binary.LittleEndian, func(code int, value []byte) {
		if code == optPacketDrop {
			n = binary.LittleEndian.Uint64(value)
		}
	})
	return n
}

// addLost says in the packet block at byte at, which is the last one of b, that n
// packets were lost before it, besides what it says already.
func addLost(b []byte, at int, n uint64) []byte {
	found := false
	eachOption(packetOptions(b[at:]), binary.LittleEndian, func(code int, value []byte) {
		if code == optPacketDrop {
			binary.LittleEndian.PutUint64(value, binary.LittleEndian.Uint64(value)+n)
			found = true
		}
	})
	if found {
		return b
	}
	return reopen(b, at, func(b []byte) []byte { return appendUint64Option(b, optPacketDrop, n) })
}

// addLostStatistics says in the statistics block at byte at, which is the last one of b,
// that n packets were lost, besides what it says already.
func addLostStatistics(b []byte, at int, n uint64) []byte {
	const fixed = 20
	eachOption(b[at+fixed:len(b)-4], binary.LittleEndian, func(code int, value []byte) {
		if code == optStatsDrop {
			binary.LittleEndian.PutUint64(value, binary.LittleEndian.Uint64(value)+n)
		}
	})
	return reopen(b, at, func(b []byte) []byte { return appendOption(b, optComment, lostComment(n)) })
}

// reopen adds options to the block at byte at, which is the last one of b.
func reopen(b []byte, at int, add func([]byte) []byte) []byte {
	return endBlock(add(b[:len(b)-8]), at)
}
