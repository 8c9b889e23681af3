package pcap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// pcapScanner scans the classic format, as ngScanner does pcapng. A record whose
// captured length exceeds its original one is given the captured one as both, as
// tcpdump and Wireshark read it; pcapgo would stop there. What pcapgo is served is
// the standard format, version 2.4, whatever variant the file is (see classic.go).
type pcapScanner struct {
	input
	serve   []byte
	err     error
	begun   bool
	frames  int
	order   binary.ByteOrder
	variant classic
	version string // "" for 2.4
	lengths lengthOrder
	limit   uint32 // of a record's data
	start   []byte // of the file: its magic number and version
	iface   Interface
	cur     scanned
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

// record returns the next record's packet, valid until the next call, and its time. pcapgo,
// which has read the header, does not see it.
func (s *pcapScanner) record() ([]byte, time.Time, error) {
	if s.err == nil {
		s.err = s.next()
	}
	if s.err != nil {
		return nil, time.Time{}, s.err
	}
	r := s.serve
	s.serve = nil
	frac := int64(s.order.Uint32(r[4:]))
	if !s.variant.nano {
		frac *= int64(time.Microsecond)
	}
	return r[recordHeader:], time.Unix(int64(s.order.Uint32(r)), frac).UTC(), nil
}

func (s *pcapScanner) damaged(format string, args ...any) error {
	return &FormatError{Name: s.name, Offset: s.cur.offset, Frame: s.frames, Reason: fmt.Sprintf(format, args...), Kind: ErrDamaged, Inflated: s.zip}
}

func (s *pcapScanner) next() error {
	s.cur = scanned{offset: s.off}
	s.begin()
	if !s.begun {
		s.begun = true
		return s.header()
	}
	head := recordHeader + s.variant.more
	if err := s.fill(head); err != nil {
		return s.ended(err, s.frames)
	}
	if bytes.Equal(s.buf[:len(s.start)], s.start) && binary.LittleEndian.Uint64(s.buf[len(s.start):]) == 0 {
		// As a record it would be one of 2055 without a byte.
		return s.damaged("another capture begins here: mergecap -a, and not cat, joins captures")
	}
	captured, original := s.lengths.of(s.order.Uint32(s.buf[8:]), s.order.Uint32(s.buf[12:]))
	if captured > s.limit {
		return s.damaged("record of %d bytes; at most %d are possible in this file", captured, s.limit)
	}
	if err := s.fill(head + int(captured)); err != nil {
		return s.ended(err, s.frames)
	}
	s.frames++
	s.cur.frame, s.cur.origLen = s.frames, int(original)
	s.off += int64(len(s.buf))
	s.order.PutUint32(s.buf[8:], captured)
	s.order.PutUint32(s.buf[12:], max(original, captured))
	// The variant's own fields go: the standard ones are moved up to the data.
	copy(s.buf[s.variant.more:head], s.buf[:recordHeader])
	s.serve = s.buf[s.variant.more:]
	return nil
}

// header reads the file's header; the caller has made sure of the magic number.
func (s *pcapScanner) header() error {
	if err := s.fill(pcapHeader); err != nil {
		return s.ended(err, 0)
	}
	s.variant, s.order, _ = classicOf(s.buf)
	if err := s.fill(pcapHeader + s.variant.tail); err != nil {
		return s.ended(err, 0)
	}
	major, minor := s.order.Uint16(s.buf[4:]), s.order.Uint16(s.buf[6:])
	if major != 2 || minor > 4 {
		if major != 543 || minor != 0 {
			return s.damaged("pcap version %d.%d; 2.0 to 2.4 and 543.0 are known", major, minor)
		}
	}
	if major != 2 || minor != 4 {
		s.version = fmt.Sprintf("%d.%d", major, minor)
	}
	s.start = bytes.Clone(s.buf[:8])
	s.lengths = lengthOrderOf(major, minor)
	snap, link := s.order.Uint32(s.buf[16:]), s.order.Uint32(s.buf[20:])
	if minor == 2 && s.variant.magic == magicMicro {
		if lt, ok := aixLinkTypes[link]; ok {
			s.variant, link = classicAIX, lt
		}
	}
	if link&linkReserved != 0 {
		return s.damaged("reserved bits of the link type %#x are set; the format has the type in the lower 16 bits and the length of the frame check sequence in the upper 6", link)
	}
	s.limit = min(max(snap, maxRecord), maxBlock)
	s.keep()
	s.variant = s.guess()
	// The upper four bits give the length of the FCS in units of 16 bits if the
	// bit says so.
	if link&linkFCSPresent != 0 {
		s.iface.FCSLen = int(link>>28) * 2
	}
	s.iface.LinkType = int(link & linkTypeMask)
	s.iface.SnapLen = int(min(snap, 1<<31-1))
	s.iface.Section = 1
	s.off += int64(len(s.buf))
	// pcapgo gets the standard format, and takes no record longer than the snap length.
	s.buf = s.buf[:pcapHeader]
	magic := uint32(magicMicro)
	if s.variant.nano {
		magic = magicNano
	}
	s.order.PutUint32(s.buf, magic)
	s.order.PutUint16(s.buf[4:], 2)
	s.order.PutUint16(s.buf[6:], 4)
	s.order.PutUint32(s.buf[16:], s.limit)
	s.order.PutUint32(s.buf[20:], uint32(s.iface.LinkType))
	s.serve = s.buf
	return nil
}

// format is what [Reader.Format] says.
func (s *pcapScanner) format() string {
	f := "pcap"
	if s.variant.name != "" {
		f += " (" + s.variant.name + ")"
	}
	if s.version != "" {
		f += " version " + s.version
	}
	if s.variant.nano {
		f += ", nanoseconds"
	} else {
		f += ", microseconds"
	}
	if s.order == binary.BigEndian {
		return f + ", big-endian"
	}
	return f + ", little-endian"
}
