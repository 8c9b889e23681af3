package pcap_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// What was changed during a run stands in the comments of the next frame, or
// where no frame follows in the statistics.
func TestChangesAreEventsOfTheRecording(t *testing.T) {
	l := newLAN(t, true)
	a := l.connect(t, vswitch.PortConfig{Name: "a"})
	b := l.connect(t, vswitch.PortConfig{Name: "b"})
	rule := l.sw.AddRule("loss", vswitch.RuleFunc(func(_ *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		return vswitch.Verdict{Drop: to != nil, Reason: "queue:3p"}
	}))
	rule.SetOn(false)
	ms := time.Millisecond
	send := func(at time.Duration) {
		l.at(at, func() { ok(t, a.Send(ether(b.MAC(), a.MAC(), 60))) })
	}
	send(1 * ms)
	l.at(1500*time.Microsecond, func() { rule.SetOn(true) })
	l.at(1600*time.Microsecond, func() { l.sw.AddRule("", script(nil)) })
	send(2 * ms)
	l.at(2500*time.Microsecond, func() { rule.Remove(); b.SetUp(false) })
	send(3 * ms)
	l.at(3500*time.Microsecond, func() { b.SetUp(true) })
	l.run(t)

	r := read(t, l.wire.Bytes())
	var s pcap.Show
	var got []string
	for p, err := range r.Packets() {
		ok(t, err)
		line := s.Line(p, r.Interface(p.Interface))
		got = append(append(got, s.Changes(p.Comments)...), strings.Join(strings.Fields(line), " "))
	}
	for _, ifc := range r.Interfaces() {
		got = append(got, s.Changes(ifc.Stats.Comments)...)
	}
	same(t, "shown", got, strings.Split(strings.TrimPrefix(`
1 0.000000000 a> 02:00:00:00:00:00 > 02:00:00:00:00:01: ethertype 0x88b5 len 46
      0.000500000 -- loss: on
      0.000600000 -- rule 2: added
2 0.001000000 a> 02:00:00:00:00:00 > 02:00:00:00:00:01: ethertype 0x88b5 len 46 DROP loss (queue:3p)
      0.001500000 -- loss: removed
      0.001500000 -- cable of b: down
3 0.002000000 a> 02:00:00:00:00:00 > 02:00:00:00:00:01: ethertype 0x88b5 len 46 LOST down
      0.002500000 -- cable of b: up`, "\n"), "\n"))
	// The views are whole and say it, too.
	if v := dump(t, viewAt(t, l.wire.Bytes(), "a")); !strings.Contains(v, "vnr.change=removed rule=1:loss time=2026-01-01T00:00:00.0025Z") {
		t.Errorf("the view does not tell of the change:\n%s", v)
	}
}
