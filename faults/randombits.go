package faults

import (
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/vnreplay/vnreplay/switch"
)

// byteRange is a range of a frame's bytes, counted from the first byte of the
// Ethernet header, both ends in it. An open range ends at maxOffset.
type byteRange struct{ first, last int }

// byteRange reads "20..39", "20.." or "20".
func (p *parser) byteRange(t token) (byteRange, error) {
	const what = "the offset of a byte in the frame"
	first, last, isRange := strings.Cut(t.text, "..")
	if !isRange {
		if a, b, dash := strings.Cut(t.text, "-"); dash && a != "" && b != "" {
			return byteRange{}, p.errorf(t, "a range is written %s..%s", a, b)
		}
		n, err := p.whole(t, what, 0, maxOffset)
		return byteRange{int(n), int(n)}, err
	}
	if first == "" {
		return byteRange{}, p.errorf(t, "a range begins with a number: 0%s", t.text)
	}
	a, err := p.whole(t.part(0, len(first)), what, 0, maxOffset)
	if err != nil || last == "" {
		return byteRange{int(a), maxOffset}, err
	}
	b, err := p.whole(t.part(len(t.text)-len(last), len(t.text)), what, 0, maxOffset)
	if err != nil {
		return byteRange{}, err
	}
	if b < a {
		return byteRange{}, p.errorf(t, "the range ends before it begins: %d..%d", b, a)
	}
	return byteRange{int(a), int(b)}, nil
}

func (r byteRange) String() string {
	s := strconv.Itoa(r.first)
	switch r.last {
	case r.first:
		return s
	case maxOffset:
		return s + ".."
	}
	return s + ".." + strconv.Itoa(r.last)
}

// flipBits flips n different bits behind the link header, or all if there are
// fewer.
func flipBits(data []byte, n int, d *draw) []vswitch.Edit {
	return flipBitsIn(data, byteRange{linkHeaderLen(data), maxOffset}, n, d)
}

// flipBitsIn flips n different bits of the bytes in the range, or all if there
// are fewer. Bit 0 is the lowest of the first byte.
func flipBitsIn(data []byte, in byteRange, n int, d *draw) []vswitch.Edit {
	start := in.first
	total := (min(in.last+1, len(data)) - start) * 8
	n = min(n, total)
	if n <= 0 {
		return nil
	}
	// Floyd's sampling: each set of n bits is as likely as any other.
	chosen := make([]int, 0, n)
	for i := total - n; i < total; i++ {
		hi, _ := bits.Mul64(d.word(uint64(1+i-(total-n))), uint64(i)+1)
		at, taken := slices.BinarySearch(chosen, int(hi))
		if taken {
			at, hi = len(chosen), uint64(i) // i is larger than all before
		}
		chosen = slices.Insert(chosen, at, int(hi))
	}
	var changes []change
	for _, bit := range chosen {
		offset, mask := start+bit/8, byte(1)<<(bit%8)
		if k := len(changes); k > 0 && changes[k-1].offset == offset {
			changes[k-1].to ^= mask
			continue
		}
		changes = append(changes, change{offset, data[offset], data[offset] ^ mask})
	}
	return editsOf(changes)
}
