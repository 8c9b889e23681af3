package vswitch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// onSender is a rule that gives v on the sender's cable, onReceiver one on the named receiver's.
func onSender(v vswitch.Verdict) vswitch.RuleFunc {
	return func(_ *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		if to != nil {
			return vswitch.Verdict{}
		}
		return v
	}
}

func onReceiver(name string, v vswitch.Verdict) vswitch.RuleFunc {
	return func(_ *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		if to == nil || to.Name() != name {
			return vswitch.Verdict{}
		}
		return v
	}
}

// rewrite is the edit of a frame's payload from its n-th byte on.
func rewrite(n int, before, after string) vswitch.Edit {
	return vswitch.Edit{Offset: vswitch.HeaderLen + n, Old: []byte(before), New: []byte(after)}
}

func TestRulesAreAskedInOrderAboutTheFrameAsSent(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b", "c")
	var asked []string
	rule := func(name string, v vswitch.Verdict) {
		l.sw.AddRule(name, vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
			where := "sender"
			if to != nil {
				where = to.Name()
			}
			asked = append(asked, fmt.Sprintf("%s:%s:%s", name, where, payload(f.Data)))
			equal(t, "At", f.At.Sub(l.w.Start()), 1*ms)
			equal(t, "From", f.From.Name(), "a")
			equal(t, "Seq", f.Seq, 1)
			equal(t, "Dst", f.Dst(), vswitch.Broadcast)
			equal(t, "Src", f.Src(), l.stations["a"].MAC())
			return v
		}))
	}
	rule("r1", vswitch.Verdict{Edits: []vswitch.Edit{rewrite(0, "t", "T")}})
	rule("r2", vswitch.Verdict{Drop: true})
	rule("r3", vswitch.Verdict{})
	l.at(1*ms, func() { l.stations["a"].send(vswitch.Broadcast, "text") })
	l.run()
	// Every sender's cable first; then rule by rule, receivers in port order. A
	// drop or an edit hides nothing from the rules behind it.
	equal(t, "asked", strings.Join(asked, " "), "r1:sender:text r2:sender:text r3:sender:text "+
		"r1:b:text r1:c:text r2:b:text r2:c:text r3:b:text r3:c:text")
}

func TestVerdictsCompose(t *testing.T) {
	rec := &log{}
	l := newLAN(t, vswitch.SwitchConfig{Recorder: rec}, "a", "b", "c")
	rules := []vswitch.Rule{
		onSender(vswitch.Verdict{Delay: 1 * ms, Copies: 1, Gap: 10 * ms}),
		onReceiver("b", vswitch.Verdict{Delay: 2 * ms, Copies: 1, Reason: "because"}),
		onReceiver("b", vswitch.Verdict{Copies: 1, Gap: 20 * ms}),
		onReceiver("c", vswitch.Verdict{Drop: true}),
	}
	for i, r := range rules {
		l.sw.AddRule(fmt.Sprintf("r%d", i+1), r)
	}
	l.at(0, func() { l.stations["a"].send(vswitch.Broadcast, "x") })
	l.run()
	equal(t, "b", l.stations["b"].arrivals(), "3.05ms x, 23.05ms x, 43.05ms x, 63.05ms x")
	equal(t, "c", l.stations["c"].arrivals(), "")
	equal(t, "c lost", l.stations["c"].Counters().RxLost[vswitch.DroppedByRule], 1)
	equal(t, "recorded", rec.lines[3], `0s sent #1 a "x" all b@3.05ms@23.05ms@43.05ms@63.05ms c!rule`+
		` [1:r1 copies=1 gap=10ms delay=1ms] [2:r2 at b copies=1 gap=0s delay=2ms reason=because]`+
		` [3:r3 at b copies=1 gap=20ms] [4:r4 at c drop]`)
}

func TestEditsAreAppliedInWrittenOrderPerReceiver(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b", "c", "d")
	// The receiver's rule is written before the sender's: the sender's, written
	// later, has the last word on the byte both change.
	l.sw.AddRule("", onReceiver("b", vswitch.Verdict{Edits: []vswitch.Edit{rewrite(0, "12", "bb")}}))
	l.sw.AddRule("", onSender(vswitch.Verdict{Edits: []vswitch.Edit{rewrite(1, "23", "ss"), rewrite(2, "s", "S")}}))
	l.sw.AddRule("", onReceiver("c", vswitch.Verdict{Copies: 1, Edits: []vswitch.Edit{rewrite(3, "4", "c")}}))
	l.at(0, func() { l.stations["a"].send(vswitch.Broadcast, "1234") })
	l.run()
	equal(t, "b", l.stations["b"].texts(), "bsS4")
	equal(t, "c", l.stations["c"].texts(), "1sSc 1sSc")
	equal(t, "d", l.stations["d"].texts(), "1sS4")
}

func TestEditOnTheSendersCableChangesForwarding(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b", "c")
	a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
	forged := vswitch.MAC{2, 0, 0, 9, 9, 9}
	l.at(0, func() { b.send(group, "hi"); c.send(group, "ho") })
	var r *vswitch.InstalledRule
	l.at(1*ms, func() {
		bm, cm, am := b.MAC(), c.MAC(), a.MAC()
		r = l.sw.AddRule("", onSender(vswitch.Verdict{Edits: []vswitch.Edit{
			{Offset: 0, Old: bm[:], New: cm[:]},
			{Offset: 6, Old: am[:], New: forged[:]},
		}}))
		a.send(b.MAC(), "for-b")
	})
	l.at(2*ms, func() { r.Remove(); b.send(forged, "to-forged") })
	l.run()
	equal(t, "a stands behind the source it was given", a.texts(), "hi ho to-forged")
	equal(t, "b", b.texts(), "ho")
	equal(t, "c", c.texts(), "hi for-b")
}

func TestEditOnAReceiversCableDoesNotChangeForwarding(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b", "c")
	a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
	bm, cm := b.MAC(), c.MAC()
	l.at(0, func() { b.send(group, "hi") })
	l.at(1*ms, func() {
		l.sw.AddRule("", onReceiver("b", vswitch.Verdict{Edits: []vswitch.Edit{{Offset: 0, Old: bm[:], New: cm[:]}}}))
		a.send(b.MAC(), "x")
	})
	l.run()
	equal(t, "b", b.texts(), "x")
	equal(t, "its destination", b.got[0].data[:6], string(cm[:]))
	equal(t, "c", c.texts(), "hi")
}

func TestDropOnTheSendersCablePreventsLearning(t *testing.T) {
	rec := &log{}
	l := newLAN(t, vswitch.SwitchConfig{Recorder: rec}, "a", "b", "c")
	a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
	r := l.sw.AddRule("d", onSender(vswitch.Verdict{Drop: true}))
	l.at(0, func() { b.send(vswitch.Broadcast, "lost") })
	l.at(1*ms, func() { r.Remove(); a.send(b.MAC(), "x") })
	l.run()
	equal(t, "a", a.texts(), "")
	equal(t, "c hears it: b is not known", c.texts(), "x")
	equal(t, "recorded with those it would have reached", rec.lines[3], `0s sent #1 b "lost" all a!rule c!rule [1:d drop]`)
	equal(t, "counted at each", a.Counters().RxLost[vswitch.DroppedByRule]+c.Counters().RxLost[vswitch.DroppedByRule], 2)
}

func TestDropOnAReceiversCableDoesNotPreventLearning(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b", "c")
	a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
	l.sw.AddRule("", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		return vswitch.Verdict{Drop: to != nil && f.From == b.Port}
	}))
	l.at(0, func() { b.send(vswitch.Broadcast, "lost") })
	l.at(1*ms, func() { a.send(b.MAC(), "x") })
	l.run()
	equal(t, "b", b.texts(), "x")
	equal(t, "c", c.texts(), "")
}

func TestRuleCountsCountFramesOnce(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b", "c", "d")
	all := l.sw.AddRule("all", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		return vswitch.Verdict{Copies: 2, Delay: 1, Edits: []vswitch.Edit{rewrite(0, "x", "y")}}
	}))
	dropC := l.sw.AddRule("c", onReceiver("c", vswitch.Verdict{Drop: true}))
	never := l.sw.AddRule("never", onReceiver("nobody", vswitch.Verdict{Drop: true}))
	l.at(0, func() { l.stations["a"].send(vswitch.Broadcast, "x") })
	l.at(1*ms, func() { l.stations["b"].send(l.stations["a"].MAC(), "x") })
	l.run()
	equal(t, "all", all.Counts(), vswitch.RuleCounts{Frames: 2, Copied: 2, Changed: 2, Delayed: 2})
	equal(t, "c", dropC.Counts(), vswitch.RuleCounts{Frames: 1, Dropped: 1})
	equal(t, "never", never.Counts(), vswitch.RuleCounts{})
	equal(t, "copies at b: two of the sender's cable, two of its own", l.stations["b"].Counters().RxCopies, 4)
}

func TestRemoveFromWithinJudge(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	var r *vswitch.InstalledRule
	asked := 0
	r = l.sw.AddRule("once", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		asked++
		r.Remove()
		r.Remove()
		return vswitch.Verdict{Drop: to != nil}
	}))
	l.at(0, func() { a.send(b.MAC(), "1"); a.send(b.MAC(), "2") })
	l.run()
	equal(t, "the rule still answers for the frame it was asked about", asked, 2)
	equal(t, "b", b.texts(), "2")
	equal(t, "rules left", len(l.sw.Rules()), 0)
}

func TestRulesComeAndGoDuringTheRun(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	drop := onSender(vswitch.Verdict{Drop: true})
	err := l.w.Run(context.Background(), func(context.Context) error {
		a.send(b.MAC(), "1")
		must(t, sleep(l.node, 1*ms))
		r1 := l.sw.AddRule("d1", drop)
		a.send(b.MAC(), "2")
		must(t, sleep(l.node, 1*ms))
		r1.Remove()
		a.send(b.MAC(), "3")
		must(t, sleep(l.node, 1*ms))
		r2 := l.sw.AddRule("d2", drop)
		equal(t, "numbers are not reused", r2.Number(), 2)
		equal(t, "rules in force", l.sw.Rules()[0], r2)
		equal(t, "counts of the rule that is gone", r1.Counts().Dropped, 1)
		return nil
	})
	must(t, err)
	equal(t, "b", b.texts(), "1 3")
}

func TestAddRuleFromWithinJudgeHoldsFromTheNextFrame(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	added := false
	l.sw.AddRule("adder", vswitch.RuleFunc(func(*vswitch.Frame, *vswitch.Port) vswitch.Verdict {
		if !added {
			added = true
			l.sw.AddRule("drop", onSender(vswitch.Verdict{Drop: true}))
		}
		return vswitch.Verdict{}
	}))
	l.at(0, func() { a.send(b.MAC(), "1"); a.send(b.MAC(), "2") })
	l.run()
	equal(t, "b", b.texts(), "1")
}

func TestRulesOfOneSwitchDoNotTouchAnother(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	other, err := l.w.NewSwitch(vswitch.SwitchConfig{})
	must(t, err)
	other.AddRule("", onSender(vswitch.Verdict{Drop: true}))
	l.at(0, func() { l.stations["a"].send(vswitch.Broadcast, "x") })
	l.run()
	equal(t, "b", l.stations["b"].texts(), "x")
}

func TestDelayReordersFrames(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	l.sw.AddRule("slow", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) (v vswitch.Verdict) {
		if to == nil && bytes.HasSuffix(f.Data, []byte("slow")) {
			v.Delay = 5 * time.Millisecond
		}
		return v
	}))
	l.at(0, func() { a.send(b.MAC(), "slow") })
	l.at(1*ms, func() { a.send(b.MAC(), "fast") })
	l.run()
	equal(t, "b", b.arrivals(), "1.05ms fast, 5.05ms slow")
}

func TestImpossibleVerdictsEndTheRun(t *testing.T) {
	for name, tc := range map[string]struct {
		v    vswitch.Verdict
		want string
	}{
		"negative copies": {vswitch.Verdict{Copies: -1}, "-1 copies: want 0 to 10000"},
		"many copies":     {vswitch.Verdict{Copies: 1 << 40}, "1099511627776 copies: want 0 to 10000"},
		"negative delay":  {vswitch.Verdict{Delay: -1}, "delay -1ns: want 0 to 24h0m0s"},
		"endless delay":   {vswitch.Verdict{Delay: 1<<63 - 1}, "delay 2562047h47m16.854775807s: want 0 to 24h0m0s"},
		"negative gap":    {vswitch.Verdict{Copies: 1, Gap: -1}, "gap -1ns: want 0 to 24h0m0s"},
		"edit behind":     {vswitch.Verdict{Edits: []vswitch.Edit{{Offset: 18, Old: []byte{0}, New: []byte{1}}}}, "edit of 1 bytes at byte 18 does not lie within the frame"},
		"edit before":     {vswitch.Verdict{Edits: []vswitch.Edit{{Offset: -1, Old: []byte{0}, New: []byte{1}}}}, "edit of 1 bytes at byte -1 does not lie within the frame"},
		"negative behind": {vswitch.Verdict{Behind: -1, Within: 1}, "behind -1 frames: want 0 to 1000000"},
		"held for ever":   {vswitch.Verdict{Behind: 1}, "behind 1 frames within 0s: want more than 0, at most 24h0m0s"},
		"truncated runt":  {vswitch.Verdict{Truncate: 13}, "truncate to 13 bytes: want 0, or at least the 14 of the Ethernet header"},
		"endless pad":     {vswitch.Verdict{Pad: 65536}, "pad 65536 bytes: want 0 to 65535"},
		"edit that grows": {vswitch.Verdict{Edits: []vswitch.Edit{{Offset: 14, New: []byte{1}}}}, "edit at byte 14 replaces 0 bytes by 1"},
	} {
		for where, rule := range map[string]vswitch.Rule{"a": onSender(tc.v), "b": onReceiver("b", tc.v)} {
			t.Run(name+" at "+where, func(t *testing.T) {
				l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
				l.sw.AddRule("bad", rule)
				l.at(1*ms, func() { l.stations["a"].send(vswitch.Broadcast, "text") })
				err := l.tryRun()
				if !errors.Is(err, vswitch.ErrVerdict) || !vswitch.IsHarnessError(err) {
					t.Fatalf("Run: %v", err)
				}
				equal(t, "error", err.Error(), `impossible verdict: rule 1 "bad" on frame 1 (18 bytes, from port a), cable of port `+where+
					": "+tc.want+" (at 1ms; not finished: main; script waits in sleep for 1ms since 0s)")
			})
		}
	}
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	for range 2 {
		l.sw.AddRule("", onSender(vswitch.Verdict{Delay: 20 * time.Hour, Copies: 1}))
	}
	l.at(0, func() { l.stations["a"].send(vswitch.Broadcast, "text") })
	if err := l.tryRun(); !errors.Is(err, vswitch.ErrVerdict) || !strings.Contains(err.Error(),
		"the rules together make 2 copies of frame 1 to port b, delay it by 40h0m0s and add 0 bytes: want at most 10000, 24h0m0s and 65535") {
		t.Errorf("Run: %v", err)
	}
}

// A rule that says where it can do something is asked there only, and its effects
// keep their place among those of the others.
func TestPlacedRulesAreAskedWhereTheyAct(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{Hub: true}, "a", "b", "c")
	var asked []string
	rule := func(name string, sender, receivers bool) vswitch.Rule {
		return placed{sender, receivers, func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
			where := "sender"
			if to != nil {
				where = to.Name()
			}
			asked = append(asked, name+"@"+where)
			return vswitch.Verdict{Edits: []vswitch.Edit{{Offset: 14, Old: []byte(payload(f.Data)[:1]), New: []byte(name)}}}
		}}
	}
	for _, r := range []struct {
		name              string
		sender, receivers bool
	}{{"1", true, false}, {"2", false, true}, {"3", true, true}, {"4", false, false}, {"5", true, false}, {"6", false, true}} {
		l.sw.AddRule(r.name, rule(r.name, r.sender, r.receivers))
	}
	l.at(0, func() { l.stations["a"].send(vswitch.Broadcast, "x") })
	l.run()
	equal(t, "asked", strings.Join(asked, " "), "1@sender 3@sender 5@sender 2@b 2@c 3@b 3@c 6@b 6@c")
	equal(t, "the last one wins", l.stations["b"].texts(), "6")
}

type placed struct {
	sender, receivers bool
	vswitch.RuleFunc
}

func (p placed) Cables() (sender, receivers bool) { return p.sender, p.receivers }

// One that can do nothing anywhere is not shown frames either while it is off.
func TestRulesThatCanDoNothingAreNotShownFrames(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	shown := map[bool]int{}
	for _, can := range []bool{false, true} {
		l.sw.AddRule("", watcher{placed{can, false, func(*vswitch.Frame, *vswitch.Port) vswitch.Verdict { return vswitch.Verdict{} }},
			func() { shown[can]++ }}).SetOn(false)
	}
	l.at(0, func() { l.stations["a"].send(vswitch.Broadcast, "x") })
	l.run()
	equal(t, "shown", fmt.Sprint(shown), "map[true:2]")
}

type watcher struct {
	placed
	shown func()
}

func (w watcher) Watch(*vswitch.Frame, *vswitch.Port) { w.shown() }
