package faults

import (
	"fmt"
	"strings"
)

// Rule is one fault rule, read from its text. It does not change and may be
// used by several worlds at once; what it does in one world is in an [Installed].
type Rule struct {
	name  string
	what  action
	often frequency
	where
}

// where is the FROM and TO of a rule.
type where struct {
	from string // a port, or "" for all
	to   string // a port, everyPort, or "" for the sender's cable
}

// maxRules is how many rules [ParseAll] takes.
const maxRules = 10_000

// Parse reads the text of one rule. The error is a [*SyntaxError].
func Parse(text string) (*Rule, error) {
	toks, end, err := tokenize(text)
	if err != nil {
		return nil, err
	}
	p := &parser{text: text, toks: toks, end: end}
	r := &Rule{}
	if r.name, err = p.name(); err != nil {
		return nil, err
	}
	t := p.next()
	start := findKind(t.text)
	if start == nil {
		words := kindWords()
		if t.atEnd() {
			return nil, p.errorf(t, "a rule begins with the fault: %s", oneOf(words))
		}
		return nil, p.errorf(t, "no such fault; there is %s%s", oneOf(words), didYouMean(t.text, words))
	}
	if r.often, err = p.frequency(); err != nil {
		return nil, err
	}
	var options []clause
	r.what, options = start()
	if err := p.clauses(append(options, r.where.clauses()...), r.often != always{}); err != nil {
		return nil, err
	}
	if err := r.what.check(p); err != nil {
		return nil, err
	}
	return r, nil
}

// ParseAll reads several rules. The error says which one, counted from 1, is
// wrong, and wraps its [*SyntaxError]. Names must differ: they are what
// recordings, summaries and expectations call a rule.
func ParseAll(texts []string) ([]*Rule, error) {
	if len(texts) > maxRules {
		return nil, fmt.Errorf("%d fault rules, at most %d are taken", len(texts), maxRules)
	}
	rules := make([]*Rule, len(texts))
	named := make(map[string]int)
	for i, text := range texts {
		r, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
		if first, taken := named[r.name]; taken && r.name != "" {
			return nil, fmt.Errorf("rule %d: %w", i+1, &SyntaxError{Text: text, Column: 1, Token: r.name,
				Msg: fmt.Sprintf("rule %d has this name", first)})
		}
		named[r.name] = i + 1
		rules[i] = r
	}
	return rules, nil
}

// clauses are the words that set w.
func (w *where) clauses() []clause {
	return []clause{
		{word: "from", shape: "from PORT", parse: func(p *parser, word token) (err error) {
			w.from, err = p.port(word)
			if w.from == everyPort {
				w.from = "" // the same decision: each sender's own cable
			}
			return err
		}},
		{word: "to", shape: "to PORT", parse: func(p *parser, word token) (err error) {
			w.to, err = p.port(word)
			return err
		}},
	}
}

// Name returns the rule's name, or "" if it has none.
func (r *Rule) Name() string { return r.name }

// From returns the name of the port whose frames the rule is about, or "" for
// all ports.
func (r *Rule) From() string { return r.from }

// To returns the name of the port whose cable the rule is about, "all" for the
// cable of each receiver, or "" if it is about the sender's cable.
func (r *Rule) To() string { return r.to }

// String returns the rule in its normal form: the parts in their order, numbers
// and lists as short as they can be written, defaults left out. Parse reads it
// back as the same rule. Two rules that differ in their wording only have the
// same normal form.
func (r *Rule) String() string {
	if r.name == "" {
		return r.text()
	}
	return r.name + ": " + r.text()
}

// text is the normal form without the name.
func (r *Rule) text() string {
	parts := append([]string{r.what.word(), r.often.text()}, r.what.options()...)
	if r.from != "" {
		parts = append(parts, "from", r.from)
	}
	if r.to != "" {
		parts = append(parts, "to", r.to)
	}
	var b strings.Builder
	for _, part := range parts {
		if b.Len() > 0 && part != "" {
			b.WriteByte(' ')
		}
		b.WriteString(part)
	}
	return b.String()
}

// key is what the rule's draws depend on: its name if it has one, so that other
// numbers behind the same name (3% for 2%) deal from the same cards, else its
// normal form.
func (r *Rule) key() string {
	if r.name != "" {
		return "name " + r.name
	}
	return "text " + r.text()
}
