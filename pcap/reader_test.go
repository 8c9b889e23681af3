package pcap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

func ExampleReader() {
	r, err := pcap.Open("../fixtures/captures/public-01-http-handshake-fin.pcap")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	fmt.Println(r.Format())
	for p, err := range r.Packets() {
		if err != nil {
			fmt.Println(err) // where a cut or damaged file ends
			break
		}
		if p.Number > 2 {
			break
		}
		fmt.Println(p.Number, p.Offset, p.Time.Format(time.RFC3339Nano), len(p.Data))
	}
	// Output:
	// pcap, microseconds, little-endian
	// 1 24 2017-12-13T22:28:59.656584Z 74
	// 2 114 2017-12-13T22:28:59.657507Z 74
}

// What pcapgo gets wrong is right.
func TestOptionsInBothByteOrders(t *testing.T) {
	for name, order := range orders {
		n := newNg(order)
		n.section(n.option(1, []byte("first comment")), n.option(1, []byte("second\x00")), n.option(4, []byte("app")), n.option(2, []byte("hw")))
		n.iface(1, n.option(2, []byte("eth0")), n.option(3, []byte("described")), n.option(6, []byte{2, 0, 0, 0, 0, 7}),
			n.option(8, n.words(uint64(1e9))), n.option(13, []byte{4}), n.option(0, nil))
		n.packet(0, 1_500_000, "payload", n.option(1, []byte("one")), n.option(2, n.words(1)), n.option(5, n.words(uint64(77))), n.option(1, []byte("two")))
		// The obsolete packet block: interface and drops in 16 bits each.
		n.block(2, n.words(n.AppendUint16(n.AppendUint16(nil, 0), 9), 0, 2_000_000, 3, 60, "abc\x00", n.option(1, []byte("old")), n.option(2, n.words(2))))
		n.block(5, n.words(0, 0, 3_000_000, n.option(1, []byte("the end")), n.option(4, n.words(uint64(2))), n.option(5, n.words(uint64(3))), n.option(3, n.words(0, 2_500_000))))

		r := read(t, n.Bytes())
		all := packets(t, r)
		sec, ifc := r.Sections()[0], r.Interfaces()[0]
		if strings.Join(sec.Comments, "; ") != "first comment; second" || sec.Application != "app" || sec.Hardware != "hw" || sec.BigEndian != (name == "big-endian") {
			t.Errorf("%s: section %+v", name, sec)
		}
		if ifc.Name != "eth0" || ifc.Description != "described" || ifc.Port.MAC.String() != "02:00:00:00:00:07" || ifc.Speed != 1e9 || ifc.FCSLen != 4 || ifc.IsPort {
			t.Errorf("%s: interface %+v", name, ifc)
		}
		if len(all) != 2 {
			t.Fatalf("%s: %d packets", name, len(all))
		}
		p := all[0]
		if p.Direction != pcap.Inbound || p.Flags != 1 || p.ID != 77 || strings.Join(p.Comments, " ") != "one two" || string(p.Data) != "payload" || !p.Time.Equal(time.UnixMilli(1500)) {
			t.Errorf("%s: packet %+v", name, p)
		}
		if p = all[1]; p.Direction != pcap.Outbound || strings.Join(p.Comments, " ") != "old" || string(p.Data) != "abc" || p.OrigLen != 60 {
			t.Errorf("%s: obsolete packet %+v", name, p)
		}
		st := ifc.Stats
		if st == nil || st.Received != 2 || st.Dropped != 3 || strings.Join(st.Comments, " ") != "the end" || !st.Time.Equal(time.Unix(3, 0)) || !st.End.Equal(time.UnixMilli(2500)) || !st.Start.IsZero() {
			t.Errorf("%s: statistics %+v", name, st)
		}
	}
}

func TestTimeResolutions(t *testing.T) {
	for _, c := range []struct {
		res    byte
		offset uint64
		units  uint64
		want   time.Time
	}{
		{0, 0, 42, time.Unix(42, 0)},
		{3, 0, 1234, time.UnixMilli(1234)},
		{6, 0, 1234567, time.UnixMicro(1234567)},
		{9, 0, 1<<40 + 1, time.Unix(0, 1<<40+1)},
		{12, 0, 1_000_000_001_999, time.Unix(1, 1)},
		{19, 0, 15_000_000_000_000_000_000, time.Unix(1, 500_000_000)},
		{0x80 | 10, 0, 1536, time.UnixMilli(1500)},
		{0x80 | 32, 0, 1<<32 + 1<<31, time.UnixMilli(1500)},
		{0x80 | 63, 0, 1<<63 + 1<<62, time.UnixMilli(1500)},
		{0x80, 0, 3, time.Unix(3, 0)},
		{6, 1000, 1, time.Unix(1000, 1000)},
		{6, ^uint64(9), 1, time.Unix(-10, 1000)}, // an offset of -10 s
	} {
		n := newNg(binary.LittleEndian)
		n.section().iface(1, n.option(9, []byte{c.res}), n.option(14, n.words(c.offset))).packet(0, c.units, "x")
		if got := packets(t, read(t, n.Bytes()))[0].Time; !got.Equal(c.want) || got.Location() != time.UTC {
			t.Errorf("resolution %#x, offset %d, %d units: %v, want %v", c.res, int64(c.offset), c.units, got, c.want.UTC())
		}
	}
}

func TestSeveralSections(t *testing.T) {
	n := newNg(binary.LittleEndian)
	n.section(n.option(4, []byte("one"))).iface(1, n.option(2, []byte("a"))).packet(0, 1, "1")
	n.section(n.option(4, []byte("empty")))
	n.AppendByteOrder = binary.BigEndian
	n.section(n.option(4, []byte("three"))).iface(113, n.option(2, []byte("b"))).iface(1, n.option(2, []byte("c"))).packet(1, 2, "2").packet(0, 3, "3")
	r := read(t, n.Bytes())
	var got []string
	for p, err := range r.Packets() {
		ok(t, err)
		ifc := r.Interfaces()[p.Interface]
		got = append(got, fmt.Sprintf("%d:%s %s/%d link %d section %d", p.Number, p.Data, ifc.Name, ifc.ID, p.LinkType, ifc.Section))
	}
	same(t, "packets", got, []string{"1:1 a/0 link 1 section 1", "2:2 c/1 link 1 section 3", "3:3 b/0 link 113 section 3"})
	var apps []string
	for _, s := range r.Sections() {
		apps = append(apps, s.Application)
	}
	same(t, "sections", apps, []string{"one", "empty", "three"})
}

// A packet keeps its bytes when others are read.
func TestAPacketBelongsToItsReader(t *testing.T) {
	n := newNg(binary.LittleEndian)
	n.section().iface(1)
	sizes := []int{0, 1, 1500, 16384, 16385, 70000, 300000, 5}
	for i, size := range sizes {
		n.packet(0, 1, strings.Repeat(string(rune('a'+i)), size))
	}
	for i, p := range packets(t, read(t, n.Bytes())) {
		if want := strings.Repeat(string(rune('a'+i)), sizes[i]); string(p.Data) != want || p.OrigLen != len(want) {
			t.Errorf("packet %d of %d bytes changed", i+1, len(want))
		}
		p.Data = append(p.Data, "x"...) // must not reach a neighbour
	}
}

func TestClassicFormats(t *testing.T) {
	for name, order := range orders {
		for unit, magic := range map[string]uint32{"microseconds": 0xa1b2c3d4, "nanoseconds": 0xa1b23c4d} {
			for _, gz := range []bool{false, true} {
				b := classic(order, magic, 113|1<<26|2<<28) // four bytes of FCS
				format := "pcap, " + unit + ", " + name
				if gz {
					b, format = zipped(t, b), format+", gzip"
				}
				r := read(t, b)
				if r.Format() != format {
					t.Errorf("%q, want %q", r.Format(), format)
				}
				all := packets(t, r)
				at := time.Unix(1000, 123456)
				if unit == "microseconds" {
					at = time.UnixMicro(1000_123456)
				}
				if len(all) != 2 || string(all[0].Data) != "first" || !all[0].Time.Equal(at) || all[0].Offset != 24 || all[1].Offset != 45 ||
					len(all[1].Data) != 200 || all[1].OrigLen != 201 || all[0].LinkType != 113 || r.Interfaces()[0].FCSLen != 4 {
					t.Errorf("%s: %+v", format, all)
				}
			}
		}
	}
}

// A record that claims to be longer than the frame was is read as tcpdump does.
func TestARecordLongerThanItsFrame(t *testing.T) {
	b := classic(binary.LittleEndian, 0xa1b2c3d4, 1)
	b[24+12] = 2
	all := packets(t, read(t, b))
	if len(all) != 2 || all[0].OrigLen != 5 {
		t.Errorf("got %+v", all)
	}
}

func TestAnInputThatComesInPieces(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	want := dump(t, wire)
	for name, in := range map[string]io.Reader{
		"one byte": iotest.OneByteReader(bytes.NewReader(wire)), "half": iotest.HalfReader(bytes.NewReader(wire)),
		"data with EOF": iotest.DataErrReader(bytes.NewReader(wire)), "gzip, one byte": iotest.OneByteReader(bytes.NewReader(zipped(t, wire))),
	} {
		r, err := pcap.NewReader(in, "in")
		ok(t, err)
		if n := len(packets(t, r)); n != strings.Count(want, " outbound ") {
			t.Errorf("%s: %d packets", name, n)
		}
	}
	broken := errors.New("the cable is out")
	in := io.MultiReader(bytes.NewReader(wire[:1000]), iotest.ErrReader(broken))
	if err := drain(in); !errors.Is(err, broken) || !strings.Contains(err.Error(), "in: at byte 1000: the cable is out") {
		t.Errorf("got %v", err)
	}
}

func TestOpen(t *testing.T) {
	if _, err := pcap.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
	if _, err := pcap.Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a directory: %v", err)
	}
	r, err := pcap.Open(captures + "public-01-http-handshake-fin.pcap")
	ok(t, err)
	ok(t, r.Close())
	ok(t, r.Close())
	if _, err := r.Next(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
}

// Every capture in the fixtures has the frames that tshark sees: numbers, times,
// lengths, interfaces.
func TestCapturesAreReadAsTsharkReadsThem(t *testing.T) {
	paths, err := filepath.Glob(captures + "*.pcap*")
	ok(t, err)
	if len(paths) < 15 {
		t.Fatalf("only %v", paths)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			r, err := pcap.Open(path)
			ok(t, err)
			defer r.Close()
			var ours []string
			for p, err := range r.Packets() {
				ok(t, err)
				ifc := r.Interfaces()[p.Interface]
				ours = append(ours, fmt.Sprintf("%d|%s|%d|%d|%d|%s", p.Number, epoch(p.Time), ifc.ID, len(p.Data), p.OrigLen, strings.Join(p.Comments, ",")))
			}
			var theirs []string
			for _, row := range columns(t, path, "frame.number", "frame.time_epoch", "frame.interface_id", "frame.cap_len", "frame.len", "frame.comment") {
				if row[2] == "" && strings.HasPrefix(r.Format(), "pcap, ") {
					row[2] = "0"
				}
				if row[2] == "" {
					continue // a custom block, which has a number and is no packet
				}
				theirs = append(theirs, strings.Join(row, "|"))
			}
			same(t, path, ours, theirs)
		})
	}
}

// BenchmarkRead reads a recording of 1,514-byte frames.
func BenchmarkRead(b *testing.B) {
	p, q, e := event(b, 1514)
	var file bytes.Buffer
	w := recorder(b, &file, p, q)
	const frames = 1000
	for range frames {
		ok(b, w.Record(e))
	}
	ok(b, w.Close())
	b.SetBytes(int64(file.Len()))
	b.ReportAllocs()
	for b.Loop() {
		r, err := pcap.NewReader(bytes.NewReader(file.Bytes()), "in")
		ok(b, err)
		n := 0
		for {
			if _, err := r.Next(); err != nil {
				break
			}
			n++
		}
		if n != frames {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(b.N)*frames/b.Elapsed().Seconds(), "frames/s")
}
