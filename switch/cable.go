package vswitch

import (
	"math/bits"
	"sort"
)

// wire is one rate-limited direction of a cable: what is being sent, what waits.
//
// The fate of a frame is decided when it enters the switch, which may be before
// a frame that entered earlier over a slower path reaches this wire. So a wire
// holds the transmissions it has promised, in order of time, and a new frame
// takes the first gap that is long enough at or after its arrival.
type wire struct {
	rate  int64 // bit/s, 0: no limit
	queue int   // frames that may wait
	busy  []transmission
}

type transmission struct {
	arrived, start, end int64 // ns on the world's clock
}

// txTime is how long n bytes take at the wire's rate, in ns, rounded up.
func (w *wire) txTime(n int) int64 {
	hi, lo := bits.Mul64(uint64(n)*8, 1e9)
	q, r := bits.Div64(hi%uint64(w.rate), lo, uint64(w.rate))
	if r > 0 {
		q++
	}
	return int64(q)
}

// full reports whether a frame that reaches the wire at instant t finds no place
// in the queue.
func (w *wire) full(t int64) bool {
	if w.rate == 0 {
		return false
	}
	waiting := 0
	for _, b := range w.busy {
		if b.arrived <= t && b.start > t {
			waiting++
		}
	}
	if waiting < w.queue {
		return false
	}
	// A full queue only matters to a frame that would have to wait.
	return w.slot(t, 0) > t
}

// slot returns the earliest start at or after t of a gap of length d.
func (w *wire) slot(t, d int64) int64 {
	start := t
	for _, b := range w.busy {
		if b.end <= start {
			continue
		}
		if b.start >= start+d && b.start > start {
			break
		}
		start = b.end
	}
	return start
}

// send promises the transmission of n bytes that reach the wire at instant t and
// returns when their last bit has left. now is the world's clock: transmissions
// that ended before it are forgotten.
func (w *wire) send(now, t int64, n int) int64 {
	if w.rate == 0 {
		return t
	}
	k := 0
	for k < len(w.busy) && w.busy[k].end <= now {
		k++
	}
	w.busy = append(w.busy[:0], w.busy[k:]...)
	d := w.txTime(n)
	tx := transmission{arrived: t, start: w.slot(t, d)}
	tx.end = tx.start + d
	i := sort.Search(len(w.busy), func(i int) bool { return w.busy[i].start > tx.start })
	w.busy = append(w.busy, transmission{})
	copy(w.busy[i+1:], w.busy[i:])
	w.busy[i] = tx
	return tx.end
}
