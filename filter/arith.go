package filter

// arith is a number while its computation is being put together: statements
// that leave it in a scratch word, and the condition (nil if none) under which
// they may run at all: tcp[13] is only there in a TCP packet.
type arith struct {
	stmts []stmt
	reg   uint32
	guard *cond
}

// takeWord hands out a scratch word; it must be given back with giveWord.
func (c *compiler) takeWord() uint32 {
	for range scratchWords {
		if !c.taken[c.nextWord] {
			c.taken[c.nextWord] = true
			return c.nextWord
		}
		c.nextWord = (c.nextWord + 1) % scratchWords
	}
	c.fail("the arithmetic needs more than %d intermediate results", scratchWords)
	return 0
}

func (c *compiler) giveWord(w uint32) { c.taken[w] = false }

func (c *compiler) number(n uint32) *arith { return c.value(stmt{opLoadImm, n}) }
func (c *compiler) length() *arith         { return c.value(stmt{op: opLoadLen}) }

func (c *compiler) value(s stmt) *arith {
	w := c.takeWord()
	return &arith{stmts: []stmt{s, {opStore, w}}, reg: w}
}

func (c *compiler) negate(a *arith) *arith {
	a.stmts = append(a.stmts, stmt{opLoadMem, a.reg}, stmt{op: opNeg}, stmt{opStore, a.reg})
	return a
}

// binary is "a op b" with the operator of an aluXXX constant.
func (c *compiler) binary(alu uint16, a, b *arith) *arith {
	// Only the first statement of the right side is looked at, as in libpcap:
	// what begins with a constant counts as that constant. It refuses more
	// than it must, but never computes something else.
	if first := b.stmts[0]; first.op == opLoadImm {
		switch {
		case alu == aluDIV && first.k == 0:
			c.fail("division by zero: the divisor begins with the number 0")
		case alu == aluMOD && first.k == 0:
			c.fail("modulus by zero: the divisor begins with the number 0")
		case (alu == aluLSH || alu == aluRSH) && first.k > 31:
			c.fail("shift by more than 31 bits: the right side begins with the number %d", first.k)
		}
	}
	a.stmts = append(a.stmts, b.stmts...)
	a.stmts = append(a.stmts, stmt{opLoadXMem, b.reg}, stmt{opLoadMem, a.reg},
		stmt{op: classALU | alu | srcX})
	c.giveWord(a.reg)
	c.giveWord(b.reg)
	a.reg = c.takeWord()
	a.stmts = append(a.stmts, stmt{opStore, a.reg})
	// The guard of b is dropped, as libpcap drops it: "ip[0] + tcp[0]" only
	// asks for IP. That is a mistake there, and one to share: the same
	// expression is to match the same frames.
	return a
}

// access is "p[index:size]", the bytes as an unsigned number, high byte first.
func (c *compiler) access(p protocol, index *arith, size uint32) *arith {
	result := c.takeWord()
	c.giveWord(index.reg)
	var width uint16
	switch size {
	case 1:
		width = sizeB
	case 2:
		width = sizeH
	case 4:
		width = sizeW
	default:
		c.fail("the size of what is read must be 1, 2 or 4, not %d", size)
	}
	at := &c.layout
	indirect := func(base uint32) {
		index.stmts = append(index.stmts, stmt{opLoadXMem, index.reg},
			stmt{classLD | modeIND | width, base})
	}
	switch p {
	case "ether":
		indirect(at.link)
	case "ip", "arp", "rarp", "atalk", "decnet", "sca", "lat", "moprc", "mopdl", "ip6":
		indirect(at.network())
		index.guard = all(index.guard, c.protoWord(p))
	case "icmp6":
		indirect(at.network() + 40)
		index.guard = all(index.guard, c.protoWord("ip6"), equal(at.network()+6, sizeB, protoICMPv6))
	case "sctp", "tcp", "udp", "icmp", "igmp", "igrp", "pim", "vrrp", "carp":
		// Only over IPv4, whose header says its length; a later fragment
		// has no transport header.
		index.stmts = append(index.stmts,
			stmt{opLoadXMSH, at.network()}, stmt{opLoadMem, index.reg},
			stmt{op: classALU | aluADD | srcX}, stmt{op: opTAX},
			stmt{classLD | modeIND | width, at.network()})
		index.guard = all(c.protoWord("ip"), index.guard, c.protoWord(p), at.notLaterFragment())
	default:
		c.fail("%s[...] is not among what can be looked into", p)
	}
	index.reg = result
	index.stmts = append(index.stmts, stmt{opStore, result})
	return index
}

// relation compares a with b by a jmpXXX constant. With negate the comparison
// must fail, in a frame that has what is compared all the same: ip[0] != 1
// does not match what is not IP.
func (c *compiler) relation(jump uint16, negate bool, a, b *arith) *cond {
	s := append(a.stmts, b.stmts...)
	s = append(s, stmt{opLoadXMem, b.reg}, stmt{opLoadMem, a.reg})
	var compare *cond
	if jump == jmpEQ {
		// A difference of zero is better to optimise than a comparison of
		// two registers.
		compare = test(append(s, stmt{op: classALU | aluSUB | srcX}), jmpEQ, 0)
	} else {
		compare = test(s, jump|srcX, 0)
	}
	if negate {
		compare = not(compare)
	}
	c.giveWord(a.reg)
	c.giveWord(b.reg)
	return all(a.guard, b.guard, compare)
}
