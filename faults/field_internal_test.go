package faults

import (
	"strings"
	"testing"
)

// What the code takes for granted of the table of fields.
func TestFieldTable(t *testing.T) {
	names := make(map[string]bool)
	protocols := make(map[string]int) // the last index of each
	for i, f := range fields {
		for _, name := range append(strings.Fields(f.aliases), f.name) {
			if names[name] {
				t.Errorf("two fields are %s", name)
			}
			names[name] = true
			if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_.") != "" || ambiguous[name] != "" {
				t.Errorf("%s cannot be a name", name)
			}
		}
		if last, seen := protocols[f.protocol()]; seen && last != i-1 {
			t.Errorf("%s stands apart from its protocol's other fields", f.name)
		}
		protocols[f.protocol()] = i
		if addresses[f.kind] == "" && f.width > 32 {
			t.Errorf("%s has %d bits; numbers are read and added as if they had at most 32", f.name, f.width)
		}
		for _, before := range fields[:i] {
			overlap := before.layer == f.layer && before.bit < f.bit+f.width && f.bit < before.bit+before.width
			if overlap && before.width <= f.width {
				t.Errorf("%s is a part of %s, which stands behind it", before.name, f.name)
			}
		}
	}
	for _, fieldNames := range ambiguous {
		for name := range strings.SplitSeq(fieldNames, " and ") {
			if findField(name) < 0 {
				t.Errorf("%s is suggested and unknown", name)
			}
		}
	}
}
