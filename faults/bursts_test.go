package faults_test

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// hits returns which of n frames of one flow, a millisecond apart, a rule drops.
func hits(t *testing.T, seed uint64, rule string, n int) []bool {
	l := newLAN(t, seed)
	c := l.compile(rule)
	frame := udp(client, server, 5000, 0, 10)
	out := make([]bool, n)
	for i := range out {
		out[i] = l.judgeAt(c, frame, client, -1, time.Duration(i)*time.Millisecond).Drop
	}
	return out
}

// runs returns the lengths of the runs of hits, those at either end left out: they
// may be cut.
func runs(hits []bool, of bool) (lengths []int) {
	n := 0
	inside := false
	for i, h := range hits {
		switch {
		case h == of:
			n++
		case n > 0 && inside:
			lengths = append(lengths, n)
		}
		if h != of {
			n = 0
		}
		inside = inside || i > 0 && h != hits[i-1]
	}
	return lengths
}

func share(hits []bool) float64 {
	n := 0
	for _, h := range hits {
		if h {
			n++
		}
	}
	return float64(n) / float64(len(hits))
}

// Each receiver of a frame has its own draw: the losses on each cable, and on both,
// are within the exact binomial intervals of independent ones.
func TestReceiversLoseIndependently(t *testing.T) {
	const n, p = 40_000, 0.05
	for seed := range uint64(2) {
		l := newLAN(t, seed)
		c := l.compile("drop 5% to all")
		var lost [2]int
		both := 0
		for i := range n {
			frame := broadcast(udp(client, server, 5000+i%7, i, 10))
			a, b := l.judge(c, frame, client, server).Drop, l.judge(c, frame, client, spy).Drop
			if a {
				lost[0]++
			}
			if b {
				lost[1]++
			}
			if a && b {
				both++
			}
		}
		low, high := binomialInterval(n, p, 1e-4)
		lowBoth, highBoth := binomialInterval(n, p*p, 1e-4)
		if lost[0] < low || lost[0] > high || lost[1] < low || lost[1] > high || both < lowBoth || both > highBoth {
			t.Errorf("seed %d: %v lost, want %d to %d; by both %d, want %d to %d", seed, lost, low, high, both, lowBoth, highBoth)
		}
	}
}

// gemodel loses the share of frames that its parameters give.
//
// The chain is in the bad state for π = p/(p+r) of the frames and forgets by the
// factor λ = 1-p-r with each. Hits are independent given the states, so that n
// frames have a variance of n·(a(1-a) + 2(b-g)²π(1-π)λ/(1-λ)) for a = πb+(1-π)g;
// the interval is 4 standard deviations wide on each side, which leaves a chance of
// 6 in 100,000. (That it begins in the good state matters for some 1/(p+r) frames.)
func TestGilbertLosesItsShare(t *testing.T) {
	const n = 60_000
	for _, c := range []struct {
		rule       string
		p, r, b, g float64
	}{
		{"drop gemodel 1% 25%", 0.01, 0.25, 1, 0},
		{"drop gemodel 5%", 0.05, 0.95, 1, 0}, // r is 1-p: each draw is fresh
		{"drop gemodel 1% 10% 70%", 0.01, 0.1, 0.7, 0},
		{"drop gemodel 2% 20% 60% 3%", 0.02, 0.2, 0.6, 0.03},
		{"drop gemodel 90% 80%", 0.9, 0.8, 1, 0},
	} {
		pi, forget := c.p/(c.p+c.r), 1-c.p-c.r
		a := pi*c.b + (1-pi)*c.g
		variance := a*(1-a) + 2*(c.b-c.g)*(c.b-c.g)*pi*(1-pi)*forget/(1-forget)
		bound := 4 * math.Sqrt(variance/n)
		for seed := range uint64(2) {
			if got := share(hits(t, seed, c.rule, n)); math.Abs(got-a) > bound {
				t.Errorf("%q, seed %d: %.5f are lost, want %.5f ± %.5f", c.rule, seed, got, a, bound)
			}
		}
	}
}

// What hits a frame of a state has nothing to do with where the chain goes then: of
// neighbours both are hit as often as independence given the states says.
//
// The pairs are correlated no longer than the states: n of them have at most the variance
// P(1-P)·n·(2 + (1+λ)/(1-λ)). 4 standard errors.
func TestHitsDoNotMoveTheChain(t *testing.T) {
	const n, p, r, b = 60_000, 0.2, 0.3, 0.5
	for _, rule := range []string{"drop gemodel 20% 30% 50%", "drop markov good=0% bad=50% good>bad=20% bad>good=30%"} {
		h := hits(t, 6, rule, n)
		both := 0
		for i := range n - 1 {
			if h[i] && h[i+1] {
				both++
			}
		}
		want := p / (p + r) * b * (1 - r) * b
		forget := 1 - p - r
		bound := 4 * math.Sqrt(want*(1-want)/n*(2+(1+forget)/(1-forget)))
		if got := float64(both) / n; math.Abs(got-want) > bound {
			t.Errorf("%q: of %.4f neighbours both are hit, want %.4f ± %.4f", rule, got, want, bound)
		}
	}
}

// wantGeometric checks the mean of independent lengths that end with probability p
// after each frame: 1/p, with a standard deviation of √(1-p)/p each.
func wantGeometric(t *testing.T, what string, lengths []int, p float64) {
	t.Helper()
	sum := 0
	for _, n := range lengths {
		sum += n
	}
	mean := float64(sum) / float64(len(lengths))
	bound := 4 * math.Sqrt(1-p) / p / math.Sqrt(float64(len(lengths)))
	if len(lengths) < 200 || math.Abs(mean-1/p) > bound {
		t.Errorf("%s: %d of them, %.3f long, want %.3f ± %.3f", what, len(lengths), mean, 1/p, bound)
	}
}

// gemodel's bursts last 1/r frames in the mean, and 1/p frames pass between two.
func TestGilbertBurstsHaveTheirLength(t *testing.T) {
	for _, c := range []struct {
		p, r float64
	}{{0.01, 0.25}, {0.02, 0.5}, {0.1, 0.1}, {0.05, 0.02}} {
		rule := fmt.Sprintf("drop gemodel %.0f%% %.0f%%", 100*c.p, 100*c.r)
		h := hits(t, 7, rule, 60_000)
		wantGeometric(t, rule+": bursts", runs(h, true), c.r)
		wantGeometric(t, rule+": pauses", runs(h, false), c.p)
		for first := range 20 {
			if hits(t, uint64(first), rule, 1)[0] {
				t.Errorf("%q, seed %d hits the first frame: it does not begin in the good state", rule, first)
			}
		}
	}
}

// states follows a named chain of states a, b and c: three rules with the same chain
// are in the same state, each hits in one of them.
func states(t *testing.T, seed uint64, edges string, times []time.Duration) []int {
	t.Helper()
	l := newLAN(t, seed)
	rule := func(hits string) string { return "drop markov radio " + hits + " " + edges }
	a, b, c := l.compile(rule("a=100% b=0% c=0%")), l.compile(rule("a=0% b=100% c=0%")), l.compile("n: "+rule("a=0% b=0% c=100%"))
	frame := udp(client, server, 5000, 0, 10)
	out := make([]int, len(times))
	for i, at := range times {
		n := 0
		if l.judgeAt(a, frame, client, -1, at).Drop {
			n += 1
		}
		if l.judgeAt(b, frame, client, -1, at).Drop {
			n += 10
		}
		if l.judgeAt(c, frame, client, -1, at).Drop {
			n += 100
		}
		state, one := map[int]int{1: 0, 10: 1, 100: 2}[n]
		if !one {
			t.Fatalf("frame %d: the rules of one chain are not in one state: %d", i, n)
		}
		out[i] = state
	}
	return out
}

// each returns n times, d apart from 0 on.
func each(n int, d time.Duration) []time.Duration {
	times := make([]time.Duration, n)
	for i := range times {
		times[i] = time.Duration(i) * d
	}
	return times
}

// A Markov chain goes from state to state with the probabilities of its ways: what
// follows the first 4000 visits of a state are independent draws, so that each way is
// taken as often as an exact binomial distribution leaves a chance of 1 in 10,000.
func TestMarkovTakesItsWays(t *testing.T) {
	ways := [3][3]float64{{0, 0.1, 0.2}, {0.5, 0, 0}, {0.25, 0.05, 0}}
	const edges, visits = "a>b=10% a>c=20% b>a=50% c>a=25% c>b=5%", 4000
	for seed := range uint64(2) {
		path := states(t, seed, edges, each(60_000, time.Millisecond))
		var seen [3]int
		var taken [3][3]int
		for i := range len(path) - 1 {
			if from := path[i]; seen[from] < visits {
				seen[from]++
				taken[from][path[i+1]]++
			}
		}
		for from := range 3 {
			if seen[from] < visits {
				t.Fatalf("seed %d: state %d was visited %d times", seed, from, seen[from])
			}
			for to := range 3 {
				low, high := 0, 0
				if p := ways[from][to]; p > 0 {
					low, high = binomialInterval(visits, p, 1e-4)
				} else if from == to {
					stays := 1 - ways[from][0] - ways[from][1] - ways[from][2]
					low, high = binomialInterval(visits, stays, 1e-4)
				}
				if n := taken[from][to]; n < low || n > high {
					t.Errorf("seed %d: from state %d to %d %d times, want %d to %d", seed, from, to, n, low, high)
				}
			}
		}
	}
}

// A chain that goes round is in each state for a share of the frames that is as 1/p of
// its way out, and each time 1/p frames long; with a step the same of steps, however
// many frames there are in one.
//
// Rounds are independent. With times T of variance (1-p)/p² in each state, a share s of
// C rounds of mean length m has the variance ((1-s)²·v + s²·(the other v))/(C·m²).
func TestMarkovStaysItsTime(t *testing.T) {
	out := [3]float64{0.05, 0.2, 0.1}
	const edges = "a>b=5% b>c=20% c>a=10%"
	const n = 60_000
	var mean float64
	var variance [3]float64
	for i, p := range out {
		mean += 1 / p
		variance[i] = (1 - p) / p / p
	}
	for _, c := range []struct {
		what, step string
		perStep    int
	}{{"by frame", "", 1}, {"by step", " step 6ms", 3}} {
		path := states(t, 3, edges+c.step, each(n*c.perStep, 2*time.Millisecond))
		for s, p := range out {
			in := make([]bool, 0, n)
			for i := 0; i < len(path); i += c.perStep {
				in = append(in, path[i] == s)
				for k := range c.perStep {
					if path[i+k] != path[i] {
						t.Fatalf("%s: frame %d is within a step, and in another state", c.what, i+k)
					}
				}
			}
			wantGeometric(t, fmt.Sprintf("%s: state %d", c.what, s), runs(in, true), p)
			want := 1 / p / mean
			v := (1-want)*(1-want)*variance[s] + want*want*(variance[0]+variance[1]+variance[2]-variance[s])
			bound := 4 * math.Sqrt(v/(n/mean)) / mean
			if got := share(in); math.Abs(got-want) > bound {
				t.Errorf("%s: in state %d for %.4f, want %.4f ± %.4f", c.what, s, got, want, bound)
			}
		}
	}
}

// Where a chain with a step is depends on the time alone: whoever asks seldom, or for
// the first time after a long silence, finds it where those do who ask all the time.
func TestSteppedChainDependsOnTheTimeAlone(t *testing.T) {
	const round = (1 << 20) * time.Millisecond // so many steps, after which a chain begins anew
	ask := func(times []time.Duration) map[time.Duration]bool {
		l := newLAN(t, 5)
		c := l.compile("drop markov a=0% b=100% a>b=30% b>a=30% step 1ms")
		out := make(map[time.Duration]bool)
		for _, at := range times {
			out[at] = l.judgeAt(c, udp(client, server, 5000, 0, 10), client, -1, at).Drop
		}
		return out
	}
	var all []time.Duration
	for at := time.Duration(0); at < round+20*time.Second; at += 101 * time.Millisecond {
		all = append(all, at)
	}
	often := ask(all)
	for _, every := range []int{7, 1000, len(all) - 100} {
		var seldom []time.Duration
		for i := every; i < len(all); i += every {
			seldom = append(seldom, all[i])
		}
		for at, hit := range ask(seldom) {
			if hit != often[at] {
				t.Errorf("at %v: hit %v, and %v for who asks seldom", at, often[at], hit)
			}
		}
	}
	for _, at := range []time.Duration{0, round, 2 * round} {
		if ask([]time.Duration{at})[at] {
			t.Errorf("at %v it is not in its first state", at)
		}
	}
}
