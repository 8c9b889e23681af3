package pcap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
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

// Whatever bit of a packet block changes, the comparison names the frame, or the
// reader the block.
func TestEveryFlippedBitOfAPacketIsFound(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	all := packets(t, read(t, wire))
	for i, p := range all {
		end := int(p.Offset) + int(binary.LittleEndian.Uint32(wire[p.Offset+4:]))
		for at := int(p.Offset); at < end; at++ {
			bits := 8
			if in := at - int(p.Offset) - 28; in >= 4 && in < len(p.Data)-4 {
				bits = 1
			}
			for bit := range bits {
				other := bytes.Clone(wire)
				other[at] ^= 1 << bit
				c, err := pcap.Compare(read(t, other), read(t, wire))
				var bad *pcap.FormatError
				switch {
				case errors.As(err, &bad):
					if bad.Offset != p.Offset {
						t.Errorf("frame %d, byte %d, bit %d: %v", p.Number, at, bit, err)
					}
				case err != nil:
					t.Errorf("frame %d, byte %d, bit %d: %v", p.Number, at, bit, err)
				case c.Cut != nil:
					if c.Cut.Offset != p.Offset || c.Frames != i {
						t.Errorf("frame %d, byte %d, bit %d: %v", p.Number, at, bit, c.Cut)
					}
				case c.Difference == nil || c.Difference.Frame != p.Number:
					t.Errorf("frame %d, byte %d of its block (%02x to %02x): got %v", p.Number, at-int(p.Offset), wire[at], other[at], c.Difference)
				}
			}
		}
	}
}

func TestWhatRunsSayIsComparedApart(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	for _, c := range [][3]string{
		{"drop 2% to server", "drop 3% to server", `rule 1: expected "loss: drop 3% to server", is "loss: drop 2% to server"`},
		{"seed=7", "seed=8", "seed: expected 8, is 7"},
		{"go=go1.26", "go=go1.27", ""},
	} {
		other := bytes.Replace(wire, []byte(c[0]), []byte(c[1]), 1)
		if got := compare(t, other, wire); !got.Equal() || got.Run != c[2] {
			t.Errorf("%s:\n got %q\nwant %q", c[1], got.Run, c[2])
		}
	}
	recording := func(scenario string) []byte {
		var b bytes.Buffer
		r, err := pcap.NewRecorder(&b, pcap.Meta{Scenario: scenario})
		ok(t, err)
		ok(t, r.Close())
		return b.Bytes()
	}
	for _, c := range [][3]string{
		{"a: 1\nb: 2\n", "a: 1\nb: 3\n", `scenario, line 2: expected "b: 2", is "b: 3"`},
		{"a: 1\n", "a: 1\nb: 3\n", `scenario, line 2: expected "", is "b: 3"`},
		{"a", "a\nb", `scenario, line 2: expected none, is "b"`},
	} {
		if got := compare(t, recording(c[0]), recording(c[1])); got.Run != c[2] {
			t.Errorf("got %q, want %q", got.Run, c[2])
		}
	}
}

// What editcap -s leaves is short, and says of which length the frames were.
func TestAFrameCapturedShort(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	path := file(t, "run.pcapng", wire)
	short := path + ".short"
	clean(t, "editcap", "-s", "100", path, short)
	r, err := pcap.Open(short)
	ok(t, err)
	defer r.Close()
	c, err := pcap.Compare(r, read(t, wire))
	ok(t, err)
	if d := c.Difference; d == nil || d.String() != "frame 9: bytes: the expected frame was captured short: 100 of 900 bytes, which are equal" {
		t.Errorf("got %v", d)
	}
}

// cutShort is a run of n frames that ends for the given reason, or in its time.
func cutShort(t *testing.T, n int, why error) []byte {
	a, b, e := event(t, 60)
	var out bytes.Buffer
	r, err := pcap.NewRecorder(&out, testMeta)
	ok(t, err)
	for _, p := range []*vswitch.Port{a, b} {
		ok(t, r.Record(&vswitch.Connected{Time: vswitch.DefaultStart, Port: p}))
	}
	for range n {
		ok(t, r.Record(e))
		e.Seq++
	}
	for _, p := range []*vswitch.Port{a, b} {
		ok(t, r.Record(&vswitch.Disconnected{Time: e.At, Port: p, Cut: why}))
	}
	ok(t, r.Close())
	return out.Bytes()
}

func TestARunThatWasCutShort(t *testing.T) {
	cut := cutShort(t, 3, errors.New("interrupted\nby \x1b[31msomebody"))
	whole := cutShort(t, 5, nil)
	const why = `interrupted; by \x1b[31msomebody`
	r := read(t, cut)
	packets(t, r)
	if got := r.CutShort(); got != why {
		t.Errorf("the reader says %q, want %q", got, why)
	}
	for _, ifc := range r.Interfaces() {
		if ifc.Stats.Cut != why || ifc.Stats.Comments[1] != "vnr.cut="+why || !ifc.Stats.IsPort {
			t.Errorf("%s: %+v", ifc.Name, ifc.Stats)
		}
	}
	if c := compare(t, cut, whole); c.CutShort != why || c.Frames != 3 || c.Difference != nil || c.Equal() {
		t.Errorf("against a whole run: %+v", c)
	}
	if c := compare(t, cut, cut); c.CutShort != "" || !c.Equal() {
		t.Errorf("against itself: %+v", c)
	}
	if c := compare(t, cut, cutShort(t, 2, nil)); c.CutShort != "" || c.Difference == nil || c.Difference.Kind != pcap.Missing {
		t.Errorf("against a shorter one: %+v", c)
	}
	if c := compare(t, cutShort(t, 3, nil), whole); c.CutShort != "" || c.Difference == nil || c.Difference.Kind != pcap.Extra {
		t.Errorf("a run that ended in its time: %+v", c)
	}
	other := bytes.Clone(cut)
	other[packets(t, read(t, cut))[1].Offset+40] ^= 1
	if c := compare(t, other, whole); c.CutShort != "" || c.Difference == nil || c.Difference.Frame != 2 {
		t.Errorf("a difference before the end: %+v", c)
	}
	clean(t, "capinfos", file(t, "cut.pcapng", cut))
}

// A recording that was never finished, as after kill -9, may end with a whole block: what it
// lacks is the statistics, with which all end.
func TestARecordingThatWasNeverFinished(t *testing.T) {
	whole, some := cutShort(t, 3, nil), cutShort(t, 2, nil)
	unfinished := some[:bytes.Index(some, []byte{5, 0, 0, 0})]
	if c := compare(t, unfinished, whole); !strings.Contains(c.CutShort, "it was never finished") || c.Frames != 2 || c.Difference != nil || c.Equal() {
		t.Errorf("%+v", c)
	}
	if c := compare(t, unfinished, some); c.CutShort != "" || !c.Equal() { // as after a program that leaves them out
		t.Errorf("%+v", c)
	}
}

// The reason may be of any length.
func TestALongReasonIsShortened(t *testing.T) {
	r := read(t, cutShort(t, 1, errors.New("waiting: "+strings.Repeat("é", 50_000))))
	packets(t, r)
	if got := r.CutShort(); len(got) > 1000 || !strings.HasSuffix(got, "éé…") || !utf8.ValidString(got) {
		t.Errorf("got %d bytes: %q", len(got), got)
	}
}
