package pcap

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Link types of captured frames that [DecodeLink] understands; the numbers are
// those of https://www.tcpdump.org/linktypes.html.
const (
	LinkNull       = 0   // BSD loopback, the byte order of the host that wrote it
	LinkEthernet   = 1   // Ethernet II or 802.3
	LinkRawBSD     = 12  // as LinkRaw, in files of most BSDs
	LinkRawOpenBSD = 14  // as LinkRaw, in files of OpenBSD
	LinkRaw        = 101 // IPv4 or IPv6 without a link header
	LinkLoop       = 108 // OpenBSD loopback, network byte order
	LinkSLL        = 113 // Linux cooked
	LinkIPv4       = 228
	LinkIPv6       = 229
	LinkSLL2       = 276 // Linux cooked, version 2
)

// EtherTypes that the package knows by name.
const (
	EtherTypeIPv4 = 0x0800
	EtherTypeARP  = 0x0806
	EtherTypeVLAN = 0x8100
	EtherTypeIPv6 = 0x86dd
	EtherTypeQinQ = 0x88a8
)

// IP protocol numbers that the package knows by name.
const (
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
)

// Decoded is the light form of one frame: the header fields that conversations
// are told apart and replayed by. A header that is not there is nil. All slices
// are parts of the frame that was decoded; nothing is copied.
type Decoded struct {
	// Dst and Src are zero for link types without addresses.
	Dst, Src vswitch.MAC

	// VLANs are the 802.1Q and 802.1ad tags, outermost first.
	VLANs []VLAN

	// EtherType is the protocol after the tags; a value under 0x600 is an
	// 802.3 length.
	EtherType uint16

	ARP  *ARP
	IP   *IP
	TCP  *TCP
	UDP  *UDP
	ICMP *ICMP // ICMP or ICMPv6

	// Payload is what follows the last header that was decoded, without
	// Ethernet padding and trailers, as far as the capture holds it.
	// PayloadOffset is where it starts, counted from the frame's first byte.
	Payload       []byte
	PayloadOffset int

	// PayloadLen is the length the headers give the payload: len(Payload) + Missing.
	PayloadLen int

	// Missing is how many bytes that the headers promise the frame does not
	// hold: more than 0 in a capture snapped short, and in a damaged frame.
	Missing int

	// Problem says which header could not be decoded and why; "" if all could.
	// What precedes that header is decoded.
	Problem string
}

// VLAN is one 802.1Q (TPID 0x8100) or 802.1ad (0x88a8) tag.
type VLAN struct {
	TPID     uint16
	ID       uint16 // 12 bits
	Priority uint8  // 3 bits
	DEI      bool
}

// ARP is an ARP packet for IPv4 over Ethernet (RFC 826).
type ARP struct {
	Operation            uint16 // 1 request, 2 reply
	SenderMAC, TargetMAC vswitch.MAC
	SenderIP, TargetIP   netip.Addr
	Offset               int // of the ARP packet in the frame
}

// IP is an IPv4 header (RFC 791), or an IPv6 header with the extension headers
// that follow it (RFC 8200).
type IP struct {
	Version    int // 4 or 6
	Src, Dst   netip.Addr
	Protocol   uint8 // of the payload, after extension headers
	TTL        uint8 // hop limit in IPv6
	TOS        uint8 // traffic class in IPv6
	FlowLabel  uint32
	ID         uint32 // identification; in IPv6 that of the fragment header
	Dont       bool   // IPv4's don't-fragment bit
	More       bool   // more fragments follow
	FragOffset int    // of the payload within the datagram, in bytes

	Offset    int // of the header in the frame
	HeaderLen int // with options or extension headers
	TotalLen  int // header and payload, as the header says; without Ethernet padding
}

// IsFragment reports whether the packet is one of several fragments of a
// datagram. An IPv6 packet with a fragment header that makes it the only
// fragment ("atomic", RFC 6946) is not.
func (ip *IP) IsFragment() bool { return ip.More || ip.FragOffset > 0 }

// TCPFlags are the flag bits of a TCP header (RFC 9293, 3.1).
type TCPFlags uint8

// The bits of [TCPFlags].
const (
	FIN TCPFlags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Has reports whether all bits of f are set.
func (t TCPFlags) Has(f TCPFlags) bool { return t&f == f }

// String writes the flags as tcpdump does: S, F, R, P, U, E, W, and '.' for
// ACK, "none" for no flag.
func (t TCPFlags) String() string {
	if t == 0 {
		return "none"
	}
	s := make([]byte, 0, 8)
	for _, f := range [...]struct {
		bit  TCPFlags
		name byte
	}{{FIN, 'F'}, {SYN, 'S'}, {RST, 'R'}, {PSH, 'P'}, {ACK, '.'}, {URG, 'U'}, {ECE, 'E'}, {CWR, 'W'}} {
		if t&f.bit != 0 {
			s = append(s, f.name)
		}
	}
	return string(s)
}

// TCP is a TCP header.
type TCP struct {
	SrcPort, DstPort uint16
	Seq, Ack         uint32
	Flags            TCPFlags
	Window           uint16 // as it stands in the header, not scaled
	Urgent           uint16
	Options          TCPOptions
	Offset           int // of the header in the frame
	HeaderLen        int
}

// TCPOptions are the options of a TCP header that replay needs.
type TCPOptions struct {
	MSS           int // 0: none
	WindowScale   int // -1: none
	SACKPermitted bool
	SACK          []SACKBlock
	Timestamps    bool
	TSVal, TSEcr  uint32
	Raw           []byte // all option bytes
}

// SACKBlock is one block of received bytes (RFC 2018): Left is its first
// sequence number, Right the one after its last.
type SACKBlock struct{ Left, Right uint32 }

// UDP is a UDP header (RFC 768).
type UDP struct {
	SrcPort, DstPort uint16
	Length           int // header and payload, as the header says
	Checksum         uint16
	Offset           int
}

// ICMP is the fixed head of an ICMP (RFC 792) or ICMPv6 (RFC 4443) message.
type ICMP struct {
	Version    int // 4 or 6, as the IP header
	Type, Code uint8
	ID, Seq    uint16     // of echo messages
	Target     netip.Addr // of neighbour solicitations and advertisements (RFC 4861)
	Via, About netip.Addr // of redirects: the better next hop, and for which destination
	MTU        uint32     // of "fragmentation needed" (RFC 1191) and "packet too big"
	Offset     int
}

// EchoRequest reports whether the message asks for an echo.
func (i *ICMP) EchoRequest() bool {
	return i.Code == 0 && (i.Version == 4 && i.Type == 8 || i.Version == 6 && i.Type == 128)
}

// EchoReply reports whether the message answers an echo request.
func (i *ICMP) EchoReply() bool {
	return i.Code == 0 && (i.Version == 4 && i.Type == 0 || i.Version == 6 && i.Type == 129)
}

// Decode decodes an Ethernet frame without FCS. It accepts any bytes: what
// cannot be decoded is said in Problem.
func Decode(data []byte) *Decoded { return DecodeLink(LinkEthernet, data) }

// DecodeLink decodes a captured frame of a link type, without FCS (see
// [Packet.Frame]). For a link type it does not know, all is Payload and Problem
// says so.
func DecodeLink(linkType int, data []byte) *Decoded {
	d := &decoder{Decoded: Decoded{Payload: data, PayloadLen: len(data)}, data: data}
	d.link(linkType)
	return &d.Decoded
}

// DecodeDatagram decodes the transport header of a datagram that was put
// together from its fragments: ip is the header of the first one, data the whole
// transport segment. Offsets in the result count from data's first byte.
func DecodeDatagram(ip *IP, data []byte) *Decoded {
	whole := *ip
	whole.More, whole.FragOffset, whole.Offset, whole.TotalLen = false, 0, 0, ip.HeaderLen+len(data)
	d := &decoder{Decoded: Decoded{IP: &whole, Payload: data, PayloadLen: len(data)}, data: data}
	d.transport()
	return &d.Decoded
}

// decoder walks down the headers. Its Payload is always what is left.
type decoder struct {
	Decoded
	data  []byte
	short bool // gopacket said that bytes are missing
}

// SetTruncated implements gopacket.DecodeFeedback.
func (d *decoder) SetTruncated() { d.short = true }

// take makes the next n bytes of the payload header; the caller has checked n.
func (d *decoder) take(n int) {
	d.Payload = d.Payload[n:]
	d.PayloadOffset += n
	d.PayloadLen = max(d.PayloadLen-n, 0)
}

// limit bounds the payload to n bytes, of which some may be missing.
func (d *decoder) limit(n int) {
	d.PayloadLen = n
	if n < len(d.Payload) {
		d.Payload = d.Payload[:n:n]
	}
	d.Missing = n - len(d.Payload)
}

func (d *decoder) fail(what string, err error) { d.Problem = what + ": " + err.Error() }

func (d *decoder) failf(format string, args ...any) { d.Problem = fmt.Sprintf(format, args...) }

func (d *decoder) link(linkType int) {
	need := func(n int, what string) bool {
		if len(d.data) < n {
			d.failf("%s header: %d bytes, want %d", what, len(d.data), n)
			return false
		}
		return true
	}
	switch linkType {
	case LinkEthernet:
		if need(14, "Ethernet") {
			d.ethernet()
		}
	case LinkRaw, LinkRawBSD, LinkRawOpenBSD, LinkIPv4, LinkIPv6:
		d.rawIP()
	case LinkNull, LinkLoop:
		if need(4, "loopback") {
			d.loopback()
		}
	case LinkSLL:
		if need(16, "Linux cooked") {
			b := d.data
			d.cooked(16, binary.BigEndian.Uint16(b[2:]), int(binary.BigEndian.Uint16(b[4:])), b[6:14], binary.BigEndian.Uint16(b[14:]))
		}
	case LinkSLL2:
		if need(20, "Linux cooked v2") {
			b := d.data
			d.cooked(20, binary.BigEndian.Uint16(b[8:]), int(b[11]), b[12:20], binary.BigEndian.Uint16(b))
		}
	default:
		d.failf("%s is not decoded", LinkTypeName(linkType))
	}
}

// The values of Linux's ARPHRD_ types whose cooked frames have no EtherType.
const (
	arphrdIEEE80211 = 801 // and the next three, with Prism and radiotap headers
	arphrdNetlink   = 824
)

// cooked decodes what follows a Linux cooked header of n bytes with those fields.
func (d *decoder) cooked(n int, hardware uint16, addrLen int, addr []byte, proto uint16) {
	if addrLen == 6 {
		d.Src = vswitch.MAC(addr[:6])
	}
	d.EtherType = proto
	d.take(n)
	if hardware == arphrdNetlink || hardware >= arphrdIEEE80211 && hardware < arphrdIEEE80211+4 {
		d.EtherType = 0
		return
	}
	if d.tags() && d.EtherType >= 0x600 {
		d.network()
	}
}

// loopback decodes BSD's header, an address family. That of BSD loopback is in the
// byte order of the host that wrote it, which need not be the file's; the value for
// IPv6 differs between systems: 24 in NetBSD and OpenBSD, 28 in FreeBSD, 30 in
// Darwin, 10 in Linux.
func (d *decoder) loopback() {
	family := binary.LittleEndian.Uint32(d.data)
	if big := binary.BigEndian.Uint32(d.data); big < family {
		family = big
	}
	d.take(4)
	switch family {
	case 2:
		d.EtherType = EtherTypeIPv4
	case 10, 24, 28, 30:
		d.EtherType = EtherTypeIPv6
	default:
		return // another protocol: payload
	}
	d.network()
}

// Decodes reports whether [DecodeLink] knows a link type.
func Decodes(linkType int) bool {
	switch linkType {
	case LinkNull, LinkEthernet, LinkRawBSD, LinkRawOpenBSD, LinkRaw, LinkLoop, LinkSLL, LinkIPv4, LinkIPv6, LinkSLL2:
		return true
	}
	return false
}

func (d *decoder) ethernet() {
	var eth layers.Ethernet
	if err := eth.DecodeFromBytes(d.data, d); err != nil {
		d.fail("Ethernet header", err)
		return
	}
	d.Dst, d.Src = vswitch.MAC(eth.DstMAC), vswitch.MAC(eth.SrcMAC)
	// From the bytes: gopacket replaces an 802.3 length by a type of its own.
	d.EtherType = binary.BigEndian.Uint16(d.data[12:])
	d.take(14)
	switch {
	case !d.tags():
	case d.EtherType < 0x600:
		d.limit(int(d.EtherType))
	default:
		d.network()
	}
}

// tags decodes VLAN tags, and reports whether it could.
func (d *decoder) tags() bool {
	for d.EtherType == EtherTypeVLAN || d.EtherType == EtherTypeQinQ {
		var tag layers.Dot1Q
		if err := tag.DecodeFromBytes(d.Payload, d); err != nil {
			d.fail("VLAN tag", err)
			return false
		}
		d.VLANs = append(d.VLANs, VLAN{TPID: d.EtherType, ID: tag.VLANIdentifier, Priority: tag.Priority, DEI: tag.DropEligible})
		d.EtherType = binary.BigEndian.Uint16(d.Payload[2:])
		d.take(4)
	}
	return true
}

// rawIP finds the IP version in the first byte.
func (d *decoder) rawIP() {
	switch {
	case len(d.Payload) == 0:
		d.failf("IP header: no bytes")
		return
	case d.Payload[0]>>4 == 4:
		d.EtherType = EtherTypeIPv4
	case d.Payload[0]>>4 == 6:
		d.EtherType = EtherTypeIPv6
	default:
		d.failf("IP header: version %d", d.Payload[0]>>4)
		return
	}
	d.network()
}

func (d *decoder) network() {
	switch d.EtherType {
	case EtherTypeARP:
		d.arp()
	case EtherTypeIPv4:
		d.ipv4()
	case EtherTypeIPv6:
		d.ipv6()
	}
}

func (d *decoder) arp() {
	var arp layers.ARP
	if err := arp.DecodeFromBytes(d.Payload, d); err != nil {
		d.fail("ARP", err)
		return
	}
	if arp.AddrType != layers.LinkTypeEthernet || arp.Protocol != layers.EthernetTypeIPv4 || arp.HwAddressSize != 6 || arp.ProtAddressSize != 4 {
		return // ARP for something else than IPv4 over Ethernet: payload
	}
	d.ARP = &ARP{
		Operation: arp.Operation,
		SenderMAC: vswitch.MAC(arp.SourceHwAddress), SenderIP: netip.AddrFrom4([4]byte(arp.SourceProtAddress)),
		TargetMAC: vswitch.MAC(arp.DstHwAddress), TargetIP: netip.AddrFrom4([4]byte(arp.DstProtAddress)),
		Offset: d.PayloadOffset,
	}
	d.take(len(arp.Contents))
	d.limit(0) // what follows is padding
}

var _ gopacket.DecodeFeedback = (*decoder)(nil)
