package vswitch_test

import (
	"fmt"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

const ms = time.Millisecond

// group is a multicast address that a bridge forwards.
var group = vswitch.MAC{0x01, 0x00, 0x5e, 0, 0, 1}

func TestUnknownUnicastIsFloodedThenLearned(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b", "c")
	a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
	l.at(0, func() { a.send(b.MAC(), "who") })
	l.at(1*ms, func() { b.send(a.MAC(), "me") })
	l.at(2*ms, func() { a.send(b.MAC(), "you") })
	l.run()
	equal(t, "a", a.texts(), "me")
	equal(t, "b", b.texts(), "who you")
	equal(t, "c", c.texts(), "who")
}

func TestHubSendsEverythingToAllOthers(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{Hub: true}, "a", "b", "c")
	a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
	l.at(0, func() { a.send(b.MAC(), "1") })
	l.at(1*ms, func() { b.send(a.MAC(), "2") })
	l.at(2*ms, func() { a.send(b.MAC(), "3") })
	l.at(3*ms, func() { a.send(a.MAC(), "self") })
	l.at(4*ms, func() { c.send(vswitch.MAC{0x01, 0x80, 0xc2, 0, 0, 0}, "stp") })
	l.run()
	equal(t, "a", a.texts(), "2 stp")
	equal(t, "b", b.texts(), "1 3 self stp")
	equal(t, "c", c.texts(), "1 2 3 self")
}

func TestGroupAddressesAreFloodedAndNeverBack(t *testing.T) {
	for _, hub := range []bool{false, true} {
		for _, dst := range []vswitch.MAC{vswitch.Broadcast, group} {
			t.Run(fmt.Sprintf("%v hub=%v", dst, hub), func(t *testing.T) {
				l := newLAN(t, vswitch.SwitchConfig{Hub: hub}, "a", "b", "c")
				l.at(0, func() { l.stations["b"].send(dst, "all") })
				l.run()
				equal(t, "a", l.stations["a"].texts(), "all")
				equal(t, "b", l.stations["b"].texts(), "")
				equal(t, "c", l.stations["c"].texts(), "all")
			})
		}
	}
}

func TestFrameToItsOwnSegmentIsFiltered(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	other := vswitch.MAC{2, 0, 0, 9, 9, 9} // a second station behind a's cable
	l.at(0, func() { a.send(a.MAC(), "self") })
	l.at(1*ms, func() { a.sendFrom(other, vswitch.Broadcast, "hello") })
	l.at(2*ms, func() { a.send(other, "neighbour") })
	l.run()
	equal(t, "a", a.texts(), "")
	equal(t, "b", b.texts(), "hello")
}

func TestMovedAddressIsLearnedAgain(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b", "c")
	a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
	roaming := vswitch.MAC{2, 0, 0, 9, 9, 9}
	l.at(0, func() { b.sendFrom(roaming, a.MAC(), "at-b") })
	l.at(1*ms, func() { a.send(roaming, "1") })
	l.at(2*ms, func() { c.sendFrom(roaming, a.MAC(), "at-c") })
	l.at(3*ms, func() { a.send(roaming, "2") })
	l.run()
	equal(t, "a", a.texts(), "at-b at-c")
	equal(t, "b", b.texts(), "1")
	equal(t, "c", c.texts(), "at-b 2") // at-b was flooded: a was not known yet
}

func TestGroupSourceIsNeverLearned(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{MACs: 1}, "a", "b", "c")
	a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
	l.at(0, func() { a.sendFrom(group, vswitch.Broadcast, "forged") })
	l.at(1*ms, func() { c.send(group, "multicast") })
	l.at(2*ms, func() { b.send(c.MAC(), "known") })
	l.run()
	equal(t, "a hears the multicast, and not the unicast", a.texts(), "multicast")
	equal(t, "b", b.texts(), "forged multicast")
	equal(t, "c", c.texts(), "forged known")
	// The table of one entry went to c; b's address found no room, the group
	// address did not take one.
	equal(t, "unlearned", l.sw.Unlearned(), 1)
}

func TestAddressesAgeByTheWorldsClock(t *testing.T) {
	for _, tc := range []struct {
		pause time.Duration
		want  string // what the bystander hears
	}{
		{10 * time.Second, "hello"},                      // still known
		{10*time.Second + time.Nanosecond, "hello late"}, // forgotten: flooded
	} {
		t.Run(tc.pause.String(), func(t *testing.T) {
			l := newLAN(t, vswitch.SwitchConfig{Ageing: 10 * time.Second}, "a", "b", "c")
			a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
			l.at(0, func() { b.send(vswitch.Broadcast, "hello") })
			l.at(tc.pause, func() { a.send(b.MAC(), "late") })
			l.run()
			equal(t, "b", b.texts(), "late")
			equal(t, "c", c.texts(), tc.want)
		})
	}
}

func TestTrafficKeepsAnAddressYoung(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{Ageing: 10 * time.Second}, "a", "b", "c")
	a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
	for i := range 5 {
		l.at(time.Duration(i)*9*time.Second, func() { b.send(vswitch.Broadcast, "still-here") })
	}
	l.at(45*time.Second, func() { c.got = nil; a.send(b.MAC(), "unicast") })
	l.run()
	equal(t, "c", c.texts(), "")
}

func TestFullTableFloodsAndCounts(t *testing.T) {
	moonLanding := vswitch.Config{Start: time.Date(1969, 7, 20, 20, 17, 40, 0, time.UTC)}
	l := newLANIn(t, moonLanding, vswitch.SwitchConfig{MACs: 2, Ageing: 10 * time.Second}, "a", "b", "c", "d")
	a, b, c, d := l.stations["a"], l.stations["b"], l.stations["c"], l.stations["d"]
	l.at(0*ms, func() { a.send(vswitch.Broadcast, "a") })
	l.at(1*ms, func() { b.send(vswitch.Broadcast, "b") })
	l.at(2*ms, func() { c.send(a.MAC(), "c") }) // no room for c
	l.at(3*ms, func() { a.send(c.MAC(), "to-c") })
	l.at(4*ms, func() {
		equal(t, "unlearned", l.sw.Unlearned(), 1)
		d.got = nil
	})
	// Eleven seconds later a and b have aged: there is room.
	l.at(11*time.Second, func() { c.send(vswitch.Broadcast, "c-again") })
	l.at(11*time.Second+1*ms, func() { d.got = nil; a.send(c.MAC(), "to-c-again") })
	l.run()
	equal(t, "b hears what is for c while c is unknown", b.texts(), "a to-c c-again")
	equal(t, "c", c.texts(), "a b to-c to-c-again")
	equal(t, "d", d.texts(), "")
	equal(t, "unlearned", l.sw.Unlearned(), 1)
}

func TestLinkLocalGroupIsNotForwarded(t *testing.T) {
	rec := &log{}
	l := newLAN(t, vswitch.SwitchConfig{Recorder: rec}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	l.at(0, func() {
		for last := range 0x12 {
			a.send(vswitch.MAC{0x01, 0x80, 0xc2, 0, 0, byte(last)}, fmt.Sprintf("%x", last))
		}
	})
	l.run()
	equal(t, "only addresses beyond ..0f pass", b.texts(), "10 11")
	equal(t, "counted at the sender", a.Counters().TxLost[vswitch.LostReserved], 16)
	equal(t, "recorded", rec.lines[2], `0s sent #1 a "0" lost=reserved`)
}

func TestClosedPortIsForgotten(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b", "c")
	a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
	mac := b.MAC()
	l.at(0, func() { b.send(vswitch.Broadcast, "hello") })
	l.at(1*ms, func() { must(t, b.Close()) })
	l.at(2*ms, func() { a.send(mac, "flooded") })
	l.at(3*ms, func() {
		// The name and the address are free again; the number is not reused.
		b2 := l.connect(vswitch.PortConfig{Name: "b", MAC: mac})
		equal(t, "number", b2.Number(), 3)
		b2.send(vswitch.Broadcast, "back")
	})
	l.at(4*ms, func() { a.send(mac, "again") })
	l.run()
	equal(t, "a", a.texts(), "hello back")
	equal(t, "c", c.texts(), "hello flooded back")
	equal(t, "b", l.stations["b"].texts(), "again")
}
