package scenario_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/vnreplay/vnreplay/scenario"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares got with a file, or writes it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); -update rewrites it:\n%s", path, diff)
	}
}

// Every error of a scenario names its line and column and shows the place.
func TestErrors(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/errors.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, f := range archive.Files {
		_, err := scenario.Parse(f.Data, f.Name)
		var e *scenario.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: error %v, want a *scenario.Error", f.Name, err)
			continue
		}
		if strings.Contains(e.Error(), "\n") || len(e.Error()) > 240 {
			t.Errorf("%s: the error is not one line: %q", f.Name, e)
		}
		if e.Line == 0 && !strings.HasPrefix(f.Name, "empty") {
			t.Errorf("%s: the error has no place: %v", f.Name, e)
		}
		fmt.Fprintf(&out, "%v\n%s\n", e, e.Excerpt())
	}
	golden(t, "testdata/errors.golden", out.Bytes())
}

// A byte order mark before the text is no part of it.
func TestByteOrderMark(t *testing.T) {
	const text = "hosts: {a: {ip: 10.0.0.1/24}}\n"
	plain, err := scenario.Parse([]byte(text), "plain")
	if err != nil {
		t.Fatal(err)
	}
	marked, err := scenario.Parse([]byte("\ufeff"+text), "marked")
	if err != nil {
		t.Fatal(err)
	}
	if plain.Effective() != marked.Effective() {
		t.Errorf("%q, without the mark %q", marked.Effective(), plain.Effective())
	}
}

// The effective form of each fixture, for a reviewer to read; parsing it gives
// the same scenario.
func TestEffective(t *testing.T) {
	paths, err := filepath.Glob("../fixtures/scenarios/*.yaml")
	if err != nil || len(paths) < 8 {
		t.Fatalf("fixtures: %v, %v", paths, err)
	}
	var out bytes.Buffer
	for _, path := range paths {
		s, err := scenario.Load(path)
		if err != nil {
			t.Error(err)
			continue
		}
		fmt.Fprintf(&out, "# %s\n%s\n", filepath.Base(path), s.Effective())
		sameAgain(t, s)
	}
	golden(t, "testdata/effective.golden", out.Bytes())
}

// sameAgain fails if the scenario's normal form is not read as the same scenario,
// or what a recording holds of it, or what one holds of it when its rules are long.
func sameAgain(t interface {
	Helper()
	Fatalf(string, ...any)
}, s *scenario.Scenario) {
	t.Helper()
	bare := *s
	bare.Faults = nil
	meta := s.Metas()[0]
	for _, form := range []struct {
		text  string
		rules []string
	}{{s.Effective(), nil}, {meta.Scenario, meta.Rules}, {bare.Effective(), s.Faults}} {
		if len(form.text) > scenario.MaxEffective && len(form.rules) == 0 {
			continue
		}
		again, err := scenario.ParseEmbedded(form.text, "again", form.rules)
		if err != nil {
			t.Fatalf("the normal form is not accepted: %v\n%s", err, form.text)
		}
		opts := []cmp.Option{cmpopts.IgnoreUnexported(scenario.Scenario{}), cmpopts.EquateComparable(scenario.Prefix{}, scenario.Addr{})}
		if diff := cmp.Diff(s, again, opts...); diff != "" {
			t.Fatalf("the normal form is another scenario (-first +again):\n%s\n%s", diff, form.text)
		}
		if text := again.Effective(); text != s.Effective() {
			t.Fatalf("the normal form is not stable:\n%s\n%s", s.Effective(), text)
		}
	}
}

// Text that would be large when read is refused quickly.
func TestHostileText(t *testing.T) {
	hosts := func(n int) string {
		var b strings.Builder
		b.WriteString("hosts:\n")
		for i := range n {
			fmt.Fprintf(&b, "  h%d: {ip: 10.0.%d.%d/8}\n", i, i/250, 1+i%250)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"49 KiB":          strings.Repeat("#", 49<<10),
		"too many hosts":  hosts(1000),
		"brackets":        strings.Repeat("[", 40<<10),
		"braces":          "hosts: " + strings.Repeat("{a: ", 10<<10),
		"dashes":          strings.Repeat("- ", 20<<10),
		"question marks":  strings.Repeat("? ", 20<<10),
		"indentation":     indentation(300),
		"quotes":          strings.Repeat("\"", 40<<10),
		"billion laughs":  "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nhosts: *b\n",
		"10^9 hosts":      "hosts: 1000000000\n",
		"NUL":             "hosts: \x00\n",
		"not UTF-8":       "hosts: \xff\n",
		"byte order mark": "\ufeffseed: 1\n",
		"carriage return": "seed: 1\r\rhosts: x",
		"long key":        strings.Repeat("k", 40<<10) + ": 1\n",
		"long number":     "seed: " + strings.Repeat("9", 40<<10) + "\n",
		"long rate":       "hosts: {a: {ip: 10.0.0.1/24}}\nlinks: {a: {rate: 1." + strings.Repeat("0", 40<<10) + "mbit}}\n",
		"comment at end":  "#",
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := scenario.Parse([]byte(text), "hostile.yaml")
			var e *scenario.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want a *scenario.Error", err)
			}
			if n := len(e.Error()); n > 500 {
				t.Errorf("an error of %d bytes", n)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func indentation(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestFilesBesideTheScenario(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("hello.txt", "hello, wörld\n")
	write("binary.bin", "\x00\xff")
	write("large.bin", strings.Repeat("x", scenario.MaxInlined+1))
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	load := func(file string) (*scenario.Scenario, error) {
		t.Helper()
		write("s.yaml", "hosts: {a: {ip: 10.0.0.1/24}}\napps: {w: {host: a, http-server: {files: {/f: {file: "+file+"}}}}}\n")
		return scenario.Load(filepath.Join(dir, "s.yaml"))
	}
	for file, want := range map[string]string{
		"hello.txt":  `{text: "hello, wörld\n"}`,
		"binary.bin": `{base64: "AP8="}`,
	} {
		s, err := load(file)
		if err != nil {
			t.Fatal(err)
		}
		if text := s.Effective(); !strings.Contains(text, want) || strings.Contains(text, file) {
			t.Errorf("%s: the effective form does not hold the file's content alone:\n%s", file, text)
		}
		sameAgain(t, s)
	}
	for _, file := range []string{"large.bin", "missing", "../s.yaml", "link", ".", "/etc/hostname", "sub/../hello.txt"} {
		if _, err := load(file); err == nil {
			t.Errorf("file: %s is accepted", file)
		} else if strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), "s.yaml:2:") {
			t.Errorf("file: %s: %v", file, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	paths, _ := filepath.Glob("../fixtures/scenarios/*.yaml")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	archive, err := txtar.ParseFile("testdata/errors.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		f.Add(file.Data)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		began := time.Now()
		s, err := scenario.Parse(text, "fuzz.yaml")
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("%d bytes took %v", len(text), took)
		}
		if err == nil {
			sameAgain(t, s)
			return
		}
		var e *scenario.Error
		if !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		}
		if strings.Contains(err.Error(), "\n") || strings.Count(e.Excerpt(), "\n") > 2 {
			t.Fatalf("not one line and an excerpt: %q %q", err, e.Excerpt())
		}
	})
}
