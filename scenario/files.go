package scenario

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/vnreplay/vnreplay/faults"
)

// File is the content of a file that an http server serves: random bytes, or
// literal ones, or (until Load has read it) the name of a file.
type File struct {
	Random bool
	Size   Size   // if Random
	Data   []byte // if not
	Name   string // of a file beside the scenario, not read yet
}

// Len returns the content's length in bytes.
func (f *File) Len() int64 {
	if f.Random {
		return int64(f.Size)
	}
	return int64(len(f.Data))
}

const fileForms = `a file is "random 1MB", {text: "..."}, {base64: "..."} or {file: NAME}`

func (f *File) UnmarshalYAML(n ast.Node) error {
	refuse := func(n ast.Node, format string, args ...any) error {
		return &yaml.SyntaxError{Message: fmt.Sprintf(format, args...), Token: tokenOf(n)}
	}
	if text, ok := scalarText(n); ok {
		size, ok := strings.CutPrefix(text, "random ")
		if !ok {
			return refuse(n, "%s", fileForms)
		}
		var err error
		if f.Size, err = parseSize(strings.TrimSpace(size)); err != nil {
			return refuse(n, "%v", err)
		}
		f.Random = true
		return nil
	}
	m, ok := n.(*ast.MappingNode)
	if !ok || len(m.Values) != 1 {
		return refuse(n, "%s", fileForms)
	}
	value := m.Values[0].Value
	text, ok := scalarText(value)
	if !ok {
		return refuse(value, "%s", fileForms)
	}
	switch key := keyText(m.Values[0].Key); key {
	case "text":
		f.Data = []byte(text)
	case "base64":
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return refuse(value, "not base64 with padding (RFC 4648, section 4)")
		}
		f.Data = data
	case "file":
		if text == "" {
			return refuse(value, "the name of a file is empty")
		}
		f.Name = text
	default:
		return refuse(m, "%s", fileForms)
	}
	return nil
}

// flow is the file's place in the normal form of a scenario.
func (f File) flow() string {
	switch {
	case f.Name != "":
		return "{file: " + quote(f.Name) + "}"
	case f.Random:
		return "random " + f.Size.String()
	case isText(f.Data):
		return "{text: " + quote(string(f.Data)) + "}"
	}
	return "{base64: " + quote(base64.StdEncoding.EncodeToString(f.Data)) + "}"
}

// isText reports whether data survives as a quoted text.
func isText(data []byte) bool {
	return utf8.Valid(data) && !strings.ContainsFunc(string(data), func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == utf8.RuneError || r == 0x7f || r == 0xfeff
	})
}

// inline reads the files that the scenario names.
func (s *Scenario) inline(files *os.Root) *pathError {
	for i := range s.Apps {
		server := s.Apps[i].Value.HTTPServer
		if server == nil {
			continue
		}
		for j := range server.Files {
			f := &server.Files[j]
			if f.Value.Name == "" {
				continue
			}
			place := []string{"apps", s.Apps[i].Name, "http-server", "files", f.Name, "file"}
			if files == nil {
				return at(place, "a scenario that is not in a file of its own names no files; use text, base64 or random")
			}
			data, err := readBeside(files, f.Value.Name, MaxInlined)
			if err != nil {
				return at(place, "%w", err)
			}
			f.Value.Name, f.Value.Data = "", data
		}
	}
	return nil
}

// inlineTables puts the values of tables into the fault rules that name files of
// them.
func (s *Scenario) inlineTables(files *os.Root) *pathError {
	inline := func(path []string, text *string) *pathError {
		r, err := faults.Parse(*text)
		if err != nil || len(r.Tables()) == 0 {
			return nil // what is wrong with it comes later
		}
		if files == nil {
			return at(path, "a scenario that is not in a file of its own names no files; give the table's values")
		}
		r, err = r.WithTables(func(name string) ([]byte, error) { return readBeside(files, name, MaxTable) })
		if err != nil {
			return at(path, "%w", err)
		}
		*text = r.String()
		return nil
	}
	for i := range s.Faults {
		if e := inline([]string{"faults", strconv.Itoa(i)}, &s.Faults[i]); e != nil {
			return e
		}
	}
	for i := range s.Script {
		if e := inline([]string{"script", strconv.Itoa(i), "add"}, &s.Script[i].Add); e != nil {
			return e
		}
	}
	return nil
}

// readBeside reads a file in the scenario's own directory.
func readBeside(files *os.Root, name string, most int) ([]byte, error) {
	if !filepath.IsLocal(name) || name != filepath.Base(name) || strings.ContainsAny(name, `/\:`) {
		return nil, fmt.Errorf("%q is not a plain file name; files stand in the scenario's own directory", name)
	}
	// An os.Root follows no link out of the directory. Opening a named pipe
	// would wait for its writer.
	info, err := files.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := limited(f, most)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; a recording has to carry it", name, err)
	}
	return data, nil
}

func readAtMost(name string, most int) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return limited(f, most)
}

func limited(r io.Reader, most int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("more than the %d bytes that are read", most)
	}
	return data, err
}
