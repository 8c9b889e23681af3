package faults_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/switch"
)

// doAgain extracts what the rules did in a run and checks that the extracted rules
// do the same to the same frames under another seed: what arrives, where and when,
// is equal byte for byte; and that what is extracted from that run is the same. It
// returns the first run. net makes the switch.
func doAgain(t interface{ Fatalf(string, ...any) }, net func(seed uint64) *lan, seed, otherSeed uint64, rules []string, traffic []sent) *lan {
	first := net(seed)
	first.install(rules...)
	first.run(traffic)
	extracted, err := first.extract.Rules()
	if err != nil {
		t.Fatalf("%q: %v", rules, err)
	}
	second := net(otherSeed)
	second.install(texts(extracted)...)
	second.run(traffic)
	if !slices.Equal(first.arrived, second.arrived) {
		t.Fatalf("%q\nextracted as %q\narrived first:\n%s\nthen:\n%s", rules, texts(extracted),
			strings.Join(first.arrived, "\n"), strings.Join(second.arrived, "\n"))
	}
	again, err := second.extract.Rules()
	if err != nil || !slices.Equal(texts(again), texts(extracted)) {
		t.Fatalf("%q: extracted again: %q, %v\nfirst: %q", rules, texts(again), err, texts(extracted))
	}
	return first
}

// Any rules, extracted from a run, do it again; also where the cables have a rate
// and short queues, so that what one frame's delay does to the next must be the same.
func TestExtractedRulesDoItAgain(t *testing.T) {
	cables := map[string][]vswitch.PortConfig{
		"unlimited":        nil,
		"limited receiver": {{}, {Rate: 300_000, Queue: 2}},
		"limited sender":   {{Rate: 400_000, Queue: 1}, {Rate: 200_000, Queue: 3}, {MTU: 50}},
	}
	for name, ports := range cables {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				var rules []string
				for i := range number(rt, "rules", 1, 4) {
					rules = append(rules, drawRule(rt, pick(rt, "name", "", fmt.Sprintf("r%d", i))))
				}
				net := func(seed uint64) *lan { return newNet(t, seed, false, ports...) }
				traffic := slices.DeleteFunc(drawTraffic(rt, 40), func(s sent) bool {
					return len(ports) > s.from && ports[s.from].MTU > 0 && len(s.data) > 64
				})
				doAgain(rt, net, rapid.Uint64().Draw(rt, "seed"), rapid.Uint64().Draw(rt, "other seed"), rules, traffic)
			})
		})
	}
}

// Every model, extracted, does it again, and did something the first time.
func TestExtractedModelsDoItAgain(t *testing.T) {
	for _, m := range models {
		t.Run(m.rule, func(t *testing.T) {
			net := func(seed uint64) *lan {
				return newNet(t, seed, false, vswitch.PortConfig{}, vswitch.PortConfig{Rate: 3_000_000, Queue: 3})
			}
			l := doAgain(t, net, 1, 2, []string{m.rule}, openLoop(60))
			if len(l.hits) == 0 {
				t.Errorf("nothing was done")
			}
			if strings.HasPrefix(m.rule, "rate ") && !strings.Contains(strings.Join(l.hits, " "), "drop (queue:") {
				t.Errorf("the queue was never full: %v", l.hits)
			}
		})
	}
}

// A delay longer than "delay TIME" takes, the sum of a mean and a jitter, has a
// rule that does it all the same.
func TestExtractedDelaysMayBeLongerThanThoseOfRules(t *testing.T) {
	rules, err := faults.Extract([]faults.Decision{
		{Rule: 1, From: "client", Place: 3, Kind: faults.Delayed, By: 5 * time.Hour},
		{Rule: 1, From: "client", Place: 4, Kind: faults.Delayed, By: time.Hour},
	})
	if err != nil || fmt.Sprint(texts(rules)) != "[delay places 3:5h,4:1h from client]" {
		t.Fatalf("%q, %v", texts(rules), err)
	}
	l := newLAN(t, 1)
	c := l.compile(rules[0].String())
	for place := 1; place <= 5; place++ {
		want := map[int]time.Duration{3: 5 * time.Hour, 4: time.Hour}[place]
		if v := l.judge(c, udp(client, server, 1, 1, 1), client, -1); v.Delay != want {
			t.Errorf("frame %d is delayed by %v, want %v", place, v.Delay, want)
		}
	}
}
