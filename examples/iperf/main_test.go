package main

import (
	"regexp"
	"strings"
	"testing"
)

var line = regexp.MustCompile(`^ *\d+\.\d\d - +\d+\.\d\d s +\d+\.\d MB +\d+\.\d Mbit/s$`)

// In real time it says what arrived, in a line for each second and one for all.
func TestIperf(t *testing.T) {
	var said strings.Builder
	if err := iperf(&said, 20_000_000, false); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(said.String(), "\n"), "\n")
	for _, l := range lines {
		if !line.MatchString(l) {
			t.Errorf("a line is %q", l)
		}
	}
	if last := lines[len(lines)-1]; !strings.Contains(last, "20.0 MB") {
		t.Errorf("the last line is %q", last)
	}
}

// In virtual time the line's rate is seen, less headers, and the same thing twice.
func TestIperfVirtual(t *testing.T) {
	var said [2]strings.Builder
	for i := range said {
		if err := iperf(&said[i], 12_000_000, true); err != nil {
			t.Fatal(err)
		}
	}
	if said[0].String() != said[1].String() {
		t.Errorf("two runs differ:\n%s%s", said[0].String(), said[1].String())
	}
	const want = "  0.00 -   0.10 s      12.0 MB      952.3 Mbit/s\n"
	if got := said[0].String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
