package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Load reads the scenario in the file at path, with the files beside it that it
// names, and checks it. Errors in the text are [*Error].
func Load(path string) (*Scenario, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, &Error{File: path, Msg: "not a regular file; give a scenario file"}
	}
	text, err := readAtMost(path, MaxText)
	if err != nil {
		return nil, &Error{File: path, Msg: err.Error(), err: err}
	}
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	defer dir.Close()
	return parse(text, path, source{most: MaxText, files: dir})
}

// Parse reads a scenario from its text and checks it. name is what errors call
// it. Such a scenario names no files.
func Parse(text []byte, name string) (*Scenario, error) {
	return parse(text, name, source{most: MaxText})
}

// ParseEmbedded reads the scenario that a recording carries. It is as strict as
// [Parse] and never opens a file. rules are the fault rules that the recording
// names (see [pcap.Meta]): they are the scenario's when its text has none, as when
// they are long (see [Scenario.Meta]).
func ParseEmbedded(text, name string, rules []string) (*Scenario, error) {
	return parse([]byte(text), name, source{most: MaxEffective, rules: rules})
}

// source says what a scenario may consist of besides its text.
type source struct {
	most  int      // bytes of the text
	files *os.Root // the files beside it; nil if it may name none
	rules []string // its fault rules, if it has none
}

// document is a scenario's text with its syntax tree, for errors that know where
// they are.
type document struct {
	name  string
	kind  string // what it is: "a scenario"
	keys  string // some of the keys that it has, in words
	typ   reflect.Type
	lines []string
	root  ast.Node
}

// errorAt makes the error at a place of the tree that path leads to, or at the
// deepest part of the path that is there.
func (d *document) errorAt(e *pathError) *Error {
	out := &Error{File: d.name, Msg: e.Error(), err: e.err}
	n := d.root
	var place ast.Node
walk:
	for _, key := range e.path {
		switch m := n.(type) {
		case *ast.MappingNode:
			for _, kv := range m.Values {
				if keyText(kv.Key) == key {
					place, n = kv.Value, kv.Value
					if e.key {
						place = kv.Key
					}
					continue walk
				}
			}
		case *ast.SequenceNode:
			var i int
			if _, err := fmt.Sscan(key, &i); err == nil && i < len(m.Values) {
				place, n = m.Values[i], m.Values[i]
				continue walk
			}
		}
		break
	}
	if place == nil {
		out.Msg = e.inWords()
		return out
	}
	d.locate(out, place, e.column)
	return out
}

// locate fills in where a node stands. column is a place inside of its text,
// from 1, or 0; it counts only if the text stands in the file as it is.
func (d *document) locate(out *Error, n ast.Node, column int) {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		n = m.Values[0].Key // its own token is the first colon
	}
	tok := n.GetToken()
	if tok == nil || tok.Position == nil {
		return
	}
	out.Line, out.Column = tok.Position.Line, tok.Position.Column
	if out.Line < 1 || out.Line > len(d.lines) {
		return
	}
	out.line = d.lines[out.Line-1]
	if column == 0 {
		return
	}
	text, _ := scalarText(n)
	from := []rune(out.line)[min(out.Column-1, utf8.RuneCountInString(out.line)):]
	quote := 0
	if len(from) > 0 && (from[0] == '"' || from[0] == '\'') {
		quote = 1
	}
	if strings.HasPrefix(string(from[min(quote, len(from)):]), text) {
		out.Column += quote + column - 1
	}
}

// pathError is an error about the part of a scenario that path leads to.
type pathError struct {
	path   []string
	key    bool // about the key, not its value
	column int  // inside of the value's text, from 1; 0: not known
	err    error
}

func (e *pathError) Error() string { return e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }

// inWords is the error with the path before it, for where there is no place.
func (e *pathError) inWords() string {
	if len(e.path) == 0 {
		return e.Error()
	}
	return strings.Join(e.path, ".") + ": " + e.Error()
}

// at makes an error about the part that path leads to.
func at(path []string, format string, args ...any) *pathError {
	return &pathError{path: path, err: fmt.Errorf(format, args...)}
}

// parse reads a scenario.
func parse(text []byte, name string, from source) (*Scenario, error) {
	doc, s := &document{name: name, kind: "a scenario", keys: "hosts and apps"}, &Scenario{name: name}
	if err := doc.decode(text, from.most, s); err != nil {
		return nil, err
	}
	if e := s.inline(from.files); e != nil {
		return nil, doc.errorAt(e)
	}
	if e := s.inlineTables(from.files); e != nil {
		return nil, doc.errorAt(e)
	}
	if len(s.Faults) == 0 {
		s.Faults = slices.Clone(from.rules)
	}
	if e := s.check(); e != nil {
		return nil, doc.errorAt(e)
	}
	return s, nil
}

// withoutMark returns the text without the byte order mark that some editors put
// before it.
func withoutMark(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\ufeff")) }

// yamlError turns an error of the YAML library into ours.
func (d *document) yamlError(err error) error {
	out := &Error{File: d.name, Msg: err.Error()}
	var ye yaml.Error
	if !errors.As(err, &ye) {
		return out
	}
	out.Msg = yamlMessage(ye)
	if tok := ye.GetToken(); tok != nil && tok.Position != nil {
		out.Line, out.Column = tok.Position.Line, tok.Position.Column
		if 0 < out.Line && out.Line <= len(d.lines) {
			out.line = d.lines[out.Line-1]
		}
	}
	var unknown *yaml.UnknownFieldError
	if errors.As(err, &unknown) {
		out.Msg = d.unknownKey(unknown)
	}
	return out
}

// yamlMessage rephrases what the library says in Go's terms.
func yamlMessage(err yaml.Error) string {
	switch e := err.(type) {
	case *yaml.TypeError:
		return fmt.Sprintf("want %s", kindWord(e.DstType))
	case *yaml.UnexpectedNodeTypeError:
		return fmt.Sprintf("want a %s, found a %s", yamlWord(e.Expected), yamlWord(e.Actual))
	}
	msg := err.GetMessage()
	if strings.HasPrefix(msg, "invalid header option") {
		msg = `a text that begins with > or | stands in quotes, as ">=1"`
	}
	return msg
}

// yamlWord is what people call a kind of YAML node.
func yamlWord(t ast.NodeType) string {
	switch t {
	case ast.SequenceType:
		return "list"
	case ast.StringType:
		return "text"
	}
	return t.YAMLName()
}
