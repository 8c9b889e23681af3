package faults_test

import (
	"bytes"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/switch"
)

// A rule is about one cable.
func TestWhere(t *testing.T) {
	l := newLAN(t, 1)
	cables := []struct {
		name     string
		from, to int
	}{
		{"c", client, -1}, {"s", server, -1}, {"x", spy, -1},
		{"c>s", client, server}, {"c>x", client, spy}, {"s>c", server, client}, {"s>x", server, spy}, {"x>s", spy, server},
	}
	for _, c := range []struct{ rule, want string }{
		{"drop", "c s x"},
		{"drop from client", "c"},
		{"drop from nobody", ""},
		{"drop to server", "c>s x>s"},
		{"drop from client to server", "c>s"},
		{"drop from client to all", "c>s c>x"},
		{"drop to all", "c>s c>x s>c s>x x>s"},
		{"drop from all to spy", "c>x s>x"},
		{"drop to nobody", ""},
	} {
		rule := l.compile(c.rule)
		var hit []string
		for _, cable := range cables {
			if l.judge(rule, udp(cable.from, max(cable.to, 0), 1, 1, 10), cable.from, cable.to).Drop {
				hit = append(hit, cable.name)
			}
		}
		if got := strings.Join(hit, " "); got != c.want {
			t.Errorf("%q hits %q, want %q", c.rule, got, c.want)
		}
		if got := rule.Matched(); got != uint64(len(hit)) {
			t.Errorf("%q matched %d times, want %d", c.rule, got, len(hit))
		}
	}
}

// places returns which of n frames of one flow a rule drops, from 1.
func places(l *lan, c *faults.Compiled, n int) []int {
	var list []int
	for i := 1; i <= n; i++ {
		if l.judge(c, udp(client, server, 5000, i, 10), client, -1).Drop {
			list = append(list, i)
		}
	}
	return list
}

func TestPlaces(t *testing.T) {
	l := newLAN(t, 1)
	for _, c := range []struct {
		rule string
		want []int
	}{
		{"drop nth 3", []int{3}},
		{"drop nth 3,17..19", []int{3, 17, 18, 19}},
		{"drop nth 28..", []int{28, 29, 30}},
		{"drop every 10", []int{10, 20, 30}},
		{"drop first 2", []int{1, 2}},
		{"drop 0%", nil},
	} {
		if got := places(l, l.compile(c.rule), 30); !slices.Equal(got, c.want) {
			t.Errorf("%q hits %v, want %v", c.rule, got, c.want)
		}
	}
	for _, rule := range []string{"drop", "drop 100%", "drop every 1", "drop nth 1..", "drop first 30"} {
		if got := places(l, l.compile(rule), 30); len(got) != 30 {
			t.Errorf("%q hits %v, want all 30", rule, got)
		}
	}
}

// nth counts the frames of each path by itself.
func TestPlacesArePerPath(t *testing.T) {
	l := newLAN(t, 1)
	type cable struct{ from, to int }
	order := []cable{{client, -1}, {server, -1}, {client, -1}, {server, -1}, {server, -1}}
	rule := l.compile("drop nth 2")
	var got []bool
	for _, c := range order {
		got = append(got, l.judge(rule, udp(c.from, spy, 1, 1, 10), c.from, c.to).Drop)
	}
	if want := []bool{false, false, true, true, false}; !slices.Equal(got, want) {
		t.Errorf("per sender: %v, want %v", got, want)
	}

	order = []cable{{client, spy}, {client, server}, {server, spy}, {client, spy}, {client, server}, {server, spy}, {client, spy}}
	rule = l.compile("drop nth 2 to all")
	got = nil
	for _, c := range order {
		got = append(got, l.judge(rule, udp(c.from, c.to, 1, 1, 10), c.from, c.to).Drop)
	}
	if want := []bool{false, false, false, true, true, true, false}; !slices.Equal(got, want) {
		t.Errorf("per sender and receiver: %v, want %v", got, want)
	}
}

// The number of losses lies in the interval that an exact binomial distribution
// leaves with a chance of 1 in 10,000 on each side; by index in one flow and by
// flow.
func TestLossIsBinomial(t *testing.T) {
	const n = 50_000
	for _, c := range []struct {
		ratio string
		p     float64
	}{{"0.1%", 0.001}, {"2%", 0.02}, {"1/3", 1.0 / 3}, {"50%", 0.5}, {"999‰", 0.999}} {
		low, high := binomialInterval(n, c.p, 1e-4)
		for seed := range uint64(3) {
			l := newLAN(t, seed)
			oneFlow, manyFlows := l.compile("drop "+c.ratio), l.compile("drop "+c.ratio)
			one, many := 0, 0
			for i := range n {
				if l.judge(oneFlow, udp(client, server, 5000, i, 10), client, -1).Drop {
					one++
				}
				if l.judge(manyFlows, udp(client, server, i, i, 10), client, -1).Drop {
					many++
				}
			}
			if one < low || one > high || many < low || many > high {
				t.Errorf("%s of %d, seed %d: %d in one flow, %d of the first frames of flows; want %d to %d", c.ratio, n, seed, one, many, low, high)
			}
		}
	}
}

// binomialInterval returns the numbers of successes of which fewer and more have
// a probability of at most tail each.
func binomialInterval(n int, p, tail float64) (low, high int) {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
	pmf := func(k int) float64 {
		return math.Exp(lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
	}
	for sum := pmf(0); sum < tail; sum += pmf(low) {
		low++
	}
	high = n
	for sum := pmf(n); sum < tail; sum += pmf(high) {
		high--
	}
	return low, high
}

// Losses of neighbours have nothing to do with each other: the pairs (lost, lost),
// (lost, kept) ... are as frequent as independence says.
func TestDrawsOfNeighboursAreIndependent(t *testing.T) {
	const n = 50_000
	l := newLAN(t, 5)
	a, b := l.compile("a: drop 50%"), l.compile("b: drop 50%")
	var inFlow, acrossRules [4]int
	before := false
	index := func(x, y bool) (i int) {
		if x {
			i++
		}
		if y {
			i += 2
		}
		return i
	}
	for i := range n {
		frame := udp(client, server, 5000, i, 10)
		lostA, lostB := l.judge(a, frame, client, -1).Drop, l.judge(b, frame, client, -1).Drop
		inFlow[index(before, lostA)]++
		acrossRules[index(lostA, lostB)]++
		before = lostA
	}
	low, high := binomialInterval(n, 0.25, 1e-4)
	for _, counts := range [][4]int{inFlow, acrossRules} {
		for _, k := range counts {
			if k < low || k > high {
				t.Errorf("%v, want %d to %d each", counts, low, high)
			}
		}
	}
}

// A changed probability of a named rule keeps its victims.
func TestNamedRulesKeepTheirCards(t *testing.T) {
	l := newLAN(t, 7)
	at := func(rule string) []int { return places(l, l.compile(rule), 2000) }
	two, three := at("loss: drop 2%"), at("loss: drop 3%")
	for _, place := range two {
		if !slices.Contains(three, place) {
			t.Errorf("2%% loses frame %d, 3%% does not", place)
		}
	}
	if len(three) <= len(two) {
		t.Errorf("2%% loses %d, 3%% loses %d", len(two), len(three))
	}
	if slices.Equal(two, at("other: drop 2%")) || slices.Equal(two, at("drop 2%")) {
		t.Errorf("another name has the same victims")
	}
}

// The victims of every kind of rule are what they always were.
func TestVictims(t *testing.T) {
	var b strings.Builder
	for _, seed := range []uint64{0, 1, math.MaxUint64} {
		for _, rule := range []string{
			"drop 5%", "loss: drop 5%", "drop 1/3 to server", "duplicate 5% copies 2 gap 1ms", "corrupt 5%",
			"corrupt 3% bits 3 from client to server", "corrupt every 50 bits 10",
		} {
			l := newLAN(t, seed)
			c := l.compile(rule)
			to := -1
			if mustParse(t, rule).To() != "" {
				to = server
			}
			fmt.Fprintf(&b, "seed %d, %s\n", seed, rule)
			for flow := range 2 {
				for i := range 100 {
					v := l.judge(c, udp(client, server, 5000+flow, i, 60), client, to)
					if !v.IsZero() {
						fmt.Fprintf(&b, "  flow %d frame %d: %s\n", flow, i+1, verdictText(v))
					}
				}
			}
		}
	}
	golden(t, "victims.golden", b.String())
}

func TestDuplicate(t *testing.T) {
	l := newLAN(t, 1)
	frame := udp(client, server, 1, 1, 10)
	for rule, want := range map[string]string{
		"duplicate":                  "1 copies, gap 0s",
		"duplicate copies 3 gap 2ms": "3 copies, gap 2ms",
	} {
		if got := verdictText(l.judge(l.compile(rule), frame, client, -1)); got != want {
			t.Errorf("%q: %s, want %s", rule, got, want)
		}
	}
}

// edited applies the edits to a copy of the frame, and checks what is promised of them.
func edited(t testing.TB, frame []byte, edits []vswitch.Edit) []byte {
	t.Helper()
	out := slices.Clone(frame)
	end := -1
	for _, e := range edits {
		switch {
		case e.Offset <= end:
			t.Errorf("edits overlap, touch or are not in order: %+v", edits)
		case len(e.Old) != len(e.New) || len(e.Old) == 0:
			t.Errorf("edit of %d bytes to %d", len(e.Old), len(e.New))
		case !bytes.Equal(frame[e.Offset:e.Offset+len(e.Old)], e.Old):
			t.Errorf("edit's old bytes are not the frame's: %+v", e)
		}
		for i := range e.Old {
			if e.Old[i] == e.New[i] {
				t.Errorf("edit changes nothing at byte %d", e.Offset+i)
			}
		}
		copy(out[e.Offset:], e.New)
		end = e.Offset + len(e.Old)
	}
	return out
}

// Exactly N bits change, never in the Ethernet header or a VLAN tag, each as
// often as any other.
func TestCorruptFlipsBits(t *testing.T) {
	for _, c := range []struct {
		name   string
		frame  []byte
		header int
	}{
		{"plain", udp(client, server, 1, 1, 8), 14},
		{"VLAN", tagged(udp(client, server, 1, 1, 8), 5), 18},
	} {
		for _, n := range []int{1, 3, 40, 1000} {
			l := newLAN(t, 3)
			rule := l.compile(fmt.Sprintf("corrupt bits %d", n))
			total := (len(c.frame) - c.header) * 8
			want := min(n, total)
			const rounds = 4000
			times := make([]int, total)
			for range rounds {
				got := edited(t, c.frame, l.judge(rule, c.frame, client, -1).Edits)
				if !bytes.Equal(got[:c.header], c.frame[:c.header]) {
					t.Fatalf("%s, %d bits: the header changed", c.name, n)
				}
				flipped := 0
				for i, b := range got {
					diff := b ^ c.frame[i]
					flipped += bits.OnesCount8(diff)
					for k := range 8 {
						if diff>>k&1 != 0 {
							times[(i-c.header)*8+k]++
						}
					}
				}
				if flipped != want {
					t.Fatalf("%s, %d bits: %d flipped, want %d", c.name, n, flipped, want)
				}
			}
			if want == total {
				continue // all of them, each time
			}
			low, high := binomialInterval(rounds, float64(want)/float64(total), 1e-6)
			for bit, k := range times {
				if k < low || k > high {
					t.Errorf("%s, %d bits: bit %d flipped %d times, want %d to %d", c.name, n, bit, k, low, high)
				}
			}
		}
	}
}

// A frame without anything behind the header is left alone, and counted.
func TestCorruptNothing(t *testing.T) {
	l := newLAN(t, 3)
	c := l.compile("corrupt")
	if v := l.judge(c, udp(client, server, 1, 1, 8)[:14], client, -1); !v.IsZero() {
		t.Errorf("verdict %+v", v)
	}
	if c.Matched() != 1 || c.Unfit() != 1 {
		t.Errorf("matched %d, unfit %d; want 1, 1", c.Matched(), c.Unfit())
	}
}

func TestCorruptExactly(t *testing.T) {
	frame := []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x00\x90\x00abcdefgh")
	for _, c := range []struct{ rule, want string }{
		{"corrupt @14:61>62", "@14:61>62"},
		{"corrupt @14:62>61", "-"},
		{"corrupt @14:6162>6163", "@15:62>63"},
		{"corrupt @14:6162>7172", "@14:6162>7172"},
		{"corrupt @14:616263>716273", "@14:61>71 @16:63>73"},
		{"corrupt @14=00,@16:63>00", "@14:61>00 @16:63>00"},
		{"corrupt @14=00,@16:64>00", "-"},
		{"corrupt @14=00,@15^ff", "@14:6162>009d"},
		{"corrupt @14=61", "-"},
		{"corrupt @14^8001,@0=ff", "@0:02>ff @14:6162>e163"},
		{"corrupt @21=00", "@21:68>00"},
		{"corrupt @21=0000", "-"},
		{"corrupt @14=00,@22=00", "-"},
		{"corrupt @60000=00", "-"},
	} {
		l := newLAN(t, 3)
		rule := l.compile(c.rule)
		v := l.judge(rule, frame, client, -1)
		edited(t, frame, v.Edits)
		if got := verdictText(v); got != c.want {
			t.Errorf("%q: %s, want %s", c.rule, got, c.want)
		}
		unfit := uint64(0)
		if c.want == "-" {
			unfit = 1
		}
		if rule.Unfit() != unfit {
			t.Errorf("%q: unfit %d, want %d", c.rule, rule.Unfit(), unfit)
		}
	}
}
