package pcap

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A description that exceeds one comment is spread over several. Each says which
// part of how many it is and how many bytes of text follow, so that what another
// program adds before or behind is no part of it:
//
//	vnreplay.recording=1
//	vnreplay.part=1 of=3 bytes=2950
//	version=...
//
//	vnreplay.part=2 of=3 bytes=59988
//	rule.17=...
//
// Put together, the parts are what follows the first line of the text in one
// comment.
const (
	// partKey begins the line that says so.
	partKey = "vnreplay.part="

	// maxComment is what an option of pcapng holds, less one: some readers put a
	// NUL behind it.
	maxComment = 65534

	// firstPart and nextPart are the bytes of text in a part. mergecap adds the
	// names of its files to the first comment, and writes a damaged file when that
	// then exceeds an option (as of Wireshark 4.0).
	firstPart = 4 << 10
	nextPart  = 60_000
)

// spread returns the comments that hold a text of [Meta].
func spread(text string) []string {
	if len(text) <= maxComment {
		return []string{text}
	}
	rest := text[len(metaFirst)+1:]
	var parts []string
	for size := firstPart; rest != ""; size = nextPart {
		n := cutAt(rest, size)
		parts = append(parts, rest[:n])
		rest = rest[n:]
	}
	for i, p := range parts {
		parts[i] = fmt.Sprintf("%s%d of=%d bytes=%d\n%s", partKey, i+1, len(parts), len(p), p)
	}
	parts[0] = metaFirst + "\n" + parts[0]
	return parts
}

// cutAt returns how many of the first most bytes of a text go together: up to the
// last end of a line, or of a character where no line ends.
func cutAt(text string, most int) int {
	if len(text) <= most {
		return len(text)
	}
	if n := strings.LastIndexByte(text[:most], '\n'); n >= 0 {
		return n + 1
	}
	for n := most; n > most-utf8.UTFMax; n-- {
		if utf8.RuneStart(text[n]) {
			return n
		}
	}
	return most
}

// gathered is a description as far as comments so far hold it. The zero value
// waits for its first.
type gathered struct {
	have, of int // parts; 0: none begun
	text     strings.Builder
}

// add looks for the description, or its next part, in a comment. It returns the
// text behind the first line of the description when that is complete. The error
// is about a part that is there and wrong; a comment without one, or with one out
// of turn, is of others.
func (g *gathered) add(comment string) (text string, complete bool, err error) {
	line, rest, first := findPart(comment)
	if first && line == "" {
		*g = gathered{}
		return rest, true, nil
	}
	number, of, size := readPart(line)
	switch {
	case first:
		*g = gathered{of: of}
		if number != 1 {
			*g = gathered{}
			return "", false, fmt.Errorf("run description: begins with %s, not with part 1", clip(line))
		}
	case number == 0 || number != g.have+1 || of != g.of:
		return "", false, nil
	}
	switch {
	case size > len(rest):
		err = fmt.Errorf("run description, part %d of %d: %d bytes, %d are there", number, of, size, len(rest))
	case g.text.Len()+size > MaxMeta:
		err = fmt.Errorf("run description of more than %d bytes: %w", MaxMeta, ErrMetaTooLong)
	}
	if err != nil {
		*g = gathered{}
		return "", false, err
	}
	g.have = number
	g.text.WriteString(rest[:size])
	if g.have < g.of {
		return "", false, nil
	}
	text = g.text.String()
	*g = gathered{}
	return text, true, nil
}

// missing is the error when no comments follow, or nil.
func (g *gathered) missing() error {
	if g.of == 0 {
		return nil
	}
	return fmt.Errorf("run description: part %d of %d is missing", g.have+1, g.of)
}

// findPart finds what is ours in a comment, behind what a person may have
// written before it: the line that says which part it is ("" for a first line of
// a description without one), and the text behind.
func findPart(comment string) (line, rest string, first bool) {
	for rest = comment; rest != ""; {
		line, rest, _ = strings.Cut(rest, "\n")
		line = strings.TrimRight(line, "\r ")
		if strings.HasPrefix(line, partKey) {
			return line, rest, false
		}
		if line != metaFirst {
			continue
		}
		if !strings.HasPrefix(rest, partKey) {
			return "", rest, true
		}
		line, rest, _ = strings.Cut(rest, "\n")
		return strings.TrimRight(line, "\r "), rest, true
	}
	return "", "", false
}

// readPart reads the line that says which part it is; number is 0 if it does not.
func readPart(line string) (number, of, size int) {
	value, ok := strings.CutPrefix(line, partKey)
	words := strings.Split(value, " ")
	if !ok || len(words) != 3 {
		return 0, 0, 0
	}
	for i, f := range []struct {
		key string
		n   *int
	}{{"", &number}, {"of=", &of}, {"bytes=", &size}} {
		digits, ok := strings.CutPrefix(words[i], f.key)
		n, err := strconv.ParseUint(digits, 10, 31)
		if !ok || err != nil {
			return 0, 0, 0
		}
		*f.n = int(n)
	}
	if of < 2 || number > of {
		return 0, 0, 0
	}
	return number, of, size
}
