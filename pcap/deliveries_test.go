package pcap_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// randomLAN runs a world of random ports, cables, rules, sends and closings. Times
// are coarse, so that many things happen at one instant.
func randomLAN(t *rapid.T) *lan {
	l := newLAN(t, rapid.Bool().Draw(t, "hub"))
	latency := rapid.SampledFrom([]time.Duration{1, time.Microsecond, 500 * time.Microsecond, time.Millisecond})
	var ports []*vswitch.Port
	connect := func() {
		cfg := vswitch.PortConfig{
			Name:    fmt.Sprintf("p%d", len(ports)),
			Latency: latency.Draw(t, "latency"),
			Rate:    rapid.SampledFrom([]int64{0, 0, 0, 8_000_000}).Draw(t, "rate"),
			Queue:   rapid.IntRange(1, 3).Draw(t, "queue"),
			MTU:     rapid.SampledFrom([]int{0, 0, 500}).Draw(t, "mtu"),
		}
		ports = append(ports, l.connect(t, cfg))
	}
	for range rapid.IntRange(2, 4).Draw(t, "ports") {
		connect()
	}
	verdict := rapid.Custom(func(t *rapid.T) vswitch.Verdict {
		v := vswitch.Verdict{
			Drop:   rapid.IntRange(0, 3).Draw(t, "drop") == 0,
			Copies: max(0, rapid.IntRange(-4, 2).Draw(t, "copies")),
			Gap:    rapid.SampledFrom([]time.Duration{0, time.Microsecond, time.Millisecond}).Draw(t, "gap"),
			Delay:  rapid.SampledFrom([]time.Duration{0, 0, time.Microsecond, 2 * time.Millisecond}).Draw(t, "delay"),
		}
		switch rapid.IntRange(0, 5).Draw(t, "more") {
		case 0:
			v.Truncate = rapid.IntRange(14, 60).Draw(t, "truncate")
		case 1:
			v.Pad = rapid.IntRange(1, 9).Draw(t, "pad")
		case 2, 3:
			v.Behind = rapid.IntRange(1, 3).Draw(t, "behind")
			v.Within = rapid.SampledFrom([]time.Duration{1, time.Millisecond, 5 * time.Millisecond}).Draw(t, "within")
		}
		if rapid.Bool().Draw(t, "edit") {
			v.Edits = []vswitch.Edit{{Offset: rapid.IntRange(0, 15).Draw(t, "offset"), Old: []byte{0, 0}, New: []byte{0x41, 0x42}}}
		}
		return v
	})
	cable := rapid.SampledFrom([]string{"", "p0", "p1", "p2"})
	for i := range rapid.IntRange(0, 2).Draw(t, "rules") {
		verdicts := map[uint64]map[string]vswitch.Verdict{}
		for range rapid.IntRange(1, 6).Draw(t, "hits") {
			seq := rapid.Uint64Range(1, 20).Draw(t, "seq")
			if verdicts[seq] == nil {
				verdicts[seq] = map[string]vswitch.Verdict{}
			}
			verdicts[seq][cable.Draw(t, "cable")] = verdict.Draw(t, "verdict")
		}
		rule := l.sw.AddRule([]string{"", "r"}[i%2], script(verdicts))
		if rapid.Bool().Draw(t, "toggled") {
			at := time.Duration(rapid.IntRange(1, 8).Draw(t, "toggle")) * 500 * time.Microsecond
			l.at(at, func() { rule.SetOn(false) })
			l.at(at+time.Millisecond, func() { rule.SetOn(true) })
		}
	}
	for range rapid.IntRange(1, 25).Draw(t, "actions") {
		at := time.Duration(rapid.IntRange(1, 8).Draw(t, "at")) * 500 * time.Microsecond
		p := ports[rapid.IntRange(0, len(ports)-1).Draw(t, "port")]
		q := ports[rapid.IntRange(0, len(ports)-1).Draw(t, "to")]
		n := rapid.IntRange(20, 1514).Draw(t, "size")
		switch k := rapid.IntRange(0, 19).Draw(t, "action"); {
		case k == 0:
			l.at(at, func() { _ = p.Close() })
		case k == 1:
			l.at(at, func() { p.SetUp(false) })
		case k == 2:
			l.at(at, connect)
		case k < 7:
			l.at(at, func() { _ = p.Send(ether(vswitch.Broadcast, p.MAC(), n)) })
		default:
			l.at(at, func() { _ = p.Send(ether(q.MAC(), p.MAC(), n)) })
		}
	}
	l.run(t)
	return l
}

// arrivals are the inbound packets of a full capture, as text, in the order of
// [pcap.Deliveries]; of one port and instant they stay in the file's order.
func arrivals(t tb, full []byte) []string {
	t.Helper()
	r := read(t, full)
	all := slices.DeleteFunc(packets(t, r), func(p *pcap.Packet) bool { return p.Direction != pcap.Inbound })
	slices.SortStableFunc(all, func(a, b *pcap.Packet) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Interface, b.Interface))
	})
	var out []string
	for _, p := range all {
		out = append(out, fmt.Sprintf("%v %s #%d %x", p.Time, r.Interfaces()[p.Interface].Name, p.ID, p.Data))
	}
	return out
}

func deliveries(t tb, r *pcap.Reader) []string {
	t.Helper()
	var out []string
	for d, err := range pcap.Deliveries(r) {
		ok(t, err)
		out = append(out, fmt.Sprintf("%v %s #%d %x", d.Time, d.Port, d.Frame.ID, d.Data))
	}
	return out
}

// same fails with the first line that differs.
func same(t tb, what string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%s: line %d of %d and %d:\n got %v\nwant %v", what, i, len(got), len(want), got[min(i, len(got)):min(i+1, len(got))], want[min(i, len(want)):min(i+1, len(want))])
		}
	}
}

func TestRebuiltIsWhatAFullRecordingHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := randomLAN(t)
		want := arrivals(t, l.full.Bytes())
		same(t, "deliveries", deliveries(t, read(t, l.wire.Bytes())), want)
		same(t, "full view", arrivals(t, viewFull(t, l.wire.Bytes())), want)

		// The views at all ports together are the full view.
		var parts []string
		frames := 0
		r := read(t, l.wire.Bytes())
		packets(t, r)
		for _, ifc := range r.Interfaces() {
			at := viewAt(t, l.wire.Bytes(), ifc.Name)
			parts = append(parts, arrivals(t, at)...)
			frames += len(packets(t, read(t, at)))
		}
		slices.Sort(parts)
		slices.Sort(want)
		same(t, "views at each port", parts, want)
		if n := len(packets(t, read(t, viewFull(t, l.wire.Bytes())))); n != frames {
			t.Fatalf("the views at each port hold %d frames, the full view %d", frames, n)
		}
	})
}

func TestTheBooksBalanceFromTheFileAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := randomLAN(t)
		frames := 0
		var total pcap.Book
		b, err := pcap.Balance(read(t, l.wire.Bytes()), func(p *pcap.Packet, b pcap.Book) {
			frames++
			if !b.Balances() {
				t.Fatalf("frame %d: %+v", p.Number, b)
			}
			total.Receivers += b.Receivers
			total.Delivered += b.Delivered
		})
		ok(t, err)
		ok(t, b.Check())
		if uint64(frames) != b.Frames || total.Receivers != b.Total.Receivers || total.Delivered != b.Total.Delivered {
			t.Fatalf("%d frames with %+v make %+v", frames, total, b)
		}
		if got := uint64(len(arrivals(t, l.full.Bytes()))); got != b.Total.Delivered {
			t.Fatalf("%d delivered by the books, %d were", b.Total.Delivered, got)
		}
	})
}

func TestBooksThatDoNotBalance(t *testing.T) {
	l := everyClause(t)
	wire := l.wire.Bytes()
	b, err := pcap.Balance(read(t, wire), nil)
	ok(t, err)
	ok(t, b.Check())
	// A frame that nobody is said to have lost, but the counters do.
	forged := bytes.Replace(wire, []byte("rxlost.mtu=1"), []byte("rxlost.mtu=0"), 1)
	b, err = pcap.Balance(read(t, forged), nil)
	ok(t, err)
	if err := b.Check(); !errors.Is(err, pcap.ErrUnbalanced) || !strings.Contains(err.Error(), "port b") || !strings.Contains(err.Error(), "mtu") {
		t.Errorf("got %v", err)
	}
}

func TestViews(t *testing.T) {
	l := everyClause(t)
	golden(t, "view-at-b.golden", dump(t, viewAt(t, l.wire.Bytes(), "b")))
	golden(t, "view-full.golden", dump(t, viewFull(t, l.wire.Bytes())))
}

func TestAViewAtAnUnknownPortNamesTheKnown(t *testing.T) {
	l := everyClause(t)
	var b bytes.Buffer
	err := pcap.ViewAt(&b, read(t, l.wire.Bytes()), "server")
	if err == nil || !strings.Contains(err.Error(), "no port is called server") || !strings.Contains(err.Error(), "a, b, c, d, late") {
		t.Errorf("got %v", err)
	}
}

func TestOnlyWireRecordingsHaveViews(t *testing.T) {
	l := everyClause(t)
	err := pcap.ViewFull(&bytes.Buffer{}, read(t, l.full.Bytes()))
	if !errors.Is(err, pcap.ErrNotRecording) || !strings.Contains(err.Error(), `"full"`) {
		t.Errorf("full recording: got %v", err)
	}
	r, err := pcap.Open(captures + "01-http-get-100k.a.pcapng")
	ok(t, err)
	defer r.Close()
	if err := pcap.ViewFull(&bytes.Buffer{}, r); !errors.Is(err, pcap.ErrNotRecording) || !errors.Is(err, pcap.ErrNoMeta) {
		t.Errorf("foreign capture: got %v", err)
	}
}

func TestSplit(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	// A port's name from elsewhere may be anything; it must not become a path.
	for _, before := range []string{"\x02\x00\x04\x00", ",d,", "vnr.port="} {
		wire = bytes.ReplaceAll(wire, []byte(before+"late"), []byte(before+"../x"))
	}
	dir := filepath.Join(t.TempDir(), "parts")
	paths, err := pcap.Split(dir, read(t, wire))
	ok(t, err)
	var names []string
	for i, path := range paths {
		names = append(names, filepath.Base(path))
		b, err := os.ReadFile(path)
		ok(t, err)
		if want := viewAt(t, wire, []string{"a", "b", "c", "d", "../x"}[i]); !bytes.Equal(b, want) {
			t.Errorf("%s is not the view at that port", path)
		}
	}
	same(t, "files", names, []string{"a.pcapng", "b.pcapng", "c.pcapng", "d.pcapng", "port4.pcapng"})
	entries, err := os.ReadDir(dir)
	ok(t, err)
	if len(entries) != 5 {
		t.Errorf("the directory holds %v", entries)
	}

	// A recording that turns out wrong leaves no file with its name.
	dir = filepath.Join(t.TempDir(), "parts")
	wrong := bytes.ReplaceAll(wire, []byte("vnr.to=none"), []byte("vnr.to=nobo"))
	if _, err := pcap.Split(dir, read(t, wrong)); err == nil || !strings.Contains(err.Error(), "port nobo") {
		t.Errorf("got %v", err)
	}
	if exists(filepath.Join(dir, "a.pcapng")) || !exists(filepath.Join(dir, "a.pcapng.partial")) {
		t.Error("half a view has its name")
	}
}

// A recording that contradicts itself is refused with the frame, whatever it says.
func TestHostileRecordings(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	for _, c := range []struct{ what, old, now, want string }{
		{"an unknown clause", "vnr.lost=reserved", "vnr.what=reserved", "frame 3 (byte 816): comment \"vnr.what=reserved\": unknown clause"},
		{"an unknown receiver", "vnr.to=b,d,late", "vnr.to=b,d,lake", "frame 16 (byte 8088) goes to port lake, which is not in the file"},
		{"an edit outside the frame", "@14:0e>ff", "@74:0e>ff", "frame 7 (byte 1480) has 60 bytes, and 1 bytes at offset 74"},
		{"copies without end", "copies=2", "copies=9e9", "\"copies=9e9\": want 0 to 65535"},
		{"arrival before sending", "vnr.queued=16ms", "vnr.queued=-1ms", "frame 11 (byte 4072) arrives at a before it is sent"},
		{"a port without a cable", "mtu=400 latency=5ms", "mtu=400 latincy=5ms", "is on interface 1, whose description is not that of a port"},
	} {
		if len(c.old) != len(c.now) {
			// Keep the block's lengths: pad or cut the reason behind it.
			c.now += strings.Repeat(" ", max(0, len(c.old)-len(c.now)))
		}
		forged := bytes.Replace(wire, []byte(c.old), []byte(c.now), 1)
		if c.what == "copies without end" {
			forged = bytes.Replace(wire, []byte("copies=2 gap=1ms"), []byte("copies=9e9 gap=1"), 1)
		}
		err := pcap.ViewFull(&bytes.Buffer{}, read(t, forged))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant … %s …", c.what, err, c.want)
		}
	}
}

func TestACutRecordingHasViewsAsFarAsItGoes(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	all := deliveries(t, read(t, wire))
	for _, n := range []int{540, 1700, 5000, len(wire) - 1} {
		var got []string
		var last error
		for d, err := range pcap.Deliveries(read(t, wire[:n])) {
			if last = err; err == nil {
				got = append(got, fmt.Sprintf("%v %s #%d %x", d.Time, d.Port, d.Frame.ID, d.Data))
			}
		}
		var cut *pcap.TruncatedError
		if n == 540 && last == nil {
			continue // the cut is between two blocks
		}
		if !errors.As(last, &cut) || cut.Size != int64(n) {
			t.Errorf("cut at %d: got %v", n, last)
		}
		same(t, fmt.Sprintf("cut at %d", n), got, all[:len(got)])
		var b bytes.Buffer
		if err := pcap.ViewFull(&b, read(t, wire[:n])); !errors.As(err, &cut) {
			t.Errorf("view cut at %d: got %v", n, err)
		}
		packets(t, read(t, b.Bytes())) // and the view is whole
	}
}

// A port that is closed while two frames arrive at one instant gets the first of
// them only; which one, the wire recording's counters tell.
func TestAPortClosedAtTheInstantOfAnArrival(t *testing.T) {
	l := newLAN(t, true)
	var b *vswitch.Port
	_, err := l.sw.Connect(vswitch.PortConfig{Name: "a"}, vswitch.EndpointFunc(func([]byte) { _ = b.Close() }))
	ok(t, err)
	b = l.connect(t, vswitch.PortConfig{Name: "b"})
	c := l.connect(t, vswitch.PortConfig{Name: "c"})
	l.at(time.Millisecond, func() {
		for range 2 {
			ok(t, c.Send(ether(vswitch.Broadcast, c.MAC(), 60)))
		}
	})
	l.run(t)
	want := arrivals(t, l.full.Bytes())
	if len(want) != 2 {
		t.Fatalf("%d arrivals, want 2, both at a: the world closes ports in another order", len(want))
	}
	same(t, "deliveries", deliveries(t, read(t, l.wire.Bytes())), want)
}

// Where a switch lets fewer copies arrive than rules made, the recording says so.
func TestFewerArrivalsThanCopies(t *testing.T) {
	a, b, e := event(t, 60)
	rule := a.Switch().AddRule("", vswitch.RuleFunc(func(*vswitch.Frame, *vswitch.Port) vswitch.Verdict { return vswitch.Verdict{} }))
	e.Hits = []vswitch.Hit{{Rule: rule, Verdict: vswitch.Verdict{Copies: 2, Gap: time.Millisecond}}}
	first := e.Receivers[0].Arrivals[0]
	e.Receivers[0].Arrivals = []time.Time{first.Add(time.Second), first.Add(time.Second + 3*time.Millisecond)}
	var out bytes.Buffer
	r, err := pcap.NewRecorder(&out, testMeta)
	ok(t, err)
	for _, p := range []*vswitch.Port{a, b} {
		ok(t, r.Record(&vswitch.Connected{Time: e.At, Port: p}))
	}
	ok(t, r.Record(e))
	ok(t, r.Close())
	rd := read(t, out.Bytes())
	p, err := rd.Next()
	ok(t, err)
	if got, want := strings.Join(p.Comments, "; "), "vnr.fault=dup rule=1 copies=2 gap=1ms; vnr.queued=1s,1.002s at=b"; got != want {
		t.Errorf("comments:\n got %s\nwant %s", got, want)
	}
	same(t, "deliveries", deliveries(t, read(t, out.Bytes())), []string{
		fmt.Sprintf("%v b #1 %x", e.Receivers[0].Arrivals[0], e.Data),
		fmt.Sprintf("%v b #1 %x", e.Receivers[0].Arrivals[1], e.Data),
	})
}
