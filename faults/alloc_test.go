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
