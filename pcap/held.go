package pcap

import (
	"container/heap"
	"time"
)

// way is a path from one interface to another.
type way struct{ from, to int }

// heldFrame is a reordered frame that waits for others to pass it, as package
// vswitch has it.
type heldFrame struct {
	on     way
	until  uint64      // how many have passed on its way by then
	index  int         // in the heap
	copies []*Delivery // that have not arrived
}

// heldFrames are those of one way, as a heap.
type heldFrames struct {
	passed uint64 // frames, since the first of them was held
	queue  []*heldFrame
}

func (f *heldFrames) Len() int           { return len(f.queue) }
func (f *heldFrames) Less(i, j int) bool { return f.queue[i].until < f.queue[j].until }
func (f *heldFrames) Swap(i, j int) {
	f.queue[i], f.queue[j] = f.queue[j], f.queue[i]
	f.queue[i].index, f.queue[j].index = i, j
}
func (f *heldFrames) Push(x any) {
	h := x.(*heldFrame)
	h.index = len(f.queue)
	f.queue = append(f.queue, h)
}
func (f *heldFrames) Pop() any {
	last := len(f.queue) - 1
	h := f.queue[last]
	f.queue[last] = nil
	f.queue = f.queue[:last]
	return h
}

func (t *timeline) hold(on way, behind int) *heldFrame {
	f := t.held[on]
	if f == nil {
		f = &heldFrames{}
		t.held[on] = f
	}
	h := &heldFrame{on: on, until: f.passed + uint64(behind)}
	heap.Push(f, h)
	return h
}

// passed lets a frame that arrives at instant at pass those held on its way.
func (t *timeline) passed(on way, at time.Time) {
	f := t.held[on]
	if f == nil {
		return
	}
	f.passed++
	for f.Len() > 0 && f.queue[0].until <= f.passed {
		h := f.queue[0]
		t.unhold(h)
		earlier := h.copies[0].Time.Sub(at) - 1
		for _, d := range h.copies {
			if earlier > 0 {
				d.Time = d.Time.Add(-earlier)
				heap.Fix(&t.flying, d.index)
			}
		}
	}
}

// unhold forgets a frame that does not wait any more.
func (t *timeline) unhold(h *heldFrame) {
	for _, d := range h.copies {
		d.held = nil
	}
	f := t.held[h.on]
	heap.Remove(f, h.index)
	if f.Len() == 0 {
		delete(t.held, h.on)
	}
}
