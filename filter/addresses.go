package filter

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

// addresses reads what must follow qualifiers: one address, "not" one, or
// several in parentheses.
func (c *compiler) addresses(q qualifiers) operand {
	defer c.nest()()
	t := c.tok
	switch {
	case t.kind == tokNumber:
		c.advance()
		return operand{shape: shapeNumber, num: t.num, q: q, tok: t}
	case t.is("not"):
		c.advance()
		x := c.asCondition(c.addresses(q))
		x.cond, x.grouped, x.tok = not(x.cond), false, t
		return x
	case t.is("("):
		x := c.group(q)
		if x.shape != shapeNumber && x.shape != shapeAddress {
			c.tok = t
			c.unexpected("addresses were expected in these parentheses")
		}
		return x
	case isAddress(t):
		return c.address(q)
	}
	if t.kind == tokWord {
		c.fail("a name or address was expected; to use this word as a name write \\%s", t.raw)
	}
	c.unexpected("a name or address was expected")
	return operand{}
}

func isAddress(t token) bool {
	switch t.kind {
	case tokDotted, tokIPv6, tokMAC, tokName:
		return true
	}
	return false
}

// bareAddress is the error for an address without qualifiers to inherit.
func (c *compiler) bareAddress() {
	if c.tok.kind == tokName {
		c.unexpected("not a word of the language; a name needs host, net, port or the like before it")
	}
	c.unexpected("an address needs host, net, port, src or the like before it")
}

// address reads one address that is more than a number.
func (c *compiler) address(q qualifiers) operand {
	t := c.tok
	x := operand{shape: shapeAddress, q: q, tok: t}
	if q.kind == kindNone {
		c.bareAddress()
	}
	c.advance()
	switch t.kind {
	case tokName:
		x.cond = located(c, t, func() *cond { return c.named(t.text, q) })
	case tokMAC:
		x.cond = located(c, t, func() *cond {
			if q.proto != "ether" || q.kind != kindHost && q.kind != kindDefault {
				c.fail("a MAC address needs ether host, ether src or ether dst before it")
			}
			return c.etherHost(parseMAC(t.text), q.dir)
		})
	case tokIPv6:
		bits, isNet := c.prefixLength()
		x.cond = located(c, t, func() *cond { return c.ipv6(t.text, bits, isNet, q) })
	case tokDotted:
		if c.accept("mask") {
			m := c.tok
			if m.kind != tokDotted {
				c.unexpected("a mask such as 255.255.255.0 was expected")
			}
			c.advance()
			mask, _ := c.dotted(m)
			x.cond = located(c, t, func() *cond { return c.ipv4Net(t, mask, q) })
			break
		}
		bits, isNet := c.prefixLength()
		x.cond = located(c, t, func() *cond {
			if !isNet {
				return c.ipv4(t, q)
			}
			if bits > 32 {
				c.fail("a mask of IPv4 has no more than 32 bits")
			}
			return c.ipv4Net(t, maskOf(int(bits)), q)
		})
	}
	return x
}

func (c *compiler) prefixLength() (bits uint32, given bool) {
	if !c.accept("/") {
		return 0, false
	}
	return c.expectNumber(), true
}

// dotted reads an IPv4 address of 2 to 4 numbers; what is missing at the end
// is zero, and bits tells how much there is.
func (c *compiler) dotted(t token) (addr uint32, bits int) {
	for part := range strings.SplitSeq(t.text, ".") {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			c.tok = t
			c.fail("not an IPv4 address: %q is not within 0 to 255", part)
		}
		addr = addr<<8 | uint32(n)
		bits += 8
	}
	return addr << (32 - bits), bits
}

func (c *compiler) ipv4(t token, q qualifiers) *cond {
	switch q.kind {
	case kindPort, kindPortRange, kindProto:
		c.fail("an IPv4 address is no port, port range or protocol")
	}
	if q.proto == "ether" {
		c.fail("an IPv4 address is no address of the link layer: ether takes a MAC address")
	}
	if q.proto == "decnet" {
		c.unsupported("decnet addresses are")
	}
	addr, bits := c.dotted(t)
	return c.host(addr, maskOf(bits), q)
}

func (c *compiler) ipv4Net(t token, mask uint32, q qualifiers) *cond {
	addr, _ := c.dotted(t)
	if q.kind != kindNet {
		c.fail("a mask needs net before the address")
	}
	if addr&^mask != 0 {
		c.fail("bits of the address are set that the mask leaves out")
	}
	return c.host(addr, mask, q)
}

func (c *compiler) ipv6(text string, bits uint32, given bool, q qualifiers) *cond {
	if !given {
		bits = 128
	}
	if bits > 128 {
		c.fail("a mask of IPv6 has no more than 128 bits")
	}
	prefix := netip.PrefixFrom(netip.MustParseAddr(text), int(bits))
	if prefix.Masked().Addr() != prefix.Addr() {
		c.fail("bits of the address are set that the mask leaves out")
	}
	switch q.kind {
	case kindDefault, kindHost:
		if bits != 128 {
			c.fail("a mask needs net before the address")
		}
	case kindNet:
	default:
		c.fail("an IPv6 address is no port, port range or protocol")
	}
	return c.host6(prefix, q)
}

func parseMAC(text string) []byte {
	var mac []byte
	digits := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(":-.", r) })
	for _, d := range digits {
		if len(d)%2 != 0 {
			d = "0" + d
		}
		b, _ := hex.DecodeString(d) // the lexer let only hexadecimal digits in
		mac = append(mac, b...)
	}
	return mac
}
