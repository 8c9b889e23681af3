package faults

import "encoding/binary"

// layer is a header, or a part of one, in which named fields stand at fixed
// places. What decides whether a frame has a field is here; the fields are rows
// of a table.
type layer int

const (
	layerEthernet  layer = iota
	layerEtherType       // the two bytes behind the addresses, unless they are a length
	layerVLAN            // the outermost tag, from its TPID on
	layerVLANType        // the two bytes behind that tag, unless they are a length
	layerARP
	layerARPAddresses // those of Ethernet and IPv4
	layerIPv4
	layerIPv6
	layerTCP
	layerTCPMaxSegment // options, from their kind on
	layerTCPWindowScale
	layerTCPTimestamps
	layerUDP
	layerICMP
	layerICMPQuery  // with an identifier and a number
	layerICMPTooBig // destination unreachable, of which "fragmentation needed" has an MTU
	layerICMPv6
	layerICMPv6Echo
	layerICMPv6TooBig
	layerSCTP
	layerIGMP
	layerIGMPGroup // messages about one group
)

// upperLayers are the protocols over IP, the version over which they go (0:
// either), and, of those that have types, the types of the layer.
var upperLayers = map[layer]struct {
	protocol byte
	version  int
	types    string // first bytes; "": any
}{
	layerTCP:  {protoTCP, 0, ""},
	layerUDP:  {protoUDP, 0, ""},
	layerSCTP: {protoSCTP, 0, ""},
	layerIGMP: {protoIGMP, 4, ""},
	// Queries, reports and leaves; the reports of version 3 have a list.
	layerIGMPGroup: {protoIGMP, 4, "\x11\x12\x16\x17"}, // RFC 2236
	layerICMP:      {protoICMP, 4, ""},
	// Echo, timestamp, information (RFC 792) and address mask (RFC 950), request
	// and reply of each.
	layerICMPQuery:    {protoICMP, 4, "\x00\x08\x0d\x0e\x0f\x10\x11\x12"},
	layerICMPTooBig:   {protoICMP, 4, "\x03"}, // RFC 1191
	layerICMPv6:       {protoICMPv6, 6, ""},
	layerICMPv6Echo:   {protoICMPv6, 6, "\x80\x81"}, // RFC 4443
	layerICMPv6TooBig: {protoICMPv6, 6, "\x02"},
}

// tcpOptions are the options that have fields, and the only length each can have:
// RFC 9293, section 3.2; RFC 7323, sections 2.2 and 3.2.
var tcpOptions = map[layer]struct{ kind, length byte }{
	layerTCPMaxSegment:  {2, 4},
	layerTCPWindowScale: {3, 3},
	layerTCPTimestamps:  {8, 10},
}

// find returns where a layer begins and where the last byte that can belong to it
// ends. ok is false if the frame does not have it.
func (h *headers) find(l layer) (start, end int, ok bool) {
	size := len(h.data)
	switch l {
	case layerEthernet:
		return 0, size, true
	case layerEtherType:
		return 12, 14, isType(h.data[12:])
	case layerVLAN, layerVLANType:
		if t := binary.BigEndian.Uint16(h.data[12:]); t != typeVLAN && t != typeQinQ {
			return 0, 0, false
		}
		return 12, min(18, size), l == layerVLAN || isType(h.data[min(16, size):])
	case layerARP:
		return h.link, size, h.etherType == typeARP
	case layerARPAddresses:
		ok = h.etherType == typeARP && size >= h.link+8 &&
			string(h.data[h.link:h.link+6]) == "\x00\x01\x08\x00\x06\x04"
		return h.link, size, ok
	case layerIPv4:
		return h.link, size, h.version == 4
	case layerIPv6:
		return h.link, size, h.version == 6
	}
	if option, isOption := tcpOptions[l]; isOption {
		return h.findOption(option.kind, option.length)
	}
	upper := upperLayers[l]
	if !h.carries(upper.protocol, upper.version) || h.upper >= h.end {
		return 0, 0, false
	}
	if upper.types != "" && !hasByte(upper.types, h.data[h.upper]) {
		return 0, 0, false
	}
	return h.upper, h.end, true
}

// isType reports whether b begins with an EtherType and not with the length of an
// IEEE 802.3 frame.
func isType(b []byte) bool { return len(b) >= 2 && binary.BigEndian.Uint16(b) >= typeFirst }

func hasByte(s string, b byte) bool {
	for i := range len(s) {
		if s[i] == b {
			return true
		}
	}
	return false
}

// findOption returns where a TCP option begins and ends: RFC 9293, section 3.1.
// One of another length than it must have is not found.
func (h *headers) findOption(kind, length byte) (start, end int, ok bool) {
	const endOfList, noOperation, fixed = 0, 1, 20
	if !h.carries(protoTCP, 0) || h.upper+fixed > h.end {
		return 0, 0, false
	}
	at, limit := h.upper+fixed, h.upper+int(h.data[h.upper+12]>>4)*4
	if limit > h.end {
		return 0, 0, false
	}
	for at < limit && h.data[at] != endOfList {
		if h.data[at] == noOperation {
			at++
			continue
		}
		if at+2 > limit || h.data[at+1] < 2 || at+int(h.data[at+1]) > limit {
			return 0, 0, false
		}
		if h.data[at] == kind && h.data[at+1] == length {
			return at, at + int(length), true
		}
		at += int(h.data[at+1])
	}
	return 0, 0, false
}
