package faults

import (
	"fmt"
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// shaperModel is a shaper as one would describe it: a bucket of tokens, all frames
// ever accepted, and fractions.
type shaperModel struct {
	rate                  int64
	burst, packets, bytes int
	tokens                *big.Rat // bits; less than 0 while a frame waits for them
	at                    int64    // when tokens was right
	left                  *big.Rat // when the last frame has left
	frames                []modelFrame
}

type modelFrame struct {
	begin *big.Rat
	size  int
}

func newShaperModel(rate int64, burst, packets, bytes int) *shaperModel {
	return &shaperModel{rate: rate, burst: burst, packets: packets, bytes: bytes,
		tokens: big.NewRat(8*int64(burst), 1), left: new(big.Rat)}
}

func (m *shaperModel) send(at int64, size int) (delay int64, ok bool, packets, bytes int) {
	now := big.NewRat(at, 1)
	for _, f := range m.frames {
		if f.begin.Cmp(now) > 0 {
			packets++
			bytes += f.size
		}
	}
	begin := now
	if m.left.Cmp(now) > 0 {
		begin = m.left
		if m.packets > 0 && packets+1 > m.packets || m.bytes > 0 && bytes+size > m.bytes {
			return 0, false, packets, bytes
		}
	}

	since := new(big.Rat).Mul(big.NewRat(at-m.at, 1e9), big.NewRat(m.rate, 1))
	tokens := since.Add(since, m.tokens)
	if full := big.NewRat(8*int64(m.burst), 1); tokens.Cmp(full) > 0 {
		tokens = full
	}
	tokens.Sub(tokens, big.NewRat(8*int64(size), 1))
	leaves := now
	if tokens.Sign() < 0 {
		lacks := new(big.Rat).Mul(tokens, big.NewRat(-1e9, m.rate))
		leaves = lacks.Add(lacks, now)
	}
	whole, rest := new(big.Int).QuoRem(leaves.Num(), leaves.Denom(), new(big.Int))
	delay = whole.Int64() - at
	if rest.Sign() > 0 {
		delay++
	}
	if delay > int64(24*time.Hour) {
		return 0, false, packets, bytes
	}
	m.tokens, m.at, m.left = tokens, at, leaves
	m.frames = append(m.frames, modelFrame{begin, size})
	return delay, true, packets, bytes
}

func TestShaperIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		decade := rapid.IntRange(0, 15).Draw(t, "decade")
		rate := rapid.Int64Range(1, 9).Draw(t, "digit")
		for range decade {
			rate *= 10
		}
		rate = min(rate+rapid.Int64Range(0, 999).Draw(t, "odd"), maxRate)
		burst := rapid.OneOf(rapid.Just(0), rapid.IntRange(1, 5000), rapid.IntRange(0, maxBurst)).Draw(t, "burst")
		packets := rapid.IntRange(0, 6).Draw(t, "packets")
		bytes := rapid.OneOf(rapid.Just(0), rapid.IntRange(1, 9000)).Draw(t, "bytes")
		s, m := newShaper(rate, burst, packets, bytes), newShaperModel(rate, burst, packets, bytes)

		sizes := rapid.OneOf(rapid.IntRange(1, 1514), rapid.Just(64), rapid.IntRange(1, maxShaped))
		// Mostly about as much traffic as there is rate, at times a long silence.
		frameTime := 1514 * 8e9 / rate
		gaps := rapid.OneOf(rapid.Int64Range(0, 1), rapid.Int64Range(0, 2*frameTime+1), rapid.Int64Range(0, 1e15))
		at := rapid.OneOf(rapid.Just[int64](0), rapid.Int64Range(0, 1e18)).Draw(t, "start")
		for i := range rapid.IntRange(1, 60).Draw(t, "frames") {
			at += gaps.Draw(t, "gap")
			size := sizes.Draw(t, "size")
			delay, ok, p, b := s.send(at, size)
			wantDelay, wantOK, wantP, wantB := m.send(at, size)
			if delay != wantDelay || ok != wantOK || p != wantP || b != wantB {
				t.Fatalf("frame %d, %d bytes at %d: (%d, %t, %d, %d), want (%d, %t, %d, %d)",
					i, size, at, delay, ok, p, b, wantDelay, wantOK, wantP, wantB)
			}
			if packets > 0 && s.waiting.n > packets || bytes > 0 && s.waiting.bytes > bytes {
				t.Fatalf("%d packets, %d bytes wait", s.waiting.n, s.waiting.bytes)
			}
		}
	})
}

// Over a million frames not a nanosecond is lost.
func TestShaperKeepsItsRate(t *testing.T) {
	for _, c := range []struct {
		rate int64
		size int
	}{
		{100e9, 64}, {100e9, 1514}, {10e9, 64}, {1e9, 1514}, {999_999_937, 61}, {56_000, 576}, {maxRate, 64}, {3, 1},
	} {
		t.Run(fmt.Sprintf("%d bytes at %d bit/s", c.size, c.rate), func(t *testing.T) {
			s := newShaper(c.rate, 0, 0, 0)
			at, last := int64(0), int64(0)
			bits := new(big.Int)
			for range 1_000_000 {
				delay, ok, _, _ := s.send(at, c.size)
				if !ok {
					t.Fatalf("dropped at %d", at)
				}
				bits.Add(bits, big.NewInt(int64(c.size)*8))
				last = at + delay
				at = max(last-10, 0) // before it has left: the line is never idle
			}
			// ⌈bits·1e9/rate⌉
			want := bits.Mul(bits, big.NewInt(1e9))
			want.Add(want, big.NewInt(c.rate-1)).Quo(want, big.NewInt(c.rate))
			if want.Cmp(big.NewInt(last)) != 0 {
				t.Errorf("the last frame left at %d, want %v", last, want)
			}
		})
	}
}

// Offered twice its rate, a shaper passes its rate.
func TestShaperOverloaded(t *testing.T) {
	for _, c := range []struct {
		rate  int64
		burst int
	}{{1e6, 0}, {10e6, 3000}, {1e9, 0}, {25e9, 100_000}} {
		s := newShaper(c.rate, c.burst, 100, 0)
		frame := 1000 * 8e9 / float64(c.rate)
		passed, drops, last := 0, 0, int64(0)
		const frames = 1_000_000
		for i := range frames {
			at := int64(float64(i) * frame / 2)
			delay, ok, packets, _ := s.send(at, 1000)
			if !ok {
				drops++
				if packets != 100 {
					t.Fatalf("%d bit/s: dropped with %d packets waiting", c.rate, packets)
				}
				continue
			}
			passed++
			last = at + delay
		}
		got := float64(passed*1000-c.burst) * 8e9 / float64(last)
		if math.Abs(got/float64(c.rate)-1) > 1e-4 {
			t.Errorf("%d bit/s, burst %d: passed %.0f bit/s", c.rate, c.burst, got)
		}
		if len(s.waiting.ring) > 128 {
			t.Errorf("%d bit/s: a ring of %d", c.rate, len(s.waiting.ring))
		}
	}
}

func TestShaperDecisions(t *testing.T) {
	const drops = -1
	type sent struct {
		at             int64
		size           int
		delay          int64
		packets, bytes int
	}
	for _, c := range []struct {
		what                  string
		rate                  int64
		burst, packets, bytes int
		sent                  []sent
	}{
		{"a frame takes its time", 8e9, 0, 1, 0, []sent{{0, 1000, 1000, 0, 0}, {1000, 1000, 1000, 0, 0}, {5000, 60, 60, 0, 0}}},
		{"rounded up, remainders kept", 24e9, 0, 9, 0, []sent{
			{0, 1, 1, 0, 0}, {0, 1, 1, 0, 0}, {0, 1, 1, 1, 1}, {0, 1, 2, 2, 2}, {1, 1, 1, 0, 0}, {1, 1, 1, 1, 1}, {1, 1, 2, 2, 2}}},
		{"the one being sent is not in the queue", 8e9, 0, 1, 0, []sent{
			{0, 1000, 1000, 0, 0}, {0, 1000, 2000, 0, 0}, {0, 1000, drops, 1, 1000}, {999, 1000, drops, 1, 1000},
			{1000, 1000, 2000, 0, 0}, {1999, 60, drops, 1, 1000}, {2000, 60, 1060, 0, 0}}},
		{"bytes of the queue", 8e9, 0, 0, 2000, []sent{
			{0, 9000, 9000, 0, 0}, {0, 9000, drops, 0, 0}, {0, 1500, 10500, 0, 0}, {0, 501, drops, 1, 1500}, {0, 500, 11000, 1, 1500},
			{0, 1, drops, 2, 2000}, {9000, 1, 2001, 1, 500}, {11001, 9000, 9000, 0, 0}}},
		{"a burst", 8e9, 3000, 1, 0, []sent{
			{0, 1500, 0, 0, 0}, {0, 1000, 0, 0, 0}, {0, 1500, 1000, 0, 0}, {0, 1500, 2500, 0, 0}, {0, 1500, drops, 1, 1500},
			{1000, 60, 1560, 0, 0}, {2560, 60, 60, 0, 0}, {3000, 380, 0, 0, 0}, {3000, 1, 1, 0, 0}}},
		{"the bucket does not fill beyond its size", 8e9, 3000, 1, 0, []sent{
			{1e9, 3000, 0, 0, 0}, {2e9, 3000, 0, 0, 0}, {2e9, 100, 100, 0, 0}}},
		{"a frame larger than the bucket", 8e9, 1000, 1, 0, []sent{{0, 1500, 500, 0, 0}, {500, 1000, 1000, 0, 0}, {9999, 1001, 1, 0, 0}}},
		{"a day is too long", 1, 0, 0, 0, []sent{
			{0, 10800, 86400e9, 0, 0}, {0, 1, drops, 0, 0}, {8e9, 1, 86400e9, 0, 0}, {8e9, 65535, drops, 1, 1}, {86408e9, 65535, drops, 0, 0}}},
		{"out of order", 8e9, 0, 1, 0, []sent{{500, 100, 100, 0, 0}, {0, 100, 700, 0, 0}, {600, 100, 200, 0, 0}}},
		{"a large burst at the lowest rate", 1, maxBurst, 1, 0, []sent{
			{0, maxShaped, 0, 0, 0}, {8 * maxShaped * 1e9, maxShaped, 0, 0, 0}, {9e15, maxShaped, 0, 0, 0}}},
		{"the highest rate", maxRate, 0, 1, 0, []sent{{0, 64, 1, 0, 0}, {0, 1 << 17, 2, 0, 0}, {1, 1 << 17, 2, 0, 0}}},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := newShaper(c.rate, c.burst, c.packets, c.bytes)
			for i, f := range c.sent {
				delay, ok, packets, bytes := s.send(f.at, f.size)
				if !ok {
					if delay != 0 {
						t.Errorf("frame %d: a dropped frame is delayed by %d", i, delay)
					}
					delay = drops
				}
				if got := (sent{f.at, f.size, delay, packets, bytes}); got != f {
					t.Errorf("frame %d: %v, want %v", i, got, f)
				}
			}
		})
	}
}

func TestShaperDoesNotAllocate(t *testing.T) {
	s := newShaper(1e9, 3000, 1000, 0)
	at := int64(0)
	work := func() {
		for range 10_000 {
			s.send(at, 1514)
			at += 7000 // more than the rate
		}
	}
	work()
	if n := testing.AllocsPerRun(10, work); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkShaper(b *testing.B) {
	for _, c := range []struct {
		what string
		gap  int64
	}{{"idle", 20_000}, {"busy", 12_112}, {"overloaded", 6_000}} {
		b.Run(c.what, func(b *testing.B) {
			s := newShaper(1e9, 0, 1000, 0)
			at := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				s.send(at, 1514)
				at += c.gap
			}
		})
	}
}
