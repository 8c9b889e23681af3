package filter

import (
	"encoding/binary"

	"golang.org/x/net/bpf"
)

// run executes a program on a frame. The virtual machine of x/net/bpf takes
// the length of what it is given for the length of the packet and so cannot
// run filters on frames that were cut short; otherwise this one does the same.
//
// The program is one that emit made: its jumps lead forward and stay within.
func run(program []bpf.RawInstruction, frame []byte, wireLen uint32) bool {
	var a, x uint32
	var scratch [scratchWords]uint32
	size := uint64(len(frame))
	for pc := 0; ; pc++ {
		ins := &program[pc]
		switch ins.Op {
		case classLD | modeABS | sizeW:
			at := uint64(ins.K)
			if at+4 > size {
				return false
			}
			a = binary.BigEndian.Uint32(frame[at:])
		case classLD | modeABS | sizeH:
			at := uint64(ins.K)
			if at+2 > size {
				return false
			}
			a = uint32(binary.BigEndian.Uint16(frame[at:]))
		case classLD | modeABS | sizeB:
			at := uint64(ins.K)
			if at >= size {
				return false
			}
			a = uint32(frame[at])
		case classLD | modeIND | sizeW:
			at := uint64(ins.K) + uint64(x)
			if at+4 > size {
				return false
			}
			a = binary.BigEndian.Uint32(frame[at:])
		case classLD | modeIND | sizeH:
			at := uint64(ins.K) + uint64(x)
			if at+2 > size {
				return false
			}
			a = uint32(binary.BigEndian.Uint16(frame[at:]))
		case classLD | modeIND | sizeB:
			at := uint64(ins.K) + uint64(x)
			if at >= size {
				return false
			}
			a = uint32(frame[at])
		case opLoadXMSH:
			at := uint64(ins.K)
			if at >= size {
				return false
			}
			x = uint32(frame[at]&0xf) * 4

		case opJumpEQ:
			pc += jump(ins, a == ins.K)
		case classJMP | jmpGT | srcK:
			pc += jump(ins, a > ins.K)
		case classJMP | jmpGE | srcK:
			pc += jump(ins, a >= ins.K)
		case opJumpSET:
			pc += jump(ins, a&ins.K != 0)
		case classJMP | jmpEQ | srcX:
			pc += jump(ins, a == x)
		case classJMP | jmpGT | srcX:
			pc += jump(ins, a > x)
		case classJMP | jmpGE | srcX:
			pc += jump(ins, a >= x)
		case opJump:
			pc += int(ins.K)
		case opReturn:
			return ins.K != 0

		case opLoadImm:
			a = ins.K
		case opLoadMem:
			a = scratch[ins.K%scratchWords]
		case opLoadLen:
			a = wireLen
		case opLoadXImm:
			x = ins.K
		case opLoadXMem:
			x = scratch[ins.K%scratchWords]
		case opStore:
			scratch[ins.K%scratchWords] = a
		case opStoreX:
			scratch[ins.K%scratchWords] = x
		case opTAX:
			x = a
		case opTXA:
			a = x
		default: // arithmetic is all that is left
			y := ins.K
			if ins.Op&srcX != 0 {
				y = x
			}
			var ok bool
			if a, ok = compute(ins.Op&0xf0, a, y); !ok {
				return false
			}
		}
	}
}

func jump(ins *bpf.RawInstruction, taken bool) int {
	if taken {
		return int(ins.Jt)
	}
	return int(ins.Jf)
}

// compute is arithmetic on 32 bits without sign; not ok is a division by zero.
func compute(alu uint16, a, b uint32) (result uint32, ok bool) {
	switch alu {
	case aluADD:
		return a + b, true
	case aluSUB:
		return a - b, true
	case aluMUL:
		return a * b, true
	case aluDIV, aluMOD:
		if b == 0 {
			return 0, false
		}
		if alu == aluDIV {
			return a / b, true
		}
		return a % b, true
	case aluAND:
		return a & b, true
	case aluOR:
		return a | b, true
	case aluXOR:
		return a ^ b, true
	case aluLSH:
		return a << b, true // by 32 and more: 0
	case aluRSH:
		return a >> b, true
	}
	return 0, false
}
