package main

import (
	"context"
	"fmt"
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
			Unordered: 1e6, CutOff: 1e6, TCP: scenario.TCPResult{Retransmits: 1e8, Resets: 1e6, ChecksumErrors: 1e6},
			Affected: scenario.Affected{Dropped: 1e7, Duplicated: 1e6, Corrupted: 1e6, Truncated: 1e6, Padded: 1e6, Delayed: 1e7, Reordered: 1e6, Refused: 1e6},
			Apps: []scenario.AppResult{{Name: long[:60], Host: long[:60], Kind: "udp-echo-server", Server: true,
				Result: apps.Result{OK: 1e6, Failed: 1e6, Lost: 1e6, Sent: 1e9}}},
		},
	}
	for i := range 30 {
		o.Result.Rules = append(o.Result.Rules, scenario.RuleResult{Number: 1 + i, Text: long, Matched: 1e8,
			Affected: scenario.Affected{Frames: 1, Dropped: 1e7, Duplicated: 1e6, Corrupted: 1e6, Truncated: 1e6, Padded: 1e6, Delayed: 1e7, Reordered: 1e6, Refused: 1e6}})
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

// Of many applications that wait for each other a summary names a few; programs
// are told of all.
func TestManyUnfinished(t *testing.T) {
	var text strings.Builder
	text.WriteString("hosts: {a: {ip: 10.0.0.1/24}, b: {ip: 10.0.0.2/24}}\nlimit: 1s\napps:\n")
	for i := range 12 {
		fmt.Fprintf(&text, "  p%d: {host: a, ping: {to: b, times: 1000}}\n", i)
	}
	s, err := scenario.Parse([]byte(text.String()), "many")
	if err != nil {
		t.Fatal(err)
	}
	res, err := scenario.Run(context.Background(), s, scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	o := runOutcome{Scenario: "many", Result: res}
	if err := o.write(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "still running when"); n != 5 {
		t.Errorf("%d applications are named:\n%s", n, b.String())
	}
	if !strings.Contains(b.String(), "and 7 applications more that did not finish") {
		t.Errorf("the others are not counted:\n%s", b.String())
	}
	if n := len(res.Failures); n != 13 {
		t.Errorf("%d failures, want 13", n)
	}
}
