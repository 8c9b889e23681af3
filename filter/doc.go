// Package filter compiles the filter expressions of tcpdump for Ethernet
// frames, in Go alone, and runs them.
//
// # A map of the package
//
//   - [Compile] turns an expression into a [Filter]; its errors are
//     [*SyntaxError].
//   - [Filter.Match] and [Filter.MatchLen] run it on a frame.
//   - [Filter.Instructions] hands out the program, classic BPF, for
//     golang.org/x/net/bpf or a socket.
//
// A filter matches the frames that tcpdump with libpcap 1.10.3 matches: the
// same ones, to the last truncated header. Where that is not possible or would
// mislead, the expression is refused, by name; nothing is ever quietly matched
// in another way. testdata holds the expressions and libpcap's own programs
// that the tests compare with.
//
// Inside, lexer.go and parser.go (addresses.go, special.go) read the language;
// names.go and tables.go are its words and names. offsets.go knows where the
// headers are, primitives.go and arith.go make conditions of them, graph.go
// joins the conditions into a graph of tests. optimize.go makes that smaller
// (flow.go, values.go, peephole.go, branches.go), emit.go makes the program of
// it that machine.go runs.
//
// # The language
//
// It is that of pcap-filter(7). A term is one of:
//
//	[proto] [dir] [type] address        an address, a port or a protocol
//	proto                               tcp, ip6, arp, ...
//	[ether|ip] broadcast                [ether|ip|ip6] multicast
//	less LENGTH   greater LENGTH        no longer, no shorter than
//	vlan [ID]   mpls [LABEL]            a tag, a label
//	pppoed   pppoes [SESSION]           PPPoE discovery, session
//	llc [TYPE]                          802.3 with LLC: i s u rr rnr rej ui ua disc dm sabme test xid frmr
//	number RELATION number              = == != > < >= <=
//	byte OFFSET RELATION VALUE          = < >
//
// Qualifiers of addresses:
//
//	proto   ip ip6 arp rarp tcp udp sctp, ether (or link), iso, isis
//	dir     src   dst   src or dst   src and dst
//	type    host (the default)   net   port   portrange   proto
//
// Addresses:
//
//	host        10.0.0.1   2001:db8::1   after ether: aa:bb:cc:dd:ee:ff, aa-bb-..., aabb.ccdd.eeff
//	net         10.0.0.0/8   10.0.0.0 mask 255.0.0.0   2001:db8::/32   and short: 10, 192.168, 192.168.1
//	port        0 to 65535, or the name of a service: http, https, domain, ssh, ... (tables.go)
//	portrange   80-90, also with names
//	proto       a number or a name: after ip, ip6 or nothing of a protocol over IP (tcp, gre, ospf, ...);
//	            after ether of one over Ethernet (ip, arp, stp, ...): up to 1500 it is a service access
//	            point of LLC, above an EtherType. Names that are words of the language take a
//	            backslash: ip proto \tcp
//
// Protocols that are a term by themselves:
//
//	over Ethernet   ip ip6 arp rarp atalk aarp decnet lat sca mopdl moprc stp ipx netbeui iso
//	over IP         tcp udp sctp ah esp pim (IPv4 and IPv6), icmp igmp igrp vrrp carp (IPv4), icmp6 (IPv6)
//	over ISO        clnp esis isis, and of isis: l1 l2 iih lsp snp csnp psnp
//
// Numbers are unsigned and have 32 bits; 0x... is hexadecimal, 0... octal:
//
//	proto[OFFSET]  proto[OFFSET:SIZE]   bytes of a header, SIZE is 1 (the default), 2 or 4
//	len                                 the length of the frame
//	tcp-syn, icmp-echo, icmp6type, ...  constants (names.go)
//	+ - * / % & | ^ << >>  - ( )        arithmetic
//
// where proto is ether, ip, ip6, arp, rarp, atalk, decnet, lat, sca, mopdl,
// moprc, or a header behind IPv4: tcp, udp, sctp, icmp, igmp, igrp, pim, vrrp,
// carp; or icmp6.
//
// Terms are joined with and (&&), or (||), not (!) and parentheses. Not binds
// tightest; and and or bind equally, from left to right:
//
//	arp or tcp and port 80         is (arp or tcp) and port 80
//
// Addresses joined to one another inherit the qualifiers before them:
//
//	tcp dst port 80 or 443         is tcp dst port 80 or tcp dst port 443
//	not host 10.0.0.1 and 10.0.0.2 is not host 10.0.0.1 and host 10.0.0.2
//
// In arithmetic | binds least, then &, then << and >>, then + and -, then * and
// /, then unary minus. As in libpcap, % and ^ have no rank: whatever follows is
// their right side, so "len % 10 + 4" is len % 14.
//
// # What it means
//
// A test that has to look beyond the end of the frame ends the filter without a
// match, also under not: "not tcp[100] = 1" does not match a shorter packet.
// What a test looks at, and in which order, is what libpcap's optimiser leaves
// of the expression. A test before which another settles the matter is not
// made: "ip or tcp[100] = 1" matches any IPv4 packet.
//
// Lengths and offsets of ether count from the destination address on; the frame
// check sequence is no part of a frame.
//
// Fragments: ports and tcp[...], udp[...] and so on are of no later fragment of
// an IPv4 packet (RFC 791), and "tcp" is any. In IPv6 (RFC 8200) tcp[...],
// udp[...] and sctp[...] never match; ports are looked for right behind the
// fixed header, "tcp" also behind one fragment header, whatever the offset. No
// other extension header is looked past.
//
// Tags: vlan matches the EtherTypes 0x8100, 0x88a8 and 0x9100 (IEEE 802.1Q,
// 802.1ad) and moves what all words after it look at by the four bytes of the
// tag, or or not, to the end of the expression. "vlan 7 and vlan 5 and tcp" is
// two tags and TCP behind them; "vlan or ip" looks for IPv4 behind a tag only;
// "ip or vlan" is what is meant by it. ether keeps counting from the beginning
// of the frame. mpls (RFC 3032) does the same with labels, after which only ip
// and ip6 can be told apart, by their version; pppoes (RFC 2516) with the
// headers up to the PPP frame, and moves ether as well.
//
// Broadcast: "ip broadcast" is the destinations 255.255.255.255 and 0.0.0.0,
// since the netmask is not known of a frame that was recorded.
//
// Arithmetic with the header of another protocol asks only for the protocol of
// its leftmost part on either side of the relation, as in libpcap: "ip[0] +
// tcp[0] > 1" is tried on any IPv4 packet. A division by zero in the course of a
// filter ends it without a match; one that the expression shows is an error.
//
// An expression that can match no frame, such as "ip and not ip", is an error,
// as in tcpdump.
//
// # What is refused
//
//   - Names of hosts, networks and Ethernet hosts: nothing is looked up. Names
//     of services and protocols that are not in tables.go.
//   - What only a live capture knows: inbound, outbound, ifindex; ifname, rulenum
//     and the other words for logs of the pf firewall.
//   - Other link layers: ppp, slip, fddi, tr, wlan and all words for 802.11, ATM
//     and SS7. (libpcap takes the first five for another spelling of ether.)
//   - protochain, geneve, gateway, addresses of DECnet, ARCnet.
//   - "byte N & V" and "byte N | V", which in libpcap test no byte at all.
//   - Offsets from 0xfffff000 on, which Linux does not take for bytes.
//   - Expressions above 64 KiB, nested deeper than 500, of more than 8192 tests
//     or 4096 instructions.
//
// # Sources
//
// pcap-filter(7) of libpcap 1.10.3 for the language; RFC 791, 8200, 3032, 2516,
// 9293, 768, 9260, 792, 4443 and IEEE 802.3, 802.1Q for the headers; the
// registries of IANA for the numbers; McCanne and Jacobson, "The BSD Packet
// Filter" (USENIX 1993), and Begel, McCanne and Graham, "BPF+" (SIGCOMM 1999),
// for the machine and the ways to make a program for it smaller.
//
// The package imports the standard library and golang.org/x/net/bpf only.
package filter
