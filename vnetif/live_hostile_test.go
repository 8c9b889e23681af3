package vnetif_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// liveRaws is two raw interfaces in real time, and a numbered frame between them.
func liveRaws(t *testing.T) (*vswitch.World, [2]*vnetif.Raw, func(i int) []byte) {
	t.Helper()
	w := vswitch.NewWorld(vswitch.Config{RealTime: true, WallLimit: time.Minute})
	t.Cleanup(func() { must(t, w.Close()) })
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	must(t, err)
	var raw [2]*vnetif.Raw
	for i := range raw {
		raw[i], err = vnetif.NewRaw(sw, vnetif.RawConfig{Port: vswitch.PortConfig{Patience: time.Hour}})
		must(t, err)
	}
	return w, raw, func(i int) []byte {
		f := make([]byte, 60)
		dst, src := raw[1].MAC(), raw[0].MAC()
		copy(f, dst[:])
		copy(f[6:], src[:])
		binary.BigEndian.PutUint32(f[14:], uint32(i))
		return f
	}
}

// A listener that is set while frames come in hears those that waited first, and all of
// them in order, one at a time.
func TestLiveListenerSetWhileFramesComeIn(t *testing.T) {
	const n = 5000
	w, raw, frame := liveRaws(t)
	must(t, w.Run(context.Background(), func(context.Context) error {
		var sent sync.WaitGroup
		sent.Go(func() {
			for i := range n {
				must(t, raw[0].WriteFrame(frame(i)))
			}
		})
		time.Sleep(5 * time.Millisecond)
		var next, busy, wrong atomic.Int64
		done := make(chan struct{})
		listen := func(f []byte) {
			if busy.Add(1) != 1 { // also with what SetListen hands over itself
				wrong.Add(1)
			}
			if got := int64(binary.BigEndian.Uint32(f[14:])); got != next.Load() {
				wrong.Add(1)
			}
			if k := next.Add(1); k == n {
				close(done)
			} else if k%64 == 0 {
				time.Sleep(10 * time.Microsecond)
			}
			busy.Add(-1)
		}
		for range 50 {
			raw[1].SetListen(listen)
			raw[1].SetListen(nil)
			time.Sleep(20 * time.Microsecond)
		}
		raw[1].SetListen(listen)
		sent.Wait()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Errorf("%d of %d frames were heard", next.Load(), n)
		}
		if wrong.Load() > 0 {
			t.Errorf("%d frames out of order, or at the same time as another", wrong.Load())
		}
		return nil
	}))
}

// A listener that is taken away hears no frame after the one that is under way.
func TestLiveListenerTakenAway(t *testing.T) {
	w, raw, frame := liveRaws(t)
	must(t, w.Run(context.Background(), func(context.Context) error {
		const n = 100
		var calls atomic.Int64
		raw[1].SetListen(func([]byte) { calls.Add(1); time.Sleep(time.Millisecond) })
		for i := range n {
			must(t, raw[0].WriteFrame(frame(i)))
		}
		for calls.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		raw[1].SetListen(nil)
		before := calls.Load()
		b := make([]byte, 60)
		for i := int64(-1); i < n-1; { // the others wait for ReadFrame
			if _, err := raw[1].ReadFrame(b); err != nil {
				return err
			}
			got := int64(binary.BigEndian.Uint32(b[14:]))
			switch {
			case i < 0 && (got > before+1 || got != calls.Load()):
				return fmt.Errorf("%d calls, and %d when it was taken away; then came frame %d", calls.Load(), before, got)
			case i >= 0 && got != i+1:
				return fmt.Errorf("frame %d after frame %d", got, i)
			}
			i = got
		}
		return nil
	}))
}

// Calls that are under way when their socket is closed say that it is closed.
func TestLiveClosedUnderCalls(t *testing.T) {
	w, a, b := livePair(t, 1500, nil)
	err := w.Run(context.Background(), func(context.Context) error {
		for i := range 200 {
			addr := fmt.Sprint("b:", 1000+i)
			l, err := b.Listen("tcp", addr)
			if err != nil {
				return err
			}
			c, err := a.Dial("tcp", addr)
			if err != nil {
				return err
			}
			s, err := l.Accept()
			if err != nil {
				return err
			}
			u, err := b.ListenPacket("udp", ":53")
			if err != nil {
				return err
			}
			var all sync.WaitGroup
			until := func(what string, call func() error) {
				all.Go(func() {
					var err error
					for err == nil {
						err = call()
					}
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("%s: %v", what, err)
					}
				})
			}
			buf := make([]byte, 10)
			until("read", func() error { _, err := c.Read(buf); return err })
			until("write", func() error { _, err := c.Write([]byte("x")); return err })
			until("accept", func() error { _, err := l.Accept(); return err })
			until("read from", func() error { _, _, err := u.ReadFrom(make([]byte, 10)); return err })
			all.Go(func() { io.Copy(io.Discard, s) })
			time.Sleep(time.Duration(i%20) * 10 * time.Microsecond)
			c.Close()
			l.Close()
			u.Close()
			all.Wait()
			s.Close()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// hostile is a rule that loses, repeats, delays, holds and changes frames of at least so
// many bytes, each with the given chance in thousand.
func hostile(permille, least int) vswitch.Rule {
	r := rand.New(rand.NewPCG(1, 2))
	hit := func() bool { return r.IntN(1000) < permille }
	return vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) (v vswitch.Verdict) {
		if to == nil || len(f.Data) < least {
			return v
		}
		v.Drop = hit()
		if hit() {
			v.Copies = 1
		}
		if hit() {
			v.Delay = time.Duration(r.IntN(2000)) * time.Microsecond
		}
		if hit() {
			v.Behind, v.Within = 1+r.IntN(3), 2*time.Millisecond
		}
		if hit() {
			at := 14 + r.IntN(len(f.Data)-14)
			v.Edits = []vswitch.Edit{{Offset: at, Old: f.Data[at : at+1], New: []byte{f.Data[at] ^ byte(1+r.IntN(255))}}}
		}
		if hit() {
			v.Pad = 6
		}
		return v
	})
}

func TestLiveTransferUnderFaults(t *testing.T) {
	// Of handshakes, and of what a second's timer sends again, less is lost: this is about
	// segments cut and put together, not about TCP's patience.
	for _, tc := range []struct{ permille, least, size int }{{10, 54, 2_000_000}, {200, 200, 100_000}} {
		for _, addr := range []string{"10.0.0.2:80", "[fd00::2]:80"} {
			t.Run(fmt.Sprint(tc.permille, " ", addr), func(t *testing.T) {
				w, a, b := livePair(t, 1500, nil)
				a.Port().Switch().AddRule("hostile", hostile(tc.permille, tc.least))
				began := time.Now()
				if err := w.Run(context.Background(), func(context.Context) error { return sendAll(a, b, "tcp", addr, tc.size) }); err != nil {
					t.Fatal(err)
				}
				t.Logf("%v; a %+v; b %+v", time.Since(began), a.Stats(), b.Stats())
			})
		}
	}
}

func TestLiveTwoThousandConnections(t *testing.T) {
	const n = 2000
	w, a, b := livePair(t, 1500, nil)
	l, err := b.Listen("tcp", ":7")
	must(t, err)
	w.Background("echo", func(context.Context) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	})
	err = w.Run(context.Background(), func(context.Context) error {
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				c, err := a.Dial("tcp", "b:7")
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				want := fmt.Sprint("number ", i)
				fmt.Fprint(c, want)
				c.(*vnetif.Conn).CloseWrite()
				if got, err := io.ReadAll(c); err != nil || string(got) != want {
					t.Errorf("%q: %v", got, err)
				}
			})
		}
		all.Wait()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A run that is cancelled while everything is busy ends soon, and leaves nothing.
func TestLiveCancelledWhileBusy(t *testing.T) {
	w, a, b := livePair(t, 1500, nil)
	a.Port().Switch().AddRule("hostile", hostile(100, 54))
	sink, err := b.ListenPacket("udp", ":9")
	must(t, err)
	l, err := b.Listen("tcp", ":80")
	must(t, err)
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("interrupted")
	began := time.Now()
	time.AfterFunc(200*time.Millisecond, func() { began = time.Now(); cancel(why) })
	w.Background("accept", func(context.Context) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go io.Copy(c, c)
		}
	})
	w.Background("datagrams", func(context.Context) error {
		for {
			if _, _, err := sink.ReadFrom(make([]byte, 2000)); err != nil {
				return err
			}
		}
	})
	for i := range 8 {
		w.Go(fmt.Sprint("tcp", i), func(context.Context) error {
			c, err := a.Dial("tcp", "b:80")
			if err != nil {
				return err
			}
			defer c.Close()
			for {
				if _, err := c.Write(make([]byte, 100_000)); err != nil {
					return err
				}
			}
		})
	}
	w.Go("sleeper", func(context.Context) error { return a.Sleep(time.Hour) })
	w.Go("dialer", func(context.Context) error { _, err := a.Dial("tcp", "10.0.0.77:1"); return err })
	err = w.Run(ctx, func(context.Context) error {
		c, err := a.Dial("udp", "b:9")
		if err != nil {
			return err
		}
		for {
			if _, err := c.Write(make([]byte, 1400)); err != nil && !errors.Is(err, net.ErrClosed) {
				return nil // a full queue is not what this is about
			} else if err != nil {
				return err
			}
		}
	})
	t.Logf("Run returned %v after it was cancelled", time.Since(began))
	if !errors.Is(err, why) {
		t.Error(err)
	}
	began = time.Now()
	must(t, w.Close())
	t.Logf("Close took %v", time.Since(began))
}

// Both ends dial each other from the ports that they dial.
func TestLiveSimultaneousOpen(t *testing.T) {
	w, a, b := livePair(t, 1500, nil)
	a.Port().Switch().AddRule("so that SYNs cross", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) (v vswitch.Verdict) {
		if to != nil {
			v.Delay = 5 * time.Millisecond
		}
		return v
	}))
	err := w.Run(context.Background(), func(ctx context.Context) error {
		var all sync.WaitGroup
		dial := func(h *vnetif.Host, to string) {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
				defer cancel()
				c, err := h.DialFrom(ctx, "tcp", netip.AddrPortFrom(netip.Addr{}, 4000), to)
				if err != nil {
					t.Errorf("%s to %s: %v", h.Name(), to, err)
					return
				}
				defer c.Close()
				fmt.Fprint(c, h.Name())
				c.(*vnetif.Conn).CloseWrite()
				if got, err := io.ReadAll(c); err != nil || string(got) == h.Name() || len(got) != 1 {
					t.Errorf("%s read %q: %v", h.Name(), got, err)
				}
			})
		}
		dial(a, "10.0.0.2:4000")
		dial(b, "10.0.0.1:4000")
		all.Wait()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Deadlines are set, moved and removed while calls wait.
func TestLiveDeadlinesMoveWhileCallsWait(t *testing.T) {
	w, a, b := livePair(t, 1500, nil)
	l, err := b.Listen("tcp", ":80")
	must(t, err)
	err = w.Run(context.Background(), func(context.Context) error {
		c, err := a.Dial("tcp", "b:80")
		if err != nil {
			return err
		}
		defer c.Close()
		s, err := l.Accept()
		if err != nil {
			return err
		}
		defer s.Close()
		for i := range 300 {
			c.SetReadDeadline(time.Now().Add(time.Hour))
			read := make(chan error, 1)
			go func() {
				_, err := c.Read(make([]byte, 1))
				read <- err
			}()
			switch i % 4 {
			case 0:
				c.SetDeadline(time.Now().Add(time.Millisecond))
			case 1:
				c.SetReadDeadline(time.Time{})
				c.SetReadDeadline(time.Unix(1, 0))
			case 2:
				s.Write([]byte("x"))
			case 3:
				c.SetReadDeadline(time.Now().Add(100 * time.Microsecond))
				c.SetReadDeadline(time.Now().Add(time.Hour))
				time.Sleep(time.Duration(i) * time.Microsecond)
				c.SetReadDeadline(time.Now())
			}
			select {
			case err := <-read:
				if want := i%4 != 2; want != errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("read %d: %v", i, err)
				}
			case <-time.After(20 * time.Second):
				return fmt.Errorf("read %d: not woken", i)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Pings of both families, also of more than one packet.
func TestLivePings(t *testing.T) {
	w, a, _ := livePair(t, 1500, nil)
	err := w.Run(context.Background(), func(context.Context) error {
		for _, tc := range []struct {
			network, to    string
			request, reply byte
		}{{"ip4:icmp", "10.0.0.2", 8, 0}, {"ip6:ipv6-icmp", "fd00::2", 128, 129}} {
			pc, err := a.ListenPacket(tc.network, "")
			if err != nil {
				return err
			}
			defer pc.Close()
			pc.SetDeadline(time.Now().Add(20 * time.Second))
			for seq, size := range []int{0, 56, 1400, 3000, 30_000} {
				want := ping(tc.request, uint16(seq), string(make([]byte, size)))
				if _, err := pc.WriteTo(want, &net.IPAddr{IP: net.ParseIP(tc.to)}); err != nil {
					return err
				}
				got := make([]byte, 40_000)
				n, _, err := pc.ReadFrom(got)
				if err != nil || n != len(want) || got[0] != tc.reply || got[7] != byte(seq) {
					return fmt.Errorf("%s, %d bytes: %d, % x: %v", tc.to, size, n, got[:8], err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
