package pcap

import "encoding/binary"

// The classic format: a header of 24 bytes, then records of a 16-byte header and
// data. https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap
const (
	magicMicro     = 0xa1b2c3d4
	magicNano      = 0xa1b23c4d
	magicKuznetzov = 0xa1b2cd34
	magicIxiaHard  = 0x1c0001ac
	magicIxiaSoft  = 0x1c0001ab

	pcapHeader   = 24
	recordHeader = 16

	// maxRecord is libpcap's MAXIMUM_SNAPLEN. A file may declare more, up to maxBlock.
	maxRecord = 262144
)

// The parts of the last word of the header. Bit 27 is reserved too, and is ignored
// as Wireshark does.
const (
	linkTypeMask   = 1<<16 - 1
	linkReserved   = 1<<26 - 1<<16
	linkFCSPresent = 1 << 26
)

// classic is a variant of the classic format. The layouts of those that are not
// the standard are known from Wireshark (wiretap/libpcap.c) and libpcap
// (sf-pcap.c), which read them too.
type classic struct {
	magic uint32
	name  string // "" for the standard
	nano  bool   // fractions of a second are nanoseconds
	tail  int    // bytes behind the header: lcap has the length of all records there
	more  int    // bytes behind each record's header
}

var classics = []classic{
	{magic: magicMicro},
	{magic: magicNano, nano: true},
	// Interface index, protocol, packet type and a byte of padding follow the
	// record's header.
	{magic: magicKuznetzov, name: "Kuznetzov's, modified", more: 8},
	{magic: magicIxiaHard, name: "Ixia lcap, hardware", tail: 4},
	{magic: magicIxiaSoft, name: "Ixia lcap, software", tail: 4},
}

// classicAIX has the standard's magic number, and is told by its version 2.2 with
// a link type of its own numbering.
var classicAIX = classic{magic: magicMicro, name: "AIX", nano: true}

// aixLinkTypes are the interface types (RFC 1573) that AIX writes, as link types.
var aixLinkTypes = map[uint32]uint32{
	6: LinkEthernet, 9: 6 /* token ring */, 15: 10 /* FDDI */, 24: LinkNull,
}

// Variants that share a magic number with another: a record's header is followed
// by more bytes than that number promises. See guess.
var lookalikes = map[uint32][]classic{
	magicMicro: {
		{magic: magicMicro, name: "Red Hat 6.1", more: 8},
		{magic: magicMicro, name: "Nokia", more: 4},
	},
	magicKuznetzov: {{magic: magicKuznetzov, name: "SuSE 6.3", more: 12}},
}

// classicOf returns the variant and byte order that a magic number promises.
func classicOf(head []byte) (classic, binary.ByteOrder, bool) {
	for _, c := range classics {
		switch c.magic {
		case binary.LittleEndian.Uint32(head):
			return c, binary.LittleEndian, true
		case binary.BigEndian.Uint32(head):
			return c, binary.BigEndian, true
		}
	}
	return classic{}, nil, false
}

// lengthOrder is which of the two lengths in a record is the captured one.
type lengthOrder uint8

const (
	capturedFirst lengthOrder = iota
	originalFirst             // before version 2.3, and DG/UX's 543.0
	smallerIsCaptured
)

func lengthOrderOf(major, minor uint16) lengthOrder {
	switch {
	case major == 543 || minor < 3:
		return originalFirst
	case minor == 3: // some writers of 2.3 did not know of the change
		return smallerIsCaptured
	}
	return capturedFirst
}

func (o lengthOrder) of(first, second uint32) (captured, original uint32) {
	if o == originalFirst || o == smallerIsCaptured && first > second {
		return second, first
	}
	return first, second
}

// guess decides between variants of one magic number by the first records, as far
// as they are at hand: it waits for nothing, so that a pipe is not held up. The
// promise of the magic number holds unless its records make no sense and two of
// another variant's do.
func (s *pcapScanner) guess() classic {
	others := lookalikes[s.variant.magic]
	if others == nil || s.variant.name == classicAIX.name {
		return s.variant
	}
	b, _ := s.ahead.Peek(s.ahead.Buffered())
	best := s.variant
	_, faults := s.walk(b, best.more)
	for _, c := range others {
		if records, f := s.walk(b, c.more); records >= 2 && f < faults {
			best, faults = c, f
		}
	}
	return best
}

// walk reads up to three records of b, whose headers have some more bytes, and
// returns how many and how much of them makes no sense.
func (s *pcapScanner) walk(b []byte, more int) (records, faults int) {
	whole := len(b) < readBuffer/4 // then what is missing at the end is missing from the file
	for ; records < 3 && len(b) > 0; records++ {
		if len(b) < recordHeader+more {
			if whole {
				faults++
			}
			return records, faults
		}
		captured, original := s.lengths.of(s.order.Uint32(b[8:]), s.order.Uint32(b[12:]))
		if s.order.Uint32(b[4:]) >= 1e6 {
			faults++
		}
		if original > 128<<20 || captured > original {
			faults++
		}
		if captured > s.limit {
			return records, faults + 1
		}
		end := recordHeader + more + int(captured)
		if end > len(b) {
			if whole {
				faults++
			}
			return records, faults
		}
		b = b[end:]
	}
	return records, faults
}
