package regress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vnreplay/vnreplay/scenario"
)

// Figure is a key of expect with its value, as the file has it.
type Figure struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (f Figure) String() string { return f.Key + ": " + f.Value }

// Set returns the text of an expectation file with other figures, and the lines
// that differ, "- " before the old ones and "+ " before the new. A figure that
// stands there is replaced where it stands; others come at the end of expect. All
// else is left as it is, comments too.
func Set(text, name string, figures []Figure) (out string, changed []string, err error) {
	text = strings.TrimPrefix(text, "\ufeff") // places are counted without it
	before := strings.Split(text, "\n")
	for _, f := range figures {
		if text, err = set(text, name, f); err != nil {
			return "", nil, err
		}
	}
	if _, err := scenario.Decode([]byte(text), name, "an expectation file", "capture, live and expect", &Expectation{}); err != nil {
		return "", nil, fmt.Errorf("%s cannot be updated as it is written: put %v below expect by hand", name, figures)
	}
	after := strings.Split(text, "\n")
	// Lines are changed or inserted, in one place each.
	i := 0
	for _, line := range after {
		switch {
		case i < len(before) && before[i] == line:
			i++
		case i < len(before) && !slices.Contains(after, before[i]):
			changed = append(changed, "- "+before[i], "+ "+line)
			i++
		default:
			changed = append(changed, "+ "+line)
		}
	}
	return text, changed, nil
}

func set(text, name string, f Figure) (string, error) {
	x := &Expectation{}
	doc, err := scenario.Decode([]byte(text), name, "an expectation file", "capture, live and expect", x)
	if err != nil {
		return "", err
	}
	lines := strings.Split(text, "\n")
	if line, column, ok := doc.Place("expect", f.Key); ok {
		at := []rune(lines[line-1])
		head, rest := at[:column-1], at[column-1:]
		lines[line-1] = string(head) + quoted(f.Value) + string(rest[scalarLen(rest):])
		return strings.Join(lines, "\n"), nil
	}
	// A new one comes behind the last of those that are there.
	var last []rune
	line, column := 0, 0
	for _, key := range []string{"verdict", "conversations", "coverage", "retransmits", "synthetic-acks", "within"} {
		if l, c, ok := doc.Place("expect", key); ok && (l > line || l == line && c > column) {
			line, column, last = l, c, []rune(lines[l-1])
		}
	}
	if line > 0 {
		end := column - 1 + scalarLen(last[column-1:])
		entry := f.Key + ": " + quoted(f.Value)
		if strings.ContainsAny(string(last[:column-1]), "{,") || strings.ContainsAny(string(last[end:]), "},") {
			lines[line-1] = string(last[:end]) + ", " + entry + string(last[end:])
			return strings.Join(lines, "\n"), nil
		}
		indent := string(last[:len(last)-len([]rune(strings.TrimLeft(string(last), " ")))])
		return strings.Join(slices.Insert(lines, line, indent+entry), "\n"), nil
	}
	if x.Expect != (Figures{}) {
		return "", fmt.Errorf("%s cannot be updated as it is written: put %v below expect by hand", name, f)
	}
	return strings.TrimRight(text, "\n") + "\nexpect:\n  " + f.Key + ": " + quoted(f.Value) + "\n", nil
}

// quoted is a value as YAML: one that begins with > would be a block.
func quoted(v string) string {
	if strings.HasPrefix(v, ">") {
		return `"` + v + `"`
	}
	return v
}

// scalarLen is how long the scalar at the beginning of a line is; no value of
// expect holds a quote, a space within, or a comma.
func scalarLen(s []rune) int {
	if len(s) > 0 && (s[0] == '"' || s[0] == '\'') {
		if n := slices.Index(s[1:], s[0]); n >= 0 {
			return n + 2
		}
	}
	if n := slices.IndexFunc(s, func(r rune) bool { return strings.ContainsRune(" ,}#\t\r", r) }); n >= 0 {
		return n
	}
	return len(s)
}
