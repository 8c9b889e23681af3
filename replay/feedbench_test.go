package replay_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// BenchmarkFeed reads a pcapng file of 512-byte frames with this program's reader
// and with pcapgo's zero-copy one, feeds it into two vnetif endpoints at top speed,
// and, where tcpreplay and namespaces are there, has that send it into a veth at
// its top speed: one after the other in each round. It prints the medians in
// frames per second, and ratios. Package vnetif has no kernel below it, so the
// last ratio says what a replay in virtual time takes, not which of two programs
// fills a wire sooner.
func BenchmarkFeed(b *testing.B) {
	const frames = 100_000
	dir, err := os.MkdirTemp("/dev/shm", "vnreplay-bench-")
	if err != nil {
		dir = b.TempDir()
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "512.pcapng")
	writeBench(b, path, frames, 512)
	wire, why := tcpreplayRun(b, path)
	if wire == nil {
		b.Logf("tcpreplay is left out: %s", why)
	}
	var read, zero, fed, wired samples
	for b.Loop() {
		for _, part := range []struct {
			to  *samples
			run func() time.Duration
		}{
			{&read, func() time.Duration { return readOurs(b, path, frames) }},
			{&zero, func() time.Duration { return readZeroCopy(b, path, frames) }},
			{&fed, func() time.Duration { return feedAll(b, path, frames) }},
			{&wired, wire},
		} {
			if part.run != nil {
				runtime.GC()
				before := cpuTime(b)
				part.to.wall = append(part.to.wall, frames/part.run().Seconds())
				part.to.cpu = append(part.to.cpu, frames/(cpuTime(b)-before).Seconds())
			}
		}
	}
	ratio := func(name string, x, y samples) {
		b.ReportMetric(medianOf(x.wall)/medianOf(y.wall), name)
		b.ReportMetric(medianOf(x.cpu)/medianOf(y.cpu), name+"-cpu")
	}
	b.ReportMetric(medianOf(read.wall), "read-frames/s")
	b.ReportMetric(medianOf(zero.wall), "pcapgo-zerocopy-frames/s")
	ratio("read/pcapgo", read, zero)
	b.ReportMetric(medianOf(fed.wall), "feed-frames/s")
	if wire != nil {
		b.ReportMetric(medianOf(wired.wall), "tcpreplay-frames/s")
		ratio("feed/tcpreplay", fed, wired)
	}
}

// samples are frames per second, and per second of the processors' time, the
// kernel's and that of programs started counted in: the figure to look at where
// others use the machine.
type samples struct{ wall, cpu []float64 }

func cpuTime(b *testing.B) (all time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		all += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return all
}

func medianOf(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// writeBench makes a recording of frames that two stations send to each other.
func writeBench(b *testing.B, path string, frames, size int) {
	rec, err := pcap.Create(path, pcap.Meta{})
	if err != nil {
		b.Fatal(err)
	}
	macs := []vswitch.MAC{{2, 0, 0, 0, 9, 1}, {2, 0, 0, 0, 9, 2}}
	f := [][]byte{etherFrame(macs[1], macs[0], size), etherFrame(macs[0], macs[1], size)}
	list, at := make([][]byte, frames), make([]time.Duration, frames)
	for i := range list {
		list[i], at[i] = f[i/8%2], time.Duration(i)*time.Microsecond
	}
	if _, err := replay.Feed(context.Background(), madeCapture(at, list), replay.FeedOptions{Recorder: rec}); err != nil {
		b.Fatal(err)
	}
	if err := rec.Close(); err != nil {
		b.Fatal(err)
	}
}

func readOurs(b *testing.B, path string, frames int) time.Duration {
	began := time.Now()
	r, err := pcap.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	n := 0
	for {
		if _, err := r.Next(); err == io.EOF {
			break
		} else if err != nil {
			b.Fatal(err)
		}
		n++
	}
	if n != frames {
		b.Fatalf("%d frames", n)
	}
	return time.Since(began)
}

func readZeroCopy(b *testing.B, path string, frames int) time.Duration {
	began := time.Now()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for {
		if _, _, err := r.ZeroCopyReadPacketData(); err == io.EOF {
			break
		} else if err != nil {
			b.Fatal(err)
		}
		n++
	}
	if n != frames {
		b.Fatalf("%d frames", n)
	}
	return time.Since(began)
}

// feedAll takes the time of the world's run; the first pass, over the ports, and the
// reading that goes with the run are in it.
func feedAll(b *testing.B, path string, frames int) time.Duration {
	open, err := replay.OpenSource(path)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	fed, err := replay.Feed(context.Background(), open, replay.FeedOptions{Pace: replay.Pace{TopSpeed: true}})
	if err != nil || fed.Frames != uint64(frames) {
		b.Fatalf("%v, %v", fed, err)
	}
	return time.Since(began)
}

var tcpreplayTime = regexp.MustCompile(`Actual: (\d+) packets .* sent in ([0-9.]+) seconds`)

// tcpreplayRun returns what has tcpreplay send a file into a veth of a network
// namespace of its own, and the time that it says it took; or why that cannot be.
func tcpreplayRun(b *testing.B, path string) (run func() time.Duration, why string) {
	for _, tool := range []string{"tcpreplay", "unshare", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, tool + " is not installed"
		}
	}
	flags := "-n"
	if os.Geteuid() != 0 {
		flags = "-Urn"
	}
	script := fmt.Sprintf("ip link add vnr0 type veth peer name vnr1 && ip link set vnr0 up && ip link set vnr1 up && tcpreplay --topspeed -q -i vnr0 %s", path)
	once := func() (time.Duration, error) {
		out, err := exec.Command("unshare", flags, "sh", "-c", script).CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
		}
		m := tcpreplayTime.FindSubmatch(out)
		if m == nil {
			return 0, fmt.Errorf("it says %q", out)
		}
		seconds, err := strconv.ParseFloat(string(m[2]), 64)
		return time.Duration(seconds * float64(time.Second)), err
	}
	if _, err := once(); err != nil {
		return nil, fmt.Sprintf("in a namespace: %v", err)
	}
	return func() time.Duration {
		d, err := once()
		if err != nil {
			b.Fatal(err)
		}
		return d
	}, ""
}
