package faults_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/faults"
)

// fieldSpec says where a field is: from which byte of its header, and which bits
// of those bytes.
type fieldSpec struct {
	name, header string
	offset       int
	mask         string
}

const mac, v6address = "ffffffffffff", "ffffffffffffffffffffffffffffffff"

var fieldSpecs = []fieldSpec{
	{"eth.dst", "eth", 0, mac}, {"eth.src", "eth", 6, mac}, {"eth.type", "type", 0, "ffff"},
	{"vlan.priority", "vlan", 2, "e0"}, {"vlan.dei", "vlan", 2, "10"}, {"vlan.id", "vlan", 2, "0fff"}, {"vlan.etype", "vlan", 4, "ffff"},
	{"arp.hw.type", "arp", 0, "ffff"}, {"arp.proto.type", "arp", 2, "ffff"}, {"arp.hw.size", "arp", 4, "ff"},
	{"arp.proto.size", "arp", 5, "ff"}, {"arp.opcode", "arp", 6, "ffff"}, {"arp.src.hw_mac", "arp", 8, mac},
	{"arp.src.proto_ipv4", "arp", 14, "ffffffff"}, {"arp.dst.hw_mac", "arp", 18, mac}, {"arp.dst.proto_ipv4", "arp", 24, "ffffffff"},
	{"ip.version", "ip", 0, "f0"}, {"ip.hdr_len", "ip", 0, "0f"}, {"ip.dsfield", "ip", 1, "ff"}, {"ip.dsfield.dscp", "ip", 1, "fc"},
	{"ip.dsfield.ecn", "ip", 1, "03"}, {"ip.len", "ip", 2, "ffff"}, {"ip.id", "ip", 4, "ffff"}, {"ip.flags", "ip", 6, "e0"},
	{"ip.flags.rb", "ip", 6, "80"}, {"ip.flags.df", "ip", 6, "40"}, {"ip.flags.mf", "ip", 6, "20"}, {"ip.frag_offset", "ip", 6, "1fff"},
	{"ip.ttl", "ip", 8, "ff"}, {"ip.proto", "ip", 9, "ff"}, {"ip.checksum", "ip", 10, "ffff"},
	{"ip.src", "ip", 12, "ffffffff"}, {"ip.dst", "ip", 16, "ffffffff"},
	{"ipv6.version", "ipv6", 0, "f0"}, {"ipv6.tclass", "ipv6", 0, "0ff0"}, {"ipv6.tclass.dscp", "ipv6", 0, "0fc0"},
	{"ipv6.tclass.ecn", "ipv6", 1, "30"}, {"ipv6.flow", "ipv6", 1, "0fffff"}, {"ipv6.plen", "ipv6", 4, "ffff"},
	{"ipv6.nxt", "ipv6", 6, "ff"}, {"ipv6.hlim", "ipv6", 7, "ff"}, {"ipv6.src", "ipv6", 8, v6address}, {"ipv6.dst", "ipv6", 24, v6address},
	{"tcp.srcport", "tcp", 0, "ffff"}, {"tcp.dstport", "tcp", 2, "ffff"}, {"tcp.seq", "tcp", 4, "ffffffff"}, {"tcp.ack", "tcp", 8, "ffffffff"},
	{"tcp.hdr_len", "tcp", 12, "f0"}, {"tcp.flags", "tcp", 12, "0fff"}, {"tcp.flags.res", "tcp", 12, "0e"}, {"tcp.flags.ae", "tcp", 12, "01"},
	{"tcp.flags.cwr", "tcp", 13, "80"}, {"tcp.flags.ece", "tcp", 13, "40"}, {"tcp.flags.urg", "tcp", 13, "20"},
	{"tcp.flags.ack", "tcp", 13, "10"}, {"tcp.flags.push", "tcp", 13, "08"}, {"tcp.flags.reset", "tcp", 13, "04"},
	{"tcp.flags.syn", "tcp", 13, "02"}, {"tcp.flags.fin", "tcp", 13, "01"}, {"tcp.window_size_value", "tcp", 14, "ffff"},
	{"tcp.checksum", "tcp", 16, "ffff"}, {"tcp.urgent_pointer", "tcp", 18, "ffff"}, {"tcp.options.mss_val", "mss", 2, "ffff"},
	{"tcp.options.wscale.shift", "wscale", 2, "ff"}, {"tcp.options.timestamp.tsval", "stamp", 2, "ffffffff"},
	{"tcp.options.timestamp.tsecr", "stamp", 6, "ffffffff"},
	{"udp.srcport", "udp", 0, "ffff"}, {"udp.dstport", "udp", 2, "ffff"}, {"udp.length", "udp", 4, "ffff"}, {"udp.checksum", "udp", 6, "ffff"},
	{"icmp.type", "icmp", 0, "ff"}, {"icmp.code", "icmp", 1, "ff"}, {"icmp.checksum", "icmp", 2, "ffff"},
	{"icmp.ident", "icmp query", 4, "ffff"}, {"icmp.seq", "icmp query", 6, "ffff"}, {"icmp.mtu", "icmp unreachable", 6, "ffff"},
	{"icmpv6.type", "icmpv6", 0, "ff"}, {"icmpv6.code", "icmpv6", 1, "ff"}, {"icmpv6.checksum", "icmpv6", 2, "ffff"},
	{"icmpv6.echo.identifier", "icmpv6 echo", 4, "ffff"}, {"icmpv6.echo.sequence_number", "icmpv6 echo", 6, "ffff"},
	{"icmpv6.mtu", "icmpv6 too big", 4, "ffffffff"},
	{"sctp.srcport", "sctp", 0, "ffff"}, {"sctp.dstport", "sctp", 2, "ffff"}, {"sctp.verification_tag", "sctp", 4, "ffffffff"},
	{"sctp.checksum", "sctp", 8, "ffffffff"},
	{"igmp.type", "igmp", 0, "ff"}, {"igmp.max_resp", "igmp", 1, "ff"}, {"igmp.checksum", "igmp", 2, "ffff"}, {"igmp.maddr", "igmp group", 4, "ffffffff"},
}

// isAddress reports whether the field has addresses for values.
func (f fieldSpec) isAddress() bool {
	return len(f.mask) > 8 || strings.HasPrefix(f.name, "ip.src") || strings.HasPrefix(f.name, "ip.dst") ||
		strings.Contains(f.name, "proto_ipv4") || f.name == "igmp.maddr"
}

func (f fieldSpec) isChecksum() bool { return strings.HasSuffix(f.name, ".checksum") }

// text writes bytes, of which those in the mask count, as the field's value.
func (f fieldSpec) text(b []byte) string {
	switch {
	case len(b) == 6:
		return net.HardwareAddr(b).String()
	case f.isAddress():
		a, _ := netip.AddrFromSlice(b)
		return a.String()
	}
	return fmt.Sprint(f.bigEndian(b))
}

// number is the field's value in bytes at its place.
func (f fieldSpec) bigEndian(b []byte) uint64 {
	mask := bigEndian(unhex(f.mask))
	return bigEndian(b) & mask >> bits.TrailingZeros64(mask)
}

func bigEndian(b []byte) uint64 {
	return binary.BigEndian.Uint64(append(make([]byte, 8-len(b)), b...))
}

// bytes are the bytes at the field's place, of which it has this value.
func (f fieldSpec) bytes(value uint64) []byte {
	mask := unhex(f.mask)
	b := binary.BigEndian.AppendUint64(nil, value<<bits.TrailingZeros64(bigEndian(mask))&bigEndian(mask))
	return b[8-len(mask):]
}

// with returns the frame in which the field's bits are those of b.
func (f fieldSpec) with(m made, b []byte) []byte {
	out := slices.Clone(m.data)
	at := m.at[f.header] + f.offset
	for i, mask := range unhex(f.mask) {
		out[at+i] = out[at+i]&^mask | b[i]&mask
	}
	return out
}

// recipes are frames that have all fields between them.
var recipes = []recipe{
	{version: 0, padding: 18},
	{version: 0, tags: []uint16{0x8100}},
	{version: 4, protocol: protoTCP, tcpOptions: someOptions, payload: []byte("GET / HTTP/1.1\r\n\r\n")},
	{version: 4, protocol: protoTCP, tags: []uint16{0x88a8, 0x8100}, options: []byte{1, 1, 1, 0}},
	{version: 4, protocol: protoTCP, fragment: "first", payload: make([]byte, 8)},
	{version: 4, protocol: protoTCP, fragment: "later", payload: make([]byte, 30)},
	{version: 4, protocol: protoUDP, payload: []byte("odd"), padding: 15},
	{version: 4, protocol: protoUDP, payload: []byte("no sum"), noSum: true},
	{version: 4, protocol: protoICMP, icmpType: 8, payload: []byte("ping")},
	{version: 4, protocol: protoICMP, icmpType: 3, payload: make([]byte, 28)},
	{version: 4, protocol: protoICMP, icmpType: 11, payload: make([]byte, 28)},
	{version: 4, protocol: protoIGMP, icmpType: 0x16, options: []byte{0x94, 4, 0, 0}, padding: 14},
	{version: 4, protocol: protoIGMP, icmpType: 0x22},
	{version: 4, protocol: protoSCTP, payload: []byte("\x03\x00\x00\x04"), tags: []uint16{0x8100}},
	{version: 4, protocol: 47, payload: make([]byte, 24)},
	{version: 6, protocol: protoTCP, tcpOptions: someOptions, payload: []byte("odd")},
	{version: 6, protocol: protoTCP, extensions: []byte{extHopByHop, extDestination, extRouting}, tags: []uint16{0x8100}},
	{version: 6, protocol: protoUDP, extensions: []byte{extFragment, extAuth}, payload: []byte("odd"), padding: 3},
	{version: 6, protocol: protoUDP, extensions: []byte{segmentRouting}, payload: []byte("x")},
	{version: 6, protocol: protoTCP, extensions: []byte{oldRouting, extDestination}},
	{version: 6, protocol: protoUDP, extensions: []byte{mobileRouting}},
	{version: 6, protocol: protoUDP, extensions: []byte{extHopByHop, extFragment}, fragment: "first", payload: make([]byte, 8)},
	{version: 6, protocol: protoUDP, extensions: []byte{extFragment}, fragment: "later", payload: make([]byte, 24)},
	{version: 6, protocol: protoICMPv6, icmpType: 128, payload: []byte("ping"), extensions: []byte{extHopByHop}},
	{version: 6, protocol: protoICMPv6, icmpType: 2, payload: make([]byte, 48)},
	{version: 6, protocol: protoICMPv6, icmpType: 135},
	{version: 6, protocol: protoSCTP, payload: []byte("\x03\x00\x00\x04")},
	{version: 6, protocol: 59},
}

// change asks the rule about the frame and returns what becomes of it.
func (l *lan) change(c *faults.Compiled, data []byte) []byte {
	l.t.Helper()
	return edited(l.t, data, l.judge(c, data, client, -1).Edits)
}

// Every field of the table is where the standards say, in every frame that has
// it, and nowhere else.
func TestFields(t *testing.T) {
	l := newLAN(t, 1)
	names := faults.FieldNames()
	for _, f := range fieldSpecs {
		if i := slices.Index(names, f.name); i < 0 {
			t.Errorf("%s is no field", f.name)
			continue
		} else {
			names = slices.Delete(names, i, i+1)
		}
		flip := l.compile("corrupt flip " + f.name)
		zero := l.compile("corrupt set " + f.name + "=" + f.text(make([]byte, len(f.mask)/2)))
		most := l.compile("corrupt set " + f.name + "=" + f.text(unhex(f.mask)))
		frames := 0
		for _, r := range recipes {
			m := r.make()
			at, has := m.at[f.header]
			if !has {
				if got := l.change(flip, m.data); !bytes.Equal(got, m.data) {
					t.Errorf("%s changes a frame without it, %+v:\n%x\n%x", f.name, r, m.data, got)
				}
				continue
			}
			frames++
			is := m.data[at+f.offset:][:len(f.mask)/2]
			flipped := slices.Clone(is)
			for i := range flipped {
				flipped[i] ^= 0xff
			}
			for _, c := range []struct {
				rule *faults.Compiled
				want []byte
			}{{flip, flipped}, {zero, make([]byte, len(is))}, {most, unhex(f.mask)}} {
				if got, want := l.change(c.rule, m.data), f.with(m, c.want); !bytes.Equal(got, want) {
					t.Errorf("%q on %+v:\ngot  %x\nwant %x", c.rule.Rule(), r, got, want)
				}
			}
			// What is cut off is not there.
			if got := l.change(flip, m.data[:max(at+f.offset+len(is)-1, 14)]); f.header != "eth" && f.header != "type" && !bytes.Equal(got, m.data[:len(got)]) {
				t.Errorf("%s changes a frame that ends in it: %x", f.name, got)
			}
		}
		if frames == 0 {
			t.Errorf("no frame has %s", f.name)
		}
	}
	if len(names) > 0 {
		t.Errorf("fields without a test: %v", names)
	}
}

// Names that mean the same field print as one.
func TestFieldAliases(t *testing.T) {
	for alias, name := range map[string]string{
		"ip.tos": "ip.dsfield", "ip.df": "ip.flags.df", "ip.dscp": "ip.dsfield.dscp", "tcp.window": "tcp.window_size_value",
		"tcp.flags.rst": "tcp.flags.reset", "tcp.flags.ns": "tcp.flags.ae", "tcp.sport": "tcp.srcport", "tcp.mss": "tcp.options.mss_val",
		"vlan.cfi": "vlan.dei", "udp.len": "udp.length", "icmp.id": "icmp.ident",
	} {
		if got, want := mustParse(t, "corrupt flip "+alias).String(), "corrupt flip "+name; got != want {
			t.Errorf("%s prints as %q, want %q", alias, got, want)
		}
	}
}

func TestFieldChanges(t *testing.T) {
	tcp := recipe{version: 4, protocol: protoTCP, tcpOptions: someOptions}.make().data
	tcp6 := recipe{version: 6, protocol: protoTCP}.make().data
	vlan := recipe{version: 4, protocol: protoUDP, tags: []uint16{0x88a8, 0x8100}}.make().data
	arp := recipe{version: 0}.make().data
	for _, c := range []struct {
		frame      []byte
		rule, want string
	}{
		{tcp, "set ip.ttl=1", "@22:40>01"},
		{tcp, "set ip.ttl=64", "-"},
		{tcp, "set ip.ttl=0x40", "-"},
		{tcp, "set ip.ttl=63,ip.proto=17", "@22:4006>3f11"},
		{tcp, "set ip.src=10.0.9.1,ip.dst=10.0.0.9", "@28:00>09 @33:02>09"},
		{tcp, "set ip.df=0", "@20:40>00"},
		{tcp, "set ip.flags=0,ip.df=1", "-"},
		{tcp, "set ip.df=1,ip.flags=0", "-"}, // the whole before its parts
		{tcp, "set tcp.flags=SYN|ack", "@47:18>12"},
		{tcp, "set tcp.flags=0x1ff", "@46:a018>a1ff"},
		{tcp, "set tcp.flags=AE|CWR|ECE|URG|ACK|PSH|RST|SYN|FIN", "@46:a018>a1ff"},
		{tcp, "flip tcp.flags=0x02", "@47:18>1a"},
		{tcp, "flip tcp.flags.syn,tcp.flags.fin", "@47:18>1b"},
		{tcp, "flip ip.src=0.0.0.3,eth.dst=02:00:00:00:00:00", "@0:02>00 @29:01>02"},
		{tcp, "add ip.ttl=-1", "@22:40>3f"},
		{tcp, "add ip.ttl=255", "@22:40>3f"},
		{tcp, "add ip.ttl=+192", "@22:40>00"},
		{tcp, "add ip.ttl=-65", "@22:40>ff"},
		{tcp, "add tcp.seq=-2", "@38:00000001>ffffffff"},
		{tcp, "add ip.hdr_len=11", "@14:45>40"},
		{tcp, "add tcp.options.timestamp.tsval=-1", "@69:02>01"},
		{tcp, "set ip.ttl=8 flip ip.ttl=0xf0 add ip.ttl=9", "@22:40>01"},
		{tcp, "add ip.ttl=9 flip ip.ttl=0xf0 set ip.ttl=8", "@22:40>01"},
		{tcp, "set ip.proto=17,tcp.window=0", "@23:06>11 @48:7210>0000"}, // where things stand is looked up before
		{tcp, "set ip.hdr_len=15,tcp.dstport=81", "@14:45>4f @37:50>51"},
		{tcp, "set ip.ttl=1,udp.length=8", "-"},
		{tcp, "flip ipv6.hlim", "-"},
		{tcp6, "set ipv6.dst=2001:db8::3,ipv6.flow=0xcdef1", "@53:02>03"},
		{tcp6, "set ip.ttl=1", "-"},
		{tcp6, "set tcp.window=0", "@68:7210>0000"},
		{vlan, "set vlan.id=1,vlan.priority=0", "@14:6064>0001"},
		{vlan, "set eth.type=0x0800", "@12:88a8>0800"},
		{vlan, "set vlan.etype=0x0806", "@16:8100>0806"},
		{vlan, "add udp.length=1", "@47:08>09"},
		{arp, "set arp.opcode=2,arp.src.hw_mac=02-00-00-00-00-09", "@21:01>02 @27:00>09"},
		{arp, "set arp.dst.proto_ipv4=10.0.0.3", "@41:02>03"},
	} {
		l := newLAN(t, 1)
		rule := l.compile("corrupt " + c.rule)
		v := l.judge(rule, c.frame, client, -1)
		edited(t, c.frame, v.Edits)
		if got := verdictText(v); got != c.want {
			t.Errorf("%s: %s, want %s", c.rule, got, c.want)
		}
		if unfit := rule.Unfit() == 1; unfit != (c.want == "-") {
			t.Errorf("%s: unfit %v", c.rule, unfit)
		}
	}
}

// What decides whether a frame has a field, where lengths and types are odd.
func TestFieldsOfOddFrames(t *testing.T) {
	l := newLAN(t, 1)
	tcp := recipe{version: 4, protocol: protoTCP, tcpOptions: someOptions}
	with := func(r recipe, at int, b ...byte) []byte {
		data := r.make().data
		copy(data[at:], b)
		return data
	}
	for _, c := range []struct {
		what, field string
		data        []byte
		has         bool
	}{
		{"length instead of a type", "eth.type", with(tcp, 12, 0, 46), false},
		{"length behind a tag", "vlan.etype", with(recipe{version: 0, tags: []uint16{0x8100}}, 16, 0, 46), false},
		{"ARP of another protocol", "arp.src.proto_ipv4", with(recipe{}, 16, 0x86, 0xdd), false},
		{"ARP of another protocol", "arp.opcode", with(recipe{}, 16, 0x86, 0xdd), true},
		{"IPv4 header of 16 bytes", "ip.ttl", with(tcp, 14, 0x44), true},
		{"IPv4 header of 16 bytes", "tcp.seq", with(tcp, 14, 0x44), false},
		{"IPv4 header beyond the frame", "tcp.seq", with(recipe{version: 4, protocol: protoTCP}, 14, 0x4f), false},
		{"version 6 in IPv4's EtherType", "ip.ttl", with(tcp, 14, 0x65), false},
		{"IPv4 length 0", "tcp.seq", with(tcp, 16, 0, 0), true},
		{"IPv4 length beyond the frame", "tcp.seq", with(tcp, 16, 9, 0), true},
		{"IPv4 length within the TCP header", "tcp.seq", with(tcp, 16, 0, 30), true},
		{"IPv4 length within the TCP header", "tcp.window", with(tcp, 16, 0, 30), false},
		{"IPv6 length within the TCP header", "tcp.window", with(recipe{version: 6, protocol: protoTCP}, 18, 0, 8), false},
		{"TCP header length 4", "tcp.mss", with(tcp, 46, 0x40), false},
		{"TCP header length beyond the packet", "tcp.mss", with(tcp, 46, 0xf0), false},
		{"TCP options end before", "tcp.wscale", with(tcp, 54, 0), false},
		{"TCP option of length 0", "tcp.wscale", with(tcp, 55, 0), false},
		{"TCP option of length 1", "tcp.wscale", with(tcp, 55, 1), false},
		{"TCP option beyond the header", "tcp.wscale", with(tcp, 55, 40), false},
		{"TCP option beyond the header, sought", "tcp.tsval", recipe{version: 4, protocol: protoTCP, tcpOptions: []byte{8, 10, 0, 0}, payload: make([]byte, 9)}.make().data, false},
		{"MSS option of length 3", "tcp.mss", with(tcp, 55, 3), false},
		{"ICMP protocol over IPv6", "icmp.type", recipe{version: 6, protocol: protoICMP}.make().data, false},
		{"ICMPv6 protocol over IPv4", "icmpv6.type", recipe{version: 4, protocol: protoICMPv6}.make().data, false},
	} {
		got := len(l.judge(l.compile("corrupt flip "+c.field), c.data, client, -1).Edits) > 0
		if got != c.has {
			t.Errorf("%s: has %s: %v", c.what, c.field, got)
		}
	}
}

// drawRecipe draws a frame of any kind.
func drawRecipe(t *rapid.T) recipe {
	r := rapid.SampledFrom(recipes).Draw(t, "recipe")
	if r.version != 0 && r.protocol != 47 {
		r.payload = rapid.SliceOfN(rapid.Byte(), len(r.payload), len(r.payload)+40).Draw(t, "payload")
	}
	r.padding = rapid.SampledFrom([]int{0, 0, 1, 6, 18}).Draw(t, "padding")
	r.tags = rapid.SliceOfN(rapid.SampledFrom([]uint16{0x8100, 0x88a8}), 0, 2).Draw(t, "tags")
	return r
}

// drawChange draws a change of the field, and what it makes of its bytes.
func drawChange(t *rapid.T, f fieldSpec, is []byte) (text string, want []byte) {
	random := rapid.SliceOfN(rapid.Byte(), len(is), len(is)).Draw(t, "bytes")
	how := rapid.SampledFrom([]string{"set", "flip", "add"}).Draw(t, "how")
	if how == "add" && f.isAddress() {
		how = "set"
	}
	switch how {
	case "set":
		return "set " + f.name + "=" + f.text(random), random
	case "flip":
		if !f.isAddress() && f.bigEndian(random) == 0 || bytes.Equal(random, make([]byte, len(is))) {
			random = unhex(f.mask)
		}
		for i := range is {
			want = append(want, is[i]^random[i])
		}
		return "flip " + f.name + "=" + f.text(random), want
	}
	most := f.bigEndian(unhex(f.mask))
	by := rapid.Int64Range(-int64(most), int64(most)).Filter(func(n int64) bool { return n != 0 }).Draw(t, "by")
	sum := (int64(f.bigEndian(is)) + by) & int64(most)
	return fmt.Sprintf("add %s=%d", f.name, by), f.bytes(uint64(sum))
}

// Without fixsum the field changes and nothing else. With it, in addition,
// checksums change, and those that a receiver can look at are right.
func TestFieldsAndChecksums(t *testing.T) {
	l := newLAN(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecipe(t)
		m := r.make()
		if got := receive(m.data); len(got.wrong) > 0 || len(got.fields) != m.sums {
			t.Fatalf("the frame is not valid: %v, %d of %d sums\n%x", got.wrong, len(got.fields), m.sums, m.data)
		}
		var present []fieldSpec
		for _, f := range fieldSpecs {
			if _, has := m.at[f.header]; has {
				present = append(present, f)
			}
		}
		f := rapid.SampledFrom(present).Draw(t, "field")
		is := m.data[m.at[f.header]+f.offset:][:len(f.mask)/2]
		text, bits := drawChange(t, f, is)
		want := f.with(m, bits)

		got := l.change(l.compile("corrupt "+text), m.data)
		if !bytes.Equal(got, want) {
			t.Fatalf("%s:\nof   %x\ngot  %x\nwant %x", text, m.data, got, want)
		}
		if f.isChecksum() {
			return
		}
		got = l.change(l.compile("corrupt "+text+" fixsum"), m.data)
		r2 := receive(got)
		if len(r2.wrong) > 0 {
			t.Fatalf("%s fixsum: wrong %v\nof  %x\ngot %x", text, r2.wrong, m.data, got)
		}
		for i := range got {
			if got[i] != want[i] && !r2.covers(i) {
				t.Fatalf("%s fixsum: byte %d is %02x, want %02x", text, i, got[i], want[i])
			}
		}
		if !f.structural() && len(r2.fields) != m.sums {
			t.Fatalf("%s fixsum: %d checksums can be looked at, want %d", text, len(r2.fields), m.sums)
		}
	})
}

// structural reports whether the field decides where others are.
func (f fieldSpec) structural() bool {
	return slices.Contains([]string{
		"eth.type", "vlan.etype", "ip.version", "ip.hdr_len", "ip.len", "ip.flags", "ip.flags.mf", "ip.frag_offset", "ip.proto",
		"ipv6.version", "ipv6.plen", "ipv6.nxt", "udp.length",
	}, f.name)
}
