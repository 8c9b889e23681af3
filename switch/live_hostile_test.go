package vswitch_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Frames that are none are refused also while so many wait that senders look for room.
func TestLiveRuntsWhileFramesWait(t *testing.T) {
	w, p, s := liveLAN(t, vswitch.SwitchConfig{}, vswitch.PortConfig{Name: "a"}, vswitch.PortConfig{Name: "b"})
	s[1].hold = make(chan struct{})
	must(t, w.Run(context.Background(), func(context.Context) error {
		defer close(s[1].hold)
		for i := range 100 {
			must(t, p[0].Send(frameTo(p[1].MAC(), p[0].MAC(), i, 60)))
		}
		for n := range vswitch.HeaderLen {
			if err := p[0].Send(make([]byte, n)); !errors.Is(err, vswitch.ErrRunt) {
				t.Errorf("a frame of %d bytes: %v", n, err)
			}
		}
		if err := p[0].Sendv(nil); !errors.Is(err, vswitch.ErrRunt) {
			t.Errorf("a frame in no pieces: %v", err)
		}
		return nil
	}))
}

// Frames of one sender to one receiver stay in order where cables have a rate or a
// latency, whether they wait for a timer or arrive at once.
func TestLiveOrderOnSlowCables(t *testing.T) {
	for name, cfg := range map[string]vswitch.PortConfig{
		"rate":    {Rate: 1_000_000_000},
		"latency": {Latency: 8 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			w, p, s := liveLAN(t, vswitch.SwitchConfig{}, cfg, cfg)
			const n = 2000
			must(t, w.Run(context.Background(), func(context.Context) error {
				for i := range n {
					size := 60
					if i%2 == 0 {
						size = 1514
					}
					must(t, p[0].Send(frameTo(p[1].MAC(), p[0].MAC(), i, size)))
					for began := time.Now(); time.Since(began) < time.Duration(i%40)*time.Microsecond; {
					}
				}
				s[1].await(t, n)
				return nil
			}))
			for i, f := range s[1].frames() {
				if got := binary.BigEndian.Uint32(f[14:]); int(got) != i {
					t.Fatalf("frame %d is number %d", i, got)
				}
			}
		})
	}
}

// What is delayed does not heap up before an endpoint that takes nothing.
func TestLiveDelayedFramesForADeadReceiver(t *testing.T) {
	w, p, s := liveLAN(t, vswitch.SwitchConfig{}, vswitch.PortConfig{Latency: 50 * time.Microsecond}, vswitch.PortConfig{Latency: 50 * time.Microsecond, Patience: -1})
	s[1].hold = make(chan struct{})
	defer close(s[1].hold)
	const n = 20_000
	must(t, w.Run(context.Background(), func(context.Context) error {
		for i := range n {
			must(t, p[0].Send(frameTo(p[1].MAC(), p[0].MAC(), i, 60)))
			if i%1000 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		return nil
	}))
	c := p[1].Counters()
	if c.RxLost[vswitch.LostQueue] == 0 || c.RxFrames+c.RxInFlight+c.RxLost[vswitch.LostQueue] != n {
		t.Errorf("%d delivered, %d in flight, %d lost of %d", c.RxFrames, c.RxInFlight, c.RxLost[vswitch.LostQueue], n)
	}
}

// The bound of what is in flight holds for copies that come later, for frames that are
// held, and for cables of which only the receiver's is slow.
func TestLiveInFlightIsBounded(t *testing.T) {
	const copies = vswitch.MaxCopies - 1
	for name, v := range map[string]vswitch.Verdict{
		"gap":    {Copies: copies, Gap: time.Second},
		"behind": {Copies: copies, Behind: 1, Within: time.Hour},
		"cable":  {Copies: copies},
	} {
		t.Run(name, func(t *testing.T) {
			to := vswitch.PortConfig{MTU: 65535}
			if name == "cable" {
				to.Latency = time.Hour
			}
			w, p, _ := liveLAN(t, vswitch.SwitchConfig{}, vswitch.PortConfig{MTU: 65535}, to)
			p[0].Switch().AddRule("many", vswitch.RuleFunc(func(_ *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
				if to == nil {
					return vswitch.Verdict{}
				}
				return v
			}))
			must(t, w.Run(context.Background(), func(context.Context) error {
				return p[0].Send(frameTo(p[1].MAC(), p[0].MAC(), 0, 65000)) // 650 MB in all
			}))
			if c := p[1].Counters(); c.RxLost[vswitch.LostQueue] != 1 || c.RxInFlight != 0 {
				t.Errorf("%d lost, %d in flight", c.RxLost[vswitch.LostQueue], c.RxInFlight)
			}
		})
	}
}

// Receivers that are slow, but take frames, lose none of several senders' broadcasts,
// copies among them.
func TestLiveBroadcastsWaitForAll(t *testing.T) {
	const senders, n = 4, 4000
	w := vswitch.NewWorld(vswitch.Config{RealTime: true})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	must(t, err)
	sw.AddRule("twice", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		if to == nil {
			return vswitch.Verdict{}
		}
		return vswitch.Verdict{Copies: 2}
	}))
	var slow, from []*vswitch.Port
	var got [3]atomic.Uint64
	for i := range got {
		p, err := sw.Connect(vswitch.PortConfig{Patience: time.Hour}, vswitch.EndpointFunc(func([]byte) {
			if got[i].Add(1)%1024 == uint64(i)*100 {
				time.Sleep(time.Duration(i) * 300 * time.Microsecond)
			}
		}))
		must(t, err)
		slow = append(slow, p)
	}
	for range senders {
		p, err := sw.Connect(vswitch.PortConfig{}, vswitch.EndpointFunc(func([]byte) {}))
		must(t, err)
		from = append(from, p)
	}
	must(t, w.Run(context.Background(), func(context.Context) error {
		var all sync.WaitGroup
		for _, p := range from {
			all.Go(func() {
				for i := range n {
					if err := p.Send(frameTo(vswitch.Broadcast, p.MAC(), i, 60)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		return nil
	}))
	for _, p := range slow {
		if c := p.Counters(); c.RxLost[vswitch.LostQueue] != 0 || c.RxFrames+c.RxInFlight != 3*senders*n || c.RxCopies != 2*senders*n {
			t.Errorf("%s: %+v", p.Name(), c)
		}
	}
}

// A sender that waits for room returns when its own port is closed.
func TestLiveClosedSenderWaitsForNobody(t *testing.T) {
	w, p, s := liveLAN(t, vswitch.SwitchConfig{}, vswitch.PortConfig{Name: "a"}, vswitch.PortConfig{Name: "dead", Patience: time.Hour})
	s[1].hold = make(chan struct{})
	defer close(s[1].hold)
	must(t, w.Run(context.Background(), func(context.Context) error {
		var sent atomic.Int64
		over := make(chan error, 1)
		go func() {
			for {
				if err := p[0].Send(frameTo(p[1].MAC(), p[0].MAC(), 0, 60)); err != nil {
					over <- err
					return
				}
				sent.Add(1)
			}
		}()
		for before := int64(-1); before != sent.Load() || before == 0; time.Sleep(10 * time.Millisecond) {
			before = sent.Load()
		}
		must(t, p[0].Close())
		select {
		case err := <-over:
			if !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("it waits for ever")
		}
		return nil
	}))
}

// Everything at once, and the books balance.
func TestLiveBooksBalance(t *testing.T) {
	rec := &liveBooks{ports: map[*vswitch.Port]*receiverBooks{}}
	w := vswitch.NewWorld(vswitch.Config{RealTime: true})
	sw, err := w.NewSwitch(vswitch.SwitchConfig{Recorder: rec, MACs: 4})
	must(t, err)
	var seq atomic.Uint32
	sw.AddRule("chaos", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		n := seq.Add(1)
		switch r := rand.New(rand.NewPCG(1, uint64(n))); {
		case to == nil:
			return vswitch.Verdict{}
		default:
			switch r.IntN(10) {
			case 0:
				return vswitch.Verdict{Drop: true}
			case 1:
				return vswitch.Verdict{Copies: r.IntN(3), Gap: time.Duration(r.IntN(2)) * time.Millisecond}
			case 2:
				return vswitch.Verdict{Delay: time.Duration(r.IntN(3000)) * time.Microsecond, Pad: r.IntN(3)}
			case 3:
				return vswitch.Verdict{Behind: 1 + r.IntN(3), Within: 2 * time.Millisecond}
			case 4:
				return vswitch.Verdict{Truncate: 14, Copies: 1, Behind: 1, Within: time.Hour}
			}
			return vswitch.Verdict{}
		}
	}))
	var ports []*vswitch.Port // senders keep theirs; guests come and go
	var mu sync.Mutex
	connect := func(cfg vswitch.PortConfig, stuck chan struct{}) *vswitch.Port {
		var p atomic.Pointer[vswitch.Port]
		calls := 0
		got, err := sw.Connect(cfg, vswitch.EndpointFunc(func(data []byte) {
			if stuck != nil {
				<-stuck
			}
			if calls++; calls%50 == 0 && p.Load() != nil { // endpoints answer
				_ = p.Load().Send(frameTo(vswitch.MAC(data[6:12]), p.Load().MAC(), 0, 14+calls%300))
			}
		}))
		must(t, err)
		p.Store(got)
		mu.Lock()
		defer mu.Unlock()
		ports = append(ports, got)
		return got
	}
	dead := make(chan struct{})
	for i := range 4 {
		connect(vswitch.PortConfig{MTU: 65535, Patience: 3 * time.Millisecond, Rate: int64(i%2) * 1_000_000_000, Latency: time.Duration(1 + i*20_000)}, nil)
	}
	connect(vswitch.PortConfig{Patience: time.Millisecond}, dead)
	fixed := ports[:4:4]
	_ = w.Run(context.Background(), func(ctx context.Context) error {
		var all sync.WaitGroup
		stop := make(chan struct{})
		for i, p := range fixed {
			all.Go(func() {
				r := rand.New(rand.NewPCG(2, uint64(i)))
				for n := range 4000 {
					dst := vswitch.Broadcast
					if r.IntN(2) == 0 {
						dst = fixed[r.IntN(4)].MAC()
					}
					size := []int{14, 18, 60, 1514, 9000, 65549}[min(r.IntN(7), r.IntN(7), 5)]
					f := sized(dst, p.MAC(), size)
					if size == 65549 {
						f = append(f, 1, 2, 3, 4)
						f[12], f[13] = 0x81, 0x00
					}
					if err := p.Send(f); err != nil {
						t.Errorf("frame %d of %d bytes: %v", n, len(f), err)
					}
				}
			})
		}
		var others sync.WaitGroup
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				q := connect(vswitch.PortConfig{Name: fmt.Sprint("guest", i), Patience: time.Millisecond}, nil)
				r := sw.AddRule("idle", vswitch.RuleFunc(func(*vswitch.Frame, *vswitch.Port) vswitch.Verdict { return vswitch.Verdict{} }))
				fixed[i%4].SetUp(i%8 > 3)
				_ = q.Send(sized(vswitch.Broadcast, q.MAC(), 60))
				time.Sleep(time.Millisecond)
				sw.Inspect(func() { _ = fixed[0].Counters(); _ = r.Counts() })
				r.SetOn(false)
				r.Remove()
				must(t, q.Close())
			}
		})
		all.Wait()
		close(stop)
		others.Wait()
		close(dead)
		return nil
	})
	must(t, w.Close())
	for _, p := range ports {
		c, b := p.Counters(), rec.of(p)
		if c.RxFrames+c.RxInFlight != b.arrivals || c.RxLost != b.lost || c.RxCopies != b.copies || c.TxFrames != b.sent || c.TxLost != b.txLost {
			t.Errorf("%s: the port says %+v\nthe recorder %+v", p.Name(), c, *b)
		}
	}
	if rec.disorder > 0 {
		t.Errorf("%d frames bear a stamp before that of the one before", rec.disorder)
	}
}

// liveBooks are what a recorder is told about each port.
type liveBooks struct {
	ports    map[*vswitch.Port]*receiverBooks
	last     time.Time
	disorder int
}

type receiverBooks struct {
	sent, arrivals, copies uint64
	lost, txLost           [6]uint64
}

func (b *liveBooks) of(p *vswitch.Port) *receiverBooks {
	if b.ports[p] == nil {
		b.ports[p] = &receiverBooks{}
	}
	return b.ports[p]
}

func (b *liveBooks) Record(e vswitch.Event) error {
	s, ok := e.(*vswitch.Sent)
	if !ok {
		return nil
	}
	if s.At.Before(b.last) {
		b.disorder++
	}
	b.last = s.At
	from := b.of(s.From)
	from.sent++
	if s.Lost != vswitch.NotLost {
		from.txLost[s.Lost]++
	}
	for i := range s.Receivers {
		rc := &s.Receivers[i]
		to := b.of(rc.Port)
		to.arrivals += uint64(len(rc.Arrivals))
		if rc.Lost != vswitch.NotLost {
			to.lost[rc.Lost]++
		} else {
			to.copies += uint64(len(rc.Arrivals) - 1)
		}
	}
	return nil
}

func (b *liveBooks) Close() error { return nil }

// A run does not end while frames are being handed over.
func TestLiveRunWaitsForFramesBeingHandedOver(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{RealTime: true})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	must(t, err)
	a, err := sw.Connect(vswitch.PortConfig{}, vswitch.EndpointFunc(func([]byte) {}))
	must(t, err)
	var got atomic.Int64
	b, err := sw.Connect(vswitch.PortConfig{}, vswitch.EndpointFunc(func([]byte) {
		time.Sleep(3 * time.Millisecond)
		got.Add(1)
	}))
	must(t, err)
	must(t, w.Run(context.Background(), func(context.Context) error {
		var frames [][]byte
		for i := range 20 {
			frames = append(frames, frameTo(b.MAC(), a.MAC(), i, 60))
		}
		_, err := a.SendBatch(frames)
		return err
	}))
	if got.Load() != 20 {
		t.Errorf("%d of 20 frames arrived", got.Load())
	}
}

// Worlds may be run, closed and plugged into at the same time: one that is closed first
// does not run, one that runs is closed afterwards, and nothing is left.
func TestLiveClosedAtAnyTime(t *testing.T) {
	for i := range 200 {
		w := vswitch.NewWorld(vswitch.Config{RealTime: true})
		sw, err := w.NewSwitch(vswitch.SwitchConfig{})
		must(t, err)
		var all sync.WaitGroup
		start := make(chan struct{})
		ran := false
		all.Go(func() {
			<-start
			err := w.Run(context.Background(), func(context.Context) error { ran = true; return nil })
			if ran != (err == nil) {
				t.Errorf("main ran: %v; Run: %v", ran, err)
			}
		})
		for range 2 {
			all.Go(func() {
				<-start
				for range 10 {
					p, err := sw.Connect(vswitch.PortConfig{}, vswitch.EndpointFunc(func([]byte) {}))
					if err != nil {
						if !errors.Is(err, net.ErrClosed) {
							t.Error(err)
						}
						return
					}
					if node, err := w.NewNode(p.Name()); err == nil {
						node.OnMidClose(func() vswitch.MidClose { return vswitch.MidClose{} })
						node.OnClose(func() {})
					}
					_ = p.Send(frameTo(vswitch.Broadcast, p.MAC(), 0, 60))
				}
			})
		}
		close(start)
		time.Sleep(time.Duration(i%20) * 5 * time.Microsecond)
		for w.Close() != nil {
			time.Sleep(50 * time.Microsecond)
		}
		all.Wait()
	}
}
