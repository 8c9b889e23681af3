package pcap

import (
	"bytes"
	"fmt"
	"strings"
)

// FieldDiff is one field that differs between two frames.
type FieldDiff struct {
	Name             string
	Offset           int    // in the expected frame, or where only the actual one has it, in that
	Expected, Actual string // values; "-" where a frame has no such field
}

// Diff compares two Ethernet frames field by field and returns what differs, in
// the order of the expected frame. Payloads that differ give one entry: its
// Offset is that of the first byte that differs, its values are hex dumps of up
// to 32 bytes from there (the rest of the payload is not compared).
func Diff(expected, actual []byte) []FieldDiff {
	a, b := Fields(expected), Fields(actual)
	var out []FieldDiff
	seen := make([]bool, len(b))
	find := func(name string) int {
		for i := range b {
			if !seen[i] && b[i].Name == name {
				return i
			}
		}
		return -1
	}
	for _, x := range a {
		i := find(x.Name)
		if i < 0 {
			out = append(out, FieldDiff{x.Name, x.Offset, fieldText(expected, x), "-"})
			continue
		}
		seen[i] = true
		y := b[i]
		bx, by := expected[x.Offset:x.Offset+x.Len], actual[y.Offset:y.Offset+y.Len]
		switch {
		case x.Value != y.Value:
			out = append(out, FieldDiff{x.Name, x.Offset, x.Value, y.Value})
		case x.Value == "" && !bytes.Equal(bx, by):
			at := FirstDifference(bx, by)
			out = append(out, FieldDiff{fmt.Sprintf("%s[%d]", x.Name, at), x.Offset + at, HexDump(bx[at:], 32), HexDump(by[at:], 32)})
		}
	}
	for i, y := range b {
		if !seen[i] {
			out = append(out, FieldDiff{y.Name, y.Offset, "-", fieldText(actual, y)})
		}
	}
	return out
}

func fieldText(data []byte, f Field) string {
	if f.Value != "" {
		return f.Value
	}
	return fmt.Sprintf("%d bytes", f.Len)
}

// FirstDifference returns the index of the first byte in which a and b differ;
// where one is the beginning of the other, its length.
func FirstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// HexDump writes up to limit bytes in hexadecimal, in groups of four, followed
// by the same as text with '.' for what is not printable ASCII.
func HexDump(b []byte, limit int) string {
	if len(b) == 0 {
		return "(end)"
	}
	b = b[:min(len(b), limit)]
	var h, t strings.Builder
	for i, x := range b {
		if i > 0 && i%4 == 0 {
			h.WriteByte(' ')
		}
		fmt.Fprintf(&h, "%02x", x)
		if x < 0x20 || x > 0x7e {
			x = '.'
		}
		t.WriteByte(x)
	}
	return h.String() + " |" + t.String() + "|"
}

// maxDiffLines bounds what FormatDiff writes.
const maxDiffLines = 20

// FormatDiff writes differences in two columns, expected and actual, in at most
// 20 lines; hex dumps take a line each. Nothing but printable text is written, and
// nothing at all where nothing differs, as between frames that differ in their fate.
func FormatDiff(diffs []FieldDiff) string {
	if len(diffs) == 0 {
		return ""
	}
	lines := []string{fmt.Sprintf("%-28s %-28s %s", "field (offset)", "expected", "actual")}
	for i, d := range diffs {
		name := fmt.Sprintf("%s (%d)", d.Name, d.Offset)
		l := []string{fmt.Sprintf("%-28s %-28s %s", name, Printable(d.Expected), Printable(d.Actual))}
		if len(d.Expected) > 40 || len(d.Actual) > 40 {
			l = []string{name, "  expected " + Printable(d.Expected), "  actual   " + Printable(d.Actual)}
		}
		if len(lines)+len(l) > maxDiffLines-1 {
			lines = append(lines, fmt.Sprintf("... and %d more fields", len(diffs)-i))
			break
		}
		lines = append(lines, l...)
	}
	return strings.Join(lines, "\n") + "\n"
}
