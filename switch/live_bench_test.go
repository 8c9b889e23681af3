package vswitch_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// BenchmarkLive moves 1514-byte frames from one port to one and to eight others in
// real time, 64 in a call. x-memcpy is as in BenchmarkFrames.
func BenchmarkLive(b *testing.B) {
	for _, receivers := range []int{1, 8} {
		for _, batch := range []int{1, 64} {
			b.Run(fmt.Sprintf("1to%d/batch=%d", receivers, batch), func(b *testing.B) { benchmarkLive(b, receivers, batch) })
		}
	}
}

// counting is an endpoint that counts.
type counting struct{ frames, bytes atomic.Uint64 }

func (c *counting) Deliver(data []byte) { c.DeliverBatch([][]byte{data}) }

func (c *counting) DeliverBatch(frames [][]byte) {
	n := 0
	for _, f := range frames {
		n += len(f)
	}
	c.frames.Add(uint64(len(frames)))
	c.bytes.Add(uint64(n))
}

func benchmarkLive(b *testing.B, receivers, batch int) {
	const size = 1514
	w := vswitch.NewWorld(vswitch.Config{RealTime: true})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	must(b, err)
	sender, err := sw.Connect(vswitch.PortConfig{}, &counting{})
	must(b, err)
	ends := make([]counting, receivers)
	dst := vswitch.Broadcast
	for i := range ends {
		p, err := sw.Connect(vswitch.PortConfig{}, &ends[i])
		must(b, err)
		if receivers == 1 {
			dst = p.MAC()
			must(b, p.Send(sized(vswitch.Broadcast, dst, 60))) // so that it is known
		}
	}
	const slots = 1024
	arena := make([]byte, slots*2048)
	frames := make([][]byte, slots)
	for i := range frames {
		frames[i] = arena[i*2048:][:size]
		copy(frames[i], sized(dst, sender.MAC(), size))
	}
	b.SetBytes(int64(size * receivers))
	b.ReportAllocs()
	var elapsed time.Duration
	must(b, w.Run(context.Background(), func(context.Context) error {
		b.ResetTimer()
		for n := 0; n < b.N; n += batch {
			at := n % (slots - batch)
			if _, err := sender.SendBatch(frames[at:][:min(batch, b.N-n)]); err != nil {
				return err
			}
		}
		for ends[0].frames.Load() < uint64(b.N) {
			time.Sleep(time.Microsecond)
		}
		b.StopTimer()
		elapsed = b.Elapsed()
		return nil
	}))
	for i := range ends {
		if n := ends[i].frames.Load(); n != uint64(b.N) {
			b.Fatalf("%d frames arrived at receiver %d, want %d", n, i, b.N)
		}
	}
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "frames/s")
	b.ReportMetric(float64(memcpy(frames[0], b.N*receivers))/float64(elapsed), "x-memcpy")
}
