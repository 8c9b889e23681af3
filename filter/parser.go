package filter

// maxNesting bounds how deep parentheses, not and unary minus may nest, so that
// no expression can exhaust the stack.
const maxNesting = 500

// The grammar is the one of pcap-filter(7), read by recursive descent. Its one
// difficulty is that a parenthesis may hold a filter, addresses that inherit
// qualifiers, or arithmetic, which only the contents tell; so what was read
// comes back as an operand that says which of them it turned out to be.
type operand struct {
	shape   shape
	num     uint32
	arith   *arith
	cond    *cond
	q       qualifiers // what an address that follows would inherit
	grouped bool       // an address list in parentheses
	tok     token      // where it begins
}

type shape uint8

const (
	shapeNumber  shape = iota // a number: address, port or arithmetic
	shapeArith                // arithmetic that is more than a number
	shapeAddress              // an address, or several joined
	shapeTerm                 // a whole condition
)

var nothing = qualifiers{kind: kindNone}

func (c *compiler) advance() { c.tok = c.next() }

func (c *compiler) nest() func() {
	if c.depth++; c.depth > maxNesting {
		c.fail("nested more than %d deep", maxNesting)
	}
	return func() { c.depth-- }
}

// accept takes the token when it is the given word or symbol.
func (c *compiler) accept(text string) bool {
	if !c.tok.is(text) {
		return false
	}
	c.advance()
	return true
}

func (c *compiler) expect(text string) {
	if !c.accept(text) {
		c.unexpected("%q was expected", text)
	}
}

func (c *compiler) expectNumber() uint32 {
	if c.tok.kind != tokNumber {
		c.unexpected("a number was expected")
	}
	n := c.tok.num
	c.advance()
	return n
}

// filter reads the whole expression; nil stands for the empty one.
func (c *compiler) filter() *cond {
	c.advance()
	if c.tok.kind == tokEnd {
		return nil
	}
	x := c.sequence(nothing)
	if c.tok.kind != tokEnd {
		c.unexpected("\"and\", \"or\" or the end was expected")
	}
	c.wantTerm(x)
	return x.cond
}

func (c *compiler) wantTerm(x operand) {
	switch x.shape {
	case shapeTerm:
		return
	case shapeArith:
		if c.tok.kind == tokEnd {
			c.fail("a comparison was expected")
		}
		c.unexpected("a comparison was expected")
	}
	c.tok = x.tok
	c.bareAddress()
}

// sequence reads operands joined with and/or. Both bind equally and to the
// left: "a or b and c" is "(a or b) and c".
func (c *compiler) sequence(inherit qualifiers) operand {
	x := c.operand(inherit)
	first := true
	for c.tok.is("and") || c.tok.is("or") {
		if first {
			first = false
			if x.grouped {
				// The grammar has no address list that begins with one in
				// parentheses.
				c.unexpected("%q was expected", ")")
			}
			x = c.asCondition(x)
		}
		join := and
		if c.tok.is("or") {
			join = or
		}
		c.advance()
		y := c.asCondition(c.operand(x.q))
		if x.shape == shapeAddress && y.shape == shapeTerm {
			c.tok = y.tok
			c.unexpected("another address was expected, as before it")
		}
		x.cond, x.q = join(x.cond, y.cond), y.q
	}
	return x
}

// asCondition makes an address of a number that stands for one.
func (c *compiler) asCondition(x operand) operand {
	switch x.shape {
	case shapeNumber:
		x.cond = located(c, x.tok, func() *cond { return c.numberAddress(x.num, x.q) })
		x.shape = shapeAddress
	case shapeArith:
		c.unexpected("a comparison was expected")
	}
	return x
}

// operand reads one operand of and/or, or of not.
func (c *compiler) operand(inherit qualifiers) operand {
	defer c.nest()()
	t := c.tok
	x := operand{shape: shapeTerm, q: nothing, tok: t}
	switch {
	case t.is("not"):
		c.advance()
		x = c.asCondition(c.operand(inherit))
		x.cond, x.grouped, x.tok = not(x.cond), false, t
		return x
	case t.is("("):
		x = c.group(inherit)
	case t.kind == tokNumber:
		c.advance()
		x.shape, x.num, x.q = shapeNumber, t.num, inherit
	case t.is("-") || t.is("len"):
		x.shape, x.arith = shapeArith, c.unary()
	case isAddress(t):
		return c.address(inherit)
	case t.kind == tokWord && isProtocol(t.text):
		c.advance()
		if c.tok.is("[") {
			x.shape, x.arith = shapeArith, c.index(protocol(t.text))
			break
		}
		return c.afterProtocol(protocol(t.text), x)
	case t.kind == tokWord && (isQualifier(t.text) || t.is("broadcast") || t.is("multicast")):
		return c.afterProtocol("", x)
	case t.kind == tokWord:
		x.cond = c.special(t)
		return x
	default:
		c.unexpected("an operand was expected")
	}
	return c.comparison(x)
}

// group reads what is in parentheses.
func (c *compiler) group(inherit qualifiers) operand {
	t := c.tok
	c.expect("(")
	x := c.sequence(inherit)
	if x.grouped {
		c.tok = t
		c.fail("an address list takes one pair of parentheses")
	}
	c.expect(")")
	x.tok = t
	switch x.shape {
	case shapeAddress:
		x.grouped = true
	case shapeTerm:
		x.q = inherit
	}
	return x
}

// comparison goes on after arithmetic: operators, then perhaps a comparison.
func (c *compiler) comparison(x operand) operand {
	if x.shape != shapeNumber && x.shape != shapeArith {
		return x
	}
	if _, ok := operators[c.tok.text]; ok && c.tok.kind == tokSymbol {
		left := x.arith
		if x.shape == shapeNumber {
			left = c.number(x.num)
		}
		x.shape, x.arith = shapeArith, c.binaries(left, 0)
	}
	cmp, ok := comparisons[c.tok.text]
	if !ok || c.tok.kind != tokSymbol {
		return x
	}
	if x.shape == shapeNumber {
		x.arith = c.number(x.num)
	}
	c.advance()
	right := c.arithmetic(0)
	x.cond = c.relation(cmp.jump, cmp.negate, x.arith, right)
	x.shape, x.q = shapeTerm, nothing
	return x
}

// arithmetic reads a number computed by operators that bind at least as
// tightly as floor says.
func (c *compiler) arithmetic(floor int) *arith {
	return c.binaries(c.unary(), floor)
}

func (c *compiler) binaries(left *arith, floor int) *arith {
	defer c.nest()()
	for c.tok.kind == tokSymbol {
		op, ok := operators[c.tok.text]
		if !ok || op.binds != unranked && op.binds < floor {
			break
		}
		t := c.tok
		c.advance()
		right := c.arithmetic(op.binds + 1) // 0, which is everything, if unranked
		left = located(c, t, func() *arith { return c.binary(op.alu, left, right) })
	}
	return left
}

func (c *compiler) unary() *arith {
	defer c.nest()()
	t := c.tok
	switch {
	case t.kind == tokNumber:
		c.advance()
		return c.number(t.num)
	case c.accept("len"):
		return c.length()
	case c.accept("-"):
		return c.negate(c.arithmetic(tightest))
	case c.accept("("):
		a := c.arithmetic(0)
		c.expect(")")
		return a
	case t.kind == tokWord && isProtocol(t.text):
		c.advance()
		return c.index(protocol(t.text))
	}
	c.unexpected("a number was expected")
	return nil
}

// index reads "[offset]" or "[offset:size]" after a protocol.
func (c *compiler) index(p protocol) *arith {
	at := c.tok
	c.expect("[")
	offset := c.arithmetic(0)
	size := uint32(1)
	if c.accept(":") {
		size = c.expectNumber()
	}
	c.expect("]")
	return located(c, at, func() *arith { return c.access(p, offset, size) })
}

// afterProtocol reads the rest of a term that may begin with a protocol:
// qualifiers and an address, broadcast or multicast, or nothing more.
func (c *compiler) afterProtocol(p protocol, x operand) operand {
	t := c.tok
	switch {
	case c.accept("broadcast"):
		x.cond = located(c, t, func() *cond { return c.broadcast(p) })
		return x
	case c.accept("multicast"):
		x.cond = located(c, t, func() *cond { return c.multicast(p) })
		return x
	case t.kind != tokWord || !isQualifier(t.text):
		if t.kind == tokRefused || isAddress(t) || t.kind == tokNumber {
			c.unexpected("host, net, port, proto or another qualifier was expected after %q", p)
		}
		x.cond = located(c, x.tok, func() *cond { return c.protoWord(p) })
		return x
	}
	q := qualifiers{proto: p}
	if c.tok.is("src") || c.tok.is("dst") {
		q.dir = c.direction()
	}
	if k, ok := kinds[c.tok.text]; ok && c.tok.kind == tokWord {
		if k == kindProto && q.dir != dirDefault {
			c.unexpected("src and dst do not apply to proto")
		}
		q.kind = k
		c.advance()
	}
	y := c.asCondition(c.addresses(q))
	return operand{shape: shapeTerm, cond: y.cond, q: y.q, tok: x.tok}
}

// located makes something so that what is wrong with it is reported at t.
func located[T any](c *compiler, t token, make func() T) T {
	now := c.tok
	c.tok = t
	made := make()
	c.tok = now
	return made
}

func (c *compiler) direction() direction {
	one, other := "src", "dst"
	dir := dirSrc
	if c.tok.is("dst") {
		one, other, dir = other, one, dirDst
	}
	c.expect(one)
	switch {
	case c.accept("or"):
		dir = dirEither
	case c.accept("and"):
		dir = dirBoth
	default:
		return dir
	}
	c.expect(other)
	return dir
}
