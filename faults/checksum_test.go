package faults_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// Frames that were sent by real hosts (Linux, Cisco), and one of SCTP whose
// checksum Wireshark calls right: what fixsum computes is what stands in them.
func TestChecksumsOfRealFrames(t *testing.T) {
	for what, frame := range map[string]string{
		"TCP": "020000770002 020000770001 0800 4500003c51dd40004006d4420a4d00010a4d0002" +
			"8fd01f907c9fe4f000000000a002faf0791b0000020405b40402080aa3750aee000000000103030a",
		"UDP": "020000770002 020000770001 0800 45000051d0690000401195960a4d00010a4d0002" +
			"b44b0035003d9aa2fe7f012000010000000000010377777703766e720474657374000001000100002904d000000000000c000a0008c2f4d31aa3391371",
		"ICMP in a VLAN": "001906eab8c1 001873de57c1 8100007b 0800 4500006400050000ff01443fc0a87b02c0a87b01" +
			"0800949a0001000000000000000ce9a2abcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcd",
		"ICMPv6 behind hop-by-hop options": "333300000016 020000770002 86dd 6000000000240001" +
			"00000000000000000000000000000000ff020000000000000000000000000016 3a00050200000100" +
			"8f006f880000000104000000ff0200000000000000000001ff000002",
		"TCP over IPv6": "020000770002 020000770001 86dd 6004e79800280640" +
			"fd770000000000000000000000000001fd770000000000000000000000000002" +
			"dea01f908437d80200000000a002fd20e9ce0000020405a00402080ac4a8471b000000000103030a",
		"neighbour solicitation": "3333ff000002 020000770001 86dd 6000000000203aff" +
			"fd770000000000000000000000000001ff0200000000000000000001ff000002" +
			"87007c3200000000fd7700000000000000000000000000020101020000770001",
		"SCTP": "020000000001 020000000000 8100 6064 0800 4500002412344000408414200a0000010a000002" +
			"c000005001020304e97e8d9d03000004",
	} {
		l := newLAN(t, 1)
		rule := l.compile("corrupt flip eth.src=00:00:00:00:00:01 fixsum")
		data := unhex(frame)
		got := l.change(rule, data)
		if want := append(append(bytes.Clone(data[:11]), data[11]^1), data[12:]...); !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  %x\nwant %x", what, got, want)
		}
		// The same when the checksums were wrong: a receiver does not see them as they were.
		spoilt := bytes.Clone(data)
		for _, f := range receive(data).fields {
			spoilt[f[0]] ^= 0x5a
		}
		if again := l.change(rule, spoilt); !bytes.Equal(again, got) {
			t.Errorf("%s, from wrong checksums:\ngot  %x\nwant %x", what, again, got)
		}
	}
}

// Without fixsum nothing but the field changes, with it the sums do.
func TestFixsum(t *testing.T) {
	udp := recipe{version: 4, protocol: protoUDP, payload: []byte("abcdefgh"), padding: 10}.make().data
	udp6 := recipe{version: 6, protocol: protoUDP, payload: []byte("abcdefgh")}.make().data
	noSum := recipe{version: 4, protocol: protoUDP, payload: []byte("abcd"), noSum: true}.make().data
	for _, c := range []struct {
		what string
		data []byte
		rule string
		want int // how many checksums are right afterwards; so many can be looked at
	}{
		{"a payload byte", udp, "@42:61>62", 2},
		{"the header", udp, "set ip.ttl=1", 2},
		{"an address", udp, "set ip.src=1.2.3.4", 2},
		{"an address", udp6, "set ipv6.src=::1", 1},
		{"padding", udp, "@50=00", 2},
		{"no checksum", noSum, "set udp.srcport=1", 1},
		{"the protocol", udp, "set ip.proto=6", 1},
		{"the protocol, to one without a checksum", udp, "set ip.proto=47", 1},
		{"the packet ends before", udp, "set ip.len=30", 1},
		{"the packet ends behind the frame", udp, "set ip.len=1500", 1},
		{"the packet ends in its header", udp, "set ip.len=19", 1},
		{"the packet takes the padding in", udp, "set ip.len=40", 2},
		{"the header's length", udp, "set ip.hdr_len=6", 1},
		{"a header that cannot be", udp, "set ip.hdr_len=4", 0},
		{"a header beyond the frame", udp, "set ip.hdr_len=15", 0},
		{"another version", udp, "set ip.version=6", 0},
		{"another EtherType", udp, "set eth.type=0x86dd", 0},
		{"a fragment", udp, "set ip.mf=1", 1},
		{"a later fragment", udp, "set ip.frag_offset=1", 1},
		{"do not fragment", udp, "flip ip.df,ip.rb", 2},
		{"UDP length less than there is", udp, "set udp.length=9", 2},
		{"UDP length beyond the packet", udp, "set udp.length=17", 1},
		{"UDP length within the header", udp, "set udp.length=7", 1},
		{"IPv6 length beyond the frame", udp6, "set ipv6.plen=17", 0},
		{"IPv6 length within the UDP header", udp6, "set ipv6.plen=7", 0},
		{"next header: none", udp6, "set ipv6.nxt=59", 0},
		{"next header: an extension that is none", udp6, "set ipv6.nxt=43", 0},
	} {
		l := newLAN(t, 1)
		before, plain, changed := receive(c.data), l.change(l.compile("corrupt "+c.rule), c.data), 0
		for i := range plain {
			switch {
			case plain[i] != c.data[i] && before.covers(i):
				t.Errorf("%s: %q without fixsum changes the checksum", c.what, c.rule)
			case plain[i] != c.data[i]:
				changed++
			}
		}
		if changed == 0 {
			t.Errorf("%s: %q changes nothing", c.what, c.rule)
		}
		got := l.change(l.compile("corrupt "+c.rule+" fixsum"), c.data)
		if r := receive(got); len(r.wrong) > 0 || len(r.fields) != c.want {
			t.Errorf("%s: %q fixsum: %d checksums can be looked at, want %d; wrong: %v\n%x", c.what, c.rule, len(r.fields), c.want, r.wrong, got)
		}
	}
}

// A UDP checksum that comes to 0 is sent as ffff; one that is 0 over IPv4 stays,
// over IPv6 there must be one.
func TestFixsumOfUDP(t *testing.T) {
	for _, version := range []int{4, 6} {
		r := recipe{version: version, protocol: protoUDP, payload: []byte("..")}
		m := r.make()
		at := m.at["udp"]
		// The payload that, added to the rest, makes the sum ffff.
		binary.BigEndian.PutUint16(m.data[at+8:], 0)
		binary.BigEndian.PutUint16(r.payload, 0)
		binary.BigEndian.PutUint16(m.data[at+8:], binary.BigEndian.Uint16(r.make().data[at+6:]))
		l := newLAN(t, 1)
		got := l.change(l.compile("corrupt set eth.src=02:00:00:00:00:07 fixsum"), m.data)
		if sum := be16(got, at+6); sum != 0xffff {
			t.Errorf("IPv%d: a checksum of 0 is sent as %04x", version, sum)
		}

		copy(m.data[at+6:], []byte{0, 0})
		got = l.change(l.compile("corrupt set udp.srcport=7 fixsum"), m.data)
		if sum := be16(got, at+6); (sum == 0) != (version == 4) {
			t.Errorf("IPv%d: no checksum becomes %04x", version, sum)
		}
	}
}

// A change that only spoils checksums is undone by fixsum: nothing is left of it.
func TestFixsumUndoes(t *testing.T) {
	m := recipe{version: 4, protocol: protoTCP}.make()
	l := newLAN(t, 1)
	rule := l.compile("corrupt @24^ffff,@50^0001 fixsum")
	if v := l.judge(rule, m.data, client, -1); len(v.Edits) > 0 || rule.Unfit() != 1 {
		t.Errorf("verdict %s, unfit %d", verdictText(v), rule.Unfit())
	}
	// And a rule that changes nothing does not repair a frame.
	m.data[50] ^= 1
	if v := l.judge(l.compile("corrupt set ip.ttl=64 fixsum"), m.data, client, -1); len(v.Edits) > 0 {
		t.Errorf("a frame was repaired: %s", verdictText(v))
	}
}

// Frames in which anything changes, headers among it, leave with checksums that
// are right, as far as they can be looked at.
func TestFixsumOfRandomBits(t *testing.T) {
	l := newLAN(t, 1)
	looked := 0
	rapid.Check(t, func(t *rapid.T) {
		m := drawRecipe(t).make()
		text := rapid.SampledFrom([]string{"corrupt", "corrupt bits 3", "corrupt bits 20 in 12..", "corrupt bits 4 in 14..54"}).Draw(t, "rule")
		text = "r" + rapid.StringMatching("[a-z]{6}").Draw(t, "name") + ": " + text
		plain := l.change(l.compile(text), m.data)
		got := l.change(l.compile(text+" fixsum"), m.data)
		r := receive(got)
		if len(r.wrong) > 0 {
			t.Fatalf("%s fixsum: wrong %v\nof  %x\ngot %x", text, r.wrong, m.data, got)
		}
		for i := range got {
			if got[i] != plain[i] && !r.covers(i) {
				t.Fatalf("%s fixsum: byte %d is %02x, without fixsum %02x", text, i, got[i], plain[i])
			}
		}
		looked += len(r.fields)
	})
	if looked == 0 {
		t.Error("no frame had a checksum afterwards")
	}
}

// In a frame whose checksums are right fixsum changes none: padding, tags and
// extension headers are taken for what they are, and fragments are left alone.
func TestFixsumKeepsWhatIsRight(t *testing.T) {
	l := newLAN(t, 1)
	rule := l.compile("corrupt flip eth.src=00:00:00:00:00:01 fixsum")
	for _, r := range recipes {
		data := r.make().data
		if got := verdictText(l.judge(rule, data, client, -1)); got != "@11:00>01" {
			t.Errorf("%+v: %s", r, got)
		}
	}
}
