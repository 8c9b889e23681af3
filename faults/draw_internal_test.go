package faults

import (
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The vectors of the SipHash paper's reference code, for messages of whole words:
// key 00 01 .. 0f, message 00 01 02 ..
func TestSipHashVectors(t *testing.T) {
	key := sipKey{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	for _, c := range []struct {
		words []uint64
		want  uint64
	}{
		{nil, 0x726fdb47dd0e0e31},
		{[]uint64{0x0706050403020100}, 0x93f5f5799a932462},
		{[]uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908}, 0x3f2acc7f57c29bdb},
	} {
		s := key.start()
		for _, w := range c.words {
			s = s.word(w)
		}
		if got := s.sum(uint64(len(c.words))); got != c.want {
			t.Errorf("%d words: %016x, want %016x", len(c.words), got, c.want)
		}
	}
}

// Draws must never change by accident: recordings name a seed, not the draws.
func TestDrawsAreWhatTheyWere(t *testing.T) {
	key := newPathKey(Keys{Seed: 7, Switch: "lan", Occurrence: 1}, "text drop 2%", "client", "server")
	f := flow{0x0a000001 << 32, 0, 0x0a000002 << 32, 0, kindIPv4<<56 | protoTCP<<48 | 49152<<16 | 80}
	d := draw{key: key.draw, flow: key.flow.hash(f), index: 1}
	for _, c := range []struct {
		what      string
		got, want uint64
	}{
		{"F", d.flow, 0xeefe2519a343d590},
		{"word 0", d.word(0), 0xf5835e3c4e8d7caf},
		{"word 1", d.word(1), 0x31c4e04f758ca2f6},
	} {
		if c.got != c.want {
			t.Errorf("%s: %#016x, want %#016x", c.what, c.got, c.want)
		}
	}
}

// Every single part of a draw's key changes the draw.
func TestDrawDependsOnAllOfItsKey(t *testing.T) {
	word := func(k Keys, rule, from, to string, f flow, index, j uint64) uint64 {
		key := newPathKey(k, rule, from, to)
		d := draw{key: key.draw, flow: key.flow.hash(f), index: index}
		return d.word(j)
	}
	base := Keys{Seed: 1, Switch: "lan", Occurrence: 1}
	f := flow{1, 2, 3, 4, 5}
	seen := map[uint64]int{}
	for i, w := range []uint64{
		word(base, "r", "a", "b", f, 1, 0),
		word(Keys{2, "lan", 1}, "r", "a", "b", f, 1, 0),
		word(Keys{1, "wan", 1}, "r", "a", "b", f, 1, 0),
		word(Keys{1, "lan", 2}, "r", "a", "b", f, 1, 0),
		word(base, "s", "a", "b", f, 1, 0),
		word(base, "r", "b", "b", f, 1, 0),
		word(base, "r", "a", "c", f, 1, 0),
		word(base, "r", "ab", "", f, 1, 0),
		word(base, "ra", "", "b", f, 1, 0),
		word(base, "r", "a", "b", flow{0, 2, 3, 4, 5}, 1, 0),
		word(base, "r", "a", "b", flow{1, 2, 3, 4, 0}, 1, 0),
		word(base, "r", "a", "b", f, 2, 0),
		word(base, "r", "a", "b", f, 1, 1),
	} {
		if before, twice := seen[w]; twice {
			t.Errorf("draws %d and %d are equal", before, i)
		}
		seen[w] = i
	}
}

func TestThresholdIsExact(t *testing.T) {
	if got := (ratio{0, 1}).threshold(); got != 0 {
		t.Errorf("0%%: %d", got)
	}
	if got := (ratio{1, 2}).threshold(); got != 1<<63 {
		t.Errorf("1/2: %d", got)
	}
	if !(probability{ratio: ratio{1, 1}, below: ratio{1, 1}.threshold()}).hits(&subject{}) {
		t.Errorf("100%% did not hit")
	}
	rapid.Check(t, func(t *rapid.T) {
		den := rapid.Uint64Range(1, maxNumber).Draw(t, "den")
		r := lowest(rapid.Uint64Range(0, den-1).Draw(t, "num"), den)
		want := new(big.Int).Lsh(new(big.Int).SetUint64(r.num), 64)
		want.Quo(want, new(big.Int).SetUint64(r.den))
		if got := r.threshold(); got != want.Uint64() {
			t.Fatalf("%v: %d, want %d", r, got, want)
		}
	})
}

// packet returns the bytes written in hexadecimal, white space aside.
func packet(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFlowOf(t *testing.T) {
	const (
		macs   = "020000000002 020000000001 "
		v4     = "45000030 12340000 40060000 0a000001 0a000002 " // TCP
		v6     = "60000000 0008 00 40 20010db8000000000000000000000001 20010db8000000000000000000000002 "
		tcp    = "c000 0050 00000000 00000000"
		mac1   = 0x020000000001 << 16
		mac2   = 0x020000000002 << 16
		ip1    = 0x0a000001 << 32
		ip2    = 0x0a000002 << 32
		v6net  = 0x20010db800000000
		client = 0xc000<<16 | 80
	)
	type f = flow
	eth := func(etherType uint64) f { return f{mac1, 0, mac2, 0, etherType << 32} }
	ipv4 := func(proto, ports uint64) f { return f{ip1, 0, ip2, 0, kindIPv4<<56 | proto<<48 | ports} }
	ipv6 := func(proto, ports uint64) f { return f{v6net, 1, v6net, 2, kindIPv6<<56 | proto<<48 | ports} }
	for _, c := range []struct {
		what, bytes string
		want        flow
	}{
		{"runt of 14 bytes", macs + "0800", eth(0x0800)},
		{"ARP", macs + "0806 0001", eth(0x0806)},
		{"802.3 length", macs + "0026 4242 03", eth(0)},
		{"TCP", macs + "0800" + v4 + tcp, ipv4(protoTCP, client)},
		{"TCP in a VLAN", macs + "8100 0005 0800" + v4 + tcp, ipv4(protoTCP, client)},
		{"TCP in QinQ", macs + "88a8 0005 8100 0006 0800" + v4 + tcp, ipv4(protoTCP, client)},
		{"VLAN tag cut", macs + "8100 00", f{mac1, 0, mac2, 0, 0}},
		{"IPv4 cut", macs + "0800" + v4[:len(v4)-3], eth(0x0800)},
		{"IPv4 of version 5", macs + "0800 55" + v4[2:] + tcp, eth(0x0800)},
		{"IPv4 header of 16 bytes", macs + "0800 44" + v4[2:] + tcp, ipv4(protoTCP, 0)},
		{"IPv4 header longer than the frame", macs + "0800 4f" + v4[2:] + tcp, ipv4(protoTCP, 0)},
		{"IPv4 options", macs + "0800 46" + v4[2:] + "01010101" + tcp, ipv4(protoTCP, client)},
		{"ports cut", macs + "0800" + v4 + "c00000", ipv4(protoTCP, 0)},
		{"first fragment", macs + "0800 45000030 12342000" + v4[18:] + tcp, ipv4(protoTCP, client)},
		{"later fragment", macs + "0800 45000030 12342001" + v4[18:] + tcp, ipv4(protoTCP, 0)},
		{"UDP", macs + "0800 45000030 12340000 40110000" + v4[27:] + tcp, ipv4(protoUDP, client)},
		{"GRE", macs + "0800 45000030 12340000 402f0000" + v4[27:] + tcp, ipv4(47, 0)},
		{"echo request", macs + "0800 45000030 12340000 40010000" + v4[27:] + "0800 ffff 1234 0001", ipv4(protoICMP, 0x1234<<16)},
		{"unreachable", macs + "0800 45000030 12340000 40010000" + v4[27:] + "0300 ffff 1234 0001", ipv4(protoICMP, 0)},
		{"IPv6 TCP", macs + "86dd 60000000 0008 06 40" + v6[20:] + tcp, ipv6(protoTCP, client)},
		{"IPv6 echo reply", macs + "86dd 60000000 0008 3a 40" + v6[20:] + "8100 ffff 1234 0001", ipv6(protoICMPv6, 0x1234<<16)},
		{"IPv6 hop-by-hop, destination, TCP", macs + "86dd" + v6 + "3c00000000000000 0601000000000000 0000000000000000" + tcp, ipv6(protoTCP, client)},
		{"IPv6 authentication, TCP", macs + "86dd 60000000 0008 33 40" + v6[20:] + "06040000 00000000 00000000 00000000 00000000 00000000" + tcp, ipv6(protoTCP, client)},
		{"IPv6 first fragment", macs + "86dd 60000000 0008 2c 40" + v6[20:] + "06000001 00000001" + tcp, ipv6(protoTCP, client)},
		{"IPv6 later fragment", macs + "86dd 60000000 0008 2c 40" + v6[20:] + "06000008 00000001" + tcp, ipv6(protoTCP, 0)},
		{"IPv6 extension cut", macs + "86dd" + v6 + "3c05000000000000", ipv6(protoHopByHop, 0)},
		{"IPv6 nothing behind", macs + "86dd" + v6, ipv6(protoHopByHop, 0)},
		{"IPv6 no next header", macs + "86dd 60000000 0008 3b 40" + v6[20:] + tcp, ipv6(59, 0)},
	} {
		if got := flowOf(packet(t, c.bytes)); got != c.want {
			t.Errorf("%s: %x, want %x", c.what, got, c.want)
		}
	}
}

// No frame, however made, is read beyond its end.
func FuzzFlowOf(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00E\x00\x00\x1c\x00\x00\x00\x00@\x11\x00\x00\n\x00\x00\x01\n\x00\x00\x02\xc0\x00\x00\x50\x00\x08\x00\x00"))
	f.Add([]byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x86\xdd`\x00\x00\x00\x00\x08\x00@0123456789abcdef0123456789abcdef\x3c\x00\x00\x00\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x81\x00\x00\x01\x88\xa8\x00\x02\x81\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 14 {
			return
		}
		flowOf(data)
		d := draw{index: 1}
		for _, e := range flipBits(data, 9, &d) {
			if e.Offset < 14 || e.Offset+len(e.New) > len(data) || len(e.New) != len(e.Old) {
				t.Fatalf("edit %+v of a frame of %d bytes", e, len(data))
			}
		}
	})
}

// Flows beyond the ceiling share a counter on their path; those before it go on as
// they were.
func TestFlowsCountedApartAreBounded(t *testing.T) {
	var flows flowTable
	paths := []*path{{number: 0, key: newPathKey(Keys{}, "r", "a", "")}, {number: 1, key: newPathKey(Keys{}, "r", "b", "")}}
	next := func(p *path, i uint64) uint64 {
		s := flows.find(p, flow{i << 32, 0, 7, 0, 1})
		s.n++
		if want := p.key.flow.hash(flow{i << 32, 0, 7, 0, 1}); s.hash != want || s.path != p {
			t.Fatalf("flow %d: F is %x, want %x", i, s.hash, want)
		}
		return s.n
	}
	for i := range uint64(maxFlows) {
		if n := next(paths[i%2], i/2); n != 1 {
			t.Fatalf("flow %d begins at %d", i, n)
		}
	}
	for i := range uint64(1000) {
		for _, p := range paths {
			if n := next(p, 1_000_000+i); n != i+1 {
				t.Fatalf("flow %d beyond the ceiling: %d, want %d", i, n, i+1)
			}
		}
	}
	for i := range uint64(maxFlows) {
		if n := next(paths[i%2], i/2); n != 2 {
			t.Fatalf("flow %d's second frame is its %d", i, n)
		}
	}
	if flows.n != maxFlows {
		t.Errorf("%d flows are kept", flows.n)
	}
}

// Frames that are told apart by their marks are of the flows that flowOf reads, in
// any order, on several paths, and however one differs from the other.
func TestFramesFindTheirFlow(t *testing.T) {
	const head = "020000000002 020000000001 "
	base := [][]byte{
		packet(t, head+"0800 45000030 12340000 40060000 0a000001 0a000002 c000 0050 00000000 00000000"),
		packet(t, head+"0800 45000030 12340000 40110000 0a000001 0a000002 c000 0050 00000000 00000000"),
		packet(t, head+"0800 45000030 12340000 40010000 0a000001 0a000002 0800 0050 00000000 00000000"),
		packet(t, head+"0800 46000030 12340000 40060000 0a000001 0a000002 01010101 c000 0050 00000000"),
		packet(t, head+"0800 45000030 12342001 40060000 0a000001 0a000002 c000 0050 00000000 00000000"),
		packet(t, head+"8100 0005 0800 45000030 12340000 40060000 0a000001 0a000002 c000 0050 00000000"),
		packet(t, head+"86dd 60000000 0008 06 40 20010db8000000000000000000000001 20010db8000000000000000000000002 c000 0050 00000000"),
		make([]byte, 60),
	}
	rapid.Check(t, func(t *rapid.T) {
		var flows flowTable
		paths := []*path{{number: 0, key: newPathKey(Keys{}, "r", "a", "")}, {number: 1, key: newPathKey(Keys{}, "r", "b", "")}}
		type on struct {
			path int
			flow flow
		}
		byPath := map[on]uint64{}
		for range 60 {
			data := append([]byte(nil), base[rapid.IntRange(0, len(base)-1).Draw(t, "base")]...)
			for range rapid.IntRange(0, 2).Draw(t, "changes") {
				data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			}
			data = data[:rapid.SampledFrom([]int{len(data), len(data), len(data), 37, 38, 14}).Draw(t, "length")]
			i := rapid.IntRange(0, 1).Draw(t, "path")
			s := flows.of(paths[i], data)
			s.n++
			f := flowOf(data)
			byPath[on{i, f}]++
			if s.flow != f || s.path != paths[i] || s.n != byPath[on{i, f}] {
				t.Fatalf("%x: flow %x, frame %d; want %x, %d", data, s.flow, s.n, f, byPath[on{i, f}])
			}
		}
	})
}
