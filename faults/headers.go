package faults

import (
	"encoding/binary"

	"github.com/vnreplay/vnreplay/switch"
)

// EtherTypes (IANA). Those of VLAN tags: IEEE 802.1Q, 802.1ad.
const (
	typeARP   = 0x0806
	typeVLAN  = 0x8100
	typeQinQ  = 0x88a8
	typeIPv4  = 0x0800
	typeIPv6  = 0x86dd
	typeFirst = 0x0600 // smaller values are the length of an IEEE 802.3 frame
)

// linkHeaderLen is the length of the Ethernet header with its VLAN tags, or that
// of the frame if it ends before.
func linkHeaderLen(data []byte) int {
	n := vswitch.HeaderLen
	for n <= len(data) {
		t := binary.BigEndian.Uint16(data[n-2:])
		if t != typeVLAN && t != typeQinQ {
			return n
		}
		n += 4
	}
	return len(data)
}

// ipv6Chain is what an IPv6 packet's extension headers come to.
type ipv6Chain struct {
	protocol byte // that behind the last header which can be read
	upper    int  // where that protocol's header begins, counted from the IPv6 header
	fragment bool // a part of a packet that was cut; not an atomic fragment (RFC 6946)
	later    bool // a fragment other than the first
	// destination is where the address stands, counted from the IPv6 header, that
	// the pseudo-header of a checksum has: the final destination's (RFC 8200,
	// section 8.1). It is 0 if a routing header says that there is another hop
	// and not in a way known here.
	destination int
}

// ipv6Upper walks over the extension headers (RFC 8200, RFC 4302) of a packet of
// at least 40 bytes. It stops behind a fragment header other than the first's,
// where the rest of the chain is in another frame.
func ipv6Upper(packet []byte) ipv6Chain {
	c := ipv6Chain{protocol: packet[6], upper: 40, destination: 24}
	for !c.later {
		length := 0
		rest := packet[c.upper:]
		switch c.protocol {
		case protoHopByHop, protoRouting, protoDestination:
			length = 8
			if len(rest) >= 8 {
				length += int(rest[1]) * 8
			}
		case protoFragment:
			length = 8
		case protoAuth:
			length = 8
			if len(rest) >= 8 {
				length += int(rest[1]) * 4
			}
		}
		if length == 0 || length > len(rest) {
			break
		}
		switch c.protocol {
		case protoFragment:
			offset := binary.BigEndian.Uint16(rest[2:])
			c.later = offset&^7 != 0
			c.fragment = c.fragment || c.later || offset&1 != 0
		case protoRouting:
			c.destination = finalDestination(c.destination, c.upper, rest[:length])
		}
		c.protocol = rest[0]
		c.upper += length
	}
	return c
}

// finalDestination is the offset of the address to which a packet goes in the
// end, given that of the address it goes to now and the routing header at offset
// at; 0 if the header does not say. RFC 8200, section 4.4.
func finalDestination(now, at int, routing []byte) int {
	kind, segmentsLeft, addresses := routing[2], routing[3], len(routing)-8
	switch {
	case segmentsLeft == 0:
		return now
	case addresses < 16:
		return 0
	case (kind == 0 || kind == 2) && addresses%16 == 0: // RFC 2460, section 4.4; RFC 6275, section 6.4
		return at + len(routing) - 16 // the last
	case kind == 4: // RFC 8754, section 2
		return at + 8 // the segments stand in reverse
	}
	return 0
}

// headers is where the headers of a frame are. All offsets are counted from the
// first byte of the Ethernet header. Headers inside a tunnel or in the packet
// that an ICMP error quotes are payload.
type headers struct {
	data      []byte
	link      int    // behind the Ethernet header and its VLAN tags
	etherType uint16 // of what begins there
	version   int    // of IP: 4, 6 or 0
	// Of IP: where the header ends, or 0 if its length is not possible (IPv4
	// only); the protocol, where its header begins, and where the packet ends.
	headerEnd  int
	protocol   byte
	upper, end int
	whole      bool // the packet ends in this frame, where its length says
	fragment   bool // see ipv6Chain; so that a transport checksum covers other frames
	later      bool
	// final is where the final destination's address is, or 0; see ipv6Chain.
	final int
}

// headersOf reads a frame of at least [vswitch.HeaderLen] bytes. An IP length
// that cannot be (beyond the frame, or within the header) is taken to be that of
// the frame, and whole is false.
func headersOf(data []byte) headers {
	h := headers{data: data, link: linkHeaderLen(data)}
	h.etherType = binary.BigEndian.Uint16(data[h.link-2:])
	packet := data[h.link:]
	switch {
	case h.etherType == typeIPv4 && len(packet) >= 20 && packet[0]>>4 == 4:
		h.readIPv4(packet)
	case h.etherType == typeIPv6 && len(packet) >= 40 && packet[0]>>4 == 6:
		h.readIPv6(packet)
	}
	return h
}

// readIPv4 reads RFC 791 headers.
func (h *headers) readIPv4(packet []byte) {
	h.version, h.protocol, h.final = 4, packet[9], h.link+16
	h.end = len(h.data)
	length := int(packet[0]&0x0f) * 4
	if length < 20 || length > len(packet) {
		return
	}
	h.headerEnd = h.link + length
	h.upper = h.headerEnd
	if total := int(binary.BigEndian.Uint16(packet[2:])); total >= length && total <= len(packet) {
		h.end, h.whole = h.link+total, true
	}
	const more, offset = 0x2000, 0x1fff
	fragment := binary.BigEndian.Uint16(packet[6:])
	h.fragment, h.later = fragment&(more|offset) != 0, fragment&offset != 0
}

// readIPv6 reads RFC 8200 headers. Jumbograms (RFC 2675) are larger than any
// frame here.
func (h *headers) readIPv6(packet []byte) {
	h.version, h.headerEnd = 6, h.link+40
	if length := 40 + int(binary.BigEndian.Uint16(packet[4:])); length <= len(packet) {
		packet, h.whole = packet[:length], true
	}
	h.end = h.link + len(packet)
	c := ipv6Upper(packet)
	h.protocol, h.upper, h.fragment, h.later = c.protocol, h.link+c.upper, c.fragment, c.later
	if c.destination != 0 {
		h.final = h.link + c.destination
	}
}

// carries reports whether the header of this protocol over this version of IP (0:
// either) begins in the frame.
func (h *headers) carries(protocol byte, version int) bool {
	return h.version != 0 && (version == 0 || version == h.version) &&
		h.protocol == protocol && h.upper != 0 && !h.later
}
