package pcap_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// longMeta is a description of about n bytes: many rules, the last one very
// long, and a scenario.
func longMeta(n int) pcap.Meta {
	m := testMeta
	m.Clock, m.View = "virtual", "wire"
	for i := range n / 80 {
		m.Rules = append(m.Rules, fmt.Sprintf("r%05d: delay 1ms nth %d from a", i, i+1))
	}
	m.Rules = append(m.Rules, "drop nth "+strings.Repeat("123456,", n/14)+"1 from a")
	m.Scenario = "seed: 7\nhosts:\n  a: {ip: [10.0.0.1/24]}\n"
	return m
}

// metaDiff says in little text where two descriptions differ, or "".
func metaDiff(want, got pcap.Meta) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	brief := func(s string) string { return fmt.Sprintf("%d bytes %.60q", len(s), s) }
	for i := range max(len(want.Rules), len(got.Rules)) {
		if i >= len(want.Rules) || i >= len(got.Rules) {
			return fmt.Sprintf("%d rules, want %d", len(got.Rules), len(want.Rules))
		}
		if want.Rules[i] != got.Rules[i] {
			return fmt.Sprintf("rule %d: %s, want %s", i+1, brief(got.Rules[i]), brief(want.Rules[i]))
		}
	}
	text := func(m pcap.Meta) string {
		return fmt.Sprintf("version %s, %d, view %s, scenario %s", brief(m.Version), m.Seed, brief(m.View), brief(m.Scenario))
	}
	return text(got) + ", want " + text(want)
}

// marshal returns the comments of m, each of which a section header may hold.
func marshal(t tb, m pcap.Meta) []string {
	t.Helper()
	comments, err := m.Marshal()
	ok(t, err)
	for i, c := range comments {
		if len(c) > 65534 || !utf8.ValidString(c) {
			t.Fatalf("comment %d of %d has %d bytes, UTF-8: %v", i+1, len(comments), len(c), utf8.ValidString(c))
		}
	}
	return comments
}

func TestLongMetaRoundTrip(t *testing.T) {
	long := rapid.Custom(func(t *rapid.T) string {
		unit := rapid.OneOf(anyText(), rapid.SampledFrom([]string{"é", "日本", "𝄞x", "line\n", "vnreplay.recording=1\nvnreplay.part=2 of=2 bytes=1\n"})).Draw(t, "unit")
		return strings.Repeat(unit, min(36_000, rapid.SampledFrom([]int{1, 1000, 4096}).Draw(t, "times")*8)/max(8, len(unit)))
	})
	several := 0
	rapid.Check(t, func(t *rapid.T) {
		want := pcap.Meta{
			Version: long.Draw(t, "version"), Seed: rapid.Uint64().Draw(t, "seed"), View: anyText().Draw(t, "view"),
			Rules: rapid.SliceOfN(long, 1, 4).Draw(t, "rules"), Scenario: long.Draw(t, "scenario"),
		}
		comments := marshal(t, want)
		if len(comments) > 1 {
			several++
		}
		parse := func(what string, comments []string) {
			t.Helper()
			got, err := pcap.ParseMeta(comments...)
			if d := metaDiff(want, got); err != nil || d != "" {
				t.Fatalf("%s, %d comments: %v, %s", what, len(comments), err, d)
			}
		}
		parse("as written", comments)
		// As mergecap, editcap and a person may leave it.
		others := []string{"a remark", "", "seed=1", "vnreplay.part=", "vnreplay.part=2 of=9999 bytes=0\n", "vnreplay.recording=2\n"}
		var among []string
		for _, c := range comments {
			among = append(among, others[rapid.IntRange(0, len(others)-1).Draw(t, "other")], c)
		}
		among[1] += " \nFile created by merging: \nFile1: seed=9.pcapng \n"
		among[len(among)-1] = "a note\n" + among[len(among)-1]
		parse("among others", append(among, others...))
	})
	if several == 0 {
		t.Error("no description took more than one comment")
	}
}

// Text is divided where a line ends, if one does.
func TestPartsEndWithLines(t *testing.T) {
	m := longMeta(0)
	for i := range 5000 {
		m.Rules = append(m.Rules, fmt.Sprintf("r%05d: delay 1ms nth %d from a", i, i+1))
	}
	comments := marshal(t, m)
	if len(comments) < 4 {
		t.Fatalf("%d comments", len(comments))
	}
	for i, c := range comments {
		if !strings.HasSuffix(c, "\n") {
			t.Errorf("comment %d ends with %q", i+1, c[len(c)-20:])
		}
	}
	// Room for what mergecap appends.
	if n := len(comments[0]); n > 5000 {
		t.Errorf("the first comment has %d bytes", n)
	}
}

func TestLongMetaErrors(t *testing.T) {
	c := marshal(t, longMeta(230_000))
	if len(c) != 6 {
		t.Fatalf("%d comments", len(c))
	}
	cut := slices.Clone(c)
	cut[2] = cut[2][:len(cut[2])-1]
	swapped := slices.Clone(c)
	swapped[3], swapped[4] = swapped[4], swapped[3]
	huge := []string{strings.Replace(c[0], " of=6 ", " of=200 ", 1)}
	for i := 2; i <= 200; i++ {
		huge = append(huge, fmt.Sprintf("vnreplay.part=%d of=200 bytes=60000\n%s", i, strings.Repeat("x", 60_000)))
	}
	const head = "vnreplay.recording=1\n"
	for name, test := range map[string]struct {
		comments []string
		want     string
	}{
		"the first alone":  {c[:1], "part 2 of 6 is missing"},
		"the last is gone": {c[:5], "part 6 of 6 is missing"},
		"one is gone":      {slices.Delete(slices.Clone(c), 3, 4), "part 4 of 6 is missing"},
		"two swapped":      {swapped, "part 5 of 6 is missing"},
		"no first":         {c[1:], "no run described"},
		"a part is cut":    {cut, "part 3 of 6: "},
		"too much":         {huge, "too long"},
		"begins later":     {[]string{head + "vnreplay.part=2 of=3 bytes=0\n"}, "not with part 1"},
		"no numbers":       {[]string{head + "vnreplay.part=1 of=x bytes=0\n"}, "not with part 1"},
		"no seed":          {[]string{head + "vnreplay.part=1 of=2 bytes=0\n", "vnreplay.part=2 of=2 bytes=0\n"}, "no seed"},
	} {
		if _, err := pcap.ParseMeta(test.comments...); err == nil || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 200 {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	// A whole one that follows counts.
	want := longMeta(100_000)
	got, err := pcap.ParseMeta(append(slices.Clone(c[:4]), marshal(t, want)...)...)
	ok(t, err)
	if d := metaDiff(want, got); d != "" {
		t.Error(d)
	}
}

// Many beginnings take no more time than as many comments.
func TestManyBeginnings(t *testing.T) {
	comments := slices.Repeat([]string{"vnreplay.recording=1\nvnreplay.part=1 of=2 bytes=0\n"}, 300_000)
	began := time.Now()
	if _, err := pcap.ParseMeta(comments...); err == nil {
		t.Error("no error")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// longRun is a recording of two frames whose description has about n bytes.
func longRun(t *testing.T, n int) ([]byte, pcap.Meta) {
	t.Helper()
	m := longMeta(n)
	var b bytes.Buffer
	rec, err := pcap.NewRecorder(&b, m)
	ok(t, err)
	from, to, e := event(t, 60)
	for _, p := range []*vswitch.Port{from, to} {
		ok(t, rec.Record(&vswitch.Connected{Time: vswitch.DefaultStart, Port: p}))
	}
	ok(t, rec.Record(e))
	e.Seq = 2
	ok(t, rec.Record(e))
	ok(t, rec.Close())
	return b.Bytes(), m
}

func TestRecordingWithALongMeta(t *testing.T) {
	for _, n := range []int{1000, 70_000, 900_000} {
		b, want := longRun(t, n)
		r := read(t, b)
		got, isRecording := r.Meta()
		if d := metaDiff(want, got); d != "" || !isRecording {
			t.Fatalf("%d bytes: %v %.1000s", n, r.MetaError(), d)
		}
		if c := r.Sections()[0].Comments; (len(c) > 1) != (n > 65534) {
			t.Errorf("%d bytes in %d comments", n, len(c))
		}
		// Views say the rules where that costs little.
		v, isRecording := read(t, viewAt(t, b, "a")).Meta()
		if short := len(v.Rules) == 0 && v.Scenario == ""; short != (n > 65534) || !isRecording || v.Seed != want.Seed || v.View != "at a" {
			t.Errorf("%d bytes: the view has %d rules, %+.200v", n, len(v.Rules), v)
		}
		if len(packets(t, read(t, b))) != 2 {
			t.Errorf("%d bytes: not two frames", n)
		}
		// What recordings say of their runs is compared to the end.
		other := bytes.Replace(b, []byte("ip: [10.0.0.1/24]"), []byte("ip: [10.0.0.9/24]"), 1)
		c, err := pcap.Compare(read(t, b), read(t, other))
		ok(t, err)
		if !c.Equal() || !strings.HasPrefix(c.Run, "scenario, line 3: ") {
			t.Errorf("%d bytes: compared with another scenario: %+v", n, c)
		}
	}
}

// Standard tools open a recording with a header of almost 1 MB, and those that
// save it leave the description whole.
func TestToolsAndALongMeta(t *testing.T) {
	for _, n := range []int{70_000, 900_000} {
		b, want := longRun(t, n)
		path := file(t, "run.pcapng", b)
		if info := clean(t, "capinfos", path); !strings.Contains(info, "Number of packets:   2") ||
			strings.Count(info, "vnreplay.part=") != len(read(t, b).Sections()[0].Comments) {
			t.Errorf("%d bytes: capinfos says %.1000s", n, info)
		}
		if rows := columns(t, path, "frame.number", "frame.packet_id"); len(rows) != 2 {
			t.Errorf("%d bytes: tshark sees %v", n, rows)
		}
		view := filepath.Join(filepath.Dir(path), "view")
		ok(t, os.WriteFile(view, viewAt(t, b, "a"), 0o600))
		clean(t, "tcpdump", "-n", "-r", view)
		clean(t, "tcpdump", "-n", "-r", path)
		all := resaved(t, b)
		short := file(t, "short.pcapng", everyClause(t).wire.Bytes())
		all["mergecap with another"] = filepath.Join(filepath.Dir(short), strings.Repeat("long", 60))
		clean(t, "mergecap", append([]string{"-w", all["mergecap with another"], path}, slices.Repeat([]string{short}, 100)...)...)
		for by, path := range all {
			r, err := pcap.Open(path)
			ok(t, err)
			got, _ := r.Meta()
			if d := metaDiff(want, got); d != "" {
				t.Errorf("%d bytes, %s: %v %.1000s", n, by, r.MetaError(), d)
			}
			ok(t, r.Close())
		}
	}
}
