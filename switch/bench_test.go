package vswitch_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// BenchmarkFrames moves 1514-byte frames from one port to one and to eight others
// in virtual time. x-memcpy is the rate of arrivals as a part of the rate at which
// this machine copies such frames into a 64 MiB ring.
func BenchmarkFrames(b *testing.B) {
	for _, receivers := range []int{1, 8} {
		for _, batch := range []int{1, 64} {
			b.Run(fmt.Sprintf("1to%d/batch=%d", receivers, batch), func(b *testing.B) { benchmarkFrames(b, receivers, batch) })
		}
	}
}

func benchmarkFrames(b *testing.B, receivers, batch int) {
	const size = 1514
	w := vswitch.NewWorld(vswitch.Config{Limit: 1 << 62, WallLimit: time.Hour})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{Hub: true})
	must(b, err)
	arrived := 0
	var sender *vswitch.Port
	for range receivers + 1 {
		p, err := sw.Connect(vswitch.PortConfig{}, vswitch.EndpointFunc(func(data []byte) { arrived++ }))
		must(b, err)
		if sender == nil {
			sender = p
		}
	}
	frame := sized(vswitch.Broadcast, sender.MAC(), size)
	node := newNode(b, w, "script")
	left := 0
	var timer vswitch.Timer
	burst := func() {
		for range min(batch, left) {
			if err := sender.Send(frame); err != nil { // b.Helper costs as much as a frame
				b.Error(err)
			}
			left--
		}
		if left > 0 {
			timer.Reset(60 * time.Microsecond)
		}
	}
	var elapsed time.Duration
	err = w.Run(context.Background(), func(context.Context) error {
		timer = node.StackClock().AfterFunc(time.Hour, burst)
		left = b.N
		b.ResetTimer()
		b.ReportAllocs()
		timer.Reset(0)
		if err := sleep(node, time.Duration(b.N/batch+2)*60*time.Microsecond); err != nil {
			return err
		}
		b.StopTimer()
		elapsed = b.Elapsed()
		return nil
	})
	must(b, err)
	if arrived != b.N*receivers {
		b.Fatalf("%d frames arrived, want %d", arrived, b.N*receivers)
	}
	b.SetBytes(int64(size * receivers))
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "frames/s")
	b.ReportMetric(float64(memcpy(frame, arrived))/float64(elapsed), "x-memcpy")
}

// memcpy measures copying a frame n times into a ring that no cache holds.
func memcpy(frame []byte, n int) time.Duration {
	const slot = 2048
	ring := make([]byte, 64<<20)
	clear(ring) // its pages are there
	began := time.Now()
	for i := range n {
		copy(ring[i*slot%len(ring):], frame)
	}
	return time.Since(began)
}

// A frame that no rule touches and nobody records costs no allocation, once the
// world's pools are warm.
func TestUntouchedFramesDoNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates for itself")
	}
	for _, receivers := range []int{1, 8} {
		l := newLAN(t, vswitch.SwitchConfig{Hub: true})
		silent := vswitch.EndpointFunc(func([]byte) {})
		sender, err := l.sw.Connect(vswitch.PortConfig{}, silent)
		must(t, err)
		for range receivers {
			_, err := l.sw.Connect(vswitch.PortConfig{}, silent)
			must(t, err)
		}
		l.sw.AddRule("none", vswitch.RuleFunc(func(*vswitch.Frame, *vswitch.Port) vswitch.Verdict { return vswitch.Verdict{} }))
		frame := sized(vswitch.Broadcast, sender.MAC(), 1514)
		const warm, frames = 2000, 20000
		left := warm + frames
		var timer vswitch.Timer
		clock := l.node.StackClock()
		timer = clock.AfterFunc(0, func() {
			must(t, sender.Send(frame))
			if left--; left > 0 {
				timer.Reset(60 * time.Microsecond)
			}
		})
		must(t, l.w.Run(t.Context(), func(context.Context) error {
			if err := sleep(l.node, warm*60*time.Microsecond); err != nil {
				return err
			}
			before := allocated()
			if err := sleep(l.node, frames*60*time.Microsecond); err != nil {
				return err
			}
			perFrame := float64(allocated()-before) / frames
			t.Logf("1 to %d: %.4f allocations per frame", receivers, perFrame)
			if perFrame > 0.05 {
				t.Errorf("1 to %d: %.2f allocations per frame", receivers, perFrame)
			}
			return nil
		}))
	}
}

// allocated is how many objects the process has allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
