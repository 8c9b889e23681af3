package faults_test

import (
	"fmt"
	"testing"

	"github.com/vnreplay/vnreplay/switch"
)

// BenchmarkJudge is the price of one rule for one frame on one cable.
func BenchmarkJudge(b *testing.B) {
	for _, text := range []string{
		"drop nth 1000000000000 from server", "drop nth 1000000000000", "drop 0%", "corrupt 0% bits 3", "corrupt bits 1",
	} {
		b.Run(text, func(b *testing.B) {
			l := newLAN(b, 1)
			c := l.compile(text)
			frames := make([]*vswitch.Frame, 8)
			for i := range frames {
				frames[i] = &vswitch.Frame{Data: udp(client, server, i, i, 1000), From: l.ports[client]}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.Judge(frames[i%len(frames)], nil)
			}
		})
	}
}

// BenchmarkFrames is what rules cost a frame on its way through a switch: the
// rules' share of it, for the sender's cable and one receiver's.
func BenchmarkFrames(b *testing.B) {
	for _, n := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			l := newLAN(b, 1)
			kinds := []string{"drop 0% from client", "drop 0% to server", "duplicate 0% from client", "corrupt 0%", "drop nth 1000000000000 to all"}
			var texts []string
			for i := range n {
				texts = append(texts, kinds[i%len(kinds)])
			}
			l.install(texts...)
			frames := make([][]byte, 8)
			for i := range frames {
				frames[i] = udp(client, server, i, i, 1000)
			}
			batch := make([]sent, 4096)
			for i := range batch {
				batch[i] = sent{client, frames[i%len(frames)]}
			}
			b.ReportAllocs()
			l.quiet = true
			l.runBatches(b.N, batch)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}

// BenchmarkParse reads a short rule and a long list.
func BenchmarkParse(b *testing.B) {
	for range b.N {
		mustParse(b, "loss: drop 2% from client to server")
	}
}
