package pcap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

func rotation(t tb, dir string, cfg pcap.RotationConfig) *pcap.Rotation {
	t.Helper()
	if cfg.Start.IsZero() {
		cfg.Start = vswitch.DefaultStart
	}
	rot, err := pcap.NewRotation(filepath.Join(dir, "run.pcapng"), cfg)
	ok(t, err)
	return rot
}

// rotated records the events into files and returns what these hold.
func (l *eventLog) rotated(t tb, dir string, cfg pcap.RotationConfig) (*pcap.Rotation, [][]byte) {
	t.Helper()
	rot := rotation(t, dir, cfg)
	r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{rot}})
	l.tell(t, r)
	ok(t, r.Close())
	var files [][]byte
	for _, f := range rot.Files() {
		if f.Removed {
			continue
		}
		b, err := os.ReadFile(f.Path)
		ok(t, err)
		if int64(len(b)) != f.Size || uint64(len(packets(t, read(t, b)))) != f.Frames {
			t.Fatalf("%+v has %d bytes", f, len(b))
		}
		files = append(files, b)
	}
	return rot, files
}

// sends are the frames of a capture as text, but for what is different in another file.
func sends(t tb, b []byte) []string {
	t.Helper()
	r := read(t, b)
	var out []string
	for p, err := range r.Packets() {
		ok(t, err)
		ifc := r.Interface(p.Interface)
		out = append(out, fmt.Sprintf("%v %s %+v %v #%d %x %q", p.Time, ifc.Name, ifc.Port, p.Direction, p.ID, p.Data, p.Comments))
	}
	return out
}

// All files together are the recording in one file, and each is a whole recording.
func TestRotatedFilesTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := randomLAN(t).log
		whole := log.recorded(t, realMeta())
		dir, err := os.MkdirTemp("", "rotate")
		ok(t, err)
		defer os.RemoveAll(dir)
		cfg := pcap.RotationConfig{Size: int64(rapid.IntRange(1, 6000).Draw(t, "size"))}
		if rapid.Bool().Draw(t, "by time") {
			cfg = pcap.RotationConfig{Every: time.Duration(rapid.IntRange(1, 3000).Draw(t, "every")) * time.Microsecond}
		}
		_, files := log.rotated(t, dir, cfg)
		var frames []string
		held := false
		for i, b := range files {
			r := read(t, b)
			packets(t, r)
			meta, isRecording := r.Meta()
			if !isRecording || meta.File != i+1 || meta.After != uint64(len(frames)) || meta.Clock != "real" {
				t.Fatalf("file %d: %+v (%v)", i+1, meta, r.MetaError())
			}
			for _, ifc := range r.Interfaces() {
				if ifc.Stats == nil || !ifc.Stats.IsPort {
					t.Fatalf("file %d: no statistics of %s", i+1, ifc.Name)
				}
			}
			frames = append(frames, sends(t, b)...)
			held = held || bytes.Contains(b, []byte("vnr.fault=reorder"))
			books, err := pcap.Balance(read(t, b), nil)
			ok(t, err)
			ok(t, books.Check())
			viewFull(t, b)
		}
		same(t, "frames", frames, sends(t, whole))
		if held {
			return // may be passed by frames of another file
		}
		// Deliveries: all there are, and those that a closing port cut off in a later
		// file.
		var got []string
		for _, b := range files {
			got = append(got, deliveries(t, read(t, b))...)
		}
		slices.Sort(got)
		for _, d := range deliveries(t, read(t, whole)) {
			if _, found := slices.BinarySearch(got, d); !found {
				t.Fatalf("no file has the delivery %s", d)
			}
		}
	})
}

func TestRotationBySizeKeepsTheNewest(t *testing.T) {
	log := traffic(t, 100, 1000) // 1058 bytes each
	dir := t.TempDir()
	rot, files := log.rotated(t, dir, pcap.RotationConfig{Size: 25_000, Keep: 3})
	if len(files) != 3 {
		t.Fatalf("%d files left of %+v", len(files), rot.Files())
	}
	var names []string
	for _, f := range rot.Files() {
		names = append(names, filepath.Base(f.Path))
		if _, err := os.Stat(f.Path); errors.Is(err, fs.ErrNotExist) != f.Removed {
			t.Errorf("%+v: %v", f, err)
		}
		if f.Frames > 24 || f.Number < 5 && f.Frames < 23 {
			t.Errorf("%+v", f)
		}
	}
	want := []string{"run_00001_20260101000000.pcapng", "run_00002_20260101000000.pcapng", "run_00003_20260101000000.pcapng",
		"run_00004_20260101000000.pcapng", "run_00005_20260101000000.pcapng"}
	if !reflect.DeepEqual(names, want) {
		t.Errorf("names %q", names)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("%v in the directory (%v)", left, err)
	}
}

func TestRotationByTime(t *testing.T) {
	log := traffic(t, 10_000, 60) // ten seconds
	rot, files := log.rotated(t, t.TempDir(), pcap.RotationConfig{Every: 4 * time.Second})
	var got []string
	for i, f := range rot.Files() {
		all := packets(t, read(t, files[i]))
		got = append(got, fmt.Sprint(filepath.Base(f.Path), " ", all[0].Time.Sub(vswitch.DefaultStart), " ", len(all)))
	}
	want := []string{"run_00001_20260101000000.pcapng 1ms 3999", "run_00002_20260101000004.pcapng 4s 4000", "run_00003_20260101000008.pcapng 8s 2001"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

// spoken is a rule that can tell its text.
type spoken struct{ vswitch.RuleFunc }

func (spoken) String() string { return "new: drop 5%" }

// Each file says what held when it began.
func TestAFileSaysWhatHeldBeforeIt(t *testing.T) {
	l := newLAN(t, true)
	a := l.connect(t, vswitch.PortConfig{Name: "a"})
	b := l.connect(t, vswitch.PortConfig{Name: "b"})
	c := l.connect(t, vswitch.PortConfig{Name: "c"})
	ms := time.Millisecond
	send := func(at time.Duration) { l.at(at, func() { ok(t, a.Send(ether(vswitch.Broadcast, a.MAC(), 60))) }) }
	rule := l.sw.AddRule("loss", script(nil))
	send(1 * ms)
	l.at(2*ms, func() { rule.SetOn(false); c.SetUp(false) })
	l.at(2*ms, func() { l.sw.AddRule("new", spoken{script(nil)}) })
	send(10 * ms) // begins file 2, and tells of the changes
	l.at(15*ms, func() { ok(t, b.Close()) })
	send(20 * ms) // begins file 3
	l.at(21*ms, func() { l.connect(t, vswitch.PortConfig{Name: "d"}); rule.Remove() })
	send(22 * ms)
	send(30 * ms) // begins file 4
	l.run(t)
	_, files := l.log.rotated(t, t.TempDir(), pcap.RotationConfig{Every: 8 * ms})
	var got strings.Builder
	for _, b := range files {
		got.WriteString(dump(t, b))
	}
	golden(t, "rotation.golden", got.String())
	for i, b := range files {
		path := file(t, fmt.Sprintf("%d.pcapng", i), b)
		if out := clean(t, "capinfos", "-c", path); !strings.Contains(out, "Number of packets:   ") {
			t.Errorf("capinfos: %s", out)
		}
		clean(t, "tshark", "-r", path)
		clean(t, "tcpdump", "-n", "-r", path)
	}
}

func TestRotationsThatCannotBe(t *testing.T) {
	for want, f := range map[string]func() (*pcap.Rotation, error){
		"only files can be rotated": func() (*pcap.Rotation, error) { return pcap.NewRotation("-", pcap.RotationConfig{Size: 1}) },
		"neither a size nor a time": func() (*pcap.Rotation, error) { return pcap.NewRotation("x.pcapng", pcap.RotationConfig{Keep: 3}) },
		"below 0":                   func() (*pcap.Rotation, error) { return pcap.NewRotation("x.pcapng", pcap.RotationConfig{Size: -1}) },
	} {
		if _, err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	rot := rotation(t, filepath.Join(t.TempDir(), "none"), pcap.RotationConfig{Size: 1})
	if _, err := pcap.NewLiveRecorder(pcap.LiveConfig{Outputs: []pcap.Output{rot}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
