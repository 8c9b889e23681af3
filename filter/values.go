package filter

// value numbers what a register may hold: equal numbers mean equal contents,
// whatever the frame. unknown is the number of what is not known.
type value uint32

const unknown value = 0

// registry is the value in each register.
type registry [nRegs]value

// numbering gives numbers to values by how they are made. Two loads of one
// place in the frame are one value; so are two computations with the same
// operator of the same values.
type numbering struct {
	byMaking map[making]value
	constant map[value]uint32
}

type making struct {
	op   uint16
	k    uint32
	a, b value
}

func (n *numbering) reset() {
	n.byMaking = make(map[making]value)
	n.constant = make(map[value]uint32)
}

func (n *numbering) of(m making) value {
	v, ok := n.byMaking[m]
	if !ok {
		v = value(len(n.byMaking) + 1)
		n.byMaking[m] = v
	}
	return v
}

// number is the value of a constant.
func (n *numbering) number(k uint32) value {
	v := n.of(making{op: opLoadImm, k: k})
	n.constant[v] = k
	return v
}

// evaluate works out what a statement does to the values of the registers. With
// improve it also replaces the statement by a simpler one that does the same,
// and deletes it when the register has the value already.
func (o *optimizer) evaluate(s *stmt, vals *registry, improve bool) error {
	set := func(reg int, v value) {
		if improve && v != unknown && vals[reg] == v {
			s.op = opDeleted
			return
		}
		vals[reg] = v
	}
	switch s.op {
	case opDeleted:
	case opLoadImm:
		set(regA, o.values.number(s.k))
	case opLoadXImm:
		set(regX, o.values.number(s.k))
	case opLoadLen:
		set(regA, o.values.of(making{op: s.op}))
	case opLoadXMSH:
		set(regX, o.values.of(making{op: s.op, k: s.k}))
	case opTXA:
		set(regA, vals[regX])
	case opTAX:
		set(regX, vals[regA])
	case opStore:
		set(int(s.k), vals[regA])
	case opStoreX:
		set(int(s.k), vals[regX])
	case opLoadMem, opLoadXMem:
		reg, constant := regA, uint16(opLoadImm)
		if s.op == opLoadXMem {
			reg, constant = regX, opLoadXImm
		}
		v := vals[s.k]
		if k, ok := o.values.constant[v]; ok && improve {
			*s = stmt{constant, k}
			o.progress()
		}
		set(reg, v)
	case opNeg:
		if k, ok := o.values.constant[vals[regA]]; ok && improve {
			*s = stmt{opLoadImm, -k}
			vals[regA] = o.values.number(-k)
			break
		}
		vals[regA] = o.values.of(making{op: s.op, a: vals[regA]})
	default:
		switch s.class() {
		case classLD:
			o.evaluateLoad(s, vals, improve)
			set(regA, o.values.of(o.makingOfLoad(*s, vals)))
		case classALU:
			if s.source() == srcX {
				return o.evaluateALUX(s, vals, improve, set)
			}
			return o.evaluateALUK(s, vals, improve)
		}
	}
	return nil
}

func (o *optimizer) makingOfLoad(s stmt, vals *registry) making {
	m := making{op: s.op, k: s.k}
	if s.mode() == modeIND {
		m.a = vals[regX]
	}
	return m
}

// evaluateLoad makes an indirect load direct when the index is known.
func (o *optimizer) evaluateLoad(s *stmt, vals *registry, improve bool) {
	if k, ok := o.values.constant[vals[regX]]; ok && improve && s.mode() == modeIND {
		*s = stmt{classLD | modeABS | s.size(), s.k + k}
		o.progress()
	}
}

// evaluateALUK is arithmetic with a constant.
func (o *optimizer) evaluateALUK(s *stmt, vals *registry, improve bool) error {
	if improve && s.k == 0 {
		switch s.alu() {
		case aluADD, aluLSH, aluRSH, aluOR, aluXOR:
			s.op = opDeleted
			return nil
		case aluMUL, aluAND:
			s.op = opLoadImm
			vals[regA] = o.values.number(0)
			return nil
		case aluDIV, aluMOD:
			return errDivision
		}
	}
	if a, ok := o.values.constant[vals[regA]]; ok && improve {
		return o.foldConstants(s, vals, a, s.k)
	}
	vals[regA] = o.values.of(making{op: s.op, a: vals[regA], b: o.values.number(s.k)})
	return nil
}

// evaluateALUX is arithmetic with the index register.
func (o *optimizer) evaluateALUX(s *stmt, vals *registry, improve bool, set func(int, value)) error {
	a, aKnown := o.values.constant[vals[regA]]
	x, xKnown := o.values.constant[vals[regX]]
	alu := s.alu()
	switch {
	case improve && xKnown && aKnown:
		return o.foldConstants(s, vals, a, x)
	case improve && xKnown:
		if (alu == aluLSH || alu == aluRSH) && x > 31 {
			return errShift
		}
		*s = stmt{classALU | alu | srcK, x}
		o.progress()
		vals[regA] = o.values.of(making{op: s.op, a: vals[regA], b: o.values.number(x)})
	case improve && aKnown && a == 0:
		switch alu {
		case aluADD, aluOR, aluXOR: // what is in X
			s.op = opTXA
			set(regA, vals[regX])
			return nil
		case aluMUL, aluDIV, aluMOD, aluAND, aluLSH, aluRSH: // still zero
			*s = stmt{opLoadImm, 0}
			set(regA, o.values.number(0))
			return nil
		}
		fallthrough
	default:
		vals[regA] = o.values.of(making{op: s.op, a: vals[regA], b: vals[regX]})
	}
	return nil
}

// foldConstants replaces arithmetic on constants by its result.
func (o *optimizer) foldConstants(s *stmt, vals *registry, a, b uint32) error {
	result, ok := compute(s.alu(), a, b)
	if !ok {
		return errDivision
	}
	*s = stmt{opLoadImm, result}
	o.progress()
	vals[regA] = o.values.number(result)
	return nil
}
