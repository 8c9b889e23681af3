package vswitch_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

func TestSendRefusesRunts(t *testing.T) {
	rec := &log{}
	l := newLAN(t, vswitch.SwitchConfig{Recorder: rec}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	l.at(0, func() {
		for n := range vswitch.HeaderLen {
			if err := a.Send(make([]byte, n)); !errors.Is(err, vswitch.ErrRunt) {
				t.Errorf("%d bytes: %v, want ErrRunt", n, err)
			}
		}
		a.send(b.MAC(), "") // 14 bytes are a frame, and nothing is padded
	})
	l.run()
	equal(t, "runts", a.Counters().Runts, 14)
	equal(t, "tx", a.Counters().TxFrames, 1)
	equal(t, "arrived", len(b.got), 1)
	equal(t, "bytes", b.Counters().RxBytes, 14)
	equal(t, "recorded", strings.Count(rec.String(), " sent "), 1)
}

func TestMTUIsCheckedInsideSend(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{})
	a := l.connect(vswitch.PortConfig{Name: "a", MTU: 100})
	b := l.connect(vswitch.PortConfig{Name: "b"})
	tagged := func(n int) []byte {
		f := sized(b.MAC(), a.MAC(), n)
		f[12], f[13] = 0x81, 0x00
		return f
	}
	l.at(0, func() {
		must(t, a.Send(sized(b.MAC(), a.MAC(), 114)))
		must(t, a.Send(tagged(118)))
		for _, f := range [][]byte{sized(b.MAC(), a.MAC(), 115), tagged(119)} {
			err := a.Send(f)
			var size *vswitch.SizeError
			if !errors.Is(err, vswitch.ErrTooBig) || !errors.As(err, &size) {
				t.Fatalf("%d bytes: %v, want a SizeError that is ErrTooBig", len(f), err)
			}
			equal(t, "error", *size, vswitch.SizeError{Port: "a", Len: len(f), MTU: 100})
		}
	})
	l.run()
	equal(t, "oversize", a.Counters().Oversize, 2)
	equal(t, "arrived", len(b.got), 2)
	err := &vswitch.SizeError{Port: "a", Len: 115, MTU: 100}
	equal(t, "text", err.Error(), "port a: frame of 115 bytes (101 after the Ethernet header) exceeds MTU 100")
}

func TestReceiversMTULosesTheFrameForItAlone(t *testing.T) {
	rec := &log{}
	l := newLAN(t, vswitch.SwitchConfig{Recorder: rec})
	a := l.connect(vswitch.PortConfig{Name: "a"})
	b := l.connect(vswitch.PortConfig{Name: "b", MTU: 100})
	c := l.connect(vswitch.PortConfig{Name: "c"})
	fits, tagged := sized(vswitch.Broadcast, a.MAC(), 114), sized(vswitch.Broadcast, a.MAC(), 118)
	tagged[12], tagged[13] = 0x81, 0x00
	l.at(0, func() {
		must(t, a.Send(fits))
		must(t, a.Send(tagged))
		must(t, a.Send(sized(vswitch.Broadcast, a.MAC(), 115)))
	})
	l.run()
	equal(t, "b", len(b.got), 2)
	equal(t, "c", len(c.got), 3)
	equal(t, "b lost", b.Counters().RxLost[vswitch.LostMTU], 1)
	equal(t, "recorded", strings.Count(rec.String(), "b!mtu c@"), 1)
}

func TestPulledCable(t *testing.T) {
	rec := &log{}
	l := newLAN(t, vswitch.SwitchConfig{Recorder: rec, Hub: true}, "a", "b", "c")
	a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
	l.at(0, func() { a.send(b.MAC(), "0"); a.SetUp(false) }) // decided when it enters: lost
	l.at(1*ms, func() { a.SetUp(true); a.send(b.MAC(), "1") })
	l.at(2*ms, func() { b.SetUp(false); a.send(b.MAC(), "2") })
	l.at(3*ms, func() { b.SetUp(true); a.send(b.MAC(), "3") })
	l.at(3*ms+10*time.Microsecond, func() { b.SetUp(false) }) // 3 is in flight: it arrives
	l.run()
	equal(t, "b", b.texts(), "1 3")
	equal(t, "c", c.texts(), "1 2 3")
	equal(t, "a lost", a.Counters().TxLost[vswitch.LostDown], 1)
	equal(t, "a sent", a.Counters().TxFrames, 4)
	equal(t, "b lost", b.Counters().RxLost[vswitch.LostDown], 1)
	equal(t, "recorded", strings.Join(rec.lines[3:11], "\n"), strings.TrimPrefix(`
0s down port a
0s sent #1 a "0" lost=down
1ms up port a
1ms sent #2 a "1" all b@1.05ms c@1.05ms
2ms down port b
2ms sent #3 a "2" all b!down c@2.05ms
3ms up port b
3ms sent #4 a "3" all b@3.05ms c@3.05ms`, "\n"))
}

func TestCloseForwardsWhatWasSentAndCountsWhatIsInFlight(t *testing.T) {
	rec := &log{deliveries: true}
	l := newLAN(t, vswitch.SwitchConfig{Recorder: rec, Hub: true}, "a", "b", "c")
	a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
	l.at(0, func() {
		a.send(b.MAC(), "a1")
		b.send(a.MAC(), "b1")
		must(t, b.Close())
		must(t, b.Close())
		if err := b.Send(sized(a.MAC(), b.MAC(), 20)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		a.send(b.MAC(), "a2")
	})
	l.at(1*ms, func() { a.send(b.MAC(), "a3") })
	l.run()
	equal(t, "a", a.texts(), "b1")
	equal(t, "b", b.texts(), "")
	equal(t, "c", c.texts(), "a1 a2 b1 a3")
	equal(t, "in flight", b.Counters().RxInFlight, 2)
	equal(t, "received", b.Counters().RxFrames, 0)
	equal(t, "sent", b.Counters().TxFrames, 1)
	equal(t, "one end of b", strings.Count(rec.String(), "0s disconnected b"), 1)
}

func TestCloseFromDeliver(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	b.on = func([]byte) { must(t, b.Close()) }
	l.at(0, func() { a.send(b.MAC(), "1"); a.send(b.MAC(), "2") })
	l.run()
	equal(t, "b takes one and no more", b.texts(), "1")
	equal(t, "in flight", b.Counters().RxInFlight, 1)
}

func TestSendersQueueIsBounded(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	accepted := 0
	l.at(0, func() {
		f := sized(b.MAC(), a.MAC(), 20)
		for range 20000 {
			err := a.Send(f)
			if err == nil {
				accepted++
			} else if !errors.Is(err, vswitch.ErrQueueFull) {
				t.Fatalf("Send: %v", err)
			}
		}
	})
	l.run()
	equal(t, "arrived", len(b.got), accepted)
	equal(t, "refused", a.Counters().TxQueueFull, uint64(20000-accepted))
	if accepted < 1000 || accepted == 20000 {
		t.Errorf("%d frames of 20000 accepted: want a bound, and a generous one", accepted)
	}
}

func TestSendCopiesAndReceiversDoNotShare(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{Hub: true}, "a", "b", "c")
	a, b, c := l.stations["a"], l.stations["b"], l.stations["c"]
	l.sw.AddRule("twice", vswitch.RuleFunc(func(_ *vswitch.Frame, to *vswitch.Port) (v vswitch.Verdict) {
		if to == c.Port {
			v.Copies = 1
		}
		return v
	}))
	scribble := func(data []byte) { clear(data[vswitch.HeaderLen:]) }
	b.on, c.on = scribble, scribble
	l.at(0, func() {
		f := ether(b.MAC(), a.MAC(), "text")
		must(t, a.Send(f))
		clear(f)
	})
	l.run()
	equal(t, "b", b.texts(), "text")
	equal(t, "c", c.texts(), "text text")
}

func TestConnectChecksItsConfiguration(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{Name: "lan"}, "a")
	ep := vswitch.EndpointFunc(func([]byte) {})
	for want, cfg := range map[string]vswitch.PortConfig{
		"port a: the name is taken on lan":                                      {Name: "a"},
		"port b: 02:00:00:00:00:00 already belongs to port a":                   {Name: "b", MAC: vswitch.PortMAC(0)},
		"port b: ff:ff:ff:ff:ff:ff is a group address":                          {Name: "b", MAC: vswitch.Broadcast},
		`port name "b c": want letters, digits, and _ . - inside`:               {Name: "b c"},
		"port b: MTU -1: want 1 to 65535":                                       {Name: "b", MTU: -1},
		"port b: MTU 65536: want 1 to 65535":                                    {Name: "b", MTU: 65536},
		"port b: latency 2562047h47m16.854775807s: want at most 24h0m0s":        {Name: "b", Latency: 1<<63 - 1},
		"port b: latency -1ns, rate 0 bit/s, queue 1000: want positive values":  {Name: "b", Latency: -1},
		"port b: latency 25µs, rate -1 bit/s, queue 1000: want positive values": {Name: "b", Rate: -1},
		"port b: latency 25µs, rate 0 bit/s, queue -1: want positive values":    {Name: "b", Queue: -1},
	} {
		if _, err := l.sw.Connect(cfg, ep); err == nil || err.Error() != want {
			t.Errorf("Connect(%+v): %v, want %s", cfg, err, want)
		}
	}
	if _, err := l.sw.Connect(vswitch.PortConfig{}, nil); err == nil || err.Error() != "port port1: no endpoint" {
		t.Errorf("without endpoint: %v", err)
	}
	// None of these used up a number, and all defaults are those documented.
	p := l.connect(vswitch.PortConfig{})
	equal(t, "number", p.Number(), 1)
	equal(t, "name", p.Name(), "port1")
	equal(t, "MAC", p.MAC(), vswitch.PortMAC(1))
	equal(t, "MTU", p.MTU(), vswitch.DefaultMTU)
	equal(t, "latency", p.Latency(), vswitch.DefaultLatency)
	equal(t, "rate", p.Rate(), 0)
	equal(t, "queue", p.Queue(), vswitch.DefaultQueue)
	equal(t, "switch", p.Switch(), l.sw)
	equal(t, "ports", len(l.sw.Ports()), 2)
	if q, ok := l.sw.Port("port1"); !ok || q != p.Port {
		t.Errorf("Port(port1) = %v, %v", q, ok)
	}
}

func TestPortNumbersAreWorldWide(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a")
	other, err := l.w.NewSwitch(vswitch.SwitchConfig{})
	must(t, err)
	equal(t, "name", other.Name(), "switch1")
	p, err := other.Connect(vswitch.PortConfig{Name: "a"}, vswitch.EndpointFunc(func([]byte) {}))
	must(t, err)
	equal(t, "number", p.Number(), 1)
	_, err = l.w.NewSwitch(vswitch.SwitchConfig{Name: "x", MACs: -1})
	equal(t, "error", err.Error(), "switch x: address table of -1 entries, ageing 5m0s: want positive values")
}

func TestSwitchesDoNotHearEachOther(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	other, err := l.w.NewSwitch(vswitch.SwitchConfig{})
	must(t, err)
	heard := 0
	_, err = other.Connect(vswitch.PortConfig{}, vswitch.EndpointFunc(func([]byte) { heard++ }))
	must(t, err)
	l.at(0, func() { l.stations["a"].send(vswitch.Broadcast, "x") })
	l.run()
	equal(t, "other switch", heard, 0)
	equal(t, "b", l.stations["b"].texts(), "x")
}
