package main

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/scenario"
)

// Whatever the names and numbers are, a summary's tables fit a terminal, and
// nothing of a stranger's text reaches it raw.
func TestSummaryFits(t *testing.T) {
	long := strings.Repeat("long", 40) + "\x1b[31m\n"
	o := runOutcome{
		Scenario: long,
		Result: &scenario.Result{
			Seed: math.MaxUint64, Frames: 1e9, Bytes: 1e12, Virtual: 720*time.Hour + 1, Wall: time.Minute + 1,
			Unordered: 1e6, TCP: scenario.TCPResult{Retransmits: 1e8, Resets: 1e6, ChecksumErrors: 1e6},
			Affected: scenario.Affected{Dropped: 1e7, Duplicated: 1e6, Corrupted: 1e6},
			Apps: []scenario.AppResult{{Name: long[:60], Host: long[:60], Kind: "udp-echo-server", Server: true,
				Result: apps.Result{OK: 1e6, Failed: 1e6, Lost: 1e6, Sent: 1e9}}},
		},
	}
	for i := range 30 {
		o.Result.Rules = append(o.Result.Rules, scenario.RuleResult{Number: 1 + i, Text: long, Matched: 1e8,
			Affected: scenario.Affected{Frames: 1, Dropped: 1e7, Duplicated: 1e6, Corrupted: 1e6}})
	}
	var b strings.Builder
	if err := o.write(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
			t.Errorf("%d columns: %s", n, line)
		}
		if strings.Contains(line, "\x1b") {
			t.Errorf("an escape character: %q", line)
		}
	}
	if n := strings.Count(b.String(), "\n"); n > 45 {
		t.Errorf("%d lines", n)
	}
}
