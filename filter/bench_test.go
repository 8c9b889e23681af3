package filter_test

import (
	"math"
	"testing"
	"time"

	"golang.org/x/net/bpf"

	"github.com/vnreplay/vnreplay/filter"
)

// typical are expressions as people write them.
var typical = []string{
	"tcp",
	"tcp port 80",
	"port 80 or 443",
	"host 10.0.0.1",
	"host 10.0.0.1 and tcp port 80 and not port 22",
	"net 10.0.0.0/8 or 2001:db8::/32",
	"tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn",
	"tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)",
	"vlan 100 and host 10.0.0.1 and udp port 53",
	"icmp or icmp6 or arp",
	"ether host aa:bb:cc:dd:ee:ff and not broadcast",
}

func BenchmarkCompile(b *testing.B) {
	for _, expr := range typical {
		b.Run(expr, func(b *testing.B) {
			for b.Loop() {
				if _, err := filter.Compile(expr); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMatch runs filters on all frames; a frame is one operation.
func BenchmarkMatch(b *testing.B) {
	list := frames()
	for _, expr := range typical {
		b.Run(expr, func(b *testing.B) {
			f := compile(b, expr)
			i := 0
			for b.Loop() {
				f.Match(list[i].data)
				if i++; i == len(list) {
					i = 0
				}
			}
		})
	}
}

// BenchmarkAgainstLibpcap runs the programs of the whole corpus, and those of
// libpcap for the same expressions, on the machine of x/net/bpf. It reports how
// much longer ours take: the geometric mean, and the worst.
func BenchmarkAgainstLibpcap(b *testing.B) {
	type pair struct{ ours, theirs *bpf.VM }
	var pairs []pair
	want := golden(b)
	for _, expr := range expressions(b) {
		if v := want[expr]; v.refusal == "" {
			pairs = append(pairs, pair{newVM(b, assemble(b, compile(b, expr))), newVM(b, v.program)})
		}
	}
	list := frames()
	run := func(vm *bpf.VM) float64 {
		best := math.Inf(1)
		for range 5 {
			start := time.Now()
			for _, fr := range list {
				matches(b, vm, fr.data)
			}
			best = min(best, time.Since(start).Seconds())
		}
		return best
	}
	sum, worst := 0.0, 0.0
	n := 0
	for b.Loop() {
		for _, p := range pairs {
			ratio := run(p.ours) / run(p.theirs)
			sum += math.Log(ratio)
			worst = max(worst, ratio)
			n++
		}
	}
	b.ReportMetric(math.Exp(sum/float64(n)), "ours/libpcap")
	b.ReportMetric(worst, "worst")
}
