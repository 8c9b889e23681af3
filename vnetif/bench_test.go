package vnetif_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// BenchmarkBulk: 20 MB over TCP with 2 % loss, as fast as it goes.
func BenchmarkBulk(b *testing.B) {
	for _, loss := range []struct {
		name     string
		permille uint32
	}{{"lossless", 0}, {"2%loss", 20}} {
		b.Run(loss.name, func(b *testing.B) {
			const size = 20_000_000
			b.SetBytes(size)
			var frames uint64
			var virtual, wall time.Duration
			for b.Loop() {
				l := newLAN(b, setup{unrecorded: true})
				bulk(l, size, loss.permille)
				st := l.w.Stats()
				frames, virtual, wall = frames+st.Frames, virtual+st.Virtual, wall+st.Wall
				l.close()
			}
			b.ReportMetric(float64(frames)/wall.Seconds(), "frames/s")
			b.ReportMetric(virtual.Seconds()/wall.Seconds(), "virtual/wall")
		})
	}
}

// pingPong sends a byte back and forth over cables of 25 ms, 50 ms one way, so
// many times, and returns how long that took in virtual time.
func pingPong(l *lan, times int) (took time.Duration) {
	l.serve("tcp", ":7", echo)
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		b := make([]byte, 1)
		began := l.client.Now()
		for range times {
			if _, err := c.Write(b); err != nil {
				return err
			}
			if _, err := io.ReadFull(c, b); err != nil {
				return err
			}
		}
		took = since(l.client, began)
		return errors.Join(c.CloseWrite(), c.Close())
	})
	return took
}

var slow = setup{client: vswitch.PortConfig{Latency: 25 * time.Millisecond}, server: vswitch.PortConfig{Latency: 25 * time.Millisecond}}

// Two hundred round trips of 100 ms are twenty seconds, exactly.
func TestPingPongTakesExactlyItsRoundTrips(t *testing.T) {
	l := newLAN(t, slow)
	equal(t, "took", pingPong(l, 200), 20*time.Second)
	t.Logf("virtual %v in wall %v", l.w.Stats().Virtual, l.w.Stats().Wall)
}

func BenchmarkPingPong(b *testing.B) {
	var virtual, wall time.Duration
	for b.Loop() {
		l := newLAN(b, slow)
		equal(b, "took", pingPong(l, 200), 20*time.Second)
		virtual, wall = virtual+l.w.Stats().Virtual, wall+l.w.Stats().Wall
		l.close()
	}
	b.ReportMetric(virtual.Seconds()/wall.Seconds(), "virtual/wall")
}

// BenchmarkHTTP: 4 clients, 400 requests, 5 % loss.
func BenchmarkHTTP(b *testing.B) {
	run := sceneHTTP(4, 100)
	var frames uint64
	var virtual, wall time.Duration
	for b.Loop() {
		l := newLAN(b, setup{unrecorded: true})
		run(l)
		st := l.w.Stats()
		frames, virtual, wall = frames+st.Frames, virtual+st.Virtual, wall+st.Wall
		l.close()
	}
	b.ReportMetric(float64(frames)/wall.Seconds(), "frames/s")
	b.ReportMetric(virtual.Seconds()/wall.Seconds(), "virtual/wall")
}
