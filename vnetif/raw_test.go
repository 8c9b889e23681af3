package vnetif_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// pair is a world with two raw interfaces, a and b.
type pair struct {
	w    *vswitch.World
	sw   *vswitch.Switch
	a, b *vnetif.Raw
}

func newPair(t *testing.T, a, b vnetif.RawConfig) *pair {
	t.Helper()
	p := &pair{w: vswitch.NewWorld(vswitch.Config{})}
	t.Cleanup(func() { must(t, p.w.Close()) })
	var err error
	p.sw, err = p.w.NewSwitch(vswitch.SwitchConfig{})
	must(t, err)
	a.Port.Name, b.Port.Name = "a", "b"
	p.a, err = vnetif.NewRaw(p.sw, a)
	must(t, err)
	p.b, err = vnetif.NewRaw(p.sw, b)
	must(t, err)
	return p
}

// frame is a frame from a to b.
func (p *pair) frame(text string) []byte {
	src, dst := p.a.MAC(), p.b.MAC()
	return append(append(append(append([]byte{}, dst[:]...), src[:]...), 0x88, 0xb5), text...)
}

func (p *pair) run(t *testing.T, main func() error) {
	t.Helper()
	must(t, p.w.Run(context.Background(), func(context.Context) error { return main() }))
}

func text(frame []byte) string { return string(frame[vswitch.HeaderLen:]) }

func TestRawInterfaceDescribesItself(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{Port: vswitch.PortConfig{MTU: 9000, MAC: vswitch.MAC{2, 1, 2, 3, 4, 5}}}, vnetif.RawConfig{})
	equal(t, "MAC", p.a.MAC(), vswitch.MAC{2, 1, 2, 3, 4, 5})
	equal(t, "MTU", p.a.MTU(), 9000)
	equal(t, "port", p.a.Port().Name(), "a")
	equal(t, "default MTU", p.b.MTU(), vswitch.DefaultMTU)
	_, err := vnetif.NewRaw(p.sw, vnetif.RawConfig{Port: vswitch.PortConfig{Name: "a"}})
	if err == nil {
		t.Error("two interfaces have one name")
	}
}

func TestWrittenFramesAreRead(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{}, vnetif.RawConfig{})
	p.run(t, func() error {
		f := p.frame("one")
		if err := p.a.WriteFrame(f); err != nil {
			return err
		}
		clear(f) // the frame was copied
		if err := p.a.Write(100, func(b []byte) int { return copy(b, p.frame("two")) }); err != nil {
			return err
		}
		for _, want := range []string{"one", "two"} {
			b := make([]byte, 2000)
			n, err := p.b.ReadFrame(b)
			if err != nil {
				return err
			}
			equal(t, "frame", string(b[:n]), string(p.frame(want)))
		}
		equal(t, "when", p.w.Now().Sub(p.w.Start()), 2*vswitch.DefaultLatency)
		return nil
	})
}

func TestFrameIsCutToTheBuffer(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{}, vnetif.RawConfig{})
	p.run(t, func() error {
		for _, s := range []string{"long", "next"} {
			if err := p.a.WriteFrame(p.frame(s)); err != nil {
				return err
			}
		}
		b := make([]byte, vswitch.HeaderLen+2)
		for _, want := range []string{"lo", "ne"} {
			n, err := p.b.ReadFrame(b)
			if err != nil {
				return err
			}
			equal(t, "what fits", text(b[:n]), want)
		}
		return nil
	})
}

func TestWriteFillsAZeroedBuffer(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{}, vnetif.RawConfig{})
	for size, fill := range map[int]func([]byte) int{
		20: func(b []byte) int { return 20 },
		-1: func(b []byte) int { return 0 },
	} {
		calls := 0
		err := p.a.Write(size, func(b []byte) int {
			calls++
			equal(t, "buffer", string(b), string(make([]byte, max(size, 0))))
			return fill(b)
		})
		equal(t, "calls of fill", calls, 1)
		if size < vswitch.HeaderLen {
			wantErr(t, "a frame without a header", err, vswitch.ErrRunt)
		}
	}
	for _, n := range []int{-1, 21} {
		err := p.a.Write(20, func(b []byte) int { return n })
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("fill returned %d for a buffer of 20 bytes", n)) {
			t.Errorf("fill that returns %d: %v", n, err)
		}
	}
	equal(t, "frames sent", p.a.Stats().TxFrames, 1)
}

func TestFramesThatDoNotFitAreRefused(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{Port: vswitch.PortConfig{MTU: 100}}, vnetif.RawConfig{})
	var size *vswitch.SizeError
	err := p.a.WriteFrame(p.frame(strings.Repeat("x", 101)))
	wantErr(t, "WriteFrame", err, vswitch.ErrTooBig)
	if !errors.As(err, &size) || size.Len != 115 || size.MTU != 100 || size.Port != "a" {
		t.Errorf("WriteFrame: %+v", err)
	}
	err = p.a.Write(115, func([]byte) int { t.Error("fill was called"); return 0 })
	wantErr(t, "Write", err, vswitch.ErrTooBig)
	wantErr(t, "a runt", p.a.WriteFrame(make([]byte, 13)), vswitch.ErrRunt)
	must(t, p.a.WriteFrame(p.frame(strings.Repeat("x", 100))))
	equal(t, "frames sent", p.a.Stats().TxFrames, 1)
	p.run(t, func() error { return nil })
}

// A listener is called by the loop, may change the frame and answer it.
func TestListenerAnswers(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{}, vnetif.RawConfig{})
	p.b.SetListen(func(f []byte) {
		var a vswitch.MAC
		copy(a[:], f[6:12])
		copy(f[6:12], f[0:6])
		copy(f[0:6], a[:])
		copy(f[14:], bytes.ToUpper(f[14:]))
		if err := p.b.WriteFrame(f); err != nil {
			t.Error(err)
		}
	})
	p.run(t, func() error {
		if err := p.a.WriteFrame(p.frame("hello")); err != nil {
			return err
		}
		b := make([]byte, 100)
		n, err := p.a.ReadFrame(b)
		equal(t, "the answer", text(b[:n]), "HELLO")
		return err
	})
}

// Frames that came before there was a listener are its first ones; without one
// they wait again.
func TestListenerGetsWhatWaited(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{}, vnetif.RawConfig{})
	node, err := p.w.NewNode("clock")
	must(t, err)
	var heard []string
	p.run(t, func() error {
		send := func(s string) {
			must(t, p.a.WriteFrame(p.frame(s)))
			_ = pause(node, time.Second)
		}
		send("1")
		send("2")
		p.b.SetListen(func(f []byte) { heard = append(heard, text(f)) })
		send("3")
		p.b.SetListen(nil)
		send("4")
		b := make([]byte, 100)
		n, err := p.b.ReadFrame(b)
		equal(t, "what waits", text(b[:n]), "4")
		return err
	})
	equal(t, "heard", strings.Join(heard, " "), "1 2 3")
}

// pause parks the caller on the world's clock.
func pause(n *vswitch.Node, d time.Duration) error {
	var op *vswitch.Op
	passed := false
	n.AppClock(0).AfterFunc(d, func() { passed = true; n.Wake(op) })
	op = &vswitch.Op{Kind: vswitch.OpSleep, Try: func() bool { return passed }}
	return n.Do(op)
}

func TestMonitorSeesBothDirections(t *testing.T) {
	var seen []string
	var p *pair
	watch := func(dir vnetif.Direction, at time.Time, f []byte) {
		seen = append(seen, fmt.Sprintf("%v %s %s", at.Sub(p.w.Start()), map[vnetif.Direction]string{vnetif.Received: "received", vnetif.Transmitted: "transmitted"}[dir], text(f)))
	}
	p = newPair(t, vnetif.RawConfig{Monitor: watch}, vnetif.RawConfig{Monitor: watch})
	p.b.SetListen(func(f []byte) { seen = append(seen, "listener") })
	p.run(t, func() error {
		if err := p.a.WriteFrame(make([]byte, 3)); err == nil {
			t.Error("a runt was sent")
		}
		return p.a.WriteFrame(p.frame("x"))
	})
	equal(t, "seen", strings.Join(seen, ", "), "0s transmitted x, 50µs received x, listener")
}

func TestStatsOfARawInterface(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{}, vnetif.RawConfig{})
	p.run(t, func() error {
		for range 3 {
			if err := p.a.WriteFrame(p.frame("12345")); err != nil {
				return err
			}
		}
		for range 3 {
			if _, err := p.b.ReadFrame(make([]byte, 100)); err != nil {
				return err
			}
		}
		return nil
	})
	size := uint64(len(p.frame("12345")))
	equal(t, "a", p.a.Stats(), vnetif.RawStats{TxFrames: 3, TxBytes: 3 * size})
	equal(t, "b", p.b.Stats(), vnetif.RawStats{RxFrames: 3, RxBytes: 3 * size})
	p.a.ResetStats()
	equal(t, "a, reset", p.a.Stats(), vnetif.RawStats{})
	equal(t, "a's port", p.a.Port().Counters().TxFrames, 3)
}

func TestFramesNobodyReadsOverflow(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{}, vnetif.RawConfig{})
	const sent = 1500
	p.run(t, func() error {
		for range sent {
			if err := p.a.WriteFrame(p.frame("x")); err != nil {
				return err
			}
		}
		return nil
	})
	s := p.b.Stats()
	equal(t, "received", s.RxFrames, sent)
	equal(t, "dropped", s.RxOverflow, sent-1024)
}

// Disconnect ends the calls that wait, and deliveries, also of frames in flight.
func TestDisconnect(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{Port: vswitch.PortConfig{Latency: time.Second}}, vnetif.RawConfig{})
	node, err := p.w.NewNode("clock")
	must(t, err)
	ended := make(chan error, 2)
	p.w.Go("read", func(context.Context) error {
		_, err := p.b.ReadFrame(make([]byte, 100))
		ended <- err
		return nil
	})
	heard := 0
	p.w.Go("listen", func(context.Context) error {
		ended <- p.a.Listen(func([]byte) { heard++ })
		return nil
	})
	p.run(t, func() error {
		for at, d := range []time.Duration{2 * time.Second, 500 * time.Millisecond} {
			if at == 1 {
				if err := p.b.Disconnect(); err != nil {
					return err
				}
				wantErr(t, "the pending ReadFrame", <-ended, net.ErrClosed)
				if err := p.a.Disconnect(); err != nil {
					return err
				}
				equal(t, "the pending Listen", <-ended, nil)
			}
			if err := pause(node, d); err != nil {
				return err
			}
			if at == 0 {
				// In flight when b is disconnected.
				if err := p.a.WriteFrame(p.frame("late")); err != nil {
					return err
				}
			}
		}
		must(t, p.b.Disconnect())
		_, err := p.b.ReadFrame(make([]byte, 100))
		wantErr(t, "reading later", err, net.ErrClosed)
		wantErr(t, "writing later", p.b.WriteFrame(p.frame("x")), net.ErrClosed)
		wantErr(t, "Write later", p.b.Write(20, func([]byte) int { return 20 }), net.ErrClosed)
		equal(t, "listening later", p.b.Listen(func([]byte) {}), nil)
		return pause(node, 5*time.Second)
	})
	equal(t, "frames delivered", p.b.Stats().RxFrames+uint64(heard), 0)
}

// What was received before Disconnect can still be read.
func TestReadFrameAfterDisconnectReturnsWhatWaits(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{}, vnetif.RawConfig{})
	node, err := p.w.NewNode("clock")
	must(t, err)
	p.run(t, func() error {
		must(t, p.a.WriteFrame(p.frame("x")))
		must(t, pause(node, time.Second))
		must(t, p.b.Disconnect())
		b := make([]byte, 100)
		n, err := p.b.ReadFrame(b)
		equal(t, "what waits", text(b[:n]), "x")
		if err != nil {
			return err
		}
		_, err = p.b.ReadFrame(b)
		wantErr(t, "then", err, net.ErrClosed)
		return nil
	})
}

func TestRawCallsOutsideTheRun(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{}, vnetif.RawConfig{})
	_, err := p.b.ReadFrame(make([]byte, 100))
	wantErr(t, "before", err, net.ErrClosed)
	if !strings.Contains(err.Error(), "the world is not running") {
		t.Errorf("before: %q does not say that the world is not running", err)
	}
	p.run(t, func() error { return p.a.WriteFrame(p.frame("x")) })
	_, err = p.b.ReadFrame(make([]byte, 100))
	wantErr(t, "after", err, net.ErrClosed)
	must(t, p.b.Disconnect())
	must(t, p.b.Disconnect())
}
