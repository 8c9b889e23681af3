package replay_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/tap"
)

// contest runs parts in turn, and reports medians and their ratios to the first.
type contest struct {
	b     *testing.B
	parts []*part
}

type part struct {
	name string
	of   samples
	run  func() time.Duration // for so many frames
}

func (c *contest) add(name string, run func() time.Duration) {
	c.parts = append(c.parts, &part{name: name, run: run})
}

func (c *contest) start(frames float64) {
	for c.b.Loop() {
		for _, p := range c.parts {
			runtime.GC()
			before := cpuTime(c.b)
			took := p.run()
			p.of.wall = append(p.of.wall, frames/took.Seconds())
			p.of.cpu = append(p.of.cpu, frames/(cpuTime(c.b)-before).Seconds())
		}
	}
	first := c.parts[0]
	for _, p := range c.parts {
		c.b.ReportMetric(medianOf(p.of.wall)/1e6, p.name+"-M/s")
		c.b.ReportMetric(medianOf(p.of.cpu)/1e6, p.name+"-M/cpu-s")
		if p != first {
			c.b.ReportMetric(medianOf(first.of.wall)/medianOf(p.of.wall), first.name+"/"+p.name)
			c.b.ReportMetric(medianOf(first.of.cpu)/medianOf(p.of.cpu), first.name+"/"+p.name+"-cpu")
		}
	}
}

// benchCapture is a file of 512-byte frames in memory, a microsecond apart.
func benchCapture(b *testing.B, frames int) string {
	dir, err := os.MkdirTemp("/dev/shm", "vnreplay-bench-")
	if err != nil {
		dir = b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "512.pcapng")
	writeBench(b, path, frames, 512)
	return path
}

func readInPlace(b *testing.B, path string, frames int) time.Duration {
	began := time.Now()
	r, err := pcap.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	var p pcap.Packet
	n := 0
	for ; ; n++ {
		if err := r.NextInto(&p); err == io.EOF {
			break
		} else if err != nil {
			b.Fatal(err)
		}
	}
	if n != frames {
		b.Fatalf("%d frames", n)
	}
	return time.Since(began)
}

// feedReal is how long it took to send, from the first frame to the last.
func feedReal(b *testing.B, path string, frames int, o replay.FeedOptions) time.Duration {
	open, err := replay.OpenSource(path)
	if err != nil {
		b.Fatal(err)
	}
	fed, err := replay.Feed(context.Background(), open, o)
	if err != nil || fed.Frames != uint64(frames) || fed.Lost > 0 {
		b.Fatalf("%+v, %v", fed, err)
	}
	return fed.Duration
}

// BenchmarkRead reads a file of a million frames in place, with pcapgo's zero-copy reader,
// and packet by packet.
func BenchmarkRead(b *testing.B) {
	const frames = 1_000_000
	path := benchCapture(b, frames)
	c := contest{b: b}
	c.add("in-place", func() time.Duration { return readInPlace(b, path, frames) })
	c.add("pcapgo", func() time.Duration { return readZeroCopy(b, path, frames) })
	c.add("packets", func() time.Duration { return readOurs(b, path, frames) })
	c.start(frames)
}

// BenchmarkFeedEndpoints feeds a million frames into two vnetif endpoints in real time:
// those of a long file, and those of a short one over and over, which stays in a
// processor's cache. null is the same without a switch, pcapgo reads only. The
// processors' time has the pass over the ports in it, the rate has not.
func BenchmarkFeedEndpoints(b *testing.B) {
	const frames = 1_000_000
	const few = 4000
	path, short := benchCapture(b, frames), benchCapture(b, few)
	c := contest{b: b}
	top := replay.Pace{TopSpeed: true}
	c.add("vnetif", func() time.Duration { return feedReal(b, path, frames, replay.FeedOptions{RealTime: true, Pace: top}) })
	c.add("looped", func() time.Duration {
		return feedReal(b, short, frames, replay.FeedOptions{RealTime: true, Pace: top, Passes: frames / few})
	})
	null := replay.FeedTo{Name: "null", MTU: 1500, Write: func(f [][]byte) (int, error) { return len(f), nil }}
	c.add("null", func() time.Duration {
		return feedReal(b, path, frames, replay.FeedOptions{To: []replay.FeedTo{null}, Pace: top})
	})
	c.add("pcapgo", func() time.Duration { return readZeroCopy(b, path, frames) })
	c.start(frames)
}

// veth moves the benchmark into a namespace with a pair of interfaces, vnr0 and vnr1.
func veth(b *testing.B, tools ...string) {
	for _, tool := range append(tools, "ip") {
		if _, err := exec.LookPath(tool); err != nil {
			b.Skipf("%s is not installed", tool)
		}
	}
	runtime.LockOSThread() // and never unlocked: the thread has another namespace
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		b.Skipf("no network namespace: %v", err)
	}
	script := "ip link add vnr0 type veth peer name vnr1 && ip link set vnr0 up && ip link set vnr1 up"
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		b.Skipf("no veth: %v: %s", err, out)
	}
}

func openWire(b *testing.B) replay.FeedTo {
	dev, err := tap.Open("packet:vnr0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { dev.Close() })
	return replay.FeedTo{Name: "vnr0", MTU: dev.MTU(), Write: dev.Write}
}

// tcpreplay sends a file and returns the time that it says it took.
func tcpreplay(b *testing.B, args ...string) time.Duration {
	out, err := exec.Command("tcpreplay", append([]string{"-q", "-i", "vnr0"}, args...)...).CombinedOutput()
	m := tcpreplayTime.FindSubmatch(out)
	if err != nil || m == nil {
		b.Fatalf("tcpreplay: %v: %s", err, bytes.TrimSpace(out))
	}
	seconds, err := strconv.ParseFloat(string(m[2]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(seconds * float64(time.Second))
}

// BenchmarkFeedWire sends a million frames into a veth as fast as that takes them, beside
// tcpreplay with and without the file in memory.
func BenchmarkFeedWire(b *testing.B) {
	const frames = 1_000_000
	path := benchCapture(b, frames)
	veth(b, "tcpreplay")
	to := openWire(b)
	c := contest{b: b}
	c.add("ours", func() time.Duration {
		return feedReal(b, path, frames, replay.FeedOptions{Pace: replay.Pace{TopSpeed: true}, To: []replay.FeedTo{to}})
	})
	c.add("tcpreplay", func() time.Duration { return tcpreplay(b, "--topspeed", path) })
	c.add("preloaded", func() time.Duration { return tcpreplay(b, "--topspeed", "--preload-pcap", path) })
	c.start(frames)
}

// BenchmarkFeedDrift sends 20,000 frames 100 µs apart, and looks with tcpdump at the other
// end of a veth by how many percent the time from the first to the last differs: with the
// machine as it is, and with one processor kept busy.
func BenchmarkFeedDrift(b *testing.B) {
	const frames, gap = 20_000, 100 * time.Microsecond
	veth(b, "tcpreplay", "tcpdump")
	dir := b.TempDir()
	path := filepath.Join(dir, "paced.pcap")
	if err := os.WriteFile(path, madeFile(framesApart(frames, gap)), 0o666); err != nil {
		b.Fatal(err)
	}
	to := openWire(b)
	ways := []struct {
		name string
		send func()
	}{
		{"ours", func() { feedReal(b, path, frames, replay.FeedOptions{To: []replay.FeedTo{to}}) }},
		{"tcpreplay", func() { tcpreplay(b, path) }},
	}
	drift := map[string][]float64{}
	for b.Loop() {
		for _, load := range []string{"quiet", "loaded"} {
			for _, way := range ways {
				var busy *exec.Cmd
				if load == "loaded" {
					busy = exec.Command("sh", "-c", "while :; do :; done")
					if err := busy.Start(); err != nil {
						b.Fatal(err)
					}
				}
				took := watched(b, filepath.Join(dir, "seen.pcap"), frames, way.send)
				if busy != nil {
					busy.Process.Kill()
					busy.Wait()
				}
				name := fmt.Sprintf("%s-%s-%%", way.name, load)
				drift[name] = append(drift[name], 100*math.Abs(took.Seconds()/((frames-1)*gap).Seconds()-1))
			}
		}
	}
	for name, all := range drift {
		b.ReportMetric(medianOf(all), name)
	}
}

// watched is the time between the first and the last frame that tcpdump sees.
func watched(b *testing.B, path string, frames int, send func()) time.Duration {
	dump := exec.Command("tcpdump", "-i", "vnr1", "-w", path, "-c", strconv.Itoa(frames), "--time-stamp-precision=nano", "-B", "65536", "ether[12:2] = 0x88b5")
	said, err := dump.StderrPipe()
	if err == nil {
		err = dump.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	if _, err := said.Read(make([]byte, 1)); err != nil { // it says that it listens
		b.Fatal(err)
	}
	go io.Copy(io.Discard, said)
	send()
	timer := time.AfterFunc(5*time.Second, func() { dump.Process.Signal(unix.SIGINT) })
	dump.Wait()
	timer.Stop()
	r, err := pcap.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	var first, last time.Time
	n := 0
	for p, err := range r.Packets() {
		if err != nil {
			b.Fatal(err)
		}
		if n++; n == 1 {
			first = p.Time
		}
		last = p.Time
	}
	if n != frames {
		b.Fatalf("tcpdump saw %d frames", n)
	}
	return last.Sub(first)
}
