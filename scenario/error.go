package scenario

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vnreplay/vnreplay/pcap"
)

// Error says what is wrong with a scenario, and where.
type Error struct {
	File   string // as it was given; "" for a scenario made by a program
	Line   int    // from 1; 0 when the place is not known
	Column int    // in characters, from 1
	Msg    string // what is wrong, and what to do
	line   string // the text of that line
	err    error
}

// Error is one line: "FILE:LINE:COLUMN: what is wrong".
func (e *Error) Error() string {
	file := e.File
	if file == "" {
		file = "scenario"
	}
	msg := pcap.Printable(e.Msg)
	const most = 300 // it may quote the text
	if len(msg) > most {
		msg = strings.ToValidUTF8(msg[:most], "") + "..."
	}
	if e.Line == 0 {
		return pcap.Printable(file) + ": " + msg
	}
	return fmt.Sprintf("%s:%d:%d: %s", pcap.Printable(file), e.Line, e.Column, msg)
}

// Unwrap returns the error of the part that is wrong, such as a
// *faults.SyntaxError, or nil.
func (e *Error) Unwrap() error { return e.err }

// Excerpt shows the line, or the part of it around the error if it is long, and
// a caret under the column: two lines, each ended by a newline; or "" when the
// place is not known.
func (e *Error) Excerpt() string {
	if e.Line == 0 {
		return ""
	}
	const before, width = 40, 68
	text := []rune(oneColumn(e.line))
	at := min(max(e.Column-1, 0), len(text))
	first, lead := 0, ""
	if len(text) > width && at > before {
		first, lead = at-before, "..."
	}
	last, tail := len(text), ""
	if last > first+width {
		last, tail = first+width, "..."
	}
	number := fmt.Sprintf("%4d | ", e.Line)
	return number + lead + string(text[first:last]) + tail + "\n" +
		strings.Repeat(" ", len(number)+len(lead)+at-first) + "^\n"
}

// oneColumn replaces what could confuse a terminal, each character by one.
func oneColumn(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}
