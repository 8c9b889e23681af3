package faults_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// BenchmarkJudge is the price of one rule for one frame on one cable: of rules that leave
// it alone, and of every model at work.
func BenchmarkJudge(b *testing.B) {
	rules := []string{
		"drop nth 1000000000000 from server", "drop nth 1000000000000", "drop 0%", "corrupt 0% bits 3", "corrupt bits 1",
		"drop" + miss, `drop 0% if "udp and src host 10.0.0.1"`,
	}
	for _, m := range models {
		rules = append(rules, m.rule)
	}
	for _, text := range rules {
		b.Run(text, func(b *testing.B) {
			l := newLAN(b, 1)
			c := l.compile(text)
			var to *vswitch.Port
			if r := mustParse(b, text); r.To() != "" {
				to = l.ports[server]
			}
			frames := make([]*vswitch.Frame, 8)
			for i := range frames {
				frames[i] = &vswitch.Frame{Data: udp(client, server, i, i, 200), From: l.ports[client]}
			}
			v := vswitch.Verdict{}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f := frames[i%len(frames)]
				f.Seq, f.At = uint64(i+1), l.world.Start().Add(time.Duration(i)*time.Millisecond)
				if c.Judge(f, to, &v) {
					v = vswitch.Verdict{}
				}
			}
		})
	}
}

// miss is a condition that the traffic here does not meet, on a second look only.
const miss = ` if "tcp port 81 and host 10.9.9.9"`

// BenchmarkRules is what rules cost a frame on its way through a switch, for the sender's
// cable and one receiver's. Frames go in turn, 4096 at a time, through a switch without
// rules and through one with them, in the same world, so that what else the machine does
// befalls both; time is the processor's. ns-added/frame is the difference, frames/s is with
// the rules.
func BenchmarkRules(b *testing.B) {
	for _, set := range []struct {
		name  string
		rules []string
	}{
		{"idle", []string{"drop 0% from client", "drop 0% to server", "duplicate 0% from client", "corrupt 0%", "drop nth 1000000000000 to all"}},
		{"other port", []string{"drop from spy", "delay 9ms from spy", "corrupt to spy"}},
		{"filter, no match", []string{"drop" + miss, "delay 40ms jitter 10ms normal to all" + miss, "rate 10mbit from client" + miss, "corrupt to server" + miss, "drop gemodel 1% 25%" + miss}},
		{"filter, match", []string{`drop 0% if "udp and src host 10.0.0.1"`, `corrupt 0% to server if "udp dst port 53"`, `drop every 1000000000 if "ip and not tcp"`}},
	} {
		for _, n := range []int{0, 1, 10, 100} {
			if n == 0 && set.name != "idle" {
				continue
			}
			var texts []string
			for i := range n {
				texts = append(texts, set.rules[i%len(set.rules)])
			}
			b.Run(fmt.Sprintf("%s/rules=%d", set.name, n), func(b *testing.B) { benchmarkRules(b, texts) })
		}
	}
}

func benchmarkRules(b *testing.B, rules []string) {
	l := newLAN(b, 1)
	l.quiet = true
	l.install(rules...)
	plain, err := l.world.NewSwitch(vswitch.SwitchConfig{Name: "plain", Recorder: l})
	if err != nil {
		b.Fatal(err)
	}
	ports := [2][]*vswitch.Port{l.ports} // of the switch with rules and of the other
	for i, name := range []string{"client", "server", "spy"} {
		p, err := plain.Connect(vswitch.PortConfig{Name: name, MAC: l.ports[i].MAC()}, vswitch.EndpointFunc(func([]byte) {}))
		if err != nil {
			b.Fatal(err)
		}
		ports[1] = append(ports[1], p)
	}
	frames := make([][]byte, 8)
	for i := range frames {
		frames[i] = udp(client, server, i, i, 1000)
	}
	const batch = 4096
	var spent [2]time.Duration
	pass := func(which, n int) {
		begin := cpuTime()
		for i := range n {
			if err := ports[which][client].Send(frames[i%len(frames)]); err != nil {
				b.Error(err)
			}
		}
		l.sleep(time.Millisecond)
		spent[which] += cpuTime() - begin
	}
	b.ReportAllocs()
	l.script(func() {
		for which := range ports {
			if err := ports[which][server].Send(udp(server, client, 1, 1, 1000)); err != nil { // the switch learns it
				b.Error(err)
			}
			pass(which, batch) // buffers and paths are made
		}
		spent = [2]time.Duration{}
		b.ResetTimer()
		for n, turn := b.N, 0; n > 0; n, turn = n-batch, 1-turn {
			pass(turn, min(n, batch))
			pass(1-turn, min(n, batch))
		}
		b.StopTimer()
	})
	b.ReportMetric(float64(spent[0]-spent[1])/float64(b.N), "ns-added/frame")
	b.ReportMetric(float64(b.N)/spent[0].Seconds(), "frames/s")
}

// BenchmarkParse reads a short rule and a long list.
func BenchmarkParse(b *testing.B) {
	for range b.N {
		mustParse(b, "loss: drop 2% from client to server")
	}
}
