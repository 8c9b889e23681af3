package filter

import (
	"strconv"
	"strings"
)

// special reads the terms that are a word of their own.
func (c *compiler) special(t token) *cond {
	c.advance()
	optional := func(make func(n uint32, given bool) *cond) *cond {
		from := c.tok
		n, given := c.optionalNumber()
		if !given {
			from = t
		}
		return located(c, from, func() *cond { return make(n, given) })
	}
	switch t.text {
	case "less":
		return not(test([]stmt{{op: opLoadLen}}, jmpGT, c.expectNumber()))
	case "greater":
		return test([]stmt{{op: opLoadLen}}, jmpGE, c.expectNumber())
	case "byte":
		return c.byteTest(t)
	case "vlan":
		return optional(c.vlan)
	case "mpls":
		return optional(c.mpls)
	case "pppoed":
		return located(c, t, func() *cond { return c.linkProto(etherPPPoED) })
	case "pppoes":
		return optional(c.pppoes)
	case "llc":
		if c.tok.kind == tokName || c.tok.raw == "rnr" {
			t = c.tok
			c.advance()
			return located(c, t, func() *cond { return c.llc(strings.ToLower(t.text)) })
		}
		return located(c, t, func() *cond { return c.llc("") })
	}
	c.tok = t
	c.unexpected("this word begins no condition")
	return nil
}

// optionalNumber reads a number, which may stand in parentheses, if there is one.
func (c *compiler) optionalNumber() (n uint32, given bool) {
	open := 0
	for c.accept("(") {
		open++
	}
	if open == 0 && c.tok.kind != tokNumber {
		return 0, false
	}
	n = c.expectNumber()
	for range open {
		c.expect(")")
	}
	return n, true
}

// byteTest is "byte offset op value", the oldest way to look into a frame.
func (c *compiler) byteTest(t token) *cond {
	offset := c.expectNumber() + c.layout.link
	op := c.tok
	c.advance()
	value := c.expectNumber()
	switch {
	case op.is("="):
		return equal(offset, sizeB, value)
	case op.is("<"):
		return not(test(load(offset, sizeB), jmpGE, value))
	case op.is(">"):
		return test(load(offset, sizeB), jmpGT, value)
	case op.is("&"), op.is("|"):
		c.tok = op
		c.fail("byte with %s is not supported: in tcpdump it reads no byte at all; write ether[%d] %s %d != 0",
			op.raw, offset, op.raw, value)
	}
	c.tok = op
	c.unexpected("one of = < > was expected")
	return nil
}

// numberAddress is a number where an address may stand.
func (c *compiler) numberAddress(n uint32, q qualifiers) *cond {
	switch q.kind {
	case kindDefault, kindHost, kindNet:
		if q.proto == "ether" {
			c.fail("a number is no address of the link layer: ether takes a MAC address")
		}
		mask := uint32(allSet)
		if q.kind == kindNet {
			// "net 10" is short for 10.0.0.0/8.
			for n != 0 && n < 1<<24 {
				n <<= 8
				mask <<= 8
			}
		}
		return c.host(n, mask, q)
	case kindPort:
		return c.ports(onePort(c.checkPort(n)), c.transport(q), q.dir)
	case kindPortRange:
		c.checkPort(n)
		return c.ports(portsBetween(n, n), c.transport(q), q.dir)
	case kindProto:
		return c.proto(n, q)
	}
	c.bareAddress()
	return nil
}

func (c *compiler) checkPort(n uint32) uint32 {
	if n > 65535 {
		c.fail("a port is no greater than 65535")
	}
	return n
}

// transport is the protocol number of the transport asked for, 0 for any.
func (c *compiler) transport(q qualifiers) uint32 {
	switch q.proto {
	case "":
		return 0
	case "tcp", "udp", "sctp":
		return protoWords[q.proto].number
	}
	c.fail("%q has no ports: tcp, udp and sctp have", q.proto)
	return 0
}

// named is a name where an address may stand.
func (c *compiler) named(name string, q qualifiers) *cond {
	switch q.kind {
	case kindPort:
		transport := c.transport(q)
		port, only := c.service(name)
		return c.ports(onePort(port), c.agree(name, transport, only), q.dir)
	case kindPortRange:
		transport := c.transport(q)
		lo, hi, only := c.serviceRange(name)
		return c.ports(portsBetween(lo, hi), c.agree(name, transport, only), q.dir)
	case kindProto:
		return c.proto(c.protocolNumber(name, q.proto), q)
	case kindNet:
		c.fail("names of networks are not supported: nothing is looked up; write a number")
	}
	if q.proto == "ether" {
		c.fail("names of Ethernet hosts are not supported: nothing is looked up; write a MAC address")
	}
	c.fail("host names are not supported: nothing is looked up; write an address")
	return nil
}

// agree settles the transport of a named port: asked is what the qualifiers
// say, has what the service runs over, 0 is any.
func (c *compiler) agree(name string, asked, has uint32) uint32 {
	if asked != 0 && has != 0 && asked != has {
		other := map[uint32]string{6: "tcp", 17: "udp"}[has]
		c.fail("the service %q is one of %s", name, other)
	}
	return max(asked, has)
}

// service looks a port up; only is the transport it is bound to, 0 if several.
func (c *compiler) service(name string) (port, only uint32) {
	s, ok := services[name]
	if !ok {
		failNear(c, name, services, "unknown service; a number is always understood")
	}
	switch s.over {
	case "tcp":
		only = 6
	case "udp":
		only = 17
	}
	return s.port, only
}

// serviceRange reads "80-90", whose ends may be names of services too.
func (c *compiler) serviceRange(text string) (lo, hi, only uint32) {
	from, to, ok := strings.Cut(text, "-")
	if !ok {
		c.fail("a port range is two ports with - between them")
	}
	end := func(s string) (port, only uint32) {
		if n, err := strconv.ParseUint(s, 10, 32); err == nil {
			return c.checkPort(uint32(n)), 0
		}
		return c.service(s)
	}
	lo, only = end(from)
	hi, onlyHi := end(to)
	if only != onlyHi {
		only = 0
	}
	return lo, hi, only
}

// protocolNumber looks up the name of a protocol that p carries.
func (c *compiler) protocolNumber(name string, p protocol) uint32 {
	table := map[protocol]map[string]uint32{
		"": ipNumbers, "ip": ipNumbers, "ip6": ipNumbers, "ether": etherNumbers, "iso": isoNumbers,
	}[p]
	n, ok := table[name]
	if !ok {
		failNear(c, name, table, "unknown protocol; a number is always understood")
	}
	return n
}
