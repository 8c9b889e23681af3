package filter_test

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// frame is an Ethernet frame that filters are tried on.
type frame struct {
	name string
	data []byte
}

// The builders below make just the headers that filters look into; checksums
// stay zero, since no filter computes them.

var (
	macA      = []byte{0x02, 0, 0, 0, 0, 0x0a}
	macB      = []byte{0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	macAll    = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	macGroup4 = []byte{0x01, 0x00, 0x5e, 0, 0, 1}
	macGroup6 = []byte{0x33, 0x33, 0, 0, 0, 1}
	macSTP    = []byte{0x01, 0x80, 0xc2, 0, 0, 0}
)

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func be16(vs ...int) []byte {
	var out []byte
	for _, v := range vs {
		out = binary.BigEndian.AppendUint16(out, uint16(v))
	}
	return out
}

func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// ether is a frame from macA to dst.
func ether(dst []byte, etherType int, payload []byte) []byte {
	return join(dst, macA, be16(etherType), payload)
}

// lengthFrame is an 802.3 frame, whose type field is the length.
func lengthFrame(dst, llc []byte) []byte { return ether(dst, len(llc), llc) }

func tag(tpid, vid, etherType int, payload []byte) (int, []byte) {
	return tpid, join(be16(0x6000|vid, etherType), payload)
}

// ip4 is an IPv4 packet; the options must fill words.
type ip4 struct {
	src, dst string
	proto    byte
	flags    int // flags and fragment offset
	options  []byte
	ttl      byte
}

func (h ip4) with(payload []byte) []byte {
	src, dst := netip.MustParseAddr(h.src).As4(), netip.MustParseAddr(h.dst).As4()
	words := 5 + len(h.options)/4
	if h.ttl == 0 {
		h.ttl = 64
	}
	return join([]byte{0x40 | byte(words), 0}, be16(4*words+len(payload), 0x1234, h.flags),
		[]byte{h.ttl, h.proto, 0, 0}, src[:], dst[:], h.options, payload)
}

func ip6(src, dst string, next byte, payload []byte) []byte {
	s, d := netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
	return join([]byte{0x60, 0, 0, 0}, be16(len(payload)), []byte{next, 64}, s[:], d[:], payload)
}

// ext is an IPv6 extension header of 8 bytes, other than the fragment header.
func ext(next byte, payload []byte) []byte {
	return join([]byte{next, 0, 1, 4, 0, 0, 0, 0}, payload)
}

// fragment is an IPv6 fragment header; offset counts units of 8 bytes.
func fragment(next byte, offset, more int, payload []byte) []byte {
	return join([]byte{next, 0}, be16(offset<<3|more), be32(0xdecade), payload)
}

func tcp(src, dst int, flags byte, payload string) []byte {
	return join(be16(src, dst), be32(1000), be32(2000), []byte{0x50, flags}, be16(8192, 0, 0), []byte(payload))
}

func tcpOptions(src, dst int, flags byte, payload string) []byte {
	return join(be16(src, dst), be32(1000), be32(2000), []byte{0x80, flags}, be16(8192, 0, 0),
		[]byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, []byte(payload))
}

func udp(src, dst int, payload string) []byte {
	return join(be16(src, dst, 8+len(payload), 0), []byte(payload))
}

func sctp(src, dst int) []byte {
	return join(be16(src, dst), be32(7), be32(0), []byte{1, 0, 0, 20}, make([]byte, 16))
}

func icmp(kind, code byte) []byte {
	return join([]byte{kind, code, 0, 0, 0, 1, 0, 2}, []byte("ping ping ping"))
}

func arp(etherType, op int, sender, target string) []byte {
	s, t := netip.MustParseAddr(sender).As4(), netip.MustParseAddr(target).As4()
	dst := macAll
	if op == 2 {
		dst = macB
	}
	return ether(dst, etherType, join(be16(1, 0x0800), []byte{6, 4}, be16(op),
		macA, s[:], make([]byte, 6), t[:], make([]byte, 18)))
}

func mpls(payload []byte, labels ...uint32) []byte {
	var out []byte
	for i, l := range labels {
		entry := l<<12 | 64
		if i == len(labels)-1 {
			entry |= 1 << 8 // bottom of the stack
		}
		out = append(out, be32(entry)...)
	}
	return ether(macB, 0x8847, join(out, payload))
}

func pppoe(session, proto int, payload []byte) []byte {
	return ether(macB, 0x8864, join([]byte{0x11, 0}, be16(session, len(payload)+2, proto), payload))
}

func snap(org []byte, etherType int, payload []byte) []byte {
	return lengthFrame(macB, join([]byte{0xaa, 0xaa, 3}, org, be16(etherType), payload))
}

func isis(kind byte) []byte {
	return lengthFrame(macSTP, join([]byte{0xfe, 0xfe, 3, 0x83, 27, 1, 0, kind}, make([]byte, 20)))
}

const (
	host1, host2 = "10.0.0.1", "10.0.0.2"
	lan1, lan2   = "192.168.1.1", "192.168.1.2"
	v6a, v6b     = "2001:db8::1", "2001:db8::2"
	link1        = "fe80::1"
	group6       = "ff02::1"

	syn, ack, fin, rst, psh = 0x02, 0x10, 0x01, 0x04, 0x08
)

// frames are what every filter of the corpus is tried on.
func frames() []frame {
	web := tcp(40000, 80, syn, "")
	get := tcpOptions(40000, 80, psh|ack, "GET / HTTP/1.1\r\n\r\n")
	dns := udp(5353, 53, "query")
	v4 := func(h ip4, payload []byte) []byte { return ether(macB, 0x0800, h.with(payload)) }
	h := func(proto byte) ip4 { return ip4{src: host1, dst: host2, proto: proto} }
	v6 := func(next byte, payload []byte) []byte { return ether(macB, 0x86dd, ip6(v6a, v6b, next, payload)) }
	tagged := func(tpid, vid int, f []byte) []byte {
		inner := int(binary.BigEndian.Uint16(f[12:]))
		t, payload := tag(tpid, vid, inner, f[14:])
		return join(f[:12], be16(t), payload)
	}
	web4, dns4 := v4(h(6), web), v4(h(17), dns)
	web6 := v6(6, web)

	list := []frame{
		{"tcp4 syn 80", web4},
		{"tcp4 syn-ack from 80", v4(ip4{src: host2, dst: host1, proto: 6}, tcp(80, 40000, syn|ack, ""))},
		{"tcp4 get with tcp options", v4(h(6), get)},
		{"tcp4 fin 443", v4(ip4{src: lan1, dst: lan2, proto: 6}, tcp(443, 50000, fin|ack, ""))},
		{"tcp4 rst 22", v4(ip4{src: lan2, dst: "172.16.5.4", proto: 6}, tcp(22, 22, rst, "x"))},
		{"tcp4 port zero", v4(h(6), tcp(0, 0, 0, ""))},
		{"tcp4 port 65535", v4(h(6), tcp(65535, 53, ack, "abc"))},
		{"tcp4 with ip options", v4(ip4{src: host1, dst: host2, proto: 6, options: []byte{1, 1, 1, 0}}, web)},
		{"tcp4 with 40 bytes of ip options", v4(ip4{src: host1, dst: host2, proto: 6, options: make([]byte, 40)}, get)},
		{"tcp4 first fragment", v4(ip4{src: host1, dst: host2, proto: 6, flags: 0x2000}, get)},
		{"tcp4 later fragment", v4(ip4{src: host1, dst: host2, proto: 6, flags: 0x2005}, get)},
		{"tcp4 last fragment", v4(ip4{src: host1, dst: host2, proto: 6, flags: 0x0100}, web)},
		{"tcp4 do not fragment", v4(ip4{src: host1, dst: host2, proto: 6, flags: 0x4000}, web)},
		{"udp4 dns", dns4},
		{"udp4 later fragment", v4(ip4{src: host1, dst: host2, proto: 17, flags: 0x00b9}, dns)},
		{"udp4 broadcast", ether(macAll, 0x0800, ip4{src: host1, dst: "255.255.255.255", proto: 17}.with(udp(68, 67, "dhcp")))},
		{"udp4 from nowhere", ether(macAll, 0x0800, ip4{src: "0.0.0.0", dst: "0.0.0.0", proto: 17}.with(udp(67, 68, "")))},
		{"udp4 multicast", ether(macGroup4, 0x0800, ip4{src: lan1, dst: "224.0.0.1", proto: 17, ttl: 1}.with(udp(123, 123, "ntp")))},
		{"udp4 big", v4(h(17), udp(2000, 8080, string(make([]byte, 1472))))},
		{"udp4 from 10.1", v4(ip4{src: "10.1.2.3", dst: "0.0.0.10", proto: 17}, dns)},
		{"tcp4 ones", v4(h(6), tcp(80, 90, psh, strings.Repeat("\x01", 150)))},
		{"sctp4", v4(h(132), sctp(80, 36412))},
		{"icmp4 echo", v4(h(1), icmp(8, 0))},
		{"icmp4 echo reply", v4(ip4{src: host2, dst: host1, proto: 1}, icmp(0, 0))},
		{"icmp4 unreachable", v4(h(1), icmp(3, 3))},
		{"icmp4 time exceeded", v4(h(1), icmp(11, 0))},
		{"icmp4 fragment", v4(ip4{src: host1, dst: host2, proto: 1, flags: 0x0003}, icmp(8, 0))},
		{"igmp", ether(macGroup4, 0x0800, ip4{src: lan1, dst: "224.0.0.22", proto: 2, options: []byte{0x94, 4, 0, 0}}.with([]byte{0x22, 0, 0, 0, 0, 0, 0, 1}))},
		{"igrp", v4(h(9), make([]byte, 12))},
		{"gre", v4(h(47), join(be16(0, 0x0800), ip4{src: lan1, dst: lan2, proto: 6}.with(web)))},
		{"ipip", v4(h(4), ip4{src: lan1, dst: lan2, proto: 17}.with(dns))},
		{"esp4", v4(h(50), make([]byte, 24))},
		{"ah4", v4(h(51), join([]byte{6, 4, 0, 0}, make([]byte, 20), web))},
		{"vrrp", ether([]byte{1, 0, 0x5e, 0, 0, 18}, 0x0800, ip4{src: lan1, dst: "224.0.0.18", proto: 112, ttl: 255}.with([]byte{0x21, 1, 100, 1, 0, 1, 0, 0}))},
		{"pim4", v4(h(103), []byte{0x20, 0, 0, 0})},
		{"ip4 protocol 0", v4(h(0), make([]byte, 8))},
		{"ip4 wrong version", ether(macB, 0x0800, join([]byte{0x65}, ip4{src: host1, dst: host2, proto: 6}.with(web)[1:]))},
		{"ip4 short header length", ether(macB, 0x0800, join([]byte{0x40}, ip4{src: host1, dst: host2, proto: 6}.with(web)[1:]))},

		{"tcp6", web6},
		{"tcp6 link local", ether(macB, 0x86dd, ip6(link1, v6b, 6, tcp(443, 40000, syn|ack, "")))},
		{"udp6 dns", v6(17, dns)},
		{"sctp6", v6(132, sctp(5000, 80))},
		{"icmp6 echo", v6(58, icmp(128, 0))},
		{"icmp6 neighbour solicitation", ether(macGroup6, 0x86dd, ip6(link1, group6, 58, icmp(135, 0)))},
		{"icmp6 duplicate address detection", ether(macGroup6, 0x86dd, ip6("::", group6, 58, icmp(135, 0)))},
		{"icmp6 listener report", ether(macGroup6, 0x86dd, ip6(link1, group6, 58, icmp(143, 0)))},
		{"icmp6 from itself", ether(macA, 0x86dd, ip6("::1", "::1", 58, icmp(1, 4)))},
		{"icmp6 packet too big", v6(58, icmp(2, 0))},
		{"icmp6 after hop-by-hop", ether(macGroup6, 0x86dd, ip6(link1, group6, 0, ext(58, icmp(143, 0))))},
		{"tcp6 after routing", v6(43, ext(6, web))},
		{"udp6 after destination options", v6(60, ext(17, dns))},
		{"tcp6 first fragment", v6(44, fragment(6, 0, 1, get))},
		{"tcp6 later fragment", v6(44, fragment(6, 100, 0, get))},
		{"icmp6 fragment", v6(44, fragment(58, 0, 1, icmp(128, 0)))},
		{"tcp6 after ah", v6(51, join([]byte{6, 4, 0, 0}, make([]byte, 20), web))},
		{"esp6", v6(50, make([]byte, 24))},
		{"pim6", v6(103, []byte{0x20, 0, 0, 0})},
		{"ip6 no next header", v6(59, nil)},
		{"ip6 mapped addresses", ether(macB, 0x86dd, ip6("::ffff:10.0.0.1", "::1", 17, dns))},

		{"arp request", arp(0x0806, 1, host1, host2)},
		{"arp reply", arp(0x0806, 2, host2, host1)},
		{"arp gratuitous", arp(0x0806, 1, lan1, lan1)},
		{"rarp request", arp(0x8035, 3, "0.0.0.0", lan1)},

		{"vlan 5 tcp4", tagged(0x8100, 5, web4)},
		{"vlan 100 tcp6", tagged(0x8100, 100, web6)},
		{"vlan 100 arp", tagged(0x8100, 100, arp(0x0806, 1, host1, host2))},
		{"vlan 4095 udp4", tagged(0x8100, 4095, dns4)},
		{"vlan 0 icmp4", tagged(0x8100, 0, v4(h(1), icmp(8, 0)))},
		{"vlan 100 llc", tagged(0x8100, 100, lengthFrame(macSTP, []byte{0x42, 0x42, 3, 0, 0, 0}))},
		{"802.1ad vlan 100", tagged(0x88a8, 100, web4)},
		{"802.1ad 7 in it 5", tagged(0x88a8, 7, tagged(0x8100, 5, web4))},
		{"vlan 100 in it 5", tagged(0x8100, 100, tagged(0x8100, 5, dns4))},
		{"9100 vlan 9", tagged(0x9100, 9, web6)},
		{"three tags", tagged(0x9100, 1, tagged(0x88a8, 2, tagged(0x8100, 3, web4)))},
		{"vlan 5 mpls", tagged(0x8100, 5, mpls(ip4{src: host1, dst: host2, proto: 6}.with(web), 100))},
		{"vlan cut in the tag", tagged(0x8100, 5, web4)[:15]},

		{"mpls 100 tcp4", mpls(ip4{src: host1, dst: host2, proto: 6}.with(web), 100)},
		{"mpls 100 tcp6", mpls(ip6(v6a, v6b, 6, web), 100)},
		{"mpls 100 5 udp4", mpls(ip4{src: lan1, dst: lan2, proto: 17}.with(dns), 100, 5)},
		{"mpls three labels", mpls(ip4{src: lan1, dst: lan2, proto: 6}.with(web), 1048575, 0, 16)},
		{"mpls pseudowire", mpls(web4, 100)},
		{"mpls multicast", ether(macGroup4, 0x8848, join(be32(100<<12|0x140), ip4{src: host1, dst: host2, proto: 6}.with(web)))},

		{"pppoe discovery", ether(macAll, 0x8863, []byte{0x11, 9, 0, 0, 0, 4, 1, 1, 0, 0})},
		{"pppoe tcp4", pppoe(7, 0x0021, ip4{src: host1, dst: host2, proto: 6}.with(web))},
		{"pppoe udp6", pppoe(300, 0x0057, ip6(v6a, v6b, 17, dns))},
		{"pppoe lcp", pppoe(7, 0xc021, []byte{9, 1, 0, 8, 0, 0, 0, 0})},

		{"stp", lengthFrame(macSTP, join([]byte{0x42, 0x42, 3, 0, 0, 0, 0}, make([]byte, 31)))},
		{"ipx llc", lengthFrame(macB, join([]byte{0xe0, 0xe0, 3, 0xff, 0xff}, make([]byte, 28)))},
		{"ipx raw 802.3", lengthFrame(macB, join([]byte{0xff, 0xff, 0, 30}, make([]byte, 28)))},
		{"ipx ethernet II", ether(macB, 0x8137, join([]byte{0xff, 0xff, 0, 30}, make([]byte, 28)))},
		{"ipx snap", snap([]byte{0, 0, 0}, 0x8137, make([]byte, 30))},
		{"netbeui", lengthFrame(macB, join([]byte{0xf0, 0xf0, 3}, make([]byte, 30)))},
		{"llc supervisory", lengthFrame(macB, []byte{0x04, 0x04, 0x05, 0x00})},
		{"llc information", lengthFrame(macB, []byte{0x04, 0x04, 0x02, 0x00, 1, 2, 3})},
		{"llc xid", lengthFrame(macB, []byte{0x00, 0x01, 0xaf, 0x81, 1, 0})},
		{"llc ip", lengthFrame(macB, join([]byte{0x06, 0x06, 3}, ip4{src: host1, dst: host2, proto: 6}.with(web)))},
		{"snap ip", snap([]byte{0, 0, 0}, 0x0800, ip4{src: host1, dst: host2, proto: 6}.with(web))},
		{"atalk", ether(macB, 0x809b, make([]byte, 30))},
		{"atalk snap", snap([]byte{8, 0, 7}, 0x809b, make([]byte, 30))},
		{"aarp snap", snap([]byte{0, 0, 0}, 0x80f3, make([]byte, 30))},
		{"decnet", ether(macB, 0x6003, make([]byte, 40))},
		{"lat", ether(macB, 0x6004, make([]byte, 40))},
		{"clnp", lengthFrame(macB, join([]byte{0xfe, 0xfe, 3, 0x81}, make([]byte, 20)))},
		{"esis", lengthFrame(macB, join([]byte{0xfe, 0xfe, 3, 0x82}, make([]byte, 20)))},
		{"isis l1 hello", isis(15)},
		{"isis l2 hello", isis(16)},
		{"isis l2 lsp", isis(20)},
		{"isis l1 csnp", isis(24)},
		{"isis l2 psnp", isis(27)},
		{"loopback test", ether(macAll, 0x9000, make([]byte, 46))},
		{"lldp", ether([]byte{1, 0x80, 0xc2, 0, 0, 0x0e}, 0x88cc, make([]byte, 46))},
		{"type 1500", ether(macB, 1500, make([]byte, 60))},
		{"type 1501", ether(macB, 1501, make([]byte, 60))},

		{"tcp4 cut before the protocol", web4[:23]},
		{"tcp4 cut in the address", web4[:28]},
		{"tcp4 cut after the ip header", web4[:34]},
		{"tcp4 cut after one port", web4[:36]},
		{"tcp4 cut in the second port", web4[:37]},
		{"tcp4 cut before the flags", web4[:47]},
		{"tcp4 cut after the flags", web4[:48]},
		{"tcp4 fragment cut in the offset", web4[:21]},
		{"tcp6 cut before the next header", web6[:20]},
		{"tcp6 cut in the address", web6[:40]},
		{"tcp6 cut in the ports", web6[:55]},
		{"arp cut in the target", arp(0x0806, 1, host1, host2)[:40]},
		{"stp cut", lengthFrame(macSTP, []byte{0x42, 0x42, 3, 0})[:15]},
		{"big", ether(macB, 0x0800, join(ip4{src: host1, dst: host2, proto: 6}.with(web), make([]byte, 8900)))},
	}
	for n := range 15 {
		list = append(list, frame{"runt of " + string(rune('A'+n)), web4[:n]})
	}
	return list
}
