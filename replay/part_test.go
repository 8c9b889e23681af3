package replay_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/replay"
)

// TestPartOfACapture replays, and compares with itself, a capture that does not say all:
// what of it can be looked at is the same, but that is not all there was.
func TestPartOfACapture(t *testing.T) {
	for _, x := range []struct {
		name  string
		spoil func(c *craft)
		says  string
	}{
		{"whole", func(c *craft) {}, "same: "},
		{"cut", func(c *craft) { c.file.Truncate(c.file.Len() - 1) }, "note: cut: cut: "},
		{"a frame of 20 bytes", func(c *craft) {
			b := c.file.Bytes()
			length := len(b) - 54 // of the last frame, an acknowledgement
			binary.LittleEndian.PutUint32(b[length-8:], 20)
			c.file.Truncate(length + 20)
		}, "1 frame (9): captured too short: "},
	} {
		t.Run(strings.ReplaceAll(x.name, " ", "_"), func(t *testing.T) {
			write := func() *replay.Analysis {
				c := newCraft(t)
				one(func(k *conn) { k.open(); k.talk(); k.say(1, seg{flags: "P", data: "more"}); k.say(0, seg{}) })(c)
				x.spoil(c)
				return c.analysis(x.name)
			}
			for _, partial := range []bool{false, true} {
				want := replay.Partial
				if partial || x.name == "whole" {
					want = replay.Same
				}
				r := run(t, write(), "10.0.0.2", func(o *replay.Options) { o.AllowPartial = partial })
				if s := text(t, r); r.Verdict != want || !partial && !strings.Contains(s, x.says) && want != replay.Same {
					t.Errorf("replayed, partial allowed %v: want %v and %q:\n%s", partial, want, x.says, s)
				}
				r, err := replay.Diff(write(), write(), replay.DiffOptions{AllowPartial: partial})
				if err != nil {
					t.Fatal(err)
				}
				if s := text(t, r); r.Verdict != want || !partial && want != replay.Same && !strings.Contains(s, x.says) {
					t.Errorf("compared, partial allowed %v: want %v and %q:\n%s", partial, want, x.says, s)
				}
			}
		})
	}
}
