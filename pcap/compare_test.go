package pcap_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/pcap"
)

func compare(t *testing.T, expected, actual []byte) *pcap.Comparison {
	t.Helper()
	c, err := pcap.Compare(read(t, expected), read(t, actual))
	ok(t, err)
	return c
}

func TestARecordingEqualsItself(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	if c := compare(t, wire, wire); !c.Equal() || c.Frames != 17 {
		t.Errorf("got %+v", c)
	}
}

// Each byte of each frame counts, and the frame is named.
func TestOneFlippedByteIsFound(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	for _, p := range packets(t, read(t, wire)) {
		const header = 28 // of an enhanced packet block
		for _, at := range []int{0, len(p.Data) / 2, len(p.Data) - 1} {
			other := bytes.Clone(wire)
			other[int(p.Offset)+header+at] ^= 1
			d := compare(t, other, wire).Difference
			if d == nil || d.Frame != p.Number || d.Kind != pcap.BytesDiffer || d.Expected.Offset != p.Offset {
				t.Errorf("frame %d, byte %d: got %v", p.Number, at, d)
			}
		}
	}
}

func TestDifferencesAreNamed(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	change := func(old, now string) []byte {
		if n := bytes.Count(wire, []byte(old)); n == 0 || len(old) != len(now) {
			t.Fatalf("%q occurs %d times", old, n)
		}
		return bytes.Replace(wire, []byte(old), []byte(now), 1)
	}
	first := packets(t, read(t, wire))[0]
	at := int(first.Offset)
	stamp := bytes.Clone(wire)
	stamp[at+16]++ // nanoseconds
	direction := bytes.Clone(wire)
	flags := bytes.Index(wire[at:], []byte{2, 0, 4, 0, 2, 0, 0, 0})
	direction[at+flags+4] = 1
	port := bytes.Clone(wire)
	port[at+8] = 0
	length := bytes.Clone(wire)
	length[at+24]++
	all := packets(t, read(t, wire))
	for _, c := range []struct {
		what     string
		expected []byte
		kind     pcap.DifferenceKind
		frame    int
		want     string
	}{
		{"time", stamp, pcap.TimeDiffers, 1, "frame 1: time: expected 2026-01-01T00:00:00.001000001Z, is 2026-01-01T00:00:00.001000000Z (-1ns)"},
		{"interface", port, pcap.InterfaceDiffers, 1, "frame 1: interface: expected a, is b"},
		{"cable", change("mtu=400 latency=5ms", "mtu=400 latency=6ms"), pcap.InterfaceDiffers, 1, `latency=6ms", is "mac`},
		{"direction", direction, pcap.DirectionDiffers, 1, "frame 1: direction: expected inbound, is outbound"},
		{"length", length, pcap.BytesDiffer, 1, "expected an original length of 61 bytes, is 60"},
		{"fate", change("vnr.lost=mtu at=b", "vnr.lost=mtu at=c"), pcap.FateDiffers, 9, `frame 9: fate: expected "vnr.lost=mtu at=c", is "vnr.lost=mtu at=b"`},
		{"one clause less", change("vnr.lost=mtu at=b", "was.lost=mtu at=b"), pcap.FateDiffers, 9, `expected "vnr.queued=7.2ms at=c", is "vnr.lost=mtu at=b"`},
		{"missing at the end", wire[:all[16].Offset], pcap.Extra, 17, "frame 17: extra frame: 60 bytes on a at 2026-01-01T00:00:00.400000000Z"},
	} {
		d := compare(t, c.expected, wire).Difference
		if d == nil || d.Kind != c.kind || d.Frame != c.frame || !strings.Contains(d.String(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", c.what, d, c.want)
		}
	}
	d := compare(t, wire, wire[:all[16].Offset]).Difference
	if d == nil || d.Kind != pcap.Missing || d.Frame != 17 || d.Expected == nil || d.Actual != nil {
		t.Errorf("actual ends early: got %v", d)
	}
}

// What others may change does not count.
func TestForeignMattersAreIgnored(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	for _, c := range [][2]string{{"go=go1.26", "go=go1.27"}, {"seed=7", "seed=8"}, {"vnreplay", "mergecap"}} {
		other := bytes.Replace(wire, []byte(c[0]), []byte(c[1]), 1)
		if c := compare(t, other, wire); !c.Equal() {
			t.Errorf("%v", c.Difference)
		}
	}
}

func TestACutRecordingIsToldApart(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	all := packets(t, read(t, wire))
	c := compare(t, wire[:all[5].Offset+3], wire)
	if c.Equal() || c.Difference != nil || c.Frames != 5 || c.Cut == nil || c.Cut.Offset != all[5].Offset {
		t.Errorf("got %+v", c)
	}
	// A difference before the cut comes first.
	other := bytes.Clone(wire[:all[5].Offset+3])
	other[all[2].Offset+40] ^= 1
	if c := compare(t, other, wire); c.Difference == nil || c.Difference.Frame != 3 || c.Cut != nil {
		t.Errorf("got %+v", c)
	}
	// The actual recording is never cut unless something is wrong.
	if _, err := pcap.Compare(read(t, wire), read(t, wire[:len(wire)-1])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}
