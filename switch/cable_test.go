package vswitch_test

import (
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

func TestLatencyIsTheSumOfBothCables(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{})
	a := l.connect(vswitch.PortConfig{Name: "a", Latency: 3*ms + 1})
	b := l.connect(vswitch.PortConfig{Name: "b", Latency: 1})
	c := l.connect(vswitch.PortConfig{Name: "c"})
	l.at(0, func() { a.send(vswitch.Broadcast, "1") })
	l.at(1, func() { a.send(vswitch.Broadcast, "2") })
	l.at(10*ms, func() { b.send(a.MAC(), "3") })
	l.run()
	equal(t, "a", a.arrivals(), "13.000002ms 3")
	equal(t, "b", b.arrivals(), "3.000002ms 1, 3.000003ms 2")
	equal(t, "c", c.arrivals(), "3.025001ms 1, 3.025002ms 2")
}

// A thousand bytes take a millisecond at this rate.
const perMs = 8_000_000

func TestSendersRateSpacesFrames(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{})
	a := l.connect(vswitch.PortConfig{Name: "a", Rate: perMs, Latency: 1 * ms})
	b := l.connect(vswitch.PortConfig{Name: "b", Latency: 2 * ms})
	frame := func(n int) func() {
		return func() { must(t, a.Send(sized(b.MAC(), a.MAC(), n))) }
	}
	l.at(0, frame(1000))
	l.at(0, frame(500))
	l.at(500*time.Microsecond, frame(1000))
	l.at(10*ms, frame(1000)) // idle since 2.5ms
	l.run()
	equal(t, "arrivals", times(b), "4ms 4.5ms 5.5ms 14ms")
}

func TestReceiversRateSpacesFramesOfAllSenders(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{})
	a := l.connect(vswitch.PortConfig{Name: "a", Latency: 1 * ms})
	b := l.connect(vswitch.PortConfig{Name: "b", Latency: 1 * ms})
	c := l.connect(vswitch.PortConfig{Name: "c", Latency: 1 * ms, Rate: perMs})
	l.at(0, func() {
		must(t, b.Send(sized(c.MAC(), b.MAC(), 1000)))
		must(t, a.Send(sized(c.MAC(), a.MAC(), 1000)))
	})
	l.run()
	equal(t, "arrivals", times(c), "3ms 4ms")
	equal(t, "of one instant, the lower port's comes first", vswitch.MAC([]byte(c.got[0].data[6:12])), a.MAC())
}

func TestDirectionsOfACableAreIndependent(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{})
	a := l.connect(vswitch.PortConfig{Name: "a", Latency: 1 * ms, Rate: perMs})
	b := l.connect(vswitch.PortConfig{Name: "b", Latency: 1 * ms})
	l.at(0, func() { must(t, a.Send(sized(b.MAC(), a.MAC(), 1000))) })
	l.at(0, func() { must(t, b.Send(sized(a.MAC(), b.MAC(), 1000))) })
	l.run()
	equal(t, "a", times(a), "3ms")
	equal(t, "b", times(b), "3ms")
}

func TestTransmissionTimeIsRoundedUp(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{})
	a := l.connect(vswitch.PortConfig{Name: "a", Latency: 1, Rate: 7})
	b := l.connect(vswitch.PortConfig{Name: "b", Latency: 1})
	l.at(0, func() { must(t, a.Send(sized(b.MAC(), a.MAC(), 14))) }) // 112 bits: 16s sharp
	l.at(20*time.Second, func() { must(t, a.Send(sized(b.MAC(), a.MAC(), 15))) })
	l.run()
	equal(t, "arrivals", times(b), "16.000000002s 37.142857145s") // 120/7 = 17.142857142857…
}

func TestFullQueueDropsAtTheTail(t *testing.T) {
	rec := &log{}
	l := newLAN(t, vswitch.SwitchConfig{Recorder: rec})
	a := l.connect(vswitch.PortConfig{Name: "a", Latency: 1 * ms, Rate: perMs, Queue: 2})
	b := l.connect(vswitch.PortConfig{Name: "b", Latency: 1 * ms})
	frame := func() { must(t, a.Send(sized(b.MAC(), a.MAC(), 1000))) }
	for range 5 { // one is being sent, two wait, two are lost
		l.at(0, frame)
	}
	l.at(1*ms-1, frame) // still full
	l.at(1*ms, frame)   // the second is being sent now: room for one
	l.at(1*ms, frame)
	l.run()
	equal(t, "arrivals", times(b), "3ms 4ms 5ms 6ms")
	equal(t, "lost", a.Counters().TxLost[vswitch.LostQueue], 4)
	equal(t, "sent", a.Counters().TxFrames, 8)
	lost := 0
	for _, line := range rec.lines {
		if line[len(line)-len("lost=queue"):] == "lost=queue" {
			lost++
		}
	}
	equal(t, "recorded", lost, 4)
}

func TestFullQueueAtTheReceiver(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{Hub: true})
	a := l.connect(vswitch.PortConfig{Name: "a", Latency: 1 * ms})
	b := l.connect(vswitch.PortConfig{Name: "b", Latency: 1 * ms, Rate: perMs, Queue: 1})
	c := l.connect(vswitch.PortConfig{Name: "c", Latency: 1 * ms})
	for range 4 {
		l.at(0, func() { must(t, a.Send(sized(b.MAC(), a.MAC(), 1000))) })
	}
	l.run()
	equal(t, "b", times(b), "3ms 4ms")
	equal(t, "b lost", b.Counters().RxLost[vswitch.LostQueue], 2)
	equal(t, "c is not slowed", times(c), "2ms 2ms 2ms 2ms")
}

// The fate of a frame is decided when it enters, which may be long before it
// reaches the receiver's cable. One that enters later over a shorter path finds
// the cable idle until then.
func TestFasterPathUsesTheGapBeforeASlowerOne(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{Hub: true})
	far := l.connect(vswitch.PortConfig{Name: "far", Latency: 10 * ms})
	near := l.connect(vswitch.PortConfig{Name: "near", Latency: 1 * ms})
	b := l.connect(vswitch.PortConfig{Name: "b", Latency: 1 * ms, Rate: perMs})
	kilo := func(s *station) func() { return func() { must(t, s.Send(sized(b.MAC(), s.MAC(), 1000))) } }
	l.at(0, kilo(far))                          // on b's cable from 10ms to 11ms
	l.at(1*ms, kilo(near))                      // 2ms to 3ms: before it
	l.at(8*ms, kilo(near))                      // 9ms to 10ms: just fits
	l.at(8*ms+500*time.Microsecond, kilo(near)) // would collide: waits until 11ms
	l.run()
	equal(t, "arrivals", times(b), "4ms 11ms 12ms 13ms")
}

func TestCopiesTakeTheirTimeOnALimitedCable(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{})
	a := l.connect(vswitch.PortConfig{Name: "a", Latency: 1 * ms})
	b := l.connect(vswitch.PortConfig{Name: "b", Latency: 1 * ms, Rate: perMs})
	l.sw.AddRule("", vswitch.RuleFunc(func(_ *vswitch.Frame, to *vswitch.Port) (v vswitch.Verdict) {
		if to != nil {
			v.Copies, v.Gap = 2, 100*time.Microsecond
		}
		return v
	}))
	l.at(0, func() { must(t, a.Send(sized(b.MAC(), a.MAC(), 1000))) })
	l.run()
	equal(t, "arrivals", times(b), "3ms 4ms 5ms")
	equal(t, "copies", b.Counters().RxCopies, 2)
}

// times are the instants of a station's arrivals.
func times(s *station) string {
	text := ""
	for i, a := range s.got {
		if i > 0 {
			text += " "
		}
		text += a.at.String()
	}
	return text
}
