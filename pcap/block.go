package pcap

import (
	"encoding/binary"
	"math/bits"
	"time"
)

// Block types, options and other numbers of the pcapng format,
// draft-ietf-opsawg-pcapng.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockObsolete  = 2 // the obsolete packet block
	blockSimple    = 3
	blockNames     = 4 // name resolution
	blockStats     = 5
	blockPacket    = 6 // the enhanced packet block
	blockJournal   = 9
	blockSecrets   = 10
	blockCustom    = 0x00000bad
	blockCustomNo  = 0x40000bad // not to be copied

	byteOrderMagic = 0x1a2b3c4d

	optEnd     = 0
	optComment = 1

	optApplication = 4 // of a section header

	optIfName        = 2
	optIfDescription = 3

	optIfMAC      = 6
	optIfSpeed    = 8
	optIfTSResol  = 9
	optIfFCSLen   = 13
	optIfTSOffset = 14

	optPacketFlags = 2
	optPacketDrop  = 4 // packets lost since the one before on the interface
	optPacketID    = 5
	optLastPacket  = 7 // the last of those that are defined for packets

	// Custom options, of any block.
	optCustomText   = 2988
	optCustom       = 2989
	optCustomTextNo = 19372 // not to be copied
	optCustomNo     = 19373

	optStatsStart = 2
	optStatsEnd   = 3
	optStatsRecv  = 4
	optStatsDrop  = 5
)

// maxBlock is the longest block (and record of a classic file) that is read, in
// bytes; it is Wireshark's limit. A length beyond it is damage, not data.
const maxBlock = 16 << 20

// padded rounds n up to a multiple of four.
func padded(n int) int { return (n + 3) &^ 3 }

// eachOption calls fn for the options in b until fn or the options end, and
// reports whether they are well formed. An end-of-options option may be missing,
// as some writers leave it out.
func eachOption(b []byte, order binary.ByteOrder, fn func(code int, value []byte)) bool {
	for len(b) >= 4 {
		code, n := int(order.Uint16(b)), int(order.Uint16(b[2:]))
		if code == optEnd {
			return n == 0
		}
		if padded(n) > len(b)-4 {
			return false
		}
		fn(code, b[4:4+n])
		b = b[4+padded(n):]
	}
	return len(b) == 0
}

// appendOption appends one option, padded.
func appendOption(b []byte, code int, value string) []byte {
	b, at := beginOption(b, code)
	return endOption(append(b, value...), at)
}

// beginOption appends the head of an option whose value the caller appends
// before endOption.
func beginOption(b []byte, code int) (_ []byte, at int) {
	at = len(b)
	return append(b, byte(code), byte(code>>8), 0, 0), at
}

// endOption writes the length of the option that began at byte at, and pads it.
func endOption(b []byte, at int) []byte {
	n := len(b) - at - 4
	binary.LittleEndian.PutUint16(b[at+2:], uint16(n))
	for ; n%4 != 0; n++ {
		b = append(b, 0)
	}
	return b
}

func appendUint64Option(b []byte, code int, v uint64) []byte {
	b = append(b, byte(code), byte(code>>8), 8, 0)
	return binary.LittleEndian.AppendUint64(b, v)
}

func appendTimeOption(b []byte, code int, t time.Time) []byte {
	b = append(b, byte(code), byte(code>>8), 8, 0)
	return appendStamp(b, t)
}

// appendStamp appends an instant in nanoseconds since 1970, high word first as
// the format has it.
func appendStamp(b []byte, t time.Time) []byte {
	ns := uint64(t.UnixNano())
	b = binary.LittleEndian.AppendUint32(b, uint32(ns>>32))
	return binary.LittleEndian.AppendUint32(b, uint32(ns))
}

// resolution is a value of if_tsresol: units of 10^-n seconds, or 2^-n with the
// high bit set.
type resolution uint8

const (
	microseconds resolution = 6 // what holds for an interface without if_tsresol
	nanoseconds  resolution = 9 // what is written
)

// valid reports whether units of that size can be told in 64 bits.
func (r resolution) valid() bool {
	if r&0x80 != 0 {
		return r&0x7f < 64
	}
	return r < 20
}

// time converts units since 1970 plus offset seconds; parts of a nanosecond are
// cut off. pcapgo's own conversion takes 10^-0 for microseconds and rounds 2^-n.
func (r resolution) time(units uint64, offset int64) time.Time {
	if r&0x80 != 0 {
		n := uint(r & 0x7f)
		sec, frac := units>>n, units&(1<<n-1)
		hi, lo := bits.Mul64(frac, 1e9)
		return time.Unix(int64(sec)+offset, int64(hi<<(64-n)|lo>>n)).UTC()
	}
	scale := uint64(1)
	for range r {
		scale *= 10
	}
	sec, frac := units/scale, units%scale
	for ; r > 9; r-- {
		frac /= 10
	}
	for ; r < 9; r++ {
		frac *= 10
	}
	return time.Unix(int64(sec)+offset, int64(frac)).UTC()
}
