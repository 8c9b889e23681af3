package pcap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

const fixtureDir = "../fixtures/captures"

func fixtureNames(t tb) []string {
	t.Helper()
	entries, err := os.ReadDir(fixtureDir)
	ok(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// mapping reads "ip 10.0.0.1=10.0.0.2", as Mapping.String writes it.
func mapping(t tb, text string) pcap.Mapping {
	t.Helper()
	kind, pair, _ := strings.Cut(text, " ")
	m, err := map[string]func(string) (pcap.Mapping, error){
		"mac": pcap.MapMAC, "ip": pcap.MapIP, "port": pcap.MapPort, "vlan": pcap.MapVLAN}[kind](pair)
	ok(t, err)
	return m
}

// rewrite rewrites a file and returns it with the report.
func rewrite(t tb, in []byte, fix pcap.FixSums, format pcap.FileFormat, texts ...string) ([]byte, pcap.Rewritten) {
	t.Helper()
	var maps []pcap.Mapping
	for _, text := range texts {
		maps = append(maps, mapping(t, text))
	}
	r, err := pcap.NewRewriter(fix, maps...)
	ok(t, err)
	var out bytes.Buffer
	ok(t, r.Copy(&out, bytes.NewReader(in), "in", format))
	return out.Bytes(), r.Report()
}

// everyAddress is a mapping for each MAC, IP address, port and VLAN of a capture,
// to one that is not in it, and the mappings back.
func everyAddress(t tb, file []byte) (there, back []string) {
	macs, ports, vlans := map[vswitch.MAC]bool{}, map[uint16]bool{}, map[uint16]bool{}
	ips := map[netip.Addr]bool{}
	for _, p := range packets(t, read(t, file)) {
		d := pcap.DecodeLink(p.LinkType, p.Data)
		if p.LinkType == pcap.LinkEthernet {
			macs[d.Src], macs[d.Dst] = true, true
		}
		if d.ARP != nil {
			ips[d.ARP.SenderIP], ips[d.ARP.TargetIP] = true, true
		}
		if d.IP != nil {
			ips[d.IP.Src], ips[d.IP.Dst] = true, true
		}
		if d.TCP != nil {
			ports[d.TCP.SrcPort], ports[d.TCP.DstPort] = true, true
		}
		if d.UDP != nil {
			ports[d.UDP.SrcPort], ports[d.UDP.DstPort] = true, true
		}
		for _, v := range d.VLANs {
			vlans[v.ID] = true
		}
	}
	add := func(kind string, a, b any) {
		there = append(there, fmt.Sprintf("%s %v=%v", kind, a, b))
		back = append(back, fmt.Sprintf("%s %v=%v", kind, b, a))
	}
	n := 0
	for m := range macs {
		n++
		add("mac", m, vswitch.MAC{2, 0xfe, 0xfe, 0, byte(n >> 8), byte(n)})
	}
	for a := range ips {
		n++
		if a.Is4() {
			add("ip", a, netip.AddrFrom4([4]byte{198, 19, byte(n >> 8), byte(n)}))
		} else if a.Is6() {
			b := [16]byte{0x20, 1, 0xd, 0xb8, 0xfe, 0xfe}
			b[14], b[15] = byte(n>>8), byte(n)
			add("ip", a, netip.AddrFrom16(b))
		}
	}
	fresh := uint16(20000)
	next := func(have map[uint16]bool, most uint16) uint16 {
		for {
			if fresh = (fresh + 1) % most; fresh > 0 && !have[fresh] {
				return fresh
			}
		}
	}
	for p := range ports {
		add("port", p, next(ports, 65535))
	}
	for v := range vlans {
		add("vlan", v, next(vlans, 4094))
	}
	return there, back
}

// Whatever is mapped, and mapped back, is what it was, byte for byte: wrong and
// unfinished checksums too where they are kept, and right ones where they are made right.
func TestRewrittenThereAndBack(t *testing.T) {
	files := map[string][]byte{"made": madeFile(t)}
	for _, name := range fixtureNames(t) {
		b, err := os.ReadFile(filepath.Join(fixtureDir, name))
		ok(t, err)
		files[name] = b
	}
	names := slices.Sorted(maps.Keys(files))
	there, back := map[string][]string{}, map[string][]string{}
	for _, name := range names {
		there[name], back[name] = everyAddress(t, files[name])
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "file")
		var some, undo []string
		for i, m := range there[name] {
			if rapid.Bool().Draw(t, m) {
				some, undo = append(some, m), append(undo, back[name][i])
			}
		}
		if len(some) == 0 {
			return
		}
		slices.Reverse(undo)
		fix := rapid.SampledFrom([]pcap.FixSums{pcap.FixChanged, pcap.FixKeep, pcap.FixNone, pcap.FixAll}).Draw(t, "fix")
		once, report := rewrite(t, files[name], fix, pcap.SameFormat, some...)
		again, undone := rewrite(t, once, fix, pcap.SameFormat, undo...)
		if len(report.Left) == 0 && report.Changed == 0 {
			t.Fatal("nothing changed")
		}
		for i := range report.Mappings {
			if a, b := report.Mappings[i].Frames, undone.Mappings[len(some)-1-i].Frames; a != b {
				t.Fatalf("%v: %d frames there, %d back", report.Mappings[i].Mapping, a, b)
			}
		}
		sameButSums(t, files[name], again, fix)
	})
}

// sameButSums compares two captures byte for byte, but for frames with a checksum
// that was not right where these are fixed.
func sameButSums(t tb, a, b []byte, fix pcap.FixSums) {
	t.Helper()
	if bytes.Equal(a, b) {
		return
	}
	if fix == pcap.FixKeep || fix == pcap.FixNone || len(a) != len(b) {
		t.Fatalf("%d bytes, want the %d bytes of the original", len(b), len(a))
	}
	before, after := packets(t, read(t, a)), packets(t, read(t, b))
	for i, p := range before {
		d := pcap.DecodeLink(p.LinkType, p.Data)
		wrong := false
		if d.IP != nil {
			ip, up := d.IPChecksum(p.Data), d.TransportChecksum(p.Data)
			wrong = ip == pcap.SumBad || up == pcap.SumBad || up == pcap.SumPartial
		}
		if !wrong && !bytes.Equal(p.Data, after[i].Data) {
			t.Fatalf("frame %d:\n%x, want\n%x", p.Number, after[i].Data, p.Data)
		}
	}
}

// blocks splits pcapng into its blocks, those of packets without what a rewriter
// may change.
func blocks(t tb, b []byte) (out []string) {
	t.Helper()
	for len(b) > 0 {
		n := binary.LittleEndian.Uint32(b[4:])
		block := b[:n]
		if binary.LittleEndian.Uint32(block) == 6 {
			captured := binary.LittleEndian.Uint32(block[20:])
			out = append(out, string(block[8:20])+string(block[28+(captured+3)&^3:n-4]))
		} else {
			out = append(out, string(block))
		}
		b = b[n:]
	}
	return out
}

// All that is no frame stays as it was, also where frames change their length.
func TestRewritingKeepsTheRest(t *testing.T) {
	b := madeFile(t)
	for _, m := range []string{"mac " + macA.String() + "=02:00:00:00:00:99", "vlan add=5", "vlan 9=none", "vlan 7=8"} {
		out, report := rewrite(t, b, pcap.FixChanged, pcap.PcapngFormat, m)
		if report.Changed == 0 || report.Mappings[0].Frames != report.Changed || report.Recording {
			t.Errorf("%s: %+v", m, report)
		}
		same(t, m, blocks(t, out), blocks(t, b))
		was, is := packets(t, read(t, b)), packets(t, read(t, out))
		for i := range was {
			if d := len(is[i].Data) - len(was[i].Data); d != is[i].OrigLen-was[i].OrigLen || d%4 != 0 {
				t.Errorf("%s: frame %d of %d bytes (%d) was one of %d (%d)", m, i+1, len(is[i].Data), is[i].OrigLen, len(was[i].Data), was[i].OrigLen)
			}
		}
	}
	if _, report := rewrite(t, everyClause(t).wire.Bytes(), pcap.FixChanged, pcap.SameFormat, "mac 02:00:00:00:00:00=02:00:00:00:00:99"); !report.Recording {
		t.Error("a recording is not known for one")
	}
}

// Tags are put on and taken off; the same is done to the frames of classic files,
// which may become pcapng.
func TestRewrittenTags(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(fixtureDir, "public-01-http-handshake-fin.pcap"))
	ok(t, err)
	for _, format := range []pcap.FileFormat{pcap.SameFormat, pcap.ClassicFormat, pcap.PcapngFormat} {
		tagged, _ := rewrite(t, b, pcap.FixChanged, format, "vlan add=77")
		for _, p := range packets(t, read(t, tagged)) {
			if d := pcap.Decode(p.Data); len(d.VLANs) != 1 || d.VLANs[0] != (pcap.VLAN{TPID: 0x8100, ID: 77}) {
				t.Fatalf("frame %d has tags %v", p.Number, d.VLANs)
			}
		}
		back, _ := rewrite(t, tagged, pcap.FixChanged, format, "vlan 77=none")
		was, is := packets(t, read(t, b)), packets(t, read(t, back))
		for i := range was {
			if !bytes.Equal(was[i].Data, is[i].Data) || !was[i].Time.Equal(is[i].Time) || was[i].OrigLen != is[i].OrigLen {
				t.Fatalf("format %d: frame %d is not what it was", format, i+1)
			}
		}
		if isNG := bytes.HasPrefix(back, []byte{10, 13, 13, 10}); isNG != (format == pcap.PcapngFormat) || !isNG && !bytes.Equal(back, b) {
			t.Errorf("format %d: not the file that it was", format)
		}
	}
	var out bytes.Buffer
	r, err := pcap.NewRewriter(pcap.FixChanged, mapping(t, "vlan add=77"))
	ok(t, err)
	if err := r.Copy(&out, bytes.NewReader(madeFile(t)), "x.pcapng", pcap.ClassicFormat); !errors.Is(err, pcap.ErrFormat) || out.Len() > 0 {
		t.Errorf("pcapng as a classic file: %v, %d bytes", err, out.Len())
	}
}

// A frame check sequence that was right is right.
func TestRewrittenCheckSequences(t *testing.T) {
	b := ngFile([][]byte{ether(macA, macB, 60), ether(macB, macA, 200)}, 4)
	out, _ := rewrite(t, b, pcap.FixChanged, pcap.SameFormat, "mac "+macA.String()+"="+"02:00:00:00:00:99", "vlan add=3")
	for _, p := range packets(t, read(t, out)) {
		n := len(p.Data) - 4
		if binary.LittleEndian.Uint32(p.Data[n:]) != crc32.ChecksumIEEE(p.Data[:n]) {
			t.Errorf("frame %d has a wrong check sequence", p.Number)
		}
	}
}

// What a mapping is about is what the documentation says.
func TestRewrittenPlaces(t *testing.T) {
	a, b := v6[0].String(), v6[1].String()
	out, _ := rewrite(t, madeFile(t), pcap.FixChanged, pcap.SameFormat, "ip 10.0.0.0/24=10.9.9.0/24", "ip "+a+"=fd99::a", "ip "+b+"=fd99::b",
		"ip fd00::/16=fd99::/16", "mac "+macA.String()+"=02:aa:aa:aa:aa:aa", "mac "+macB.String()+"=02:bb:bb:bb:bb:bb", "port 1234=4321", "port 80=8080")
	for _, old := range [][]byte{v4[0].AsSlice(), v4[1].AsSlice(), v6[0].AsSlice(), v6[1].AsSlice(), macA[:], macB[:], netip.MustParseAddr("fd00::").AsSlice()} {
		for _, p := range packets(t, read(t, out)) {
			if bytes.Contains(p.Data, old) && len(p.Data) > 20 {
				t.Errorf("%x is still in frame %d: %x", old, p.Number, p.Data)
			}
		}
	}
}

// Frames that cannot be dissected, or not changed without breaking them, stay.
func TestFramesLeftAlone(t *testing.T) {
	src, dst := v6[0], v6[1]
	routed, err := pcap.BuildIP(macB, macA, src, dst, 43, 64, append(append([]byte{6, 2, 0, 1, 0, 0, 0, 0}, dst.AsSlice()...), make([]byte, 20)...))
	ok(t, err)
	arrived := bytes.Clone(routed)
	arrived[14+40+3] = 0
	arrived[14+40+24+12] = 5 << 4
	signed, err := pcap.BuildIP(macB, macA, v4[0], v4[1], 51, 64, make([]byte, 40))
	ok(t, err)
	broken, err := pcap.BuildIP(macB, macA, v4[0], v4[1], pcap.ProtoTCP, 64, make([]byte, 20)) // a header of 0 bytes
	ok(t, err)
	list := [][]byte{routed, arrived, signed, broken[:30], broken}
	b := ngFile(slices.Concat(list[:3], [][]byte{nil}, list[3:]), 0)
	out, report := rewrite(t, b, pcap.FixAll, pcap.SameFormat, "mac "+macA.String()+"=02:aa:aa:aa:aa:aa", "ip 10.0.0.1=10.0.0.9", "ip fd00::1=fd00::9")
	changed := 0
	was := packets(t, read(t, b))
	for i, p := range packets(t, read(t, out)) {
		if !bytes.Equal(p.Data, was[i].Data) {
			changed++
		}
	}
	if changed != 1 || report.Changed != 1 || len(report.Left) < 4 {
		t.Errorf("%d frames changed, %+v", changed, report)
	}
}

// The sum of a source-routed IPv4 packet is about its last hop, not about the
// destination in its header, until it is there.
func TestSourceRoutesLeftAlone(t *testing.T) {
	plain, err := pcap.BuildIP(macB, macA, v4[0], v4[1], pcap.ProtoUDP, 64, []byte{4, 210, 0, 80, 0, 8, 0x12, 0x34})
	ok(t, err)
	with := func(options ...byte) []byte {
		f := slices.Concat(plain[:34], options, plain[34:])
		f[14] = 0x45 + byte(len(options)/4)
		f[14+3] += byte(len(options))
		return f
	}
	routed := [][]byte{
		with(131, 7, 4, 10, 0, 0, 9, 0), with(1, 137, 7, 4, 10, 0, 0, 9),
		with(131, 11, 8, 10, 0, 0, 7, 10, 0, 0, 9, 0), with(7, 7, 4, 0, 0, 0, 0, 131, 7, 4, 10, 0, 0, 9, 0, 0),
	}
	others := [][]byte{
		plain, with(131, 7, 8, 10, 0, 0, 9, 0), with(7, 7, 4, 0, 0, 0, 0, 0),
		with(0, 131, 7, 4, 10, 0, 0, 9), // padding behind the end of the options
	}
	for want, list := range [][][]byte{others, routed} {
		for _, frame := range list {
			b := ngFile([][]byte{frame}, 0)
			out, report := rewrite(t, b, pcap.FixAll, pcap.SameFormat, "ip 10.0.0.1=10.0.0.9")
			same := bytes.Equal(packets(t, read(t, out))[0].Data, frame)
			if left := len(report.Left); same != (want == 1) || want == 1 && (left != 1 || report.Left[0].Reason != "IPv4 source route with hops left") {
				t.Errorf("% x: the same: %t, %+v", frame[34:], same, report.Left)
			}
		}
	}
}

// tshark finds no wrong checksum in what was right or could be made so.
func TestTsharkFindsRewrittenChecksumsGood(t *testing.T) {
	files := map[string][]byte{"made.pcapng": madeFile(t)}
	for _, name := range fixtureNames(t) {
		b, err := os.ReadFile(filepath.Join(fixtureDir, name))
		ok(t, err)
		files[name] = b
	}
	fields := []string{"ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status", "icmpv6.checksum.status"}
	for name, b := range files {
		t.Run(name, func(t *testing.T) {
			there, _ := everyAddress(t, b)
			out, report := rewrite(t, b, pcap.FixAll, pcap.SameFormat, there...)
			bad := func(b []byte) (n int) {
				args := []string{"-r", file(t, name, b), "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-T", "fields"}
				for _, f := range fields {
					args = append(args, "-e", f)
				}
				return strings.Count(clean(t, "tshark", args...), "0")
			}
			was, is := bad(b), bad(out)
			// It also finds those of segments wrong of which an ICMP error quotes a part.
			if uint64(is) != uint64(was)-report.Fixed {
				t.Errorf("%d wrong checksums, %d before; %+v", is, was, report)
			}
			t.Logf("%d frames, %d changed, %d fixed; %d wrong before", report.Frames, report.Changed, report.Fixed, was)
		})
	}
}

func TestMappingsThatAreNone(t *testing.T) {
	for kind, texts := range map[string][]string{
		"mac":  {"", "a=b", "02:00:00:00:00:01", "02:00:00:00:00:01=", "02:00:00:00:00:01=02:00:00:00:00:02=x"},
		"ip":   {"10.0.0.1=fd00::1", "10.0.0.0/24=10.0.0.0/25", "10.0.0.1/24=10.9.0.0/24", "10.0.0.0/33=10.0.0.0/33", "fe80::1%e=fe80::2", "host=10.0.0.1", "::ffff:1.2.3.4=::1"},
		"port": {"80", "80=65536", "http=80", "-1=5"},
		"vlan": {"4095=1", "none=5", "add=none", "5=add", "add", "5"},
	} {
		parse := map[string]func(string) (pcap.Mapping, error){"mac": pcap.MapMAC, "ip": pcap.MapIP, "port": pcap.MapPort, "vlan": pcap.MapVLAN}[kind]
		for _, text := range texts {
			if m, err := parse(text); err == nil {
				t.Errorf("%s %q is %v", kind, text, m)
			}
		}
	}
	if _, err := pcap.NewRewriter(pcap.FixChanged); !errors.Is(err, pcap.ErrMappings) {
		t.Error(err)
	}
	if _, err := pcap.NewRewriter(pcap.FixChanged, mapping(t, "port 1=2"), mapping(t, "port 1=3")); !errors.Is(err, pcap.ErrMappings) {
		t.Error(err)
	}
}

// Any bytes are rewritten, or refused.
func FuzzRewrite(f *testing.F) {
	f.Add(madeFile(f))
	b, err := os.ReadFile(filepath.Join(fixtureDir, "public-19-icmp-arp-dot1q.pcap"))
	ok(f, err)
	f.Add(b)
	m := []pcap.Mapping{mapping(f, "ip 0.0.0.0/1=128.0.0.0/1"), mapping(f, "ip ::/1=8000::/1"), mapping(f, "vlan add=1"), mapping(f, "vlan 123=none"), mapping(f, "port 80=81")}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := pcap.NewRewriter(pcap.FixAll, m...)
		ok(t, err)
		var out bytes.Buffer
		began := time.Now()
		if r.Copy(&out, bytes.NewReader(b), "in", pcap.SameFormat) != nil {
			return
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		again, err := pcap.NewReader(bytes.NewReader(out.Bytes()), "out")
		ok(t, err)
		if n := len(packets(t, again)); uint64(n) != r.Report().Frames {
			t.Errorf("%d frames in the output, %d in the report", n, r.Report().Frames)
		}
	})
}

// Variants of the classic format stay what they are, with what they have beyond it.
func TestRewrittenVariants(t *testing.T) {
	plain, err := os.ReadFile(filepath.Join(fixtureDir, "public-01-http-handshake-fin.pcap"))
	ok(t, err)
	le := binary.LittleEndian
	variant := func(magic uint32, minor uint16, more int, swap bool) []byte {
		out := bytes.Clone(plain[:24])
		le.PutUint32(out, magic)
		le.PutUint16(out[6:], minor)
		for i, p := range packets(t, read(t, plain)) {
			head := bytes.Clone(plain[p.Offset : p.Offset+16])
			if swap {
				head = slices.Concat(head[:8], head[12:16], head[8:12])
			}
			out = append(append(append(out, head...), bytes.Repeat([]byte{byte(i)}, more)...), p.Data...)
		}
		return out
	}
	for name, b := range map[string][]byte{
		"plain": plain, "Kuznetzov's": variant(0xa1b2cd34, 4, 8, false), "2.2": variant(0xa1b2c3d4, 2, 0, true), "2.3": variant(0xa1b2c3d4, 3, 0, true),
	} {
		for _, m := range []string{"mac 58:6d:8f:99:ec:a8=02:00:00:00:00:99", "vlan add=9"} {
			undo := map[string]string{"m": "mac 02:00:00:00:00:99=58:6d:8f:99:ec:a8", "v": "vlan 9=none"}[m[:1]]
			there, report := rewrite(t, b, pcap.FixChanged, pcap.SameFormat, m)
			back, _ := rewrite(t, there, pcap.FixChanged, pcap.SameFormat, undo)
			if report.Changed != 10 || !bytes.Equal(back, b) {
				t.Errorf("%s, %s: %d frames changed, and back the same: %v", name, m, report.Changed, bytes.Equal(back, b))
			}
			if n := len(packets(t, read(t, there))); n != 10 {
				t.Errorf("%s, %s: %d frames", name, m, n)
			}
		}
	}
}
