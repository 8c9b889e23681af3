package faults

import (
	"fmt"
	"strings"
)

// field is a named field of a frame: its bits, as they are on the wire, are one
// number in network byte order (or an address).
type field struct {
	name  string
	layer layer
	bit   int // of the field's highest bit; bit 0 is the highest of the layer's first byte
	width int // in bits, at most 128
	kind  valueKind
	// other names under which people know it, separated by spaces
	aliases string
}

// fields are all there are. Names are those of Wireshark's display filters. A
// field stands before those that are parts of it, and headers from the outermost:
// the changes of a rule are applied in this order.
//
// Values are as on the wire, which is not always what Wireshark shows: lengths of
// headers are in units of 4 bytes, ip.frag_offset is in units of 8, tcp.seq and
// tcp.ack are not relative, tcp.window_size_value is not scaled.
var fields = []field{
	// IEEE 802.3; IEEE 802.1Q and 802.1ad
	{"eth.dst", layerEthernet, 0, 48, asMAC, ""},
	{"eth.src", layerEthernet, 6 * 8, 48, asMAC, ""},
	{"eth.type", layerEtherType, 0, 16, asHex, ""},
	{"vlan.priority", layerVLAN, 2 * 8, 3, asNumber, "vlan.pcp"},
	{"vlan.dei", layerVLAN, 2*8 + 3, 1, asNumber, "vlan.cfi"},
	{"vlan.id", layerVLAN, 2*8 + 4, 12, asNumber, "vlan.vid"},
	{"vlan.etype", layerVLANType, 4 * 8, 16, asHex, ""},

	// RFC 826
	{"arp.hw.type", layerARP, 0, 16, asNumber, ""},
	{"arp.proto.type", layerARP, 2 * 8, 16, asHex, ""},
	{"arp.hw.size", layerARP, 4 * 8, 8, asNumber, ""},
	{"arp.proto.size", layerARP, 5 * 8, 8, asNumber, ""},
	{"arp.opcode", layerARP, 6 * 8, 16, asNumber, "arp.op"},
	{"arp.src.hw_mac", layerARPAddresses, 8 * 8, 48, asMAC, "arp.sha"},
	{"arp.src.proto_ipv4", layerARPAddresses, 14 * 8, 32, asIPv4, "arp.spa"},
	{"arp.dst.hw_mac", layerARPAddresses, 18 * 8, 48, asMAC, "arp.tha"},
	{"arp.dst.proto_ipv4", layerARPAddresses, 24 * 8, 32, asIPv4, "arp.tpa"},

	// RFC 791; RFC 2474 and RFC 3168 for the type of service
	{"ip.version", layerIPv4, 0, 4, asNumber, ""},
	{"ip.hdr_len", layerIPv4, 4, 4, asWords, "ip.ihl"},
	{"ip.dsfield", layerIPv4, 8, 8, asHex, "ip.tos"},
	{"ip.dsfield.dscp", layerIPv4, 8, 6, asNumber, "ip.dscp"},
	{"ip.dsfield.ecn", layerIPv4, 8 + 6, 2, asNumber, "ip.ecn"},
	{"ip.len", layerIPv4, 2 * 8, 16, asNumber, "ip.length"},
	{"ip.id", layerIPv4, 4 * 8, 16, asHex, ""},
	{"ip.flags", layerIPv4, 6 * 8, 3, asHex, ""},
	{"ip.flags.rb", layerIPv4, 6 * 8, 1, asNumber, "ip.rb"},
	{"ip.flags.df", layerIPv4, 6*8 + 1, 1, asNumber, "ip.df"},
	{"ip.flags.mf", layerIPv4, 6*8 + 2, 1, asNumber, "ip.mf"},
	{"ip.frag_offset", layerIPv4, 6*8 + 3, 13, asEights, ""},
	{"ip.ttl", layerIPv4, 8 * 8, 8, asNumber, ""},
	{"ip.proto", layerIPv4, 9 * 8, 8, asNumber, "ip.protocol"},
	{"ip.checksum", layerIPv4, 10 * 8, 16, asChecksum, ""},
	{"ip.src", layerIPv4, 12 * 8, 32, asIPv4, ""},
	{"ip.dst", layerIPv4, 16 * 8, 32, asIPv4, ""},

	// RFC 8200, RFC 6437 for the flow label
	{"ipv6.version", layerIPv6, 0, 4, asNumber, ""},
	{"ipv6.tclass", layerIPv6, 4, 8, asHex, ""},
	{"ipv6.tclass.dscp", layerIPv6, 4, 6, asNumber, "ipv6.dscp"},
	{"ipv6.tclass.ecn", layerIPv6, 10, 2, asNumber, "ipv6.ecn"},
	{"ipv6.flow", layerIPv6, 12, 20, asHex, ""},
	{"ipv6.plen", layerIPv6, 4 * 8, 16, asNumber, "ipv6.len"},
	{"ipv6.nxt", layerIPv6, 6 * 8, 8, asNumber, ""},
	{"ipv6.hlim", layerIPv6, 7 * 8, 8, asNumber, "ipv6.hop_limit"},
	{"ipv6.src", layerIPv6, 8 * 8, 128, asIPv6, ""},
	{"ipv6.dst", layerIPv6, 24 * 8, 128, asIPv6, ""},

	// RFC 9293; RFC 3168 and RFC 9768 for the flags of congestion; RFC 7323
	{"tcp.srcport", layerTCP, 0, 16, asNumber, "tcp.sport"},
	{"tcp.dstport", layerTCP, 2 * 8, 16, asNumber, "tcp.dport"},
	{"tcp.seq", layerTCP, 4 * 8, 32, asNumber, "tcp.seq_raw"},
	{"tcp.ack", layerTCP, 8 * 8, 32, asNumber, "tcp.ack_raw"},
	{"tcp.hdr_len", layerTCP, 12 * 8, 4, asWords, "tcp.offset"},
	{"tcp.flags", layerTCP, 12*8 + 4, 12, asTCPFlags, ""},
	{"tcp.flags.res", layerTCP, 12*8 + 4, 3, asHex, ""},
	{"tcp.flags.ae", layerTCP, 12*8 + 7, 1, asNumber, "tcp.flags.ns"},
	{"tcp.flags.cwr", layerTCP, 13 * 8, 1, asNumber, ""},
	{"tcp.flags.ece", layerTCP, 13*8 + 1, 1, asNumber, "tcp.flags.ecn"},
	{"tcp.flags.urg", layerTCP, 13*8 + 2, 1, asNumber, ""},
	{"tcp.flags.ack", layerTCP, 13*8 + 3, 1, asNumber, ""},
	{"tcp.flags.push", layerTCP, 13*8 + 4, 1, asNumber, "tcp.flags.psh"},
	{"tcp.flags.reset", layerTCP, 13*8 + 5, 1, asNumber, "tcp.flags.rst"},
	{"tcp.flags.syn", layerTCP, 13*8 + 6, 1, asNumber, ""},
	{"tcp.flags.fin", layerTCP, 13*8 + 7, 1, asNumber, ""},
	{"tcp.window_size_value", layerTCP, 14 * 8, 16, asNumber, "tcp.window tcp.win"},
	{"tcp.checksum", layerTCP, 16 * 8, 16, asChecksum, ""},
	{"tcp.urgent_pointer", layerTCP, 18 * 8, 16, asNumber, "tcp.urgent"},
	{"tcp.options.mss_val", layerTCPMaxSegment, 2 * 8, 16, asNumber, "tcp.mss"},
	{"tcp.options.wscale.shift", layerTCPWindowScale, 2 * 8, 8, asNumber, "tcp.wscale"},
	{"tcp.options.timestamp.tsval", layerTCPTimestamps, 2 * 8, 32, asNumber, "tcp.tsval"},
	{"tcp.options.timestamp.tsecr", layerTCPTimestamps, 6 * 8, 32, asNumber, "tcp.tsecr"},

	// RFC 768
	{"udp.srcport", layerUDP, 0, 16, asNumber, "udp.sport"},
	{"udp.dstport", layerUDP, 2 * 8, 16, asNumber, "udp.dport"},
	{"udp.length", layerUDP, 4 * 8, 16, asNumber, "udp.len"},
	{"udp.checksum", layerUDP, 6 * 8, 16, asChecksum, ""},

	// RFC 792, RFC 1191
	{"icmp.type", layerICMP, 0, 8, asNumber, ""},
	{"icmp.code", layerICMP, 8, 8, asNumber, ""},
	{"icmp.checksum", layerICMP, 2 * 8, 16, asChecksum, ""},
	{"icmp.ident", layerICMPQuery, 4 * 8, 16, asNumber, "icmp.id"},
	{"icmp.seq", layerICMPQuery, 6 * 8, 16, asNumber, ""},
	{"icmp.mtu", layerICMPTooBig, 6 * 8, 16, asNumber, ""},

	// RFC 4443
	{"icmpv6.type", layerICMPv6, 0, 8, asNumber, ""},
	{"icmpv6.code", layerICMPv6, 8, 8, asNumber, ""},
	{"icmpv6.checksum", layerICMPv6, 2 * 8, 16, asChecksum, ""},
	{"icmpv6.echo.identifier", layerICMPv6Echo, 4 * 8, 16, asHex, "icmpv6.ident"},
	{"icmpv6.echo.sequence_number", layerICMPv6Echo, 6 * 8, 16, asNumber, "icmpv6.seq"},
	{"icmpv6.mtu", layerICMPv6TooBig, 4 * 8, 32, asNumber, ""},

	// RFC 9260
	{"sctp.srcport", layerSCTP, 0, 16, asNumber, "sctp.sport"},
	{"sctp.dstport", layerSCTP, 2 * 8, 16, asNumber, "sctp.dport"},
	{"sctp.verification_tag", layerSCTP, 4 * 8, 32, asHex, ""},
	{"sctp.checksum", layerSCTP, 8 * 8, 32, asChecksum, ""},

	// RFC 1112, RFC 2236, RFC 9776
	{"igmp.type", layerIGMP, 0, 8, asHex, ""},
	{"igmp.max_resp", layerIGMP, 8, 8, asNumber, ""},
	{"igmp.checksum", layerIGMP, 2 * 8, 16, asChecksum, ""},
	{"igmp.maddr", layerIGMPGroup, 4 * 8, 32, asIPv4, ""},
}

// ambiguous are names that Wireshark gives to two fields at once.
var ambiguous = map[string]string{
	"eth.addr":  "eth.src and eth.dst",
	"ip.addr":   "ip.src and ip.dst",
	"ip.host":   "ip.src and ip.dst",
	"ipv6.addr": "ipv6.src and ipv6.dst",
	"tcp.port":  "tcp.srcport and tcp.dstport",
	"udp.port":  "udp.srcport and udp.dstport",
	"sctp.port": "sctp.srcport and sctp.dstport",
}

// findField returns the index of the field in the table, or -1.
func findField(name string) int {
	for i := range fields {
		if fields[i].name == name {
			return i
		}
		for alias := range strings.FieldsSeq(fields[i].aliases) {
			if alias == name {
				return i
			}
		}
	}
	return -1
}

// protocol is the first part of the field's name.
func (f *field) protocol() string {
	name, _, _ := strings.Cut(f.name, ".")
	return name
}

// fieldIndex reads the name of a field.
func (p *parser) fieldIndex(t token) (int, error) {
	if i := findField(t.text); i >= 0 {
		return i, nil
	}
	if which := ambiguous[t.text]; which != "" {
		return 0, p.errorf(t, "two fields go by this name in Wireshark: %s", which)
	}
	protocol, _, _ := strings.Cut(t.text, ".")
	var names, protocols, ofProtocol []string
	for i := range fields {
		f := &fields[i]
		names = append(append(names, f.name), strings.Fields(f.aliases)...)
		if n := len(protocols); n == 0 || protocols[n-1] != f.protocol() {
			protocols = append(protocols, f.protocol())
		}
		if f.protocol() == protocol {
			ofProtocol = append(ofProtocol, strings.TrimPrefix(f.name, protocol+"."))
		}
	}
	suggestion := didYouMean(t.text, names)
	if suggestion == "" {
		suggestion = didYouMeanLast(t.text, names)
	}
	if ofProtocol != nil {
		return 0, p.errorf(t, "no such field; those of %s are %s%s", protocol, strings.Join(ofProtocol, ", "), suggestion)
	}
	return 0, p.errorf(t, "no such field; fields have Wireshark's names and are those of %s%s", strings.Join(protocols, ", "), suggestion)
}

// didYouMeanLast is didYouMean for a name without its beginning: "ttl", "syn".
func didYouMeanLast(word string, names []string) string {
	for _, name := range names {
		if strings.HasSuffix(name, "."+strings.ToLower(word)) {
			return fmt.Sprintf("; did you mean %q?", name)
		}
	}
	return ""
}
