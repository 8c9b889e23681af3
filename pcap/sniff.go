package pcap

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
)

// maxInflated bounds how many bytes a gzip input may expand to: a capture of
// that size is read from a plain file instead.
const maxInflated = 64 << 30

// readBuffer is the size of the input's buffer: 256 KiB reads.
const readBuffer = 256 << 10

// foreign are formats that are recognised and refused by name, with what to do.
var foreign = []struct {
	magic string
	what  string
}{
	{"\xa1\xb2\xcd\x34", "a pcap file in Kuznetzov's modified format"},
	{"\x34\xcd\xb2\xa1", "a pcap file in Kuznetzov's modified format"},
	{"\xa1\xb2\x34\xcd", "a pcap file in Mesquita's modified format"},
	{"\xcd\x34\xb2\xa1", "a pcap file in Mesquita's modified format"},
	{"\xa1\x2b\x3c\x4d", "a pcap file in Navtel's modified format"},
	{"\x4d\x3c\x2b\xa1", "a pcap file in Navtel's modified format"},
	{"\x1c\x00\x01\xab", "an Ixia lcap file"},
	{"\xab\x01\x00\x1c", "an Ixia lcap file"},
	{"\x1c\x00\x01\xac", "an Ixia lcap file"},
	{"\xac\x01\x00\x1c", "an Ixia lcap file"},
	{"snoo", "a Solaris snoop file"},
	{"GMBU", "a Microsoft Network Monitor file"},
	{"RTSS", "a Microsoft Network Monitor 1 file"},
	{"\x28\xb5\x2f\xfd", "compressed with zstd"},
	{"\x04\x22\x4d\x18", "compressed with lz4"},
	{"\xfd7zX", "compressed with xz"},
	{"BZh", "compressed with bzip2"},
	{"PK\x03\x04", "a zip archive"},
}

// wanted tells what would have been read.
const wanted = "want pcapng (0a0d0d0a) or pcap (a1b2c3d4, a1b23c4d, either byte order), plain or gzip"

// kind is the format of an input.
type kind uint8

const (
	kindPcapng kind = iota
	kindPcap
)

// sniff looks at the first bytes of r and returns what to read the capture from.
func sniff(r io.Reader, name string) (_ *bufio.Reader, k kind, zipped bool, err error) {
	br := bufio.NewReaderSize(r, readBuffer)
	head, err := peek(br, name)
	if err != nil {
		return nil, 0, false, err
	}
	if head[0] == 0x1f && len(head) > 1 && head[1] == 0x8b {
		z, err := gzip.NewReader(br)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil, 0, true, &TruncatedError{Name: name, Inflated: true}
		}
		if err != nil {
			return nil, 0, false, &FormatError{Name: name, Reason: "starts like gzip: " + err.Error(), Kind: ErrNotCapture}
		}
		zipped = true
		br = bufio.NewReaderSize(&inflated{z: z, name: name}, readBuffer)
		if head, err = peek(br, name); err != nil {
			return nil, 0, true, inflatedError(err)
		}
	}
	k, err = identify(head, name)
	if zipped {
		err = inflatedError(err)
	}
	return br, k, zipped, err
}

// inflatedError marks an error of reading that is about uncompressed data.
func inflatedError(err error) error {
	switch e := err.(type) {
	case *TruncatedError:
		e.Inflated = true
	case *FormatError:
		e.Inflated = true
	}
	return err
}

// peek returns up to four bytes, at least one.
func peek(br *bufio.Reader, name string) ([]byte, error) {
	head, err := br.Peek(4)
	switch {
	case len(head) > 0:
		return head, nil
	case err == io.EOF:
		return nil, &FormatError{Name: name, Reason: "empty; " + wanted, Kind: ErrNotCapture}
	}
	if err == io.ErrUnexpectedEOF {
		return nil, &TruncatedError{Name: name}
	}
	return nil, fmt.Errorf("%s: %w", name, err)
}

// identify tells the format by its first bytes.
func identify(head []byte, name string) (kind, error) {
	if len(head) == 4 {
		switch binary.BigEndian.Uint32(head) {
		case blockSection:
			return kindPcapng, nil
		case magicMicro, magicNano:
			return kindPcap, nil
		}
		switch binary.LittleEndian.Uint32(head) {
		case magicMicro, magicNano:
			return kindPcap, nil
		}
	} else {
		for _, magic := range []string{"\x0a\x0d\x0d\x0a", "\xa1\xb2\xc3\xd4", "\xd4\xc3\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x4d\x3c\xb2\xa1"} {
			if bytes.HasPrefix([]byte(magic), head) {
				return 0, &TruncatedError{Name: name, Size: int64(len(head))}
			}
		}
	}
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return 0, &FormatError{Name: name, Kind: ErrNotCapture,
				Reason: fmt.Sprintf("it is %s (%x); convert it to pcapng first", f.what, head)}
		}
	}
	return 0, &FormatError{Name: name, Kind: ErrNotCapture, Reason: fmt.Sprintf("starts with %x; %s", head, wanted)}
}

// inflated is a gzip stream with a bound. The end of a cut stream is
// io.ErrUnexpectedEOF, which input takes for the end within a block.
type inflated struct {
	z    *gzip.Reader
	name string
	n    int64
}

func (i *inflated) Read(p []byte) (int, error) {
	n, err := i.z.Read(p)
	i.n += int64(n)
	if i.n > maxInflated {
		return 0, fmt.Errorf("%s: expands to more than %d bytes; decompress it first", i.name, int64(maxInflated))
	}
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		err = fmt.Errorf("gzip: %w", err)
	}
	return n, err
}
