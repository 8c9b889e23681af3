package pcap_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// sample is a file built by hand.
type sample struct {
	name string
	b    []byte
	// theirs is what tshark makes of it: "" the same as we, else why it does not.
	theirs string
}

// Frames of the samples.
var (
	hwA, hwB = vswitch.MAC{2, 0, 0, 0, 0, 1}, vswitch.MAC{2, 0, 0, 0, 0, 2}
	udp4     = udpFrame("10.0.0.1", "10.0.0.2")
	udp6     = udpFrame("fd00::1", "fd00::2")
)

// udpFrame is an Ethernet frame with a UDP datagram of four bytes.
func udpFrame(src, dst string) []byte {
	f, err := pcap.BuildIP(hwB, hwA, netip.MustParseAddr(src), netip.MustParseAddr(dst), pcap.ProtoUDP, 64, []byte("\x04\x00\x00\x07\x00\x0c\x00\x00ping"))
	if err != nil {
		panic(err)
	}
	return f
}

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

// old builds a classic file of any variant.
type old struct {
	binary.AppendByteOrder
	magic        uint32
	major, minor uint16
	network      uint32
	tail, more   int  // bytes behind the file's and each record's header
	swapped      bool // the original length comes first
}

// file writes records of frames, of which cut bytes were not captured.
func (o old) file(cut int, frames ...[]byte) []byte {
	if o.AppendByteOrder == nil {
		o.AppendByteOrder = binary.LittleEndian
	}
	if o.major == 0 {
		o.major, o.minor = 2, 4
	}
	b := o.AppendUint32(nil, o.magic)
	b = o.AppendUint16(o.AppendUint16(b, o.major), o.minor)
	b = o.AppendUint32(o.AppendUint64(b, 0), 65535)
	b = append(o.AppendUint32(b, o.network), make([]byte, o.tail)...)
	for i, f := range frames {
		lengths := []int{len(f) - cut, len(f)}
		if o.swapped {
			slices.Reverse(lengths)
		}
		b = o.AppendUint32(o.AppendUint32(b, uint32(1_700_000_000+i)), 123456)
		b = o.AppendUint32(o.AppendUint32(b, uint32(lengths[0])), uint32(lengths[1]))
		b = append(b, make([]byte, o.more)...)
		b = append(b, f[:len(f)-cut]...)
	}
	return b
}

func zstded(t tb, b []byte, o ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithEncoderConcurrency(1)}, o...)...)
	ok(t, err)
	defer w.Close()
	return w.EncodeAll(b, nil)
}

// withFCS appends the frame check sequence to a frame.
func withFCS(f []byte) []byte {
	return binary.LittleEndian.AppendUint32(bytes.Clone(f), crc32.ChecksumIEEE(f))
}

func classicSamples(t tb) []sample {
	be := binary.BigEndian
	bad := withFCS(udp4)
	bad[len(bad)-1] ^= 1
	var all []sample
	add := func(name string, o old, cut int, frames ...[]byte) {
		all = append(all, sample{name: name, b: o.file(cut, frames...)})
	}
	add("microseconds, little-endian", old{magic: 0xa1b2c3d4, network: 1}, 0, udp4, udp6)
	add("nanoseconds, big-endian", old{magic: 0xa1b23c4d, network: 1, AppendByteOrder: be}, 0, udp4, udp6)
	add("captured short", old{magic: 0xa1b2c3d4, network: 1}, 4, udp4, udp6)
	add("no frames", old{magic: 0xa1b2c3d4, network: 1}, 0)
	add("version 2.2, lengths the other way round", old{magic: 0xa1b2c3d4, minor: 2, major: 2, network: 1, swapped: true}, 4, udp4)
	add("version 2.3, as written", old{magic: 0xa1b2c3d4, minor: 3, major: 2, network: 1}, 4, udp4)
	add("version 2.3, lengths the other way round", old{magic: 0xa1b2c3d4, minor: 3, major: 2, network: 1, swapped: true}, 4, udp4)
	add("DG/UX, version 543.0", old{magic: 0xa1b2c3d4, major: 543, network: 1, swapped: true}, 4, udp4)
	add("AIX", old{magic: 0xa1b2c3d4, major: 2, minor: 2, network: 6, swapped: true, AppendByteOrder: be}, 4, udp4, udp6)
	add("AIX loopback", old{magic: 0xa1b2c3d4, major: 2, minor: 2, network: 24, swapped: true, AppendByteOrder: be}, 0, cat([]byte{0, 0, 0, 2}, udp4[14:]))
	add("Kuznetzov's", old{magic: 0xa1b2cd34, network: 1, more: 8}, 0, udp4, udp6, udp4)
	add("Kuznetzov's, one frame, big-endian", old{magic: 0xa1b2cd34, network: 1, more: 8, AppendByteOrder: be}, 0, udp4)
	add("SuSE 6.3", old{magic: 0xa1b2cd34, network: 1, more: 12}, 0, udp4, udp6, udp4)
	add("Red Hat 6.1", old{magic: 0xa1b2c3d4, network: 1, more: 8}, 0, udp4, udp6, udp4)
	add("Nokia", old{magic: 0xa1b2c3d4, network: 1, more: 4}, 0, udp4, udp6, udp4)
	add("Ixia lcap, hardware", old{magic: 0x1c0001ac, network: 1, tail: 4}, 0, udp4, udp6)
	add("Ixia lcap, software, big-endian", old{magic: 0x1c0001ab, network: 1, tail: 4, AppendByteOrder: be}, 0, udp4, udp6)
	add("FCS of four bytes", old{magic: 0xa1b2c3d4, network: 1 | 1<<26 | 2<<28}, 0, withFCS(udp4), bad)
	add("FCS, half of it captured", old{magic: 0xa1b2c3d4, network: 1 | 1<<26 | 2<<28}, 2, withFCS(udp4))
	add("FCS length without its bit", old{magic: 0xa1b2c3d4, network: 1 | 2<<28}, 0, udp4)
	add("FCS longer than the frame", old{magic: 0xa1b2c3d4, network: 1 | 1<<26 | 15<<28}, 0, udp4[:20])
	add("reserved bits of the link type", old{magic: 0xa1b2c3d4, network: 1 | 1<<20}, 0, udp4)
	add("Mesquita's magic", old{magic: 0xa1b234cd, network: 1}, 0, udp4)
	add("Navtel's magic", old{magic: 0xa12b3c4d, network: 1}, 0, udp4)
	base := all[0].b
	all = append(all,
		sample{name: "gzip", b: zipped(t, base)},
		sample{name: "gzip in two members", b: cat(zipped(t, base[:50]), zipped(t, base[50:]))},
		sample{name: "gzip and something behind", b: cat(zipped(t, base), []byte("behind")), theirs: "ignores what is behind"},
		sample{name: "zstd", b: zstded(t, base)},
		sample{name: "zstd in two frames, behind a skippable one", b: cat([]byte("\x5e\x2a\x4d\x18\x03\x00\x00\x00abc"), zstded(t, base[:50]), zstded(t, base[50:])), theirs: "takes no skippable frame for zstd"},
		sample{name: "zstd, a window of 32 MiB", b: zstdHead(base, 15<<3)},
		sample{name: "zstd, a window of 64 MiB", b: zstdHead(base, 16<<3), theirs: "has the memory"},
		sample{name: "gzip of zstd", b: zipped(t, zstded(t, base)), theirs: "says it does not understand it"},
	)
	return all
}

// zstdHead is a zstd frame with a window descriptor, and b as one raw block.
func zstdHead(b []byte, window byte) []byte {
	size := uint32(len(b))<<3 | 1
	return cat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, window, byte(size), byte(size >> 8), byte(size >> 16)}, b)
}

func linkSamples() []sample {
	le, be := func(family byte) []byte { return []byte{family, 0, 0, 0} }, func(family byte) []byte { return []byte{0, 0, 0, family} }
	ip4, ip6 := udp4[14:], udp6[14:]
	sll := func(hardware, addrLen byte, hw byte, proto string, rest []byte) []byte {
		return cat([]byte{0, 0, hw, hardware, 0, addrLen, 2, 0, 0, 0, 0, 1, 0, 0}, []byte(proto), rest)
	}
	sll2 := func(hardware, addrLen byte, hw byte, proto string, rest []byte) []byte {
		return cat([]byte(proto), []byte{0, 0, 0, 0, 0, 3, hw, hardware, 4, addrLen, 2, 0, 0, 0, 0, 1, 0, 0}, rest)
	}
	tagged := func(tags string) []byte { return cat(udp4[:12], []byte(tags), udp4[12:]) }
	arp := cat(vswitch.Broadcast[:], hwA[:], []byte("\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01"), hwA[:], []byte{10, 0, 0, 1}, make([]byte, 6), []byte{10, 0, 0, 2})
	pppoe := cat(udp4[:12], []byte("\x88\x64\x11\x00\x00\x01\x00\x22\x00\x21"), ip4)
	var all []sample
	for _, l := range []struct {
		link   uint32
		name   string
		frames [][]byte
	}{
		{1, "Ethernet", [][]byte{udp4, udp6, arp, tagged("\x81\x00\x60\x05"), tagged("\x88\xa8\x00\x64\x81\x00\x00\x05"), tagged("\x81\x00\x00\x64\x81\x00\x00\x05"), pppoe,
			cat(udp4[:12], []byte("\x00\x03\x42\x42\x03"), make([]byte, 43)), udp4[:9], udp4[:30]}},
		{113, "Linux cooked", [][]byte{sll(1, 6, 0, "\x08\x00", ip4), sll(1, 6, 0, "\x86\xdd", ip6), sll(4, 0, 3, "\x08\x00", ip4), sll(1, 6, 0, "\x08\x06", arp[14:]),
			sll(1, 6, 0, "\x81\x00", cat([]byte("\x00\x05\x08\x00"), ip4)), sll(0x38, 0, 3, "\x00\x00", make([]byte, 20)), sll(1, 6, 0, "\x00\x04", []byte("\x42\x42\x03...")), udp4[:15]}},
		{276, "Linux cooked v2", [][]byte{sll2(1, 6, 0, "\x08\x00", ip4), sll2(1, 6, 0, "\x86\xdd", ip6), sll2(4, 0, 3, "\x08\x00", ip4), sll2(1, 6, 0, "\x08\x06", arp[14:]),
			sll2(1, 6, 0, "\x81\x00", cat([]byte("\x00\x05\x08\x00"), ip4)), sll2(0x38, 0, 3, "\x00\x00", make([]byte, 20)), udp4[:19]}},
		{0, "BSD loopback", [][]byte{cat(le(2), ip4), cat(be(2), ip4), cat(le(24), ip6), cat(be(24), ip6), cat(le(28), ip6), cat(be(28), ip6), cat(le(30), ip6), cat(be(30), ip6),
			cat(le(7), []byte("osi")), {2, 0, 0}}},
		{108, "OpenBSD loopback", [][]byte{cat(be(2), ip4), cat(be(24), ip6)}},
		{12, "raw IP", [][]byte{ip4, ip6}},
		{14, "raw IP of OpenBSD", [][]byte{ip4, ip6}},
		{101, "raw IP", [][]byte{ip4, ip6, {}, {0x50}}},
		{228, "raw IPv4", [][]byte{ip4}},
		{229, "raw IPv6", [][]byte{ip6}},
		{9, "PPP", [][]byte{cat([]byte("\xff\x03\x00\x21"), ip4)}},
		{50, "PPP in HDLC framing", [][]byte{cat([]byte("\xff\x03\x00\x21"), ip4)}},
		{51, "PPPoE", [][]byte{pppoe[14:]}},
		{105, "IEEE 802.11", [][]byte{make([]byte, 24)}},
		{147, "private", [][]byte{{1, 2, 3}}},
		{65000, "unknown", [][]byte{{1, 2, 3}}},
	} {
		all = append(all, sample{name: fmt.Sprintf("link type %d: %s", l.link, l.name), b: old{magic: 0xa1b2c3d4, network: l.link}.file(0, l.frames...)})
	}
	const unopened = "opens no file of a link type that it does not know"
	all[len(all)-1].theirs, all[len(all)-2].theirs = unopened, unopened
	return append(all,
		sample{"BSD loopback, IPv6 by Linux's number", old{magic: 0xa1b2c3d4, network: 0}.file(0, cat(le(10), ip6)), "does not know that number"},
		sample{"OpenBSD loopback in the other byte order", old{magic: 0xa1b2c3d4, network: 108}.file(0, cat(le(2), ip4)), "does not take it for IP"},
	)
}

func ngSamples() []sample {
	var all []sample
	for _, order := range []string{"little-endian", "big-endian"} {
		new := func() *ng { return newNg(orders[order]) }
		add := func(name, theirs string, n *ng) { all = append(all, sample{name + ", " + order, n.Bytes(), theirs}) }
		pad := func(b []byte) []byte { return append(bytes.Clone(b), make([]byte, -len(b)&3)...) }
		n := new()
		obsolete := func(iface, drops uint16, units uint64, data []byte, orig int, options ...[]byte) []byte {
			return n.words(n.AppendUint16(n.AppendUint16(nil, iface), drops), int(units>>32), int(units&0xffffffff), len(data), orig, pad(data), slices.Concat(options...))
		}
		snap := func(link, snap int) []byte { return n.words(n.AppendUint16(nil, uint16(link)), "\x00\x00", snap) }

		add("enhanced, simple and obsolete packet blocks", "", new().section().block(1, snap(1, 40)).iface(1).
			packet(1, 1_700_000_000_000_000, string(udp4), n.option(2, n.words(2))).
			block(3, n.words(len(udp4), pad(udp4[:40]))). // longer than the snap length of interface 0
			block(3, n.words(30, pad(udp4[:30]))).
			block(2, obsolete(1, 7, 1_700_000_000_000_001, udp4, len(udp4), n.option(2, n.words(1)))).
			block(2, obsolete(0, 0xffff, 1_700_000_000_000_002, udp4[:40], len(udp4))))
		add("simple packets without a snap length", "", new().section().iface(1).block(3, n.words(len(udp4), pad(udp4))).block(3, n.words(len(udp6), pad(udp6))))
		add("interfaces of every kind", "", new().section().
			iface(1, n.option(2, []byte("eth0")), n.option(9, []byte{9})).
			iface(113, n.option(9, []byte{0})).
			iface(101, n.option(9, []byte{0x80 | 10}), n.option(14, n.words(uint64(1_000_000_000)))).
			iface(276, n.option(9, []byte{3})).
			iface(0, n.option(14, n.words(^uint64(99)))).
			packet(0, 1_700_000_000_000_000_001, string(udp4)).
			packet(1, 1_700_000_001, string(cat([]byte("\x00\x00\x00\x01\x00\x06\x02\x00\x00\x00\x00\x01\x00\x00\x08\x00"), udp4[14:]))).
			packet(2, 700_000_002<<10+512, string(udp6[14:])).
			packet(3, 1_700_000_003_250, string(cat([]byte("\x08\x00\x00\x00\x00\x00\x00\x03\x00\x01\x00\x06\x02\x00\x00\x00\x00\x01\x00\x00"), udp4[14:]))).
			packet(4, 1_700_000_104_000_000, string(cat([]byte{2, 0, 0, 0}, udp4[14:]))))
		add("sections, the second in the other byte order", "", func() *ng {
			n := new().section(n.option(4, []byte("one"))).iface(1).packet(0, 1_700_000_000_000_000, string(udp4))
			for name, o := range orders {
				if name != order {
					n.AppendByteOrder = o
				}
			}
			return n.section().iface(101, n.option(9, []byte{9})).packet(0, 1_700_000_001_000_000_000, string(udp4[14:]))
		}())
		add("blocks that are no packets", "", new().section().iface(1).
			block(4, n.words("\x00\x00\x00\x00")).
			block(10, n.words(0x544c534b, 4, "abcd")).
			block(0xbad, n.words(32473, "mine")).
			packet(0, 1_700_000_000_000_000, string(udp4)).
			block(0x40000bad, n.words(32473, "mine")).
			block(9, n.words(pad([]byte("__REALTIME_TIMESTAMP=1700000000000000\nMESSAGE=hello\n")))).
			block(0x7777, n.words("what")).block(0x7777, nil).
			packet(0, 1_700_000_001_000_000, string(udp4)))
		add("FCS by interface and by packet", "", new().section().iface(1, n.option(13, []byte{4})).iface(1).iface(1, n.option(13, []byte{32})).
			packet(0, 1_700_000_000_000_000, string(withFCS(udp4))).
			packet(1, 1_700_000_000_000_000, string(withFCS(udp4)), n.option(2, n.words(4<<5))).
			packet(1, 1_700_000_000_000_000, string(udp4)).
			packet(0, 1_700_000_000_000_000, string(cat(udp4, []byte("\x00\x00"))), n.option(2, n.words(2<<5))).
			packet(2, 1_700_000_000_000_000, string(withFCS(udp4))).
			packet(0, 1_700_000_000_000_000, string(cat(udp4, []byte("!!!!"))), n.option(2, n.words(1|1<<24|1<<25))))
	}
	return all
}

// TestFormats holds what is made of each format, variant and link type against a
// golden page, and what tshark makes of it.
func TestFormats(t *testing.T) {
	dir := t.TempDir()
	_, err := exec.LookPath("tshark")
	tools := err == nil
	var page strings.Builder
	for _, group := range []struct {
		what    string
		samples []sample
	}{{"Classic pcap", classicSamples(t)}, {"Link types", linkSamples()}, {"pcapng", ngSamples()}} {
		fmt.Fprintf(&page, "# %s\n", group.what)
		for i, s := range group.samples {
			path := filepath.Join(dir, fmt.Sprintf("%.1s%02d", group.what, i))
			ok(t, os.WriteFile(path, s.b, 0o600))
			text, rows := reading(s.b)
			fmt.Fprintf(&page, "\n%s\n%s", s.name, text)
			if s.theirs != "" {
				fmt.Fprintf(&page, "  (tshark %s)\n", s.theirs)
				continue
			}
			if !tools {
				continue
			}
			theirs, refused := tsharkRows(path)
			if refused != "" {
				theirs = nil
			}
			for i := range min(len(rows), len(theirs)) {
				if strings.HasSuffix(rows[i], "|") { // what is no IP to us may be to tshark
					theirs[i] = theirs[i][:strings.LastIndex(theirs[i], "|")+1]
				}
			}
			if !slices.Equal(rows, theirs) {
				t.Errorf("%s: tshark has (%s)\n%s\nwe have\n%s", s.name, refused, strings.Join(theirs, "\n"), strings.Join(rows, "\n"))
			}
		}
		page.WriteString("\n")
	}
	golden(t, "formats.golden", page.String())
	if !tools {
		runTool(t, "tshark") // skips, or fails
	}
}

// TestSeeds keeps the samples, with -update, as seeds of FuzzReader.
func TestSeeds(t *testing.T) {
	for _, s := range slices.Concat(classicSamples(t), linkSamples(), ngSamples()) {
		name := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
				return r
			}
			return '-'
		}, s.name)
		path := filepath.Join("testdata", "fuzz", "FuzzReader", name)
		seed := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", s.b)
		if *updateDissect {
			ok(t, os.MkdirAll(filepath.Dir(path), 0o755))
			ok(t, os.WriteFile(path, []byte(seed), 0o644))
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%v (write it with -update)", err)
		}
	}
}

// reading is what is made of a file, as lines of a page and as rows to compare with
// tshark's.
func reading(b []byte) (text string, rows []string) {
	var s strings.Builder
	r, err := pcap.NewReader(bytes.NewReader(b), "FILE")
	if err != nil {
		return "  " + err.Error() + "\n", nil
	}
	fmt.Fprintf(&s, "  %s\n", r.Format())
	var show pcap.Show
	for p, err := range r.Packets() {
		if err != nil {
			fmt.Fprintf(&s, "  %v\n", err)
			break
		}
		ifc := r.Interface(p.Interface)
		fmt.Fprintf(&s, "  %s\n", show.Line(p, ifc))
		src := ""
		if data, _ := p.Frame(); pcap.DecodeLink(p.LinkType, data).IP != nil {
			src = pcap.DecodeLink(p.LinkType, data).IP.Src.String()
		}
		rows = append(rows, fmt.Sprintf("%d|%s|%d|%d|%s", p.Number, epoch(p.Time), len(p.Data), p.OrigLen, src))
	}
	for _, o := range r.OtherBlocks() {
		fmt.Fprintf(&s, "  %v, the first at byte %d\n", o, o.First)
	}
	return s.String(), rows
}

// tsharkRows are the packets that tshark sees in a file, and why it does not see more.
func tsharkRows(path string) (rows []string, complaint string) {
	cmd := exec.Command("tshark", "-r", path, "-T", "fields", "-E", "separator=|", "-e", "frame.number", "-e", "frame.time_epoch", "-e", "frame.cap_len", "-e", "frame.len",
		"-e", "ip.src", "-e", "ipv6.src", "-e", "frame.cb_pen", "-e", "frame.protocols")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		complaint = strings.TrimSpace(errs.String())
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "|")
		if f[6] != "" || strings.Contains(f[7], "systemd_journal") {
			continue // a block that has a number and is no packet
		}
		rows = append(rows, strings.Join(f[:4], "|")+"|"+f[4]+f[5])
	}
	return rows, complaint
}

// TestEditcapsFormats: each format that editcap writes is read as tshark reads it, or
// refused by a name and with what converts it.
func TestEditcapsFormats(t *testing.T) {
	dir := t.TempDir()
	capture := captures + "public-01-http-handshake-fin.pcap"
	r, err := pcap.Open(capture)
	ok(t, err)
	defer r.Close()
	want := len(packets(t, r))
	cmd := exec.Command("editcap", "-F")
	if cmd.Err != nil {
		runTool(t, "editcap") // skips, or fails
	}
	list, _ := cmd.CombinedOutput() // it says so as an error
	read, refused := 0, 0
	for line := range strings.Lines(string(list)) {
		format, _, isOne := strings.Cut(strings.TrimSpace(line), " - ")
		path := filepath.Join(dir, format)
		if !isOne || exec.Command("editcap", "-F", format, capture, path).Run() != nil {
			continue // it does not write Ethernet in that
		}
		r, err := pcap.Open(path)
		if err != nil {
			if refused++; !strings.Contains(err.Error(), "editcap -F pcapng FILE NEW.pcapng") {
				t.Errorf("%s: %v", format, err)
			}
			continue
		}
		read++
		if n := len(packets(t, r)); n != want {
			t.Errorf("%s: %s: %d packets, want %d", format, r.Format(), n, want)
		}
		ok(t, r.Close())
	}
	if read < 7 || refused < 10 {
		t.Errorf("only %d formats read and %d refused:\n%s", read, refused, list)
	}
}
