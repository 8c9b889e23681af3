package tap_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/tap"
	"golang.org/x/sys/unix"
)

var tcpreplayTime = regexp.MustCompile(`Actual: (\d+) packets .* sent in ([0-9.]+) seconds`)

// BenchmarkWritePacket sends 512-byte frames into a veth: ours in batches of 64, and
// tcpreplay as fast as it can with and without the file in memory, in turns. What it
// prints are medians of frames per second, and their ratios; and, steadier on a machine that
// is busy, the ratio of processor time for a frame (of tcpreplay's, its start is part).
func BenchmarkWritePacket(b *testing.B) {
	const frames = 200_000
	need(b, "ip", "tcpreplay")
	runtime.LockOSThread() // the thread is not given back: it has another namespace
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		b.Skipf("no network namespace: %v", err)
	}
	if out, err := exec.Command("sh", "-ec", "ip link add name va type veth peer name vb && ip link set va up && ip link set vb up").CombinedOutput(); err != nil {
		b.Skipf("no veth: %v: %s", err, out)
	}
	frame := testFrame(512)
	file := b.TempDir() + "/frames.pcap"
	if err := os.WriteFile(file, pcapBytes(slices.Repeat([][]byte{frame}, frames)), 0o600); err != nil {
		b.Fatal(err)
	}
	dev, err := tap.Open("packet:va")
	if err != nil {
		b.Fatal(err)
	}
	defer dev.Close()
	batch := slices.Repeat([][]byte{frame}, 64)
	ours := func() float64 {
		began := time.Now()
		for range frames / len(batch) {
			if _, err := dev.Write(batch); err != nil {
				b.Fatal(err)
			}
		}
		return float64(frames/len(batch)*len(batch)) / time.Since(began).Seconds()
	}
	tcpreplay := func(args ...string) float64 {
		out, err := exec.Command("tcpreplay", append(args, "--topspeed", "-q", "-i", "va", file)...).CombinedOutput()
		m := tcpreplayTime.FindSubmatch(out)
		if err != nil || m == nil {
			b.Fatalf("tcpreplay: %v: %s", err, bytes.TrimSpace(out))
		}
		seconds, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			b.Fatal(err)
		}
		return frames / seconds
	}
	var rates, times [3][]float64
	for b.Loop() {
		for range 5 {
			for i, send := range []func() float64{ours, func() float64 { return tcpreplay() }, func() float64 { return tcpreplay("--preload-pcap") }} {
				began := cpuTime(b)
				rates[i] = append(rates[i], send())
				times[i] = append(times[i], cpuTime(b)-began)
			}
		}
	}
	var median, cpu [3]float64
	for i, r := range rates {
		slices.Sort(r)
		slices.Sort(times[i])
		median[i], cpu[i] = r[len(r)/2], times[i][len(r)/2]
	}
	b.ReportMetric(cpu[1]/cpu[0], "cpu-x-tcpreplay")
	b.ReportMetric(cpu[2]/cpu[0], "cpu-x-preloaded")
	b.ReportMetric(median[0], "frames/s")
	b.ReportMetric(median[0]/median[1], "x-tcpreplay")
	b.ReportMetric(median[0]/median[2], "x-preloaded")
	b.Logf("ours %.0f to %.0f, tcpreplay %.0f to %.0f, preloaded %.0f to %.0f frames/s; dropped by the system: %d",
		rates[0][0], rates[0][len(rates[0])-1], rates[1][0], rates[1][len(rates[1])-1], rates[2][0], rates[2][len(rates[2])-1], counters(dev).TxDropped)
}

// cpuTime is the processor time of this process and of those that it waited for, in seconds.
func cpuTime(b *testing.B) (sum float64) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	}
	return sum
}
