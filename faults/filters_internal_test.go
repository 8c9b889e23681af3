package faults

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/filter"
)

// The same expression is compiled once, and what is kept has a bound.
func TestFiltersAreKept(t *testing.T) {
	c := filterCache{compiled: map[string]*filter.Filter{}}
	get := func(expr string) *filter.Filter {
		t.Helper()
		f, err := c.compile(expr)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first := get("tcp port 80")
	if get("tcp port 80") != first || first.String() != "tcp port 80" {
		t.Error("another filter for the same expression")
	}
	for range 2 {
		if _, err := c.compile("tcp prot 80"); err == nil {
			t.Error("an error was forgotten")
		}
	}
	for i := range 30 {
		get(fmt.Sprint("tcp port ", i, strings.Repeat(" ", 60_000)))
		if c.size > maxFilterTexts || len(c.compiled) > 20 {
			t.Fatalf("%d expressions, %d bytes are kept", len(c.compiled), c.size)
		}
	}
}
