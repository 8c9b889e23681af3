package faults_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// sample returns a number of each of n frames' verdicts.
func sample(t *testing.T, seed uint64, rule string, n int, of func(vswitch.Verdict) float64) []float64 {
	l := newLAN(t, seed)
	c := l.compile(rule)
	frame := udp(client, server, 5000, 0, 10)
	out := make([]float64, n)
	for i := range out {
		out[i] = of(l.judge(c, frame, client, -1))
	}
	return out
}

// delays are in milliseconds.
func delays(t *testing.T, seed uint64, rule string, n int) []float64 {
	return sample(t, seed, rule, n, func(v vswitch.Verdict) float64 { return float64(v.Delay) / float64(time.Millisecond) })
}

// moments returns the mean, the standard deviation and the correlation of neighbours.
func moments(x []float64) (mean, deviation, lag1 float64) {
	n := float64(len(x))
	for _, v := range x {
		mean += v / n
	}
	for i, v := range x {
		deviation += (v - mean) * (v - mean) / n
		if i > 0 {
			lag1 += (v - mean) * (x[i-1] - mean) / n
		}
	}
	return mean, math.Sqrt(deviation), lag1 / deviation
}

// Where the delay is much larger than the jitter, its mean is as asked for, and its
// standard deviation is the jitter, but for uniform jitter/√3; neighbours have nothing to
// do with each other.
//
// Within 4 standard errors: of the mean σ/√n, of the deviation σ·√((κ-1)/4n) with κ the
// kurtosis (of the built-in tables; they end at 4 deviations), of a correlation 1/√n.
func TestJitterHasItsMeanAndSpread(t *testing.T) {
	const n, mean, jitter = 50_000, 100, 10
	for _, c := range []struct {
		distribution        string
		deviation, kurtosis float64
		least, most         float64
	}{
		{"", jitter / math.Sqrt(3), 1.8, mean - jitter, mean + jitter},
		{" uniform", jitter / math.Sqrt(3), 1.8, mean - jitter, mean + jitter},
		{" normal", jitter, 3, mean - 4*jitter, mean + 4*jitter},
		{" pareto", jitter, 8.2, mean - jitter, mean + 4*jitter}, // it begins 0.82 deviations below its mean
		{" paretonormal", jitter, 6.7, mean - 2*jitter, mean + 4*jitter},
		{" table -8192,8192", jitter, 1, mean - jitter, mean + jitter},
		{" table 0,0,0,16384", jitter * math.Sqrt(3) / 2, 2.34, mean, mean + 2*jitter},
	} {
		for _, rule := range []string{"delay 100ms jitter 10ms" + c.distribution, "reorder 0% ahead 100ms jitter 10ms" + c.distribution} {
			for seed := range uint64(2) {
				x := delays(t, seed, rule, n)
				gotMean, deviation, lag1 := moments(x)
				want := 100.
				if c.distribution == " table 0,0,0,16384" {
					want += 0.5 * jitter // the mean of a table need not be 0
				}
				if bound := 4 * c.deviation / math.Sqrt(n); math.Abs(gotMean-want) > bound {
					t.Errorf("%q, seed %d: mean %.3f, want %.0f ± %.3f", rule, seed, gotMean, want, bound)
				}
				// A table of two values has no error of its own: allow that of its mean.
				bound := 4*c.deviation*math.Sqrt((c.kurtosis-1)/4/n) + 0.01
				if math.Abs(deviation-c.deviation) > bound {
					t.Errorf("%q, seed %d: deviation %.3f, want %.3f ± %.3f", rule, seed, deviation, c.deviation, bound)
				}
				if math.Abs(lag1) > 4/math.Sqrt(n) {
					t.Errorf("%q, seed %d: neighbours are correlated by %.4f", rule, seed, lag1)
				}
				if slices.Min(x) < c.least || slices.Max(x) > c.most {
					t.Errorf("%q, seed %d: from %.3f to %.3f, want %.3f to %.3f", rule, seed, slices.Min(x), slices.Max(x), c.least, c.most)
				}
			}
		}
	}
}

// A delay is never negative: what a jitter takes below nothing is nothing. Of a normal
// jitter ten times the delay, that is the share of the normal distribution below -0.1.
func TestDelaysAreNeverNegative(t *testing.T) {
	const n = 50_000
	x := delays(t, 1, "delay 1ms jitter 10ms normal", n)
	none := 0
	for _, v := range x {
		if v < 0 {
			t.Fatalf("delay %v ms", v)
		}
		if v == 0 {
			none++
		}
	}
	low, high := binomialInterval(n, 0.5*math.Erfc(0.1/math.Sqrt2), 1e-5)
	if none < low || none > high {
		t.Errorf("%d of %d are not delayed, want %d to %d", none, n, low, high)
	}
}

// How long a frame is delayed, or padded, has nothing to do with what made it one of those
// that are: each of 8 parts of the range is as likely, within its exact binomial interval.
func TestVictimsAreTreatedAlike(t *testing.T) {
	const n = 40_000
	for rule, part := range map[string]func(v vswitch.Verdict) int{
		"delay 20% 8ms jitter 4ms": func(v vswitch.Verdict) int { return int((v.Delay - 4*time.Millisecond) / time.Millisecond) },
		"pad 20% 1..8B":            func(v vswitch.Verdict) int { return v.Pad - 1 },
	} {
		counts := make([]int, 8)
		total := 0
		sample(t, 5, rule, n, func(v vswitch.Verdict) float64 {
			if !v.IsZero() {
				total++
				counts[min(part(v), 7)]++
			}
			return 0
		})
		low, high := binomialInterval(total, 1./8, 1e-5)
		if slices.Min(counts) < low || slices.Max(counts) > high {
			t.Errorf("%q: %v, want %d to %d each", rule, counts, low, high)
		}
	}
}

// Neighbours' jitter is correlated as asked for. Its spread shrinks with that by
// √((1-r)/(1+r)), as in netem.
//
// It is a first-order autoregression: the error of its lag-1 correlation is √((1-r²)/n)
// (Bartlett), that of its deviation at most σ/√2n times √((1+r²)/(1-r²)). 4 of them.
func TestJitterIsCorrelatedAsAskedFor(t *testing.T) {
	const n = 60_000
	for rule, r := range map[string]float64{
		"delay 100ms jitter 10ms corr 10%": 0.1, "delay 100ms jitter 10ms corr 1/4": 0.25, "delay 100ms jitter 10ms corr 50%": 0.5,
		"delay 100ms jitter 10ms corr 90%": 0.9, "reorder 0% ahead 100ms jitter 10ms uniform corr 50%": 0.5,
	} {
		_, deviation, lag1 := moments(delays(t, 2, rule, n))
		if bound := 4 * math.Sqrt((1-r*r)/n); math.Abs(lag1-r) > bound {
			t.Errorf("%q: neighbours are correlated by %.4f, want %.4f ± %.4f", rule, lag1, r, bound)
		}
		want := 10 / math.Sqrt(3) * math.Sqrt((1-r)/(1+r))
		if bound := 4 * want / math.Sqrt(2*n) * math.Sqrt((1+r*r)/(1-r*r)); math.Abs(deviation-want) > bound {
			t.Errorf("%q: deviation %.4f, want %.4f ± %.4f", rule, deviation, want, bound)
		}
	}
	if x := delays(t, 2, "delay 100ms jitter 10ms corr 100%", 1000); slices.Max(x)-slices.Min(x) > 0.001 {
		t.Errorf("correlated by 100%%, delays go from %v to %v", slices.Min(x), slices.Max(x))
	}
}

// Losses are correlated as netem's: a lost frame makes the next one's loss more likely,
// the more so the larger the correlation. 50% remain 50%, since draws gather around the
// middle; small probabilities become smaller by far.
//
// Loss is a step function of an autoregression of correlation r, so that its variance is
// at most that of independent losses times (1+r)/(1-r). 4 standard errors.
func TestCorrelatedLossIsNetems(t *testing.T) {
	const n = 60_000
	before := 0.
	for _, c := range []struct {
		rule string
		r    float64
	}{{"drop 50%", 0}, {"drop 50% corr 25%", 0.25}, {"drop 50% corr 50%", 0.5}, {"drop 50% corr 90%", 0.9}} {
		x := sample(t, 3, c.rule, n, func(v vswitch.Verdict) float64 {
			if v.Drop {
				return 1
			}
			return 0
		})
		mean, _, lag1 := moments(x)
		if bound := 4 * 0.5 / math.Sqrt(n) * math.Sqrt((1+c.r)/(1-c.r)); math.Abs(mean-0.5) > bound {
			t.Errorf("%q: %.4f are lost, want 0.5 ± %.4f", c.rule, mean, bound)
		}
		switch {
		case c.r == 0 && math.Abs(lag1) > 4/math.Sqrt(n):
			t.Errorf("%q: neighbours are correlated by %.4f", c.rule, lag1)
		case c.r > 0 && (lag1 < before+0.05 || lag1 > c.r):
			t.Errorf("%q: neighbours are correlated by %.4f, want more than %.4f, at most %.2f", c.rule, lag1, before, c.r)
		}
		before = lag1
	}
	// The draw is u₀/2 + u₁/4 + u₂/8 + ...: below 2% only if u₀ < 4%, u₁ < 8%, u₂ < 16%,
	// u₃ < 32%, u₄ < 64%, all at once, which is 1 in 10,000 frames at most.
	if got := share(hits(t, 3, "drop 2% corr 50%", n)); got > 5e-4 {
		t.Errorf("drop 2%% corr 50%% loses %.5f", got)
	}
}

// Paddings and uniform jitters are as likely as each other, each within its exact
// binomial interval, of 1 in 100,000 on each side.
func TestUniformIsUniform(t *testing.T) {
	const n = 50_000
	for _, c := range []struct {
		rule  string
		of    func(vswitch.Verdict) float64
		cells int
	}{
		{"pad 0..9B", func(v vswitch.Verdict) float64 { return float64(v.Pad) }, 10},
		{"pad 3..5B", func(v vswitch.Verdict) float64 { return float64(v.Pad - 3) }, 3},
		{"pad 17B", func(v vswitch.Verdict) float64 { return float64(v.Pad - 17) }, 1},
		{"delay 8ms jitter 8ms", func(v vswitch.Verdict) float64 { return math.Min(float64(v.Delay)/float64(time.Millisecond), 15.9) }, 16},
		{"delay 2ns jitter 2ns", func(v vswitch.Verdict) float64 { return float64(v.Delay) }, 5},
	} {
		counts := make([]int, c.cells)
		for _, x := range sample(t, 4, c.rule, n, c.of) {
			if x < 0 || int(x) >= c.cells {
				t.Fatalf("%q: %v", c.rule, x)
			}
			counts[int(x)]++
		}
		if c.cells == 1 {
			continue
		}
		low, high := binomialInterval(n, 1/float64(c.cells), 1e-5)
		if slices.Min(counts) < low || slices.Max(counts) > high {
			t.Errorf("%q: %v, want %d to %d each", c.rule, counts, low, high)
		}
	}
}
