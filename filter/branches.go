package filter

// threadJumps lets edges skip tests whose outcome is settled on the way to them.
// What is skipped is not missed later: as long as only branches move, every
// block still loads all that it tests.
func (o *optimizer) threadJumps(top int) {
	type known struct {
		jump uint16
		a    value
	}
	// Only edges out of the same kind of test of the same value can tell how
	// a test ends.
	tellers := make(map[known][]int)
	for _, side := range []int{yes, no} {
		for _, b := range o.blocks {
			if b.seen == o.walk && !b.isReturn() {
				k := known{b.test.op, b.vals[regA]}
				tellers[k] = append(tellers[k], o.edgeID(b, side))
			}
		}
	}
	thread := func(e edge) {
		if e.to().isReturn() {
			return
		}
		if next := e.to(); next.succ[yes] == next.succ[no] {
			o.progress()
			e.from.succ[e.side] = next.succ[yes]
		}
		passed := e.from.edgeDom[e.side]
		for again := true; again && !e.to().isReturn(); {
			again = false
			to := e.to()
			for _, id := range tellers[known{to.test.op, to.vals[regA]}] {
				if !passed.has(id) {
					continue
				}
				if target := settled(to, o.edge(id)); target != nil {
					o.changed = true
					e.from.succ[e.side] = target
					again = true
					break
				}
			}
		}
	}
	o.upward(top, func(b *block) {
		thread(edge{b, yes})
		thread(edge{b, no})
	})
}

// settled tells where the test of b leads when the edge e, out of the same kind
// of test of the same value, was taken before; nil if that does not settle it.
func settled(b *block, e edge) *block {
	switch {
	case b.operand == e.from.operand:
		return b.succ[e.side]
	case e.side == yes && b.test.op == opJumpEQ:
		return b.succ[no] // it is equal to something else
	}
	return nil
}

// pullUp brings tests of one value together: in a chain of blocks that b
// dominates and that all lead to the same place on side, the first that tests
// the value with which b is entered moves up to the others that do. The chain
// goes on on the other side: yes is an "or" of tests, no an "and".
func (o *optimizer) pullUp(b *block, side int) {
	if len(b.in) == 0 {
		return
	}
	val := b.in[0].from.vals[regA]
	for _, e := range b.in {
		if e.from.vals[regA] != val {
			return
		}
	}
	inChain := func(x *block) bool {
		return x != nil && x.succ[side] == b.succ[side] && x.dom.has(b.id)
	}
	// Where the chain's first test of something else hangs.
	above := b.in[0].from
	other := &above.succ[no]
	if above.succ[yes] == b {
		other = &above.succ[yes]
	}
	atTop := true
	for inChain(*other) && (*other).vals[regA] == val {
		other = &(*other).succ[1-side]
		atTop = false
	}
	if !inChain(*other) {
		return
	}
	// Where the next test of the value after that hangs.
	again := &(*other).succ[1-side]
	for inChain(*again) && (*again).vals[regA] != val {
		again = &(*again).succ[1-side]
	}
	if !inChain(*again) {
		return
	}
	pulled := *again
	*again = pulled.succ[1-side]
	pulled.succ[1-side] = *other
	if atTop {
		for _, e := range b.in {
			if e.from.succ[yes] == b {
				e.from.succ[yes] = pulled
			} else {
				e.from.succ[no] = pulled
			}
		}
	} else {
		*other = pulled
	}
	o.changed = true
}
