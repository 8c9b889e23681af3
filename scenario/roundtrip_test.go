package scenario_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/scenario"
)

// Any scenario that passes its check is printed in a form that is read as the
// same scenario.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		if err := s.Check(); err != nil {
			t.Fatalf("the generator made a bad scenario: %v", err)
		}
		sameAgain(t, s)
	})
}

func drawScenario(t *rapid.T) *scenario.Scenario {
	s := &scenario.Scenario{
		Seed:   scenario.Number(rapid.Uint64().Draw(t, "seed")),
		Switch: rapid.SampledFrom([]string{"", "hub", "learning"}).Draw(t, "switch"),
		Limit:  drawTime(t, "limit"),
	}
	if rapid.Bool().Draw(t, "has start") {
		s.Start.Time = time.Unix(rapid.Int64Range(1, 7e9).Draw(t, "start"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
	}
	names := []string{"client", "server", "1", "true", "null", "a.b-c_d", "0x10", "1e3"}
	names = names[:rapid.IntRange(1, len(names)).Draw(t, "hosts")]
	for i, name := range names {
		s.Hosts = append(s.Hosts, scenario.Entry[scenario.Host]{Name: name, Value: drawHost(t, i)})
		if rapid.Bool().Draw(t, "has link") {
			l := scenario.Link{Latency: drawTime(t, "latency")}
			if l.Latency > scenario.Duration(scenario.MaxLatency) {
				l.Latency = 0
			}
			if rapid.Bool().Draw(t, "has rate") {
				l.Rate = scenario.Rate(rapid.Int64Range(1, scenario.MaxRate).Draw(t, "rate"))
				l.Queue = scenario.Queue(rapid.Int64Range(0, scenario.MaxQueue).Draw(t, "queue"))
			}
			s.Links = append(s.Links, scenario.Entry[scenario.Link]{Name: name, Value: l})
		}
	}
	drawNetwork(t, s)
	for i := range rapid.IntRange(0, 3).Draw(t, "faults") {
		s.Faults = append(s.Faults, fmt.Sprintf("r%d: %s", i, rapid.SampledFrom([]string{
			"drop 2% to client", "corrupt nth 4 @66:4f>4e", "duplicate 1/3 gap 1ms", "drop nth 1,3..5",
			"delay 40ms jitter 10ms normal corr 25%", "rate 10mbit queue 64p,96kB to client if \"tcp[tcpflags] & tcp-syn != 0\""}).Draw(t, "rule")))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "steps") {
		step := scenario.Step{At: drawTime(t, "step")}
		host := rapid.SampledFrom(names).Draw(t, "step's host")
		switch k := rapid.IntRange(0, 5).Draw(t, "deed"); {
		case k == 0:
			step.Add = fmt.Sprintf("added%d: drop 2%% during 1s..4s if \"tcp port 80\"", i)
		case k == 1:
			step.Down = host
		case k == 2 || len(s.Faults) == 0:
			step.Up = host
		case k == 3:
			step.On = "r0"
		case k == 4:
			step.Off = "r0"
		default:
			step.Remove = "r0"
		}
		s.Script = append(s.Script, step)
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "apps") {
		a := drawApp(t)
		a.Host, a.At = rapid.SampledFrom(names).Draw(t, "host"), drawTime(t, "at")
		s.Apps = append(s.Apps, scenario.Entry[scenario.App]{Name: fmt.Sprintf("app%d", i), Value: a})
	}
	if rapid.Bool().Draw(t, "expects") {
		s.Expect = drawExpect(t, s)
	}
	return s
}

// drawNetwork puts the hosts on several switches, or adds routers, or both.
func drawNetwork(t *rapid.T, s *scenario.Scenario) {
	names := []string{"lan", "wan", "0", "no"}
	names = names[:rapid.IntRange(0, len(names)).Draw(t, "switches")]
	if len(names) > 0 {
		s.Switch = ""
		for i := range s.Hosts {
			s.Hosts[i].Value.Switch = rapid.SampledFrom(names).Draw(t, "on")
		}
	}
	for _, name := range names {
		s.Switches = append(s.Switches, scenario.Entry[string]{Name: name, Value: rapid.SampledFrom([]string{"hub", "learning"}).Draw(t, "kind of switch")})
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "routers") {
		r := scenario.Router{}
		for k, name := range []string{"x", "y"}[:rapid.IntRange(1, 2).Draw(t, "interfaces")] {
			in := scenario.Interface{
				IP:  scenario.List[scenario.Prefix]{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(1 + i), byte(k), 254}), 24)}},
				MTU: scenario.Number(rapid.SampledFrom([]uint64{0, 68, 1300}).Draw(t, "mtu")),
			}
			if len(names) > 0 {
				in.Switch = rapid.SampledFrom(names).Draw(t, "on")
			}
			r.Interfaces = append(r.Interfaces, scenario.Entry[scenario.Interface]{Name: name, Value: in})
		}
		next := scenario.Addr{Addr: netip.AddrFrom4([4]byte{10, byte(1 + i), 0, 1})}
		if rapid.Bool().Draw(t, "has gateway") {
			r.Gateway = scenario.List[scenario.Addr]{next}
		}
		if rapid.Bool().Draw(t, "has routes") {
			r.Routes = scenario.Map[scenario.Addr]{{Name: "10.50.0.0/16", Value: next}}
		}
		s.Routers = append(s.Routers, scenario.Entry[scenario.Router]{Name: fmt.Sprintf("r%d", i), Value: r})
	}
}

func drawTime(t *rapid.T, what string) scenario.Duration {
	if rapid.Bool().Draw(t, "no "+what) {
		return 0
	}
	return scenario.Duration(rapid.Int64Range(1, int64(scenario.MaxLimit)).Draw(t, what))
}

func drawHost(t *rapid.T, i int) scenario.Host {
	h := scenario.Host{
		IP:  scenario.List[scenario.Prefix]{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}), 24)}},
		MTU: scenario.Number(rapid.SampledFrom([]uint64{0, 1280, 1500, 65535}).Draw(t, "mtu")),
	}
	if rapid.Bool().Draw(t, "v6") {
		h.IP = append(h.IP, scenario.Prefix{Prefix: netip.PrefixFrom(netip.MustParseAddr(fmt.Sprintf("fd00::%d", 1+i)), 64)})
		h.Gateway = scenario.List[scenario.Addr]{{Addr: netip.MustParseAddr("fd00::ff")}}
	}
	if rapid.Bool().Draw(t, "mac") {
		h.MAC = fmt.Sprintf("0a:00:00:00:00:%02x", i)
	}
	return h
}

func drawApp(t *rapid.T) (a scenario.App) {
	number := func(what string, most uint64) scenario.Number {
		return scenario.Number(rapid.Uint64Range(0, most).Draw(t, what))
	}
	port := scenario.Port{Port: 1 + number("port", 65534)}
	echo := scenario.Echo{To: "[fd00::2]:7", Times: number("times", 100), Size: scenario.Size(number("size", 60000)),
		Interval: drawTime(t, "interval"), Timeout: drawTime(t, "timeout")}
	switch rapid.IntRange(0, 8).Draw(t, "kind") {
	case 0:
		a.HTTPServer = &scenario.HTTPServer{Port: number("port", 65535), ReadTimeout: drawTime(t, "read"), IdleTimeout: drawTime(t, "idle")}
		if rapid.Bool().Draw(t, "has files") {
			a.HTTPServer.Files = scenario.Map[scenario.File]{
				{Name: "/big", Value: scenario.File{Random: true, Size: scenario.Size(number("size", 1<<20))}},
				{Name: "/t", Value: scenario.File{Data: []byte(rapid.String().Draw(t, "text"))}},
				{Name: "/b", Value: scenario.File{Data: rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")}},
			}
		}
	case 1:
		a.HTTPGet = &scenario.HTTPGet{URL: "http://client:81/a?b=%20#c", Times: number("times", 9), Parallel: number("parallel", 9),
			NewConnections: rapid.Bool().Draw(t, "new"), Timeout: drawTime(t, "timeout")}
	case 2:
		a.EchoServer = &port
	case 3:
		a.Echo = &echo
	case 4:
		a.BulkServer = &port
	case 5:
		a.Bulk = &scenario.Bulk{To: "client:1", Bytes: scenario.Size(1 + number("bytes", 1<<20)), Parallel: number("parallel", 9), Timeout: drawTime(t, "timeout")}
	case 6:
		a.UDPEchoServer = &port
	case 7:
		a.UDPEcho = &echo
	case 8:
		a.Ping = &scenario.Ping{To: "client", Times: number("times", 9), Size: scenario.Size(number("size", 60000)),
			Interval: drawTime(t, "interval"), Timeout: drawTime(t, "timeout")}
	}
	return a
}

func drawExpect(t *rapid.T, s *scenario.Scenario) *scenario.Expectations {
	count := func() *scenario.CountRange {
		a, b := rapid.Uint64().Draw(t, "min"), rapid.Uint64().Draw(t, "max")
		return &scenario.CountRange{Min: scenario.Number(min(a, b)), Max: scenario.Number(max(a, b))}
	}
	x := &scenario.Expectations{}
	for _, a := range s.Apps {
		within := drawTime(t, "within")
		want := scenario.AppExpectation{OK: count(), Within: &within, Error: rapid.String().Draw(t, "error")}
		if a.Value.HTTPGet != nil {
			want.SHA256 = fmt.Sprintf("%064x", rapid.Uint64().Draw(t, "sha"))
		}
		x.Apps = append(x.Apps, scenario.Entry[scenario.AppExpectation]{Name: a.Name, Value: want})
	}
	for i := range s.Faults {
		x.Faults = append(x.Faults, scenario.Entry[scenario.CountRange]{Name: fmt.Sprintf("r%d", i), Value: *count()})
	}
	if rapid.Bool().Draw(t, "tcp") {
		x.TCP = &scenario.TCPExpectation{Retransmits: count()}
		x.Run = &scenario.RunExpectation{Virtual: &scenario.DurationRange{Min: 1, Max: drawTime(t, "virtual") + 1}, Frames: count(),
			Bytes: &scenario.SizeRange{Max: scenario.Size(rapid.Int64Range(0, 1<<60).Draw(t, "bytes"))}}
	}
	return x
}
