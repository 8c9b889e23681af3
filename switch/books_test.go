package vswitch_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// books is a recorder that keeps accounts of what it is told, and compares them
// with the ports' own at the end.
type books struct {
	t        errorer
	accounts []*account // by port number
	pending  map[uint64]*fate
	last     time.Time
	lastSeq  uint64
	model    *bridge // says who the receivers ought to be; may be nil
}

type errorer interface {
	Errorf(format string, args ...any)
}

type account struct {
	port                      *vswitch.Port
	want                      vswitch.Counters
	connected, closed         bool
	forwarded, lost, received uint64
}

// fate is what a frame's receivers have yet to get.
type fate struct {
	data     []byte
	arrivals map[int][]time.Time // of those held: the latest
	verdicts map[int][]vswitch.Verdict
	behind   map[int]int // held behind so many
	from     *vswitch.Port
}

func newBooks(t errorer) *books { return &books{t: t, pending: map[uint64]*fate{}} }

func (b *books) WantDeliveries() bool { return true }
func (b *books) Close() error         { return nil }

func (b *books) of(p *vswitch.Port) *account {
	for len(b.accounts) <= p.Number() {
		b.accounts = append(b.accounts, &account{})
	}
	a := b.accounts[p.Number()]
	a.port = p
	return a
}

func (b *books) Record(e vswitch.Event) error {
	switch e := e.(type) {
	case *vswitch.Connected:
		b.inOrder(e.Time)
		b.of(e.Port).connected = true
	case *vswitch.Disconnected:
		b.inOrder(e.Time)
		a := b.of(e.Port)
		if a.closed {
			b.t.Errorf("%s disconnected twice", e.Port.Name())
		}
		a.closed = true
		b.model.forget(e.Port)
		b.balance(a)
	case *vswitch.Sent:
		b.inOrder(e.At)
		b.sent(e)
	case *vswitch.Delivered:
		b.inOrder(e.Time)
		b.delivered(e)
	}
	return nil
}

func (b *books) inOrder(at time.Time) {
	if at.Before(b.last) {
		b.t.Errorf("an event at %v after one at %v", at, b.last)
	}
	b.last = at
}

func (b *books) sent(e *vswitch.Sent) {
	from := b.of(e.From)
	from.want.TxFrames++
	from.want.TxBytes += uint64(len(e.Data))
	if e.Seq != b.lastSeq+1 {
		b.t.Errorf("frame %d after frame %d", e.Seq, b.lastSeq)
	}
	b.lastSeq = e.Seq
	if !from.connected || from.closed {
		b.t.Errorf("#%d sent by %s, which is not connected", e.Seq, e.From.Name())
	}
	if e.Lost != vswitch.NotLost {
		from.want.TxLost[e.Lost]++
		if len(e.Receivers) > 0 {
			b.t.Errorf("#%d lost (%s) and forwarded", e.Seq, e.Lost)
		}
	}
	b.receivers(e)
	f := &fate{data: bytes.Clone(e.Data), arrivals: map[int][]time.Time{}, verdicts: map[int][]vswitch.Verdict{},
		behind: map[int]int{}, from: e.From}
	b.pending[e.Seq] = f
	before := -1
	for _, r := range e.Receivers {
		n := r.Port.Number()
		a := b.of(r.Port)
		if r.Port == e.From || n <= before || a.closed {
			b.t.Errorf("#%d: receiver %s is the ingress, out of order, or closed", e.Seq, r.Port.Name())
		}
		before = n
		dropped, copies := false, 0
		for _, h := range e.Hits {
			if h.To == nil || h.To == r.Port {
				dropped = dropped || h.Drop
				copies += h.Copies
				f.verdicts[n] = append(f.verdicts[n], h.Verdict)
				if h.Behind > 0 {
					f.behind[n] = h.Behind
				}
			}
		}
		if dropped != (r.Lost == vswitch.DroppedByRule) {
			b.t.Errorf("#%d to %s: dropped %v, lost %q", e.Seq, r.Port.Name(), dropped, r.Lost)
		}
		if lost := r.Lost != vswitch.NotLost; lost == (len(r.Arrivals) > 0) || !lost && len(r.Arrivals) != 1+copies {
			b.t.Errorf("#%d to %s: lost %q, %d copies, arrivals %v", e.Seq, r.Port.Name(), r.Lost, copies, r.Arrivals)
		}
		a.forwarded++
		if r.Lost != vswitch.NotLost {
			a.want.RxLost[r.Lost]++
			a.lost++
			continue
		}
		a.want.RxCopies += uint64(copies)
		for _, at := range r.Arrivals {
			if at.Before(e.At.Add(e.From.Latency() + r.Port.Latency())) {
				b.t.Errorf("#%d reaches %s %v after it was sent: faster than the cables", e.Seq, r.Port.Name(), at.Sub(e.At))
			}
		}
		f.arrivals[n] = slices.Clone(r.Arrivals)
		if f.behind[n] == 0 {
			b.passed(e, n, r.Arrivals[0])
		}
	}
}

// passed moves the frames that the frame e, which arrives at port n at instant at,
// is the last to pass.
func (b *books) passed(e *vswitch.Sent, n int, at time.Time) {
	for seq, f := range b.pending {
		if seq == e.Seq || f.from != e.From || f.behind[n] == 0 || len(f.arrivals[n]) == 0 || !f.arrivals[n][0].After(e.At) {
			continue
		}
		if f.behind[n]--; f.behind[n] > 0 {
			continue
		}
		earlier := max(0, f.arrivals[n][0].Sub(at.Add(1)))
		for k := range f.arrivals[n] {
			f.arrivals[n][k] = f.arrivals[n][k].Add(-earlier)
		}
	}
}

// receivers compares who the frame went to with the model and with the words that
// describe it.
func (b *books) receivers(e *vswitch.Sent) {
	var open, got []*vswitch.Port
	for _, a := range b.accounts {
		if a.connected && !a.closed && a.port != e.From {
			open = append(open, a.port)
		}
	}
	for _, r := range e.Receivers {
		got = append(got, r.Port)
	}
	if all := len(got) > 0 && slices.Equal(got, open); e.All != all {
		b.t.Errorf("#%d: All is %v, receivers %s of %s", e.Seq, e.All, portNames(got), portNames(open))
	}
	if simple := len(got) == 1 && got[0].MAC() == e.Dst(); e.Simple != simple {
		b.t.Errorf("#%d for %v: Simple is %v, receivers %s", e.Seq, e.Dst(), e.Simple, portNames(got))
	}
	if b.model == nil || e.Lost == vswitch.LostDown || e.Lost == vswitch.LostQueue {
		return
	}
	want, reserved := b.model.forward(e, open)
	if reserved != (e.Lost == vswitch.LostReserved) || !slices.Equal(got, want) {
		b.t.Errorf("#%d from %s: lost %q, receivers %s; want %s, reserved %v", e.Seq, e.From.Name(), e.Lost,
			portNames(got), portNames(want), reserved)
	}
}

func portNames(ports []*vswitch.Port) []string {
	var names []string
	for _, p := range ports {
		names = append(names, p.Name())
	}
	return names
}

func (b *books) delivered(e *vswitch.Delivered) {
	a, f := b.of(e.Port), b.pending[e.Seq]
	a.received++
	a.want.RxFrames++
	a.want.RxBytes += uint64(len(e.Data))
	i := -1
	if f != nil {
		i = slices.IndexFunc(f.arrivals[e.Port.Number()], e.Time.Equal)
	}
	if i < 0 {
		b.t.Errorf("#%d reaches %s at %v, unannounced", e.Seq, e.Port.Name(), e.Time)
		return
	}
	f.arrivals[e.Port.Number()] = slices.Delete(f.arrivals[e.Port.Number()], i, i+1)
	f.behind[e.Port.Number()] = 0 // its copies do not wait any more
	want := bytes.Clone(f.data)
	for _, v := range f.verdicts[e.Port.Number()] {
		for _, ed := range v.Edits {
			if ed.Offset < len(want) {
				copy(want[ed.Offset:], ed.New)
			}
		}
		if v.Truncate > 0 {
			want = want[:min(len(want), v.Truncate)]
		}
		want = append(want, make([]byte, v.Pad)...)
	}
	if !bytes.Equal(e.Data, want) {
		b.t.Errorf("#%d reaches %s as %x, want %x", e.Seq, e.Port.Name(), e.Data, want)
	}
}

// balance compares a port's own books with the recorder's, when it closes.
func (b *books) balance(a *account) {
	for _, f := range b.pending {
		a.want.RxInFlight += uint64(len(f.arrivals[a.port.Number()]))
	}
	got := a.port.Counters()
	// Frames that Send refused are in no recording.
	a.want.Runts, a.want.Oversize, a.want.TxQueueFull = got.Runts, got.Oversize, got.TxQueueFull
	if got != a.want {
		b.t.Errorf("%s's books:\n got %+v\nwant %+v", a.port.Name(), got, a.want)
	}
	if left, right := a.forwarded+got.RxCopies, got.RxFrames+a.lost+got.RxInFlight; left != right {
		b.t.Errorf("%s: forwarded %d + copies %d ≠ received %d + lost %d + in flight %d", a.port.Name(),
			a.forwarded, got.RxCopies, got.RxFrames, a.lost, got.RxInFlight)
	}
}

func (b *books) finish(w *vswitch.World) {
	for _, a := range b.accounts {
		if !a.closed {
			b.t.Errorf("%s never disconnected", a.port.Name())
		}
	}
	if got := w.Stats().Frames; got != b.lastSeq {
		b.t.Errorf("the world counts %d frames, the recorder %d", got, b.lastSeq)
	}
}

// Whatever is sent over whatever cables under whatever rules, every frame is
// accounted for at every port.
func TestBooksBalance(t *testing.T) {
	if testing.Short() {
		t.Log("fewer runs in short mode")
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := newBooks(rt)
		w := vswitch.NewWorld(vswitch.Config{})
		defer w.Close()
		cfg := vswitch.SwitchConfig{
			Hub:      rapid.Bool().Draw(rt, "hub"),
			MACs:     rapid.IntRange(1, 8).Draw(rt, "MACs"),
			Ageing:   time.Duration(rapid.IntRange(1, 20).Draw(rt, "ageing")) * ms,
			Recorder: b,
		}
		b.model = &bridge{cfg: cfg}
		sw, err := w.NewSwitch(cfg)
		must(t, err)
		node := newNode(t, w, "script")
		connect := func(rt *rapid.T) *vswitch.Port {
			p, err := sw.Connect(vswitch.PortConfig{
				MTU:     rapid.SampledFrom([]int{40, 100, 1500}).Draw(rt, "MTU"),
				Latency: time.Duration(rapid.IntRange(1, 5_000_000).Draw(rt, "latency")),
				Rate:    rapid.SampledFrom([]int64{0, 0, 100_000, 1_000_000}).Draw(rt, "rate"),
				Queue:   rapid.IntRange(1, 5).Draw(rt, "queue"),
			}, vswitch.EndpointFunc(func(data []byte) { clear(data) }))
			must(t, err)
			return p
		}
		ports := make([]*vswitch.Port, rapid.IntRange(1, 5).Draw(rt, "ports"))
		for i := range ports {
			ports[i] = connect(rt)
		}
		for i := range rapid.IntRange(0, 3).Draw(rt, "rules") {
			sw.AddRule(fmt.Sprint("r", i), drawnRule(rapid.Uint64().Draw(rt, "rule")))
		}
		sent := map[*vswitch.Port]uint64{}
		horizon := time.Duration(0)
		for range rapid.IntRange(0, 60).Draw(rt, "steps") {
			at := time.Duration(rapid.IntRange(0, 30_000).Draw(rt, "at")) * time.Microsecond
			horizon = max(horizon, at)
			p := rapid.SampledFrom(ports).Draw(rt, "port")
			switch rapid.IntRange(0, 19).Draw(rt, "what") {
			case 0:
				node.StackClock().AfterFunc(at, func() { _ = p.Close() })
			case 1, 2:
				up := rapid.Bool().Draw(rt, "up")
				node.StackClock().AfterFunc(at, func() { p.SetUp(up) })
			default:
				f := drawFrame(rt, ports)
				copies := rapid.IntRange(1, 4).Draw(rt, "times")
				node.StackClock().AfterFunc(at, func() {
					for range copies {
						if p.Send(f) == nil {
							sent[p]++
						}
					}
				})
			}
		}
		err = w.Run(t.Context(), mainSleep(node, horizon))
		if err != nil {
			rt.Fatalf("Run: %v", err)
		}
		b.finish(w)
		for _, p := range ports {
			if got := p.Counters().TxFrames; got != sent[p] {
				rt.Errorf("%s: Send took %d frames, %d entered", p.Name(), sent[p], got)
			}
		}
	})
}

// drawFrame draws a frame of any length from 0 and of every kind of address.
func drawFrame(rt *rapid.T, ports []*vswitch.Port) []byte {
	addrs := []vswitch.MAC{vswitch.Broadcast, group, {0x01, 0x80, 0xc2}, {2, 0, 9}, {2, 0, 8}}
	for _, p := range ports {
		addrs = append(addrs, p.MAC(), p.MAC())
	}
	dst := rapid.SampledFrom(addrs).Draw(rt, "dst")
	src := rapid.SampledFrom(addrs).Draw(rt, "src")
	f := ether(dst, src, string(rapid.SliceOfN(rapid.Byte(), 0, 120).Draw(rt, "payload")))
	if rapid.IntRange(0, 9).Draw(rt, "tag") == 0 {
		f[12], f[13] = 0x81, 0
	}
	if rapid.IntRange(0, 19).Draw(rt, "runt") == 0 {
		f = f[:rapid.IntRange(0, len(f)).Draw(rt, "cut")]
	}
	return f
}

// drawnRule decides by a draw keyed to frame and cable: drops, copies, delays,
// changes bytes, addresses included.
func drawnRule(seed uint64) vswitch.Rule {
	return vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) (v vswitch.Verdict) {
		where := "sender"
		if to != nil {
			where = to.Name()
		}
		r := vswitch.NewRand(seed, fmt.Sprint(f.Seq), where)
		switch r.IntN(11) {
		case 8:
			v.Truncate = vswitch.HeaderLen + r.IntN(60)
		case 9:
			v.Pad = r.IntN(10)
		case 10:
			v.Behind, v.Within, v.Copies = 1+r.IntN(3), time.Duration(1+r.IntN(10_000))*time.Microsecond, r.IntN(2)
		case 0:
			v.Drop = true
		case 1:
			v.Copies, v.Gap = r.IntN(4), time.Duration(r.IntN(1000))*time.Microsecond
		case 2:
			v.Delay = time.Duration(r.IntN(10000)) * time.Microsecond
		case 3:
			at := r.IntN(len(f.Data))
			v.Edits = []vswitch.Edit{{Offset: at, Old: bytes.Clone(f.Data[at : at+1]), New: []byte{byte(r.IntN(256))}}}
		}
		return v
	})
}

func TestRefusedFramesAreCountedAndNotRecorded(t *testing.T) {
	b := newBooks(t)
	l := newLAN(t, vswitch.SwitchConfig{Recorder: b}, "a", "b")
	a := l.stations["a"]
	l.at(0, func() {
		for _, n := range []int{0, 13, 1515, 70000} {
			if err := a.Send(make([]byte, n)); err == nil || errors.Is(err, vswitch.ErrQueueFull) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	})
	l.run()
	b.finish(l.w)
	equal(t, "books", a.Counters(), vswitch.Counters{Runts: 2, Oversize: 2})
}
