package pcap_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/vnreplay/vnreplay/pcap"
)

var updateDissect = flag.Bool("update", false, "rewrite the goldens of the dissection tests")

// frame is a captured frame with its number as Wireshark counts.
type frame struct {
	number, linkType, origLen int
	data                      []byte
}

const captures = "../fixtures/captures/"

var ethernetCaptures = []string{
	"01-http-get-100k.a.pcapng", "02a-http-loss.a.pcapng", "03-rst-closed-port.a.pcapng", "06-udp-echo-dns.a.pcapng",
	"07-ping-frag.a.pcapng", "10-interactive.a.pcapng", "13-http-ipv6.a.pcapng", "public-01-http-handshake-fin.pcap",
	"public-06-pptp-bigendian-retransmit.pcap", "public-08-rst-after-fin.pcap", "public-19-icmp-arp-dot1q.pcap", "public-20-jumbo-tso.pcap",
}

var otherCaptures = []string{"public-21-rawip.pcap", "public-23-sll2.pcap", "public-24-null-redis.pcap"}

func frames(t testing.TB, name string) []frame {
	t.Helper()
	b, err := os.ReadFile(captures + name)
	if err != nil {
		t.Fatal(err)
	}
	var out []frame
	if r, err := pcapgo.NewReader(bytes.NewReader(b)); err == nil {
		for {
			data, ci, err := r.ReadPacketData()
			if errors.Is(err, io.EOF) {
				return out
			} else if err != nil {
				t.Fatal(err)
			}
			out = append(out, frame{len(out) + 1, int(r.LinkType()), ci.Length, data})
		}
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, ci, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		link, err := r.Interface(ci.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, frame{len(out) + 1, int(link.LinkType), ci.Length, data})
	}
}

// runTool runs a program that the test compares with; without it the test is
// skipped, or fails where VNREPLAY_REQUIRE_TOOLS=1 demands it.
func runTool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("VNREPLAY_REQUIRE_TOOLS") == "1" {
			t.Fatalf("%s is required: %v", name, err)
		}
		t.Skipf("%s is not installed: nothing to compare with", name)
	}
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return string(out)
}

// wiresharkFields are the fields of which tshark prints the same text.
var wiresharkFields = []string{
	"eth.dst", "eth.src", "arp.opcode", "arp.src.hw_mac", "arp.src.proto_ipv4", "arp.dst.proto_ipv4", "vlan.id",
	"ip.hdr_len", "ip.dsfield", "ip.len", "ip.id", "ip.ttl", "ip.proto", "ip.checksum", "ip.src", "ip.dst", "ip.frag_offset",
	"ipv6.version", "ipv6.tclass", "ipv6.flow", "ipv6.plen", "ipv6.nxt", "ipv6.hlim", "ipv6.src", "ipv6.dst", "ipv6.fraghdr.ident",
	"tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.hdr_len", "tcp.flags", "tcp.window_size_value", "tcp.checksum", "tcp.urgent_pointer",
	"tcp.options.mss_val", "tcp.options.wscale.shift", "tcp.options.timestamp.tsval", "tcp.options.timestamp.tsecr", "tcp.options.sack_le", "tcp.options.sack_re",
	"udp.srcport", "udp.dstport", "udp.length", "udp.checksum",
	"icmp.type", "icmp.code", "icmp.checksum", "icmp.ident", "icmp.seq", "icmp.mtu", "icmp.redir_gw", "icmpv6.mtu", "icmpv6.nd.rd.target_address", "icmpv6.rd.na.destination_address", "icmpv6.type", "icmpv6.code", "icmpv6.checksum",
	"icmpv6.echo.identifier", "icmpv6.echo.sequence_number", "icmpv6.nd.ns.target_address", "icmpv6.nd.na.target_address",
}

// number makes 0x1a and 26 the same.
func number(s string) string {
	if v, err := strconv.ParseUint(s, 0, 64); err == nil {
		return strconv.FormatUint(v, 10)
	}
	return s
}

func TestFieldsAreWiresharks(t *testing.T) {
	for _, name := range ethernetCaptures {
		t.Run(name, func(t *testing.T) {
			args := []string{"-n", "-r", captures + name, "-T", "fields", "-E", "separator=|", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "tcp.relative_sequence_numbers:FALSE"}
			for _, f := range wiresharkFields {
				args = append(args, "-e", f)
			}
			out := strings.Split(strings.TrimSuffix(runTool(t, "tshark", args...), "\n"), "\n")
			fs := frames(t, name)
			if len(out) != len(fs) {
				t.Fatalf("%d frames, tshark has %d", len(fs), len(out))
			}
			compared := 0
			for i, f := range fs {
				ours := map[string][]string{}
				for _, x := range pcap.Fields(f.data) {
					ours[x.Name] = append(ours[x.Name], x.Value)
				}
				for k, theirs := range strings.Split(out[i], "|") {
					key := wiresharkFields[k]
					want := strings.Split(theirs, ",")
					have := ours[key]
					if theirs == "" {
						want = nil
					}
					// Wireshark also dissects packets inside ICMP errors and GRE: only the
					// outermost are ours.
					if len(want) > len(have) && (ours["icmp.type"] != nil && ours["icmp.type"][0] == "3" || ours["ip.proto"] != nil && ours["ip.proto"][0] == "47") {
						want = want[:len(have)]
					}
					if len(want) != len(have) {
						t.Fatalf("frame %d: %s is %q, tshark says %q", f.number, key, have, want)
					}
					for j := range want {
						compared++
						if number(want[j]) != number(have[j]) {
							t.Errorf("frame %d: %s is %q, tshark says %q", f.number, key, have[j], want[j])
						}
					}
				}
			}
			if compared < 5*len(fs) {
				t.Errorf("only %d values compared in %d frames", compared, len(fs))
			}
		})
	}
}

func TestChecksumsAreWiresharks(t *testing.T) {
	for _, name := range ethernetCaptures {
		t.Run(name, func(t *testing.T) {
			out := runTool(t, "tshark", "-n", "-r", captures+name, "-T", "fields", "-E", "separator=|", "-E", "occurrence=f",
				"-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
				"-e", "ip.checksum.status", "-e", "tcp.checksum.status", "-e", "udp.checksum.status", "-e", "icmp.checksum.status", "-e", "icmpv6.checksum.status")
			lines := strings.Split(out, "\n")
			good := 0
			for i, f := range frames(t, name) {
				col := strings.Split(lines[i], "|")
				d := pcap.Decode(f.data)
				if d.IP == nil {
					continue
				}
				if (col[0] == "1") != (d.IPChecksum(f.data) == pcap.SumGood) {
					t.Errorf("frame %d: IP checksum %v, tshark's status %s", f.number, d.IPChecksum(f.data), col[0])
				}
				if d.IP.IsFragment() {
					continue
				}
				have, want := d.TransportChecksum(f.data), strings.Join(col[1:], "")
				want = want[:min(len(want), 1)] // a packet quoted in an ICMP error has its own
				if (want == "1") != (have == pcap.SumGood) {
					t.Errorf("frame %d: transport checksum %v, tshark's status %q", f.number, have, want)
				}
				if have == pcap.SumGood {
					good++
				}
			}
			if good == 0 && !strings.Contains(name, "20-jumbo") && !strings.Contains(name, "08-rst") {
				t.Error("no checksum was found good")
			}
		})
	}
}

var (
	tcpdumpTCP  = regexp.MustCompile(`^(\S+) > (\S+): Flags \[([^\]]*)\](?:, seq (\d+)(?::(\d+))?)?(?:, ack (\d+))?(?:, win \d+)?(?:, urg \d+)?(?:, options \[[^\]]*\])?, length (\d+)`)
	tcpdumpUDP  = regexp.MustCompile(`^(\S+\.\d+) > (\S+\.\d+): (?:.*?)(?:UDP, length (\d+)|\((\d+)\)$)`)
	tcpdumpEcho = regexp.MustCompile(`^(\S+) > (\S+): ICMP6?,? echo (request|reply), id (\d+), seq (\d+), length (\d+)`)
	tcpdumpARP  = regexp.MustCompile(`^ARP, (?:Request (who-has \S+ tell [^, ]+)|Reply (\S+ is-at [^, ]+))`)
	tcpdumpND   = regexp.MustCompile(`ICMP6, neighbor (solicitation|advertisement), (?:who has|tgt is) ([^,]+)`)
	// the family before the packet, the link type's columns before that
	tcpdumpHead = regexp.MustCompile(`^(?:(?:vlan .*?, )?(?:p \d+, )?(?:ethertype \S+ (?:\(0x[0-9a-f]+\))?, )?)?(?:\S+ +(?:In|Out) +)?(?:AF \S+ \(\d+\), length \d+: )?(?:IP6? )?`)
)

// essential reduces a line of tcpdump's to what our line must say too.
func essential(line string) string {
	line = tcpdumpHead.ReplaceAllString(line, "")
	if m := tcpdumpTCP.FindStringSubmatch(line); m != nil {
		return fmt.Sprintf("%s > %s [%s] %s:%s ack %s len %s", m[1], m[2], m[3], m[4], m[5], m[6], m[7])
	}
	if m := tcpdumpEcho.FindStringSubmatch(line); m != nil {
		return fmt.Sprintf("%s > %s echo %s id %s seq %s len %s", m[1], m[2], m[3], m[4], m[5], m[6])
	}
	if m := tcpdumpARP.FindStringSubmatch(line); m != nil {
		return "ARP " + m[1] + m[2]
	}
	if m := tcpdumpND.FindStringSubmatch(line); m != nil {
		return "ND " + m[1] + " " + m[2]
	}
	if m := tcpdumpUDP.FindStringSubmatch(line); m != nil {
		return fmt.Sprintf("%s > %s UDP %s%s", m[1], m[2], m[3], m[4])
	}
	return ""
}

var (
	oursTCP  = regexp.MustCompile(`^(\S+) > (\S+): \[([^\]]*)\](?: (?:seq )?(\d+)(?::(\d+))?)?(?: ack (\d+))?(?: len (\d+))?`)
	oursUDP  = regexp.MustCompile(`^(\S+) > (\S+): UDP len (\d+)`)
	oursEcho = regexp.MustCompile(`^(\S+) > (\S+): ICMP(?:v6)? echo (request|reply) id (\d+) seq (\d+) len (\d+)`)
	oursARP  = regexp.MustCompile(`ARP (?:reply )?(.*)$`)
	oursND   = regexp.MustCompile(`neighbor (solicitation|advertisement)(?: who has)? (\S+)`)
	oursVLAN = regexp.MustCompile(`^(?:vlan \d+ )+`)
)

func ourEssential(line string) string {
	line = oursVLAN.ReplaceAllString(line, "")
	if m := oursTCP.FindStringSubmatch(line); m != nil {
		if m[7] == "" {
			m[7] = "0"
		}
		return fmt.Sprintf("%s > %s [%s] %s:%s ack %s len %s", m[1], m[2], m[3], m[4], m[5], m[6], m[7])
	}
	if m := oursEcho.FindStringSubmatch(line); m != nil {
		return fmt.Sprintf("%s > %s echo %s id %s seq %s len %s", m[1], m[2], m[3], m[4], m[5], m[6])
	}
	if m := oursND.FindStringSubmatch(line); m != nil {
		return "ND " + m[1] + " " + m[2]
	}
	if m := oursARP.FindStringSubmatch(line); m != nil {
		return "ARP " + m[1]
	}
	if m := oursUDP.FindStringSubmatch(line); m != nil {
		return fmt.Sprintf("%s > %s UDP %s", m[1], m[2], m[3])
	}
	return ""
}

func TestDescribeIsTcpdumps(t *testing.T) {
	absolute := regexp.MustCompile(`\] (\d{5,}):(\d*) ack`)
	for _, name := range append(append([]string{}, ethernetCaptures...), otherCaptures...) {
		t.Run(name, func(t *testing.T) {
			theirs := strings.Split(strings.TrimSpace(runTool(t, "tcpdump", "-tnr", captures+name)), "\n")
			fs := frames(t, name)
			if len(theirs) != len(fs) {
				t.Fatalf("%d frames, tcpdump has %d", len(fs), len(theirs))
			}
			var s pcap.Describer
			compared := 0
			for i, f := range fs {
				line := s.Frame(f.linkType, f.data, f.origLen)
				want, have := essential(theirs[i]), ourEssential(line)
				d := pcap.DecodeLink(f.linkType, f.data)
				if want == "" || d.UDP != nil && d.IP.IsFragment() { // tcpdump prints the fragment's length
					continue
				}
				compared++
				if d.TCP != nil && (d.TCP.Flags.Has(pcap.SYN) || absolute.MatchString(want) || d.TCP.Flags.Has(pcap.RST) && d.TCP.Seq == 0) {
					// tcpdump prints absolute numbers for what opens a connection.
					cut := regexp.MustCompile(` \d*:\d* ack \d*`)
					want, have = cut.ReplaceAllString(want, ""), cut.ReplaceAllString(have, "")
				}
				if want != have {
					t.Errorf("frame %d\n ours     %s\n tcpdump  %s\n compared %s\n with     %s", f.number, line, theirs[i], have, want)
				}
			}
			if compared < len(fs)/2 {
				t.Errorf("only %d of %d lines could be compared", compared, len(fs))
			}
		})
	}
}

func TestDescribeGolden(t *testing.T) {
	var b strings.Builder
	for _, name := range append(append([]string{}, ethernetCaptures...), otherCaptures...) {
		fmt.Fprintf(&b, "== %s\n", name)
		var s pcap.Describer
		for i, f := range frames(t, name) {
			line := s.Frame(f.linkType, f.data, f.origLen)
			if i < 24 {
				fmt.Fprintf(&b, "%4d %s\n", f.number, line)
			}
		}
	}
	golden(t, "describe.golden", b.String())
}

func golden(t *testing.T, name, have string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *updateDissect {
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
