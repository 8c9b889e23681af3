package tap_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/tap"
	"go.uber.org/goleak"
)

// plug makes a pipe device in a switch, and the device at its other end.
func plug(t *testing.T, sw *vswitch.Switch, name string) (*tap.Link, tap.Device) {
	t.Helper()
	r1, w1, err1 := os.Pipe()
	r2, w2, err2 := os.Pipe()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	l, err := tap.Connect(sw, vswitch.PortConfig{}, tap.NewPipe(name, r1, w2, 2000))
	if err != nil {
		t.Fatal(err)
	}
	peer := tap.NewPipe("peer of "+name, r2, w1, 2000)
	t.Cleanup(func() { peer.Close(); l.Close() })
	return l, peer
}

// live makes a world in real time with a switch, and the function that runs it.
func live(t *testing.T) *vswitch.Switch {
	t.Helper()
	world := vswitch.NewWorld(vswitch.Config{RealTime: true})
	t.Cleanup(func() { world.Close() })
	sw, err := world.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return sw
}

func TestLinksThroughASwitch(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	sw := live(t)
	a, pa := plug(t, sw, "a")
	_, pb := plug(t, sw, "b")
	ra, rb := read(pa, nil), read(pb, nil)
	if p := a.Port(); p.Name() != "a" || p.MTU() != 2000 {
		t.Errorf("port %s with MTU %d", p.Name(), p.MTU())
	}
	err := sw.World().Run(t.Context(), func(context.Context) error {
		for n := 60; n < 500; n++ {
			write(t, pa, testFrame(n))
			if got := rb.next(t, testType); !bytes.Equal(got, testFrame(n)) {
				t.Fatalf("b got % x", got)
			}
		}
		write(t, pb, testFrame(600))
		if n := len(ra.next(t, testType)); n != 600 {
			t.Errorf("a got %d bytes", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	// The run is over, and so is the link.
	<-a.Done()
	if err := a.Err(); err != nil {
		t.Errorf("the link ended with %v", err)
	}
	if err := ra.failed(t); !errors.Is(err, io.EOF) {
		t.Errorf("the peer sees %v", err)
	}
	if c := a.Port().Counters(); c.TxFrames != 440 || c.RxFrames != 1 {
		t.Errorf("counted %+v", c)
	}
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Error(err)
	}
}

func TestLinkEndsWithItsDevice(t *testing.T) {
	sw := live(t)
	a, pa := plug(t, sw, "a")
	err := sw.World().Run(t.Context(), func(ctx context.Context) error {
		pa.Close()
		select {
		case <-a.Done():
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		t.Error(err)
	}
	if err := a.Err(); !errors.Is(err, io.EOF) {
		t.Errorf("the link ended with %v, want io.EOF", err)
	}
	if err := a.Port().Send(testFrame(60)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the port is open: %v", err)
	}
}

// A peer that takes nothing holds up the run's end no more than its senders.
func TestRunEndsWhileADeviceWaits(t *testing.T) {
	sw := live(t)
	a, _ := plug(t, sw, "a") // whose peer nobody reads
	_, pb := plug(t, sw, "b")
	began := time.Now()
	err := sw.World().Run(t.Context(), func(context.Context) error {
		frame := testFrame(2000)
		for range 2000 { // more than the pipe and the port hold
			write(t, pb, frame)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	<-a.Done()
	t.Logf("over after %v", time.Since(began))
}

func TestConnectNeedsRealTime(t *testing.T) {
	world := vswitch.NewWorld(vswitch.Config{})
	defer world.Close()
	sw, err := world.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	dev := tap.NewPipe("p", r, w, 1500)
	defer dev.Close()
	if _, err := tap.Connect(sw, vswitch.PortConfig{}, dev); !errors.Is(err, tap.ErrVirtual) || !strings.Contains(err.Error(), "p: ") {
		t.Errorf("%v, want ErrVirtual", err)
	}
}
