package replay_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// record is one packet of a file that a test writes.
type packetAt struct {
	sec, nsec uint32
	data      []byte
	orig      int // 0: len(data)
}

// classicFile is a nanosecond pcap file.
func classicFile(link uint32, packets ...packetAt) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b23c4d)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = le.AppendUint32(le.AppendUint32(b, 1<<18), link)
	for _, p := range packets {
		b = le.AppendUint32(le.AppendUint32(b, p.sec), p.nsec)
		b = le.AppendUint32(le.AppendUint32(b, uint32(len(p.data))), uint32(max(p.orig, len(p.data))))
		b = append(b, p.data...)
	}
	return b
}

// rewritten is an Ethernet capture whose packets went through f.
func relinked(t *testing.T, name string, link uint32, f func(eth []byte) []byte) []byte {
	t.Helper()
	c, err := replay.Load(captures + name)
	if err != nil {
		t.Fatal(err)
	}
	var packets []packetAt
	for _, fr := range c.Frames {
		if fr.IP == nil {
			continue // what ARP said, hosts find out again
		}
		packets = append(packets, packetAt{uint32(fr.Time.Unix()), uint32(fr.Time.Nanosecond()), f(fr.Data), 0})
	}
	return classicFile(link, packets...)
}

func readBytes(t *testing.T, b []byte) *replay.Capture {
	t.Helper()
	r, err := pcap.NewReader(bytes.NewReader(b), "input")
	if err != nil {
		t.Fatal(err)
	}
	c, err := replay.Read(r, "input")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// linkForms are what Ethernet frames become in captures of other link types.
var linkForms = map[string]struct {
	link uint32
	form func(eth []byte) []byte
}{
	"Ethernet with FCS": {1 | 1<<26 | 2<<28, func(b []byte) []byte {
		return binary.LittleEndian.AppendUint32(bytes.Clone(b), crc32.ChecksumIEEE(b))
	}},
	"802.1Q": {1, func(b []byte) []byte { return slices.Concat(b[:12], []byte{0x81, 0, 0, 7}, b[12:]) }},
	"QinQ":   {1, func(b []byte) []byte { return slices.Concat(b[:12], []byte{0x88, 0xa8, 0, 9, 0x81, 0, 0, 7}, b[12:]) }},
	"SLL":    {113, func(b []byte) []byte { return slices.Concat([]byte{0, 0, 0, 1, 0, 6}, b[6:12], []byte{0, 0}, b[12:]) }},
	"SLL with a VLAN tag": {113, func(b []byte) []byte {
		return slices.Concat([]byte{0, 0, 0, 1, 0, 6}, b[6:12], []byte{0, 0, 0x81, 0, 0, 7}, b[12:])
	}},
	"SLL without addresses": {113, func(b []byte) []byte { return slices.Concat([]byte{0, 4, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, b[12:]) }},
	"SLL2": {276, func(b []byte) []byte {
		return slices.Concat(b[12:14], []byte{0, 0, 0, 0, 0, 1, 0, 1, 0, 6}, b[6:12], []byte{0, 0}, b[14:])
	}},
	"null, little-endian": {0, func(b []byte) []byte { return append([]byte{family(b, 28), 0, 0, 0}, b[14:]...) }},
	"null, big-endian":    {0, func(b []byte) []byte { return append([]byte{0, 0, 0, family(b, 30)}, b[14:]...) }},
	"loop":                {108, func(b []byte) []byte { return append([]byte{0, 0, 0, family(b, 24)}, b[14:]...) }},
	"raw, 12":             {12, func(b []byte) []byte { return b[14:] }},
	"raw, 14":             {14, func(b []byte) []byte { return b[14:] }},
	"raw, 101":            {101, func(b []byte) []byte { return b[14:] }},
}

func family(eth []byte, six byte) byte {
	if eth[12] == 0x86 {
		return six
	}
	return 2
}

// TestEveryLinkTypeReplays: the same conversation replays from a capture of any link
// type as from an Ethernet one, and its frames are given Ethernet headers.
func TestEveryLinkTypeReplays(t *testing.T) {
	for _, c := range []struct{ name, live string }{
		{"public-01-http-handshake-fin.pcap", "10.1.1.1"}, {"07-ping-frag.a.pcapng", "10.77.0.2"}, {"13-http-ipv6.a.pcapng", "fd77::2"},
	} {
		original, err := replay.Load(captures + c.name)
		if err != nil {
			t.Fatal(err)
		}
		var packets [][]byte
		for _, f := range original.Frames {
			if f.IP != nil {
				packets = append(packets, f.Data[f.IP.Offset:])
			}
		}
		for name, form := range linkForms {
			t.Run(c.name+", "+name, func(t *testing.T) {
				a := replay.Analyse(readBytes(t, relinked(t, c.name, form.link, form.form)))
				addr := netip.MustParseAddr(c.live)
				if a.Endpoint(addr) == nil {
					t.Fatalf("%v is not in there: %+v", addr, a.Endpoints)
				}
				r, err := replay.Run(context.Background(), a, replay.Options{Live: []replay.Live{{Addr: addr}}})
				if err != nil || r.Verdict != replay.Same {
					t.Errorf("%v\n%s", err, text(t, r))
				}
				macs := map[netip.Addr]vswitch.MAC{}
				for i, f := range a.Capture.Frames {
					eth, ok := a.Ethernet(f)
					if !ok {
						t.Fatalf("frame %d has no Ethernet form", f.Number)
					}
					d := pcap.Decode(eth)
					if d.Problem != "" || d.IP == nil || !slices.Equal(d.VLANs, f.VLANs) || !bytes.Equal(eth[d.IP.Offset:], packets[i]) && form.link == 101 {
						t.Fatalf("frame %d: %+v", f.Number, d)
					}
					if d.Src.IsGroup() || d.Src == (vswitch.MAC{}) || d.Dst.IsGroup() != d.IP.Dst.IsMulticast() {
						t.Errorf("frame %d: %v > %v (%v > %v)", f.Number, d.Src, d.Dst, d.IP.Src, d.IP.Dst)
					}
					for addr, mac := range map[netip.Addr]vswitch.MAC{d.IP.Src: d.Src, d.IP.Dst: d.Dst} {
						if was, known := macs[addr]; known && was != mac {
							t.Errorf("frame %d: %v has %v and %v", f.Number, addr, was, mac)
						}
						macs[addr] = mac
					}
				}
			})
		}
	}
}

// udp is an Ethernet frame of a UDP datagram from 10.0.0.1 to 10.0.0.2.
func udp(payload string) []byte {
	segment := append([]byte{4, 0, 0, 7, 0, byte(8 + len(payload)), 0, 0}, payload...)
	f, err := pcap.BuildIP(vswitch.MAC{2, 2}, vswitch.MAC{2, 1}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), pcap.ProtoUDP, 64, segment)
	if err != nil {
		panic(err)
	}
	return f
}

// listOf is what List prints of a capture.
func listOf(t *testing.T, c *replay.Capture) string {
	t.Helper()
	var b strings.Builder
	if err := replay.Analyse(c).List(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func wants(t *testing.T, have string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(have, w) {
			t.Errorf("no %q in\n%s", w, have)
		}
	}
}

func TestFramesThatCannotBeUsedAreListed(t *testing.T) {
	good := udp("hello")
	short := packetAt{1, 0, good[:30], len(good)}
	pppoe := slices.Concat(good[:12], []byte("\x88\x64\x11\x00\x00\x01\x00\x23\x00\x21"), good[14:])
	bad := bytes.Clone(good)
	bad[14] = 0x41 // a header of four bytes
	frag := bytes.Clone(good)
	frag[20] = 0x20 // more fragments
	list := listOf(t, readBytes(t, classicFile(1, packetAt{data: good}, short, packetAt{data: pppoe}, short, packetAt{data: bad}, packetAt{data: frag}, packetAt{data: good[:5]})))
	wants(t, list, "2 frames (2, 4): captured too short: IPv4 header", "1 frame (5): damaged: IPv4 header", "1 frame (7): damaged: Ethernet header",
		"1 frame (3): not IP: EtherType 0x8864 (PPPoE session)", "1 frame (6): fragment of a datagram that is not whole")

	wants(t, listOf(t, readBytes(t, classicFile(9, packetAt{data: good}, packetAt{data: good}))), "2 frames (1, 2): link type 9 (PPP) is not supported")
	wants(t, listOf(t, readBytes(t, classicFile(0, packetAt{data: []byte("\x07\x00\x00\x00osi")}))), "1 frame (1): not IP: another address family")

	var many []packetAt
	for range 12 {
		many = append(many, packetAt{data: good[:3]})
	}
	wants(t, listOf(t, readBytes(t, classicFile(1, many...))), "12 frames (1, 2, 3, 4, 5, 6, 7, 8, …): damaged: Ethernet header")
}

func TestFrameCheckSequences(t *testing.T) {
	withFCS := func(b []byte) []byte { return binary.LittleEndian.AppendUint32(bytes.Clone(b), crc32.ChecksumIEEE(b)) }
	good, wrong := withFCS(udp("hello")), withFCS(udp("hallo"))
	wrong[len(wrong)-1] ^= 1
	const link = 1 | 1<<26 | 2<<28
	c := readBytes(t, classicFile(link, packetAt{data: good}, packetAt{data: wrong}, packetAt{data: good}))
	if len(c.Frames) != 2 || len(c.Frames[0].Data) != len(good)-4 || c.Frames[0].OrigLen != len(good)-4 {
		t.Errorf("%d frames, the first of %d bytes", len(c.Frames), len(c.Frames[0].Data))
	}
	wants(t, listOf(t, c), "1 frame (2): wrong frame check sequence")
	// Most are wrong: a program changed the frames and not these.
	if c = readBytes(t, classicFile(link, packetAt{data: wrong}, packetAt{data: wrong}, packetAt{data: good})); len(c.Frames) != 3 || len(c.Skipped) != 0 {
		t.Errorf("%d frames, skipped %v", len(c.Frames), c.Skipped)
	}
	// There is none, whatever the header says: the payload stays whole.
	if c = readBytes(t, classicFile(link, packetAt{data: udp("hello, world, this is more than sixty bytes of payload: really")})); c.Frames[0].Missing != 0 {
		t.Errorf("%+v", c.Frames[0].Decoded)
	}
}

func TestClocksThatAreSet(t *testing.T) {
	at := func(sec, ms uint32) packetAt { return packetAt{sec: sec, nsec: ms * 1e6, data: udp("x")} }
	const now, day = 1_700_000_000, 86400
	for _, c := range []struct {
		what  string
		stamp []packetAt
		at    []time.Duration // in ms
		line  string
	}{
		{"as it should be", []packetAt{at(now, 0), at(now, 5), at(now+1, 0)}, []time.Duration{0, 5, 1000}, ""},
		{"written late", []packetAt{at(now, 0), at(now, 9), at(now, 7), at(now, 10)}, []time.Duration{0, 9, 9, 10}, "1 frame stamped earlier than one before: 3"},
		{"set back by an hour", []packetAt{at(now, 0), at(now, 9), at(now-3600, 9), at(now-3600, 19)}, []time.Duration{0, 9, 9, 19}, "1 frame stamped earlier than one before: 3"},
		{"set from 1970", []packetAt{at(5, 0), at(6, 0), at(now, 0), at(now, 7), at(now, 8)}, []time.Duration{0, 1000, 1000, 1007, 1008}, "1 frame stamped more than 30 days after the one before: 3"},
		{"one wrong stamp", []packetAt{at(now, 0), at(now+90*day, 0), at(now, 8), at(now, 9)}, []time.Duration{0, 0, 0, 1}, "1 frame stamped earlier than one before: 3"},
	} {
		capture := readBytes(t, classicFile(1, c.stamp...))
		var got []time.Duration
		for _, f := range capture.Frames {
			got = append(got, f.At/time.Millisecond)
		}
		if !slices.Equal(got, c.at) {
			t.Errorf("%s: frames at %v ms, want %v", c.what, got, c.at)
		}
		list := listOf(t, capture)
		if wants(t, list, c.line); c.line == "" && strings.Contains(list, "stamped") {
			t.Errorf("%s:\n%s", c.what, list)
		}
		r, err := replay.Run(context.Background(), replay.Analyse(capture), replay.Options{Live: []replay.Live{{Addr: netip.MustParseAddr("10.0.0.1")}}})
		if err != nil || r.Verdict != replay.Same {
			t.Errorf("%s: %v %s", c.what, err, text(t, r))
		} else {
			wants(t, text(t, r), c.line)
		}
	}
}

// TestAReportTellsWhatWasNotUsed, in a line or two.
func TestAReportTellsWhatWasNotUsed(t *testing.T) {
	good := udp("hello")
	c := readBytes(t, classicFile(1, packetAt{data: good}, packetAt{data: good[:5]}, packetAt{2, 0, good, 0}, packetAt{1, 0, good[:30], len(good)}, packetAt{data: good[:13]}, packetAt{1, 0, good, 0}))
	r, err := replay.Run(context.Background(), replay.Analyse(c), replay.Options{Live: []replay.Live{{Addr: netip.MustParseAddr("10.0.0.1")}}})
	if err != nil {
		t.Fatal(err)
	}
	wants(t, text(t, r), "not usable: 1 frame (2): damaged: Ethernet header: 5 bytes, want 14", "not usable: 2 frames for 2 more reasons, which vnreplay replay without --live lists",
		"the capture's clock: 1 frame stamped earlier than one before: 6")
}

// TestLoadIsBounded: neither frames without bytes nor frames that are skipped fill
// the memory.
func TestLoadIsBounded(t *testing.T) {
	r, err := pcap.NewReader(bytes.NewReader(classicFile(1, packetAt{data: udp("x")}, packetAt{data: udp("x")}, packetAt{data: udp("x")})), "input")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replay.ReadUpTo(r, "input", 2, 1<<30); !errors.Is(err, replay.ErrTooLarge) || !strings.Contains(err.Error(), "input: frame 3: capture too large to replay: more than 2 frames; cut it into parts") {
		t.Errorf("got %v", err)
	}

	var z bytes.Buffer
	w, err := zstd.NewWriter(&z, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	header, record := classicFile(9), classicFile(9, packetAt{data: make([]byte, 1000)})[24:]
	w.Write(header)
	many := bytes.Repeat(record, 1000)
	for range 200 {
		w.Write(many)
	}
	w.Close()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := readBytes(t, z.Bytes())
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := int64(after.HeapAlloc) - int64(before.HeapAlloc); n > 16<<20 || c.Skipped[0].Frames != 200_000 {
		t.Errorf("%d MiB for %v", n>>20, c.Skipped)
	}
	runtime.KeepAlive(c)
}

// TestPrefixesAndFlips: a small capture cut or changed anywhere is listed, or
// refused, soon.
func TestPrefixesAndFlips(t *testing.T) {
	whole, err := os.ReadFile(captures + "public-23-sll2.pcap")
	if err != nil {
		t.Fatal(err)
	}
	try := func(b []byte) {
		a := analyse(b)
		if a == nil {
			return
		}
		if err := a.List(io.Discard); err != nil {
			t.Fatal(err)
		}
		used := len(a.Capture.Frames)
		for _, s := range a.Capture.Skipped {
			used += s.Frames
		}
		if r, err := pcap.NewReader(bytes.NewReader(b), "input"); err == nil {
			n := 0
			for _, err := range r.Packets() {
				if err == nil {
					n++
				}
			}
			if n != used {
				t.Fatalf("%d frames, of which %d are accounted for", n, used)
			}
		}
		for _, f := range a.Capture.Frames {
			if eth, ok := a.Ethernet(f); ok && len(eth) < 14 {
				t.Fatal(fmt.Sprint(f.Number, " is no Ethernet frame"))
			}
		}
	}
	for at := range whole {
		try(whole[:at])
		for _, flip := range []byte{0xff, 1, 0x80} {
			b := bytes.Clone(whole)
			b[at] ^= flip
			try(b)
		}
	}
}

// TestSeeds keeps, with -update, a small capture of every link type as seeds of
// FuzzAnalyse.
func TestSeeds(t *testing.T) {
	for name, form := range linkForms {
		dir := filepath.Join("testdata", "fuzz", "FuzzAnalyse")
		path := filepath.Join(dir, strings.NewReplacer(" ", "-", ",", "").Replace(name))
		b := classicFile(form.link, packetAt{data: form.form(udp("ping"))}, packetAt{sec: 1, data: form.form(udp("pong"))}, packetAt{data: form.form(udp("?"))[:20], orig: 60})
		if *update {
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(path, fmt.Appendf(nil, "go test fuzz v1\n[]byte(%q)\n", b), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%v (write it with -update)", err)
		}
	}
}
