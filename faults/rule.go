package faults

import (
	"fmt"
	"slices"
	"strings"
)

// Rule is one fault rule, read from its text. It does not change and may be
// used by several worlds at once; what it does in one world is in an [Installed].
type Rule struct {
	name  string
	what  action
	often frequency
	where
	when
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
	var options []clause
	r.what, options = start.start()
	if head, ok := r.what.(interface{ parseHead(p *parser) error }); ok {
		if err := head.parseHead(p); err != nil {
			return nil, err
		}
	}
	r.often = always{}
	often := p.oftenClause(start, &r.often)
	known := slices.Concat(options, []clause{often}, r.where.clauses(r.what), r.when.clauses())
	if err := p.clauses(known); err != nil {
		return nil, err
	}
	if err := r.where.compile(p); err != nil {
		return nil, err
	}
	if err := r.what.check(p); err != nil {
		return nil, err
	}
	if err := r.when.check(p); err != nil {
		return nil, err
	}
	if c, ok := r.what.(interface {
		checkRule(p *parser, r *Rule) error
	}); ok {
		if err := c.checkRule(p, r); err != nil {
			return nil, err
		}
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

// Name returns the rule's name, or "" if it has none.
func (r *Rule) Name() string { return r.name }

// Switch returns the name of the switch that the rule is about, or "" if it does not say.
func (r *Rule) Switch() string { return r.sw }

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
	parts := slices.Concat([]string{r.what.word(), r.often.text()}, r.what.options(), r.where.text(), r.when.text())
	var b strings.Builder
	for _, part := range parts {
		if b.Len() > 0 && part != "" {
			b.WriteByte(' ')
		}
		b.WriteString(part)
	}
	return b.String()
}

// StartsOff reports whether the rule is one that is turned off until somebody turns it on.
func (r *Rule) StartsOff() bool { return r.off }

// Idle reports whether the rule can do nothing, whatever comes, because its
// probability is 0 ("drop 0%", a chain that never leaves states of 0%). It is then
// asked about no frame: it costs nothing, and matches none.
func (r *Rule) Idle() bool {
	a, ok := r.what.(*reorder)
	return r.often.never() && !(ok && a.isAhead)
}

// Refuses reports whether the rule acts inside the sender's write ("mtu N error"):
// what it refuses is in no recording.
func (r *Rule) Refuses() bool {
	a, ok := r.what.(*mtu)
	return ok && a.tell
}

// Tables returns the files of distributions that the rule names: they have to be
// read ([Rule.WithTables]) before the rule can be installed.
func (r *Rule) Tables() []string {
	if l := r.lateness(); l != nil && l.file != "" {
		return []string{l.file}
	}
	return nil
}

// WithTables returns the rule with the values of its tables in place of the names
// of files; read returns the text of a file. Rules without such tables are
// returned as they are.
//
// A table is as netem has it (see tc-netem(8), and /usr/lib/tc on Linux): 1 to
// 65,536 integers of 16 bits in units of 1/8192 jitter, each as likely as any
// other, separated by white space; lines that begin with # are comments. An error
// is read's, or names the file and the line.
func (r *Rule) WithTables(read func(file string) ([]byte, error)) (*Rule, error) {
	l := r.lateness()
	if l == nil || l.file == "" {
		return r, nil
	}
	text, err := read(l.file)
	if err != nil {
		return nil, fmt.Errorf("fault rule %q: table %q: %w", r, l.file, err)
	}
	d, err := parseDist(text)
	if err != nil {
		return nil, fmt.Errorf("fault rule %q: table %q: %w", r, l.file, err)
	}
	out := *r
	switch a := r.what.(type) {
	case *delay:
		b := *a
		b.dist, b.file = d, ""
		out.what = &b
	case *reorder:
		b := *a
		b.ahead.dist, b.ahead.file = d, ""
		out.what = &b
	}
	return &out, nil
}

// lateness returns the rule's delay, or nil.
func (r *Rule) lateness() *lateness {
	switch a := r.what.(type) {
	case *delay:
		return &a.lateness
	case *reorder:
		return &a.ahead
	}
	return nil
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
