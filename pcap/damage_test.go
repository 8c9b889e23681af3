package pcap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/pcap"
)

func TestBadInput(t *testing.T) {
	le := binary.LittleEndian
	good := func() *ng { n := newNg(le); return n.section().iface(1).packet(0, 1, "fine") }
	swap := func(b []byte, at int, with ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], with)
		return b
	}
	pcapFile := classic(le, 0xa1b2c3d4, 1)
	n := newNg(le)
	for _, c := range []struct {
		what  string
		input []byte
		want  string
	}{
		{"nothing", nil, "in: not a capture: empty; want pcapng (0a0d0d0a) or pcap (a1b2c3d4"},
		{"text", []byte("hello, world"), "not a capture: starts with 68656c6c, which is text; want pcapng"},
		{"one byte", []byte("x"), "not a capture: starts with 78;"},
		{"a modified magic", swap(pcapFile, 0, 0xcd, 0x34, 0xb2, 0xa1), "not a capture: it is a pcap file in Mesquita's modified format (cd34b2a1); no tool at hand reads it; export it as pcap"},
		{"a magic that it does not have", swap(pcapFile, 0, 0x34, 0xcd, 0xb2, 0xa1), "damaged capture at byte 53, after frame 1: record of 2021161080 bytes"},
		{"snoop", []byte("snoop\x00\x00\x00"), "it is a Solaris snoop file"},
		{"bad zstd", []byte("\x28\xb5\x2f\xfd...."), "damaged capture at byte 0 of the uncompressed data: zstd: "},
		{"xz", []byte("\xfd7zXZ\x00"), "it is compressed with xz (fd377a58); decompress it first: xz -dc FILE | vnreplay show -"},
		{"reserved bits", classic(le, 0xa1b2c3d4, 1|1<<16), "damaged capture at byte 0: reserved bits of the link type 0x10001 are set"},
		{"gzip of text", zipped(t, []byte("hello")), "not a capture: starts with 68656c6c"},
		{"gzip of nothing", zipped(t, nil), "not a capture: empty"},
		{"bad gzip header", []byte{0x1f, 0x8b, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "starts like gzip: gzip: invalid header"},
		{"a header cut short", pcapFile[:23], "cut: the last whole block (frame 0) ends at byte 0, and 23 bytes of the next follow"},
		{"a magic cut short", pcapFile[:3], "cut: the last whole block (frame 0) ends at byte 0, and 3 bytes"},
		{"pcap version", swap(pcapFile, 4, 9), "damaged capture at byte 0: pcap version 9.4; 2.0 to 2.4 and 543.0 are known"},
		{"an absurd record", swap(pcapFile, 24+8, 0xff, 0xff, 0xff, 0x7f), "damaged capture at byte 24: record of 2147483647 bytes; at most 262144 are possible"},
		{"an absurd second record", swap(pcapFile, 45+8, 0xff, 0xff, 0xff, 0x7f), "damaged capture at byte 45, after frame 1: record of"},
		{"two files, one behind the other", slices.Concat(pcapFile, pcapFile), fmt.Sprintf("damaged capture at byte %d, after frame 2: another capture begins here: mergecap -a", len(pcapFile))},
		{"byte order", swap(good().Bytes(), 8, 1, 2, 3, 4), "at byte 0: section header with byte-order magic 01020304"},
		{"pcapng version", swap(good().Bytes(), 12, 2), "at byte 0: pcapng version 2.0"},
		{"a block of 0 bytes", good().block(6, nil, 0).Bytes(), "at byte 84, after frame 1: block of type 0x6 and 0 bytes"},
		{"a block of 8 bytes", good().block(6, nil, 8).Bytes(), "at byte 84, after frame 1: block of type 0x6 and 8 bytes"},
		{"an odd block", good().block(6, []byte("xyz")).Bytes(), "block of type 0x6 and 15 bytes"},
		{"4 GiB", good().block(6, nil, 0xfffffffc).Bytes(), "block of type 0x6 claims 4294967292 bytes; at most 16777216"},
		{"16 MiB that are not there", good().block(6, nil, 1<<24).Bytes(), "cut: the last whole block (frame 1) ends at byte 84, and 12 bytes"},
		{"two lengths", good().block(6, n.words(0, 0, 0, 0, 0), 32, 36).Bytes(), "begins with length 32 and ends with length 36"},
		{"a short packet block", good().block(6, n.words(0, 0, 0, 0)).Bytes(), "packet block of 28 bytes"},
		{"a packet beyond its block", good().block(6, n.words(0, 0, 0, 5, 5, "1234")).Bytes(), "packet of 5 bytes in a block of 36"},
		{"a packet of 4 GiB", good().block(6, n.words(0, 0, 0, -1, -1, "1234")).Bytes(), "packet of 4294967295 bytes in a block of 36"},
		{"an unknown interface", good().packet(1, 0, "x").Bytes(), "packet on interface 1; the section has 1 so far"},
		{"no interface", newNg(le).section().packet(0, 0, "x").Bytes(), "packet on interface 0; the section has 0 so far"},
		{"interfaces of another section", good().section().packet(0, 0, "x").Bytes(), "packet on interface 0; the section has 0 so far"},
		{"an option beyond its block", good().packet(0, 0, "x", n.words("\x01\x00\x09\x00", 0)).Bytes(), "options of the packet do not fit"},
		{"interface options", newNg(le).section().iface(1, n.words("\x02\x00\xff\xff", 0)).Bytes(), "options of interface 0 do not fit"},
		{"section options", newNg(le).section(n.words("\x02\x00\xff\xff", 0)).Bytes(), "options of the section header do not fit"},
		{"10^-20 s", newNg(le).section().iface(1, n.option(9, []byte{20})).Bytes(), "interface 0 has a time resolution (if_tsresol 0x14)"},
		{"2^-64 s", newNg(le).section().iface(1, n.option(9, []byte{0xc0})).Bytes(), "(if_tsresol 0xc0)"},
		{"10^-64 s", newNg(le).section().iface(1, n.option(9, []byte{64})).packet(0, 1, "x").Bytes(), "(if_tsresol 0x40)"},
		{"a short section", newNg(le).block(0x0a0d0d0a, n.words(0x1a2b3c4d, 1)).Bytes(), "section header of 20 bytes"},
		{"a short interface", newNg(le).section().block(1, n.words(1)).Bytes(), "interface block of 16 bytes"},
		{"a short simple packet", newNg(le).section().iface(1).block(3, nil).Bytes(), "simple packet block of 12 bytes"},
		{"a simple packet beyond its block", newNg(le).section().iface(1).block(3, n.words(9, "1234")).Bytes(), "simple packet of 9 bytes in a block of 20"},
		{"a simple packet without interface", newNg(le).section().block(3, n.words(4, "1234")).Bytes(), "simple packet block in a section without interface"},
		{"statistics of nothing", newNg(le).section().block(5, n.words(0, 0, 0)).Bytes(), "statistics of interface 0; the section has 0"},
		{"short statistics", newNg(le).section().block(5, n.words(0, 0)).Bytes(), "statistics block of 20 bytes"},
	} {
		err := drain(bytes.NewReader(c.input))
		var fe *pcap.FormatError
		var te *pcap.TruncatedError
		if err == nil || !strings.HasPrefix(err.Error(), "in: ") || !strings.Contains(err.Error(), c.want) || !errors.As(err, &fe) && !errors.As(err, &te) {
			t.Errorf("%s:\n got %v\nwant … %s …", c.what, err, c.want)
		}
	}
}

// drain reads all of a capture called "in" and returns the error, or nil.
func drain(in io.Reader) error {
	r, err := pcap.NewReader(in, "in")
	if err != nil {
		return err
	}
	for _, err := range r.Packets() {
		if err != nil {
			if _, again := r.Next(); again != err {
				return fmt.Errorf("Next returns %w, and then %w", err, again)
			}
			return err
		}
	}
	if _, err := r.Next(); err != io.EOF {
		return fmt.Errorf("after the end: %w", err)
	}
	return nil
}

func TestLengthsAreNotBelieved(t *testing.T) {
	n := newNg(binary.LittleEndian)
	input := n.section().iface(1).block(6, nil, 1<<24).Bytes()
	big := classic(binary.LittleEndian, 0xa1b2c3d4, 1)
	binary.LittleEndian.PutUint32(big[16:], 1<<30) // snaplen
	binary.LittleEndian.PutUint32(big[24+8:], 16<<20)
	for _, in := range [][]byte{input, big} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := drain(bytes.NewReader(in)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
			t.Errorf("%d bytes allocated for a file of %d", n, len(in))
		}
	}
}

// A file cut at any byte is read up to its last whole block, and the reader says
// where that ends.
func TestCutAtAnyByte(t *testing.T) {
	pcapFile, err := os.ReadFile(captures + "public-01-http-handshake-fin.pcap")
	ok(t, err)
	for name, whole := range map[string][]byte{"pcapng": everyClause(t).wire.Bytes(), "pcap": pcapFile} {
		all := packets(t, read(t, whole))
		ends := blockEnds(whole)
		for n := 1; n < len(whole); n++ {
			var got []*pcap.Packet
			r, err := pcap.NewReader(bytes.NewReader(whole[:n]), "in")
			for err == nil {
				var p *pcap.Packet
				if p, err = r.Next(); err == nil {
					got = append(got, p)
				}
			}
			i, atEnd := slices.BinarySearch(ends, n)
			last := 0
			if i > 0 {
				last = ends[i-1]
			}
			var cut *pcap.TruncatedError
			switch {
			case atEnd && err != io.EOF:
				t.Fatalf("%s, cut between blocks at %d: %v", name, n, err)
			case !atEnd && (!errors.As(err, &cut) || cut.Offset != int64(last) || cut.Size != int64(n) || cut.Frames != len(got)):
				t.Fatalf("%s, cut at %d: %v; the last block ends at %d", name, n, err, last)
			}
			want := 0
			for want < len(all) && all[want].Offset < int64(last) || want < len(all) && atEnd && all[want].Offset < int64(n) {
				want++
			}
			if len(got) != want {
				t.Fatalf("%s, cut at %d: %d packets, want %d", name, n, len(got), want)
			}
		}
	}
}

// blockEnds are where the blocks (records) of a little-endian file end.
func blockEnds(b []byte) []int {
	var ends []int
	at := 0
	if b[0] != 0x0a {
		at = 24
		ends = append(ends, at)
	}
	for at < len(b) {
		if b[0] == 0x0a {
			at += int(binary.LittleEndian.Uint32(b[at+4:]))
		} else {
			at += 16 + int(binary.LittleEndian.Uint32(b[at+8:]))
		}
		ends = append(ends, at)
	}
	return ends
}

func TestACutGzipFile(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	z := zipped(t, wire)
	for _, n := range []int{2, 5, 11, len(z) / 2, len(z) - 9, len(z) - 1} {
		var cut *pcap.TruncatedError
		if err := drain(bytes.NewReader(z[:n])); !errors.As(err, &cut) {
			t.Errorf("cut at %d of %d: %v", n, len(z), err)
		}
	}
	z[len(z)-5] ^= 1 // checksum
	if err := drain(bytes.NewReader(z)); err == nil || !strings.Contains(err.Error(), "gzip: invalid checksum") {
		t.Errorf("wrong checksum: %v", err)
	}
}

// FuzzReader: no input makes the reader panic, hang, or take memory out of proportion.
// The samples of TestFormats are among its seeds, in testdata/fuzz.
func FuzzReader(f *testing.F) {
	for _, name := range []string{"public-26-multi-if-le.pcapng", "public-27-multi-section-be.pcapng"} {
		b, err := os.ReadFile(captures + name)
		ok(f, err)
		f.Add(b)
	}
	f.Add(everyClause(f).wire.Bytes()[:2000])
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = swallow(t, b, 8<<20)
		if len(b) > 1<<16 {
			return
		}
		if r, err := pcap.NewReader(bytes.NewReader(b), "in"); err == nil {
			_ = pcap.ViewFull(io.Discard, r)
		}
	})
}

// Every single-byte change of a recording, and every view of it, ends in an
// error or a result, never in a panic.
func TestEveryFlippedByte(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	r := rand.New(rand.NewPCG(1, 2))
	for at := range wire {
		if testing.Short() && at%7 != 0 {
			continue
		}
		b := bytes.Clone(wire)
		b[at] ^= byte(1 << r.IntN(8))
		rd, err := pcap.NewReader(bytes.NewReader(b), "in")
		if err != nil {
			continue
		}
		_ = pcap.ViewFull(io.Discard, rd)
	}
}

// An offset that is none in the file says so.
func TestOffsetsInCompressedData(t *testing.T) {
	wire := everyClause(t).wire.Bytes()
	p := packets(t, read(t, wire))[9]
	bad := bytes.Clone(wire)
	bad[p.Offset+8] = 99
	where := fmt.Sprintf("at byte %d", p.Offset)
	if err := drain(bytes.NewReader(bad)); err == nil || !strings.Contains(err.Error(), where+", after frame 9: packet on interface 99") {
		t.Errorf("plain: %v", err)
	}
	if err := drain(bytes.NewReader(zipped(t, bad))); err == nil || !strings.Contains(err.Error(), where+" of the uncompressed data, after frame 9: packet on") {
		t.Errorf("gzip: %v", err)
	}
	if err := drain(bytes.NewReader(zipped(t, wire[:p.Offset+5]))); err == nil || !strings.Contains(err.Error(), where+" of the uncompressed data, and 5 bytes of the next follow") {
		t.Errorf("gzip of a cut file: %v", err)
	}
	z := zipped(t, wire)
	if err := drain(bytes.NewReader(z[:len(z)/2])); err == nil || !strings.Contains(err.Error(), "of the uncompressed data") {
		t.Errorf("cut gzip: %v", err)
	}
	early := bytes.Clone(wire)
	early[p.Offset+16]--
	early[p.Offset+12]--
	if r, err := pcap.NewReader(bytes.NewReader(zipped(t, early)), "in"); err != nil {
		t.Error(err)
	} else if err := pcap.ViewFull(io.Discard, r); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("byte %d of the uncompressed data", p.Offset)) {
		t.Errorf("an order that is wrong: %v", err)
	}
}
