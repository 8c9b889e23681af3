package filter

// Classic BPF operation codes, composed the way the machine decodes them:
// three bits of class, then what the class needs (the addressing mode and size
// of a load, the operator and operand of the arithmetic and of the jumps).
const (
	classLD   = 0x00
	classLDX  = 0x01
	classST   = 0x02
	classSTX  = 0x03
	classALU  = 0x04
	classJMP  = 0x05
	classRET  = 0x06
	classMISC = 0x07

	sizeW = 0x00
	sizeH = 0x08
	sizeB = 0x10

	modeIMM = 0x00
	modeABS = 0x20
	modeIND = 0x40
	modeMEM = 0x60
	modeLEN = 0x80
	modeMSH = 0xa0

	aluADD = 0x00
	aluSUB = 0x10
	aluMUL = 0x20
	aluDIV = 0x30
	aluOR  = 0x40
	aluAND = 0x50
	aluLSH = 0x60
	aluRSH = 0x70
	aluNEG = 0x80
	aluMOD = 0x90
	aluXOR = 0xa0

	jmpJA  = 0x00
	jmpEQ  = 0x10
	jmpGT  = 0x20
	jmpGE  = 0x30
	jmpSET = 0x40

	srcK = 0x00
	srcX = 0x08
)

// Whole operations that more than one place names.
const (
	opLoadImm  = classLD | modeIMM
	opLoadMem  = classLD | modeMEM
	opLoadLen  = classLD | modeLEN
	opLoadXImm = classLDX | modeIMM
	opLoadXMem = classLDX | modeMEM
	opLoadXMSH = classLDX | modeMSH | sizeB
	opStore    = classST
	opStoreX   = classSTX
	opNeg      = classALU | aluNEG
	opTAX      = classMISC
	opTXA      = classMISC | 0x80
	opReturn   = classRET | srcK
	opJumpEQ   = classJMP | jmpEQ | srcK
	opJumpSET  = classJMP | jmpSET | srcK
	opJump     = classJMP | jmpJA

	// opDeleted is no operation of the machine: it marks a statement the
	// optimiser took out, so that the others keep their places.
	opDeleted = 0xffff
)

// stmt is one instruction without its jumps.
type stmt struct {
	op uint16
	k  uint32
}

func (s stmt) class() uint16 { return s.op & 0x07 }
func (s stmt) mode() uint16  { return s.op & 0xe0 }
func (s stmt) size() uint16  { return s.op & 0x18 }
func (s stmt) alu() uint16   { return s.op & 0xf0 }
func (s stmt) source() uint16 {
	return s.op & 0x08
}

// scratchWords is how many words of scratch memory the machine has.
const scratchWords = 16

// Registers as the data flow sees them: the scratch words by their number,
// then the accumulator and the index register. regAX is both at once.
const (
	regA   = scratchWords
	regX   = scratchWords + 1
	nRegs  = scratchWords + 2
	regAX  = nRegs
	noReg  = -1
	allSet = 0xffffffff
)

// uses tells which register s reads, regAX for both A and X.
func (s stmt) uses() int {
	if s.op == opDeleted {
		return noReg
	}
	switch s.class() {
	case classLD, classLDX:
		switch s.mode() {
		case modeIND:
			return regX
		case modeMEM:
			return int(s.k)
		}
		return noReg
	case classST:
		return regA
	case classSTX:
		return regX
	case classALU, classJMP:
		if s.source() == srcX {
			return regAX
		}
		return regA
	case classMISC:
		if s.op == opTXA {
			return regX
		}
		return regA
	}
	return noReg
}

// defines tells which register s sets.
func (s stmt) defines() int {
	if s.op == opDeleted {
		return noReg
	}
	switch s.class() {
	case classLD, classALU:
		return regA
	case classLDX:
		return regX
	case classST, classSTX:
		return int(s.k)
	case classMISC:
		if s.op == opTAX {
			return regX
		}
		return regA
	}
	return noReg
}
