package pcap

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The classic format: a header of 24 bytes, then records of a 16-byte header and
// data. https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap
const (
	magicMicro = 0xa1b2c3d4
	magicNano  = 0xa1b23c4d

	pcapHeader   = 24
	recordHeader = 16

	// maxRecord is libpcap's MAXIMUM_SNAPLEN. A file may declare more, up to maxBlock.
	maxRecord = 262144
)

// pcapScanner scans the classic format, as ngScanner does pcapng. A record whose
// captured length exceeds its original one is given the captured one as both, as
// tcpdump and Wireshark read it; pcapgo would stop there.
type pcapScanner struct {
	input
	serve  []byte
	err    error
	begun  bool
	frames int
	order  binary.ByteOrder
	limit  uint32 // of a record's data
	iface  Interface
	cur    scanned
}

var _ io.Reader = (*pcapScanner)(nil)

// Read hands out the header, then record after record.
func (s *pcapScanner) Read(p []byte) (int, error) {
	if len(s.serve) == 0 {
		if s.err == nil {
			s.err = s.next()
		}
		if s.err != nil {
			return 0, s.err
		}
	}
	n := copy(p, s.serve)
	s.serve = s.serve[n:]
	return n, nil
}

func (s *pcapScanner) damaged(format string, args ...any) error {
	return &FormatError{Name: s.name, Offset: s.cur.offset, Frame: s.frames, Reason: fmt.Sprintf(format, args...), Kind: ErrDamaged, Inflated: s.zip}
}

func (s *pcapScanner) ended(err error) error {
	if err == io.ErrUnexpectedEOF {
		return &TruncatedError{Name: s.name, Offset: s.off, Size: s.off + int64(len(s.buf)), Frames: s.frames, Inflated: s.zip}
	}
	return err
}

func (s *pcapScanner) next() error {
	s.cur = scanned{offset: s.off}
	s.buf = s.buf[:0]
	if !s.begun {
		s.begun = true
		return s.header()
	}
	if err := s.fill(recordHeader); err != nil {
		return s.ended(err)
	}
	captured, original := s.order.Uint32(s.buf[8:]), s.order.Uint32(s.buf[12:])
	if captured > s.limit {
		return s.damaged("record of %d bytes; at most %d are possible in this file", captured, s.limit)
	}
	if err := s.fill(recordHeader + int(captured)); err != nil {
		return s.ended(err)
	}
	s.order.PutUint32(s.buf[12:], max(original, captured))
	s.frames++
	s.cur.frame, s.cur.origLen = s.frames, int(original)
	s.off += int64(len(s.buf))
	s.serve = s.buf
	return nil
}

// header reads the file's header; the caller has made sure of the magic number.
func (s *pcapScanner) header() error {
	if err := s.fill(pcapHeader); err != nil {
		return s.ended(err)
	}
	s.order = binary.LittleEndian
	switch binary.BigEndian.Uint32(s.buf) {
	case magicMicro, magicNano:
		s.order = binary.BigEndian
	}
	if major, minor := s.order.Uint16(s.buf[4:]), s.order.Uint16(s.buf[6:]); major != 2 || minor != 4 {
		return s.damaged("pcap version %d.%d; 2.4 is known", major, minor)
	}
	snap, link := s.order.Uint32(s.buf[16:]), s.order.Uint32(s.buf[20:])
	s.limit = min(max(snap, maxRecord), maxBlock)
	// Bits 28 to 31 give the length of the FCS in units of 16 bits if bit 26 is
	// set; the link type is in the 26 bits below.
	if link&(1<<26) != 0 {
		s.iface.FCSLen = int(link>>28) * 2
	}
	s.iface.LinkType = int(link & (1<<26 - 1))
	s.iface.SnapLen = int(min(snap, 1<<31-1))
	s.iface.Section = 1
	// pcapgo takes no record longer than this.
	s.order.PutUint32(s.buf[16:], s.limit)
	s.off += pcapHeader
	s.serve = s.buf
	return nil
}

func (s *pcapScanner) bigEndian() bool { return s.order == binary.BigEndian }
