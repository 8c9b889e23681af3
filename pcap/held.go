package pcap

import (
	"container/heap"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// way is a path from one interface to another.
type way struct{ from, to int }

// heldFrame is a reordered frame that waits for others to pass it.
type heldFrame = vswitch.Held[way, *Delivery]

// passed lets a frame that arrives at instant at pass those held on its way.
func (t *timeline) passed(on way, at time.Time) {
	for h := range t.held.Pass(on) {
		earlier := h.Copies[0].Time.Sub(at) - 1
		for _, d := range h.Copies {
			d.held = nil
			if earlier > 0 {
				d.Time = d.Time.Add(-earlier)
				heap.Fix(&t.flying, d.index)
			}
		}
	}
}

// unhold forgets a frame that does not wait any more.
func (t *timeline) unhold(h *heldFrame) {
	for _, d := range h.Copies {
		d.held = nil
	}
	t.held.Forget(h)
}
