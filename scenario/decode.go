package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
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
	return parse(text, path, dir)
}

// Parse reads a scenario from its text and checks it. name is what errors call
// it. Such a scenario names no files.
func Parse(text []byte, name string) (*Scenario, error) { return parse(text, name, nil) }

// document is a scenario's text with its syntax tree, for errors that know where
// they are.
type document struct {
	name  string
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

// at makes an error about the part that path leads to.
func at(path []string, format string, args ...any) *pathError {
	return &pathError{path: path, err: fmt.Errorf(format, args...)}
}

// parse reads a scenario. files is where the files beside it are read from; nil
// if it may name none.
func parse(text []byte, name string, files *os.Root) (s *Scenario, err error) {
	doc := &document{name: name}
	text = withoutMark(text)
	fail := func(format string, args ...any) (*Scenario, error) {
		return nil, &Error{File: name, Msg: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(text) > MaxText:
		return fail("%d bytes of text, at most %d are read", len(text), MaxText)
	case !utf8.Valid(text):
		return fail("not UTF-8 text; a scenario is a YAML file")
	}
	doc.lines = strings.Split(string(text), "\n")
	if err := doc.checkNesting(); err != nil {
		return nil, err
	}
	// The YAML library is large and reads what strangers wrote: a failure of its
	// own is an error about the text.
	defer func() {
		if r := recover(); r != nil {
			s, err = fail("cannot be read as YAML (%v)", r)
		}
	}()
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, doc.yamlError(err)
	}
	docs := file.Docs[:0:0]
	for _, d := range file.Docs {
		if d.Body != nil && d.Body.Type() != ast.NullType && d.Body.Type() != ast.CommentType {
			docs = append(docs, d)
		}
	}
	switch {
	case len(docs) == 0:
		return fail("empty; a scenario has at least hosts")
	case len(docs) > 1:
		e := &Error{File: name, Msg: "a second YAML document; a scenario is one"}
		doc.locate(e, docs[1].Body, 0)
		return nil, e
	}
	if doc.root, err = plain(docs[0].Body); err != nil {
		return nil, doc.yamlError(err)
	}
	if _, ok := doc.root.(*ast.MappingNode); !ok {
		return nil, doc.yamlError(&yaml.SyntaxError{Message: "a scenario is a mapping with keys such as hosts and apps", Token: doc.root.GetToken()})
	}
	s = &Scenario{name: name}
	if err := yaml.NodeToValue(doc.root, s, yaml.Strict()); err != nil {
		return nil, doc.yamlError(err)
	}
	if e := zeros(reflect.TypeFor[Scenario](), doc.root, nil); e != nil {
		return nil, doc.errorAt(e)
	}
	if e := s.inline(files); e != nil {
		return nil, doc.errorAt(e)
	}
	if e := s.inlineTables(files); e != nil {
		return nil, doc.errorAt(e)
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
