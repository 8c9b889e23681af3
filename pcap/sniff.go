package pcap

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// readBuffer is the size of the input's buffer: 256 KiB reads.
const readBuffer = 256 << 10

// kind is the format of an input.
type kind uint8

const (
	kindPcapng kind = iota
	kindPcap
)

// sniff looks at the first bytes of r and returns what to read the capture from.
func sniff(r io.Reader, name string) (_ *bufio.Reader, k kind, pack packing, err error) {
	br := bufio.NewReaderSize(r, readBuffer)
	head, err := peek(br, name)
	if err != nil {
		return nil, 0, plain, err
	}
	if pack = packingOf(head); pack != plain {
		br, err = unpack(br, pack)
		if err == io.ErrUnexpectedEOF {
			return nil, 0, pack, &TruncatedError{Name: name, Inflated: true}
		}
		if err != nil {
			return nil, 0, plain, &FormatError{Name: name, Reason: fmt.Sprintf("starts like %s: %v", pack, err), Kind: ErrNotCapture}
		}
		if head, err = peek(br, name); err != nil {
			return nil, 0, pack, inflatedError(err)
		}
	}
	k, err = identify(head, name, pack)
	return br, k, pack, err
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

// peek returns the first bytes of the input: at least one, at least four where
// there are as many, and no more than have come with them, so that nobody waits
// for more than these.
func peek(br *bufio.Reader, name string) ([]byte, error) {
	head, err := br.Peek(4)
	switch {
	case len(head) == 4:
		return br.Peek(br.Buffered())
	case len(head) > 0 && (err == io.EOF || err == io.ErrUnexpectedEOF):
		return head, nil
	case err == io.EOF:
		return nil, &FormatError{Name: name, Reason: "empty; " + wanted, Kind: ErrNotCapture}
	case err == io.ErrUnexpectedEOF:
		return nil, &TruncatedError{Name: name}
	}
	if bad, ok := err.(packError); ok {
		return nil, &FormatError{Name: name, Reason: bad.Error(), Kind: ErrDamaged}
	}
	return nil, fmt.Errorf("%s: %w", name, err)
}

// identify tells the format by its first bytes.
func identify(head []byte, name string, pack packing) (kind, error) {
	if len(head) >= 4 {
		if binary.BigEndian.Uint32(head) == blockSection {
			return kindPcapng, nil
		}
		if _, _, ok := classicOf(head); ok {
			return kindPcap, nil
		}
		return 0, notCapture(name, head, pack)
	}
	for _, magic := range readMagics() {
		if strings.HasPrefix(magic, string(head)) {
			return 0, &TruncatedError{Name: name, Size: int64(len(head)), Inflated: pack != plain}
		}
	}
	return 0, notCapture(name, head, pack)
}

// readMagics are the first four bytes of what is read.
func readMagics() []string {
	magics := []string{"\x0a\x0d\x0d\x0a", "\x28\xb5\x2f\xfd", "\x1f\x8b"}
	for _, c := range classics {
		magics = append(magics, string(binary.BigEndian.AppendUint32(nil, c.magic)), string(binary.LittleEndian.AppendUint32(nil, c.magic)))
	}
	return magics
}
