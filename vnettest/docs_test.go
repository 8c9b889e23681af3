package vnettest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The Go code of docs/go-test.md compiles beside the tests of this package, whose
// handler and download it uses, and passes. What needs files of the reader's is
// compiled only.
func TestDocsTellTheTruth(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a test binary")
	}
	page, err := os.ReadFile("../docs/go-test.md")
	if err != nil {
		t.Fatal(err)
	}
	var src strings.Builder
	src.WriteString("package vnettest_test\n\nimport (\n")
	for _, path := range []string{"context", "io", "net/http", "testing", "time", "github.com/vnreplay/vnreplay/vnetif", "github.com/vnreplay/vnreplay/vnettest"} {
		fmt.Fprintf(&src, "\t%q\n", path)
	}
	src.WriteString(")\n\n")
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	ran := 0
	for i, b := range blocks {
		code := b[1]
		switch {
		case strings.HasPrefix(code, "import "):
			continue
		case strings.HasPrefix(code, "func "):
			src.WriteString(code + "\n")
			continue
		case strings.Contains(code, "Golden:"):
			fmt.Fprintf(&src, "func compiled%d(t *testing.T) {\n%s\tn.Run(download(n))\n}\n\nvar _ = compiled%d\n\n", i, code, i)
			continue
		}
		ran++
		fmt.Fprintf(&src, "func TestPage%d(t *testing.T) {\n%s}\n\n", i, code)
	}
	if ran < 2 {
		t.Errorf("only %d of the page's %d pieces of code are run", ran, len(blocks))
	}

	// An overlay: the file is there for the go command only.
	dir := t.TempDir()
	file, overlay := filepath.Join(dir, "page_test.go"), filepath.Join(dir, "overlay.json")
	here, err := filepath.Abs("docs_page_test.go")
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {here: file}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(src.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, replace, 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "test", "-overlay", overlay, "-v", "-run", "^(TestDownload|TestPage.*|FuzzDownload)$", ".")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"TestDownload", "TestPage", "FuzzDownload/seed#19"} {
		if !strings.Contains(string(out), "--- PASS: "+name) {
			t.Errorf("%s did not run:\n%s", name, out)
		}
	}
}

// Examples that need a testing.T are run here, for go test has none for them.
func TestExamples(t *testing.T) { t.Run("Upload", testUpload) }
