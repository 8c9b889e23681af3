package faults

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/vnreplay/vnreplay/switch"
)

// fieldChange is one change of one named field.
type fieldChange struct {
	how   changeKind
	field int   // its index in fields
	value value // the new value or the mask
	by    int64 // what is added
}

// changeKind is what becomes of the field. All changes of one kind are made
// before those of the next.
type changeKind int

const (
	setField  changeKind = iota // it gets the value
	flipField                   // its bits that the mask has are flipped
	addField                    // by is added, modulo 2^width
)

// changeWords introduce lists of changes, by their kind.
var changeWords = []struct{ word, shape, example string }{
	{"set", "set FIELD=VALUE", "ip.ttl=1"},
	{"flip", "flip FIELD[=MASK]", "tcp.flags=0x002"},
	{"add", "add FIELD=N", "ip.ttl=-1"},
}

// corruptWords mean behind one of changeWords that the field was forgotten.
var corruptWords = []string{"bits", "in", "set", "flip", "add", "fixsum"}

// fieldChanges reads what follows word: "tcp.window=0,ip.ttl=64". It also returns
// where the first checksum stands, if there is one.
func (p *parser) fieldChanges(word token, how changeKind) (list []fieldChange, checksum token, err error) {
	example := changeWords[how].example
	t, err := p.want(word.text, "a field, such as "+example)
	if err != nil {
		return nil, token{}, err
	}
	if slices.Contains(clauseWords, t.text) || slices.Contains(corruptWords, t.text) {
		return nil, token{}, p.errorf(t, "%q must be followed by a field, such as %s", word.text, example)
	}
	items, err := p.list(t)
	if err != nil {
		return nil, token{}, err
	}
	if after := p.peek(); strings.HasPrefix(after.text, "=") || strings.HasPrefix(after.text, ",") {
		return nil, token{}, p.errorf(after, "fields and values stand without spaces, several with commas: %s %s", word.text, example)
	}
	for _, item := range items {
		c, isChecksum, err := p.fieldChange(item, word.text, how)
		if err != nil {
			return nil, token{}, err
		}
		if slices.ContainsFunc(list, func(before fieldChange) bool { return before.field == c.field }) {
			return nil, token{}, p.errorf(item, "%s is in this list twice", fields[c.field].name)
		}
		if isChecksum && checksum.atEnd() {
			checksum = item
		}
		list = append(list, c)
	}
	return list, checksum, nil
}

// fieldChange reads one item of the list.
func (p *parser) fieldChange(t token, word string, how changeKind) (c fieldChange, isChecksum bool, err error) {
	equals := strings.IndexByte(t.text, '=')
	name := t
	if equals == 0 {
		return c, false, p.errorf(t, `a field stands before the "=": %s %s`, word, changeWords[how].example)
	}
	if equals > 0 {
		name = t.part(0, equals)
	}
	i, err := p.fieldIndex(name)
	if err != nil {
		return c, false, err
	}
	f := &fields[i]
	c = fieldChange{how: how, field: i}
	isChecksum = f.kind == asChecksum
	switch {
	case how == flipField && equals < 0:
		c.value = ones(f.width)
		return c, isChecksum, nil
	case how == addField && addresses[f.kind] != "":
		return c, false, p.errorf(name, "%s is an address; nothing can be added to it", f.name)
	case equals < 0 || equals == len(t.text)-1:
		return c, false, p.errorf(t, `a value is missing; it follows an "=" without spaces: %s %s`, word, changeWords[how].example)
	}
	given := t.part(equals+1, len(t.text))
	if how == addField {
		c.by, err = p.addend(f, given)
		return c, isChecksum, err
	}
	c.value, err = p.fieldValue(f, given)
	if err == nil && how == flipField && c.value == (value{}) {
		err = p.errorf(given, "this changes nothing")
	}
	return c, isChecksum, err
}

// addend reads a number to add to the field.
func (p *parser) addend(f *field, t token) (int64, error) {
	digits := t.text
	if digits[0] == '-' || digits[0] == '+' {
		digits = digits[1:]
	}
	if !isInteger(digits, 10) {
		return 0, p.errorf(t, "what is added is a whole number in decimal, such as 1 or -1")
	}
	most := int64(ones(f.width).lo) // fields to which is added have at most 32 bits
	by, err := strconv.ParseInt(t.text, 10, 64)
	switch {
	case err != nil || by > most || by < -most:
		return 0, p.errorf(t, "%s has %d bits: at most %d can be added or taken away", f.name, f.width, most)
	case by == 0:
		return 0, p.errorf(t, "this changes nothing")
	}
	return by, nil
}

// sortChanges puts changes into the order in which they are made and printed.
func sortChanges(list []fieldChange) {
	slices.SortFunc(list, func(a, b fieldChange) int {
		return cmp.Or(cmp.Compare(a.how, b.how), cmp.Compare(a.field, b.field))
	})
}

// formatChanges returns the clauses that read back as the list, which is sorted.
func formatChanges(list []fieldChange) []string {
	var words []string
	for how, w := range changeWords {
		var items []string
		for _, c := range list {
			if c.how == changeKind(how) {
				items = append(items, c.text())
			}
		}
		if items != nil {
			words = append(words, w.word, strings.Join(items, ","))
		}
	}
	return words
}

func (c *fieldChange) text() string {
	f := &fields[c.field]
	switch {
	case c.how == setField:
		return f.name + "=" + f.text(c.value)
	case c.how == addField:
		return f.name + "=" + strconv.FormatInt(c.by, 10)
	case c.value == ones(f.width):
		return f.name
	}
	return f.name + "=" + f.mask(c.value)
}

// applyChanges returns the edits that the changes, in their order, come to on a
// frame, or none if it does not have one of the fields. Fields are looked for in
// the frame as it is before: what is set does not change what stands where.
func applyChanges(list []fieldChange, data []byte) []vswitch.Edit {
	h := headersOf(data)
	first, end := len(data), 0 // the bytes in which the fields are
	for i := range list {
		f := &fields[list[i].field]
		bit, ok := h.bitOf(f)
		if !ok {
			return nil
		}
		first, end = min(first, bit/8), max(end, (bit+f.width+7)/8)
	}
	before := data[first:end]
	after := slices.Clone(before)
	for i := range list {
		f := &fields[list[i].field]
		bit, _ := h.bitOf(f)
		list[i].do(after, bit-8*first)
	}
	return diff(first, before, after)
}

// bitOf returns where a field begins, in bits from the beginning of the frame. ok
// is false if the frame does not have all of it.
func (h *headers) bitOf(f *field) (bit int, ok bool) {
	start, end, ok := h.find(f.layer)
	bit = 8*start + f.bit
	return bit, ok && bit+f.width <= 8*end
}

// do makes the change in b, where the field begins at this bit.
func (c *fieldChange) do(b []byte, bit int) {
	width := fields[c.field].width
	v := getBits(b, bit, width)
	switch c.how {
	case setField:
		v = c.value
	case flipField:
		v.hi ^= c.value.hi
		v.lo ^= c.value.lo
	case addField:
		v.lo += uint64(c.by) // putBits takes it modulo 2^width
	}
	putBits(b, bit, width, v)
}
