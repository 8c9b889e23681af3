package pcap

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Limits of what is rebuilt from a file that others may have made.
const (
	maxInFlight = 1 << 20 // copies on their way at once
	maxInstant  = 1 << 20 // frames sent at one instant
)

// Delivery is one copy of a frame as it reached a receiver.
type Delivery struct {
	Time      time.Time
	Interface int     // of the receiver, an index into [Reader.Interfaces]
	Port      string  // its name
	Copy      int     // 0 for the frame itself, from 1 for copies that rules made
	Frame     *Packet // the frame as it was sent
	// Data is the frame as it arrived, with its Ethernet header. It may be
	// Frame.Data, or shared with other deliveries: do not change it.
	Data []byte

	of    *frameFate
	index int        // in the heap
	held  *heldFrame // if it may yet come earlier
}

// frameFate is a frame with what is known of it so far.
type frameFate struct {
	Fate
	book    Book
	pending int // copies on their way
}

// timeline rebuilds a run from its wire recording: frames as they were sent and
// copies as they arrived, in order of time; at one instant first the arrivals,
// in order of (interface, frame, copy), then the frames sent, in their order.
//
// Of the arrivals at a port that was closed, those later than its closing stay
// in flight. Of those at that very instant, the first ones arrived, as many as
// the port's counters say; only they know what else that instant held. In a cut
// recording, what arrives after its last instant stays in flight. A recording
// that editcap or mergecap saved has no statistics: there, all that was in flight
// counts as arrived. So it does at ports that stay open in the next file.
//
// In recordings made in real time, stamps of different ports may be out of order.
// Frames enter in the order of the file all the same, each at its stamp.
type timeline struct {
	r     *Reader
	meta  Meta
	real  bool                  // recorded in real time
	ports []timelinePort        // by interface
	owner map[vswitch.MAC][]int // ports by address, in order of connection
	names map[string][]int      // ports by name, likewise
	known int                   // interfaces in these maps

	next   *Packet // read, and not yet of the batch
	end    error   // why there is no next
	began  bool
	batch  []*Packet
	flying arrivals
	held   vswitch.Holds[way, *Delivery]
	frames uint64
	total  Book

	// Visitors; each may be nil.
	sent      func(p *Packet, f *Fate) error
	delivered func(d *Delivery) error
	settled   func(p *Packet, b Book) // all that became of a frame
}

type timelinePort struct {
	*Interface // the reader's: it gets its statistics when they are read
	book       PortBook
}

// arrivals is a heap of deliveries in their order.
type arrivals []*Delivery

func (a arrivals) Len() int { return len(a) }
func (a arrivals) Less(i, j int) bool {
	x, y := a[i], a[j]
	return cmp.Or(x.Time.Compare(y.Time), cmp.Compare(x.Interface, y.Interface),
		cmp.Compare(x.Frame.ID, y.Frame.ID), cmp.Compare(x.Frame.Number, y.Frame.Number), cmp.Compare(x.Copy, y.Copy)) < 0
}
func (a arrivals) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].index, a[j].index = i, j
}
func (a *arrivals) Push(x any) {
	d := x.(*Delivery)
	d.index = len(*a)
	*a = append(*a, d)
}
func (a *arrivals) Pop() any {
	old := *a
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*a = old[:len(old)-1]
	return d
}

// newTimeline starts at r's next packet, which must be its first.
func newTimeline(r *Reader) (*timeline, error) {
	meta, ok := r.Meta()
	switch {
	case !ok:
		return nil, fmt.Errorf("%s: %w: %w", r.Name(), ErrNotRecording, r.MetaError())
	case meta.View != "wire":
		return nil, fmt.Errorf("%s: %w: it is the view %q of one; give the recording it was made from", r.Name(), ErrNotRecording, meta.View)
	}
	return &timeline{r: r, meta: meta, real: meta.Clock != "virtual", owner: map[vswitch.MAC][]int{}, names: map[string][]int{}}, nil
}

// run visits everything. It returns nil at the end of the recording, and the
// reader's error otherwise; what a cut recording holds is visited first.
func (t *timeline) run() error {
	for {
		if err := t.readBatch(); err != nil {
			return err
		}
		if len(t.batch) == 0 {
			break
		}
		now := t.batch[0].Time
		if err := t.arrive(func(at time.Time) bool { return !at.After(now) }); err != nil {
			return err
		}
		for i, p := range t.batch {
			if err := t.send(p); err != nil {
				return err
			}
			t.batch[i] = nil
		}
	}
	err := t.arrive(func(time.Time) bool { return true })
	if err == nil && t.end != io.EOF {
		err = t.end
	}
	return err
}

// readBatch reads all frames of the next instant.
func (t *timeline) readBatch() error {
	t.batch = t.batch[:0]
	if !t.began {
		t.began = true
		t.advance()
	}
	for t.next != nil {
		p := t.next
		if len(t.batch) > 0 {
			switch at := t.batch[0].Time; {
			case p.Time.After(at):
				return nil
			case p.Time.Before(at) && t.real:
				return nil
			case p.Time.Before(at):
				return t.wrong(p, "is older than the frame before it; recordings are in order of time (reordercap puts them so)")
			case len(t.batch) == maxInstant:
				return t.wrong(p, "is one of more than %d frames at one instant", maxInstant)
			}
		}
		if p.Direction != Outbound {
			return t.wrong(p, "is not marked outbound, as all frames of a wire recording are")
		}
		t.batch = append(t.batch, p)
		t.advance()
	}
	if t.end != io.EOF && !isCut(t.end) {
		return t.end
	}
	return nil
}

// isCut reports whether err is a [*TruncatedError].
func isCut(err error) bool {
	var cut *TruncatedError
	return errors.As(err, &cut)
}

// advance reads the next packet, and takes note of ports that came.
func (t *timeline) advance() {
	t.next, t.end = t.r.Next()
	ifaces := t.r.src.interfaces()
	for ; t.known < len(ifaces); t.known++ {
		p := ifaces[t.known]
		t.ports = append(t.ports, timelinePort{Interface: p, book: PortBook{Name: p.Name}})
		t.owner[p.Port.MAC] = append(t.owner[p.Port.MAC], t.known)
		t.names[p.Name] = append(t.names[p.Name], t.known)
	}
}

func (t *timeline) wrong(p *Packet, format string, args ...any) error {
	return fmt.Errorf("%s: frame %d (%s) %s: %w", t.r.Name(), p.Number, atByte(p.Offset, t.r.zip), fmt.Sprintf(format, args...), ErrNotRecording)
}

// present reports whether port i was connected when frame seq entered.
func (t *timeline) present(i int, seq uint64) bool {
	p := &t.ports[i]
	if p.Port.After >= seq {
		return false
	}
	return p.Stats == nil || !p.Stats.IsPort || p.Stats.Port.Until >= seq
}

// latest returns the last of the ports that was connected when frame seq entered.
func (t *timeline) latest(ports []int, seq uint64) (int, bool) {
	for _, i := range slices.Backward(ports) {
		if t.ports[i].Port.After < seq {
			return i, true
		}
	}
	return 0, false
}

// receivers returns the interfaces the frame was forwarded to, in port order.
func (t *timeline) receivers(p *Packet, f *Fate) ([]int, error) {
	if len(f.Lost) > 0 && f.Lost[0].At == "" {
		return nil, nil
	}
	var to []int
	switch f.To {
	case ToOwner:
		if len(p.Data) < vswitch.HeaderLen {
			return nil, t.wrong(p, "has %d bytes, not even an Ethernet header", len(p.Data))
		}
		i, ok := t.latest(t.owner[vswitch.MAC(p.Data[0:6])], p.ID)
		if !ok {
			return nil, t.wrong(p, "goes to %v, which no port owns", vswitch.MAC(p.Data[0:6]))
		}
		return append(to, i), nil
	case ToAll:
		for i := range t.ports {
			if i != p.Interface && t.present(i, p.ID) {
				to = append(to, i)
			}
		}
	case ToNames:
		for _, name := range f.Names {
			i, ok := t.latest(t.names[name], p.ID)
			if !ok {
				return nil, t.wrong(p, "goes to port %s, which is not in the file", escape(name))
			}
			to = append(to, i)
		}
	}
	return to, nil
}

// send works out the fate of one frame.
func (t *timeline) send(p *Packet) error {
	parsed, err := ParseFate(p.Comments)
	if err != nil {
		return fmt.Errorf("%s: frame %d (%s): %w", t.r.Name(), p.Number, atByte(p.Offset, t.r.zip), err)
	}
	f := &frameFate{Fate: parsed}
	from := &t.ports[p.Interface]
	switch {
	case !from.IsPort:
		return t.wrong(p, "is on interface %d, whose description is not that of a port", p.Interface)
	case p.ID == 0:
		return t.wrong(p, "has no packet id")
	}
	if t.sent != nil {
		if err := t.sent(p, &f.Fate); err != nil {
			return err
		}
	}
	t.frames++
	from.book.Sent++
	if len(f.Lost) > 0 && f.Lost[0].At == "" {
		from.book.SentLost[f.Lost[0].Cause]++
	}
	to, err := t.receivers(p, &f.Fate)
	if err != nil {
		return err
	}
	for _, i := range to {
		if err := t.receive(p, f, i); err != nil {
			return err
		}
	}
	t.settle(p, f)
	return nil
}

// settle closes the books of a frame of which no copy is on its way any more.
func (t *timeline) settle(p *Packet, f *frameFate) {
	if f.pending > 0 {
		return
	}
	t.total.add(&f.book)
	if t.settled != nil {
		t.settled(p, f.book)
	}
}

// receive works out what receiver i gets of a frame.
func (t *timeline) receive(p *Packet, f *frameFate, i int) error {
	to := &t.ports[i]
	if !to.IsPort {
		return t.wrong(p, "goes to interface %d, whose description is not that of a port", i)
	}
	pl := planFor(&f.Fate, to.Name, t.ports[p.Interface].Port.Latency+to.Port.Latency, nil)
	to.book.Receivers++
	f.book.Receivers++
	if lost := f.lossOf(to.Name, &pl); lost != vswitch.NotLost {
		to.book.Lost[lost]++
		f.book.Lost[lost]++
		return nil
	}
	n := 1 + pl.copies
	var late []time.Duration
	if k := slices.IndexFunc(f.Queued, func(q Queued) bool { return q.At == to.Name }); k >= 0 {
		late = f.Queued[k].By
		n = len(late)
	}
	to.book.Copies += uint64(n - 1)
	f.book.Copies += uint64(n - 1)
	if t.flying.Len()+n > maxInFlight {
		return t.wrong(p, "makes more than %d copies on their way at once", maxInFlight)
	}
	data, bad := pl.apply(p.Data)
	if bad != nil {
		return t.wrong(p, "has %d bytes, and %d bytes at offset %d are said to be changed", len(p.Data), len(bad.New), bad.Offset)
	}
	on := way{p.Interface, i}
	var hold *heldFrame
	if pl.behind > 0 {
		hold = t.held.Hold(on, pl.behind)
	}
	for k := range n {
		at := pl.arrival(p.Time, k)
		if late != nil {
			at = at.Add(late[k])
		}
		if !at.After(p.Time) {
			return t.wrong(p, "arrives at %s before it is sent", escape(to.Name))
		}
		d := &Delivery{Time: at, Interface: i, Port: to.Name, Copy: k, Frame: p, Data: data, of: f, held: hold}
		heap.Push(&t.flying, d)
		f.pending++
		switch {
		case hold != nil:
			hold.Copies = append(hold.Copies, d)
		case k == 0:
			t.passed(on, at)
		}
	}
	return nil
}

// lossOf returns why the receiver name gets nothing, or NotLost.
func (f *Fate) lossOf(name string, pl *plan) vswitch.Loss {
	for _, l := range f.Lost {
		if l.At == name {
			return l.Cause
		}
	}
	if pl.drop {
		return vswitch.DroppedByRule
	}
	return vswitch.NotLost
}

// arrive lets everything arrive that is due.
func (t *timeline) arrive(due func(time.Time) bool) error {
	for t.flying.Len() > 0 && due(t.flying[0].Time) {
		d := heap.Pop(&t.flying).(*Delivery)
		to := &t.ports[d.Interface]
		if h := d.held; h != nil {
			t.unhold(h)
		}
		d.of.pending--
		if t.gone(to, d.Time) {
			to.book.InFlight++
			d.of.book.InFlight++
			t.settle(d.Frame, d.of)
			continue
		}
		to.book.Delivered++
		d.of.book.Delivered++
		if t.delivered != nil {
			if err := t.delivered(d); err != nil {
				return err
			}
		}
		t.settle(d.Frame, d.of)
	}
	return nil
}

// gone reports whether a port was closed, or the recording is cut off, when a
// copy would have arrived.
func (t *timeline) gone(p *timelinePort, at time.Time) bool {
	if p.Stats == nil || !p.Stats.IsPort || p.Stats.End.IsZero() {
		return isCut(t.end) && len(t.batch) == 0
	}
	if p.Stats.Port.Open {
		return false
	}
	if at.Equal(p.Stats.End) && !t.real {
		return p.book.Delivered >= p.Stats.Port.RxFrames
	}
	return at.After(p.Stats.End)
}
