package pcap_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Benchmarks of recording. Each measures two things by turns in one run and reports the
// median of each and of their ratio: what a machine does beside moves both.

// rounds of A and B each; the first is to warm up.
const rounds = 8

// ratio measures a and b by turns; each does n frames and returns how long that took. It
// reports frames per second of a, and its speed as a part of that of b.
func ratio(b *testing.B, name string, n int, first, second func(n int) time.Duration) {
	b.Helper()
	var rates, ratios []float64
	for i := range rounds {
		x, y := first(n), second(n)
		if i > 0 {
			rates = append(rates, float64(n)/x.Seconds()/1e6)
			ratios = append(ratios, y.Seconds()/x.Seconds())
		}
	}
	slices.Sort(rates)
	slices.Sort(ratios)
	b.ReportMetric(rates[len(rates)/2], "Mframes/s")
	b.ReportMetric(ratios[len(ratios)/2], "x-"+name)
	b.ReportMetric(ratios[0], "x-min")
	b.ReportMetric(ratios[len(ratios)-1], "x-max")
	b.ReportMetric(0, "ns/op")
}

// spent is how much time of the processor f takes: for what does not wait, it is steadier.
func spent(b *testing.B, f func()) time.Duration {
	before := cpuTime(b)
	f()
	return cpuTime(b) - before
}

func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// inUse is how many frames are at hand by turns, each in a buffer of its own, as on a busy
// switch: one frame again and again would come out of the processor's first cache.
const inUse = 1024

// buffersOf returns so many copies of a frame.
func buffersOf(frame []byte) [][]byte {
	all := make([][]byte, inUse)
	for i := range all {
		all[i] = slices.Clone(frame)
	}
	return all
}

// BenchmarkEncode compares encoding frames, with direction and packet id and for some with
// a comment, with copying their bytes to a buffer of the same size: one that stays in the
// processor's caches, or one that is copied through memory. Both are measured in time of
// the processor, which other programs disturb less.
func BenchmarkEncode(b *testing.B) {
	for _, buffer := range []int{256 << 10, 64 << 20} {
		for _, size := range []int{64, 512, 1514} {
			for _, what := range []string{"plain", "to-all", "drop"} {
				b.Run(fmt.Sprintf("buffer=%dK/frame=%d/%s", buffer>>10, size, what), func(b *testing.B) {
					benchmarkEncode(b, buffer, size, what)
				})
			}
		}
	}
}

func benchmarkEncode(b *testing.B, buffer, size int, what string) {
	p, q, e := event(b, size)
	switch what {
	case "to-all":
		e.Simple, e.All = false, true
	case "drop":
		rule := p.Switch().AddRule("loss", script(nil))
		e.Hits = []vswitch.Hit{{Rule: rule, Verdict: vswitch.Verdict{Drop: true}}}
		e.Receivers[0].Arrivals, e.Receivers[0].Lost = nil, vswitch.DroppedByRule
	}
	r, err := pcap.NewRecorderBuffer(io.Discard, testMeta, buffer)
	ok(b, err)
	for _, p := range []*vswitch.Port{p, q} {
		ok(b, r.Record(&vswitch.Connected{Time: vswitch.DefaultStart, Port: p}))
	}
	buf := make([]byte, buffer)
	all := buffersOf(e.Data)
	for b.Loop() {
		ratio(b, "memcpy", 1<<29/(size+64), func(n int) time.Duration {
			return spent(b, func() {
				for i := range n {
					e.Frame.Data = all[i%inUse]
					_ = r.Record(e)
				}
			})
		}, func(n int) time.Duration {
			at := 0
			return spent(b, func() {
				for i := range n {
					if at+size > len(buf) {
						at = 0
					}
					at += copy(buf[at:], all[i%inUse])
				}
			})
		})
	}
}

// BenchmarkRecordToFile compares recording frames to a file in memory with writing as many
// bytes to one in calls of 1 MiB. TMPDIR must be on a tmpfs for that, or /dev/shm be one.
func BenchmarkRecordToFile(b *testing.B) {
	dir := b.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "vnreplay-bench"); err == nil {
		dir = shm
		defer os.RemoveAll(shm)
	}
	for _, size := range []int{64, 512, 1514} {
		p, q, e := event(b, size)
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			n := 256 << 20 / (size + 64)
			bytes := int64(0)
			var cpu [2]time.Duration
			for b.Loop() {
				ratio(b, "write(2)", n, func(n int) time.Duration {
					path := filepath.Join(dir, "run.pcapng")
					defer os.Remove(path)
					before := cpuTime(b)
					took := timed(func() {
						f, err := pcap.CreateFile(path)
						ok(b, err)
						r := live(b, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToFile(f)}})
						ok(b, r.Record(&vswitch.Connected{Time: vswitch.DefaultStart, Port: p}))
						ok(b, r.Record(&vswitch.Connected{Time: vswitch.DefaultStart, Port: q}))
						for range n {
							if err := r.Record(e); err != nil {
								b.Fatal(err)
							}
						}
						ok(b, r.Close())
						bytes = r.Stats().Bytes
					})
					cpu[0] += cpuTime(b) - before
					return took
				}, func(n int) time.Duration {
					path := filepath.Join(dir, "plain")
					defer os.Remove(path)
					chunk := make([]byte, 1<<20)
					before := cpuTime(b)
					took := timed(func() {
						f, err := os.Create(path)
						ok(b, err)
						for left := bytes; left > 0; left -= int64(len(chunk)) {
							_, err := f.Write(chunk[:min(left, int64(len(chunk)))])
							ok(b, err)
						}
						ok(b, f.Close())
					})
					cpu[1] += cpuTime(b) - before
					return took
				})
			}
			b.ReportMetric(cpu[0].Seconds()/cpu[1].Seconds(), "x-cpu")
		})
	}
}

// cpuTime is what the process has used.
func cpuTime(b *testing.B) time.Duration {
	var ru syscall.Rusage
	ok(b, syscall.Getrusage(syscall.RUSAGE_SELF, &ru))
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
