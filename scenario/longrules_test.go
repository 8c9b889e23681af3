package scenario_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
)

// longRules are n rules r0000, r0001... of some 390 bytes each, of which only
// every 500th has an effect on the first frames.
func longRules(n int) []string {
	rules := make([]string, n)
	for i := range rules {
		var places strings.Builder
		if i%500 == 0 {
			fmt.Fprintf(&places, "%d,", i/500+3)
		}
		for j := range 40 {
			fmt.Fprintf(&places, "%d,", 10_000_000+1000*i+10*j)
		}
		rules[i] = fmt.Sprintf("r%04d: duplicate nth %s copies 2 from a", i, strings.TrimSuffix(places.String(), ","))
	}
	return rules
}

// pings is a scenario of two hosts with expectations of rules r0500 and 2.
func pings(t *testing.T) *scenario.Scenario {
	t.Helper()
	return parse(t, `
hosts: {a: {ip: 10.0.0.1/24}, b: {ip: 10.0.0.2/24}}
faults: ["r0000: drop nth 1 from b", "r0001: drop nth 1 from b", "r0500: drop nth 1 from b"]
apps:
  ping: {host: a, ping: {to: b, times: 20, interval: 10ms}}
expect:
  ping: {ok: 20}
  faults: {r0500: 1, "2": 0}
`)
}

// A run with 780 kB of rules is recorded, described and verified like any.
func TestLongRules(t *testing.T) {
	rules := longRules(2000)
	s := pings(t)
	if err := s.SetFaults(rules); err != nil {
		t.Fatal(err)
	}
	if len(s.Expect.Faults) != 2 {
		t.Fatalf("expectations are %v", s.Expect.Faults)
	}
	res, recording := record(t, s)
	if !res.OK() || len(res.Rules) != 2000 || res.Rules[500].Frames != 1 || res.Affected.Duplicated != 4 {
		t.Fatalf("%v, %+v", res.Failures, res.Affected)
	}
	open := func(data []byte) *pcap.Reader {
		t.Helper()
		r, err := pcap.NewReader(bytes.NewReader(data), "recording")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	meta, ok := open(recording).Meta()
	if !ok || !cmp.Equal(meta.Rules, rules) || strings.Contains(meta.Scenario, "\nfaults:") || len(meta.Scenario) > 1000 {
		t.Fatalf("%v: %d rules, scenario %.1000s", ok, len(meta.Rules), meta.Scenario)
	}
	if len(recording) > 900_000 {
		t.Errorf("a recording of %d bytes, the rules are there twice", len(recording))
	}

	verify := func(data []byte) *scenario.Verification {
		t.Helper()
		path := filepath.Join(t.TempDir(), "run.pcapng")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		v, err := scenario.Verify(context.Background(), path, scenario.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := verify(recording)
	if !v.Equal() || v.Run != "" || !v.Result.OK() || v.Frames != int(res.Frames) {
		t.Errorf("%+v, %v", v.Comparison, v.Result.Failures)
	}
	// The rules that stand in the header are those that are run again.
	if v := verify(bytes.Replace(recording, []byte("r0500: duplicate nth 4,"), []byte("r0500: duplicate nth 5,"), 1)); v.Equal() || v.Run != "" {
		t.Errorf("with a changed rule: %+v", v.Comparison)
	}

	exact, err := scenario.ExtractFaults(func() (*pcap.Reader, error) { return open(recording), nil })
	if err != nil || len(exact) != 4 {
		t.Fatalf("%d rules, %v", len(exact), err)
	}
	var view bytes.Buffer
	if err := pcap.ViewAt(&view, open(recording), "b"); err != nil || view.Len() > 20_000 {
		t.Errorf("a view of %d bytes, %v", view.Len(), err)
	}
	if c := compare(t, recording, bytes.Replace(recording, []byte("r1999: duplicate nth 1"), []byte("r1999: duplicate nth 2"), 1)); !c.Equal() ||
		!strings.HasPrefix(c.Run, `rule 2000: expected "r1999: duplicate nth 1`) || len(c.Run) > 300 {
		t.Errorf("compared with another rule: %s", c.Run)
	}
}

// Rules stand in the scenario as long as that is as short as a file may be.
func TestWhereRulesStand(t *testing.T) {
	there, gone := 0, 0
	for n := 100; n <= 150; n += 5 {
		s := pings(t)
		s.Expect = nil
		if err := s.SetFaults(longRules(n)); err != nil {
			t.Fatal(err)
		}
		meta := s.Metas()[0]
		switch inText := strings.Contains(meta.Scenario, "\nfaults:\n"); {
		case inText != (len(s.Effective()) <= scenario.MaxText):
			t.Errorf("%d bytes with rules: they stand in the scenario: %v", len(s.Effective()), inText)
		case inText:
			there++
		default:
			gone++
		}
		sameAgain(t, s)
	}
	if there == 0 || gone == 0 {
		t.Errorf("%d times there, %d times gone", there, gone)
	}
}

// Where expectations of rules go with the rules, nothing is left of them.
func TestExpectationsOfRulesThatAreGone(t *testing.T) {
	for _, rules := range [][]string{{"drop nth 1 from b"}, {}, nil} {
		s := pings(t)
		if err := s.SetFaults(rules); err != nil {
			t.Fatal(err)
		}
		if text := s.Effective(); strings.Contains(text, "{}") || strings.Contains(text, "faults:\n") != (len(rules) > 0) {
			t.Errorf("%d rules:\n%s", len(rules), text)
		}
		if len(rules) > 0 {
			sameAgain(t, s)
		}
	}
	sameAgain(t, parse(t, "hosts: {a: {ip: 10.0.0.1/24}}\nfaults: []\n"))
}

// What a check accepts, a recording gives back.
func TestLongScenarioIsReadBack(t *testing.T) {
	s := pings(t)
	files := scenario.Map[scenario.File]{}
	for _, name := range []string{"/x", "/y"} {
		files = append(files, scenario.Entry[scenario.File]{Name: name, Value: scenario.File{Data: bytes.Repeat([]byte("x"), 27_000)}})
	}
	s.Apps = append(s.Apps, scenario.Entry[scenario.App]{Name: "web", Value: scenario.App{Host: "b", HTTPServer: &scenario.HTTPServer{Files: files}}})
	if err := s.SetFaults(longRules(1000)); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Metas()[0].Scenario); n <= scenario.MaxText {
		t.Errorf("%d bytes", n)
	}
	sameAgain(t, s)
	files[0].Value.Data = bytes.Repeat([]byte("x"), 40_000)
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), "at most 63488 are read") {
		t.Errorf("error %v", err)
	}
}

func TestTooManyRules(t *testing.T) {
	s := pings(t)
	before := s.Effective()
	err := s.SetFaults(longRules(2600))
	if err == nil || s.Effective() != before {
		t.Errorf("error %v; the scenario is the same: %v", err, s.Effective() == before)
	}
	err = s.ReadFaults([]byte(strings.Join(longRules(2600), "\n")), "rules.txt")
	var e *scenario.Error
	if !errors.As(err, &e) || e.Line < 2000 || !strings.Contains(e.Msg, "more than 800000 bytes together") {
		t.Errorf("error %v", err)
	}
}

// Rules of a stranger's recording are held to the limits of rules, quickly.
func TestHostileEmbeddedRules(t *testing.T) {
	const hosts = "hosts: {a: {ip: 10.0.0.1/24}, b: {ip: 10.0.0.2/24}}\n"
	var expect strings.Builder
	expect.WriteString(hosts + "expect:\n  faults: {")
	for i := range 2000 {
		fmt.Fprintf(&expect, "r%04d: 0,", i)
	}
	expect.WriteString("}\n")
	many := make([]string, 300_000)
	for i := range many {
		many[i] = "drop"
	}
	for name, test := range map[string]struct {
		text  string
		rules []string
		want  string // "" for none
	}{
		"300,000 rules":      {hosts, many, "faults: 300000 fault rules, at most 10000"},
		"3 MB":               {hosts, longRules(9000), "more than 800000 bytes together"},
		"no rule":            {hosts, []string{"drop from a", "dorp\x1b[31m"}, "faults.1: "},
		"no such port":       {hosts, []string{"drop from nobody"}, "faults.0: "},
		"no such rule":       {expect.String(), longRules(1999), "r1999"},
		"2,000 expectations": {expect.String(), longRules(2000), ""},
		"rules in the text":  {hosts + "faults: [drop from a]\n", many, ""},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			s, err := scenario.ParseEmbedded(test.text, "hostile.pcapng", test.rules)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			var e *scenario.Error
			switch {
			case test.want == "":
				if err != nil {
					t.Fatal(err)
				}
				sameAgain(t, s)
			case !errors.As(err, &e) || !strings.Contains(e.Error(), test.want) || strings.Contains(e.Error(), "\x1b") || len(e.Error()) > 500:
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
