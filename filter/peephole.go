package filter

// peephole simplifies short sequences of statements, and tests whose outcome
// the statements settle.
func (o *optimizer) peephole(b *block) {
	if len(b.stmts) == 0 {
		return
	}
	last := &b.stmts[0]
	for i := b.skipDeleted(0); i < len(b.stmts); {
		s := &b.stmts[i]
		j := b.skipDeleted(i + 1)
		if j == len(b.stmts) {
			break
		}
		next := &b.stmts[j]
		last = next
		if s.op == opStore && next.op == opLoadXMem && s.k == next.k {
			next.op = opTAX
			o.progress()
		}
		if s.op == opLoadImm && next.op == opTAX {
			s.op, next.op = opLoadXImm, opTXA
			o.progress()
		}
		if s.op == opLoadImm && !b.liveOut.has(regX) {
			o.shortenIndex(b, i, j)
		}
		i = j
	}
	o.simplifyTest(b, last)
	o.decideTest(b)
}

// skipDeleted is the place of the first statement from i on that is not deleted.
func (b *block) skipDeleted(i int) int {
	for i < len(b.stmts) && b.stmts[i].op == opDeleted {
		i++
	}
	return i
}

// shortenIndex puts a constant index into the load that it is added to: what
// tcp[13] comes to is "ld #13, ldx 4*([14]&0xf), add x, tax, ldb [x + 14]", and
// "ldx 4*([14]&0xf), ldb [x + 27]" does as well.
func (o *optimizer) shortenIndex(b *block, i, j int) {
	add := j
	if b.stmts[j].op == opLoadXMSH {
		add = b.skipDeleted(j + 1)
	}
	is := func(at int, op uint16) bool { return at < len(b.stmts) && b.stmts[at].op == op }
	if !is(add, classALU|aluADD|srcX) {
		return
	}
	tax := b.skipDeleted(add + 1)
	if !is(tax, opTAX) {
		return
	}
	ld := b.skipDeleted(tax + 1)
	if ld == len(b.stmts) || b.stmts[ld].class() != classLD || b.stmts[ld].mode() != modeIND {
		return
	}
	b.stmts[ld].k += b.stmts[i].k
	for _, at := range []int{i, add, tax} {
		b.stmts[at].op = opDeleted
	}
	o.progress()
}

// simplifyTest puts a last subtraction or mask into the test for equality that
// it was made for. Nobody else may read the accumulator then.
func (o *optimizer) simplifyTest(b *block, last *stmt) {
	if b.test.op != opJumpEQ || b.liveOut.has(regA) {
		return
	}
	switch last.op {
	case classALU | aluSUB | srcX:
		if k, ok := o.values.constant[b.vals[regX]]; ok {
			b.test.k += k
		} else if b.test.k == 0 {
			b.test.op = classJMP | jmpEQ | srcX
		} else {
			return
		}
	case classALU | aluSUB | srcK:
		b.test.k += last.k
	case classALU | aluAND | srcK:
		if b.test.k != 0 {
			return
		}
		b.test = stmt{opJumpSET, last.k}
		b.succ[yes], b.succ[no] = b.succ[no], b.succ[yes]
	default:
		return
	}
	last.op = opDeleted
	o.progress()
}

// decideTest removes the choice from a test that can end only one way.
func (o *optimizer) decideTest(b *block) {
	if b.test.op == opJumpSET {
		switch b.test.k {
		case 0:
			b.succ[yes] = b.succ[no]
		case allSet:
			b.succ[no] = b.succ[yes]
		}
	}
	if k, ok := o.values.constant[b.vals[regX]]; ok && b.test.source() == srcX {
		b.test.op &^= srcX
		b.test.k = k
	}
	a, ok := o.values.constant[b.vals[regA]]
	if !ok || b.test.source() != srcK {
		return
	}
	holds := false
	switch b.test.alu() {
	case jmpEQ:
		holds = a == b.test.k
	case jmpGT:
		holds = a > b.test.k
	case jmpGE:
		holds = a >= b.test.k
	case jmpSET:
		holds = a&b.test.k != 0
	}
	if b.succ[yes] != b.succ[no] {
		o.progress()
	}
	if holds {
		b.succ[no] = b.succ[yes]
	} else {
		b.succ[yes] = b.succ[no]
	}
}
