package filter

// Numbers of protocols, from the registries that the RFCs keep at IANA and IEEE.
const (
	etherIPv4     = 0x0800
	etherARP      = 0x0806
	etherRARP     = 0x8035
	etherVLAN     = 0x8100
	etherIPX      = 0x8137
	etherIPv6     = 0x86dd
	etherMPLS     = 0x8847
	etherPPPoED   = 0x8863
	etherPPPoES   = 0x8864
	etherQinQ     = 0x88a8 // IEEE 802.1ad
	etherOldQinQ  = 0x9100
	etherAppleARP = 0x80f3
	etherApple    = 0x809b
	etherDECnet   = 0x6003

	sapSTP     = 0x42
	sapIP      = 0x06
	sapSNAP    = 0xaa
	sapIPX     = 0xe0
	sapNetBEUI = 0xf0
	sapISO     = 0xfe

	// maxLength is the largest value of the type field that is a length
	// (IEEE 802.3): what is above is an EtherType, what is not is followed
	// by an LLC header.
	maxLength = 1500

	pppMPLS = 0x0281

	protoFragment = 44 // IPv6 fragment header
	protoICMPv6   = 58
)

// layout is where the headers begin, in bytes from the start of the frame.
// The words vlan, mpls and pppoes move it on for all that follows them.
type layout struct {
	link      uint32 // the header that ether[...] looks into
	linkType  uint32 // the EtherType (or PPP protocol) to test
	payload   uint32 // what follows the link header: the LLC header of 802.3
	net       uint32 // the network header, from payload
	netNoSNAP uint32 // the same when an LLC header without SNAP precedes it
	labels    int    // MPLS labels passed
	ppp       bool   // inside PPPoE: linkType is a PPP protocol
}

func ethernet() layout {
	return layout{linkType: 12, payload: 14, netNoSNAP: 3}
}

func (at *layout) network() uint32 { return at.payload + at.net }

// load reads size (sizeB, sizeH or sizeW) at offset from the start of the frame.
func load(offset uint32, size uint16) []stmt {
	return []stmt{{classLD | modeABS | size, offset}}
}

// loadTransport4 reads at offset from the end of the IPv4 header.
func (at *layout) loadTransport4(offset uint32, size uint16) []stmt {
	return []stmt{
		{opLoadXMSH, at.network()},
		{classLD | modeIND | size, at.network() + offset},
	}
}

// equal tests a field of the frame against v.
func equal(offset uint32, size uint16, v uint32) *cond {
	return test(load(offset, size), jmpEQ, v)
}

// equalMasked tests the bits of a field that mask has against v.
func equalMasked(offset uint32, size uint16, v, mask uint32) *cond {
	s := load(offset, size)
	if mask != allSet {
		s = append(s, stmt{classALU | aluAND | srcK, mask})
	}
	return test(s, jmpEQ, v)
}

// equalBytes tests the bytes at offset, in words from the end backwards: the
// last bytes of an address tell more than the first.
func equalBytes(offset uint32, v []byte) *cond {
	var out *cond
	for len(v) > 0 {
		n, size := 4, uint16(sizeW)
		switch {
		case len(v) < 2:
			n, size = 1, sizeB
		case len(v) < 4:
			n, size = 2, sizeH
		}
		var word uint32
		for _, b := range v[len(v)-n:] {
			word = word<<8 | uint32(b)
		}
		v = v[:len(v)-n]
		out = all(out, equal(offset+uint32(len(v)), size, word))
	}
	return out
}

// is8023 tests for a frame with a length instead of an EtherType.
func (at *layout) is8023() *cond {
	return not(test(load(at.linkType, sizeH), jmpGT, maxLength))
}

// snap tests for an LLC header with SNAP and, in it, organisation and protocol.
func (at *layout) snap(org uint32, proto uint16) *cond {
	return equalBytes(at.payload, []byte{
		sapSNAP, sapSNAP, 0x03, // unnumbered information
		byte(org >> 16), byte(org >> 8), byte(org),
		byte(proto >> 8), byte(proto),
	})
}

// linkProto tests which protocol the link header says it carries: an EtherType
// when above maxLength, else an LLC service access point.
func (c *compiler) linkProto(proto uint32) *cond {
	at := &c.layout
	switch {
	case at.labels > 0:
		return c.mplsProto(proto)
	case at.ppp:
		return equal(at.linkType, sizeH, pppProto(proto))
	}
	switch proto {
	case sapISO, sapIP, sapNetBEUI:
		return and(at.is8023(), equal(at.payload, sizeH, proto<<8|proto))
	case sapIPX:
		// Four encapsulations are in use: the EtherType, and within 802.3
		// SNAP, the service access point, and Novell's frames that begin
		// with a checksum of all ones where LLC would be.
		return either(
			equal(at.linkType, sizeH, etherIPX),
			and(at.is8023(), either(
				at.snap(0, etherIPX),
				equal(at.payload, sizeB, sapIPX),
				equal(at.payload, sizeH, 0xffff))))
	case etherApple:
		return or(equal(at.linkType, sizeH, proto), and(at.is8023(), at.snap(0x080007, etherApple)))
	case etherAppleARP:
		return or(equal(at.linkType, sizeH, proto), and(at.is8023(), at.snap(0, etherAppleARP)))
	}
	if proto <= maxLength {
		return and(at.is8023(), equal(at.linkType+2, sizeB, proto))
	}
	return equal(at.linkType, sizeH, proto)
}

// mplsProto guesses what follows the last label: MPLS does not say, so the
// version field of the IP header has to.
func (c *compiler) mplsProto(proto uint32) *cond {
	var version uint32
	switch proto {
	case etherIPv4:
		version = 0x40
	case etherIPv6:
		version = 0x60
	default:
		c.fail("only ip and ip6 can be told apart after mpls")
	}
	bottom := equalMasked(c.layout.network()-2, sizeB, 0x01, 0x01)
	return and(bottom, equalMasked(c.layout.network(), sizeB, version, 0xf0))
}

// pppProto translates an EtherType or service access point into PPP's number
// for the same protocol; what has none is left as it is and matches nothing
// that PPP carries.
func pppProto(proto uint32) uint32 {
	switch proto {
	case etherIPv4:
		return 0x0021
	case etherIPv6:
		return 0x0057
	case etherDECnet:
		return 0x0027
	case etherApple:
		return 0x0029
	case 0x0600: // Xerox NS
		return 0x0025
	case sapISO:
		return 0x0023
	case sapSTP:
		return 0x0031
	case sapIPX:
		return 0x002b
	}
	return proto
}

// vlan tests for a tag (with the number vid, when asked for) and lets all that
// follows look behind it.
func (c *compiler) vlan(vid uint32, asked bool) *cond {
	if c.layout.labels > 0 {
		c.fail("a VLAN tag cannot be matched after mpls")
	}
	if c.layout.ppp {
		c.fail("a VLAN tag cannot be matched after pppoes")
	}
	tag := either(c.linkProto(etherVLAN), c.linkProto(etherQinQ), c.linkProto(etherOldQinQ))
	if asked {
		if vid > 0xfff {
			c.fail("VLAN number %d is greater than %d", vid, 0xfff)
		}
		tag = and(tag, equalMasked(c.layout.network(), sizeH, vid, 0xfff))
	}
	c.layout.linkType += 4
	c.layout.payload += 4
	return tag
}

// mpls tests for a label and lets all that follows look behind it.
func (c *compiler) mpls(label uint32, asked bool) *cond {
	at := &c.layout
	var found *cond
	if at.labels > 0 {
		// There is another label when the one before is not the last.
		found = equalMasked(at.network()-2, sizeB, 0, 0x01)
	} else if at.ppp {
		found = c.linkProto(pppMPLS)
	} else {
		found = c.linkProto(etherMPLS)
	}
	if asked {
		if label > 0xfffff {
			c.fail("MPLS label %d is greater than %d", label, 0xfffff)
		}
		found = and(found, equalMasked(at.network(), sizeW, label<<12, 0xfffff000))
	}
	at.net += 4
	at.netNoSNAP += 4
	at.labels++
	return found
}

// pppoes tests for a PPPoE session frame (RFC 2516) and lets all that follows
// look into the PPP frame that it carries.
func (c *compiler) pppoes(session uint32, asked bool) *cond {
	found := c.linkProto(etherPPPoES)
	if asked {
		if session > 0xffff {
			c.fail("PPPoE session %d is greater than %d", session, 0xffff)
		}
		found = and(found, equalMasked(c.layout.network(), sizeW, session, 0xffff))
	}
	ppp := c.layout.network() + 6
	c.layout.link, c.layout.linkType, c.layout.payload = ppp, ppp, ppp+2
	c.layout.net, c.layout.netNoSNAP = 0, 0
	c.layout.ppp = true
	return found
}
