package replay

import (
	"fmt"
	"time"
)

// Bounds of what a live side may do without diverging, if [Options.Budget] has no
// others.
const (
	// MaxRetransmits: this, a quarter of its captured segments, and twice what it
	// retransmitted in the capture, per connection, in segments.
	MaxRetransmits = 16
	// MaxSynthetic: this and the number of its captured segments, per connection,
	// in acknowledgements that the capture does not have.
	MaxSynthetic = 16
)

// Budget bounds what a live side may do, per connection. Where it says nothing, the
// default holds.
type Budget struct {
	// Retransmits are segments that bring nothing new; Synthetic, acknowledgements
	// that the played side has to make up. Nil: MaxRetransmits, MaxSynthetic and
	// what is said there.
	Retransmits, Synthetic *int
	// Segments are those with data or FIN, in percent of the captured ones. Nil: as
	// many as its bytes and its retransmissions need.
	Segments *int
	// Virtual is how long all conversations together may take on the world's clock.
	// 0: as long as the limits allow.
	Virtual time.Duration
}

// Tolerance is how much later or sooner than in the capture the live side may be:
// by so much, or by so many percent. The zero value does not look at time.
type Tolerance struct {
	By      time.Duration
	Percent float64
}

// String returns "20ms" or "10%".
func (t Tolerance) String() string {
	if t.By > 0 {
		return t.By.String()
	}
	return fmt.Sprintf("%g%%", t.Percent)
}

// allows reports whether actual is near enough to captured.
func (t Tolerance) allows(captured, actual time.Duration) bool {
	return (actual - captured).Abs() <= max(t.By, time.Duration(float64(captured)*t.Percent/100))
}

func (t Tolerance) set() bool { return t.By > 0 || t.Percent > 0 }

// spent is what one connection has used of its budget.
type spent struct{ retransmits, synthetic, segments int }

func (r *Report) spentBy(p *Played) *spent {
	b := r.perConv[p]
	if b == nil {
		b = &spent{}
		r.perConv[p] = b
	}
	return b
}

// segment counts a segment of the live side with data or FIN, and whether its
// boundaries are those of a captured one.
func (r *Report) segment(p *tcpPeer, at int64, n int) {
	r.Segments++
	b := r.spentBy(p.Played)
	b.segments++
	if percent := p.e.o.Budget.Segments; percent != nil {
		have := max(p.in.dataSegments(), 1)
		if most := have * *percent / 100; b.segments == most+1 && !p.done {
			p.fail("segments", p.got-1, "the live side sent more than %d segments, %d %% of the captured %d", most, *percent, have)
		}
	}
	if n > 0 && !p.in.hasChunk(at-1, at-1+int64(n)) {
		r.count("segmentation")
	}
}

// retransmitted counts a segment of the live side that repeats bytes.
func (r *Report) retransmitted(p *tcpPeer, _ int64) {
	r.Retransmits++
	b := r.spentBy(p.Played)
	b.retransmits++
	most := MaxRetransmits + p.in.Segments/4 + 2*p.in.Retransmitted
	if own := p.e.o.Budget.Retransmits; own != nil {
		most = *own
	}
	if b.retransmits != most+1 {
		return
	}
	if !p.done {
		p.fail("retransmits", p.got-1, "the live side retransmitted more than %s", count(most, "segment"))
	} else if p.Same {
		p.Same = false
		r.diverge(p.e, &Divergence{Kind: "retransmits", Conversation: p.Conversation, From: p.Ends[p.Live], To: p.Ends[p.me], Offset: p.got - 1,
			Frame: p.in.frameOf(p.got - 1), Text: fmt.Sprintf("the live side retransmitted more than %s", count(most, "segment"))})
	}
}

// synthetic counts an acknowledgement that is not in the capture.
func (r *Report) synthetic(p *tcpPeer) {
	r.Synthetic++
	r.madeUp(p)
}

// own counts an acknowledgement that a played side makes of what it has itself.
func (r *Report) own(p *tcpPeer) {
	r.count("ack-own")
	p.st.mark()
	r.madeUp(p)
}

// madeUp counts one of either kind.
func (r *Report) madeUp(p *tcpPeer) {
	b := r.spentBy(p.Played)
	b.synthetic++
	most := MaxSynthetic + p.in.Segments
	if own := p.e.o.Budget.Synthetic; own != nil {
		most = *own
	}
	if b.synthetic == most+1 && !p.done {
		p.fail("synthetic", p.got-1, "the played side had to make up more than %s", count(most, "acknowledgement"))
	}
}

// overtime checks the time that all took.
func (r *Report) overtime(e *engine) {
	if most := e.o.Budget.Virtual; most > 0 && r.Virtual > most {
		r.diverge(e, &Divergence{Kind: "time", Offset: -1, Text: fmt.Sprintf("the conversations took %v of virtual time, more than %v", r.Virtual.Round(time.Microsecond), most)})
	}
}
