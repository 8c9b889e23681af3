package faults_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/vnreplay/vnreplay/faults"
)

var update = flag.Bool("update", false, "write what the tests got into testdata")

// golden compares got with a file in testdata, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		g, w := "(the end)", "(the end)"
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if g != w {
			t.Fatalf("%s:%d (run with -update if the change is meant)\n got: %s\nwant: %s", file, i+1, g, w)
		}
	}
}

func mustParse(t testing.TB, text string) *faults.Rule {
	t.Helper()
	r, err := faults.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Each text parses and prints as its normal form, which prints as itself.
func TestNormalForm(t *testing.T) {
	for _, c := range []struct{ text, normal string }{
		{"drop", "drop"},
		{"drop 2%", "drop 2%"},
		{"  drop\t2%\n from   client ", "drop 2% from client"},
		{"loss: drop 2% to server", "loss: drop 2% to server"},
		{"loss:drop 2%", "loss: drop 2%"},
		{"Loss-2_b: drop", "Loss-2_b: drop"},
		{"1st: drop first 1", "1st: drop first 1"},
		{"drop to server from client", "drop from client to server"},
		{"drop from all", "drop"},
		{"drop to all", "drop to all"},
		{"drop from all to all", "drop to all"},
		{"drop from port0.1-a_b", "drop from port0.1-a_b"},

		{"drop 1/50", "drop 2%"},
		{"drop 0.5‰", "drop 0.05%"},
		{"drop 0.1%", "drop 0.1%"},
		{"drop 2.50%", "drop 2.5%"},
		{"drop 1/3", "drop 1/3"},
		{"drop 2/6", "drop 1/3"},
		{"drop 1/1024", "drop 1/1024"},
		{"drop 1/64", "drop 1.5625%"},
		{"drop 0%", "drop 0%"},
		{"drop 0/7", "drop 0%"},
		{"drop 100%", "drop 100%"},
		{"drop 7/7", "drop 100%"},
		{"drop 1000‰", "drop 100%"},
		{"drop 99.999999%", "drop 99.999999%"},
		{"drop 0.000000000001%", "drop 1/100000000000000"},
		{"drop 99999999999999/100000000000000", "drop 99999999999999/100000000000000"},

		{"drop nth 3", "drop nth 3"},
		{"drop nth 3,17..19", "drop nth 3,17..19"},
		{"drop nth 19,3,18,17,3", "drop nth 3,17..19"},
		{"drop nth 1..4,2..9,10", "drop nth 1..10"},
		{"drop nth 5..5", "drop nth 5"},
		{"drop nth 7..", "drop nth 7.."},
		{"drop nth 7..,3,9..12,100..", "drop nth 3,7.."},
		{"drop nth 007", "drop nth 7"},
		{"drop every 10", "drop every 10"},
		{"drop first 5", "drop first 5"},

		{"duplicate", "duplicate"},
		{"duplicate 0.5% copies 2 gap 1ms from client", "duplicate 0.5% copies 2 gap 1ms from client"},
		{"duplicate from client gap 1ms copies 2", "duplicate copies 2 gap 1ms from client"},
		{"duplicate copies 1 gap 0s", "duplicate"},
		{"duplicate gap 1.5ms", "duplicate gap 1500us"},
		{"duplicate gap 1000us", "duplicate gap 1ms"},
		{"duplicate gap 12µs", "duplicate gap 12us"},
		{"duplicate gap 90s", "duplicate gap 90s"},
		{"duplicate gap 120s", "duplicate gap 2m"},
		{"duplicate gap 1h", "duplicate gap 1h"},
		{"duplicate gap 0.000001s", "duplicate gap 1us"},
		{"duplicate copies 1000", "duplicate copies 1000"},

		{"corrupt", "corrupt"},
		{"corrupt 1% bits 1", "corrupt 1%"},
		{"c1: corrupt 1% bits 3 from client", "c1: corrupt 1% bits 3 from client"},
		{"corrupt nth 4 @66:4F>4e from client", "corrupt nth 4 @66:4f>4e from client"},
		{"corrupt nth 4 from client @70:00ff>0100,@66:4f>4e", "corrupt nth 4 @66:4f>4e,@70:00ff>0100 from client"},
		{"corrupt @66:4f>4e,@67:00>01", "corrupt @66:4f00>4e01"},
		{"corrupt @1=ff,@0=fe", "corrupt @0=feff"},
		{"corrupt @20^8001", "corrupt @20^8001"},
		{"corrupt @20^80,@21=01", "corrupt @20^80,@21=01"},

		{"drop from client 2%", "drop 2% from client"},
		{"drop 2% corr 25% from client", "drop 2% corr 25% from client"},
		{"drop gemodel 1% 25%", "drop gemodel 1% 25%"},
		{"drop gemodel 1% 99%", "drop gemodel 1%"},
		{"drop gemodel 1% 25% 100% 0%", "drop gemodel 1% 25%"},
		{"drop gemodel 1% 25% 70%", "drop gemodel 1% 25% 70%"},
		{"drop gemodel 1% 25% 70% 0.1% from server", "drop gemodel 1% 25% 70% 0.1% from server"},
		{"drop markov good=0% bad=40% bad>good=25% good>bad=1%", "drop markov good=0% bad=40% good>bad=1% bad>good=25%"},
		{"drop markov radio a=0% b=1/3 a>b=0% b>a=1/3 step 100ms to all", "drop markov radio a=0% b=1/3 b>a=1/3 step 100ms to all"},

		{"truncate 1/50 to 60B if \"udp\"", "truncate 2% to 60B if \"udp\""},
		{"truncate to 60B to server", "truncate to 60B to server"},
		{"truncate from client to server to 1kB", "truncate to 1kB from client to server"},
		{"pad 0..9B to all", "pad 0..9B to all"},
		{"pad 50% 4B", "pad 50% 4B"},

		{"delay 40ms jitter 10ms normal corr 25% from server", "delay 40ms jitter 10ms normal corr 25% from server"},
		{"delay from server jitter 10ms uniform 40ms", "delay 40ms jitter 10ms from server"},
		{"delay 10% 40ms", "delay 10% 40ms"},
		{"delay 40ms 10% corr 5%", "delay 10% corr 5% 40ms"},
		{"delay nth 3 40ms jitter 1ms table -8192,0,8192", "delay nth 3 40ms jitter 1ms table -8192,0,8192"},
		{"delay 40ms jitter 1ms table wifi.dist corr 50%", "delay 40ms jitter 1ms table \"wifi.dist\" corr 50%"},
		{"delay places 4:15ms,3:12ms from client", "delay places 3:12ms,4:15ms from client"},
		{"reorder 5% behind 3 to client if \"greater 1000\"", "reorder 5% behind 3 to client if \"greater 1000\""},
		{"reorder 5%", "reorder 5% behind 1"},
		{"reorder 5% behind 3 within 1000ms", "reorder 5% behind 3"},
		{"reorder 25% ahead 10ms jitter 1ms pareto gap 5", "reorder 25% ahead 10ms jitter 1ms pareto gap 5"},
		{"rate 10mbit burst 16kB queue 64p from server", "rate 10mbit burst 16kB queue 64p from server"},
		{"rate 9600bit queue 1000p to server", "rate 9600bit to server"},
		{"rate 1.5mbit queue 96kB,64p", "rate 1500kbit queue 64p,96kB"},
		{"rate 10000kbit queue 128KiB", "rate 10mbit queue 131072B"},
		{"partition client -> server for 1s after 1MB", "partition client -> server after 1MB for 1s"},
		{"partition b,a <-> c", "partition a,b <-> c"},
		{"partition c <-> b,a,b", "partition a,b <-> c"},
		{"partition b,a during 1s..2s", "partition a,b during 1s..2s"},
		{"partition all -> server", "partition all -> server"},
		{"mtu 1400 error from client", "mtu 1400 error from client"},
		{"mtu 1400 to server", "mtu 1400 to server"},
		{"down server during 1s..2s", "down server during 1s..2s"},
		{"up server after 3s until 5s", "up server during 3s..5s"},
		{"down all after 100 frames for 1s", "down all after 100 frames for 1s"},

		{"drop vlan 5 if \"tcp port 80\" from client", "drop from client vlan 5 if \"tcp port 80\""},
		{"drop during 6s..,1s..2s,1500ms..4s", "drop during 1s..4s,6s.."},
		{"drop during 0s..", "drop"},
		{"drop after 10s", "drop during 10s.."},
		{"drop after 10s for 1s", "drop during 10s..11s"},
		{"drop until 10s", "drop during 0s..10s"},
		{"drop after 1 frames until 2000000B", "drop after 1 frame until 2MB"},
		{"drop off", "drop off"},
	} {
		r, err := faults.Parse(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got := r.String(); got != c.normal {
			t.Errorf("%q prints as %q, want %q", c.text, got, c.normal)
		}
		again, err := faults.Parse(c.normal)
		if err != nil || again.String() != c.normal {
			t.Errorf("%q does not print as itself: %v, %v", c.normal, again, err)
		}
	}
}

func TestRuleAccessors(t *testing.T) {
	r := mustParse(t, "loss: drop 2% from client to server")
	if r.Name() != "loss" || r.From() != "client" || r.To() != "server" {
		t.Errorf("name %q, from %q, to %q", r.Name(), r.From(), r.To())
	}
	r = mustParse(t, "drop from all to all")
	if r.Name() != "" || r.From() != "" || r.To() != "all" {
		t.Errorf("name %q, from %q, to %q", r.Name(), r.From(), r.To())
	}
}

// malformed rules; what is said of each stands in testdata/malformed.golden.
var malformed = []string{
	"",
	"   ",
	"loss:",
	"drpo 2% from client",
	"DROP 2%",
	"loss 2%",
	"dup 2%",
	": drop",
	"loss : drop",
	"läss: drop",
	"drop: drop 2%",
	"17: drop 2%",
	"a12345678901234567890123456789012345678901234567890123456789012345: drop",

	"drop 2",
	"drop 0.02",
	"drop .5%",
	"drop -1%",
	"drop 101%",
	"drop 3/2",
	"drop 1/0",
	"drop 1/",
	"drop 1.5/3",
	"drop 5percent",
	"drop 0.0000000000001%",
	"drop 123456789012345678901234567890%",
	"drop ntn 4",

	"drop nth",
	"drop nth 0",
	"drop nth three",
	"drop nth 3,,4",
	"drop nth 3, 17..19",
	"drop nth 3,17-19",
	"drop nth 19..17",
	"drop nth ..4",
	"drop nth 1..x from client",
	"drop nth 999999999999999999999",
	"drop every 0",
	"drop every 2%",
	"drop first",
	"drop first -1",
	"drop 2% nth 4",

	"drop 2% form client",
	"drop from",
	"drop from to server",
	"drop from client,server",
	"drop from cli\"ent",
	"drop from client from server",
	"drop 2% if \"tcp port 80",
	"drop copies 2",

	"duplicate copies",
	"duplicate copies 0",
	"duplicate copies 1001",
	"duplicate copies two",
	"duplicate copise 2",
	"duplicate gap 5",
	"duplicate gap 1mn",
	"duplicate gap -1ms",
	"duplicate gap 2h",
	"duplicate gap 0.5ns",
	"duplicate gap 99999999999999h",
	"duplicate bits 2",

	"corrupt bits 0",
	"corrupt bits 5000",
	"corrupt bits 2 @66:4f>4e",
	"corrupt @66:4f>4e bits 2",
	"corrupt @66:4f>4e from client @70=00",
	"corrupt @66",
	"corrupt @:4f>4e",
	"corrupt @x=00",
	"corrupt @66:4f",
	"corrupt @66:4f>",
	"corrupt @66:4f>4",
	"corrupt @66:4f>4g",
	"corrupt @66:4f>4e00",
	"corrupt @66:4f>4f",
	"corrupt @66^00",
	"corrupt @66=",
	"corrupt @66=00,",
	"corrupt @66=00, from client",
	"corrupt @66=0011,@67=22",
	"corrupt @70000=00",
	"corrupt @65552=0000",

	"drop 2% from client 3%",
	"drop 1% corr",
	"drop 1% corr fast",
	"drop gemodel",
	"drop gemodel 1",
	"drop gemodel 1% 25% 100% 0% 3%",
	"drop markov",
	"drop markov from server",
	"drop markov good=1% bad>good=2%",
	"drop markov good=1% good=2%",
	"drop markov good=1% bad=50% good>good=1%",
	"drop markov good=1% bad=50% good>bad=1% good>bad=2%",
	"drop markov a=0% b=1% c=2% a>b=60% a>c=50%",
	"drop markov good=1% bad=2 good>bad=1%",
	"drop markov radio good=1% step 1us",
	"drop markov 1=2%",

	"truncate",
	"truncate to server",
	"truncate to 10B",
	"truncate to 60",
	"truncate to 60B to 70B",
	"pad",
	"pad 0B",
	"pad 9..0B",
	"pad 4",
	"pad 1..99999B",
	"delay",
	"delay 40",
	"delay 0ms",
	"delay 2h",
	"delay 10%",
	"delay 40ms jitter",
	"delay 40ms jitter 0ms",
	"delay 40ms jitter 10ms gauss",
	"delay 40ms jitter 10ms table",
	"delay 40ms jitter 10ms table 1,2,99999",
	"delay 40ms normal",
	"delay 40ms places 3:12ms",
	"delay 2% places 3:12ms",
	"delay places 3",
	"delay places 3:12ms,3:13ms",
	"delay places 0:12ms",
	"reorder 5% behind 0",
	"reorder 5% within 1s ahead 10ms",
	"reorder 5% gap 5",
	"reorder 5% behind 3 jitter 1ms",
	"reorder 5% ahead 0ms",
	"rate",
	"rate 10",
	"rate 10mbps",
	"rate 10mbytes",
	"rate 0mbit",
	"rate 5% 10mbit",
	"rate 10mbit queue 64",
	"rate 10mbit queue 64p,65p",
	"rate 10mbit burst 16",
	"partition",
	"partition all",
	"partition client ->",
	"partition client <- server",
	"partition client -> server from x",
	"partition a,all <-> b",
	"partition 5% a",
	"mtu",
	"mtu 0",
	"mtu 1400B",
	"mtu 1400 error to server",
	"mtu 1400 error after 1MB",
	"down",
	"down all,server",
	"up server",
	"up server off",

	"drop if",
	"drop if tcp port 80",
	"drop if \"tcp prot 80\"",
	"drop if \"tcp port\"",
	"drop vlan",
	"drop vlan 4096",
	"drop during",
	"drop during 1s",
	"drop during 4s..1s",
	"drop during 1s..4",
	"drop after 0s",
	"drop after 5",
	"drop after 0B",
	"drop after 1MB after 2MB",
	"drop for 1s",
	"drop after 5s until 4s",
	"drop until 3.5 frames",

	"drop 2% \x07from client",
	"drop 2% fr\xffom client",
	"drop 2% from client" + strings.Repeat(" ", 100) + "two server, that is all",
}

func TestMalformedRules(t *testing.T) {
	var b strings.Builder
	for _, text := range malformed {
		r, err := faults.Parse(text)
		if err == nil {
			t.Errorf("%q was read as %q", text, r)
			continue
		}
		var e *faults.SyntaxError
		if !errors.As(err, &e) {
			t.Errorf("%q: %T: %v", text, err, err)
			continue
		}
		checkSyntaxError(t, text, e)
		fmt.Fprintf(&b, "%s%s\n\n", e.Excerpt(), e)
	}
	golden(t, "malformed.golden", b.String())
}

// checkSyntaxError holds what is promised of every SyntaxError.
func checkSyntaxError(t testing.TB, text string, e *faults.SyntaxError) {
	t.Helper()
	runes := []rune(text)
	switch {
	case e.Text != text:
		t.Errorf("%q: the error's text is %q", text, e.Text)
	case e.Column < 1 || e.Column > len(runes)+1:
		t.Errorf("%q: column %d of %d", text, e.Column, len(runes))
	case utf8.ValidString(text) && !strings.HasPrefix(string(runes[e.Column-1:]), e.Token):
		t.Errorf("%q: %q does not stand at column %d", text, e.Token, e.Column)
	case e.Token == "" && e.Column != len(runes)+1:
		t.Errorf("%q: no token at column %d", text, e.Column)
	}
	if line := e.Error(); strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		t.Errorf("%q: the error is not one printable line: %q", text, line)
	}
	if lines := strings.Split(e.Excerpt(), "\n"); len(lines) != 3 || lines[2] != "" || !strings.Contains(lines[1], "^") {
		t.Errorf("%q: the excerpt is not two lines: %q", text, e.Excerpt())
	}
}

func TestRuleTooLong(t *testing.T) {
	_, err := faults.Parse("drop nth " + strings.Repeat("1,", 40_000) + "1")
	const want = `fault rule, column 1, "drop nth 1,1,1,1,1,1,1,1,1,1,1,1,1,1,...": the rule is 80010 bytes long, at most 65536 are read`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestParseAll(t *testing.T) {
	rules, err := faults.ParseAll([]string{"drop 2%", "drop 1/50", "a: drop", "b: drop"})
	if err != nil || len(rules) != 4 || rules[1].String() != "drop 2%" {
		t.Errorf("got %v, %v", rules, err)
	}
	if rules, err := faults.ParseAll(nil); err != nil || len(rules) != 0 {
		t.Errorf("of none: %v, %v", rules, err)
	}

	for _, c := range []struct {
		texts []string
		want  string
	}{
		{[]string{"drop", "drpo"}, `rule 2: fault rule, column 1, "drpo": no such fault; there is drop, duplicate, corrupt, truncate, pad, delay, reorder, rate, partition, mtu, down or up; did you mean "drop"?`},
		{[]string{"a: drop", "b: drop", "a: corrupt"}, `rule 3: fault rule, column 1, "a": rule 1 has this name`},
		{make([]string, 10_001), `10001 fault rules, at most 10000 are taken`},
	} {
		if _, err := faults.ParseAll(c.texts); err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}
