package faults

import "time"

// shaper is a line of limited rate with a queue before it: a token bucket, as
// tbf of Linux is one. There is nothing that runs. What becomes of a frame is
// computed when it enters, from those before it.
//
// A frame's transmission begins when it is there and the frames before it have
// left. It ends, and the frame leaves, when the bucket covers all its bits: with
// an empty bucket that takes size·8/rate. The bucket fills at the same rate, up to
// burst bytes, which then pass in no time. A frame larger than the bucket waits
// for the bits beyond it (tbf refuses such frames). Without a burst this is a
// plain line, as the cables of package vswitch are.
//
// A frame whose transmission cannot begin at once waits. It needs a place in the
// queue: the frames that wait, with it, may be neither more than the limit of
// packets nor of bytes. Else it is dropped, and all is as if it had never been.
// The frame in transmission has left the queue. A frame that need not wait is not
// dropped, however large; except that none stays longer than [maxShaperDelay].
//
// The state of the bucket is the instant at which it is empty. In the past: it has
// what the rate gave since, at most burst. In the future: the frames so far have
// left by then. Each frame moves the instant by its time at the rate. All this is
// exact, in fractions of a nanosecond with the rate as denominator; only what send
// returns is rounded, up.
type shaper struct {
	rate    uint64
	packets int // that may wait; 0: any number
	bytes   int // that may wait; 0: any number

	burst   instant // how long the bucket takes to fill
	empty   instant // when the bucket is
	now     int64   // when the last frame entered
	waiting waitingFrames
}

const (
	maxRate  = 1_000_000_000_000_000 // bit/s
	maxBurst = 1 << 30               // bytes
	// maxShaped is the largest frame that a shaper can be sent, in bytes.
	maxShaped = 1 << 20
	// maxShaperDelay is how long a frame may stay in a shaper. One that would
	// leave later is dropped like one that finds the queue full.
	maxShaperDelay = 24 * time.Hour
)

// newShaper makes a shaper of rate bit/s, 1 to maxRate, and burst bytes, 0 to
// maxBurst, whose bucket is full. The limits of the queue are not negative; 0 is
// none. With neither the memory of the shaper is bounded by maxShaperDelay only.
func newShaper(rate int64, burst, packets, bytes int) *shaper {
	s := &shaper{rate: uint64(rate), packets: packets, bytes: bytes}
	s.burst = s.duration(burst)
	s.empty = s.minus(0, s.burst)
	return s
}

// send says when a frame of size bytes, from 1 to maxShaped and with its Ethernet
// header, leaves that enters at an instant from 0 to 2^62: delay ns later; or, if
// ok is false, that it is dropped. packets and bytes are what it finds waiting,
// itself not among them, either way.
//
// Frames come in order of time. One that is said to enter before the last one did
// is treated as if it had entered with that one; its delay counts from what is said.
func (s *shaper) send(at int64, size int) (delay int64, ok bool, packets, bytes int) {
	s.now = max(s.now, at)
	s.waiting.begin(s.now)
	packets, bytes = s.waiting.n, s.waiting.bytes

	begin := s.empty.ceil()
	waits := begin > s.now
	if waits && (s.packets > 0 && packets >= s.packets || s.bytes > 0 && bytes+size > s.bytes) {
		return 0, false, packets, bytes
	}
	empty := later(s.empty, s.minus(s.now, s.burst)) // the bucket does not fill beyond its size
	empty = s.plus(empty, s.duration(size))
	delay = max(empty.ceil(), s.now) - at
	if delay > int64(maxShaperDelay) {
		return 0, false, packets, bytes
	}
	s.empty = empty
	if waits {
		s.waiting.add(waitingFrame{begin, size})
	}
	return delay, true, packets, bytes
}

// instant is ns + part/rate nanoseconds, part < rate: on the world's clock, or a
// length of time.
type instant struct {
	ns   int64
	part uint64
}

// ceil is the first whole nanosecond that is not before i.
func (i instant) ceil() int64 {
	if i.part > 0 {
		return i.ns + 1
	}
	return i.ns
}

func later(a, b instant) instant {
	if a.ns > b.ns || a.ns == b.ns && a.part > b.part {
		return a
	}
	return b
}

// duration is how long n bytes take. For the largest burst at the lowest rate
// that is 272 years, which is less than 2^63 ns.
func (s *shaper) duration(n int) instant {
	bits := uint64(n) * 8e9 // a billion times as many
	return instant{int64(bits / s.rate), bits % s.rate}
}

func (s *shaper) plus(a, b instant) instant {
	sum := instant{a.ns + b.ns, a.part + b.part}
	if sum.part >= s.rate {
		sum.ns++
		sum.part -= s.rate
	}
	return sum
}

// minus is t - d.
func (s *shaper) minus(t int64, d instant) instant {
	if d.part == 0 {
		return instant{t - d.ns, 0}
	}
	return instant{t - d.ns - 1, s.rate - d.part}
}

// waitingFrame is a frame in the queue of a shaper.
type waitingFrame struct {
	begin int64 // when its transmission begins: it waits at all instants before
	size  int
}

// waitingFrames is a queue in a ring, which only grows.
type waitingFrames struct {
	ring  []waitingFrame // a power of two
	first int            // of those that wait
	n     int
	bytes int
}

// begin forgets the frames that do not wait any more at instant t.
func (w *waitingFrames) begin(t int64) {
	for w.n > 0 && w.ring[w.first].begin <= t {
		w.bytes -= w.ring[w.first].size
		w.first = (w.first + 1) & (len(w.ring) - 1)
		w.n--
	}
}

func (w *waitingFrames) add(f waitingFrame) {
	if w.n == len(w.ring) {
		ring := make([]waitingFrame, max(2*len(w.ring), 8))
		copied := copy(ring, w.ring[w.first:])
		copy(ring[copied:], w.ring[:w.first])
		w.ring, w.first = ring, 0
	}
	w.ring[(w.first+w.n)&(len(w.ring)-1)] = f
	w.n++
	w.bytes += f.size
}
