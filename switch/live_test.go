package vswitch_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// sink is an endpoint that keeps what arrives.
type sink struct {
	mu   sync.Mutex
	got  [][]byte
	hold chan struct{} // if not nil, the first frame waits for it
}

func (s *sink) Deliver(data []byte) {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, bytes.Clone(data))
}

func (s *sink) frames() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

// await waits until the sink has n frames.
func (s *sink) await(t testing.TB, n int) [][]byte {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); len(s.frames()) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d frames arrived, want %d", len(s.frames()), n)
		}
	}
	return s.frames()
}

// liveLAN is a world in real time with sinks.
func liveLAN(t testing.TB, cfg vswitch.SwitchConfig, ports ...vswitch.PortConfig) (*vswitch.World, []*vswitch.Port, []*sink) {
	t.Helper()
	w := vswitch.NewWorld(vswitch.Config{RealTime: true})
	t.Cleanup(func() { must(t, w.Close()) })
	sw, err := w.NewSwitch(cfg)
	must(t, err)
	var all []*vswitch.Port
	var sinks []*sink
	for _, c := range ports {
		s := &sink{}
		p, err := sw.Connect(c, s)
		must(t, err)
		all, sinks = append(all, p), append(sinks, s)
	}
	return w, all, sinks
}

// frameTo is a frame with a number in it.
func frameTo(dst, src vswitch.MAC, n, size int) []byte {
	f := sized(dst, src, max(size, 18))
	binary.BigEndian.PutUint32(f[14:], uint32(n))
	return f
}

func TestLiveForwardsInOrderToEachReceiver(t *testing.T) {
	w, p, s := liveLAN(t, vswitch.SwitchConfig{}, vswitch.PortConfig{Name: "a"}, vswitch.PortConfig{Name: "b"}, vswitch.PortConfig{Name: "c"})
	const n = 5000
	must(t, w.Run(context.Background(), func(context.Context) error {
		must(t, p[1].Send(frameTo(p[0].MAC(), p[1].MAC(), 0, 60))) // teaches the switch; unknown, so flooded
		for i := 0; i < n; i += 50 {
			var batch [][]byte
			for k := range 50 {
				dst := p[1].MAC()
				if (i+k)%2 == 1 {
					dst = vswitch.Broadcast
				}
				batch = append(batch, frameTo(dst, p[0].MAC(), i+k, 60+(i+k)%1000))
			}
			if sent, err := p[0].SendBatch(batch); sent != len(batch) || err != nil {
				t.Errorf("sent %d of %d: %v", sent, len(batch), err)
			}
		}
		return nil
	}))
	if got := s[0].frames(); len(got) != 1 {
		t.Errorf("a got %d frames, want 1", len(got))
	}
	check := func(name string, got [][]byte, step int, first int) {
		t.Helper()
		for i, f := range got {
			want := first + i*step
			if n := binary.BigEndian.Uint32(f[14:]); int(n) != want || len(f) != 60+want%1000 {
				t.Fatalf("%s: frame %d is number %d of %d bytes, want %d", name, i, n, len(f), want)
			}
		}
	}
	b, c := s[1].frames(), s[2].frames()
	if len(b) != n || len(c) != n/2+1 {
		t.Fatalf("b got %d, c %d frames", len(b), len(c))
	}
	check("b", b, 1, 0)
	check("c", c[1:], 2, 1)
	if st := w.Stats(); st.Frames != n+1 {
		t.Errorf("%d frames entered, want %d", st.Frames, n+1)
	}
	if c := p[1].Counters(); c.RxFrames != n || c.TxFrames != 1 || c.RxInFlight != 0 {
		t.Errorf("b: %+v", c)
	}
}

func TestLiveSenderWaitsForASlowReceiver(t *testing.T) {
	w, p, s := liveLAN(t, vswitch.SwitchConfig{}, vswitch.PortConfig{Name: "a"}, vswitch.PortConfig{Name: "slow", Patience: time.Hour})
	s[1].hold = make(chan struct{})
	const n = 10_000
	sent := make(chan int)
	must(t, w.Run(context.Background(), func(context.Context) error {
		go func() {
			for i := range n {
				if err := p[0].Send(frameTo(p[1].MAC(), p[0].MAC(), i, 60)); err != nil {
					t.Errorf("frame %d: %v", i, err)
				}
			}
			close(sent)
		}()
		select {
		case <-sent:
			t.Error("the sender did not wait")
		case <-time.After(50 * time.Millisecond):
		}
		close(s[1].hold)
		<-sent
		return nil
	}))
	for i, f := range s[1].await(t, n) {
		if got := binary.BigEndian.Uint32(f[14:]); int(got) != i {
			t.Fatalf("frame %d is number %d", i, got)
		}
	}
}

func TestLiveReceiverThatStopsReadingLosesAndIsCounted(t *testing.T) {
	rec := &ledger{}
	w, p, s := liveLAN(t, vswitch.SwitchConfig{Recorder: rec},
		vswitch.PortConfig{Name: "a"}, vswitch.PortConfig{Name: "dead", Patience: 20 * time.Millisecond}, vswitch.PortConfig{Name: "c"})
	s[1].hold = make(chan struct{})
	defer close(s[1].hold)
	const n = 20_000
	must(t, w.Run(context.Background(), func(context.Context) error {
		for i := range n {
			if err := p[0].Send(frameTo(vswitch.Broadcast, p[0].MAC(), i, 60)); err != nil {
				return err
			}
		}
		s[2].await(t, n) // the others get all
		return nil
	}))
	c := p[1].Counters()
	lost := c.RxLost[vswitch.LostQueue]
	if lost == 0 || c.RxFrames+c.RxInFlight+lost != n {
		t.Errorf("dead: %d delivered, %d in flight, %d lost of %d", c.RxFrames, c.RxInFlight, lost, n)
	}
	if rec.lost != lost {
		t.Errorf("the recorder was told of %d lost frames, the port of %d", rec.lost, lost)
	}
}

// ledger counts what a recorder is told.
type ledger struct {
	sent, lost, delivered uint64
	err                   error // to be returned after some frames
	after                 uint64
	deliveries            bool
	changes               []vswitch.Change
	stamps                []time.Time
}

func (b *ledger) Record(e vswitch.Event) error {
	switch e := e.(type) {
	case *vswitch.Sent:
		b.sent++
		b.stamps = append(b.stamps, e.At)
		for i := range e.Receivers {
			if e.Receivers[i].Lost == vswitch.LostQueue {
				b.lost++
			}
		}
		if b.err != nil && b.sent > b.after {
			return b.err
		}
	case *vswitch.Delivered:
		b.delivered++
	case *vswitch.Changed:
		b.changes = append(b.changes, e.What)
	}
	return nil
}

func (b *ledger) Close() error         { return nil }
func (b *ledger) WantDeliveries() bool { return b.deliveries }

func TestLiveFloodersInBothDirectionsDoNotDeadlock(t *testing.T) {
	// Each endpoint answers every frame on its own goroutine, as stacks answer pings.
	w := vswitch.NewWorld(vswitch.Config{RealTime: true})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	must(t, err)
	var p [2]*vswitch.Port
	for i := range p {
		p[i], err = sw.Connect(vswitch.PortConfig{Patience: 5 * time.Millisecond}, vswitch.EndpointFunc(func(data []byte) {
			if data[14] < 2 {
				answer := frameTo(p[1-i].MAC(), p[i].MAC(), 0, 60)
				answer[14] = data[14] + 1
				_ = p[i].Send(answer)
			}
		}))
		must(t, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	must(t, w.Run(ctx, func(ctx context.Context) error {
		var senders sync.WaitGroup
		for i := range p {
			senders.Go(func() {
				for n := range 20_000 {
					f := frameTo(p[1-i].MAC(), p[i].MAC(), n, 60)
					f[14] = 0
					_ = p[i].Send(f)
				}
			})
		}
		senders.Wait()
		return ctx.Err()
	}))
}

func TestLiveDelaysCopiesAndChanges(t *testing.T) {
	w, p, s := liveLAN(t, vswitch.SwitchConfig{}, vswitch.PortConfig{Name: "a"}, vswitch.PortConfig{Name: "b"})
	p[0].Switch().AddRule("mess", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		if to == nil {
			return vswitch.Verdict{}
		}
		switch f.Data[17] % 4 {
		case 0:
			return vswitch.Verdict{Drop: true}
		case 1:
			return vswitch.Verdict{Delay: 30 * time.Millisecond, Pad: 2}
		case 2:
			return vswitch.Verdict{Copies: 1, Edits: []vswitch.Edit{{Offset: 20, Old: []byte("x"), New: []byte{7}}}, Truncate: 50}
		}
		return vswitch.Verdict{}
	}))
	var lateAfter time.Duration
	must(t, w.Run(context.Background(), func(context.Context) error {
		began := time.Now()
		for i := range 4 {
			must(t, p[0].Send(frameTo(p[1].MAC(), p[0].MAC(), i, 60)))
		}
		s[1].await(t, 4)
		lateAfter = time.Since(began)
		return nil
	}))
	var got []string
	for _, f := range s[1].frames() {
		got = append(got, fmt.Sprintf("%d: %d bytes, %d", f[17], len(f), f[20]))
	}
	want := "[2: 50 bytes, 7 2: 50 bytes, 7 3: 60 bytes, 120 1: 62 bytes, 120]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
	if lateAfter < 30*time.Millisecond {
		t.Errorf("the delayed frame came after %v", lateAfter)
	}
}

func TestLiveFrameHeldBehindOthers(t *testing.T) {
	w, p, s := liveLAN(t, vswitch.SwitchConfig{}, vswitch.PortConfig{Name: "a"}, vswitch.PortConfig{Name: "b"})
	p[0].Switch().AddRule("hold", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		if to == nil && f.Data[17] == 0 {
			return vswitch.Verdict{Behind: 2, Within: time.Hour}
		}
		return vswitch.Verdict{}
	}))
	must(t, w.Run(context.Background(), func(context.Context) error {
		for i := range 4 {
			must(t, p[0].Send(frameTo(p[1].MAC(), p[0].MAC(), i, 60)))
			s[1].await(t, []int{0, 1, 3, 4}[i])
		}
		return nil
	}))
	var order []byte
	for _, f := range s[1].frames() {
		order = append(order, f[17])
	}
	if !bytes.Equal(order, []byte{1, 2, 0, 3}) {
		t.Errorf("order %v, want 1 2 0 3", order)
	}
}

// The rules decide in real time what they decide in virtual time.
func TestLiveDecisionsAreThoseOfVirtualTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		victims := rapid.SliceOfN(rapid.Bool(), 1, 60).Draw(t, "victims")
		rule := vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
			return vswitch.Verdict{Drop: to != nil && victims[f.Data[17]]}
		})
		run := func(real bool) (got []byte) {
			w := vswitch.NewWorld(vswitch.Config{RealTime: real})
			defer w.Close()
			sw, err := w.NewSwitch(vswitch.SwitchConfig{})
			if err != nil {
				t.Fatal(err)
			}
			a, _ := sw.Connect(vswitch.PortConfig{}, vswitch.EndpointFunc(func([]byte) {}))
			b, _ := sw.Connect(vswitch.PortConfig{}, vswitch.EndpointFunc(func(data []byte) { got = append(got, data[17]) }))
			sw.AddRule("some", rule)
			err = w.Run(context.Background(), func(context.Context) error {
				for i := range victims {
					if err := a.Send(frameTo(b.MAC(), a.MAC(), i, 60)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if real, virtual := run(true), run(false); !bytes.Equal(real, virtual) {
			t.Fatalf("real time: %v arrived, virtual time: %v", real, virtual)
		}
	})
}

func TestLiveRecorderErrorEndsTheRun(t *testing.T) {
	full := errors.New("disk full")
	w, p, _ := liveLAN(t, vswitch.SwitchConfig{Recorder: &ledger{err: full, after: 10}}, vswitch.PortConfig{Name: "a"}, vswitch.PortConfig{Name: "b"})
	err := w.Run(context.Background(), func(ctx context.Context) error {
		for {
			if err := p[0].Send(frameTo(p[1].MAC(), p[0].MAC(), 0, 60)); err != nil {
				<-ctx.Done()
				return err
			}
		}
	})
	if !errors.Is(err, full) {
		t.Errorf("Run: %v, want the recorder's error", err)
	}
}

func TestLiveRulesAndCablesChangeWhileFramesFlow(t *testing.T) {
	rec := &ledger{deliveries: true}
	w, p, s := liveLAN(t, vswitch.SwitchConfig{Recorder: rec}, vswitch.PortConfig{Name: "a"}, vswitch.PortConfig{Name: "b"})
	send := func(n int) { must(t, p[0].Send(frameTo(p[1].MAC(), p[0].MAC(), n, 60))) }
	must(t, w.Run(context.Background(), func(context.Context) error {
		send(0)
		rule := p[0].Switch().AddRule("all", vswitch.RuleFunc(func(*vswitch.Frame, *vswitch.Port) vswitch.Verdict { return vswitch.Verdict{Drop: true} }))
		send(1)
		rule.SetOn(false)
		send(2)
		rule.Remove()
		p[1].SetUp(false)
		send(3)
		p[1].SetUp(true)
		send(4)
		s[1].await(t, 3)
		var frames uint64
		p[0].Switch().Inspect(func() { frames = p[0].Counters().TxFrames })
		if frames != 5 {
			t.Errorf("Inspect saw %d frames, want 5", frames)
		}
		return nil
	}))
	if got := fmt.Sprint(rec.changes); got != "[added off removed down up]" {
		t.Errorf("changes: %s", got)
	}
	if rec.sent != 5 || rec.delivered != 3 {
		t.Errorf("recorded %d sent, %d delivered", rec.sent, rec.delivered)
	}
}

func TestLivePortsComeAndGo(t *testing.T) {
	w, p, _ := liveLAN(t, vswitch.SwitchConfig{}, vswitch.PortConfig{Name: "a"})
	sw := p[0].Switch()
	must(t, w.Run(context.Background(), func(context.Context) error {
		for i := range 200 {
			s := &sink{}
			q, err := sw.Connect(vswitch.PortConfig{Name: "guest"}, s)
			must(t, err)
			must(t, p[0].Send(frameTo(vswitch.Broadcast, p[0].MAC(), i, 60)))
			s.await(t, 1)
			must(t, q.Close())
			must(t, q.Close())
			if err := q.Send(frameTo(vswitch.Broadcast, q.MAC(), i, 60)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Send on a closed port: %v", err)
			}
		}
		return nil
	}))
}

func TestLiveRefusals(t *testing.T) {
	w, p, s := liveLAN(t, vswitch.SwitchConfig{}, vswitch.PortConfig{Name: "a", MTU: 100}, vswitch.PortConfig{Name: "b"})
	must(t, w.Run(context.Background(), func(context.Context) error {
		sent, err := p[0].SendBatch([][]byte{make([]byte, 13), frameTo(p[1].MAC(), p[0].MAC(), 1, 200), frameTo(p[1].MAC(), p[0].MAC(), 2, 114)})
		if sent != 1 || !errors.Is(err, vswitch.ErrRunt) || !errors.Is(err, vswitch.ErrTooBig) {
			t.Errorf("sent %d: %v", sent, err)
		}
		s[1].await(t, 1)
		return nil
	}))
	if c := p[0].Counters(); c.Runts != 1 || c.Oversize != 1 || c.TxFrames != 1 {
		t.Errorf("%+v", c)
	}
	if err := p[0].Send(frameTo(p[1].MAC(), p[0].MAC(), 3, 60)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the run: %v", err)
	}
}

func TestLiveClockAndCalls(t *testing.T) {
	w, _, _ := liveLAN(t, vswitch.SwitchConfig{})
	node := newNode(t, w, "n")
	var op vswitch.Op
	var due bool
	var mu sync.Mutex
	op = vswitch.Op{Kind: vswitch.OpSleep, Try: func() bool { mu.Lock(); defer mu.Unlock(); return due }}
	must(t, w.Run(context.Background(), func(context.Context) error {
		began := w.Now()
		timer := node.AppClock(0).AfterFunc(20*time.Millisecond, func() {
			mu.Lock()
			due = true
			mu.Unlock()
			node.Wake(&op)
		})
		if err := node.Do(&op); err != nil {
			return err
		}
		if d := w.Now().Sub(began); d < 20*time.Millisecond {
			t.Errorf("woken after %v", d)
		}
		if timer.Stop() {
			t.Error("the timer was still pending")
		}
		return nil
	}))
	due = false
	if err := node.Do(&op); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the run: %v", err)
	}
	if d := time.Since(w.Now()).Abs(); d > time.Minute {
		t.Errorf("the world's clock is %v off", d)
	}
}

func TestLiveRunEndsParkedCallsAndWaitsForApplications(t *testing.T) {
	w, _, _ := liveLAN(t, vswitch.SwitchConfig{})
	node := newNode(t, w, "n")
	var server error
	w.Background("server", func(context.Context) error {
		server = node.Do(&vswitch.Op{Kind: vswitch.OpAccept, Try: func() bool { return false }})
		return server
	})
	must(t, w.Run(context.Background(), func(context.Context) error { return nil }))
	if !errors.Is(server, net.ErrClosed) {
		t.Errorf("the parked call returned %v", server)
	}
}

func TestLiveRunIsCancelled(t *testing.T) {
	w, _, _ := liveLAN(t, vswitch.SwitchConfig{})
	why := errors.New("told to")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
	if err := w.Run(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }); !errors.Is(err, why) {
		t.Errorf("Run: %v", err)
	}
}

// A run that is stopped ends at once, whatever is on its way, and without an error.
func TestStopped(t *testing.T) {
	var cuts []error
	rec := recorderFunc(func(e vswitch.Event) error {
		if d, ok := e.(*vswitch.Disconnected); ok {
			cuts = append(cuts, d.Cut)
		}
		return nil
	})
	w, ports, _ := liveLAN(t, vswitch.SwitchConfig{Recorder: rec}, vswitch.PortConfig{Name: "a", Latency: time.Minute}, vswitch.PortConfig{Name: "b"})
	ctx, cancel := context.WithCancelCause(t.Context())
	began := time.Now()
	err := w.Run(ctx, func(ctx context.Context) error {
		must(t, ports[0].Send(frameTo(ports[1].MAC(), ports[0].MAC(), 0, 60)))
		cancel(vswitch.ErrStopped)
		<-ctx.Done()
		return nil
	})
	if err != nil || time.Since(began) > 20*time.Second {
		t.Errorf("it took %v: %v", time.Since(began), err)
	}
	if n := ports[1].Counters().RxInFlight; n != 1 {
		t.Errorf("%d frames in flight, want 1", n)
	}
	if len(cuts) != 2 || errors.Join(cuts...) != nil {
		t.Errorf("ports were closed with %v", cuts)
	}
}
