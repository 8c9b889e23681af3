package faults

import (
	"slices"

	"github.com/vnreplay/vnreplay/switch"
)

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

// diff returns the edits that make after of before, two pieces of a frame of the
// same length that begin at this offset in it.
func diff(offset int, before, after []byte) []vswitch.Edit {
	var changes []change
	for i := range before {
		if before[i] != after[i] {
			changes = append(changes, change{offset + i, before[i], after[i]})
		}
	}
	return editsOf(changes)
}

// applied returns a copy of the frame on which the edits were done.
func applied(data []byte, edits []vswitch.Edit) []byte {
	out := slices.Clone(data)
	for _, e := range edits {
		copy(out[e.Offset:], e.New)
	}
	return out
}
