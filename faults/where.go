package faults

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vnreplay/vnreplay/filter"
	"github.com/vnreplay/vnreplay/switch"
)

// where says which frames on which cables a rule is about.
type where struct {
	sw   string         // the switch, or "" for whichever has the ports
	from string         // a port, or "" for all
	to   string         // a port, everyPort, or "" for the sender's cable
	vlan int            // an outer tag with this VLAN identifier, or anyVLAN
	cond *filter.Filter // of the "if", or nil
	at   placed         // an action that names its cables itself, or nil

	frames *filter.Filter // vlan and cond together; nil: all frames
	ifWord token
}

// placed is an action that says itself which cables it is about; its rule has no
// "from" and "to".
type placed interface {
	// cables says whether it can be about senders' and about receivers' cables.
	cables() (sender, receivers bool)
	// on reports whether it is about a cable, the sender's if to is nil.
	on(from, to *vswitch.Port) bool
	// ports are the names it has.
	ports() []string
	// place says in words which frames it is about.
	place() string
}

const (
	anyVLAN = -1
	maxVLAN = 4095
)

// clauses are the words that set w.
func (w *where) clauses(what action) []clause {
	w.vlan = anyVLAN
	vlan := clause{word: "vlan", shape: "vlan", parse: func(p *parser, word token) error {
		t, err := p.want(word.text, "the identifier of a VLAN, 0 to 4095")
		if err != nil {
			return err
		}
		n, err := p.whole(t, "the identifier of a VLAN", 0, maxVLAN)
		w.vlan = int(n)
		return err
	}}
	cond := clause{word: "if", shape: `if "..."`, parse: w.parseIf}
	on := clause{word: "on", shape: "on", parse: func(p *parser, word token) error {
		t, err := p.want(word.text, "the name of a switch")
		if err != nil {
			return err
		}
		if slices.Contains(clauseWords, t.text) {
			return p.errorf(t, `"on" must be followed by the name of a switch`)
		}
		w.sw, err = p.plainName(t, "a switch's", "")
		return err
	}}
	if w.at, _ = what.(placed); w.at != nil {
		return []clause{on, vlan, cond}
	}
	return []clause{
		on,
		{word: "from", shape: "from", parse: func(p *parser, word token) (err error) {
			w.from, err = p.port(word)
			if w.from == everyPort {
				w.from = "" // the same decision: each sender's own cable
			}
			return err
		}},
		{word: "to", shape: "to", parse: func(p *parser, word token) (err error) {
			w.to, err = p.port(word)
			return err
		}},
		vlan, cond,
	}
}

// parseIf reads a tcpdump expression in double quotes.
func (w *where) parseIf(p *parser, word token) error {
	t, err := p.want(word.text, `a tcpdump expression in double quotes, such as "tcp port 80"`)
	if err != nil {
		return err
	}
	if !t.quoted {
		return p.errorf(t, `a tcpdump expression stands in double quotes: if "tcp port 80"`)
	}
	if strings.TrimSpace(t.text[1:len(t.text)-1]) == "" {
		return p.errorf(t, "an empty expression is for all frames: leave the if out")
	}
	w.ifWord = word
	w.cond, err = filters.compile(t.text[1 : len(t.text)-1])
	var syntax *filter.SyntaxError
	if errors.As(err, &syntax) {
		at := token{text: syntax.Token, column: t.column + syntax.Column}
		if at.text == "" { // the end of the expression: its closing quote
			at.text = `"`
		}
		return p.errorf(at, "in the tcpdump expression: %s", syntax.Msg)
	}
	if one := strings.Join(strings.Fields(t.text[1:len(t.text)-1]), " "); err == nil && one != w.cond.String() {
		w.cond, err = filters.compile(one) // so that the rule prints on one line
	}
	return err
}

// compile puts vlan and cond together, as tcpdump does: behind "vlan 7" an
// expression is about what stands behind the tag.
func (w *where) compile(p *parser) (err error) {
	switch {
	case w.vlan == anyVLAN:
		w.frames = w.cond
	case w.cond == nil:
		w.frames, err = filters.compile(fmt.Sprintf("vlan %d", w.vlan))
	default:
		w.frames, err = filters.compile(fmt.Sprintf("vlan %d and (%s)", w.vlan, w.cond))
		var syntax *filter.SyntaxError
		if errors.As(err, &syntax) {
			err = p.errorf(w.ifWord, "the expression does not go with vlan %d: %s", w.vlan, syntax.Msg)
		}
	}
	return err
}

// text is the normal form's part.
func (w *where) text() []string {
	var parts []string
	if w.sw != "" {
		parts = append(parts, "on", w.sw)
	}
	if w.from != "" {
		parts = append(parts, "from", w.from)
	}
	if w.to != "" {
		parts = append(parts, "to", w.to)
	}
	if w.vlan != anyVLAN {
		parts = append(parts, "vlan", formatInt(w.vlan))
	}
	if w.cond != nil {
		parts = append(parts, "if", `"`+w.cond.String()+`"`)
	}
	return parts
}

// ports are the names of ports in the rule.
func (w *where) ports() []string {
	if w.at != nil {
		return w.at.ports()
	}
	var names []string
	for _, name := range []string{w.from, w.to} {
		if name != "" && name != everyPort {
			names = append(names, name)
		}
	}
	return names
}

// on reports whether the cable is one the rule is about.
func (w *where) on(from, to *vswitch.Port) bool {
	if w.at != nil {
		return w.at.on(from, to)
	}
	if (to == nil) != (w.to == "") {
		return false
	}
	if w.from != "" && w.from != from.Name() {
		return false
	}
	return to == nil || w.to == everyPort || w.to == to.Name()
}

// fits reports whether a frame is one the rule is about, on whatever cable.
func (w *where) fits(data []byte) bool { return w.frames == nil || w.frames.Match(data) }

// looksLikeSize reports whether t is a number of bytes, rightly written or not,
// and no port's name that anybody would choose.
func looksLikeSize(t token) bool {
	r, _ := utf8.DecodeRuneInString(t.text)
	return '0' <= r && r <= '9' && t.text[len(t.text)-1] == 'B'
}
