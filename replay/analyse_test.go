package replay_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/replay"
)

var update = flag.Bool("update", false, "rewrite the goldens")

const captures = "../fixtures/captures/"

// files are the captures that the goldens are about.
var files = []string{
	"01-http-get-100k.a.pcapng", "02a-http-loss.a.pcapng", "02a-http-loss.b.pcapng", "03-rst-closed-port.a.pcapng", "06-udp-echo-dns.a.pcapng",
	"07-ping-frag.a.pcapng", "10-interactive.a.pcapng", "13-http-ipv6.a.pcapng",
	"public-01-http-handshake-fin.pcap", "public-06-pptp-bigendian-retransmit.pcap", "public-08-rst-after-fin.pcap", "public-19-icmp-arp-dot1q.pcap",
	"public-20-jumbo-tso.pcap", "public-21-rawip.pcap", "public-23-sll2.pcap", "public-24-null-redis.pcap",
	"public-26-multi-if-le.pcapng", "public-27-multi-section-be.pcapng", "public-28-multi-section-mixed.pcapng",
}

func load(t testing.TB, name string) *replay.Analysis {
	t.Helper()
	c, err := replay.Load(captures + name)
	if err != nil {
		t.Fatal(err)
	}
	c.Name = name
	return replay.Analyse(c)
}

func golden(t *testing.T, name, have string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != have {
		t.Errorf("%s differs (rewrite it with -update and read the diff):\n%s", path, have)
	}
}

func TestListOfEveryCapture(t *testing.T) {
	var b strings.Builder
	for _, name := range files {
		if err := load(t, name).List(&b); err != nil {
			t.Fatal(err)
		}
		b.WriteString("\n")
	}
	golden(t, "list.golden", b.String())
}
