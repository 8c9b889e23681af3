package faults

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// parser walks over the words of one rule. The words of the grammar stand in
// tables (kinds, clauses, frequency words), which are also what error messages
// list and where suggestions come from: a new model is a new entry.
type parser struct {
	text string
	toks []token
	end  token // stands at the end of the text
}

// peek returns the next word, or a token for which atEnd is true.
func (p *parser) peek() token {
	if len(p.toks) == 0 {
		return p.end
	}
	return p.toks[0]
}

// next returns the next word and goes on to the one after it.
func (p *parser) next() token {
	t := p.peek()
	if len(p.toks) > 0 {
		p.toks = p.toks[1:]
	}
	return t
}

// want returns the word after "after", or an error saying what should stand there.
func (p *parser) want(after, what string) (token, error) {
	t := p.next()
	if t.atEnd() {
		return t, p.errorf(t, "%q must be followed by %s", after, what)
	}
	return t, nil
}

func (p *parser) errorf(t token, format string, args ...any) error {
	return &SyntaxError{Text: p.text, Column: t.column, Token: t.text, Msg: fmt.Sprintf(format, args...)}
}

// clause is a part of a rule that a word introduces. The parts of a rule come in
// any order, each at most once.
type clause struct {
	word  string
	shape string                            // for people, word included: "copies N"; short
	parse func(p *parser, word token) error // reads what follows the word
	match func(t token) bool                // instead of word: for parts that are one word
	// takes, if not nil, looks at the word after this one: two parts may begin alike.
	takes func(next token) bool
}

func (c *clause) introducedBy(t, next token) bool {
	switch {
	case c.match != nil:
		return c.match(t)
	case c.takes != nil && !c.takes(next):
		return false
	}
	return c.word == t.text
}

// clauses reads the rest of a rule.
func (p *parser) clauses(known []clause) error {
	seen := make([]bool, len(known))
next:
	for {
		t := p.next()
		if t.atEnd() {
			return nil
		}
		for i := range known {
			if !known[i].introducedBy(t, p.peek()) {
				continue
			}
			if seen[i] {
				return p.errorf(t, "a second %q; a rule has it once", known[i].word)
			}
			seen[i] = true
			if err := known[i].parse(p, t); err != nil {
				return err
			}
			continue next
		}
		var words, shapes []string
		for i, c := range known {
			if c.match == nil {
				words = append(words, c.word)
			}
			if !seen[i] && c.shape != "" {
				shapes = append(shapes, c.shape)
			}
			if c.word == oftenWord && !seen[i] && c.shape != "" {
				for _, f := range frequencyWords {
					words = append(words, f.word)
				}
			}
		}
		if hint := didYouMean(t.text, words); hint != "" {
			return p.errorf(t, "not known here%s", hint)
		}
		return p.errorf(t, "not known here; what can follow is %s", oneOf(shapes))
	}
}

// list takes a word apart at its commas.
func (p *parser) list(t token) ([]token, error) {
	var items []token
	column, at := t.column, 0
	for item := range strings.SplitSeq(t.text, ",") {
		if item == "" {
			comma := t.part(max(at-1, 0), max(at, 1))
			return nil, p.errorf(comma, "nothing stands on one side of this comma; a list has no spaces: 3,17..19")
		}
		items = append(items, token{text: item, column: column})
		at += len(item) + 1
		column += utf8.RuneCountInString(item) + 1
	}
	return items, nil
}

// oneOf writes a list for people: "a, b or c".
func oneOf(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}

const (
	maxNameLen = 64
	letters    = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	nameChars  = letters + "0123456789-_"
)

// reserved cannot be the name of a rule: the words that begin a part of a rule,
// those that the language uses and those that are kept for it, so that "rule=drop"
// in a summary is nobody's name. Options ("burst") may be names.
var reserved = strings.Fields(`
	drop duplicate corrupt truncate pad delay reorder rate partition mtu down up
	nth every first gemodel markov
	from to all none vlan if during for after until on off set and or not`)

// clauseWords cannot be the names of ports in a rule: after "from" and "to" they
// mean that the port was forgotten.
var clauseWords = []string{"on", "from", "to", "if", "during", "for", "after", "until", "vlan"}

// name takes a leading `name:` off the rule.
func (p *parser) name() (string, error) {
	t := p.peek()
	if len(p.toks) > 1 && strings.HasPrefix(p.toks[1].text, ":") {
		return "", p.errorf(p.toks[1], `a rule's name and its ":" are written together, as "loss: drop 2%%"`)
	}
	name, rest, found := strings.Cut(t.text, ":")
	if !found || t.quoted {
		return "", nil
	}
	p.toks = p.toks[1:]
	if rest != "" {
		p.toks = append([]token{t.part(len(name)+1, len(t.text))}, p.toks...)
	}
	if name == "" {
		return "", p.errorf(t, `a rule's name stands before the ":"`)
	}
	t = t.part(0, len(name))
	if i := strings.IndexFunc(name, func(r rune) bool { return !strings.ContainsRune(nameChars, r) }); i >= 0 {
		_, n := utf8.DecodeRuneInString(name[i:])
		return "", p.errorf(t.part(i, i+n), "a rule's name has letters, digits, - and _ only")
	}
	if !strings.ContainsAny(name, letters) {
		return "", p.errorf(t, "a rule's name has at least one letter: numbers are the rules' own")
	}
	if len(name) > maxNameLen {
		return "", p.errorf(t, "a rule's name has at most %d characters, this one %d", maxNameLen, len(name))
	}
	for _, word := range reserved {
		if name == word {
			return "", p.errorf(t, "a word of the rules' language cannot be a rule's name")
		}
	}
	return name, nil
}

// everyPort is what stands for all ports after "from" and "to".
const everyPort = "all"

// port reads the name of a port.
func (p *parser) port(word token) (string, error) {
	t, err := p.want(word.text, `the name of a port, or "all"`)
	if err != nil {
		return "", err
	}
	for _, w := range clauseWords {
		if t.text == w {
			return "", p.errorf(t, `%q must be followed by the name of a port, or "all"`, word.text)
		}
	}
	return p.portName(t, "; one port, or a rule for each")
}

// portName reads the name of a port; several is said of a list.
func (p *parser) portName(t token, several string) (string, error) {
	return p.plainName(t, "a port's", several)
}

// plainName reads the name of a port or a switch: whose it is, in words.
func (p *parser) plainName(t token, whose, several string) (string, error) {
	i := strings.IndexFunc(t.text, func(r rune) bool { return r != '.' && !strings.ContainsRune(nameChars, r) })
	if i >= 0 {
		_, n := utf8.DecodeRuneInString(t.text[i:])
		if t.text[i] != ',' {
			several = ""
		}
		return "", p.errorf(t.part(i, i+n), "%s name has letters, digits, and _ . - only%s", whose, several)
	}
	return t.text, nil
}
