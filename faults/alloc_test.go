package faults_test

import (
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/switch"
)

// A frame that a rule leaves alone costs no allocation.
func TestUntouchedFramesAllocateNothing(t *testing.T) {
	for _, text := range []string{
		"drop 0%", "drop nth 1000000000", "drop every 1000000000", "drop from server", "drop to server", "corrupt 0% bits 9", "duplicate 0/3",
		"corrupt @14:ff>fe",
	} {
		l := newLAN(t, 3)
		c := l.compile(text)
		f := &vswitch.Frame{Data: udp(client, server, 1, 1, 8), From: l.ports[client]}
		v := vswitch.Verdict{}
		n := testing.AllocsPerRun(1000, func() {
			c.Judge(f, nil, &v)
			c.Judge(f, l.ports[server], &v)
		})
		if n != 0 {
			t.Errorf("%q: %v allocations per frame", text, n)
		}
	}
}

// Nor does one that no filter of ten rules of every model matches, on any cable.
func TestFramesThatNoFilterMatchesAllocateNothing(t *testing.T) {
	for _, m := range models {
		if strings.Contains(m.rule, " if ") {
			continue
		}
		l := newLAN(t, 3)
		var rules []*faults.Compiled
		for range 10 {
			rules = append(rules, l.compile(m.rule+miss))
		}
		f := &vswitch.Frame{Data: udp(client, server, 1, 1, 8), From: l.ports[client], At: l.world.Start()}
		v := vswitch.Verdict{}
		n := testing.AllocsPerRun(200, func() {
			f.Seq++
			for _, c := range rules {
				for _, to := range []*vswitch.Port{nil, l.ports[server], l.ports[spy]} {
					if c.Judge(f, to, &v) {
						t.Fatalf("%q: %s", c.Rule(), verdictText(v))
					}
				}
			}
		})
		if n != 0 || rules[0].Matched() != 0 {
			t.Errorf("%q: %v allocations per frame, matched %d", rules[0].Rule(), n, rules[0].Matched())
		}
	}
}

// Nor does one that a rule which draws leaves alone: in one flow, in many that take
// turns, and with several ports at both ends.
func TestFramesThatAreDrawnForAllocateNothing(t *testing.T) {
	for _, text := range append([]string{
		"drop 1%", "drop 1% from client", "drop 1% to server", "drop 1% to all", `drop 1% if "udp"`, "duplicate 1%", "truncate 1% to 60B",
		"pad 1% 4B", "delay 1% 1ms", "delay 5ms jitter 1ms normal", "reorder 1% behind 3", "drop gemodel 1% 25%", "drop 1% corr 25%",
		"drop markov good=0% bad=50% good>bad=1% bad>good=30% step 10ms",
	}, idle...) {
		for _, flows := range []int{1, 500} {
			l := newLAN(t, 3)
			c := l.compile(text)
			frames := make([][]byte, flows)
			for i := range frames {
				frames[i] = udp(client, server, 1000+i, 1, 8)
			}
			f := &vswitch.Frame{At: l.world.Start()}
			v := vswitch.Verdict{}
			pass := func() {
				for _, data := range frames {
					for _, from := range []int{client, spy} {
						f.Seq++
						f.Data, f.From = data, l.ports[from]
						for _, to := range []*vswitch.Port{nil, l.ports[server]} {
							if c.Judge(f, to, &v) {
								v = vswitch.Verdict{}
							}
						}
					}
				}
			}
			pass() // flows and paths are met
			if n := testing.AllocsPerRun(20, pass); n != 0 {
				t.Errorf("%q, %d flows: %v allocations in %d frames", text, flows, n, 2*flows)
			}
		}
	}
}
