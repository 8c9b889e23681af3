package live_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/live"
	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/tap"
	"github.com/vnreplay/vnreplay/vnetif"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// host is a port with a host.
func host(name, addr string, list ...apps.App) live.Port {
	h := &live.Host{Addrs: []netip.Prefix{netip.MustParsePrefix(addr)}}
	for _, a := range list {
		h.Apps = append(h.Apps, live.App{Name: "app", App: a})
	}
	return live.Port{PortConfig: vswitch.PortConfig{Name: name}, Host: h}
}

// sender sends in bulk as soon as the server listens: in real time nobody waits for it.
type sender struct {
	apps.Bulk
	mu  sync.Mutex
	now apps.App
}

func (s *sender) Server() bool { return false }

func (s *sender) Result() apps.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		return apps.Result{}
	}
	return s.now.Result()
}

func (s *sender) Run(ctx context.Context, h *vnetif.Host) error {
	for {
		app := s.New()
		err := app.Run(ctx, h)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.now = app
			return err
		}
		if err := h.Sleep(time.Millisecond); err != nil {
			return err
		}
	}
}

// lan is a bulk transfer from a to b, with a socket for a machine besides.
func lan(t *testing.T, bytes int64) (cfg live.Config, dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "vnr") // short: there is a socket in it
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return live.Config{
		Seed: 3,
		Ports: []live.Port{
			host("a", "10.0.0.1/24", &sender{Bulk: apps.Bulk{To: "10.0.0.2:5001", Bytes: bytes}}),
			host("b", "10.0.0.2/24", apps.BulkServer{Port: 5001}.New()),
			{PortConfig: vswitch.PortConfig{Name: "q"}, Device: "qemu:unix:" + filepath.Join(dir, "q")},
		},
		Recording: live.Recording{File: filepath.Join(dir, "out.pcapng")},
	}, dir
}

// until waits for something of the status.
func until(t *testing.T, s *live.Switch, ok func(live.Status) bool) live.Status {
	t.Helper()
	for range 2000 {
		if st := s.Status(); ok(st) {
			return st
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it does not come")
	panic("")
}

// transferred reports whether the bulk transfer is over.
func transferred(st live.Status) bool { return st.Ports[0].Apps[0].OK+st.Ports[0].Apps[0].Failed > 0 }

// frames counts the frames of a capture that is whole.
func frames(t *testing.T, r *pcap.Reader, err error) (n uint64) {
	t.Helper()
	must(t, err)
	defer r.Close()
	for _, err := range r.Packets() {
		must(t, err)
		n++
	}
	return n
}

// What the status, the recording and a stream say is the same, and a run that was
// stopped was not cut.
func TestRecordsWhatItCounts(t *testing.T) {
	cfg, dir := lan(t, 1<<20)
	rules, err := faults.ParseAll([]string{"loss: drop nth 10 from a", "late: drop from b after 1h"})
	must(t, err)
	cfg.Faults = rules
	s, err := live.Start(t.Context(), cfg)
	must(t, err)
	defer s.Close()
	var stream bytes.Buffer
	var streaming, running sync.WaitGroup
	streaming.Go(func() { must(t, s.Capture(&stream, nil)) })
	ctx, cancel := context.WithCancel(t.Context())
	running.Go(func() { must(t, s.Run(ctx)) })
	until(t, s, transferred)
	cancel()
	running.Wait()
	streaming.Wait()
	must(t, s.Close())

	st := s.Status()
	if st.Ended != live.EndStopped || st.Ports[0].Apps[0].OK != 1 || st.Ports[1].Apps[0].OK != 1 {
		t.Errorf("ended %q, %+v", st.Ended, st.Ports)
	}
	if r := st.Rules[0]; r.Dropped != 1 || r.Asked == 0 || st.Affected.Dropped != 1 {
		t.Errorf("the rule: %+v", r)
	}
	if in := st.Ports[0].InFrames + st.Ports[1].InFrames; in != st.Frames || st.Recording.Frames != st.Frames {
		t.Errorf("%d frames, %d came in, %d recorded", st.Frames, in, st.Recording.Frames)
	}
	path := filepath.Join(dir, "out.pcapng")
	if st.Recording.File != path {
		t.Errorf("it is at %s", st.Recording.File)
	}
	r, err := pcap.Open(path)
	must(t, err)
	books, err := pcap.Balance(r, nil)
	must(t, err)
	must(t, books.Check())
	meta, _ := r.Meta()
	r.Close()
	if meta.Clock != "real" || meta.Seed != 3 || len(meta.Rules) != 2 || meta.Scenario != "" {
		t.Errorf("it says %+v", meta)
	}
	r, err = pcap.Open(path)
	if n := frames(t, r, err); n != st.Frames {
		t.Errorf("%d frames in the file, %d were counted", n, st.Frames)
	}
	for _, i := range r.Interfaces() {
		if i.Stats == nil || strings.Contains(strings.Join(i.Stats.Comments, " "), "vnr.cut") {
			t.Errorf("interface %s: %+v", i.Name, i.Stats)
		}
	}
	r, err = pcap.NewReader(&stream, "stream")
	if n := frames(t, r, err); n > st.Frames || n == 0 {
		t.Errorf("%d frames in the stream", n)
	}
}

// Rules and cables can be changed while it runs; a transfer that a rule stops goes on
// when that is turned off.
func TestChanges(t *testing.T) {
	cfg, _ := lan(t, 100)
	s, err := live.Start(t.Context(), cfg)
	must(t, err)
	defer s.Close()
	wall, err := s.AddFault("wall: drop from b")
	must(t, err)
	if wall.Number != 1 || !wall.On {
		t.Errorf("%+v", wall)
	}
	var running sync.WaitGroup
	running.Go(func() { must(t, s.Run(context.Background())) })
	until(t, s, func(st live.Status) bool { return st.Rules[0].Dropped > 0 })
	if _, err := s.AddFault("wall: drop from a"); err == nil {
		t.Error("two rules of one name")
	}
	if _, err := s.AddFault("drop from nobody"); !errors.As(err, new(*faults.PortError)) {
		t.Errorf("%v", err)
	}
	if _, err := s.AddFault("drip"); !errors.As(err, new(*faults.SyntaxError)) {
		t.Errorf("%v", err)
	}
	for _, which := range []string{"2", "0", "-1", "moat"} {
		if _, err := s.SetFault(which, false); err == nil {
			t.Errorf("there is a rule %s", which)
		}
	}
	_, err = s.SetFault("1", false)
	must(t, err)
	until(t, s, transferred)
	_, err = s.RemoveFault("wall")
	must(t, err)
	again, err := s.AddFault("wall: drop from a") // the name is free again
	must(t, err)
	if st, err := s.SetFault("wall", false); err != nil || st.Number != again.Number {
		t.Errorf("rule %d was meant: %v", st.Number, err)
	}
	must(t, s.SetCable("a", false))
	if st := s.Status(); st.Ports[0].Up || !st.Ports[1].Up {
		t.Error("the cable of a is not down")
	}
	if err := s.SetCable("z", false); err == nil {
		t.Error("there is a port z")
	}
	if err := s.Rotate(); !errors.Is(err, pcap.ErrNoRotation) {
		t.Errorf("rotate: %v", err)
	}
	s.Stop()
	running.Wait()
	if _, err := s.AddFault("drop from a"); !errors.Is(err, live.ErrEnded) {
		t.Errorf("after the end: %v", err)
	}
	must(t, s.Close())
}

// Limits end it.
func TestLimits(t *testing.T) {
	for why, limit := range map[string]live.Limit{
		live.EndTime: {Time: time.Millisecond}, live.EndFrames: {Frames: 5}, live.EndBytes: {Bytes: 500},
	} {
		cfg, _ := lan(t, 1<<20)
		cfg.Limit = limit
		s, err := live.Start(t.Context(), cfg)
		must(t, err)
		must(t, s.Run(t.Context()))
		must(t, s.Close())
		if st := s.Status(); st.Ended != why || st.Frames < limit.Frames || st.Bytes < limit.Bytes {
			t.Errorf("%s: %+v", why, st)
		}
	}
}

// Of a start that fails nothing remains: neither a file nor a socket.
func TestStartLeavesNothing(t *testing.T) {
	for name, spoil := range map[string]func(*live.Config){
		"a name twice": func(cfg *live.Config) { cfg.Ports[1].Name = "a" },
		"a bad name":   func(cfg *live.Config) { cfg.Ports[2].Name = "all" },
		"a bad device": func(cfg *live.Config) { cfg.Ports = append(cfg.Ports, live.Port{Device: "tip:x"}) },
		"no port":      func(cfg *live.Config) { cfg.Ports = nil },
		"a bad rule": func(cfg *live.Config) {
			r, _ := faults.Parse("drop from z")
			cfg.Faults = append(cfg.Faults, r)
		},
		"no directory": func(cfg *live.Config) { cfg.Recording.File = "/nowhere/x" },
		"no listener":  func(cfg *live.Config) { cfg.Recording.Listen = "udp:1" },
	} {
		cfg, dir := lan(t, 1)
		spoil(&cfg)
		if _, err := live.Start(t.Context(), cfg); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: %v is left", name, left)
		}
	}
}

// The frames that pass are those of the device behind the port, too.
func TestDevice(t *testing.T) {
	cfg, dir := lan(t, 1)
	cfg.Ports = cfg.Ports[1:]
	var notices []string
	cfg.Notice = func(text string) { notices = append(notices, text) }
	s, err := live.Start(t.Context(), cfg)
	must(t, err)
	defer s.Close()
	var running sync.WaitGroup
	running.Go(func() { must(t, s.Run(context.Background())) })
	dev, err := tap.Open("qemu:unix:" + filepath.Join(dir, "q") + ",connect")
	must(t, err)
	frame := append(bytes.Repeat([]byte{0xff}, 6), make([]byte, 54)...)
	frame[6] = 2
	for range 200 { // until it is connected
		_, err := dev.Write([][]byte{frame})
		must(t, err)
		if s.Status().Frames > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	must(t, dev.Close())
	until(t, s, func(st live.Status) bool { return st.Ports[1].Device.Disconnects == 1 })
	time.Sleep(500 * time.Millisecond) // longer than it is looked at again
	s.Stop()
	running.Wait()
	if len(notices) != 1 || !strings.HasPrefix(notices[0], "port q: its peer went away") {
		t.Errorf("told %q", notices)
	}
	st := s.Status()
	if st.Ports[1].InFrames == 0 || st.Ports[0].OutFrames != st.Ports[1].InFrames || st.Ports[0].Open {
		t.Errorf("%+v", st.Ports)
	}
}
