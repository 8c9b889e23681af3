package scenario

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// Effective returns the scenario in its normal form: one line for each host,
// cable, fault, application and expectation, in their order, defaults left out,
// files inlined. Parsing it gives an equal scenario, and a run of it the same
// recording.
func (s *Scenario) Effective() string {
	var b strings.Builder
	v := reflect.ValueOf(s).Elem()
	for f := range fields(v.Type()) {
		key, value := f.Tag.Get("yaml"), v.FieldByIndex(f.Index)
		if value.IsZero() && key != "seed" {
			continue
		}
		if x, ok := value.Interface().(*Expectations); ok {
			value = reflect.ValueOf(x.entries())
		}
		switch {
		case isMap(value.Type()):
			fmt.Fprintf(&b, "%s:%s\n", key, emptyMap(value))
			for i := range value.Len() {
				e := value.Index(i)
				fmt.Fprintf(&b, "  %s: %s\n", quote(e.Field(0).String()), flow(e.Field(1)))
			}
		case value.Kind() == reflect.Slice && value.Len() == 0:
			// A key without a value is not read back.
		case value.Kind() == reflect.Slice:
			fmt.Fprintf(&b, "%s:\n", key)
			for i := range value.Len() {
				fmt.Fprintf(&b, "  - %s\n", flow(value.Index(i)))
			}
		default:
			fmt.Fprintf(&b, "%s: %s\n", key, flow(value))
		}
	}
	return b.String()
}

// withoutFaults returns the scenario without its fault rules. It shares the rest.
func (s *Scenario) withoutFaults() *Scenario {
	bare := *s
	bare.Faults = nil
	return &bare
}

// emptyMap is what stands behind the key of a mapping without entries.
func emptyMap(v reflect.Value) string {
	if v.Len() == 0 {
		return " {}"
	}
	return ""
}

// entries are the expectations as one mapping.
func (x *Expectations) entries() Map[any] {
	var m Map[any]
	for _, e := range x.Apps {
		m = append(m, Entry[any]{e.Name, e.Value})
	}
	if x.Faults != nil {
		m = append(m, Entry[any]{keyFaults, x.Faults})
	}
	if x.TCP != nil {
		m = append(m, Entry[any]{keyTCP, x.TCP})
	}
	if x.Run != nil {
		m = append(m, Entry[any]{keyRun, x.Run})
	}
	return m
}

// isMap reports whether t is a Map of something.
func isMap(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && strings.HasPrefix(t.Name(), "Map[")
}

// flow writes a value on one line.
func flow(v reflect.Value) string {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case File:
		return x.flow()
	case fmt.Stringer:
		return quote(x.String())
	}
	switch t := v.Type(); {
	case isMap(t):
		var parts []string
		for i := range v.Len() {
			e := v.Index(i)
			parts = append(parts, quote(e.Field(0).String())+": "+flow(e.Field(1)))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case t.Kind() == reflect.Slice:
		var parts []string
		for i := range v.Len() {
			parts = append(parts, flow(v.Index(i)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case t.Kind() == reflect.Struct:
		var parts []string
		for f := range fields(t) {
			if value := v.FieldByIndex(f.Index); !value.IsZero() {
				parts = append(parts, f.Tag.Get("yaml")+": "+flow(value))
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case t.Kind() == reflect.Bool:
		return strconv.FormatBool(v.Bool())
	}
	return quote(v.String())
}

// bare are the texts that stand in YAML without quotes and are not anything else
// there. (A number is read as its text, so it needs no quotes.)
var (
	bare = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9/._+-]*( [A-Za-z0-9/._+-]+)*$|^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$`)
	word = regexp.MustCompile(`^(?i:null|true|false|yes|no|on|off|y|n)$`)
)

// quote writes a text as a YAML scalar. In YAML's double quotes, Go's escapes
// mean what they mean in Go, for texts that are UTF-8.
func quote(s string) string {
	if bare.MatchString(s) && !word.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}
