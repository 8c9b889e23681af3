package replay_test

import (
	"encoding/binary"
	"net/netip"
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
		{"a fragment of 40 bytes", func(c *craft) {
			c.udp("10.0.0.1:1001", "10.0.0.2:53", []byte(letters(2000)), 1500)
			b := c.file.Bytes()
			length := len(b) - (14 + 20 + 8 + 2000 - 1480) // of the second
			binary.LittleEndian.PutUint32(b[length-8:], 40)
			c.file.Truncate(length + 40)
		}, "in no conversation: fragment captured short 1, fragment of a datagram that is not whole 1"},
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

// TestLeftOut has the report say what no conversation has, besides what every capture has.
func TestLeftOut(t *testing.T) {
	write := func() *replay.Analysis {
		c := newCraft(t)
		one(func(k *conn) { k.open(); k.talk(); k.close(0) })(c)
		for range 2 {
			c.packet(netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), 132, []byte("SCTP, say"), 0, 1500)
		}
		c.udp("10.0.0.1:5353", "224.0.0.251:5353", []byte("who?"), 1500)
		return c.analysis("capture")
	}
	if s := text(t, run(t, write(), "10.0.0.2")); !strings.Contains(s, "\nnote: not replayed, in no conversation: IP protocol 132 2\n") {
		t.Errorf("replayed:\n%s", s)
	}
	r, err := replay.Diff(write(), write(), replay.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s := text(t, r); strings.Count(s, "\nnote: capture: not compared, in no conversation: IP protocol 132 2") != 2 {
		t.Errorf("compared:\n%s", s)
	}
}
