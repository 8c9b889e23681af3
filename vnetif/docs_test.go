package vnetif_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/net-http.md names is there.
func TestDocumentedTimersAreTested(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "net-http.md"))
	must(t, err)
	files, err := filepath.Glob("*_test.go")
	must(t, err)
	var source strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		must(t, err)
		source.Write(b)
	}
	named := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(page), -1)
	if len(named) < 15 {
		t.Errorf("the page names only %d tests", len(named))
	}
	for _, name := range named {
		if !strings.Contains(source.String(), "func "+name+"(t *testing.T)") {
			t.Errorf("the page names %s, which is not there", name)
		}
	}
}
