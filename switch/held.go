package vswitch

import (
	"container/heap"
	"iter"
)

// Holds are frames that wait at the ends of their paths for others to pass them
// ([Verdict].Behind). A switch has one, and so has whoever rebuilds from a recording
// what a switch did. P tells paths apart; F is a copy of a frame on its way. The
// zero value is ready.
//
// Thousands may wait on a path, and each frame that passes lets go only those whose
// turn it is.
type Holds[P comparable, F any] struct{ paths map[P]*holding[P, F] }

// Held is a frame that waits.
type Held[P comparable, F any] struct {
	// Copies are the frame and its copies, which are the caller's to add. They wait
	// together.
	Copies []F

	path  P
	until uint64 // how many have passed on its path by then
	index int    // in the heap
}

// holding is what waits on one path, as a heap.
type holding[P comparable, F any] struct {
	passed uint64 // frames, since the first of them was held
	queue  []*Held[P, F]
}

// Len returns on how many paths frames wait.
func (h *Holds[P, F]) Len() int { return len(h.paths) }

// Hold lets a frame wait on a path until so many others have passed.
func (h *Holds[P, F]) Hold(path P, behind int) *Held[P, F] {
	on := h.paths[path]
	if on == nil {
		if h.paths == nil {
			h.paths = map[P]*holding[P, F]{}
		}
		on = &holding[P, F]{}
		h.paths[path] = on
	}
	frame := &Held[P, F]{path: path, until: on.passed + uint64(behind)}
	heap.Push(on, frame)
	return frame
}

// Pass counts a frame that passes on a path, and yields those that have waited for
// it. They do not wait any more.
func (h *Holds[P, F]) Pass(path P) iter.Seq[*Held[P, F]] {
	return func(yield func(*Held[P, F]) bool) {
		on := h.paths[path]
		if on == nil {
			return
		}
		on.passed++
		for len(on.queue) > 0 && on.queue[0].until <= on.passed {
			frame := on.queue[0]
			h.Forget(frame)
			if !yield(frame) {
				return
			}
		}
	}
}

// Forget lets a frame not wait any more.
func (h *Holds[P, F]) Forget(frame *Held[P, F]) {
	on := h.paths[frame.path]
	heap.Remove(on, frame.index)
	if len(on.queue) == 0 {
		delete(h.paths, frame.path)
	}
}

// What container/heap calls.

func (o *holding[P, F]) Len() int           { return len(o.queue) }
func (o *holding[P, F]) Less(i, j int) bool { return o.queue[i].until < o.queue[j].until }
func (o *holding[P, F]) Swap(i, j int) {
	o.queue[i], o.queue[j] = o.queue[j], o.queue[i]
	o.queue[i].index, o.queue[j].index = i, j
}
func (o *holding[P, F]) Push(x any) {
	frame := x.(*Held[P, F])
	frame.index = len(o.queue)
	o.queue = append(o.queue, frame)
}
func (o *holding[P, F]) Pop() any {
	last := len(o.queue) - 1
	frame := o.queue[last]
	o.queue[last] = nil
	o.queue = o.queue[:last]
	return frame
}
