package scenario_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/invopop/jsonschema"
	"github.com/rogpeppe/go-internal/txtar"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/vnreplay/vnreplay/scenario"
)

const schemaFile = "schema.json"

// text is the schema of a value that is written as text.
func text(pattern string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: pattern}
}

// Patterns of values with units.
const (
	times = `([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+|0`
	sizes = `[0-9]+(\.[0-9]+)?(B|kB|KiB|MB|MiB|GB|GiB)`
	whole = `[0-9]+`
)

func only(pattern string) string { return "^(" + pattern + ")$" }

func ranges(pattern string) string {
	return "^((>=|<=|>|<)? *(" + pattern + ")|(" + pattern + `)\.\.(` + pattern + "))$"
}

// leaves are the types that are not reflected.
var leaves = map[reflect.Type]*jsonschema.Schema{
	reflect.TypeFor[scenario.Number]():        {Type: "integer", Minimum: "0"},
	reflect.TypeFor[scenario.Duration]():      text(only(times)),
	reflect.TypeFor[scenario.Rate]():          text(only(`[0-9]+(\.[0-9]+)?(bit|kbit|mbit|gbit)`)),
	reflect.TypeFor[scenario.Queue]():         text(`^[1-9][0-9]*p$`),
	reflect.TypeFor[scenario.Size]():          text(only(sizes)),
	reflect.TypeFor[scenario.Instant]():       {Type: "string", Format: "date-time"},
	reflect.TypeFor[scenario.Prefix]():        text(`^[0-9a-fA-F.:]+/[0-9]+$`),
	reflect.TypeFor[scenario.Addr]():          text(`^[0-9a-fA-F.:]+$`),
	reflect.TypeFor[scenario.SizeRange]():     text(ranges(sizes)),
	reflect.TypeFor[scenario.DurationRange](): text(ranges(times)),
	reflect.TypeFor[scenario.CountRange](): {OneOf: []*jsonschema.Schema{
		{Type: "integer", Minimum: "0"}, text(ranges(whole))}},
	reflect.TypeFor[scenario.File](): {OneOf: []*jsonschema.Schema{
		text("^random (" + sizes + ")$"), oneKey("text"), oneKey("base64"), oneKey("file")}},
}

// oneKey is an object with one text.
func oneKey(key string) *jsonschema.Schema {
	props := jsonschema.NewProperties()
	props.Set(key, &jsonschema.Schema{Type: "string"})
	return &jsonschema.Schema{Type: "object", Properties: props, Required: []string{key}, AdditionalProperties: jsonschema.FalseSchema}
}

// reflector makes the schema of the file's types; inside is the type that must
// not be mapped because its mapping asks.
func reflector(inside reflect.Type) *jsonschema.Reflector {
	r := &jsonschema.Reflector{Anonymous: true, DoNotReference: true, ExpandedStruct: true, FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true}
	if err := r.AddGoComments("github.com/vnreplay/vnreplay/scenario", "."); err != nil {
		panic(err)
	}
	r.Mapper = func(t reflect.Type) *jsonschema.Schema {
		if s, ok := leaves[t]; ok {
			clone := *s
			return &clone
		}
		switch {
		case strings.HasPrefix(t.Name(), "List["):
			one := schemaOf(t.Elem())
			return &jsonschema.Schema{OneOf: []*jsonschema.Schema{one, {Type: "array", Items: one}}}
		case strings.HasPrefix(t.Name(), "Map["):
			return &jsonschema.Schema{Type: "object", AdditionalProperties: schemaOf(t.Elem().Field(1).Type)}
		case t == inside:
			return nil
		case t == reflect.TypeFor[scenario.Expectations]():
			s := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(),
				AdditionalProperties: schemaOf(reflect.TypeFor[scenario.AppExpectation]())}
			s.Properties.Set("faults", schemaOf(reflect.TypeFor[scenario.Map[scenario.CountRange]]()))
			s.Properties.Set("tcp", schemaOf(reflect.TypeFor[scenario.TCPExpectation]()))
			s.Properties.Set("run", schemaOf(reflect.TypeFor[scenario.RunExpectation]()))
			return s
		}
		return nil
	}
	return r
}

func schemaOf(t reflect.Type) *jsonschema.Schema {
	r := reflector(t)
	if s := r.Mapper(t); s != nil {
		return s
	}
	s := r.ReflectFromType(t)
	s.Version = ""
	if t == reflect.TypeFor[scenario.App]() { // one kind, and no more
		for i := range t.NumField() {
			if f := t.Field(i); f.Type.Kind() == reflect.Pointer {
				s.OneOf = append(s.OneOf, &jsonschema.Schema{Required: []string{f.Tag.Get("yaml")}})
			}
		}
	}
	return s
}

// The schema that editors take is that of the types; -update writes it.
func TestSchema(t *testing.T) {
	s := reflector(nil).ReflectFromType(reflect.TypeFor[scenario.Scenario]())
	s.Title = "vnreplay scenario"
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, schemaFile, append(data, '\n'))
}

// What the program accepts, the schema accepts; and it finds the mistakes that a
// schema can find.
func TestSchemaValidates(t *testing.T) {
	data, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource(schemaFile, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	validate := func(text []byte) error {
		j, err := yaml.YAMLToJSON(text)
		if err != nil {
			return err
		}
		v, err := validator.UnmarshalJSON(bytes.NewReader(j))
		if err != nil {
			return err
		}
		return schema.Validate(v)
	}
	paths, _ := filepath.Glob("../fixtures/scenarios/*.yaml")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(text); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if err := validate([]byte(load(t, filepath.Base(path)).Effective())); err != nil {
			t.Errorf("%s, effective form: %v", path, err)
		}
	}
	archive, err := txtar.ParseFile("testdata/errors.txtar")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range archive.Files {
		found[f.Name] = validate(f.Data) != nil
	}
	for _, name := range []string{"unknown-key", "unknown-key-of-a-host", "wrong-type", "float", "no-prefix-length", "mbps", "no-unit", "no-kind", "two-kinds", "unknown-kind", "bad-file"} {
		if !found[name+".yaml"] {
			t.Errorf("the schema accepts %s.yaml", name)
		}
	}
}
