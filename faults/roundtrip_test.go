package faults_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/faults"
)

// What a rule prints reads back as the same rule: it prints the same again, and
// judges the same.
func TestRoundTrip(t *testing.T) {
	l := newLAN(t, 11)
	rapid.Check(t, func(t *rapid.T) {
		text := anyRule.draw(t, pick(t, "name", "", "", "loss", "a-1_B"))
		r, err := faults.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		normal := r.String()
		again, err := faults.Parse(normal)
		if err != nil {
			t.Fatalf("%q prints as %q: %v", text, normal, err)
		}
		if again.String() != normal {
			t.Fatalf("%q prints as %q, that as %q", text, normal, again)
		}
		if again.Name() != r.Name() || again.From() != r.From() || again.To() != r.To() {
			t.Fatalf("%q and %q differ in name or ports", text, normal)
		}
		keys := faults.Keys{Seed: 3, Occurrence: 1}
		a, b := r.Compile(keys), again.Compile(keys)
		for i := range 60 {
			frame := udp(client, server, i%3, i, 20)
			if i%4 == 0 {
				frame = tagged(frame, 5)
			}
			at := time.Duration(i) * time.Millisecond
			for _, to := range []int{-1, server} {
				va, vb := verdictText(l.judgeAt(a, frame, client, to, at)), verdictText(l.judgeAt(b, frame, client, to, at))
				if va != vb {
					t.Fatalf("frame %d: %q does %s, %q does %s", i, text, va, normal, vb)
				}
			}
		}
	})
}

// FuzzParse: whatever the text, there is a rule that prints as itself or an error
// that keeps its promises.
func FuzzParse(f *testing.F) {
	for _, text := range slices.Concat(malformed, []string{
		"loss: drop 2% from client to server", "drop nth 3,17..19,40..", "drop 0.5‰ to all", "drop every 10", "drop first 5", "drop 1/3",
		"drop 2% corr 25%", "drop gemodel 1% 25% 70% 0.1%", "drop markov radio a=0% b=40% a>b=1% b>a=1/3 step 100ms",
		"truncate to 60B to server", "pad 0..9B", "delay 40ms jitter 10ms normal corr 25%", "delay 1ms jitter 1ms table -8192,0,8192",
		"delay places 3:12ms,4:15ms", "reorder 5% behind 3 within 100ms", "reorder 25% ahead 10ms jitter 1ms gap 5",
		"rate 10mbit burst 16kB queue 64p,96kB", "partition a,b <-> c", "mtu 1400 error", "down server during 1s..2s,3s..", "up all after 1MB for 1s",
		`drop vlan 5 if "tcp port 80" after 5s until 1GB off`,
		"duplicate 0.5% copies 2 gap 1ms from client", "corrupt bits 7", "corrupt nth 4 @66:4f>4e,@70=00,@80^01 from server",
	}) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := faults.Parse(text)
		if err != nil {
			var e *faults.SyntaxError
			if !errors.As(err, &e) {
				t.Fatalf("%T: %v", err, err)
			}
			if len(text) <= 1000 {
				checkSyntaxError(t, text, e)
			}
			return
		}
		normal := r.String()
		again, err := faults.Parse(normal)
		if err != nil {
			t.Fatalf("%q prints as %q: %v", text, normal, err)
		}
		if again.String() != normal {
			t.Fatalf("%q prints as %q, that as %q", text, normal, again)
		}
	})
}
