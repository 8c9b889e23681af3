package scenario

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxNesting is how deep collections may lie in each other; a scenario needs 6.
const maxNesting = 20

// checkNesting refuses text that is nested deeper than a document can be, before
// a parser recurses into it. It counts opening brackets and leading dashes
// without looking for quotes, so it may count too many; maxNesting leaves room.
func (d *document) checkNesting() error {
	flow := 0
	for i, line := range d.lines {
		deepest, dashes, leading := 0, 0, true
		for col, r := range line {
			switch r {
			case '[', '{':
				flow++
			case ']', '}':
				flow = max(flow-1, 0)
			case '-', '?':
				if leading {
					dashes++
				}
			}
			leading = leading && (r == ' ' || r == '-' || r == '?')
			if flow+dashes > maxNesting && deepest == 0 {
				deepest = utf8.RuneCountInString(line[:col]) + 1
			}
		}
		if strings.TrimSpace(line) == "---" || len(line) > 0 && strings.Count(line, "-") == len(line) {
			continue
		}
		if deepest > 0 {
			return &Error{File: d.name, Line: i + 1, Column: deepest, line: line,
				Msg: fmt.Sprintf("nested deeper than %d levels", maxNesting)}
		}
	}
	return nil
}

// plain returns the tree with every number replaced by its text, so that what
// stands in the file is what is read (1.0 stays 1.0), and refuses what a
// scenario has no use for.
func plain(n ast.Node) (ast.Node, error) {
	refuse := func(msg string) (ast.Node, error) {
		return nil, &yaml.SyntaxError{Message: msg, Token: n.GetToken()}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, kv := range n.Values {
			if err := plainPair(kv); err != nil {
				return nil, err
			}
		}
		return n, nil
	case *ast.MappingValueNode:
		if err := plainPair(n); err != nil {
			return nil, err
		}
		return ast.Mapping(n.Start, n.IsFlowStyle, n), nil
	case *ast.SequenceNode:
		for i, v := range n.Values {
			var err error
			if n.Values[i], err = plain(v); err != nil {
				return nil, err
			}
		}
		return n, nil
	case *ast.StringNode, *ast.BoolNode:
		return n, nil
	case *ast.LiteralNode:
		return n.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return ast.String(n.GetToken()), nil
	case *ast.NullNode:
		return refuse("a value is missing here; leave the key out for its default")
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return refuse("YAML anchors and aliases are not accepted; write the value out")
	case *ast.TagNode:
		return refuse("YAML tags are not accepted")
	default:
		return refuse("YAML of this kind is not accepted; write mappings, lists and texts")
	}
}

func plainPair(kv *ast.MappingValueNode) error {
	switch kv.Key.(type) {
	case *ast.StringNode, *ast.BoolNode:
	case *ast.IntegerNode, *ast.FloatNode, *ast.NullNode:
		kv.Key = ast.String(kv.Key.GetToken())
	case *ast.MergeKeyNode, *ast.AnchorNode, *ast.AliasNode:
		return &yaml.SyntaxError{Message: "YAML anchors and aliases are not accepted; write the value out", Token: kv.Key.GetToken()}
	default:
		return &yaml.SyntaxError{Message: "a key is a word", Token: kv.Key.GetToken()}
	}
	var err error
	kv.Value, err = plain(kv.Value)
	return err
}

func keyText(k ast.MapKeyNode) string {
	if s, ok := k.(*ast.StringNode); ok {
		return s.Value
	}
	return k.GetToken().Value
}

// scalarText returns the text of a scalar.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// tokenOf returns the token that stands where the value begins.
func tokenOf(n ast.Node) *token.Token {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		return m.Values[0].Key.GetToken()
	}
	return n.GetToken()
}

// read reads a scalar with a function that reads its text.
func read[T any](n ast.Node, v *T, parse func(string) (T, error)) error {
	text, ok := scalarText(n)
	if !ok {
		// The parser's own words say what would be right here.
		_, err := parse("")
		return &yaml.SyntaxError{Message: err.Error(), Token: tokenOf(n)}
	}
	got, err := parse(text)
	if err != nil {
		return &yaml.SyntaxError{Message: err.Error(), Token: n.GetToken()}
	}
	*v = got
	return nil
}

// What the YAML library calls for the values of each type.

func (v *Number) UnmarshalYAML(n ast.Node) error   { return read(n, v, parseNumber) }
func (v *Duration) UnmarshalYAML(n ast.Node) error { return read(n, v, parseDuration) }
func (v *Rate) UnmarshalYAML(n ast.Node) error     { return read(n, v, parseRate) }
func (v *Queue) UnmarshalYAML(n ast.Node) error    { return read(n, v, parseQueue) }
func (v *Size) UnmarshalYAML(n ast.Node) error     { return read(n, v, parseSize) }
func (v *Instant) UnmarshalYAML(n ast.Node) error  { return read(n, v, parseInstant) }
func (v *Prefix) UnmarshalYAML(n ast.Node) error   { return read(n, v, parsePrefix) }
func (v *Addr) UnmarshalYAML(n ast.Node) error     { return read(n, v, parseAddr) }

func (v *Range[T]) UnmarshalYAML(n ast.Node) error {
	switch v := any(v).(type) {
	case *CountRange:
		return read(n, v, func(s string) (CountRange, error) { return parseRange(s, parseNumber) })
	case *SizeRange:
		return read(n, v, func(s string) (SizeRange, error) { return parseRange(s, parseSize) })
	case *DurationRange:
		return read(n, v, func(s string) (DurationRange, error) { return parseRange(s, parseDuration) })
	}
	return fmt.Errorf("no range of %T", v)
}

// List is a list in the file, or its only element.
type List[T any] []T

func (l *List[T]) UnmarshalYAML(n ast.Node) error {
	elements := []ast.Node{n}
	if seq, ok := n.(*ast.SequenceNode); ok {
		elements = seq.Values
	}
	for _, e := range elements {
		var v T
		if err := yaml.NodeToValue(e, &v, yaml.Strict()); err != nil {
			return err
		}
		*l = append(*l, v)
	}
	return nil
}

// Map is a mapping from names that keeps the order of the file.
type Map[T any] []Entry[T]

// Entry is one name of a Map, with its value.
type Entry[T any] struct {
	Name  string
	Value T
}

// Get returns the value of a name.
func (m Map[T]) Get(name string) (v T, ok bool) {
	for _, e := range m {
		if e.Name == name {
			return e.Value, true
		}
	}
	return v, false
}

// Names returns the names, in order.
func (m Map[T]) Names() []string {
	names := make([]string, len(m))
	for i, e := range m {
		names[i] = e.Name
	}
	return names
}

func (m *Map[T]) UnmarshalYAML(n ast.Node) error {
	mapping, ok := n.(*ast.MappingNode)
	if !ok {
		return &yaml.SyntaxError{Message: "want a mapping from names", Token: tokenOf(n)}
	}
	for _, kv := range mapping.Values {
		e := Entry[T]{Name: keyText(kv.Key)}
		if err := yaml.NodeToValue(kv.Value, &e.Value, yaml.Strict()); err != nil {
			return err
		}
		*m = append(*m, e)
	}
	return nil
}

func (x *Expectations) UnmarshalYAML(n ast.Node) error {
	mapping, ok := n.(*ast.MappingNode)
	if !ok {
		return &yaml.SyntaxError{Message: "want a mapping from applications' names, faults, tcp and run", Token: tokenOf(n)}
	}
	for _, kv := range mapping.Values {
		var into any
		switch name := keyText(kv.Key); name {
		case keyFaults:
			into = &x.Faults
		case keyTCP:
			x.TCP = &TCPExpectation{}
			into = x.TCP
		case keyRun:
			x.Run = &RunExpectation{}
			into = x.Run
		default:
			x.Apps = append(x.Apps, Entry[AppExpectation]{Name: name})
			into = &x.Apps[len(x.Apps)-1].Value
		}
		if err := yaml.NodeToValue(kv.Value, into, yaml.Strict()); err != nil {
			return err
		}
	}
	return nil
}
