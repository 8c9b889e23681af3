package filter

import "net/netip"

// protoWord is the condition that the word for a protocol is on its own.
func (c *compiler) protoWord(p protocol) *cond {
	if w, ok := protoWords[p]; ok {
		switch w.over {
		case overLink:
			return c.linkProto(w.number)
		case overIP:
			return c.ipProto(w.number, "ip")
		case overIP6:
			return c.ipProto(w.number, "ip6")
		case overBoth:
			return c.ipProto(w.number, "")
		case overISO:
			return c.isoProto(w.number)
		}
	}
	if pdus, ok := isisWords[p]; ok {
		var out *cond
		for _, pdu := range pdus {
			out = either(out, c.isisType(pdu))
		}
		return out
	}
	c.fail("%q is no protocol to match by itself", p)
	return nil
}

// ipProto tests the protocol number of IPv4, of IPv6, or of either.
//
// In IPv6 it is the next header of the fixed header, or the one that follows
// when that is a fragment header; other extension headers are not looked past.
func (c *compiler) ipProto(n uint32, family protocol) *cond {
	at := &c.layout
	var v4, v6 *cond
	if family != "ip6" {
		v4 = and(c.linkProto(etherIPv4), equal(at.network()+9, sizeB, n))
	}
	if family != "ip" {
		v6 = and(c.linkProto(etherIPv6), or(
			equal(at.network()+6, sizeB, n),
			and(equal(at.network()+6, sizeB, protoFragment), equal(at.network()+40, sizeB, n))))
	}
	return either(v4, v6)
}

func (c *compiler) isoProto(n uint32) *cond {
	return and(c.linkProto(sapISO), equal(c.layout.payload+c.layout.netNoSNAP, sizeB, n))
}

func (c *compiler) isisType(n uint32) *cond {
	return and(c.isoProto(isoISIS), equal(c.layout.payload+c.layout.netNoSNAP+4, sizeB, n))
}

// proto is "proto n" with what stands before it.
func (c *compiler) proto(n uint32, q qualifiers) *cond {
	if q.dir != dirDefault {
		c.fail("a protocol has no direction: src and dst do not apply to proto")
	}
	switch q.proto {
	case "", "ip", "ip6":
		return c.ipProto(n, q.proto)
	case "ether":
		return c.linkProto(n)
	case "iso":
		return c.isoProto(n)
	case "isis":
		return c.isisType(n)
	}
	c.fail("%q does not go with proto: ip, ip6, ether, iso and isis do", q.proto)
	return nil
}

// host is an IPv4 host or net: the bits of addr that mask has.
func (c *compiler) host(addr, mask uint32, q qualifiers) *cond {
	what := "host"
	if q.kind == kindNet {
		what = "net"
	}
	in := func(etherType, src, dst uint32) *cond {
		side := func(offset uint32) func() *cond {
			return func() *cond {
				proto := c.linkProto(etherType)
				return and(proto, equalMasked(c.layout.network()+offset, sizeW, addr, mask))
			}
		}
		return inDirection(q.dir, side(src), side(dst))
	}
	switch q.proto {
	case "":
		ip := in(etherIPv4, 12, 16)
		if c.layout.labels > 0 {
			return ip
		}
		return either(ip, in(etherARP, 14, 24), in(etherRARP, 14, 24))
	case "ip":
		return in(etherIPv4, 12, 16)
	case "arp":
		return in(etherARP, 14, 24)
	case "rarp":
		return in(etherRARP, 14, 24)
	case "decnet":
		c.unsupported("decnet addresses are")
	}
	c.fail("%q does not go with an IPv4 %s: ip, arp and rarp do", q.proto, what)
	return nil
}

// host6 is an IPv6 host or net.
func (c *compiler) host6(prefix netip.Prefix, q qualifiers) *cond {
	if q.proto != "" && q.proto != "ip6" {
		c.fail("%q does not go with an IPv6 address: ip6 does", q.proto)
	}
	addr := prefix.Addr().As16()
	side := func(offset uint32) func() *cond {
		return func() *cond {
			out := c.linkProto(etherIPv6)
			left := prefix.Bits()
			for i := range uint32(4) {
				bits := min(max(left, 0), 32)
				left -= 32
				out = and(out, equalMasked(c.layout.network()+offset+4*i, sizeW,
					word(addr[4*i:]), maskOf(bits)))
			}
			return out
		}
	}
	return inDirection(q.dir, side(8), side(24))
}

func word(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// maskOf is the mask of the first bits of a word; a shift by 32 gives 0.
func maskOf(bits int) uint32 { return allSet << (32 - bits) }

// etherHost compares the addresses of the link header.
func (c *compiler) etherHost(mac []byte, dir direction) *cond {
	if c.layout.ppp {
		c.fail("there is no Ethernet address after pppoes")
	}
	return inDirection(dir,
		func() *cond { return equalBytes(c.layout.link+6, mac) },
		func() *cond { return equalBytes(c.layout.link, mac) })
}

// notLaterFragment tests that the IPv4 packet begins with its transport header.
func (at *layout) notLaterFragment() *cond {
	return not(test(load(at.network()+6, sizeH), jmpSET, 0x1fff))
}

// portTest makes the condition on one port, given how to load it.
type portTest func(loadPort func() []stmt) *cond

func onePort(n uint32) portTest {
	return func(loadPort func() []stmt) *cond { return test(loadPort(), jmpEQ, n) }
}

func portsBetween(lo, hi uint32) portTest {
	if lo > hi {
		lo, hi = hi, lo
	}
	return func(loadPort func() []stmt) *cond {
		return and(test(loadPort(), jmpGE, lo), not(test(loadPort(), jmpGT, hi)))
	}
}

// ports tests the ports of TCP, UDP and SCTP, or of the one transport given.
// IPv6 is matched when the transport header follows the fixed header at once,
// IPv4 when the packet is no later fragment.
func (c *compiler) ports(is portTest, transport uint32, dir direction) *cond {
	at := &c.layout
	transports := []uint32{132, 6, 17}
	if transport != 0 {
		transports = []uint32{transport}
	}
	over := func(before func(transport uint32) *cond, loadPort func(offset uint32) []stmt) *cond {
		var out *cond
		for _, t := range transports {
			side := func(offset uint32) func() *cond {
				return func() *cond { return is(func() []stmt { return loadPort(offset) }) }
			}
			out = either(out, and(before(t), inDirection(dir, side(0), side(2))))
		}
		return out
	}
	v6 := and(c.linkProto(etherIPv6), over(
		func(t uint32) *cond { return equal(at.network()+6, sizeB, t) },
		func(offset uint32) []stmt { return load(at.network()+40+offset, sizeH) }))
	v4 := and(c.linkProto(etherIPv4), over(
		func(t uint32) *cond { return and(equal(at.network()+9, sizeB, t), at.notLaterFragment()) },
		func(offset uint32) []stmt { return at.loadTransport4(offset, sizeH) }))
	return or(v6, v4)
}

// broadcast is "broadcast", of the link header or of IPv4.
func (c *compiler) broadcast(p protocol) *cond {
	switch p {
	case "", "ether":
		return c.etherHost([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, dirDst)
	case "ip":
		// The netmask of a frame that was not just captured is not known:
		// only the addresses of all zeros and all ones are.
		at := c.layout.network() + 16
		return and(c.linkProto(etherIPv4), or(equal(at, sizeW, 0), equal(at, sizeW, allSet)))
	}
	c.fail("%q does not go with broadcast: ether and ip do", p)
	return nil
}

// multicast is "multicast", of the link header, IPv4 or IPv6.
func (c *compiler) multicast(p protocol) *cond {
	at := c.layout.network()
	switch p {
	case "", "ether":
		if c.layout.ppp {
			c.fail("there is no Ethernet address after pppoes")
		}
		return test(load(c.layout.link, sizeB), jmpSET, 1)
	case "ip":
		return and(c.linkProto(etherIPv4), test(load(at+16, sizeB), jmpGE, 224))
	case "ip6":
		return and(c.linkProto(etherIPv6), equal(at+24, sizeB, 255))
	}
	c.fail("%q does not go with multicast: ether, ip and ip6 do", p)
	return nil
}

// llc is "llc" with the type of frame that may follow it.
func (c *compiler) llc(kind string) *cond {
	at := &c.layout
	if at.ppp {
		c.fail("there is no LLC header after pppoes")
	}
	frame := and(at.is8023(), not(equal(at.payload, sizeH, 0xffff)))
	control := at.payload + 2
	if kind == "" {
		return frame
	}
	if kind == "i" {
		return and(frame, not(test(load(control, sizeB), jmpSET, 0x01)))
	}
	is, ok := llcWords[kind]
	if !ok {
		c.fail("unknown type of LLC frame")
	}
	return and(frame, equalMasked(control, sizeB, is.value, is.mask))
}
