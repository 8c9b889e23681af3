package replay_test

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
)

// No test leaves a goroutine behind. Fuzzing has some of its own.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// analyse reads a capture from bytes, which may be damaged.
func analyse(b []byte) *replay.Analysis {
	r, err := pcap.NewReader(bytes.NewReader(b), "input")
	if err != nil {
		return nil
	}
	c, err := replay.Read(r, "input")
	if err != nil {
		return nil
	}
	return replay.Analyse(c)
}

// FuzzAnalyse: no bytes make the analysis panic, and what it says holds together.
func FuzzAnalyse(f *testing.F) {
	for _, name := range []string{"03-rst-closed-port.a.pcapng", "public-01-http-handshake-fin.pcap", "public-19-icmp-arp-dot1q.pcap", "public-21-rawip.pcap", "public-23-sll2.pcap"} {
		b, err := os.ReadFile(captures + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, gap := range []time.Duration{ms, time.Minute, time.Hour} {
		c := newCraft(f)
		c.splitAnswer(gap)
		f.Add(c.file.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a := analyse(b)
		if a == nil {
			return
		}
		if err := a.List(io.Discard); err != nil {
			t.Fatal(err)
		}
		for i, c := range a.Conversations {
			if c.Number != i+1 || c.First > c.Last && a.Capture.Backwards == 0 || a.Endpoint(c.Ends[0].Addr()) == nil || a.Endpoint(c.Ends[1].Addr()) == nil {
				t.Fatalf("%+v", c)
			}
			if c.Proto == replay.TCP && (c.Streams[0] == nil || c.Streams[1] == nil) {
				t.Fatalf("%v has no streams", c)
			}
			for j, d := range c.Datagrams {
				if j > 0 && d.At < c.Datagrams[j-1].At {
					t.Fatalf("%v: datagram %d is of %v, the one before of %v", c, j, d.At, c.Datagrams[j-1].At)
				}
			}
		}
	})
}

// TestFlippedBits replays captures with one bit flipped somewhere in the file:
// whatever the verdict, there is one, soon.
func TestFlippedBits(t *testing.T) {
	var files [][]byte
	for _, name := range []string{"03-rst-closed-port.a.pcapng", "06-udp-echo-dns.a.pcapng", "10-interactive.a.pcapng", "public-01-http-handshake-fin.pcap"} {
		b, err := os.ReadFile(captures + name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, b)
	}
	rapid.Check(t, func(t *rapid.T) {
		b := bytes.Clone(rapid.SampledFrom(files).Draw(t, "file"))
		bit := rapid.IntRange(0, len(b)*8-1).Draw(t, "bit")
		b[bit/8] ^= 1 << (bit % 8)
		a := analyse(b)
		if a == nil {
			return
		}
		for _, e := range a.Endpoints {
			r, err := replay.Run(context.Background(), a, replay.Options{Live: []replay.Live{{Addr: e.Addr}}, WallLimit: 20 * time.Second})
			if err != nil {
				t.Logf("%v: %v", e.Addr, err)
				continue
			}
			if r.Verdict == replay.HarnessFailed {
				t.Fatalf("%v live:\n%s", e.Addr, text(t, r))
			}
			text(t, r)
		}
	})
}
