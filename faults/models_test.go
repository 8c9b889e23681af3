package faults_test

import (
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// model is an example of everything a rule can do, how often, and when.
type model struct {
	rule  string
	draws bool // so that its victims depend on the seed
}

// models have examples that do something to openLoop's frames.
var models = []model{
	{"drop 20%", true},
	{"drop 30% corr 50%", true},
	{"drop gemodel 10% 40%", true},
	{"drop gemodel 10% 40% 70% 5%", true},
	{"drop markov a=0% b=50% c=100% a>b=20% b>c=30% b>a=20% c>a=50%", true},
	{"drop markov radio good=0% bad=100% good>bad=20% bad>good=50% step 4ms", true},
	{"drop nth 3,17..19", false},
	{"drop every 9", false},
	{"drop first 4", false},
	{"duplicate 15% copies 2 gap 1ms", true},
	{"duplicate every 8", false},
	{"corrupt 10%", true},
	{"corrupt every 20 @42:000000>ffffff", false},
	{"truncate 20% to 60B", true},
	{"pad nth 2,5 7B", false},
	{"pad 50% 0..9B", true},
	{"delay every 6 40ms", false},
	{"delay 20% 5ms jitter 2ms", true},
	{"delay 20% 5ms jitter 2ms normal", true},
	{"delay 20% 5ms jitter 2ms pareto corr 25%", true},
	{"delay 20% 5ms jitter 2ms paretonormal", true},
	{"delay 20% 5ms jitter 2ms table -8192,0,8192", true},
	{"delay places 3:12ms,4:15ms,30:1ns", false},
	{"reorder 15% behind 3", true},
	{"reorder every 7 behind 2 within 1500us", false},
	{"reorder every 3 ahead 10ms", false},
	{"reorder 50% ahead 10ms jitter 1ms gap 3", true},
	{"rate 800kbit burst 1kB queue 4p", false},
	{"rate 800kbit queue 900B to server", false},
	{"partition client -> server during 5ms..9ms", false},
	{"mtu 300", false},
	{"down server during 10ms..15ms,40ms..45ms", false},
	{"up client during 5ms..50ms", false},
	{"down server after 1kB for 6ms", false},
	{"drop 50% to server if \"udp src port 5001 and greater 200\"", true},
	{"drop vlan 5", false},
	{"delay 3ms after 20 frames until 6kB", false},
}

// openLoop is traffic of two flows of client's, one of which is in a VLAN now and
// then, to be sent a millisecond apart.
func openLoop(n int) []sent {
	var traffic []sent
	for i := range n {
		frame := udp(client, server, 5000+i%2, i, 40+i*37%300)
		if i%10 == 4 {
			frame = tagged(frame, 5)
		}
		traffic = append(traffic, sent{client, frame})
	}
	return traffic
}

// verdicts are what a rule does to openLoop's frames, on whatever cable it is about.
func verdicts(t testing.TB, seed uint64, rule string) []string {
	l := newLAN(t, seed)
	c := l.compile(rule)
	var list []string
	for i, s := range openLoop(60) {
		var v vswitch.Verdict
		for _, to := range []int{-1, server} {
			if got := l.judgeAt(c, s.data, client, to, time.Duration(i)*time.Millisecond); !got.IsZero() {
				v = got
			}
		}
		list = append(list, verdictText(v))
	}
	return list
}

// The victims of every model, and what becomes of them, are what they always were.
func TestModelsDoWhatTheyAlwaysDid(t *testing.T) {
	var b strings.Builder
	for _, m := range models {
		seeds := []uint64{0, 1, math.MaxUint64}
		if !m.draws {
			seeds = seeds[:1]
		}
		for _, seed := range seeds {
			fmt.Fprintf(&b, "seed %d, %s\n%s", seed, m.rule, summary(verdicts(t, seed, m.rule)))
		}
	}
	golden(t, "models.golden", b.String())
}

// So they are for long: by the thousands of frames, of many flows, on either cable.
func TestModelsDoForLongWhatTheyAlwaysDid(t *testing.T) {
	var b strings.Builder
	for _, m := range append([]model{
		{"drop 1%", true}, {"corrupt 1/3000 bits 3 to server", true}, {"drop gemodel 1% 25%", true}, {"drop gemodel 2% 3% 90% 1/900 to server", true},
		{"drop markov a=0% b=50% c=100% a>b=1% a>c=1/1000 b>c=2% c>a=5%", true}, {"drop 2% during 500ms..3s", true},
	}, models...) {
		l := newLAN(t, 1)
		c := l.compile(m.rule)
		sum, hits := sha256.New(), 0
		for i := range 4000 {
			at := time.Duration(i) * time.Millisecond
			frame := udp(client, server, 5000+i*i%23, i, 40+i*37%300)
			if i%10 == 4 {
				frame = tagged(frame, 5)
			}
			for _, to := range []int{-1, server} {
				v := l.judgeAt(c, frame, client+i%3/2, to, at) // a third is the server's
				fmt.Fprintln(sum, i, to, verdictText(v))
				if !v.IsZero() {
					hits++
				}
			}
		}
		fmt.Fprintf(&b, "%x %4d hits, matched %4d, unfit %d: %s\n", sum.Sum(nil)[:8], hits, c.Matched(), c.Unfit(), m.rule)
	}
	golden(t, "models-long.golden", b.String())
}

// summary is a line for each verdict, with the frames it is about, from 1. If there
// are many different ones, it is the first 30 frames with theirs.
func summary(verdicts []string) string {
	var kinds []string // in order of appearance
	frames := map[string][]int{}
	for i, v := range verdicts {
		if v == "-" {
			continue
		}
		if frames[v] == nil {
			kinds = append(kinds, v)
		}
		frames[v] = append(frames[v], i+1)
	}
	var b strings.Builder
	if len(kinds) <= 8 {
		for _, v := range kinds {
			fmt.Fprintf(&b, "  %s:%s\n", v, ranges(frames[v]))
		}
		return b.String()
	}
	line := " "
	for i, v := range verdicts[:30] {
		if v == "-" {
			continue
		}
		if item := fmt.Sprintf(" %d: %s;", i+1, v); len(line)+len(item) <= 100 {
			line += item
		} else {
			fmt.Fprintln(&b, line)
			line = " " + item
		}
	}
	fmt.Fprintln(&b, strings.TrimSuffix(line, ";"))
	return b.String()
}

// ranges writes numbers in order as " 1 4..6".
func ranges(list []int) string {
	var b strings.Builder
	for i := 0; i < len(list); {
		k := i
		for k+1 < len(list) && list[k+1] == list[k]+1 {
			k++
		}
		if fmt.Fprintf(&b, " %d", list[i]); k > i {
			fmt.Fprintf(&b, "..%d", list[k])
		}
		i = k + 1
	}
	return b.String()
}

// The seed decides what is drawn and nothing else: the same seed gives the same
// victims and the same to them, another seed others, and where nothing is drawn
// the seed does not matter.
func TestSeedDecidesWhatIsDrawn(t *testing.T) {
	for _, m := range models {
		const seeds = 20
		first := verdicts(t, 0, m.rule)
		if slices.Max(first) == "-" && slices.Min(first) == "-" {
			t.Errorf("%q does nothing", m.rule)
		}
		if !slices.Equal(verdicts(t, 0, m.rule), first) {
			t.Errorf("%q: the same seed does otherwise", m.rule)
		}
		for seed := uint64(1); seed < seeds; seed++ {
			if same := slices.Equal(verdicts(t, seed, m.rule), first); same == m.draws {
				t.Errorf("%q: seed %d does the same: %v, want %v", m.rule, seed, same, !m.draws)
			}
		}
	}
}

// Same seed, same run: twice the same arrivals to the nanosecond, for all models
// at once.
func TestRunsWithTheSameSeedAreTheSame(t *testing.T) {
	var rules []string
	for _, m := range models {
		rules = append(rules, m.rule+pickUnused(m.rule))
	}
	run := func(seed uint64) ([]string, []string) {
		l := newNet(t, seed, false, vswitch.PortConfig{}, vswitch.PortConfig{Rate: 2_000_000, Queue: 5})
		l.install(rules...)
		l.run(openLoop(60))
		return l.hits, l.arrived
	}
	hits, arrived := run(3)
	hitsAgain, arrivedAgain := run(3)
	if !slices.Equal(hits, hitsAgain) || !slices.Equal(arrived, arrivedAgain) {
		t.Errorf("another run with the same seed differs")
	}
	if _, other := run(4); slices.Equal(other, arrived) {
		t.Errorf("another seed has the same arrivals")
	}
	if len(arrived) == 0 {
		t.Errorf("nothing arrives")
	}
}

// pickUnused narrows rules that lose most frames, so that something is left.
func pickUnused(rule string) string {
	if strings.HasPrefix(rule, "up ") || strings.HasPrefix(rule, "mtu ") {
		return ` if "udp src port 5001"`
	}
	return ""
}
