package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// No JSON holds a character that a terminal could act upon, and what it says
// stays the same.
func TestJSONIsPrintable(t *testing.T) {
	in := "a\x1b[31m \x7f \u009b31m \u202e\u2066 \u00ad \ufeff \U000e0001 é 雪 \u2028 \\u009b"
	var out bytes.Buffer
	if err := writeJSON(&out, map[string]string{in: in}); err != nil {
		t.Fatal(err)
	}
	for _, r := range out.String() {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%U in %s", r, out.String())
		}
	}
	if !strings.Contains(out.String(), "é 雪") {
		t.Errorf("printable characters are escaped: %s", out.String())
	}
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back[in] != in {
		t.Errorf("read back %q, %v", back, err)
	}
}
