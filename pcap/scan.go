package pcap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Between the input and pcapgo stands a scanner. It reads the input block by
// block (record by record in the classic format) and, as an io.Reader, hands
// pcapgo those it has checked: framing, lengths, references, options. So pcapgo,
// which checks few of these, sees no damage; every error has its byte offset; and
// a cut input is read up to the end of its last whole block.
//
// A Read never goes beyond the current block, and pcapgo's bufio.Reader reads
// only when it is empty. So when pcapgo has returned a packet, cur is the block
// that the packet came from, and the scanner's decoding of it is of that packet.
//
// The scanner itself decodes what pcapgo v1.7.7 gets wrong or does not give:
// options of packets (flags and packet id of big-endian files; comments of
// obsolete packet blocks), times (10^0 s, 2^-n s, simple packet blocks), several
// comments of one section header, addresses and speeds of interfaces, and
// statistics blocks as a whole. Blocks that neither uses are skipped.

// scanned is what the scanner knows of the current block.
type scanned struct {
	offset   int64 // of the block
	frame    int   // the frame's number, when it is a packet
	units    uint64
	noTime   bool // a simple packet block
	origLen  int
	flags    uint32
	id       uint64
	lost     uint64
	comments []string
	stray    bool // see strayBytes
}

// ngScanner scans pcapng.
type ngScanner struct {
	input
	serve  []byte // what pcapgo has not read yet of the current block
	err    error  // why there are no more blocks
	frames int    // Wireshark's frame numbers
	order  binary.ByteOrder
	cur    scanned
	whole  []byte // the packet, if the current block is an enhanced packet block
	iface  int    // its interface

	// All sections and interfaces so far. pcapgo gives the strings and link types.
	sections []Section
	ifaces   []*Interface
	base     int // the current section's first interface
	kept     int // bytes of what these hold, roughly
	others   []BlockCount
}

// Bounds of what is kept of a file while it is read. A file that a recording of
// [maxInterfaces] ports makes is within them.
const (
	maxInterfaces = 1 << 16
	maxSections   = 1 << 16
	maxKept       = 32 << 20 // bytes of section, interface and statistics blocks
	maxComments   = 1 << 18  // of one packet
)

// keep accounts for a block of n bytes with some comments, of which the strings
// are kept until the end, and for what that replaces.
func (s *ngScanner) keep(n, comments int, replaced *int) error {
	const header = 16 // of a string
	n += comments * header
	s.kept += n - *replaced
	*replaced = n
	if s.kept > maxKept {
		return s.damaged("the descriptions of sections and interfaces exceed %d bytes", maxKept)
	}
	return nil
}

var _ io.Reader = (*ngScanner)(nil)

// Read hands out the current block, and then the next.
func (s *ngScanner) Read(p []byte) (int, error) {
	for len(s.serve) == 0 {
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

// damaged is the error of the current block.
func (s *ngScanner) damaged(format string, args ...any) error {
	return &FormatError{Name: s.name, Offset: s.cur.offset, Frame: s.frames, Reason: fmt.Sprintf(format, args...), Kind: ErrDamaged, Inflated: s.zip}
}

// nextPacket reads on until there is a block that pcapgo is to see. If that is an
// enhanced packet block it returns the packet, which the scanner knows all of, and pcapgo
// does not see it. data is valid until the next call.
func (s *ngScanner) nextPacket() (data []byte, iface int, ok bool) {
	for len(s.serve) == 0 && s.err == nil {
		s.err = s.next()
	}
	if s.err != nil || s.whole == nil {
		return nil, 0, false
	}
	s.serve = nil
	return s.whole, s.iface, true
}

// next reads and checks the next block, and serves it if pcapgo is to see it.
func (s *ngScanner) next() error {
	s.cur = scanned{offset: s.off}
	s.whole = nil
	s.begin()
	if err := s.fill(8); err != nil {
		return s.ended(err, s.frames)
	}
	section := binary.LittleEndian.Uint32(s.buf) == blockSection // the same in both orders
	if section {
		if err := s.fill(12); err != nil {
			return s.ended(err, s.frames)
		}
		switch uint32(byteOrderMagic) {
		case binary.LittleEndian.Uint32(s.buf[8:]):
			s.order = binary.LittleEndian
		case binary.BigEndian.Uint32(s.buf[8:]):
			s.order = binary.BigEndian
		default:
			return s.damaged("section header with byte-order magic %x, want 1a2b3c4d in one order or the other", s.buf[8:12])
		}
	}
	kind, length := s.order.Uint32(s.buf), s.order.Uint32(s.buf[4:])
	switch {
	case length < 12 || length%4 != 0:
		return s.damaged("block of type %#x and %d bytes; a block has at least 12, and a multiple of 4", kind, length)
	case length > maxBlock:
		return s.damaged("block of type %#x claims %d bytes; at most %d are read", kind, length, maxBlock)
	}
	if err := s.fill(int(length)); err != nil {
		return s.ended(err, s.frames)
	}
	if tail := s.order.Uint32(s.buf[length-4:]); tail != length {
		return s.damaged("block of type %#x begins with length %d and ends with length %d", kind, length, tail)
	}
	serve, err := s.block(kind, s.buf[8:length-4])
	if err != nil {
		return err
	}
	if serve {
		s.serve = s.buf
	}
	s.off += int64(length)
	return nil
}

// block decodes one block's body and says whether pcapgo is to see it.
func (s *ngScanner) block(kind uint32, body []byte) (serve bool, err error) {
	switch kind {
	case blockSection:
		return true, s.sectionHeader(body)
	case blockInterface:
		return true, s.interfaceBlock(body)
	case blockPacket, blockObsolete:
		return true, s.packet(kind, body)
	case blockSimple:
		return true, s.simplePacket(body)
	case blockStats:
		return false, s.statistics(body)
	case blockCustom, blockCustomNo, blockJournal:
		// Wireshark gives these a frame number.
		s.frames++
	}
	s.other(kind)
	return false, nil
}

func (s *ngScanner) sectionHeader(body []byte) error {
	if len(body) < 16 {
		return s.damaged("section header of %d bytes", len(body)+12)
	}
	if major, minor := s.order.Uint16(body[4:]), s.order.Uint16(body[6:]); major != 1 || minor != 0 && minor != 2 {
		return s.damaged("pcapng version %d.%d; 1.0 is known", major, minor)
	}
	// The specification makes 1.2 the same; pcapgo does not know that.
	s.order.PutUint16(body[6:], 0)
	section := Section{BigEndian: s.order == binary.BigEndian}
	ok := eachOption(body[16:], s.order, func(code int, value []byte) {
		if code == optComment {
			section.Comments = append(section.Comments, text(value))
		}
	})
	if !ok {
		return s.damaged("options of the section header do not fit in it")
	}
	if len(s.sections) == maxSections {
		return s.damaged("more than %d sections", maxSections)
	}
	s.sections = append(s.sections, section)
	s.base = len(s.ifaces)
	return s.keep(len(body), len(section.Comments), new(int))
}

func (s *ngScanner) interfaceBlock(body []byte) error {
	if len(body) < 8 {
		return s.damaged("interface block of %d bytes", len(body)+12)
	}
	if len(s.ifaces) == maxInterfaces {
		return s.damaged("more than %d interfaces", maxInterfaces)
	}
	ifc := &Interface{
		ID:      len(s.ifaces) - s.base,
		Section: len(s.sections),
		SnapLen: int(min(s.order.Uint32(body[4:]), 1<<31-1)),
		res:     microseconds,
	}
	ok := eachOption(body[8:], s.order, func(code int, value []byte) {
		switch {
		case code == optComment && ifc.Comment == "":
			ifc.Comment = text(value)
		case code == optIfMAC && len(value) == 6:
			ifc.Port.MAC = vswitch.MAC(value)
		case code == optIfSpeed && len(value) == 8:
			ifc.Speed = s.order.Uint64(value)
		case code == optIfTSResol && len(value) == 1:
			ifc.res = resolution(value[0])
		case code == optIfTSOffset && len(value) == 8:
			ifc.offset = int64(s.order.Uint64(value))
		case code == optIfFCSLen && len(value) == 1:
			ifc.FCSLen = fcsOption(value[0])
		}
	})
	if !ok {
		return s.damaged("options of interface %d do not fit in its block", ifc.ID)
	}
	if !ifc.res.valid() {
		return s.damaged("interface %d has a time resolution (if_tsresol %#x) that 64 bits do not hold", ifc.ID, uint8(ifc.res))
	}
	s.ifaces = append(s.ifaces, ifc)
	return s.keep(len(body), 0, new(int))
}

// packet decodes an enhanced or obsolete packet block, and takes its options out
// of what pcapgo sees.
func (s *ngScanner) packet(kind uint32, body []byte) error {
	const fixed = 20
	if len(body) < fixed {
		return s.damaged("packet block of %d bytes", len(body)+12)
	}
	iface := s.order.Uint32(body)
	if kind == blockObsolete {
		iface = uint32(s.order.Uint16(body))
	}
	s.cur.units = uint64(s.order.Uint32(body[4:]))<<32 | uint64(s.order.Uint32(body[8:]))
	length := s.order.Uint32(body[12:])
	s.cur.origLen = int(s.order.Uint32(body[16:]))
	switch {
	case int64(iface) >= int64(len(s.ifaces)-s.base):
		return s.damaged("packet on interface %d; the section has %d so far", iface, len(s.ifaces)-s.base)
	case int64(length) > int64(len(body)-fixed):
		return s.damaged("packet of %d bytes in a block of %d", length, len(body)+12)
	}
	end := fixed + padded(int(length))
	if end > len(body) {
		return s.damaged("packet of %d bytes in a block of %d", length, len(body)+12)
	}
	ok := eachOption(body[end:], s.order, func(code int, value []byte) {
		switch {
		case code == optComment && len(s.cur.comments) <= maxComments:
			s.cur.comments = append(s.cur.comments, text(value))
		case code == optPacketFlags && len(value) == 4:
			s.cur.flags = s.order.Uint32(value)
		case code == optPacketID && len(value) == 8 && kind == blockPacket:
			s.cur.id = s.order.Uint64(value)
		case code == optPacketDrop && len(value) == 8 && kind == blockPacket:
			s.cur.lost = s.order.Uint64(value)
		}
	})
	switch {
	case !ok:
		return s.damaged("options of the packet do not fit in its block")
	case len(s.cur.comments) > maxComments:
		return s.damaged("packet with more than %d comments", maxComments)
	}
	s.cur.stray = strayBytes(body[fixed+int(length):end], body[end:], s.order)
	s.frames++
	s.cur.frame = s.frames
	if kind == blockPacket {
		s.whole, s.iface = body[fixed:fixed+int(length):fixed+int(length)], s.base+int(iface)
	}
	s.shorten(12 + end)
	return nil
}

// strayBytes reports whether there are bytes in the padding or the options of a
// packet that no reader takes for anything: padding that is not zero, options that
// nobody has defined or of the wrong length, options without an end, bytes behind
// it. No writer leaves such; a damaged file may.
func strayBytes(pad, opts []byte, order binary.ByteOrder) bool {
	zero := func(b []byte) bool {
		for _, c := range b {
			if c != 0 {
				return false
			}
		}
		return true
	}
	if !zero(pad) {
		return true
	}
	if len(opts) == 0 {
		return false
	}
	for len(opts) >= 4 {
		code, n := int(order.Uint16(opts)), int(order.Uint16(opts[2:]))
		switch {
		case code == optEnd:
			return len(opts) > 4
		case code == optPacketFlags && n != 4, code == optPacketID && n != 8, code == optPacketDrop && n != 8:
			return true
		case code > optLastPacket && code != optCustomText && code != optCustom && code != optCustomTextNo && code != optCustomNo:
			return true
		case !zero(opts[4+n : 4+padded(n)]):
			return true
		case code == optComment && bytes.HasPrefix(opts[4:4+n], []byte("vnr.")) && bytes.IndexByte(opts[4:4+n], 0) >= 0:
			return true // text cuts it off there
		}
		opts = opts[4+padded(n):]
	}
	return true
}

// shorten makes the current block n bytes long.
func (s *ngScanner) shorten(n int) {
	s.buf = s.buf[:n]
	s.order.PutUint32(s.buf[4:], uint32(n))
	s.order.PutUint32(s.buf[n-4:], uint32(n))
}

func (s *ngScanner) simplePacket(body []byte) error {
	if len(body) < 4 {
		return s.damaged("simple packet block of %d bytes", len(body)+12)
	}
	if len(s.ifaces) == s.base {
		return s.damaged("simple packet block in a section without interface")
	}
	length := s.order.Uint32(body)
	s.cur.origLen = int(length)
	if snap := s.ifaces[s.base].SnapLen; snap > 0 {
		length = min(length, uint32(snap))
	}
	if int64(length) > int64(len(body)-4) {
		return s.damaged("simple packet of %d bytes in a block of %d", length, len(body)+12)
	}
	s.cur.noTime = true
	s.frames++
	s.cur.frame = s.frames
	return nil
}

func (s *ngScanner) statistics(body []byte) error {
	const fixed = 12
	if len(body) < fixed {
		return s.damaged("statistics block of %d bytes", len(body)+12)
	}
	id := s.order.Uint32(body)
	if int64(id) >= int64(len(s.ifaces)-s.base) {
		return s.damaged("statistics of interface %d; the section has %d so far", id, len(s.ifaces)-s.base)
	}
	ifc := s.ifaces[s.base+int(id)]
	stamp := func(b []byte) uint64 { return uint64(s.order.Uint32(b))<<32 | uint64(s.order.Uint32(b[4:])) }
	st := &Statistics{Time: ifc.res.time(stamp(body[4:]), ifc.offset)}
	ok := eachOption(body[fixed:], s.order, func(code int, value []byte) {
		if code == optComment {
			c := text(value)
			st.Comments = append(st.Comments, c)
			if p, ok := parsePortCounters(c); ok {
				st.Port, st.IsPort = p, true
			} else if reason, ok := strings.CutPrefix(c, cutPrefix); ok {
				st.Cut = reason
			} else if lost, ok := strings.CutPrefix(c, lostPrefix); ok {
				// An output that lost more on top of the recorder says so apart.
				n, _ := strconv.ParseUint(lost, 10, 64)
				st.Lost += n
			}
			return
		}
		if len(value) != 8 {
			return
		}
		switch code {
		case optStatsStart:
			st.Start = ifc.res.time(stamp(value), ifc.offset)
		case optStatsEnd:
			st.End = ifc.res.time(stamp(value), ifc.offset)
		case optStatsRecv:
			st.Received = s.order.Uint64(value)
		case optStatsDrop:
			st.Dropped = s.order.Uint64(value)
		}
	})
	if !ok {
		return s.damaged("options of the statistics do not fit in their block")
	}
	ifc.Stats = st
	return s.keep(len(body), len(st.Comments), &ifc.kept)
}

// text is a string of a file: bytes up to a NUL, if there is one, since some
// writers terminate strings.
func text(b []byte) string { return untilNUL(string(b)) }

func untilNUL(s string) string {
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	return s
}
