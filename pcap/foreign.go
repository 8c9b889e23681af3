package pcap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// What to do with a file of a format that is not read.
const (
	byEditcap  = "convert it first: editcap -F pcapng FILE NEW.pcapng"
	byHand     = "no tool at hand reads it; export it as pcap with the program that wrote it"
	byUnpacker = "" // with foreign.unpack
)

// foreign are formats that are recognised and refused by name, with what to do.
// Where two match, the first is meant. The magic numbers are those of Wireshark's
// wiretap, libpcap's sf-pcap.c and the formats' own documents.
var foreign = []struct {
	magic  string
	what   string
	do     string
	unpack string // the command that writes the decompressed file to its output
}{
	{"\xa1\xb2\x34\xcd", "a pcap file in Mesquita's modified format", byHand, ""},
	{"\xcd\x34\xb2\xa1", "a pcap file in Mesquita's modified format", byHand, ""},
	{"\xa1\x2b\x3c\x4d", "a pcap file in Navtel's modified format", byHand, ""},
	{"\x4d\x3c\x2b\xa1", "a pcap file in Navtel's modified format", byHand, ""},
	{"snoop\x00\x00\x00", "a Solaris snoop file", byEditcap, ""},
	{"btsnoop\x00", "a btsnoop file, which holds Bluetooth", byEditcap, ""},
	{"GMBU", "a Microsoft Network Monitor 2 file", byEditcap, ""},
	{"RTSS", "a Microsoft Network Monitor 1 file", byEditcap, ""},
	{"TRSNIFF data    \x1a", "a Sniffer file (DOS)", byEditcap, ""},
	{"XCP\x00", "a NetXray or Sniffer file (Windows)", byEditcap, ""},
	{"VL\x00\x00", "a NetXray file", byEditcap, ""},
	{"\x01\x10\x4c\x00", "a Novell LANalyzer file", byEditcap, ""},
	{"\x01\x10\x40\x00", "a Novell LANalyzer file", byEditcap, ""},
	{"ObserverPktBuffe", "an Observer file", byEditcap, ""},
	{"TR\x00", "an HP-UX nettl file", byEditcap, ""},
	{"\xaa\xaa\xaa\xaa", "an InfoVista 5View file", byEditcap, ""},
	{"\x05VNF", "a Visual Networks file", byEditcap, ""},
	{"iptrace 1.0", "an AIX iptrace file", byEditcap, ""},
	{"iptrace 2.0", "an AIX iptrace file", byEditcap, ""},
	{"\x7fver", "a Savvius Omnipeek file", byEditcap, ""},
	{"\x00\x00\x02\x00\x12\x05\x00\x10", "a Tektronix K12xx file", byEditcap, ""},
	{"EyeSDN", "an EyeSDN file", byEditcap, ""},
	{"+---------+---------------+----------+", "a K12 text file", byEditcap, ""},
	{"Session Transcript", "a Catapult DCT2000 file", byEditcap, ""},
	{"\xfd7zXZ", "compressed with xz", byUnpacker, "xz -dc"},
	{"\x04\x22\x4d\x18", "compressed with lz4", byUnpacker, "lz4 -dc"},
	{"\x02\x21\x4c\x18", "compressed with lz4", byUnpacker, "lz4 -dc"},
	{"BZh", "compressed with bzip2", byUnpacker, "bzip2 -dc"},
	{"LZIP", "compressed with lzip", byUnpacker, "lzip -dc"},
	{"\x1f\x9d", "compressed with compress", byUnpacker, "gzip -dc"},
	{"\x1f\x8b", "compressed with gzip", byUnpacker, "gzip -dc"}, // within a compressed file
	{"\x28\xb5\x2f\xfd", "compressed with zstd", byUnpacker, "zstd -dc"},
	{"PK\x03\x04", "a zip archive", byUnpacker, "unzip -p"},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive", byUnpacker, "7z x -so"},
	{"Rar!", "a RAR archive", "unpack it first", ""},
	{"version https://git-lfs", "not a capture but the pointer that git keeps in its place", "fetch the file: git lfs pull", ""},
	{"<!DOCTYPE", "an HTML page", "download the capture itself", ""},
	{"<html", "an HTML page", "download the capture itself", ""},
}

// wanted tells what would have been read.
const wanted = "want pcapng (0a0d0d0a) or pcap (a1b2c3d4, a1b23c4d, either byte order), plain or in gzip or zstd"

// notCapture is the error for an input that is not read, by as many of its first
// bytes as there are at hand. packed tells that they are of decompressed data.
func notCapture(name string, head []byte, packed packing) error {
	e := &FormatError{Name: name, Kind: ErrNotCapture, Inflated: packed != plain}
	short := head[:min(len(head), 4)]
	for _, f := range foreign {
		if !bytes.HasPrefix(head, []byte(f.magic)) && !(len(head) < 4 && bytes.HasPrefix([]byte(f.magic), head) && len(head) >= 2) {
			continue
		}
		switch {
		case f.unpack == "":
			e.Reason = fmt.Sprintf("it is %s (%x); %s", f.what, short, f.do)
		case packed != plain:
			e.Reason = fmt.Sprintf("it is %s (%x) within %s; decompress it twice: %s -dc FILE | %s | vnreplay show -", f.what, short, packed, packed, f.unpack)
		default:
			e.Reason = fmt.Sprintf("it is %s (%x); decompress it first: %s FILE | vnreplay show -", f.what, short, f.unpack)
		}
		return e
	}
	switch {
	case isERF(head):
		e.Reason = fmt.Sprintf("it looks like an Endace ERF file (%x); %s", short, byEditcap)
	case isCommView(head):
		e.Reason = fmt.Sprintf("it looks like a CommView file (%x); %s", short, byEditcap)
	case isText(head):
		e.Reason = fmt.Sprintf("starts with %x, which is text; %s; of a hex dump, text2pcap makes one", short, wanted)
	default:
		e.Reason = fmt.Sprintf("starts with %x; %s", short, wanted)
	}
	return e
}

// isERF reports whether head looks like records of the extensible record format,
// which has no magic number: little-endian seconds in bytes 4 to 7, a type, and the
// record's length in bytes 10 and 11, of which two in a row must make sense. A file
// may begin with a record of metadata, type 27, that has no time.
func isERF(head []byte) bool {
	var last uint32
	n := 0
	for ; n < 2; n++ {
		if len(head) < 16 {
			break
		}
		sec, kind, size := binary.LittleEndian.Uint32(head[4:]), head[8]&0x7f, int(binary.BigEndian.Uint16(head[10:]))
		if n == 0 && kind == 27 && binary.LittleEndian.Uint64(head) == 0 && size%8 == 0 && size > 16 {
			return true
		}
		if kind == 0 || kind > 48 || size < 16 || sec < 1<<28 || n > 0 && sec-last > 1<<20 {
			return false
		}
		if last = sec; size > len(head) {
			break
		}
		head = head[size:]
	}
	return n == 2 || n == 1 && len(head) == 0
}

// isCommView reports whether head looks like the first packet of a CommView file,
// of which neither version has a magic number: lengths, then a date.
func isCommView(head []byte) bool {
	if len(head) < 12 {
		return false
	}
	date := func(b []byte) bool {
		year := binary.LittleEndian.Uint16(b)
		return year > 1990 && year < 2200 && b[2] >= 1 && b[2] <= 12 && b[3] >= 1 && b[3] <= 31 && b[4] < 24 && b[5] < 60 && b[6] < 61
	}
	first, second := binary.LittleEndian.Uint16(head), binary.LittleEndian.Uint16(head[2:])
	return second == 0 && date(head[4:]) || first <= second && second > 0 && head[4] == 0 && date(head[5:])
}

// isText reports whether all of head, of which the last rune may be cut, is text.
func isText(head []byte) bool {
	head = head[:min(len(head), 64)]
	if !utf8.Valid(head[:max(len(head)-3, 0)]) || len(head) < 4 {
		return false
	}
	for _, c := range head {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
