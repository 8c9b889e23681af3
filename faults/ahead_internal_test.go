package faults

import (
	"testing"

	"pgregory.net/rapid"
)

// kernels are the ways of computing 64 draws that this processor has.
var kernels = map[string]func(s *sipState, first, j, below uint64) uint64{"Go": hits64Go, "the one used": hits64}

// All of them compute what draw.word does.
func TestDrawsAtOnceAreThoseOneByOne(t *testing.T) {
	for name := range kernels {
		t.Log(name)
	}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.Uint64()
		key, flow := sipKey{word.Draw(t, "k0"), word.Draw(t, "k1")}, word.Draw(t, "flow")
		first, j, below := word.Draw(t, "first"), rapid.Uint64Range(0, 9).Draw(t, "j"), word.Draw(t, "below")
		if rapid.Bool().Draw(t, "exact") { // the threshold is one of the words: it does not fall below itself
			d := draw{key, flow, first + rapid.Uint64Range(0, 63).Draw(t, "which")}
			below = d.word(j)
		}
		var want uint64
		for k := range uint64(64) {
			d := draw{key, flow, first + k}
			if d.word(j) < below {
				want |= 1 << k
			}
		}
		for name, hits := range kernels {
			s := key.start().word(flow)
			if got := hits(&s, first, j, below); got != want {
				t.Fatalf("%s: %064b\nwant %064b", name, got, want)
			}
		}
	})
}

// What is known ahead is what is drawn, also if some draws of a sequence are left out.
func TestWhatIsKnownAheadIsWhatIsDrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key, flow := sipKey{rapid.Uint64().Draw(t, "k0"), 1}, rapid.Uint64().Draw(t, "flow")
		below := rapid.SampledFrom([]uint64{0, 1 << 50, 1 << 57, 1 << 60, 1 << 63, ^uint64(0)}).Draw(t, "below")
		skip := rapid.SampledFrom([]uint64{1, 2, 9, 100}).Draw(t, "skip")
		var a ahead
		i := rapid.Uint64Range(0, 1000).Draw(t, "first")
		for range 500 {
			d := draw{key, flow, i}
			if got, want := a.falls(key, flow, i, 0, below), d.word(0) < below; got != want {
				t.Fatalf("draw %d: %v, want %v", i, got, want)
			}
			i += 1 + uint64(rapid.IntRange(0, int(skip-1)).Draw(t, "skipped"))
		}
	})
}

func BenchmarkDraws(b *testing.B) {
	for name, hits := range kernels {
		b.Run(name, func(b *testing.B) {
			s := sipKey{1, 2}.start()
			for i := uint64(0); b.Loop(); i += 64 {
				hits(&s, i, 0, 1<<57)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/draw")
		})
	}
}
