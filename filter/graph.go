package filter

// block is a node of the decision graph: statements without jumps, and one
// test that chooses the next block. A block that returns has no successors.
type block struct {
	stmts []stmt
	test  stmt
	succ  [2]*block // by the outcome of the test: [no] and [yes]

	flow // what the optimiser knows of the block
}

const (
	no  = 0
	yes = 1
)

func (b *block) isReturn() bool { return b.test.class() == classRET }

// cond is a condition while it is being put together: one block, or conditions
// joined. Where its yes and no lead is settled only by wire, when the whole
// expression is known.
type cond struct {
	kind condKind
	leaf *block
	l, r *cond
}

type condKind uint8

const (
	condTest condKind = iota
	condNot
	condAnd
	condOr
)

func and(l, r *cond) *cond { return &cond{kind: condAnd, l: l, r: r} }
func or(l, r *cond) *cond  { return &cond{kind: condOr, l: l, r: r} }
func not(c *cond) *cond    { return &cond{kind: condNot, l: c} }

// all joins conditions with and, in the order given; nil ones are left out.
func all(cs ...*cond) *cond { return fold(and, cs) }

// either joins conditions with or, in the order given.
func either(cs ...*cond) *cond { return fold(or, cs) }

func fold(join func(l, r *cond) *cond, cs []*cond) *cond {
	var out *cond
	for _, c := range cs {
		switch {
		case c == nil:
		case out == nil:
			out = c
		default:
			out = join(out, c)
		}
	}
	return out
}

// wire connects the blocks of c so that they lead to onYes or to onNo, and
// returns the block to begin with. What stands first in the expression is
// tested first, and the rest only when it still matters: since a load beyond
// the end of a frame ends the program, that order is part of the meaning.
func (c *cond) wire(onYes, onNo *block) *block {
	switch c.kind {
	case condNot:
		return c.l.wire(onNo, onYes)
	case condAnd:
		return c.l.wire(c.r.wire(onYes, onNo), onNo)
	case condOr:
		return c.l.wire(onYes, c.r.wire(onYes, onNo))
	}
	c.leaf.succ = [2]*block{no: onNo, yes: onYes}
	return c.leaf
}

// test makes a condition of one block: the statements, then jump (an operation
// without its class) on the accumulator against k.
func test(stmts []stmt, jump uint16, k uint32) *cond {
	return &cond{leaf: &block{stmts: stmts, test: stmt{classJMP | jump, k}}}
}
