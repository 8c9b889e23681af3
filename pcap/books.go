package pcap

import (
	"errors"
	"fmt"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Book is a balance. It balances: Receivers + Copies = Delivered + InFlight + the
// sum of Lost.
type Book struct {
	Receivers uint64 // frames × ports that the switch forwarded them to
	Copies    uint64 // that rules made, of frames that were not lost
	Delivered uint64
	InFlight  uint64                  // on their way when their port was closed or the recording ends
	Lost      [len(losses) + 1]uint64 // by cause, a vswitch.Loss
}

func (b *Book) add(o *Book) {
	b.Receivers += o.Receivers
	b.Copies += o.Copies
	b.Delivered += o.Delivered
	b.InFlight += o.InFlight
	for i := range b.Lost {
		b.Lost[i] += o.Lost[i]
	}
}

// Balances reports whether all that was to arrive is accounted for.
func (b *Book) Balances() bool {
	accounted := b.Delivered + b.InFlight
	for _, n := range b.Lost {
		accounted += n
	}
	return b.Receivers+b.Copies == accounted
}

// PortBook is the balance of a port as a receiver, and what it sent.
type PortBook struct {
	Name string
	Book
	Sent     uint64                  // frames
	SentLost [len(losses) + 1]uint64 // of these, lost before forwarding, by cause

	// Counters are what the port's statistics block says; HasCounters tells
	// whether there is one.
	Counters    vswitch.Counters
	HasCounters bool
	// RecorderLost is how many more it sent, which the recorder lost.
	RecorderLost uint64
}

// Books are the balance of a recording.
type Books struct {
	Frames uint64     // sent
	Total  Book       // of all ports
	Ports  []PortBook // by interface

	// Partial says why the counters are not those of the frames in the file; else "".
	Partial string

	real bool // when something arrived the stamps do not tell exactly
}

// ErrUnbalanced: the books of a recording do not balance. Compare with [errors.Is].
var ErrUnbalanced = errors.New("the books do not balance")

// Balance counts what became of all frames of a wire recording, from what stands
// in the file alone; r must be at its start. frame, if not nil, is called for
// each frame when all of its copies have arrived or are lost.
//
// Errors are those of [Deliveries]. With a [*TruncatedError] it also returns the
// books of what there is.
func Balance(r *Reader, frame func(p *Packet, b Book)) (*Books, error) {
	t, err := newTimeline(r)
	if err != nil {
		return nil, err
	}
	t.settled = frame
	err = t.run()
	if err != nil && !isCut(err) {
		return nil, err
	}
	b := &Books{Frames: t.frames, Total: t.total, real: t.real}
	if t.meta.After > 0 && t.meta.File == 0 {
		b.Partial = fmt.Sprintf("it begins after frame %d of the run", t.meta.After)
	}
	lost := uint64(0)
	for i := range t.ports {
		p := &t.ports[i]
		if p.Stats != nil && p.Stats.IsPort {
			p.book.Counters, p.book.HasCounters = p.Stats.Port.Counters, true
			p.book.RecorderLost = p.Stats.Lost
			lost += p.Stats.Lost
		}
		b.Ports = append(b.Ports, p.book)
	}
	if lost > 0 {
		b.Partial = fmt.Sprintf("its recorder lost %d frames", lost)
	}
	return b, err
}

// Check holds the books against themselves and against the counters that the
// switch kept, and returns the first contradiction as an [ErrUnbalanced].
//
// Of a recording made in real time it compares what was delivered or in flight at the
// end only together: frames arrive when the machine gets to it, not when they are due.
// Where the file is [Books.Partial], it has no frames for some of the counters, and
// they are not compared.
func (b *Books) Check() error {
	if !b.Total.Balances() {
		return fmt.Errorf("%w: %+v", ErrUnbalanced, b.Total)
	}
	for i := range b.Ports {
		if err := b.Ports[i].check(b); err != nil {
			return fmt.Errorf("port %s: %w", escape(b.Ports[i].Name), err)
		}
	}
	return nil
}

func (p *PortBook) check(b *Books) error {
	if !p.Balances() {
		return fmt.Errorf("%w: %+v", ErrUnbalanced, p.Book)
	}
	if !p.HasCounters || b.Partial != "" {
		return nil
	}
	type row struct {
		what          string
		frames, count uint64
	}
	c := &p.Counters
	rows := []row{{"sent", p.Sent, c.TxFrames}, {"copies", p.Copies, c.RxCopies}}
	if b.real {
		rows = append(rows, row{"delivered or in flight at the end", p.Delivered + p.InFlight, c.RxFrames + c.RxInFlight})
	} else {
		rows = append(rows, row{"delivered", p.Delivered, c.RxFrames}, row{"in flight at the end", p.InFlight, c.RxInFlight})
	}
	for _, l := range losses {
		rows = append(rows, row{"lost as receiver: " + l.String(), p.Lost[l], c.RxLost[l]})
	}
	for _, l := range losses {
		rows = append(rows, row{"lost as sender: " + l.String(), p.SentLost[l], c.TxLost[l]})
	}
	for _, row := range rows {
		if row.frames != row.count {
			return fmt.Errorf("%w: %s: %d by the frames, %d by the port's counters", ErrUnbalanced, row.what, row.frames, row.count)
		}
	}
	return nil
}
