package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/regress"
)

// The bar is one line within the width of a terminal, written over and over, and
// nothing where nobody sees it.
func TestBar(t *testing.T) {
	var out bytes.Buffer
	b := newBar(&out, 4)
	b.began("a")
	if out.Len() > 0 {
		t.Errorf("written to what is no terminal: %q", out.String())
	}
	b.w = &out
	b.began("dir/" + strings.Repeat("long", 50))
	b.ended("a", regress.Failed)
	b.clear()
	text := out.String()
	if !strings.Contains(text, "[=====               ] 1/4 1 not ok dir/long") {
		t.Errorf("%q", text)
	}
	if strings.Contains(text, "\n") || !strings.HasSuffix(text, "\r"+eraseLine) {
		t.Errorf("it is more than a line, or stays: %q", text)
	}
	for line := range strings.SplitSeq(text, "\r"+eraseLine) {
		if n := len([]rune(line)); n >= width {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}
