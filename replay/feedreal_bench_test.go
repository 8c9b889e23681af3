package replay_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
)

func readInPlace(b *testing.B, path string, frames int) time.Duration {
	began := time.Now()
	r, err := pcap.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	var p pcap.Packet
	n := 0
	for {
		if err := r.NextInto(&p); err == io.EOF {
			break
		} else if err != nil {
			b.Fatal(err)
		}
		n++
	}
	if n != frames {
		b.Fatalf("%d frames", n)
	}
	return time.Since(began)
}

func feedReal(b *testing.B, path string, frames int, o replay.FeedOptions) time.Duration {
	open, err := replay.OpenSource(path)
	if err != nil {
		b.Fatal(err)
	}
	o.Pace.TopSpeed = true
	fed, err := replay.Feed(context.Background(), open, o)
	if err != nil || fed.Frames != uint64(frames) {
		b.Fatalf("%v, %v", fed, err)
	}
	return fed.Duration
}

func BenchmarkQuick(b *testing.B) {
	const frames = 1_000_000
	dir, err := os.MkdirTemp("/dev/shm", "vnreplay-bench-")
	if err != nil {
		dir = b.TempDir()
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "512.pcapng")
	writeBench(b, path, frames, 512)
	runs := []struct {
		name string
		to   samples
		run  func() time.Duration
	}{
		{"next", samples{}, func() time.Duration { return readOurs(b, path, frames) }},
		{"into", samples{}, func() time.Duration { return readInPlace(b, path, frames) }},
		{"pcapgo", samples{}, func() time.Duration { return readZeroCopy(b, path, frames) }},
		{"vnetif", samples{}, func() time.Duration { return feedReal(b, path, frames, replay.FeedOptions{RealTime: true}) }},
		{"null", samples{}, func() time.Duration {
			return feedReal(b, path, frames, replay.FeedOptions{To: []replay.FeedTo{{Name: "null", MTU: 1500, Write: func(f [][]byte) (int, error) { return len(f), nil }}}})
		}},
	}
	for b.Loop() {
		for i := range runs {
			x := &runs[i]
			before := cpuTime(b)
			x.to.wall = append(x.to.wall, frames/x.run().Seconds())
			x.to.cpu = append(x.to.cpu, frames/(cpuTime(b)-before).Seconds())
		}
	}
	for _, x := range runs {
		b.ReportMetric(medianOf(x.to.wall)/1e6, x.name+"-M/s")
		b.ReportMetric(medianOf(x.to.cpu)/1e6, x.name+"-M/cpu-s")
	}
}
