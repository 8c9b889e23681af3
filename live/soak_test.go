package live_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/live"
	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// use is what a process takes up.
type use struct {
	heap                    uint64
	goroutines, descriptors int
}

func using(t *testing.T) use {
	t.Helper()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := use{heap: m.HeapAlloc, goroutines: runtime.NumGoroutine(), descriptors: -1}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.descriptors = len(fds)
	}
	return u
}

// A switch that is busy for long, with machines that come and go, rules that change,
// readers that join and leave and files that rotate, takes up no more at the end than
// after a while, and all its files are whole and balance. VNREPLAY_SOAK is for how
// long; an hour of it is what is wanted of it by hand.
func TestSoak(t *testing.T) {
	length := 4 * time.Second
	if text := os.Getenv("VNREPLAY_SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		must(t, err)
		length = d
	}
	cfg, dir := lan(t, 1) // its socket and its directory
	socket := filepath.Join(dir, "q")
	cfg.Ports = []live.Port{
		host("a", "10.0.0.1/24", apps.UDPEcho{To: "10.0.0.2:7", Times: 1 << 30, Size: 1000, Interval: time.Millisecond, Timeout: 50 * time.Millisecond}.New(),
			apps.HTTPGet{URL: "http://10.0.0.2/f", Times: 1 << 30, NewConnections: true, Timeout: time.Hour}.New()),
		host("b", "10.0.0.2/24", apps.UDPEchoServer{Port: 7}.New(),
			apps.HTTPServer{Files: map[string][]byte{"/f": apps.RandomBytes(200_000, 1, "soak")}}.New()),
		{PortConfig: vswitch.PortConfig{Name: "q"}, Device: "qemu:unix:" + socket},
	}
	var err error
	cfg.Faults, err = faults.ParseAll([]string{`drop 1%`, `duplicate 1%`, `delay 1ms jitter 500us to b`, `reorder 1% behind 3`, `corrupt 0.1%`})
	must(t, err)
	cfg.Recording = live.Recording{File: filepath.Join(dir, "soak.pcapng"), Rotate: pcap.RotationConfig{Size: 2 << 20, Keep: 4}, Listen: "tcp:127.0.0.1:0"}
	s, err := live.Start(context.Background(), cfg)
	must(t, err)
	defer s.Close()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()

	rng := rand.New(rand.NewPCG(1, 2))
	began := time.Now()
	var after use
	rounds := 0
	for time.Since(began) < length {
		disturb(t, s, socket, rng)
		if rounds++; after == (use{}) && time.Since(began) > length/3 {
			after = using(t)
		}
	}
	last := using(t)
	st := s.Status()
	s.Stop()
	must(t, <-ended)
	must(t, s.Close())
	t.Logf("%v, %d rounds, %d frames, %d files: %+v, then %+v", length, rounds, st.Frames, len(st.Recording.Files), after, last)

	if last.heap > after.heap+after.heap/2+(16<<20) || last.goroutines > after.goroutines+10 || last.descriptors > after.descriptors+5 {
		t.Errorf("it grew from %+v to %+v", after, last)
	}
	if st.Frames < 100 || st.Recording.Lost != 0 {
		t.Errorf("%d frames, %d not recorded", st.Frames, st.Recording.Lost)
	}
	for _, p := range st.Ports[:2] {
		for _, a := range p.Apps {
			if a.OK == 0 {
				t.Errorf("%s: %+v", a.Name, a)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "soak_*.pcapng"))
	must(t, err)
	if partial, _ := filepath.Glob(filepath.Join(dir, "*.partial")); len(files) == 0 || len(files) > 4 || len(partial) > 0 {
		t.Errorf("files %q, %q", files, partial)
	}
	slices.Sort(files)
	for _, path := range files {
		r, err := pcap.Open(path)
		must(t, err)
		books, err := pcap.Balance(r, nil)
		must(t, err)
		if err := books.Check(); err != nil || r.CutShort() != "" {
			t.Errorf("%s: %v %s", filepath.Base(path), err, r.CutShort())
		}
		must(t, r.Close())
	}
}

// disturb is one round of what may happen to a switch.
func disturb(t *testing.T, s *live.Switch, socket string, rng *rand.Rand) {
	t.Helper()
	// A machine comes, says something to all, listens for a while, and goes.
	if c, err := net.Dial("unix", socket); err == nil {
		frame := make([]byte, 4+60)
		frame[3] = 60
		copy(frame[4:], "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x77\x88\xb5")
		for range rng.IntN(20) {
			_, _ = c.Write(frame)
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	if rng.IntN(20) == 0 { // a switch remembers what every rule it ever had did
		rule, err := s.AddFault("drop 10% from q")
		must(t, err)
		_, err = s.RemoveFault(strconv.Itoa(rule.Number))
		must(t, err)
	}
	must(t, s.SetCable("q", false))
	must(t, s.SetCable("q", true))
	// A reader joins and leaves without a word.
	if c, err := net.Dial("tcp", s.Status().Recording.Listen); err == nil {
		_ = c.SetReadDeadline(time.Now().Add(time.Duration(rng.IntN(20)) * time.Millisecond))
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	if rng.IntN(10) == 0 {
		must(t, s.Rotate())
	}
}
