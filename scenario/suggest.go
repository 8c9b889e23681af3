package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// unknownKey is the message for a key that is not one of a mapping's, with the
// nearest one that is.
func (d *document) unknownKey(e *yaml.UnknownFieldError) string {
	key := e.Token.Value
	keys := keysAt(d.typ, d.root, e)
	return fmt.Sprintf("unknown key %q%s", key, instead(key, keys))
}

// keysAt returns the keys that the mapping with the unknown one can have, by
// walking the tree and the types side by side.
func keysAt(t reflect.Type, n ast.Node, e *yaml.UnknownFieldError) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	mapping, ok := n.(*ast.MappingNode)
	if !ok {
		return nil
	}
	for _, kv := range mapping.Values {
		if t.Kind() == reflect.Struct && kv.Key.GetToken() == e.Token {
			return yamlKeys(t)
		}
		if inner := typeOfKey(t, keyText(kv.Key)); inner != nil {
			if keys := keysAt(inner, kv.Value, e); keys != nil {
				return keys
			}
		}
	}
	return nil
}

// zeros refuses a zero where it would mean the default, which is not zero: the
// field's tag says the least value instead. It walks the types and the tree side
// by side.
func zeros(t reflect.Type, n ast.Node, path []string) *pathError {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	mapping, ok := n.(*ast.MappingNode)
	if !ok {
		return nil
	}
	for _, kv := range mapping.Values {
		key := keyText(kv.Key)
		inner := typeOfKey(t, key)
		if inner == nil {
			continue
		}
		place := append(slices.Clone(path), key)
		if f, ok := fieldOfKey(t, key); ok && f.Tag.Get("least") != "" {
			v := reflect.New(inner)
			if err := yaml.NodeToValue(kv.Value, v.Interface()); err == nil && v.Elem().IsZero() {
				return at(place, "at least %s; leave it out for the default", f.Tag.Get("least"))
			}
			continue
		}
		if e := zeros(inner, kv.Value, place); e != nil {
			return e
		}
	}
	return nil
}

// fieldOfKey is the field of a struct that stands under a key.
func fieldOfKey(t reflect.Type, key string) (reflect.StructField, bool) {
	if t.Kind() == reflect.Struct {
		for f := range fields(t) {
			if f.Tag.Get("yaml") == key {
				return f, true
			}
		}
	}
	return reflect.StructField{}, false
}

// typeOfKey is the type of what stands under a key of a mapping of type t.
func typeOfKey(t reflect.Type, key string) reflect.Type {
	switch {
	case t == reflect.TypeFor[Expectations]():
		switch key {
		case keyFaults:
			return reflect.TypeFor[Map[CountRange]]()
		case keyTCP:
			return reflect.TypeFor[TCPExpectation]()
		case keyRun:
			return reflect.TypeFor[RunExpectation]()
		}
		return reflect.TypeFor[AppExpectation]()
	case t.Kind() == reflect.Struct:
		if f, ok := fieldOfKey(t, key); ok {
			return f.Type
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && t.Elem().NumField() == 2: // a Map
		return t.Elem().Field(1).Type
	}
	return nil
}

// fields yields the fields of a struct that stand in the file.
func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if f := t.Field(i); f.Tag.Get("yaml") != "" && !yield(f) {
				return
			}
		}
	}
}

func yamlKeys(t reflect.Type) (keys []string) {
	for f := range fields(t) {
		keys = append(keys, f.Tag.Get("yaml"))
	}
	return keys
}

// instead says what could have been meant: the nearest of the words, or all.
func instead(word string, words []string) string {
	if len(words) == 0 {
		return ""
	}
	best, least := "", 2+len(word)/4
	for _, w := range words {
		if n := distance(strings.ToLower(word), w); n < least {
			best, least = w, n
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	const most = 12
	if len(words) > most {
		words = append(slices.Clone(words[:most]), "…")
	}
	return "; there is " + strings.Join(words, ", ")
}

// distance is the number of characters to insert, delete or replace to make b of
// a (Levenshtein); words of more than 64 bytes are far from everything.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 1 << 10
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// kindWord is what a value of a Go type is called in the file.
func kindWord(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Slice:
		return "a list"
	}
	return "a mapping"
}
