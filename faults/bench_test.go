package faults_test

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// BenchmarkJudge is the price of one rule for one frame on one cable: of rules that leave
// it alone, and of every model at work. It is what asking the rule takes longer than asking
// one that does nothing, in the processor's time; frames go in turn past both, 4096 at a
// time. flows is of how many flows they are, one after the other.
func BenchmarkJudge(b *testing.B) {
	type row struct {
		rule  string
		flows int
	}
	rows := []row{}
	for _, text := range []string{
		"drop 1%", "drop 1% from client", "drop 1% to server", "duplicate 1%", "corrupt 1%", "truncate 1% to 60B", "pad 1% 4B", "delay 1% 1ms", "reorder 1% behind 3",
		"drop gemodel 1% 25%", "drop 1% corr 25%", "drop 1% from spy", "drop nth 1000000000000",
	} {
		rows = append(rows, row{text, 1})
	}
	for _, flows := range []int{8, 256, 4096, 200_000} {
		rows = append(rows, row{"drop 1%", flows})
	}
	for _, text := range []string{idle[0], "drop" + miss, `drop 1% if "udp and src host 10.0.0.1"`} {
		rows = append(rows, row{text, 1})
	}
	for _, m := range models {
		rows = append(rows, row{m.rule, 2})
	}
	for _, r := range rows {
		b.Run(fmt.Sprintf("%s/flows=%d", r.rule, r.flows), func(b *testing.B) {
			l := newLAN(b, 1)
			c := l.compile(r.rule)
			var to *vswitch.Port
			if c.Rule().To() != "" {
				to = l.ports[server]
			}
			frames := make([]*vswitch.Frame, 4096)
			for i := range frames {
				frames[i] = &vswitch.Frame{Data: udp(client, server, 0, i, 200), From: l.ports[client]}
			}
			var seq uint64
			pass := func(rule vswitch.Rule, n int) time.Duration {
				for i, f := range frames[:n] {
					seq++
					f.Seq, f.At = seq, l.world.Start().Add(time.Duration(seq)*time.Millisecond)
					source := i
					if r.flows > len(frames) {
						source = int(seq)
					}
					source %= r.flows
					binary.BigEndian.PutUint32(f.Data[28:], uint32(source)) // of the IPv4 source, and the checksum before it
				}
				v := vswitch.Verdict{}
				begin := cpuTime()
				for _, f := range frames[:n] {
					if rule.Judge(f, to, &v) {
						v = vswitch.Verdict{}
					}
				}
				return cpuTime() - begin
			}
			var spent [2]time.Duration
			pass(c, len(frames))
			b.ReportAllocs()
			b.ResetTimer()
			for n := b.N; n > 0; n -= len(frames) {
				spent[0] += pass(c, min(n, len(frames)))
				spent[1] += pass(nothing{}, min(n, len(frames)))
			}
			b.ReportMetric(0, "ns/op") // with what makes the frames ready
			b.ReportMetric(float64(spent[0]-spent[1])/float64(b.N), "ns-added/frame")
		})
	}
}

// nothing is a rule that leaves all frames alone.
type nothing struct{}

func (nothing) Judge(*vswitch.Frame, *vswitch.Port, *vswitch.Verdict) bool { return false }

// miss is a condition that the traffic here does not meet, on a second look only.
const miss = ` if "tcp port 81 and host 10.9.9.9"`

// BenchmarkRules is what rules cost a frame on its way through a switch, for the sender's
// cable and one receiver's. Frames go in turn, 4096 at a time, through a switch without
// rules and through one with them, in the same world, so that what else the machine does
// befalls both; time is the processor's. ns-added/frame is the difference, frames/s is with
// the rules, and share how much that is of the frames/s without.
func BenchmarkRules(b *testing.B) {
	for _, set := range []struct {
		name  string
		rules []string
	}{
		{"none", nil},
		{"probability 0", idle},
		{"1%", []string{"drop 1% from client", "drop 1%", "duplicate 1% to server", "corrupt 1%", "delay 1% 1ms to all"}},
		{"nth", []string{"drop nth 1000000000000 to all", "drop nth 1000000000000 from client"}},
		{"other port", []string{"drop from spy", "delay 9ms from spy", "corrupt to spy"}},
		{"filter, no match", []string{"drop" + miss, "delay 40ms jitter 10ms normal to all" + miss, "rate 10mbit from client" + miss, "corrupt to server" + miss, "drop gemodel 1% 25%" + miss}},
		{"filter, match", []string{`drop 0% if "udp and src host 10.0.0.1"`, `corrupt 0% to server if "udp dst port 53"`, `drop every 1000000000 if "ip and not tcp"`}},
	} {
		for _, n := range []int{0, 1, 10, 100} {
			if (n == 0) != (set.rules == nil) {
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
		for n, round := b.N, uint(0); n > 0; n, round = n-batch, round+1 {
			// Which is first has no period: what else is done every few passes befalls both.
			turn := bits.OnesCount(round) & 1
			pass(turn, min(n, batch))
			pass(1-turn, min(n, batch))
		}
		b.StopTimer()
	})
	b.ReportMetric(float64(spent[0]-spent[1])/float64(b.N), "ns-added/frame")
	b.ReportMetric(float64(b.N)/spent[0].Seconds(), "frames/s")
	b.ReportMetric(spent[1].Seconds()/spent[0].Seconds(), "share")
}

// BenchmarkParse reads a short rule and a long list.
func BenchmarkParse(b *testing.B) {
	for range b.N {
		mustParse(b, "loss: drop 2% from client to server")
	}
}
