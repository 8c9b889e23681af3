package faults

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText is the longest rule text, in bytes. It leaves room for a list of some
// ten thousand frames.
const maxText = 64 << 10

// token is one word of a rule: a run of characters without white space, or a
// string in double quotes.
type token struct {
	text   string // as written; a quoted string with its quotes
	column int    // of its first character, in runes, from 1
	quoted bool
}

// atEnd reports whether the token stands for the end of the rule.
func (t token) atEnd() bool { return t.text == "" }

// part returns the token made of t.text[from:to], for an error about a piece of a word.
// Where there is nothing between, it is the whole word, in which something is missing:
// an empty token would stand for the end of the rule.
func (t token) part(from, to int) token {
	if from == to {
		return t
	}
	return token{text: t.text[from:to], column: t.column + utf8.RuneCountInString(t.text[:from])}
}

// tokenize splits a rule into words. White space is whatever Unicode calls so,
// so that a rule folded over several lines of a file is one rule.
func tokenize(text string) ([]token, token, error) {
	if len(text) > maxText {
		return nil, token{}, &SyntaxError{Text: text, Column: 1, Token: text,
			Msg: fmt.Sprintf("the rule is %d bytes long, at most %d are read", len(text), maxText)}
	}
	var toks []token
	start, startColumn := -1, 0 // of the word being read
	column := 0
	inQuotes := false
	flush := func(end int) {
		if start >= 0 {
			toks = append(toks, token{text: text[start:end], column: startColumn, quoted: text[start] == '"'})
			start = -1
		}
	}
	for i, r := range text {
		column++
		bad := ""
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			bad = "not UTF-8"
			return nil, token{}, &SyntaxError{Text: text, Column: column, Token: text[i : i+1], Msg: bad}
		case !unicode.IsSpace(r) && !unicode.IsPrint(r):
			bad = "not a printable character"
			return nil, token{}, &SyntaxError{Text: text, Column: column, Token: string(r), Msg: bad}
		case inQuotes:
			if r == '"' {
				inQuotes = false
				flush(i + 1)
			}
		case unicode.IsSpace(r):
			flush(i)
		case start < 0:
			start, startColumn, inQuotes = i, column, r == '"'
		}
	}
	if inQuotes {
		t := token{text: text[start:], column: startColumn}
		return nil, token{}, &SyntaxError{Text: text, Column: startColumn, Token: t.text, Msg: `the closing " is missing`}
	}
	flush(len(text))
	return toks, token{column: column + 1}, nil
}
