package pcap

import (
	"container/heap"
	"slices"
	"time"
)

// way is a path from one interface to another.
type way struct{ from, to int }

// heldFrame is a reordered frame that waits for others to pass it, as package
// vswitch has it.
type heldFrame struct {
	on     way
	left   int         // frames that have yet to pass
	copies []*Delivery // that have not arrived
}

func (t *timeline) hold(on way, behind int) *heldFrame {
	h := &heldFrame{on: on, left: behind}
	t.held[on] = append(t.held[on], h)
	return h
}

// passed lets a frame that arrives at instant at pass those held on its way.
func (t *timeline) passed(on way, at time.Time) {
	if len(t.held) == 0 {
		return
	}
	for _, h := range slices.Clone(t.held[on]) {
		if h.left--; h.left > 0 {
			continue
		}
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
	rest := slices.DeleteFunc(t.held[h.on], func(x *heldFrame) bool { return x == h })
	if t.held[h.on] = rest; len(rest) == 0 {
		delete(t.held, h.on)
	}
}
