package filter_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/filter"
)

// TestReadByTcpdump lets tcpdump itself read a file of frames, whole ones and
// ones that were cut when captured, and compares which of them it keeps.
func TestReadByTcpdump(t *testing.T) {
	needTcpdump(t)
	type packet struct {
		name    string
		data    []byte
		wireLen int
	}
	var packets []packet
	for _, fr := range frames() {
		for _, snap := range []int{len(fr.data), 60, 37, 24, 14} {
			if snap <= len(fr.data) && snap > 0 {
				packets = append(packets, packet{fmt.Sprintf("%s, %d bytes of it", fr.name, snap), fr.data[:snap], len(fr.data)})
			}
		}
	}
	// A pcap file; the seconds of the time stamp number the packets.
	le := binary.LittleEndian
	file := le.AppendUint32(nil, 0xa1b2c3d4)
	file = le.AppendUint16(file, 2)
	file = le.AppendUint16(file, 4)
	file = append(file, make([]byte, 8)...)
	file = le.AppendUint32(file, 262144)
	file = le.AppendUint32(file, 1) // Ethernet
	for i, p := range packets {
		for _, v := range []int{i, 0, len(p.data), p.wireLen} {
			file = le.AppendUint32(file, uint32(v))
		}
		file = append(file, p.data...)
	}
	path := filepath.Join(t.TempDir(), "frames.pcap")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, expr := range []string{
		"", "len > 60", "not len > 60", "less 54", "greater 54", "len = 54 or ether[30] = 10",
		"tcp port 80", "not tcp port 80", "tcp", "ip", "arp", "host 10.0.0.1", "not host 10.0.0.1",
		"vlan and tcp", "tcp[13] & 2 != 0", "not tcp[13] & 2 != 0", "ip[2:2] = len - 14",
		"ip6 proto 6", "ether[12:2] <= 1500", "len - ether[14] > 0", "udp port 53 and len < 100",
		"ip broadcast", "mpls and ip", "pppoes and tcp", "(len & 1) = 1",
	} {
		f, err := filter.Compile(expr)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("tcpdump", "-r", path, "-w", "-", expr).Output()
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		kept := make(map[int]bool)
		for rest := out[24:]; len(rest) >= 16; rest = rest[16+le.Uint32(rest[8:]):] {
			kept[int(le.Uint32(rest))] = true
		}
		for i, p := range packets {
			if got := f.MatchLen(p.data, p.wireLen); got != kept[i] {
				t.Errorf("%q: %s: match %v, tcpdump %v", expr, p.name, got, kept[i])
			}
		}
	}
}

// TestRandomAgainstTcpdump compiles expressions that nobody thought of with
// tcpdump and compares what they match.
func TestRandomAgainstTcpdump(t *testing.T) {
	needTcpdump(t)
	list := frames()
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		expr := randomExpression(3).Draw(t, "expression")
		v := askTcpdump(t, expr)
		f, err := filter.Compile(expr)
		switch {
		case err != nil && v.refusal != "":
			return
		case err != nil && strings.Contains(err.Error(), "offsets of 0xfffff000"):
			return // see refused.txt
		case err != nil:
			t.Fatalf("libpcap accepts what is refused here: %v", err)
		case v.refusal != "":
			t.Fatalf("%s: compiles, but libpcap says: %s", expr, v.refusal)
		}
		compared++
		vm := newVM(t, v.program)
		for _, fr := range list {
			if got, want := f.Match(fr.data), matches(t, vm, fr.data); got != want {
				t.Fatalf("%s: frame %q: match %v, libpcap %v", expr, fr.name, got, want)
			}
		}
	})
	t.Logf("%d random expressions compared, the others are refused by both", compared)
}

// TestSnapped cuts frames at every length: what is cut off must be as good as
// not there, except for the length.
func TestSnapped(t *testing.T) {
	for _, expr := range []string{"tcp port 80", "not tcp port 80", "ether[20] = 0", "ip6 and udp", "llc"} {
		f := compile(t, expr)
		for _, fr := range frames() {
			for n := range min(len(fr.data), 80) {
				if got, want := f.MatchLen(fr.data[:n], len(fr.data)), f.Match(bytes.Clone(fr.data[:n])); got != want {
					t.Errorf("%s: %d bytes of frame %q: %v, as a whole frame %v", expr, n, fr.name, got, want)
				}
			}
		}
	}
	long := compile(t, "len > 1000")
	if f := make([]byte, 60); long.Match(f) || !long.MatchLen(f, 1514) {
		t.Error("len is not the length on the wire")
	}
}

func compile(t testing.TB, expr string) *filter.Filter {
	t.Helper()
	f, err := filter.Compile(expr)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
