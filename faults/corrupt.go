package faults

import (
	"slices"
	"strings"

	"github.com/vnreplay/vnreplay/switch"
)

// corrupt changes bytes of the frame in one of three ways: bits chosen at random,
// the bytes that patches names, or named fields.
type corrupt struct {
	bits    int        // of the first way
	in      *byteRange // in which they are; nil: behind the link header
	patches []patch
	fields  []fieldChange // sorted
	fixsum  bool          // checksums are made right afterwards

	// where the three ways begin in the text, and a field that is a checksum: to
	// refuse what contradicts
	bitsToken, patchToken, fieldToken, checksumToken token
}

// maxBits bounds the bits that one rule flips in one frame.
const maxBits = 1000

func startCorrupt() (action, []clause) {
	a := &corrupt{bits: 1}
	clauses := []clause{
		{word: "bits", shape: "bits N", parse: func(p *parser, word token) error {
			earliest(&a.bitsToken, word)
			t, err := p.want(word.text, "how many bits are flipped")
			if err != nil {
				return err
			}
			n, err := p.whole(t, "the number of bits to flip", 1, maxBits)
			a.bits = int(n)
			return err
		}},
		{word: "in", shape: "in A..B", parse: func(p *parser, word token) error {
			earliest(&a.bitsToken, word)
			t, err := p.want(word.text, "the bytes in which bits are flipped, such as 20..39")
			if err != nil {
				return err
			}
			r, err := p.byteRange(t)
			a.in = &r
			return err
		}},
		{word: "@", shape: "@OFFSET:OLD>NEW", parse: func(p *parser, word token) (err error) {
			a.patchToken = word
			a.patches, err = p.patches(word)
			return err
		}, match: func(t token) bool { return strings.HasPrefix(t.text, "@") }},
	}
	for how, w := range changeWords {
		clauses = append(clauses, clause{word: w.word, shape: w.shape, parse: func(p *parser, word token) error {
			earliest(&a.fieldToken, word)
			list, checksum, err := p.fieldChanges(word, changeKind(how))
			earliest(&a.checksumToken, checksum)
			a.fields = append(a.fields, list...)
			sortChanges(a.fields)
			return err
		}})
	}
	return a, append(clauses, clause{word: "fixsum", shape: "fixsum", parse: func(*parser, token) error {
		a.fixsum = true
		return nil
	}})
}

// earliest keeps in first the one of the two that stands first in the text.
func earliest(first *token, t token) {
	if first.atEnd() || !t.atEnd() && t.column < first.column {
		*first = t
	}
}

func (*corrupt) word() string  { return "corrupt" }
func (a *corrupt) draws() bool { return a.patches == nil && a.fields == nil }

// check refuses two ways at once, and a checksum that is set only to be made
// right again.
func (a *corrupt) check(p *parser) error {
	random := `random bits ("bits 2")`
	if a.bitsToken.text == "in" {
		random = `random bits ("in 20..39")`
	}
	type way struct {
		what  string
		token token
	}
	ways := slices.DeleteFunc([]way{
		{random, a.bitsToken},
		{`exact bytes ("@66:4f>4e")`, a.patchToken},
		{`named fields ("set ip.ttl=1")`, a.fieldToken},
	}, func(w way) bool { return w.token.atEnd() })
	if len(ways) > 1 {
		later := ways[0].token
		if ways[1].token.column > later.column {
			later = ways[1].token
		}
		return p.errorf(later, "either %s or %s, not both", ways[0].what, ways[1].what)
	}
	if a.fixsum && !a.checksumToken.atEnd() {
		return p.errorf(a.checksumToken, `"fixsum" makes this checksum right again; leave out one of the two`)
	}
	return nil
}

func (a *corrupt) options() []string {
	var words []string
	switch {
	case a.patches != nil:
		words = append(words, formatPatches(a.patches))
	case a.fields != nil:
		words = formatChanges(a.fields)
	default:
		if a.bits != 1 {
			words = append(words, "bits", formatInt(a.bits))
		}
		if a.in != nil {
			words = append(words, "in", a.in.String())
		}
	}
	if a.fixsum {
		words = append(words, "fixsum")
	}
	return words
}

func (a *corrupt) verdict(s *subject, v *vswitch.Verdict) {
	data := s.frame.Data
	edits := a.edits(data, s)
	if a.fixsum && edits != nil {
		fixed := applied(data, edits)
		fixChecksums(fixed)
		edits = diff(0, data, fixed)
	}
	v.Edits = edits
}

// edits are what is done before any checksum is made right.
func (a *corrupt) edits(data []byte, s *subject) []vswitch.Edit {
	switch {
	case a.patches != nil:
		return applyPatches(a.patches, data)
	case a.fields != nil:
		return applyChanges(a.fields, data)
	}
	d := s.draw()
	if a.in != nil {
		return flipBitsIn(data, *a.in, a.bits, &d)
	}
	return flipBits(data, a.bits, &d)
}

func (a *corrupt) says() string {
	var s string
	switch {
	case a.patches != nil:
		s = "changes bytes: " + formatPatches(a.patches)
	case a.fields != nil:
		s = "changes fields: " + strings.Join(formatChanges(a.fields), " ")
	case a.bits == 1:
		s = "flips one random bit"
	default:
		s = "flips " + formatInt(a.bits) + " random bits"
	}
	switch {
	case a.in != nil:
		s += " in bytes " + a.in.String()
	case a.patches == nil && a.fields == nil:
		s += " behind the Ethernet header"
	}
	if a.fixsum {
		return s + ", and makes the checksums right again"
	}
	return s + "; checksums stay as they are"
}
