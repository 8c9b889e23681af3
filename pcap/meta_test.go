package pcap_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/pcap"
)

func ExampleMeta_Marshal() {
	m := pcap.Meta{
		Version: "v1.0.0", Seed: 7, Clock: "virtual", View: "wire",
		Rules:    []string{"loss: drop 2% to server"},
		Scenario: "seed: 7\nhosts:\n  client: {ip: [10.0.0.1/24]}\n",
	}
	comments, err := m.Marshal()
	if err != nil {
		fmt.Println(err)
	}
	fmt.Print(comments[0]) // the only one
	// Output:
	// vnreplay.recording=1
	// version=v1.0.0
	// seed=7
	// clock=virtual
	// view=wire
	// rule.1=loss: drop 2% to server
	// scenario.bytes=45
	// seed: 7
	// hosts:
	//   client: {ip: [10.0.0.1/24]}
}

// anyText is text as it may come from anywhere, control characters included.
func anyText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,40}`),
		rapid.SampledFrom([]string{"\x00", "a\nb=c", "\r\n", `"quoted"`, "\"", "\xff\xfe", "\u202e", "scenario.bytes=3\nabc", " = "}))
}

func TestMetaRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := pcap.Meta{
			Version: anyText().Draw(t, "version"), Stack: anyText().Draw(t, "stack"), Go: anyText().Draw(t, "go"),
			Seed: rapid.Uint64().Draw(t, "seed"), Clock: anyText().Draw(t, "clock"), View: anyText().Draw(t, "view"),
			Rules: rapid.SliceOfN(anyText(), 0, 3).Draw(t, "rules"), Scenario: anyText().Draw(t, "scenario"),
			File: rapid.IntRange(0, 1<<30).Draw(t, "file"), After: rapid.Uint64().Draw(t, "after"),
			Off:     rapid.SliceOfN(rapid.IntRange(1, 1<<30), 0, 3).Draw(t, "off"),
			Removed: rapid.SliceOfN(rapid.IntRange(1, 1<<30), 0, 3).Draw(t, "removed"),
			Down:    rapid.SliceOfN(rapid.StringN(1, 5, -1), 0, 3).Draw(t, "down"),
		}
		if len(m.Rules) == 0 {
			m.Rules = nil
		}
		if len(m.Off) == 0 {
			m.Off = nil
		}
		if len(m.Removed) == 0 {
			m.Removed = nil
		}
		if len(m.Down) == 0 {
			m.Down = nil
		}
		text := one(t, m)
		for i := range len(text) {
			if c := text[i]; c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
				t.Fatalf("control character %#x in %q", c, text)
			}
		}
		// As mergecap and a person may leave it.
		for _, around := range []string{"%s", "a person's note\n%s", "%s \nFile created by merging: \nFile1: seed=9.pcapng \n"} {
			got, err := pcap.ParseMeta(fmt.Sprintf(around, text))
			ok(t, err)
			if d := cmp.Diff(m, got); d != "" {
				t.Fatalf("%s\nof %q", d, text)
			}
		}
	})
}

func TestMetaErrors(t *testing.T) {
	const first = "vnreplay.recording=1\n"
	for _, c := range []struct{ text, want string }{
		{"", "no run described"},
		{first + "seed=1\nfile=x\n", "line 3: file"},
		{first + "seed=1\nafter=-1\n", "line 3: after"},
		{first + "seed=1\nrules.off=1,0\n", "line 3: rules.off"},
		{first + "seed=1\nrules.removed=\n", "line 3: rules.removed"},
		{first + "seed=1\ncables.down=%zz\n", "line 3: cables.down"},
		{"seed=7\n", "no run described"},
		{"vnreplay.recording=2\nseed=7\n", "no run described"},
		{first, "no seed"},
		{first + "seed=x\n", `line 2: seed "x" is no number`},
		{first + "seed=7\nrule.2=drop\n", "line 3: rule.2 where rule.1 is expected"},
		{first + "seed=7\nscenario.bytes=9\nshort", `line 3: scenario of "9" bytes, 5 are there`},
		{first + "seed=7\nscenario.bytes=-1\n", "line 3: scenario of"},
		{first + "seed=7\nversion=\"open\n", "line 3: version is no quoted string"},
	} {
		if _, err := pcap.ParseMeta(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		}
	}
}

// one is the text of a description that fits in one comment.
func one(t tb, m pcap.Meta) string {
	t.Helper()
	comments, err := m.Marshal()
	ok(t, err)
	if len(comments) != 1 {
		t.Fatalf("%d comments", len(comments))
	}
	return comments[0]
}

func TestMetaFitsOrIsRefused(t *testing.T) {
	for n := pcap.MaxMeta - 200; n <= pcap.MaxMeta; n += 10 {
		m := pcap.Meta{Scenario: strings.Repeat("x", n)}
		comments, err := m.Marshal()
		switch {
		case err == nil && len(strings.Join(comments, "")) > pcap.MaxMeta+100*len(comments):
			t.Errorf("%d comments of %d bytes", len(comments), len(strings.Join(comments, "")))
		case err != nil && (!errors.Is(err, pcap.ErrMetaTooLong) || n < pcap.MaxMeta-100):
			t.Errorf("%d bytes: %v", n, err)
		case err == nil && n == pcap.MaxMeta:
			t.Errorf("%d bytes fit", n)
		}
	}
}

// The text holds comments, with NULs between them.
func FuzzParseMeta(f *testing.F) {
	long := pcap.Meta{Seed: 1, Rules: []string{"a", strings.Repeat("é", 40_000)}, Scenario: "a: b\n"}
	for _, m := range []pcap.Meta{{}, testMeta, {File: 3, After: 77, Off: []int{1, 3}, Removed: []int{2}, Down: []string{"a", "b c"}}, {Seed: 1, Rules: []string{"a", "\x00"}, Scenario: "a: b\n"}, {Scenario: "\x00"}, long} {
		comments, err := m.Marshal()
		ok(f, err)
		f.Add(strings.Join(comments, "\x00"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := pcap.ParseMeta(strings.Split(text, "\x00")...)
		if err != nil {
			return
		}
		again, err := m.Marshal()
		if err != nil {
			return // too long when written plainly
		}
		got, err := pcap.ParseMeta(again...)
		ok(t, err)
		if d := cmp.Diff(m, got); d != "" {
			t.Error(d)
		}
	})
}
