package filter

import (
	"slices"

	"golang.org/x/net/bpf"
)

// emit lays the graph out as a program. Every jump leads forward: a block comes
// after all that lead to it. A conditional jump reaches no further than 255
// instructions; where that is too little, it leads to an unconditional one
// placed right after it, which makes the program longer and perhaps more
// jumps too short, so that it takes several tries.
func emit(root *block) []bpf.RawInstruction {
	order := layOut(root)
	for {
		end := 0
		for _, b := range order {
			b.offset = end
			end += b.length()
		}
		if !markLong(order) {
			break
		}
	}
	var out []bpf.RawInstruction
	for _, b := range order {
		for _, s := range b.stmts {
			switch s.op {
			case opDeleted:
			case opNeg:
				// The virtual machine of x/net/bpf has no negation.
				out = append(out,
					bpf.RawInstruction{Op: classALU | aluXOR | srcK, K: allSet},
					bpf.RawInstruction{Op: classALU | aluADD | srcK, K: 1})
			default:
				out = append(out, bpf.RawInstruction{Op: s.op, K: s.k})
			}
		}
		if b.isReturn() {
			out = append(out, bpf.RawInstruction{Op: b.test.op, K: b.test.k})
			continue
		}
		here := len(out)
		var skip [2]uint8
		var longs []bpf.RawInstruction
		for _, side := range []int{yes, no} {
			to := b.succ[side].offset
			if !b.long[side] {
				skip[side] = uint8(to - here - 1)
				continue
			}
			skip[side] = uint8(len(longs))
			longs = append(longs, bpf.RawInstruction{Op: opJump, K: uint32(to - here - len(longs) - 2)})
		}
		out = append(out, bpf.RawInstruction{Op: b.test.op, Jt: skip[yes], Jf: skip[no], K: b.test.k})
		out = append(out, longs...)
	}
	return out
}

// layOut orders the blocks that can be reached so that all successors of a
// block come after it.
func layOut(root *block) []*block {
	var order []*block
	seen := make(map[*block]bool)
	var visit func(b *block)
	visit = func(b *block) {
		if b == nil || seen[b] {
			return
		}
		seen[b] = true
		visit(b.succ[no])
		visit(b.succ[yes])
		order = append(order, b)
	}
	visit(root)
	slices.Reverse(order)
	return order
}

// length is how many instructions the block takes.
func (b *block) length() int {
	n := 1
	for _, s := range b.stmts {
		switch s.op {
		case opDeleted:
		case opNeg:
			n += 2
		default:
			n++
		}
	}
	for _, long := range b.long {
		if long {
			n++
		}
	}
	return n
}

// markLong finds jumps that are too short as the blocks are placed now.
func markLong(order []*block) bool {
	found := false
	for _, b := range order {
		if b.isReturn() {
			continue
		}
		branch := b.offset + b.length() - 1
		for _, long := range b.long {
			if long {
				branch--
			}
		}
		for side, to := range b.succ {
			if !b.long[side] && to.offset-branch-1 > 255 {
				b.long[side] = true
				found = true
			}
		}
	}
	return found
}
