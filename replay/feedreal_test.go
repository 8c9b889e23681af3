package replay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// gate is a device in memory.
type gate struct {
	mu     sync.Mutex
	frames [][]byte
	at     []time.Time
	calls  int
	slow   time.Duration // for each call
	fail   error         // of the call after so many frames
	after  int
}

func (g *gate) write(frames [][]byte) (int, error) {
	time.Sleep(g.slow)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	for i, f := range frames {
		if g.fail != nil && len(g.frames) == g.after {
			return i, g.fail
		}
		g.frames, g.at = append(g.frames, bytes.Clone(f)), append(g.at, time.Now())
	}
	return len(frames), nil
}

func (g *gate) Deliver(frame []byte)         { g.write([][]byte{frame}) }
func (g *gate) DeliverBatch(frames [][]byte) { g.write(frames) }

func (g *gate) to(port string) replay.FeedTo {
	return replay.FeedTo{Port: port, Name: "mem", MTU: 1500, Write: g.write,
		Connect: func(sw *vswitch.Switch, cfg vswitch.PortConfig) (*vswitch.Port, error) { return sw.Connect(cfg, g) }}
}

// someFrames is a capture of n frames of two stations, gap apart, all different.
func someFrames(n int, gap time.Duration) (open replay.Source, frames [][]byte) {
	at, frames := framesApart(n, gap)
	return madeCapture(at, frames), frames
}

func framesApart(n int, gap time.Duration) (at []time.Duration, frames [][]byte) {
	macs := []vswitch.MAC{{2, 0, 0, 0, 9, 1}, {2, 0, 0, 0, 9, 2}}
	at = make([]time.Duration, n)
	for i := range n {
		f := etherFrame(macs[1-i/3%2], macs[i/3%2], 60+i%900)
		f[20], f[21] = byte(i>>8), byte(i)
		frames, at[i] = append(frames, f), time.Duration(i)*gap
	}
	return at, frames
}

func sameFrames(t *testing.T, what string, got, want [][]byte) {
	t.Helper()
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%s: %d frames came, want the %d of the capture in their order", what, len(got), len(want))
	}
}

// TestFeedIntoDevice: all frames, in order, directly and over a switch, where they are
// recorded.
func TestFeedIntoDevice(t *testing.T) {
	open, frames := someFrames(3000, time.Microsecond)
	for _, recorded := range []bool{false, true} {
		t.Run(fmt.Sprint("recorded ", recorded), func(t *testing.T) {
			var g gate
			o := replay.FeedOptions{Pace: replay.Pace{TopSpeed: true}, To: []replay.FeedTo{g.to("")}, Passes: 2}
			var file bytes.Buffer
			if recorded {
				rec, err := pcap.NewRecorder(&file, pcap.Meta{Clock: "real"})
				if err != nil {
					t.Fatal(err)
				}
				o.Recorder = rec
				defer rec.Close()
			}
			fed, err := replay.Feed(context.Background(), open, o)
			if err != nil {
				t.Fatal(err)
			}
			sameFrames(t, "the device", g.frames, slices.Concat(frames, frames))
			if fed.Frames != 6000 || fed.Lost != 0 || len(fed.Skipped) != 0 || len(fed.Ports) != 1 || fed.Ports[0].Frames != 6000 || g.calls > 3000 {
				t.Errorf("%+v in %d calls", fed, g.calls)
			}
			if !recorded {
				return
			}
			if err := o.Recorder.(*pcap.Recorder).Close(); err != nil {
				t.Fatal(err)
			}
			r, err := pcap.NewReader(&file, "recording")
			if err != nil {
				t.Fatal(err)
			}
			var have [][]byte
			for p, err := range r.Packets() {
				if err != nil {
					t.Fatal(err)
				}
				have = append(have, p.Data)
			}
			sameFrames(t, "the recording", have, slices.Concat(frames, frames))
		})
	}
}

// TestFeedIntoDevices: each port's frames go to its device.
func TestFeedIntoDevices(t *testing.T) {
	open, frames := someFrames(600, time.Microsecond)
	var a, b gate
	fed, err := replay.Feed(context.Background(), open, replay.FeedOptions{
		To: []replay.FeedTo{a.to("mac-02-00-00-00-09-01"), b.to("mac-02-00-00-00-09-02")}})
	if err != nil || fed.Frames != 600 {
		t.Fatalf("%+v, %v", fed, err)
	}
	for i, g := range []*gate{&a, &b} {
		var want [][]byte
		for _, f := range frames {
			if f[11] == byte(i+1) {
				want = append(want, f)
			}
		}
		sameFrames(t, fmt.Sprint("device ", i), g.frames, want)
	}
}

// TestFeedDeadlines: no frame is early; and however slow a device is, deadlines do not
// move with it.
func TestFeedDeadlines(t *testing.T) {
	const n, gap = 200, time.Millisecond
	open, _ := someFrames(n, gap)
	for _, slow := range []time.Duration{0, 3 * time.Millisecond} {
		g := gate{slow: slow}
		began := time.Now()
		fed, err := replay.Feed(context.Background(), open, replay.FeedOptions{To: []replay.FeedTo{g.to("")}})
		if err != nil || fed.Frames != n {
			t.Fatalf("%+v, %v", fed, err)
		}
		for i, at := range g.at {
			if due := began.Add(time.Duration(i) * gap); at.Before(due) {
				t.Fatalf("frame %d came %v early", i, due.Sub(at))
			}
		}
		if slow > 0 && (g.calls > n*9/10 || fed.Late < slow/2) {
			t.Errorf("frames that were late did not go together: %d calls, the latest %v late", g.calls, fed.Late)
		}
		if fed.Duration < (n-1)*gap {
			t.Errorf("it took %v", fed.Duration)
		}
	}
}

// TestFeedRealEnds: at a device's error, at an interrupt, at the limit; what was sent until
// then is counted.
func TestFeedRealEnds(t *testing.T) {
	open, frames := someFrames(1000, time.Microsecond)
	broken := errors.New("unplugged")
	g := gate{fail: broken, after: 700}
	fed, err := replay.Feed(context.Background(), open, replay.FeedOptions{To: []replay.FeedTo{g.to("")}, Pace: replay.Pace{TopSpeed: true}})
	if !errors.Is(err, broken) || fed.Frames != 700 {
		t.Errorf("%+v, %v", fed, err)
	}
	sameFrames(t, "the device", g.frames, frames[:700])

	open, _ = someFrames(2, time.Hour)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	g = gate{}
	if fed, err = replay.Feed(ctx, open, replay.FeedOptions{To: []replay.FeedTo{g.to("")}}); !errors.Is(err, why) || fed.Frames != 1 {
		t.Errorf("%+v, %v", fed, err)
	}
	if fed, err = replay.Feed(context.Background(), open, replay.FeedOptions{To: []replay.FeedTo{g.to("")}, WallLimit: 50 * time.Millisecond}); !errors.Is(err, vswitch.ErrLimit) || fed.Frames != 1 {
		t.Errorf("%+v, %v", fed, err)
	}
}

// TestFeedRealFaults: with faults frames pass a switch, and those that a rule affects are
// counted.
func TestFeedRealFaults(t *testing.T) {
	open, frames := someFrames(1000, time.Microsecond)
	rule, err := faults.Parse("drop nth 1..100")
	if err != nil {
		t.Fatal(err)
	}
	var g gate
	fed, err := replay.Feed(context.Background(), open, replay.FeedOptions{To: []replay.FeedTo{g.to("")}, Faults: []*faults.Rule{rule}})
	if err != nil || fed.Frames != 1000 || fed.Affected.Dropped != 100 || len(g.frames) != 900 {
		t.Errorf("%+v, %v: %d of %d came", fed, err, len(g.frames), len(frames))
	}
}

// TestFeedRealRefuses what cannot be.
func TestFeedRealRefuses(t *testing.T) {
	open, _ := someFrames(10, time.Microsecond)
	var g gate
	for name, o := range map[string]replay.FeedOptions{
		"a step":         {RealTime: true, Step: func(*replay.FeedFrame) error { return nil }},
		"two for all":    {To: []replay.FeedTo{g.to(""), g.to("")}},
		"no device":      {To: []replay.FeedTo{g.to("mac-02-00-00-00-09-01"), g.to("another")}},
		"two recordings": {To: []replay.FeedTo{g.to("a"), g.to("b")}, Recorder: &pcap.Recorder{}},
	} {
		if fed, err := replay.Feed(context.Background(), open, o); err == nil || fed != nil {
			t.Errorf("%s: %+v, %v", name, fed, err)
		}
	}
	if len(g.frames) > 0 {
		t.Errorf("%d frames were sent", len(g.frames))
	}
}

// ExampleFeedTo feeds a capture into a device, which could be one of package tap.
func ExampleFeedTo() {
	open, err := replay.OpenSource("../fixtures/captures/10-interactive.a.pcapng")
	if err != nil {
		fmt.Println(err)
		return
	}
	device := replay.FeedTo{Name: "null", MTU: 1500, Write: func(frames [][]byte) (int, error) { return len(frames), nil }}
	fed, err := replay.Feed(context.Background(), open, replay.FeedOptions{Pace: replay.Pace{TopSpeed: true}, To: []replay.FeedTo{device}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(fed.Frames, "frames")
	// Output: 103 frames
}
