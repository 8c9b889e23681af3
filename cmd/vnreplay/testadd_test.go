package main

import (
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/regress"
	"github.com/vnreplay/vnreplay/scenario"
)

// Whatever a capture is called, the expectation file names it.
func TestExpectationNamesAnyFile(t *testing.T) {
	for _, name := range []string{
		"a.pcap", "a b.pcap", "a\nb.pcap", "a\tb.pcap", "\x01\x1b.pcap", "é\u202e.pcap", `it's "a" \n.pcap`, "#a.pcap", "a: b.pcap", "-a.pcap",
		"true", "TRUE", "False", "null", "NULL", "Null", "~", "123", "0x10", "1e3", ".inf", "{a}", "*a", "&a", "!a", "%a", "@a", "a,b", "> a", "| a",
	} {
		text := "capture: " + yamlText(name) + "\nlive: {10.0.0.2: transcript}\n"
		x := &regress.Expectation{}
		if _, err := scenario.Decode([]byte(text), "x", "an expectation file", "", x); err != nil || x.Capture != name {
			t.Errorf("%q: %q, %v", name, x.Capture, err)
		}
		if strings.Count(text, "\n") != 2 {
			t.Errorf("%q goes over lines: %q", name, text)
		}
	}
}
