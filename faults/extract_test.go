package faults_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/switch"
)

func texts(rules []*faults.Rule) []string {
	var list []string
	for _, r := range rules {
		list = append(list, r.String())
	}
	return list
}

func TestExtract(t *testing.T) {
	edit := func(at int, from, to string) vswitch.Edit {
		return vswitch.Edit{Offset: at, Old: []byte(from), New: []byte(to)}
	}
	type d = faults.Decision
	rules, err := faults.Extract([]d{
		{Rule: 2, From: "client", To: "server", Place: 9, Kind: faults.Dropped},
		{Rule: 1, From: "client", Place: 3, Kind: faults.Dropped},
		{Rule: 1, From: "server", Place: 1, Kind: faults.Dropped},
		{Rule: 1, From: "client", Place: 18, Kind: faults.Dropped},
		{Rule: 1, From: "client", Place: 17, Kind: faults.Dropped},
		{Rule: 1, From: "client", Place: 19, Kind: faults.Dropped},
		{Rule: 3, From: "client", Place: 3, Kind: faults.Duplicated, Copies: 2, Gap: time.Millisecond},
		{Rule: 3, From: "client", Place: 5, Kind: faults.Duplicated, Copies: 1},
		{Rule: 3, From: "client", Place: 6, Kind: faults.Duplicated, Copies: 2, Gap: time.Millisecond},
		{Rule: 4, From: "client", To: "server", Place: 4, Kind: faults.Corrupted, Edits: []vswitch.Edit{edit(70, "ab", "cd"), edit(66, "O", "N")}},
		// A function of the user's may do everything at once, and change a byte twice.
		{Rule: 5, From: "client", To: "server", Place: 5, Kind: faults.Corrupted, Edits: []vswitch.Edit{edit(1, "a", "b"), edit(2, "c", "d"), edit(1, "b", "c")}},
		{Rule: 5, From: "client", Place: 5, Kind: faults.Dropped},
		{Rule: 5, From: "client", Place: 6, Kind: faults.Corrupted, Edits: []vswitch.Edit{edit(1, "a", "b"), edit(1, "b", "a")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"drop nth 3,17..19 from client",
		"drop nth 1 from server",
		"drop nth 9 from client to server",
		"duplicate nth 3,6 copies 2 gap 1ms from client",
		"duplicate nth 5 from client",
		"corrupt nth 4 @66:4f>4e,@70:6162>6364 from client to server",
		"drop nth 5 from client",
		"corrupt nth 5 @1:6163>6364 from client to server",
	}
	if got := texts(rules); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if rules, err := faults.Extract(nil); err != nil || len(rules) != 0 {
		t.Errorf("of nothing: %v, %v", rules, err)
	}
}

// A list too long to read is split.
func TestExtractSplitsLists(t *testing.T) {
	var all []faults.Decision
	for i := range uint64(1000) {
		all = append(all, faults.Decision{Rule: 1, From: "client", Place: 1000 + 2*i, Kind: faults.Dropped})
	}
	rules, err := faults.Extract(all)
	if err != nil || len(rules) != 10 {
		t.Fatalf("%d rules, %v; want 10", len(rules), err)
	}
	l := newLAN(t, 1)
	var dropped []int
	for _, r := range rules {
		if n := len(r.String()); n > 700 {
			t.Errorf("a rule of %d characters", n)
		}
		dropped = append(dropped, places(l, l.compile(r.String()), 4000)...)
	}
	slices.Sort(dropped)
	if len(dropped) != 1000 || dropped[0] != 1000 || dropped[999] != 2998 {
		t.Errorf("%d frames are dropped again: %v", len(dropped), dropped)
	}
}

func TestExtractErrors(t *testing.T) {
	type d = faults.Decision
	edits := func(at int, from, to string) []vswitch.Edit {
		return []vswitch.Edit{{Offset: at, Old: []byte(from), New: []byte(to)}}
	}
	for _, c := range []struct {
		d    []d
		want string
	}{
		{[]d{{Rule: 1, From: "a", Place: 3, Kind: "eat"}},
			`extracting fault "eat" of rule 1, frame 3 from "a" on the sender's cable: there is no rule that does "eat"`},
		{[]d{{Rule: 1, From: "a", Place: 3, Kind: faults.Delayed}},
			`extracting fault "delay" of rule 1, frame 3 from "a" on the sender's cable: a rule delays by more than nothing, at most 24h, not 0s`},
		{[]d{{Rule: 1, From: "a", Place: 3, Kind: faults.Truncated, Size: 13}},
			`extracting fault "truncate" of rule 1, frame 3 from "a" on the sender's cable: a rule leaves 14 to 65553 bytes of a frame, not 13`},
		{[]d{{Rule: 1, From: "a", Place: 3, Kind: faults.Padded}},
			`extracting fault "pad" of rule 1, frame 3 from "a" on the sender's cable: a rule adds 1 to 9000 bytes, not 0`},
		{[]d{{Rule: 1, From: "a", Place: 3, Kind: faults.Reordered, Behind: 1}},
			`extracting fault "reorder" of rule 1, frame 3 from "a" on the sender's cable: a rule holds a frame behind 1 to 100000 others, at most 1h, not 1 within 0s`},
		{[]d{{Rule: 1, From: "a", To: "b", Kind: faults.Dropped}},
			`extracting fault "drop" of rule 1, frame 0 from "a" on the cable to "b": places count from 1 to 100000000000000`},
		{[]d{{Rule: 1, From: "a", Place: 3, Kind: faults.Dropped}, {Rule: 1, From: "a", Place: 3, Kind: faults.Dropped}},
			`extracting fault "drop" of rule 1, frame 3 from "a" on the sender's cable: it is there twice`},
		{[]d{{Rule: 1, Place: 3, Kind: faults.Dropped}},
			`extracting fault "drop" of rule 1, frame 3 from "" on the sender's cable: it names no single port`},
		{[]d{{Rule: 1, From: "a", To: "all", Place: 3, Kind: faults.Dropped}},
			`extracting fault "drop" of rule 1, frame 3 from "a" on the cable to "all": it names no single port`},
		{[]d{{Rule: 1, From: "a\n", Place: 3, Kind: faults.Dropped}},
			`extracting fault "drop" of rule 1, frame 3 from "a\n" on the sender's cable: it cannot be written as a rule`},
		{[]d{{Rule: 1, From: "a to b", Place: 3, Kind: faults.Dropped}},
			`extracting fault "drop" of rule 1, frame 3 from "a to b" on the sender's cable: it cannot be written as a rule`},
		{[]d{{Rule: 1, From: "a,b", Place: 3, Kind: faults.Dropped}},
			`extracting fault "drop" of rule 1, frame 3 from "a,b" on the sender's cable: it cannot be written as a rule: fault rule, column 12, ",": a port's name has letters, digits, and _ . - only; one port, or a rule for each`},
		{[]d{{Rule: 1, From: "a", Place: 3, Kind: faults.Duplicated}},
			`extracting fault "dup" of rule 1, frame 3 from "a" on the sender's cable: a rule makes 1 to 1000 copies, at most 1h apart; these are 0, 0s apart`},
		{[]d{{Rule: 1, From: "a", Place: 3, Kind: faults.Corrupted, Edits: edits(3, "ab", "c")}},
			`extracting fault "corrupt" of rule 1, frame 3 from "a" on the sender's cable: 2 bytes at offset 3 become 1; want as many, inside a frame`},
		{[]d{{Rule: 1, From: "a", Place: 3, Kind: faults.Corrupted, Edits: edits(1<<20, "a", "c")}},
			`extracting fault "corrupt" of rule 1, frame 3 from "a" on the sender's cable: 1 bytes at offset 1048576 become 1; want as many, inside a frame`},
	} {
		rules, err := faults.Extract(c.d)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got  %v, %v\nwant %s", texts(rules), err, c.want)
		}
	}
}
