package pcap_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// What the standard tools see in our files, and what they leave of them.

// columns are fields of every frame, as tshark prints them, by frame.
func columns(t *testing.T, path string, fields ...string) [][]string {
	t.Helper()
	args := []string{"-r", path, "-T", "fields", "-E", "separator=|"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	var rows [][]string
	for line := range strings.Lines(clean(t, "tshark", args...)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "|"))
	}
	return rows
}

func TestWiresharkOpensEveryFile(t *testing.T) {
	l := everyClause(t)
	dir := t.TempDir()
	paths, err := pcap.Split(dir, read(t, l.wire.Bytes()))
	ok(t, err)
	if len(paths) != 5 {
		t.Fatalf("split into %v", paths)
	}
	for name, b := range map[string][]byte{
		"wire.pcapng": l.wire.Bytes(), "full.pcapng": l.full.Bytes(),
		"view-at.pcapng": viewAt(t, l.wire.Bytes(), "b"), "view-full.pcapng": viewFull(t, l.wire.Bytes()),
	} {
		path := filepath.Join(dir, name)
		ok(t, os.WriteFile(path, b, 0o600))
		paths = append(paths, path)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			r, err := pcap.Open(path)
			ok(t, err)
			defer r.Close()
			all := packets(t, r)

			info := clean(t, "capinfos", path)
			for _, want := range []string{
				"Number of packets:   " + strconv.Itoa(len(all)),
				"Strict time order:   True",
				"File timestamp precision:  nanoseconds (9)",
				"Capture application: vnreplay",
			} {
				if !strings.Contains(info, want) {
					t.Errorf("capinfos does not say %q:\n%s", want, info)
				}
			}
			if strings.Contains(info, "oper-sys") || strings.Contains(info, "hardware") {
				t.Errorf("the machine is in the file:\n%s", info)
			}
			clean(t, "tcpdump", "-n", "-r", path)
			if len(all) == 0 {
				return
			}
			rows := columns(t, path, "frame.number", "frame.time_epoch", "frame.interface_name", "frame.interface_id",
				"frame.packet_flags_direction", "frame.packet_id", "frame.cap_len", "frame.comment")
			for i, p := range all {
				want := fmt.Sprintf("%d|%s|%s|%d|0x%08x|%d|%d|%s", p.Number, epoch(p.Time), r.Interfaces()[p.Interface].Name, p.Interface,
					int(p.Direction), p.ID, len(p.Data), strings.Join(p.Comments, ","))
				if got := strings.Join(rows[i], "|"); got != want {
					t.Errorf("tshark: %s\n    we: %s", got, want)
				}
			}
		})
	}
}

// epoch is a time as tshark prints frame.time_epoch; none is "".
func epoch(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}

func TestFaultsAreFoundWithWiresharksFilter(t *testing.T) {
	path := file(t, "run.pcapng", everyClause(t).wire.Bytes())
	for word, want := range map[string]int{"drop": 2, "dup": 1, "corrupt": 1, "delay": 1} {
		out := clean(t, "tshark", "-r", path, "-Y", `frame.comment contains "vnr.fault=`+word+`"`)
		if got := strings.Count(out, "\n"); got != want {
			t.Errorf("%s: %d frames, want %d\n%s", word, got, want, out)
		}
	}
}

// resaved is what other programs make of a recording.
func resaved(t *testing.T, b []byte) map[string]string {
	t.Helper()
	path := file(t, "run.pcapng", b)
	dir := filepath.Dir(path)
	edited, merged, twice := filepath.Join(dir, "edited"), filepath.Join(dir, "merged"), filepath.Join(dir, "twice")
	clean(t, "editcap", path, edited)
	clean(t, "mergecap", "-w", merged, path)
	clean(t, "editcap", "-a", "2:a person's remark", merged, twice)
	return map[string]string{"editcap": edited, "mergecap": merged, "mergecap and editcap": twice}
}

func TestOtherProgramsMaySaveARecording(t *testing.T) {
	l := everyClause(t)
	want := deliveries(t, read(t, l.wire.Bytes()))
	for by, path := range resaved(t, l.wire.Bytes()) {
		r, err := pcap.Open(path)
		ok(t, err)
		if m, isRecording := r.Meta(); !isRecording || m.Rules[0] != testMeta.Rules[0] || m.Seed != 7 {
			t.Errorf("%s: run described as %+v (%v)", by, m, r.MetaError())
		}
		same(t, by, deliveries(t, r), want)
		ok(t, r.Close())

		r, err = pcap.Open(path)
		ok(t, err)
		c, err := pcap.Compare(r, read(t, l.wire.Bytes()))
		ok(t, err)
		if !c.Equal() || c.Frames != 17 {
			t.Errorf("%s: %d frames equal, then %v", by, c.Frames, c.Difference)
		}
		ok(t, r.Close())
	}
}

// A port that leaves and one that comes with its name and address are told apart
// even where statistics are gone.
func TestAPortThatComesBackInASavedRecording(t *testing.T) {
	l := newLAN(t, false)
	a := l.connect(t, vswitch.PortConfig{Name: "a"})
	cfg := vswitch.PortConfig{Name: "b", MAC: vswitch.MAC{2, 1}}
	b := l.connect(t, cfg)
	l.at(1*time.Millisecond, func() { ok(t, b.Send(ether(vswitch.Broadcast, b.MAC(), 60))) })
	l.at(2*time.Millisecond, func() { ok(t, a.Send(ether(b.MAC(), a.MAC(), 60))) })
	l.at(3*time.Millisecond, func() { ok(t, b.Close()) })
	l.at(4*time.Millisecond, func() { cfg.Latency = time.Second; l.connect(t, cfg) })
	l.at(5*time.Millisecond, func() { ok(t, a.Send(ether(b.MAC(), a.MAC(), 60))) })
	l.run(t)
	want := deliveries(t, read(t, l.wire.Bytes()))
	if len(want) != 3 || !strings.HasPrefix(want[2], "2026-01-01 00:00:01.005025") {
		t.Fatalf("deliveries are %v", want)
	}
	same(t, "full", arrivals(t, l.full.Bytes()), want)
	for by, path := range resaved(t, l.wire.Bytes()) {
		r, err := pcap.Open(path)
		ok(t, err)
		same(t, by, deliveries(t, r), want)
		ok(t, r.Close())
	}
}
