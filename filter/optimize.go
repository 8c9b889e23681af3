package filter

import (
	"errors"
	"slices"
)

var (
	errTooMany  = errors.New("the expression has too many tests")
	errDivision = errors.New("division by zero")
	errShift    = errors.New("shift by more than 31 bits")
)

// optimize makes the graph smaller and returns its root.
//
// What a filter matches includes when it reads beyond the end of a frame, and
// an optimiser decides that too: it drops loads whose result does not matter
// and moves tests of one value together. To match exactly what tcpdump does,
// this one therefore applies the transformations that libpcap applies, in the
// same order, until none applies any more: first those of branches, then those
// of statements as well; at last equal blocks become one.
func optimize(root *block) (*block, error) {
	o := &optimizer{root: root}
	if err := o.number(); err != nil {
		return nil, err
	}
	for _, statements := range []bool{false, true} {
		if err := o.rounds(statements); err != nil {
			return nil, err
		}
	}
	o.mergeEqual()
	o.trimRoot()
	return o.root, nil
}

// rounds repeats until nothing changes. Moving branches may go around in
// circles, so only so many rounds in a row may do nothing else.
func (o *optimizer) rounds(statements bool) error {
	const patience = 100
	for idle := 0; idle < patience; idle++ {
		o.changed, o.simplified = false, false
		o.analyse()
		if err := o.round(statements); err != nil {
			return err
		}
		if !o.changed {
			return nil
		}
		if o.simplified {
			idle = -1
		}
	}
	return nil
}

// progress notes that something became simpler.
func (o *optimizer) progress() { o.changed, o.simplified = true, true }

func (o *optimizer) round(statements bool) (err error) {
	o.values.reset()
	top := o.root.level
	o.findIn()
	o.downward(func(b *block) {
		if err == nil {
			err = o.simplify(b, statements)
		}
	})
	if err != nil || statements {
		return err
	}
	o.threadJumps(top)
	o.findIn()
	o.upward(top, func(b *block) {
		o.pullUp(b, yes)
		o.pullUp(b, no)
	})
	return nil
}

// simplify works out the values of one block and simplifies what it can.
func (o *optimizer) simplify(b *block, statements bool) error {
	b.vals = registry{}
	for i, e := range b.in {
		if i == 0 {
			b.vals = e.from.vals
			continue
		}
		for reg, v := range e.from.vals {
			if b.vals[reg] != v {
				b.vals[reg] = unknown
			}
		}
	}
	a, x := b.vals[regA], b.vals[regX]
	for i := range b.stmts {
		if err := o.evaluate(&b.stmts[i], &b.vals, statements); err != nil {
			return err
		}
	}
	useless := b.liveOut == 0 &&
		a != unknown && b.vals[regA] == a && x != unknown && b.vals[regX] == x
	if statements && (useless || b.isReturn()) {
		if b.stmts != nil {
			b.stmts = nil
			o.progress()
		}
	} else {
		o.peephole(b)
		o.dropDeadStores(b)
	}
	if b.test.source() == srcK {
		b.operand = o.values.number(b.test.k)
	} else {
		b.operand = b.vals[regX]
	}
	return nil
}

// dropDeadStores deletes statements that set what nobody reads before it is
// set again.
func (o *optimizer) dropDeadStores(b *block) {
	var unread [nRegs]*stmt
	note := func(s *stmt) {
		for reg := range nRegs {
			if regs(0).add(s.uses()).has(reg) {
				unread[reg] = nil
			}
		}
		if reg := s.defines(); reg != noReg {
			if unread[reg] != nil {
				unread[reg].op = opDeleted
				o.progress()
			}
			unread[reg] = s
		}
	}
	for i := range b.stmts {
		note(&b.stmts[i])
	}
	note(&b.test)
	for reg, s := range unread {
		if s != nil && !b.liveOut.has(reg) {
			s.op = opDeleted
			o.progress()
		}
	}
}

// mergeEqual lets equal blocks become one. It goes from the returns upward, so
// that what leads to equal blocks has become equal when its turn comes.
func (o *optimizer) mergeEqual() {
	type key struct {
		test stmt
		succ [2]*block
	}
	alike := make(map[key][]*block)
	for _, b := range slices.Backward(layOut(o.root)) {
		for side, to := range b.succ {
			if to != nil {
				b.succ[side] = to.same
			}
		}
		b.same = b
		k := key{b.test, b.succ}
		for _, other := range alike[k] {
			if sameStatements(b, other) {
				b.same = other
				break
			}
		}
		if b.same == b {
			alike[k] = append(alike[k], b)
		}
	}
}

func sameStatements(a, b *block) bool {
	i, j := 0, 0
	for {
		for i < len(a.stmts) && a.stmts[i].op == opDeleted {
			i++
		}
		for j < len(b.stmts) && b.stmts[j].op == opDeleted {
			j++
		}
		if i == len(a.stmts) || j == len(b.stmts) {
			return i == len(a.stmts) && j == len(b.stmts)
		}
		if a.stmts[i] != b.stmts[j] {
			return false
		}
		i, j = i+1, j+1
	}
}

// trimRoot skips tests at the beginning that decide nothing. Their statements
// stay, since later blocks may rely on them.
func (o *optimizer) trimRoot() {
	before := o.root.stmts
	o.root.stmts = nil
	for !o.root.isReturn() && o.root.succ[yes] == o.root.succ[no] {
		o.root = o.root.succ[yes]
	}
	if o.root.isReturn() {
		o.root.stmts = nil
		return
	}
	o.root.stmts = append(before, o.root.stmts...)
}
