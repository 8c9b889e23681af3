package faults

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/vnreplay/vnreplay/switch"
)

// patch is one exact change of a frame's bytes: in text, @ and the offset of the
// first byte, counted from the first byte of the Ethernet header (0, as in
// Wireshark's bytes pane), then one of
//
//	:4f>4e   the byte 4f becomes 4e; a frame with another byte there is left alone
//	=4e      the byte becomes 4e
//	^01      the bits of the mask are flipped
//
// with as many bytes as are to be changed, in hexadecimal.
type patch struct {
	offset int
	how    byte   // ':', '=' or '^'
	old    []byte // of ':'
	value  []byte // the new bytes, or the mask
}

// maxOffset is the last byte of the largest frame a port can carry.
const maxOffset = vswitch.HeaderLen + 4 + vswitch.MaxMTU - 1

func (q *patch) end() int { return q.offset + len(q.value) }

const patchHint = "exact bytes are written @66:4f>4e (old>new), @66=4e (set) or @66^01 (flip), several with commas"

// patches reads "@66:4f>4e,@70:00ff>0100".
func (p *parser) patches(t token) ([]patch, error) {
	items, err := p.list(t)
	if err != nil {
		return nil, err
	}
	list := make([]patch, len(items))
	for i, item := range items {
		if list[i], err = p.patch(item); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(list, func(a, b patch) int { return a.offset - b.offset })
	joined := list[:1]
	for _, q := range list[1:] {
		last := &joined[len(joined)-1]
		switch {
		case q.offset < last.end():
			return nil, p.errorf(t, "byte %d is changed twice", q.offset)
		case q.offset == last.end() && q.how == last.how:
			last.old = append(last.old, q.old...)
			last.value = append(last.value, q.value...)
		default:
			joined = append(joined, q)
		}
	}
	return joined, nil
}

// patch reads one item of the list.
func (p *parser) patch(t token) (patch, error) {
	if !strings.HasPrefix(t.text, "@") {
		return patch{}, p.errorf(t, "%s", patchHint)
	}
	i := 1
	for i < len(t.text) && isDigit(t.text[i]) {
		i++
	}
	if i == 1 || i == len(t.text) || !strings.ContainsRune(":=^", rune(t.text[i])) {
		return patch{}, p.errorf(t, "%s", patchHint)
	}
	offset, err := p.whole(t.part(1, i), "the offset of a byte in the frame", 0, maxOffset)
	if err != nil {
		return patch{}, err
	}
	q := patch{offset: int(offset), how: t.text[i]}
	i++
	if q.how == ':' {
		length := strings.IndexByte(t.text[i:], '>')
		if length < 0 {
			return patch{}, p.errorf(t, "%s", patchHint)
		}
		if q.old, err = p.hexBytes(t, i, i+length); err != nil {
			return patch{}, err
		}
		i += length + 1
	}
	if q.value, err = p.hexBytes(t, i, len(t.text)); err != nil {
		return patch{}, err
	}
	switch {
	case q.how == ':' && len(q.old) != len(q.value):
		return patch{}, p.errorf(t, "%d old bytes but %d new ones; the length of a frame is not changed here", len(q.old), len(q.value))
	case q.how == ':' && bytes.Equal(q.old, q.value), q.how == '^' && len(bytes.Trim(q.value, "\x00")) == 0:
		return patch{}, p.errorf(t, "this changes nothing")
	case q.end() > maxOffset+1:
		return patch{}, p.errorf(t, "no frame has a byte %d", q.end()-1)
	}
	return q, nil
}

// hexBytes reads t.text[from:to] as bytes.
func (p *parser) hexBytes(t token, from, to int) ([]byte, error) {
	b, err := hex.DecodeString(t.text[from:to])
	if err != nil || len(b) == 0 {
		if from == to {
			return nil, p.errorf(t, "%s", patchHint)
		}
		return nil, p.errorf(t.part(from, to), "bytes are written as two hexadecimal digits each")
	}
	return b, nil
}

func formatPatches(list []patch) string {
	var b []byte
	for i, q := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '@')
		b = strconv.AppendInt(b, int64(q.offset), 10)
		b = append(b, q.how)
		if q.how == ':' {
			b = append(hex.AppendEncode(b, q.old), '>')
		}
		b = hex.AppendEncode(b, q.value)
	}
	return string(b)
}

// applyPatches returns the edits that the patches come to on a frame, or none if
// it is too short for one of them or does not hold the old bytes of one.
func applyPatches(list []patch, data []byte) []vswitch.Edit {
	var changes []change
	for _, q := range list {
		if q.end() > len(data) {
			return nil
		}
		was := data[q.offset:q.end()]
		if q.how == ':' && !bytes.Equal(was, q.old) {
			return nil
		}
		for i, v := range q.value {
			if q.how == '^' {
				v ^= was[i]
			}
			changes = append(changes, change{q.offset + i, was[i], v})
		}
	}
	return editsOf(changes)
}

func formatInt(n int) string { return strconv.Itoa(n) }

func formatPlace(n uint64) string { return strconv.FormatUint(n, 10) }
