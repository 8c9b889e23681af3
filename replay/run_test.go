package replay_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/replay"
)

// run replays with one live address and the given change of the options.
func run(t rapid.TB, a *replay.Analysis, live string, change ...func(*replay.Options)) *replay.Report {
	t.Helper()
	o := replay.Options{Live: []replay.Live{{Addr: netip.MustParseAddr(live)}}, WallLimit: 20 * time.Second}
	for _, f := range change {
		f(&o)
	}
	r, err := replay.Run(context.Background(), a, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t rapid.TB, r *replay.Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n > 40 {
		t.Errorf("the report has %d lines, want at most 40", n)
	}
	return b.String()
}

// TestKernelCaptures replays what Linux said with each side live.
func TestKernelCaptures(t *testing.T) {
	for _, c := range []struct {
		file  string
		live  []string
		count string
	}{
		{"01-http-get-100k.a.pcapng", []string{"10.77.0.1", "10.77.0.2"}, "1/1 conversations, 100.0 % of 100290 bytes"},
		{"13-http-ipv6.a.pcapng", []string{"fd77::1", "fd77::2"}, "1/1 conversations, 100.0 % of 100290 bytes"},
		{"03-rst-closed-port.a.pcapng", []string{"10.77.0.1", "10.77.0.2", "fd77::1", "fd77::2"}, "1/1 conversations, no bytes"},
		{"10-interactive.a.pcapng", []string{"10.77.0.1", "10.77.0.2"}, "1/1 conversations, 100.0 % of 112 bytes"},
		{"06-udp-echo-dns.a.pcapng", []string{"10.77.0.1", "10.77.0.2"}, "9/9 conversations, 100.0 % of 13998 bytes"},
	} {
		for _, live := range c.live {
			t.Run(c.file+" "+live, func(t *testing.T) {
				r := run(t, load(t, c.file), live)
				out := text(t, r)
				if r.Verdict != replay.Same || !strings.Contains(out, "coverage: "+c.count) || r.Retransmits != 0 || r.Synthetic != 0 {
					t.Errorf("want verdict same, %s:\n%s", c.count, out)
				}
			})
		}
	}
}

func TestWrongLiveAddress(t *testing.T) {
	a := load(t, "03-rst-closed-port.a.pcapng")
	_, err := replay.Run(context.Background(), a, replay.Options{Live: []replay.Live{{Addr: netip.MustParseAddr("10.9.9.9")}}})
	if !errors.Is(err, replay.ErrNotInThere) || !strings.Contains(err.Error(), "it has 10.77.0.1, 10.77.0.2, fd77::1, fd77::2") {
		t.Errorf("error %v", err)
	}
	if _, err := replay.Run(context.Background(), a, replay.Options{}); !errors.Is(err, replay.ErrNoLive) {
		t.Errorf("error %v", err)
	}
}
