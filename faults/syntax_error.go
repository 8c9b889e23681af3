package faults

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SyntaxError says what is wrong with the text of a rule, and where.
type SyntaxError struct {
	// Text is the rule as it was given.
	Text string
	// Column is where Token begins: characters (runes, not bytes) from 1. At the
	// end of the text it is one more than the number of characters.
	Column int
	// Token is the offending word or part of a word; empty at the end of the rule.
	Token string
	// Msg says what is wrong and what is accepted.
	Msg string
}

// maxQuoted is how many characters of a token an error line quotes.
const maxQuoted = 40

// Error is one line of printable characters:
//
//	fault rule, column 1, "drpo": no such fault: ...
func (e *SyntaxError) Error() string {
	where := "at its end"
	if e.Token != "" {
		where = strconv.Quote(clip(e.Token, maxQuoted))
	}
	return fmt.Sprintf("fault rule, column %d, %s: %s", e.Column, where, e.Msg)
}

// Excerpt shows the rule, or the part around the error if it is long, and under
// it a caret at Column and a line along the rest of the token. It is two lines,
// each ended by a newline. Characters that are not printable are shown as '?'.
func (e *SyntaxError) Excerpt() string {
	const before, width = 40, 76
	text := []rune(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, e.Text))
	at := min(max(e.Column-1, 0), len(text))
	first, lead := 0, ""
	if len(text) > width && at > before {
		first, lead = at-before, "..."
	}
	last, tail := len(text), ""
	if last > first+width {
		last, tail = first+width, "..."
	}
	under := max(min(utf8.RuneCountInString(e.Token), last-at), 1)
	return lead + string(text[first:last]) + tail + "\n" +
		strings.Repeat(" ", len(lead)+at-first) + "^" + strings.Repeat("~", under-1) + "\n"
}

// clip shortens s to n characters, marking the cut.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-3]) + "..."
}

// synonyms are words of other tools, and ours for them.
var synonyms = map[string]string{
	"loss": "drop", "lose": "drop", "lost": "drop",
	"copy": "duplicate", "clone": "duplicate", "flip": "corrupt",
}

// didYouMean returns `; did you mean "drop"?` for the candidate nearest to word,
// or "" if none is near. Of equally near ones the first wins.
func didYouMean(word string, candidates []string) string {
	lower := strings.ToLower(word)
	best, bestDistance := "", 2+len(word)/4
	for _, c := range candidates {
		d := distance(lower, strings.ToLower(c))
		if len(lower) >= 3 && strings.HasPrefix(c, lower) || synonyms[lower] == c {
			d = 0
		}
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	if best == "" || best == word {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the number of characters to insert, delete, replace or swap with
// their neighbour to make b of a (optimal string alignment). Words of more than
// 64 bytes are far from everything.
func distance(a, b string) int {
	const far = 1 << 10
	if len(a) > 64 || len(b) > 64 {
		return far
	}
	var rows [3][65]int
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		row, above, above2 := &rows[i%3], &rows[(i+2)%3], &rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], above2[j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}
