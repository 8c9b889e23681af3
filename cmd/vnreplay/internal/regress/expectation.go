package regress

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/vnreplay/vnreplay/scenario"
)

// Kind is what a regression does.
type Kind string

// The kinds.
const (
	Replay Kind = "replay" // plays a capture against a live side
	Verify Kind = "verify" // runs what a recording carries again, and compares
	Scene  Kind = "run"    // runs a scenario, with the expectations in it
)

// Verdicts that can be expected of a replay.
const (
	Same     = "same"
	Diverged = "diverged"
)

// Expectation is what an expectation file says.
type Expectation struct {
	Capture string               `yaml:"capture"` // default: the file of the same name
	Live    scenario.Map[string] `yaml:"live"`    // address to application, as --live takes it

	Verify fileOrTrue `yaml:"verify"` // a recording; true: the one of the same name

	Run       string `yaml:"run"`       // a scenario
	Recording string `yaml:"recording"` // that its run is to be equal to
	Strict    bool   `yaml:"strict"`    // a fault rule that never matched fails the run

	Seed         scenario.Number `yaml:"seed"`          // of a replay's live stacks
	AllowPartial bool            `yaml:"allow-partial"` // not all can be replayed, and that is known
	Expect       Figures         `yaml:"expect"`        // of a replay

	doc *scenario.Document
}

// Figures are what is expected of a replay. What is not there is not looked at,
// but for synthetic-acks, which are 0.
type Figures struct {
	Verdict       string               `yaml:"verdict"`
	Conversations *scenario.CountRange `yaml:"conversations"` // that are the same
	Coverage      *Percent             `yaml:"coverage"`      // of the bytes, at least
	Retransmits   *scenario.CountRange `yaml:"retransmits"`
	SyntheticAcks *scenario.CountRange `yaml:"synthetic-acks"`
	Within        *scenario.Duration   `yaml:"within"` // virtual time
}

// Kind says what the regression does.
func (x *Expectation) Kind() Kind {
	switch {
	case x.Verify != "":
		return Verify
	case x.Run != "":
		return Scene
	}
	return Replay
}

// Errorf makes an error about the value that path leads to.
func (x *Expectation) Errorf(path []string, format string, args ...any) error {
	return x.doc.Errorf(path, format, args...)
}

// fileOrTrue is the name of a file, or "true".
type fileOrTrue string

// UnmarshalYAML reads the name, or true.
func (f *fileOrTrue) UnmarshalYAML(n ast.Node) error {
	switch n := n.(type) {
	case *ast.StringNode:
		*f = fileOrTrue(n.Value)
		return nil
	case *ast.BoolNode:
		if n.Value {
			*f = "true"
			return nil
		}
	}
	return &yaml.SyntaxError{Message: "want the name of a recording, or true for the one of the same name", Token: n.GetToken()}
}

// Percent is a share, in tenths of a percent. In the file: 98.2%.
type Percent int

func (p Percent) String() string {
	if p%10 == 0 {
		return fmt.Sprintf("%d%%", p/10)
	}
	return fmt.Sprintf("%d.%d%%", p/10, p%10)
}

// UnmarshalYAML reads it.
func (p *Percent) UnmarshalYAML(n ast.Node) error {
	wrong := &yaml.SyntaxError{Message: "want a percentage with at most one decimal, such as 100% or 98.2%", Token: n.GetToken()}
	s, ok := n.(*ast.StringNode)
	if !ok {
		return wrong
	}
	whole, tenths, dot := strings.Cut(strings.TrimSuffix(s.Value, "%"), ".")
	if !strings.HasSuffix(s.Value, "%") || dot && len(tenths) != 1 || len(whole) > 3 {
		return wrong
	}
	v, err := strconv.ParseUint(whole+tenths, 10, 16)
	if !dot {
		v *= 10
	}
	if err != nil || v > 1000 {
		return wrong
	}
	*p = Percent(v)
	return nil
}

// MaxText is how many bytes of an expectation file are read.
const MaxText = scenario.MaxText

// Load reads the expectation file at path, and checks that the files that it
// names are there, in its own directory. name is what errors call it. appFiles
// returns the files that an application names, or why no expectation file may
// name that application.
func Load(path, name string, appFiles func(app string) ([]string, error)) (*Expectation, error) {
	// What is read is what stands there: an os.Root follows no link out of it.
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	base := filepath.Base(path)
	info, err := dir.Stat(base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, cause(err))
	}
	if !info.Mode().IsRegular() { // opening a named pipe would wait for its writer
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	f, err := dir.Open(base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, cause(err))
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxText+1))
	f.Close()
	if err != nil {
		return nil, err
	}
	x := &Expectation{}
	if x.doc, err = scenario.Decode(text, name, "an expectation file", "capture, live and expect", x); err != nil {
		return nil, err
	}
	if err := x.check(); err != nil {
		return nil, err
	}
	return x, x.checkFiles(dir, Name(base), appFiles)
}

// check looks at what does not concern files.
func (x *Expectation) check() error {
	has := func(key string) bool {
		return map[string]bool{
			"capture": x.Capture != "", "live": len(x.Live) > 0, "verify": x.Verify != "", "run": x.Run != "",
			"recording": x.Recording != "", "strict": x.Strict, "seed": x.Seed != 0, "allow-partial": x.AllowPartial,
			"expect": x.Expect != Figures{},
		}[key]
	}
	belong := map[Kind][]string{
		Replay: {"capture", "live", "seed", "allow-partial", "expect"}, Verify: {"verify"}, Scene: {"run", "recording", "strict"},
	}
	advice := map[string]string{"expect": "; the expectations of a scenario stand in the scenario"}
	kind := x.Kind()
	for _, other := range []Kind{Replay, Verify, Scene} {
		for _, key := range belong[other] {
			if other != kind && has(key) {
				main := map[Kind]string{Replay: "live", Verify: "verify", Scene: "run"}
				return x.doc.ErrorfKey([]string{key}, "%s does not go with %s%s", key, main[kind], advice[key])
			}
		}
	}
	if kind != Replay {
		return nil
	}
	if len(x.Live) == 0 {
		return x.doc.Errorf([]string{"live"}, "who is live? say it, as live: {10.0.0.2: \"http-server:/PATH=FILE\"}")
	}
	for _, l := range x.Live {
		if _, err := netip.ParseAddr(l.Name); err != nil {
			return x.doc.ErrorfKey([]string{"live", l.Name}, "want an address of the capture, such as 10.0.0.2")
		}
	}
	if v := x.Expect.Verdict; v != "" && v != Same && v != Diverged {
		return x.doc.Errorf([]string{"expect", "verdict"}, "want same or diverged")
	}
	if x.Expect.Verdict == Diverged && x.Expect != (Figures{Verdict: Diverged}) {
		return x.doc.ErrorfKey([]string{"expect", "verdict"}, "figures are expected of a replay that is the same: leave them out beside diverged")
	}
	return nil
}

// extensions of captures, as they are looked for under an expectation's name.
var extensions = []string{".pcapng", ".pcap", ".cap", ".pcapng.gz", ".pcap.gz", ".cap.gz", ".pcapng.zst", ".pcap.zst"}

// checkFiles finds the files without a name, base being the expectation's own
// without its suffix, and checks that all are there.
func (x *Expectation) checkFiles(dir *os.Root, base string, appFiles func(string) ([]string, error)) error {
	sameName := func(key string) (string, error) {
		var there []string
		for _, ext := range extensions {
			if info, err := dir.Stat(base + ext); err == nil && info.Mode().IsRegular() {
				there = append(there, base+ext)
			}
		}
		switch len(there) {
		case 0:
			return "", x.doc.Errorf([]string{key}, "there is no %s%s (or .pcap) beside it: name the file", base, extensions[0])
		case 1:
			return there[0], nil
		}
		return "", x.doc.Errorf([]string{key}, "there are %s: name one", strings.Join(there, " and "))
	}
	var err error
	switch x.Kind() {
	case Verify:
		if x.Verify == "true" {
			recording, err := sameName("verify")
			x.Verify = fileOrTrue(recording)
			return err
		}
		return x.beside(dir, string(x.Verify), "verify")
	case Scene:
		if x.Recording != "" {
			// It may not be there yet: --update makes it.
			if err := x.beside(dir, x.Recording, "recording"); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return x.beside(dir, x.Run, "run")
	}
	if x.Capture == "" {
		if x.Capture, err = sameName("capture"); err != nil {
			return err
		}
	} else if err := x.beside(dir, x.Capture, "capture"); err != nil {
		return err
	}
	for _, l := range x.Live {
		files, err := appFiles(l.Value)
		if err != nil {
			return x.doc.Errorf([]string{"live", l.Name}, "%v", err)
		}
		for _, file := range files {
			if err := x.beside(dir, file, "live", l.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// beside checks that a file is a regular one in the expectation's directory or
// below. An os.Root follows no link out of it.
func (x *Expectation) beside(dir *os.Root, file string, path ...string) error {
	if !filepath.IsLocal(file) {
		return x.doc.Errorf(path, "%q: files stand in the expectation's own directory, or below it", file)
	}
	info, err := dir.Stat(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return &missing{x.doc.Errorf(path, "%s: no such file", file)}
	case err != nil:
		return x.doc.Errorf(path, "%s: %v", file, cause(err))
	case !info.Mode().IsRegular():
		return x.doc.Errorf(path, "%s: not a regular file", file)
	}
	return nil
}

// cause is an error without the path that the system was asked for.
func cause(err error) error {
	var in *os.PathError
	if errors.As(err, &in) {
		return in.Err
	}
	return err
}

// missing is an error about a file that is not there.
type missing struct{ place *scenario.Error }

func (m *missing) Error() string   { return m.place.Error() }
func (m *missing) Unwrap() []error { return []error{m.place, os.ErrNotExist} }

// Files are the captures and recordings that the expectation is about.
func (x *Expectation) Files() []string {
	return slices.DeleteFunc([]string{x.Capture, string(x.Verify), x.Recording}, func(s string) bool { return s == "" })
}
