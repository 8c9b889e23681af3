package faults_test

import (
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// idle are rules that can do nothing, of every fault that has a how-often.
var idle = []string{
	"drop 0%", "drop 0/7 corr 50%", "drop gemodel 0% 25% 100% 0%", "drop gemodel 1% 25% 0%",
	"drop markov good=0% bad=50%", "drop markov a=0% b=0% c=100% a>b=10% b>a=10% c>a=1%",
	"drop markov link good=0% bad=100% good>bad=0% step 10ms",
	"duplicate 0% copies 2 gap 1ms", "corrupt 0% bits 3", "corrupt 0% set ip.ttl=1 fixsum", "corrupt 0% @14:45>46", "truncate 0% to 60B",
	"pad 0% 0..9B", "delay 0% 40ms", "delay 0% 40ms jitter 10ms normal corr 25%", "reorder 0% behind 3",
	"drop 0% from client", "drop 0% to server", "drop 0% to all", `drop 0% if "udp"`, "drop 0% during 1s..2s", "drop 0% after 1 frame",
}

// busy are some that seem to be.
var busy = []string{
	"drop 1/100000000000000", "reorder 0% ahead 10ms", "reorder ahead 10ms", "drop gemodel 0% 25% 100% 1%", "drop gemodel 1/1000000 1/2",
	"drop markov a=0% b=0% c=100% a>b=10% b>c=10%", "drop markov a=1/1000000", "mtu 9000", "mtu 9000 error", "rate 1tbit", "drop nth 1000000000",
}

func TestIdleRulesAreThoseThatCanDoNothing(t *testing.T) {
	for _, text := range idle {
		if r := mustParse(t, text); !r.Idle() {
			t.Errorf("%q is not idle", r)
		}
	}
	for _, text := range busy {
		if r := mustParse(t, text); r.Idle() {
			t.Errorf("%q is idle", r)
		}
	}
	for _, m := range models {
		if r := mustParse(t, m.rule); r.Idle() {
			t.Errorf("%q is idle", r)
		}
	}
}

// Idle rules do nothing and count nothing, on a switch, turned off and on, or by
// themselves; and those beside them do what they do without them.
func TestIdleRulesDoNothing(t *testing.T) {
	const loss = "loss: drop 20%"
	alone := newHub(t, 5)
	alone.install(loss)
	alone.run(openLoop(60))

	beside := newHub(t, 5)
	in := beside.install(append([]string{loss}, idle...)...)
	beside.node.StackClock().AfterFunc(20*time.Millisecond, func() { in[1].SetOn(false) })
	beside.node.StackClock().AfterFunc(40*time.Millisecond, func() { in[1].SetOn(true) })
	beside.run(openLoop(60))
	if len(alone.hits) == 0 || len(alone.hits) != len(beside.hits) {
		t.Fatalf("%d hits alone, %d beside", len(alone.hits), len(beside.hits))
	}
	for i, h := range alone.hits {
		if beside.hits[i] != h {
			t.Errorf("alone: %s, beside: %s", h, beside.hits[i])
		}
	}
	for _, r := range in[1:] {
		if r.Matched() != 0 || r.Counts() != (vswitch.RuleCounts{}) || r.Unfit() != 0 {
			t.Errorf("%q: matched %d, unfit %d, %+v", r.Rule(), r.Matched(), r.Unfit(), r.Counts())
		}
	}
	if in[0].Matched() != 60 {
		t.Errorf("the rule that is not idle matched %d", in[0].Matched())
	}

	l := newLAN(t, 5)
	for _, text := range idle {
		c := l.compile(text)
		for _, to := range []int{-1, server} {
			if v := l.judge(c, udp(client, server, 1, 1, 8), client, to); !v.IsZero() {
				t.Errorf("%q: %s", text, verdictText(v))
			}
		}
		if sender, receivers := c.Cables(); sender || receivers {
			t.Errorf("%q: it is to be asked", text)
		}
	}
}
