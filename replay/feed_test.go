package replay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/filter"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// feedSource is a fixture as a source.
func feedSource(t rapid.TB, name string) replay.Source {
	t.Helper()
	s, err := replay.OpenSource(captures + name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// feed feeds into memory and returns the recording.
func feed(t rapid.TB, open replay.Source, o replay.FeedOptions) (*replay.Fed, []byte) {
	t.Helper()
	var b bytes.Buffer
	rec, err := pcap.NewRecorder(&b, pcap.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	o.Recorder = rec
	fed, err := replay.Feed(context.Background(), open, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	return fed, b.Bytes()
}

// packetsOf reads a capture from memory.
func packetsOf(t rapid.TB, b []byte) []*pcap.Packet {
	t.Helper()
	r, err := pcap.NewReader(bytes.NewReader(b), "memory")
	if err != nil {
		t.Fatal(err)
	}
	var all []*pcap.Packet
	for p, err := range r.Packets() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// frame is an Ethernet frame of a local experiment.
func etherFrame(dst, src vswitch.MAC, size int) []byte {
	f := make([]byte, size)
	copy(f, dst[:])
	copy(f[6:], src[:])
	f[12], f[13] = 0x88, 0xb5
	return f
}

// madeCapture is a classic pcap file of frames at the given times.
func madeCapture(at []time.Duration, frames [][]byte) replay.Source {
	file := madeFile(at, frames)
	return func() (*pcap.Reader, error) { return pcap.NewReader(bytes.NewReader(file), "made.pcap") }
}

// madeFile writes classic pcap, nanoseconds.
func madeFile(at []time.Duration, frames [][]byte) []byte {
	var b bytes.Buffer
	le := func(n uint32) { b.Write([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}) }
	le(0xa1b23c4d)
	le(4<<16 | 2)
	le(0)
	le(0)
	le(262144)
	le(1)
	for i, f := range frames {
		ns := uint64(1_700_000_000*time.Second) + uint64(at[i])
		le(uint32(ns / 1e9))
		le(uint32(ns % 1e9))
		le(uint32(len(f)))
		le(uint32(len(f)))
		b.Write(f)
	}
	return b.Bytes()
}

// The stamp of every frame in a recording is exactly what the formula of its mode
// says, computed here in rationals: nothing drifts over thousands of frames and
// several passes.
func TestFeedTimesAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "frames")
		var at []time.Duration
		var frames [][]byte
		var now time.Duration
		for i := range n {
			if i > 0 {
				now += time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "gap"))
			}
			src := vswitch.MAC{2, 0, 0, 0, 9, byte(rapid.IntRange(1, 4).Draw(t, "source"))}
			f := etherFrame(vswitch.MAC{2, 0, 0, 0, 9, 1}, src, rapid.IntRange(14, 1514).Draw(t, "size"))
			at, frames = append(at, now), append(frames, f)
		}
		passes := rapid.IntRange(1, 4).Draw(t, "passes")
		ratio := replay.Ratio{Num: rapid.Uint64Range(1, 1e6).Draw(t, "num"), Den: rapid.Uint64Range(1, 1e6).Draw(t, "den")}
		mode := rapid.SampledFrom([]string{"original", "speed", "pps", "mbps", "topspeed"}).Draw(t, "mode")
		pace := replay.Pace{TopSpeed: mode == "topspeed"}
		switch mode {
		case "speed":
			pace.Speed = ratio
		case "pps":
			pace.PPS = ratio
		case "mbps":
			pace.Mbps = ratio
		}
		if rapid.Bool().Draw(t, "capped") {
			pace.MaxGap = time.Duration(rapid.Int64Range(1, int64(4*time.Second)).Draw(t, "longest gap"))
		}

		_, b := feed(t, madeCapture(at, frames), replay.FeedOptions{Pace: pace, Passes: passes})
		got := packetsOf(t, b)
		if len(got) != n*passes {
			t.Fatalf("%d frames, want %d", len(got), n*passes)
		}
		bits, last, cut := int64(0), int64(0), int64(0)
		for k, p := range got {
			i, pass := k%n, k/n
			captured := int64(pass)*int64(now) + int64(at[i])
			raw := floorOf(mode, ratio, captured, int64(k), bits)
			want := raw - cut
			if pace.MaxGap > 0 && k > 0 && want-last > int64(pace.MaxGap) {
				want = last + int64(pace.MaxGap)
				cut = raw - want
			}
			if d := p.Time.Sub(got[0].Time); int64(d) != want || !bytes.Equal(p.Data, frames[i]) {
				t.Fatalf("%s %v: frame %d of pass %d at %v, want %v", mode, ratio, i+1, pass+1, d, time.Duration(want))
			}
			last = want
			bits += int64(len(p.Data)) * 8
		}
		if first := got[0].Time.UnixNano(); first != int64(1_700_000_000*time.Second) {
			t.Fatalf("the first frame is sent at %d", first)
		}
	})
}

// floorOf is the formula of a mode, in nanoseconds rounded down.
func floorOf(mode string, r replay.Ratio, at, k, bits int64) int64 {
	if mode == "topspeed" {
		return k / 64 * 6400
	}
	n, times := at, int64(1)
	switch mode {
	case "original":
		return at
	case "pps":
		n, times = k, 1e9
	case "mbps":
		n, times = bits, 1000
	}
	q := new(big.Rat).SetFrac(new(big.Int).SetUint64(r.Den), new(big.Int).SetUint64(r.Num))
	q.Mul(q, new(big.Rat).SetInt64(n))
	q.Mul(q, new(big.Rat).SetInt64(times))
	return new(big.Int).Quo(q.Num(), q.Denom()).Int64()
}

// A capture fed at its own speed gives the stamps, bytes and order of the capture;
// the same options give the same recording, and it feeds to itself again.
func TestFedAgainIsTheSame(t *testing.T) {
	for _, name := range []string{"01-http-get-100k.a.pcapng", "02a-http-loss.b.pcapng", "07-ping-frag.a.pcapng", "public-19-icmp-arp-dot1q.pcap"} {
		open := feedSource(t, name)
		fed, one := feed(t, open, replay.FeedOptions{})
		_, two := feed(t, open, replay.FeedOptions{})
		if !bytes.Equal(one, two) {
			t.Errorf("%s: two feeds differ", name)
		}
		source := func() (*pcap.Reader, error) { return pcap.NewReader(bytes.NewReader(one), "one") }
		if _, three := feed(t, source, replay.FeedOptions{}); !bytes.Equal(one, three) {
			t.Errorf("%s: the recording fed again differs", name)
		}
		file, err := os.ReadFile(captures + name)
		if err != nil {
			t.Fatal(err)
		}
		want, got := packetsOf(t, file), packetsOf(t, one)
		if len(want) != len(got) || fed.Frames != uint64(len(got)) || len(fed.Skipped) > 0 {
			t.Fatalf("%s: %d of %d frames, skipped %v", name, len(got), len(want), fed.Skipped)
		}
		for i := range want {
			if !bytes.Equal(want[i].Data, got[i].Data) || !want[i].Time.Equal(got[i].Time) && fed.Backwards == 0 {
				t.Fatalf("%s: frame %d differs", name, i+1)
			}
		}
	}
}

// Stamps that go backwards, or far ahead, make no pause and no order of their own.
func TestFeedOfBrokenClocks(t *testing.T) {
	a := vswitch.MAC{2, 0, 0, 0, 9, 1}
	f := etherFrame(vswitch.Broadcast, a, 60)
	at := []time.Duration{time.Second, 2 * time.Second, 0, 3 * time.Second, 3*time.Second + replay.MaxGap + 1, 4 * time.Second}
	fed, b := feed(t, madeCapture(at, slices.Repeat([][]byte{f}, len(at))), replay.FeedOptions{})
	var got []time.Duration
	for _, p := range packetsOf(t, b) {
		got = append(got, p.Time.Sub(time.Unix(1_700_000_000, 0)))
	}
	want := []time.Duration{time.Second, 2 * time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second, 4 * time.Second}
	if !slices.Equal(got, want) || fed.Backwards != 1 || fed.Ahead != 1 {
		t.Errorf("sent at %v (%d backwards, %d ahead), want %v", got, fed.Backwards, fed.Ahead, want)
	}
}

// What a rule refuses inside the write takes no place in the schedule.
func TestFeedOfRefusedFrames(t *testing.T) {
	a := vswitch.MAC{2, 0, 0, 0, 9, 1}
	small, big := etherFrame(vswitch.Broadcast, a, 60), etherFrame(vswitch.Broadcast, a, 1000)
	open := madeCapture(make([]time.Duration, 4), [][]byte{small, big, small, small})
	rules, err := faults.ParseAll([]string{"mtu 500 error from mac-02-00-00-00-09-01"})
	if err != nil {
		t.Fatal(err)
	}
	fed, b := feed(t, open, replay.FeedOptions{Pace: replay.Pace{PPS: replay.Ratio{Num: 10, Den: 1}}, Faults: rules, Limit: 3})
	got := packetsOf(t, b)
	if len(got) != 3 || got[2].Time.Sub(got[0].Time) != 200*time.Millisecond || fed.Frames != 3 {
		t.Errorf("%d frames, %+v", len(got), fed.FeedCount)
	}
	if len(fed.Skipped) != 1 || !reflect.DeepEqual(fed.Skipped[0], replay.Skip{Reason: "bigger than the MTU of 500", Frames: 1, First: 2, Numbers: []int{2}}) {
		t.Errorf("skipped %v", fed.Skipped)
	}
}

func TestFeedRefusesWhatIsAmbiguous(t *testing.T) {
	tcp, err := filter.Compile("tcp")
	if err != nil {
		t.Fatal(err)
	}
	any, err := filter.Compile("")
	if err != nil {
		t.Fatal(err)
	}
	two := []replay.PortRule{{Name: "a", Filter: tcp}, {Name: "b", Filter: any}}
	_, err = replay.Feed(t.Context(), feedSource(t, "10-interactive.a.pcapng"), replay.FeedOptions{PortRules: two})
	if !errors.Is(err, replay.ErrAmbiguous) {
		t.Errorf("two rules for one frame: %v", err)
	}
	// A tap on both sides of a bridge has each frame twice.
	var b bytes.Buffer
	l, err := pcap.NewFullRecorder(&b, pcap.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replay.Feed(t.Context(), feedSource(t, "10-interactive.a.pcapng"), replay.FeedOptions{Recorder: l}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	full := b.Bytes()
	fed, _ := feed(t, func() (*pcap.Reader, error) { return pcap.NewReader(bytes.NewReader(full), "full") }, replay.FeedOptions{})
	if fed.Frames != 103 || len(fed.Left) != 1 {
		t.Errorf("of a full recording %d frames are sent, %v left out", fed.Frames, fed.Left)
	}
	foreign := bytes.ReplaceAll(full, []byte("view=full"), []byte("view=tap1"))
	_, err = replay.Feed(t.Context(), func() (*pcap.Reader, error) { return pcap.NewReader(bytes.NewReader(foreign), "tap") }, replay.FeedOptions{})
	if !errors.Is(err, replay.ErrAmbiguous) {
		t.Errorf("one address on two interfaces: %v", err)
	}
	for _, by := range []replay.PortsBy{replay.PortsByMAC, replay.PortsByInterface} {
		fed, _ := feed(t, func() (*pcap.Reader, error) { return pcap.NewReader(bytes.NewReader(foreign), "tap") }, replay.FeedOptions{Ports: by})
		if fed.Frames != 206 && fed.Frames < 103 {
			t.Errorf("ports %d: %d frames", by, fed.Frames)
		}
	}
}

func TestParseRatio(t *testing.T) {
	for text, want := range map[string]replay.Ratio{
		"2x": {Num: 2, Den: 1}, "0.5x": {Num: 1, Den: 2}, "1/3": {Num: 1, Den: 3}, "10/4": {Num: 5, Den: 2},
		"1.50": {Num: 3, Den: 2}, ".25": {Num: 1, Den: 4}, "1000000": {Num: 1000000, Den: 1}, "1.": {Num: 1, Den: 1},
	} {
		got, err := replay.ParseRatio(text)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		if again, err := replay.ParseRatio(got.String()); err != nil || again != got {
			t.Errorf("%q printed as %q", text, got)
		}
	}
	for _, text := range []string{"", "x", "0", "0x", "-1", "1/0", "0/3", "1e3", "1/2/3", ".", "1.0000000001", "99999999999999999999", "2 x", "0.0", "1/9999999999"} {
		if r, err := replay.ParseRatio(text); err == nil {
			t.Errorf("%q is %v", text, r)
		}
	}
}

// A feed that would last centuries is refused where it would pass them.
func TestFeedThatNeverEnds(t *testing.T) {
	f := etherFrame(vswitch.Broadcast, vswitch.MAC{2, 0, 0, 0, 9, 1}, 60)
	open := madeCapture([]time.Duration{0, time.Hour}, [][]byte{f, f})
	_, err := replay.Feed(t.Context(), open, replay.FeedOptions{Pace: replay.Pace{Speed: replay.Ratio{Num: 1, Den: 1e9}}})
	if !errors.Is(err, replay.ErrPace) {
		t.Error(err)
	}
	_, err = replay.Feed(t.Context(), open, replay.FeedOptions{Pace: replay.Pace{TopSpeed: true, PPS: replay.Ratio{Num: 1, Den: 1}}})
	if !errors.Is(err, replay.ErrPace) {
		t.Error(err)
	}
}

// Twice as fast as captured, over a switch that loses a frame.
func ExampleFeed() {
	open, err := replay.OpenSource("../fixtures/captures/10-interactive.a.pcapng")
	if err != nil {
		fmt.Println(err)
		return
	}
	rule, err := faults.Parse("drop nth 7 from mac-02-00-00-77-00-01")
	if err != nil {
		fmt.Println(err)
		return
	}
	fed, err := replay.Feed(context.Background(), open, replay.FeedOptions{
		Pace:   replay.Pace{Speed: replay.Ratio{Num: 2, Den: 1}},
		Faults: []*faults.Rule{rule},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d frames, %d bytes in %v, %d dropped\n", fed.Frames, fed.Bytes, fed.Duration, fed.Affected.Dropped)
	for _, p := range fed.Ports {
		fmt.Println(p.Name, p.Frames)
	}
	// Output:
	// 103 frames, 6902 bytes in 1.963665373s, 1 dropped
	// mac-02-00-00-77-00-02 51
	// mac-02-00-00-77-00-01 52
}

// A capture fed into one interface of a world of one's own.
func ExampleFeeder() {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	sw, _ := w.NewSwitch(vswitch.SwitchConfig{Hub: true})
	tap, _ := vnetif.NewRaw(sw, vnetif.RawConfig{Port: vswitch.PortConfig{Name: "tap"}})
	seen := 0
	sink, _ := vnetif.NewRaw(sw, vnetif.RawConfig{Port: vswitch.PortConfig{Name: "sink"}})
	sink.SetListen(func([]byte) { seen++ })

	open, err := replay.OpenSource("../fixtures/captures/10-interactive.a.pcapng")
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := replay.NewFeeder(open, replay.Pace{PPS: replay.Ratio{Num: 100, Den: 1}}, 1, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	node, _ := w.NewNode("feeder")
	err = w.Run(context.Background(), func(context.Context) error {
		var result error
		over := false
		wait := &vswitch.Op{Kind: vswitch.OpSleep, Try: func() bool { return over }}
		f.Start(node.StackClock(), func(frame *replay.FeedFrame) error { return tap.WriteFrame(frame.Data) }, func(err error) {
			result, over = err, true
			node.Wake(wait)
		})
		return errors.Join(node.Do(wait), result)
	})
	fmt.Println(seen, f.Count().Duration, err)
	// Output:
	// 103 1.02s <nil>
}

// Next alone is a reader with a clock: no world is needed.
func TestFeederByItself(t *testing.T) {
	f, err := replay.NewFeeder(feedSource(t, "10-interactive.a.pcapng"), replay.Pace{Mbps: replay.Ratio{Num: 1, Den: 1}}, 2, 150)
	if err != nil {
		t.Fatal(err)
	}
	n, bits := 0, 0
	for {
		frame, err := f.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if frame.Due != time.Duration(bits)*time.Microsecond || frame.Pass != n/103+1 {
			t.Fatalf("frame %d of pass %d is due at %v", frame.Number, frame.Pass, frame.Due)
		}
		n++
		bits += 8 * len(frame.Data)
	}
	if c := f.Count(); n != 150 || c.Frames != 150 || c.Bytes != uint64(bits/8) {
		t.Errorf("%d frames, %+v", n, c)
	}
}
