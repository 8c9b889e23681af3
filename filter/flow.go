package filter

import "slices"

// flow is what the optimiser finds out about a block, anew in each round.
type flow struct {
	id      int
	level   int      // the longest way to a return, in blocks
	seen    int      // the walk that last came by
	in      []edge   // the edges that lead here
	dom     set      // blocks that every way from the root to here passes
	edgeDom [2]set   // edges that every way to each outgoing edge passes
	live    regs     // registers that are read before they are set, from here on
	liveOut regs     // the same from the successors on
	vals    registry // values at the end of the statements
	operand value    // what the test compares with
	same    *block   // the one of all equal blocks that stays

	offset int     // in the program
	long   [2]bool // the jump needs an instruction of its own
}

// edge is one of the two ways out of a block.
type edge struct {
	from *block
	side int
}

func (e edge) to() *block { return e.from.succ[e.side] }

// regs is a set of registers, by their numbers.
type regs uint32

func (r regs) has(reg int) bool { return r&(1<<reg) != 0 }

// add puts in the register of uses or defines: none, one, or A and X.
func (r regs) add(reg int) regs {
	switch reg {
	case noReg:
		return r
	case regAX:
		return r | 1<<regA | 1<<regX
	}
	return r | 1<<reg
}

// set is a set of small numbers.
type set []uint64

func (s set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }
func (s set) add(i int)      { s[i/64] |= 1 << (i % 64) }

func (s set) fill(word uint64) {
	for i := range s {
		s[i] = word
	}
}

func (s set) intersect(t set) {
	for i := range s {
		s[i] &= t[i]
	}
}

// optimizer is the state of one optimisation.
type optimizer struct {
	root   *block
	blocks []*block   // all there were in the beginning, by id
	levels [][]*block // those that can be reached now, by level, as they are worked on
	walk   int

	changed    bool // something was done in this round
	simplified bool // and it was more than moving branches
	values     numbering
}

// number collects the blocks and gives each its sets.
func (o *optimizer) number() error {
	o.walk++
	var visit func(b *block)
	visit = func(b *block) {
		if b == nil || b.seen == o.walk {
			return
		}
		b.seen = o.walk
		b.id = len(o.blocks)
		o.blocks = append(o.blocks, b)
		visit(b.succ[yes])
		visit(b.succ[no])
	}
	visit(o.root)
	n := len(o.blocks)
	if n > maxBlocks {
		return errTooMany
	}
	for _, b := range o.blocks {
		b.dom = make(set, n/64+1)
		b.edgeDom[yes] = make(set, 2*n/64+1)
		b.edgeDom[no] = make(set, 2*n/64+1)
	}
	o.levels = make([][]*block, n)
	return nil
}

// edgeID numbers the edges: all that are taken on yes, then all on no.
func (o *optimizer) edgeID(b *block, side int) int {
	if side == yes {
		return b.id
	}
	return len(o.blocks) + b.id
}

func (o *optimizer) edge(id int) edge {
	if id < len(o.blocks) {
		return edge{o.blocks[id], yes}
	}
	return edge{o.blocks[id-len(o.blocks)], no}
}

// analyse finds levels, dominators and live registers.
func (o *optimizer) analyse() {
	o.findLevels()
	o.findDominators()
	o.findLive()
}

func (o *optimizer) findLevels() {
	for i := range o.levels {
		o.levels[i] = o.levels[i][:0]
	}
	o.walk++
	var visit func(b *block)
	visit = func(b *block) {
		if b.seen == o.walk {
			return
		}
		b.seen = o.walk
		b.level = 0
		if !b.isReturn() {
			visit(b.succ[yes])
			visit(b.succ[no])
			b.level = max(b.succ[yes].level, b.succ[no].level) + 1
		}
		o.levels[b.level] = append(o.levels[b.level], b)
	}
	visit(o.root)
}

// downward calls do for the blocks from the root to the returns, upward the
// other way around; within a level the one found last comes first.
func (o *optimizer) downward(do func(b *block)) {
	for level := o.root.level; level >= 0; level-- {
		o.eachOf(level, do)
	}
}

func (o *optimizer) upward(top int, do func(b *block)) {
	for level := 1; level <= top; level++ {
		o.eachOf(level, do)
	}
}

func (o *optimizer) eachOf(level int, do func(b *block)) {
	for _, b := range slices.Backward(o.levels[level]) {
		do(b)
	}
}

func (o *optimizer) findDominators() {
	for _, b := range o.blocks {
		b.dom.fill(^uint64(0))
		b.edgeDom[yes].fill(^uint64(0))
		b.edgeDom[no].fill(^uint64(0))
	}
	o.root.dom.fill(0)
	o.root.edgeDom[yes].fill(0)
	o.root.edgeDom[no].fill(0)
	o.downward(func(b *block) {
		b.dom.add(b.id)
		if b.isReturn() {
			return
		}
		for side, to := range b.succ {
			to.dom.intersect(b.dom)
			passed := b.edgeDom[side]
			passed.add(o.edgeID(b, side))
			to.edgeDom[yes].intersect(passed)
			to.edgeDom[no].intersect(passed)
		}
	})
}

// findLive works out which registers somebody still reads. A return reads none.
func (o *optimizer) findLive() {
	o.downward(func(b *block) {
		var used, set regs
		note := func(s stmt) {
			used |= regs(0).add(s.uses()) &^ set
			set = set.add(s.defines())
		}
		for _, s := range b.stmts {
			note(s)
		}
		if !b.isReturn() {
			note(b.test)
		}
		b.live, b.liveOut = used, set // liveOut holds, until below, what is set
	})
	for _, b := range o.levels[0] {
		b.liveOut = 0
	}
	o.upward(o.root.level, func(b *block) {
		set := b.liveOut
		b.liveOut = b.succ[yes].live | b.succ[no].live
		b.live |= b.liveOut &^ set
	})
}

// findIn lists the edges that lead to each block, the last one found first.
func (o *optimizer) findIn() {
	for _, b := range o.blocks {
		b.in = b.in[:0]
	}
	o.downward(func(b *block) {
		if !b.isReturn() {
			for _, side := range []int{yes, no} {
				b.succ[side].in = append(b.succ[side].in, edge{b, side})
			}
		}
	})
	for _, b := range o.blocks {
		slices.Reverse(b.in)
	}
}
