package pcap_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

func TestEveryClauseIsRecorded(t *testing.T) {
	l := everyClause(t)
	golden(t, "recording.golden", dump(t, l.wire.Bytes()))
	golden(t, "recording-full.golden", dump(t, l.full.Bytes()))
}

// event is a made-up frame from port a to port b that nobody touched.
func event(t tb, n int) (*vswitch.Port, *vswitch.Port, *vswitch.Sent) {
	t.Helper()
	w := vswitch.NewWorld(vswitch.Config{})
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	ok(t, err)
	nobody := vswitch.EndpointFunc(func([]byte) {})
	a, err := sw.Connect(vswitch.PortConfig{Name: "a"}, nobody)
	ok(t, err)
	b, err := sw.Connect(vswitch.PortConfig{Name: "b"}, nobody)
	ok(t, err)
	e := &vswitch.Sent{
		Frame:  &vswitch.Frame{Data: ether(b.MAC(), a.MAC(), n), Seq: 1, At: w.Start(), From: a},
		Simple: true,
		Receivers: []vswitch.Receiver{{
			Port: b, Arrivals: []time.Time{w.Start().Add(a.Latency() + b.Latency())},
		}},
	}
	return a, b, e
}

// recorder is a recorder that knows ports a and b of event.
func recorder(t tb, w io.Writer, ports ...*vswitch.Port) *pcap.Recorder {
	t.Helper()
	r, err := pcap.NewFullRecorder(w, testMeta)
	ok(t, err)
	for _, p := range ports {
		ok(t, r.Record(&vswitch.Connected{Time: vswitch.DefaultStart, Port: p}))
	}
	return r
}

func TestUntouchedFramesCostNoAllocation(t *testing.T) {
	a, b, e := event(t, 1514)
	r := recorder(t, io.Discard, a, b)
	d := &vswitch.Delivered{Time: e.Receivers[0].Arrivals[0], Port: b, Seq: 1, Data: e.Data}
	if n := testing.AllocsPerRun(1000, func() { _ = r.Record(e); _ = r.Record(d) }); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
	ok(t, r.Close())
}

// Nor do those that something was done to.
func TestCommentsCostNoAllocation(t *testing.T) {
	a, b, e := event(t, 1514)
	r := recorder(t, io.Discard, a, b)
	rule := a.Switch().AddRule("loss", script(nil))
	for _, v := range []vswitch.Verdict{
		{}, {Drop: true, Reason: "why"}, {Copies: 2, Gap: time.Millisecond}, {Delay: 40 * time.Millisecond}, {Behind: 3, Within: time.Second},
		{Truncate: 60}, {Pad: 3}, {Edits: []vswitch.Edit{{Offset: 20, Old: []byte{1, 2}, New: []byte{3, 4}}}},
	} {
		for _, simple := range []bool{true, false} {
			e.Simple = simple
			e.Hits = []vswitch.Hit{{Rule: rule, Verdict: v}, {Rule: rule, To: b, Verdict: v}}
			// It arrives late, too.
			if n := testing.AllocsPerRun(1000, func() { _ = r.Record(e) }); n != 0 {
				t.Errorf("%v allocations per frame with %+v", n, v)
			}
		}
	}
	ok(t, r.Close())
}

// full is a disk with room for n bytes.
type full struct{ n int }

func (f *full) Write(p []byte) (int, error) {
	n := min(f.n, len(p))
	f.n -= n
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func TestTheFirstWriteErrorSticks(t *testing.T) {
	a, b, e := event(t, 1514)
	r := recorder(t, &full{n: 300_000}, a, b)
	var first error
	for range 1000 {
		if first = r.Record(e); first != nil {
			break
		}
	}
	var we *pcap.WriteError
	if !errors.As(first, &we) || !errors.Is(first, syscall.ENOSPC) || we.Offset != 300_000 {
		t.Fatalf("got %v", first)
	}
	for what, err := range map[string]error{"the next record": r.Record(e), "Flush": r.Flush(), "Close": r.Close(), "a second Close": r.Close()} {
		if err != first {
			t.Errorf("%s returns %v, want %v", what, err, first)
		}
	}
}

func TestAnUnknownPortIsAnError(t *testing.T) {
	a, _, e := event(t, 60)
	r := recorder(t, io.Discard)
	if err := r.Record(e); err == nil || !strings.Contains(err.Error(), "port "+a.Name()) {
		t.Errorf("got %v", err)
	}
}

func TestARecordingWithoutPortsIsACapture(t *testing.T) {
	var b bytes.Buffer
	r := recorder(t, &b)
	ok(t, r.Close())
	rd := read(t, b.Bytes())
	if _, err := rd.Next(); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
	if m, ok := rd.Meta(); !ok || m.Seed != testMeta.Seed {
		t.Errorf("got %+v, %v", m, rd.MetaError())
	}
	if out := clean(t, "capinfos", "-c", file(t, "none.pcapng", b.Bytes())); !strings.Contains(out, "Number of packets:   0") {
		t.Errorf("capinfos: %s", out)
	}
}

func TestTwoRunsAreTheSameBytes(t *testing.T) {
	one, two := everyClause(t), everyClause(t)
	if !bytes.Equal(one.wire.Bytes(), two.wire.Bytes()) || !bytes.Equal(one.full.Bytes(), two.full.Bytes()) {
		t.Error("two runs of one world differ")
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestAFileHasItsNameWhenItIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.pcapng")
	ok(t, os.WriteFile(path, []byte("what was there"), 0o600))
	a, b, e := event(t, 60)
	r, err := pcap.Create(path, testMeta)
	ok(t, err)
	if r.Written() != path+".partial" {
		t.Errorf("it is written as %s", r.Written())
	}
	ok(t, r.Record(&vswitch.Connected{Port: a}))
	ok(t, r.Record(&vswitch.Connected{Port: b}))
	ok(t, r.Record(e))
	if old, _ := os.ReadFile(path); string(old) != "what was there" {
		t.Errorf("before Close the file holds %q", old)
	}
	ok(t, r.Close())
	ok(t, r.Close())
	if exists(path + ".partial") {
		t.Error("the provisional file is still there")
	}
	if r.Written() != path {
		t.Errorf("it stands as %s", r.Written())
	}
	rd, err := pcap.Open(path)
	ok(t, err)
	if got := packets(t, rd); len(got) != 1 || got[0].ID != 1 {
		t.Errorf("got %v", got)
	}
	ok(t, rd.Close())
	if err := r.Record(e); err == nil {
		t.Error("Record after Close succeeds")
	}
}

func TestASymbolicLinkIsKept(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	ok(t, os.WriteFile(target, nil, 0o600))
	ok(t, os.Symlink(target, link))
	f, err := pcap.CreateFile(link)
	ok(t, err)
	_, err = f.Write([]byte("x"))
	ok(t, err)
	ok(t, f.Close())
	if b, _ := os.ReadFile(target); string(b) != "x" {
		t.Errorf("the target holds %q", b)
	}
}

func TestAFileThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "none", "run.pcapng"), "/dev/none/run"} {
		if _, err := pcap.Create(path, testMeta); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", path, err)
		}
	}
	if exists(dir + ".partial") {
		t.Error("something was left behind")
	}
}

func TestAGivenUpFileKeepsItsProvisionalName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.pcapng")
	f, err := pcap.CreateFile(path)
	ok(t, err)
	_, err = f.Write([]byte("half"))
	ok(t, err)
	f.Abort()
	if err := f.Close(); err == nil || !strings.Contains(err.Error(), path+".partial") {
		t.Errorf("got %v", err)
	}
	if exists(path) || !exists(path+".partial") || f.Written() != path+".partial" {
		t.Error("the file has its name, or is gone")
	}
}

// unavailable skips a test for something that the system lacks, or fails it where
// everything is required to be there.
func unavailable(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("VNREPLAY_REQUIRE_TOOLS") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func TestAFullDevice(t *testing.T) {
	if !exists("/dev/full") {
		unavailable(t, "no /dev/full here")
	}
	a, _, _ := event(t, 60)
	r, err := pcap.Create("/dev/full", testMeta)
	ok(t, err)
	ok(t, r.Record(&vswitch.Connected{Port: a}))
	err = r.Close()
	var we *pcap.WriteError
	if !errors.As(err, &we) || !errors.Is(err, syscall.ENOSPC) || we.Name != "/dev/full" || we.Offset != 0 {
		t.Errorf("got %v", err)
	}
	if exists("/dev/full.partial") {
		t.Error("a file beside the device")
	}
}

func TestAPipeIsWrittenDirectly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		unavailable(t, "no pipes here: "+err.Error())
	}
	got := make(chan []byte)
	go func() {
		b, _ := os.ReadFile(path)
		got <- b
	}()
	r, err := pcap.Create(path, testMeta)
	ok(t, err)
	ok(t, r.Close())
	if m, isRecording := read(t, <-got).Meta(); !isRecording || m.View != "wire" {
		t.Errorf("got %+v", m)
	}
	if exists(path + ".partial") {
		t.Error("a file beside the pipe")
	}
}

func TestAMetaThatDoesNotFit(t *testing.T) {
	m := testMeta
	m.Scenario = strings.Repeat("x", pcap.MaxMeta)
	path := filepath.Join(t.TempDir(), "run.pcapng")
	if _, err := pcap.Create(path, m); !errors.Is(err, pcap.ErrMetaTooLong) {
		t.Errorf("got %v", err)
	}
}
