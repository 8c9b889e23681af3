package pcap_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

func ExampleParseFate() {
	f, err := pcap.ParseFate([]string{
		"vnr.to=server,web",
		"vnr.fault=drop rule=2:loss at=web",
		"look at this one",
	})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(f.Names, f.Faults[0].Kind, f.Faults[0].Name, f.Faults[0].At)
	fmt.Println(f.Foreign)
	// Output:
	// [server web] drop loss web
	// [look at this one]
}

func drawFate(t *rapid.T) pcap.Fate {
	name := rapid.OneOf(rapid.StringMatching(`[a-z][a-z0-9_.-]{0,8}`), rapid.SampledFrom([]string{"all", "none", "a,b", "a b", "x=y", "%", "é", "\x00", "rule:1"}),
		rapid.StringN(1, 8, -1))
	some := func(g *rapid.Generator[string]) string {
		return rapid.OneOf(rapid.Just(""), g).Draw(t, "optional")
	}
	duration := rapid.Custom(func(t *rapid.T) time.Duration { return time.Duration(rapid.Int64().Draw(t, "ns")) })
	f := pcap.Fate{To: rapid.SampledFrom([]pcap.Receivers{pcap.ToOwner, pcap.ToAll, pcap.ToNone, pcap.ToNames}).Draw(t, "to")}
	if f.To == pcap.ToNames {
		f.Names = rapid.SliceOfN(name, 1, 5).Draw(t, "names")
	}
	for range rapid.IntRange(0, 4).Draw(t, "faults") {
		ft := pcap.Fault{
			Kind: rapid.SampledFrom([]pcap.FaultKind{pcap.FaultDrop, pcap.FaultDup, pcap.FaultCorrupt, pcap.FaultDelay,
				pcap.FaultTruncate, pcap.FaultPad, pcap.FaultReorder}).Draw(t, "kind"),
			Rule: rapid.IntRange(0, 1<<30).Draw(t, "rule"), Name: some(name), At: some(name), Reason: some(name),
		}
		switch ft.Kind {
		case pcap.FaultDup:
			ft.Copies, ft.Gap = rapid.IntRange(0, 65535).Draw(t, "copies"), duration.Draw(t, "gap")
		case pcap.FaultTruncate:
			ft.Size = rapid.IntRange(14, 65553).Draw(t, "size")
		case pcap.FaultPad:
			ft.Size = rapid.IntRange(1, 65535).Draw(t, "size")
		case pcap.FaultReorder:
			ft.Behind = rapid.IntRange(1, vswitch.MaxBehind).Draw(t, "behind")
			ft.Within = time.Duration(rapid.Int64Range(1, 1<<62).Draw(t, "within"))
		case pcap.FaultDelay:
			ft.By = duration.Draw(t, "by")
		case pcap.FaultCorrupt:
			for range rapid.IntRange(1, 3).Draw(t, "edits") {
				old := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "old")
				ft.Edits = append(ft.Edits, vswitch.Edit{
					Offset: rapid.IntRange(0, 1<<30).Draw(t, "offset"), Old: old,
					New: rapid.SliceOfN(rapid.Byte(), len(old), len(old)).Draw(t, "new"),
				})
			}
		}
		f.Faults = append(f.Faults, ft)
	}
	for range rapid.IntRange(0, 2).Draw(t, "lost") {
		f.Lost = append(f.Lost, pcap.Lost{
			Cause: rapid.SampledFrom([]vswitch.Loss{vswitch.LostQueue, vswitch.LostDown, vswitch.LostMTU, vswitch.LostReserved}).Draw(t, "cause"),
			At:    some(name),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "queued") {
		f.Queued = append(f.Queued, pcap.Queued{By: rapid.SliceOfN(duration, 1, 4).Draw(t, "late"), At: some(name)})
	}
	for range rapid.IntRange(0, 2).Draw(t, "changes") {
		c := pcap.Change{What: rapid.SampledFrom([]vswitch.Change{vswitch.RuleAdded, vswitch.RuleRemoved, vswitch.RuleOn,
			vswitch.RuleOff, vswitch.CableUp, vswitch.CableDown}).Draw(t, "what"),
			Time: time.Unix(0, rapid.Int64Range(-1<<60, 1<<62).Draw(t, "time")).UTC()}
		if c.What == vswitch.CableUp || c.What == vswitch.CableDown {
			c.Port = name.Draw(t, "port")
		} else {
			c.Rule, c.Name = rapid.IntRange(0, 1<<30).Draw(t, "rule"), some(name)
			if c.What == vswitch.RuleAdded {
				c.Text = anyText().Draw(t, "text")
			}
		}
		f.Changes = append(f.Changes, c)
	}
	f.Foreign = rapid.SliceOfN(rapid.StringMatching(`[^v].*`), 0, 2).Draw(t, "foreign")
	if len(f.Foreign) == 0 {
		f.Foreign = nil
	}
	return f
}

func TestFateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFate(t)
		comments := f.Comments()
		for _, c := range comments[:len(comments)-len(f.Foreign)] {
			if len(c) >= 65535 {
				t.Fatalf("a comment of %d bytes", len(c))
			}
			for i := range len(c) {
				if c[i] < ' ' || c[i] > '~' {
					t.Fatalf("byte %#x in %q", c[i], c)
				}
			}
		}
		got, err := pcap.ParseFate(comments)
		ok(t, err)
		if d := cmp.Diff(f, got); d != "" {
			t.Fatalf("%s\nof %q", d, comments)
		}
	})
}

func TestLongListsTakeSeveralComments(t *testing.T) {
	var f pcap.Fate
	f.To = pcap.ToNames
	for i := range 20000 {
		f.Names = append(f.Names, fmt.Sprintf("host%d", i))
	}
	old, now := make([]byte, 65549), make([]byte, 65549)
	for i := range old {
		old[i], now[i] = byte(i), byte(i>>8)
	}
	f.Faults = []pcap.Fault{{Kind: pcap.FaultCorrupt, Rule: 1, At: "host1", Edits: []vswitch.Edit{{Offset: 0, Old: old, New: now}}}}
	comments := f.Comments()
	for _, c := range comments {
		if len(c) >= 65535 {
			t.Fatalf("a comment of %d bytes", len(c))
		}
	}
	got, err := pcap.ParseFate(comments)
	ok(t, err)
	if d := cmp.Diff(f.Names, got.Names); d != "" {
		t.Error(d)
	}
	var gotOld, gotNow []byte
	for _, ft := range got.Faults {
		for _, e := range ft.Edits {
			if e.Offset != len(gotOld) || ft.At != "host1" {
				t.Fatalf("an edit at %d, %d bytes in", e.Offset, len(gotOld))
			}
			gotOld, gotNow = append(gotOld, e.Old...), append(gotNow, e.New...)
		}
	}
	if string(gotOld) != string(old) || string(gotNow) != string(now) {
		t.Error("other bytes came back")
	}
}

func TestFateErrors(t *testing.T) {
	for _, c := range []struct{ comment, want string }{
		{"vnr.new=1", "unknown clause; written by a newer version?"},
		{"vnr.", "unknown clause"},
		{"vnr.to=", `"" is no name`},
		{"vnr.to=a,,b", `"" is no name`},
		{"vnr.to=all x=1", "does not belong here"},
		{"vnr.to=%4", "is no name"},
		{"vnr.fault=eat rule=1", `unknown fault "eat"`},
		{"vnr.fault=drop", "a drop needs rule="},
		{"vnr.fault=drop rule=x", "no rule number"},
		{"vnr.fault=drop rule=1 rule=2", "twice"},
		{"vnr.fault=drop rule=1 copies=2", `"copies=2": does not belong here`},
		{"vnr.fault=drop rule=1 server", `"server": want key=value`},
		{"vnr.fault=dup rule=1", "a dup needs rule= and copies="},
		{"vnr.fault=dup rule=1 copies=65536", "want 0 to 65535"},
		{"vnr.fault=delay rule=1 by=fast", `invalid duration "fast"`},
		{"vnr.fault=corrupt rule=1 bytes=66:4f>4e", "want @OFFSET:OLD>NEW"},
		{"vnr.fault=corrupt rule=1 bytes=@-1:4f>4e", "no offset"},
		{"vnr.fault=corrupt rule=1 bytes=@66:4f>4e4e", "as many bytes, in hex"},
		{"vnr.fault=corrupt rule=1 bytes=@66:4g>4e", "as many bytes, in hex"},
		{"vnr.fault=truncate rule=1", "a truncate needs rule= and to="},
		{"vnr.fault=truncate rule=1 to=13", "want 14 to 65553"},
		{"vnr.fault=pad rule=1 bytes=70000", "want 1 to 65535"},
		{"vnr.fault=reorder rule=1 behind=3", "a reorder needs within="},
		{"vnr.fault=reorder rule=1 behind=0 within=1s", "want 1 to 1000000"},
		{"vnr.change=broken rule=1", `unknown change "broken"`},
		{"vnr.change=off rule=1", "needs its rule= or port=, and time="},
		{"vnr.change=off port=a time=2026-01-01T00:00:00Z", "does not belong here"},
		{"vnr.change=up port=a time=yesterday", `cannot parse "yesterday"`},
		{"vnr.lost=rain", `unknown cause "rain"`},
		{"vnr.lost=queue by=1ms", "does not belong here"},
		{"vnr.queued=", `"" is no duration`},
		{"vnr.queued=1ms,2", `"2" is no duration`},
	} {
		_, err := pcap.ParseFate([]string{c.comment})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "comment ") {
			t.Errorf("%q: got %v, want %s", c.comment, err, c.want)
		}
	}
	if _, err := pcap.ParseFate([]string{"vnr.to=all", "vnr.to=a"}); err == nil || !strings.Contains(err.Error(), "contradicts") {
		t.Errorf("two kinds of receivers: got %v", err)
	}
}

func FuzzParseFate(f *testing.F) {
	for _, c := range []string{
		"vnr.to=all", "vnr.to=a,%61ll", "vnr.fault=drop rule=2:loss at=b reason=x", "vnr.fault=dup rule=1 copies=2 gap=1ms",
		"vnr.fault=corrupt rule=3:c1 bytes=@66:4f>4e,@70:00ff>0100", "vnr.fault=delay rule=4 by=40ms", "vnr.lost=queue at=b", "vnr.queued=1.2ms,2.4ms at=b", "hello",
		"vnr.fault=truncate rule=1 to=60 at=b", "vnr.fault=pad rule=1 bytes=9", "vnr.fault=reorder rule=1 behind=3 within=1s",
		"vnr.change=off rule=2:loss time=2026-01-01T00:00:01.5Z", "vnr.change=down port=a time=2026-01-01T00:00:01Z",
		"vnr.change=added rule=5:x time=2026-01-01T00:00:01Z text=x: drop 2% to a", `vnr.change=added rule=5 time=2026-01-01T00:00:01Z text="\x00"`,
	} {
		f.Add(c, "vnr.lost=down")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		fate, err := pcap.ParseFate([]string{a, b})
		if err != nil {
			return
		}
		again, err := pcap.ParseFate(fate.Comments())
		ok(t, err)
		if d := cmp.Diff(fate, again); d != "" {
			t.Error(d)
		}
	})
}

// Durations are written as Go writes them, in ASCII.
func TestDurationsAreGos(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64().Draw(t, "ns"))
		for range rapid.IntRange(0, 18).Draw(t, "shorter") {
			d /= 10
		}
		f := pcap.Fate{Queued: []pcap.Queued{{By: []time.Duration{d}, At: "a"}}}
		want := "vnr.queued=" + strings.ReplaceAll(d.String(), "µ", "u") + " at=a"
		if got := f.Comments()[0]; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}
