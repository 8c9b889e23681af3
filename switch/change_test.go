package vswitch_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// A change made by an application waits for what it sent before, and is an event.
func TestChangesFromApplicationsKeepTheirPlace(t *testing.T) {
	rec := &log{}
	l := newLAN(t, vswitch.SwitchConfig{Recorder: rec, Hub: true}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	drop := onSender(vswitch.Verdict{Drop: true})
	first := l.sw.AddRule("first", drop)
	first.SetOn(false) // before the run it is no event
	must(t, l.w.Run(t.Context(), func(context.Context) error {
		a.send(b.MAC(), "1")
		first.SetOn(true)
		a.send(b.MAC(), "2")
		first.SetOn(true) // changes nothing
		first.SetOn(false)
		a.send(b.MAC(), "3")
		second := l.sw.AddRule("second", drop)
		a.send(b.MAC(), "4")
		second.Remove()
		second.Remove()
		second.SetOn(false) // it is gone
		a.send(b.MAC(), "5")
		a.SetUp(false)
		a.send(b.MAC(), "6")
		a.SetUp(true)
		a.send(b.MAC(), "7")
		return nil
	}))
	equal(t, "b", b.texts(), "1 3 5 7")
	first.SetOn(true) // the run is over: no event
	equal(t, "rules", len(l.sw.Rules()), 1)
	equal(t, "recorded", strings.Join(rec.lines[2:15], "\n"), strings.TrimPrefix(`
0s sent #1 a "1" simple all b@50µs
0s on rule 1:first
0s sent #2 a "2" simple all b!rule [1:first drop]
0s off rule 1:first
0s sent #3 a "3" simple all b@50µs
0s added rule 2:second
0s sent #4 a "4" simple all b!rule [2:second drop]
0s removed rule 2:second
0s sent #5 a "5" simple all b@50µs
0s down port a
0s sent #6 a "6" lost=down
0s up port a
0s sent #7 a "7" simple all b@50µs`, "\n"))
}

// Rules that are off see nothing.
func TestARuleThatIsOffIsNotAsked(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{Hub: true}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	asked := 0
	rule := l.sw.AddRule("count", vswitch.RuleFunc(func(_ *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		asked++
		return vswitch.Verdict{}
	}))
	for i := range 4 {
		l.at(time.Duration(i)*ms, func() { rule.SetOn(i%2 == 1); a.send(b.MAC(), "x") })
	}
	l.run()
	equal(t, "asked, about two cables", asked, 4)
}

// A gate's refusal reaches the sender, and nobody else.
func TestAGateRefusesInsideTheWrite(t *testing.T) {
	b := newBooks(t)
	l := newLAN(t, vswitch.SwitchConfig{Recorder: b, Hub: true}, "a", "b")
	full := errors.New("no")
	gate := l.sw.AddRule("gate", gate{func(from *vswitch.Port, data []byte, at time.Time) error {
		switch {
		case from.Name() != "a" || at.Before(vswitch.DefaultStart.Add(ms)):
			return nil
		case len(data) > 20:
			return &vswitch.SizeError{Port: "a", Len: len(data), MTU: 6}
		case payload(data) == "no":
			return full
		}
		return nil
	}})
	a := l.stations["a"]
	send := func(at time.Duration, text string, want error) {
		l.at(at, func() {
			if err := a.Send(ether(vswitch.Broadcast, a.MAC(), text)); !errors.Is(err, want) {
				t.Errorf("at %v, %q: %v, want %v", at, text, err, want)
			}
		})
	}
	send(0, "too long, but early", nil)
	send(2*ms, "too long", vswitch.ErrTooBig)
	send(2*ms, "no", full)
	send(2*ms, "fits", nil)
	l.at(3*ms, func() { gate.SetOn(false) })
	send(4*ms, "too long, but late", nil)
	l.run()
	b.finish(l.w)
	equal(t, "b", l.stations["b"].texts(), "too long, but early fits too long, but late")
	equal(t, "counted", gate.Counts(), vswitch.RuleCounts{Refused: 2})
	equal(t, "oversize", a.Counters().Oversize, 1)
}

type gate struct {
	refuse func(from *vswitch.Port, data []byte, at time.Time) error
}

func (gate) Judge(*vswitch.Frame, *vswitch.Port, *vswitch.Verdict) bool { return false }
func (g gate) Refuse(from *vswitch.Port, data []byte, at time.Time) error {
	return g.refuse(from, data, at)
}

var _ vswitch.Gate = gate{}

func TestHeldFrames(t *testing.T) {
	hold := func(seqs map[uint64]vswitch.Verdict) vswitch.Rule {
		return vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
			if to == nil {
				return vswitch.Verdict{}
			}
			return seqs[f.Seq]
		})
	}
	for _, tc := range []struct {
		name  string
		rules map[uint64]vswitch.Verdict
		want  string
	}{
		{"behind two", map[uint64]vswitch.Verdict{1: {Behind: 2, Within: time.Second}},
			"1.05ms 2, 2.05ms 3, 2.050001ms 1, 3.05ms 4, 4.05ms 5"},
		{"nobody passes in time", map[uint64]vswitch.Verdict{1: {Behind: 4, Within: 2 * ms}},
			"1.05ms 2, 2.05ms 1, 2.05ms 3, 3.05ms 4, 4.05ms 5"},
		{"the last one waits to the end", map[uint64]vswitch.Verdict{5: {Behind: 1, Within: 2 * ms}},
			"50µs 1, 1.05ms 2, 2.05ms 3, 3.05ms 4, 6.05ms 5"},
		{"lost and held ones do not pass", map[uint64]vswitch.Verdict{1: {Behind: 1, Within: time.Second}, 2: {Drop: true}, 3: {Behind: 1, Within: time.Second}},
			"3.05ms 4, 3.050001ms 1, 3.050001ms 3, 4.05ms 5"},
		{"copies wait with it", map[uint64]vswitch.Verdict{1: {Behind: 1, Within: time.Second, Copies: 1, Gap: 100 * time.Microsecond}},
			"1.05ms 2, 1.050001ms 1, 1.150001ms 1, 2.05ms 3, 3.05ms 4, 4.05ms 5"},
		{"in time's nick", map[uint64]vswitch.Verdict{1: {Behind: 1, Within: ms}, 2: {Delay: ms}},
			"1.05ms 1, 2.05ms 2, 2.05ms 3, 3.05ms 4, 4.05ms 5"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			books := newBooks(t)
			l := newLAN(t, vswitch.SwitchConfig{Hub: true, Recorder: books}, "a", "b")
			a, b := l.stations["a"], l.stations["b"]
			rule := l.sw.AddRule("hold", hold(tc.rules))
			for i, text := range strings.Fields("1 2 3 4 5") {
				l.at(time.Duration(i)*ms, func() { a.send(b.MAC(), text) })
			}
			l.run()
			books.finish(l.w)
			equal(t, "b", b.arrivals(), tc.want)
			if n := rule.Counts().Reordered; n == 0 {
				t.Error("it counted nothing")
			}
		})
	}
}

// Of thousands that are held each has its own turn.
func TestManyHeldFrames(t *testing.T) {
	const n = 5000 // are held, then so many pass
	l := newLAN(t, vswitch.SwitchConfig{Hub: true}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	behind := func(i int) int { return 1 + i*7919%n } // each number once
	l.sw.AddRule("hold", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		if to == nil || f.Seq > n {
			return vswitch.Verdict{}
		}
		return vswitch.Verdict{Behind: behind(int(f.Seq)), Within: time.Hour}
	}))
	for i := range 2 * n {
		l.at(time.Duration(i)*time.Microsecond, func() { a.send(b.MAC(), strconv.Itoa(i+1)) })
	}
	l.run()
	got := strings.Fields(b.texts())
	equal(t, "arrived", len(got), 2*n)
	for i := 0; i < len(got); i += 2 {
		seq, _ := strconv.Atoi(got[i+1])
		if got[i] != strconv.Itoa(n+1+i/2) || behind(seq) != i/2+1 {
			t.Fatalf("%s and then %s: want %d, and the frame behind %d", got[i], got[i+1], n+1+i/2, i/2+1)
		}
	}
}

// What one rule cuts off another cannot change; what is added takes no MTU.
func TestTruncateAndPad(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{Hub: true}, "a")
	l.connect(vswitch.PortConfig{Name: "b", MTU: 10})
	a, b := l.stations["a"], l.stations["b"]
	short := l.sw.AddRule("short", onSender(vswitch.Verdict{Truncate: 24}))
	l.sw.AddRule("edit", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		if to == nil || len(f.Data) < 30 {
			return vswitch.Verdict{}
		}
		return vswitch.Verdict{Edits: []vswitch.Edit{rewrite(8, "ijkl", "IJKL")}, Pad: 3}
	}))
	l.at(0, func() { a.send(b.MAC(), "abcdefghijklmnop") })
	l.at(ms, func() { a.send(b.MAC(), "short") }) // nothing to cut off: not affected
	l.run()
	equal(t, "b", b.texts(), "abcdefghIJ\x00\x00\x00 short")
	equal(t, "counted", short.Counts(), vswitch.RuleCounts{Frames: 1, Truncated: 1})
}
