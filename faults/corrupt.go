package faults

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/vnreplay/vnreplay/switch"
)

// corrupt changes bytes of the frame: either bits, chosen at random, or the
// bytes that patches names.
type corrupt struct {
	bits    int
	patches []patch
	// where the two forms stand in the text, to refuse both at once
	bitsToken, patchToken token
}

// maxBits bounds the bits that one rule flips in one frame.
const maxBits = 1000

func startCorrupt() (action, []clause) {
	a := &corrupt{bits: 1}
	return a, []clause{
		{word: "bits", shape: "bits N", parse: func(p *parser, word token) error {
			a.bitsToken = word
			t, err := p.want(word.text, "how many bits are flipped")
			if err != nil {
				return err
			}
			n, err := p.whole(t, "the number of bits to flip", 1, maxBits)
			a.bits = int(n)
			return err
		}},
		{word: "@", shape: "@OFFSET:OLD>NEW", parse: func(p *parser, word token) (err error) {
			a.patchToken = word
			a.patches, err = p.patches(word)
			return err
		}, match: func(t token) bool { return strings.HasPrefix(t.text, "@") }},
	}
}

func (*corrupt) word() string  { return "corrupt" }
func (a *corrupt) draws() bool { return a.patches == nil }

func (a *corrupt) check(p *parser) error {
	if a.bitsToken.text != "" && a.patches != nil {
		later := a.bitsToken
		if a.patchToken.column > later.column {
			later = a.patchToken
		}
		return p.errorf(later, `either random bits ("bits 2") or exact bytes ("@66:4f>4e"), not both`)
	}
	return nil
}

func (a *corrupt) options() []string {
	if a.patches != nil {
		return []string{formatPatches(a.patches)}
	}
	if a.bits != 1 {
		return []string{"bits", formatInt(a.bits)}
	}
	return nil
}

func (a *corrupt) verdict(s *subject) vswitch.Verdict {
	if a.patches != nil {
		return vswitch.Verdict{Edits: applyPatches(a.patches, s.frame.Data)}
	}
	return vswitch.Verdict{Edits: flipBits(s.frame.Data, a.bits, &s.draw)}
}

// flipBits flips n different bits behind the link header, or all if there are
// fewer. Bit 0 is the lowest of the first byte.
func flipBits(data []byte, n int, d *draw) []vswitch.Edit {
	start := linkHeaderLen(data)
	total := (len(data) - start) * 8
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

// change is what becomes of one byte.
type change struct {
	offset   int
	from, to byte
}

// editsOf joins changes, which are in order of offset, into edits: neighbours
// become one edit, and bytes that keep their value none.
func editsOf(changes []change) []vswitch.Edit {
	var edits []vswitch.Edit
	for _, c := range changes {
		if c.from == c.to {
			continue
		}
		if k := len(edits); k == 0 || edits[k-1].Offset+len(edits[k-1].Old) != c.offset {
			edits = append(edits, vswitch.Edit{Offset: c.offset})
		}
		e := &edits[len(edits)-1]
		e.Old = append(e.Old, c.from)
		e.New = append(e.New, c.to)
	}
	return edits
}
