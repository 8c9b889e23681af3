package replay_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
)

func TestChoose(t *testing.T) {
	for _, c := range []struct{ file, word, want string }{
		{"06-udp-echo-dns.a.pcapng", "10.77.0.2", "[10.77.0.2]"},
		{"06-udp-echo-dns.a.pcapng", "10.9.9.9", "[10.9.9.9]"}, // for Run to refuse
		{"06-udp-echo-dns.a.pcapng", "all-servers", "[10.77.0.2 fd77::2]"},
		{"06-udp-echo-dns.a.pcapng", "all-clients", "[10.77.0.1 fd77::1]"},
		{"public-19-icmp-arp-dot1q.pcap", "00:18:73:de:57:c1", "[192.168.123.2]"},
		{"public-19-icmp-arp-dot1q.pcap", "00:18:73:DE:57:C1", "[192.168.123.2]"},
		{"public-19-icmp-arp-dot1q.pcap", "02:00:00:00:00:01", "[]"},
		{"public-24-null-redis.pcap", "all-clients", "[]"},
	} {
		got, err := load(t, c.file).Choose(c.word)
		if fmt.Sprint(got) != c.want || (err != nil) != (c.want == "[]") || err != nil && !errors.Is(err, replay.ErrNotInThere) {
			t.Errorf("%s: %s is %v, want %s (%v)", c.file, c.word, got, c.want, err)
		}
	}
	for _, word := range []string{"", "nobody", "00:18:73", "10.0.0.1/24"} {
		if got, err := load(t, files[0]).Choose(word); err == nil || errors.Is(err, replay.ErrNotInThere) {
			t.Errorf("%q is %v, %v", word, got, err)
		}
	}
}

// TestPlayRestricts plays one of two addresses that talk to the live one.
func TestPlayRestricts(t *testing.T) {
	a := load(t, "06-udp-echo-dns.a.pcapng")
	four, six := netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("fd77::1")
	if got := fmt.Sprint(a.Others([]netip.Addr{six})); got != "[fd77::2]" {
		t.Errorf("others %s", got)
	}
	r := run(t, a, "10.77.0.2", func(o *replay.Options) {
		o.Live = append(o.Live, replay.Live{Addr: netip.MustParseAddr("fd77::2")})
		o.Play = []netip.Addr{six}
	})
	if r.Verdict != replay.Same || len(r.Conversations) != 1 || r.NotChosen != 9 {
		t.Errorf("%d played, %d not chosen:\n%s", len(r.Conversations), r.NotChosen, text(t, r))
	}
	for _, play := range []netip.Addr{four, netip.MustParseAddr("10.9.9.9")} {
		o := replay.Options{Live: []replay.Live{{Addr: four}}, Play: []netip.Addr{play}}
		if _, err := replay.Run(t.Context(), a, o); err == nil {
			t.Errorf("%v live, %v played: no error", four, play)
		}
	}
}

// TestTagsAreKept replays a conversation on a VLAN, each side live: all frames
// bear the tag, those that look for a MAC too.
func TestTagsAreKept(t *testing.T) {
	a := load(t, "public-19-icmp-arp-dot1q.pcap")
	for _, live := range []string{"192.168.123.1", "192.168.123.2"} {
		var file bytes.Buffer
		rec, err := pcap.NewRecorder(&file, pcap.Meta{Version: "test"})
		if err != nil {
			t.Fatal(err)
		}
		r := run(t, a, live, func(o *replay.Options) { o.Recorder = rec })
		if err := rec.Close(); err != nil || r.Verdict != replay.Same {
			t.Fatalf("%v, %v", err, r.Verdict)
		}
		in, err := pcap.NewReader(&file, "replay")
		if err != nil {
			t.Fatal(err)
		}
		c, err := replay.Read(in, "replay")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range c.Frames {
			if len(f.VLANs) != 1 || f.VLANs[0].ID != 123 {
				t.Errorf("%s live: frame %d has tags %v", live, f.Number, f.VLANs)
			}
		}
	}
}
