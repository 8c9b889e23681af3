package scenario

import (
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// decode reads the text, of at most so many bytes, into the struct that v points
// to. Errors are [*Error].
func (d *document) decode(text []byte, most int, v any) (err error) {
	text = withoutMark(text)
	d.typ = reflect.TypeOf(v).Elem()
	fail := func(format string, args ...any) error {
		return &Error{File: d.name, Msg: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(text) > most:
		return fail("%d bytes of text, at most %d are read", len(text), most)
	case !utf8.Valid(text):
		return fail("not UTF-8 text; %s is a YAML file", d.kind)
	}
	d.lines = strings.Split(string(text), "\n")
	if err := d.checkNesting(); err != nil {
		return err
	}
	// The YAML library is large and reads what strangers wrote: a failure of its
	// own is an error about the text.
	defer func() {
		if r := recover(); r != nil {
			err = fail("cannot be read as YAML (%v)", r)
		}
	}()
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return d.yamlError(err)
	}
	docs := file.Docs[:0:0]
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.NullType && doc.Body.Type() != ast.CommentType {
			docs = append(docs, doc)
		}
	}
	switch {
	case len(docs) == 0:
		return fail("empty; %s has keys such as %s", d.kind, d.keys)
	case len(docs) > 1:
		e := &Error{File: d.name, Msg: "a second YAML document; " + d.kind + " is one"}
		d.locate(e, docs[1].Body, 0)
		return e
	}
	if d.root, err = plain(docs[0].Body); err != nil {
		return d.yamlError(err)
	}
	if _, ok := d.root.(*ast.MappingNode); !ok {
		return d.yamlError(&yaml.SyntaxError{Message: d.kind + " is a mapping with keys such as " + d.keys, Token: d.root.GetToken()})
	}
	if err := yaml.NodeToValue(d.root, v, yaml.Strict()); err != nil {
		return d.yamlError(err)
	}
	if e := zeros(d.typ, d.root, nil); e != nil {
		return d.errorAt(e)
	}
	return nil
}

// Document is a text that [Decode] has read, for errors that name their place.
type Document struct{ d *document }

// Decode reads another strict YAML text, as strictly as a scenario, into the
// struct that v points to: its fields are of the types of this package, or texts,
// lists and mappings of such. kind is what errors call it ("an expectation
// file"), keys names some of the keys it has ("capture and live"). Errors are
// [*Error].
func Decode(text []byte, name, kind, keys string, v any) (*Document, error) {
	d := &document{name: name, kind: kind, keys: keys}
	if err := d.decode(text, MaxText, v); err != nil {
		return nil, err
	}
	return &Document{d}, nil
}

// Errorf makes an error about the value that path leads to, key by key.
func (d *Document) Errorf(path []string, format string, args ...any) *Error {
	return d.d.errorAt(at(path, format, args...))
}

// ErrorIn makes an error of one about the text that path leads to: it is in that text's
// column, from 1.
func (d *Document) ErrorIn(path []string, column int, err error) *Error {
	return d.d.errorAt(&pathError{path: path, column: column, err: err})
}

// ErrorfKey makes an error about the last key of a path, not its value.
func (d *Document) ErrorfKey(path []string, format string, args ...any) *Error {
	e := at(path, format, args...)
	e.key = true
	return d.d.errorAt(e)
}

// Place says where the scalar that path leads to stands: its line and column,
// from 1, both in characters; ok is false if there is none.
func (d *Document) Place(path ...string) (line, column int, ok bool) {
	n := d.d.root
	for _, key := range path {
		m, _ := n.(*ast.MappingNode)
		if m == nil {
			return 0, 0, false
		}
		n = nil
		for _, kv := range m.Values {
			if keyText(kv.Key) == key {
				n = kv.Value
			}
		}
	}
	if _, scalar := scalarText(n); !scalar {
		return 0, 0, false
	}
	pos := n.GetToken().Position
	return pos.Line, pos.Column, true
}
