package faults

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// maxFlows is how many flows a rule counts apart, over all its paths. Flows that
// appear later share one counter on their path: their draws are as random and as
// repeatable, but there one such flow can re-deal another.
const maxFlows = 1 << 16

// flowState is what a rule knows of one flow on one path.
type flowState struct {
	path  *path
	flow  flow
	mark  mark   // of its frames, if they are of the usual kind
	hash  uint64 // F, of draws
	n     uint64 // frames so far
	odds  ahead  // of a probability: word 0
	alone bool   // it stands for one frame, of a flow for which there was no room
}

// mark is all bytes of a frame on which its flow depends, if it is of the usual
// kind: see markOf. Two such frames are of one flow if their marks are equal, which
// takes less time to see than flowOf takes.
type mark struct{ kind, source, rest uint64 }

// unmarked is the mark of no frame.
var unmarked = mark{kind: ^uint64(0)}

// markLen is the least length of a frame that has a mark.
const markLen = 38

// markOf reads the mark of a frame of at least markLen bytes that is untagged IPv4
// with a header of 20 bytes, not a later fragment, of a protocol with ports. Of other
// frames it returns something, which equals no such mark.
//
// The words are the EtherType, the version and header length, and the fragment
// offset; the protocol and the source; the destination and the ports.
func markOf(data []byte) mark {
	d := (*[markLen]byte)(data)
	return mark{
		binary.LittleEndian.Uint64(d[14:])&0xff1f_0000_0000_00ff | uint64(binary.LittleEndian.Uint16(d[12:]))<<8,
		binary.LittleEndian.Uint64(d[22:]) & 0xffff_ffff_0000_ff00,
		binary.LittleEndian.Uint64(d[30:]),
	}
}

// usual reports whether the mark says that the frame is one for which it is meant.
func (m *mark) usual() bool {
	const untaggedIPv4 = 0x45 | 0x0008<<8 // and no fragment offset
	return m.kind == untaggedIPv4 && hasPorts(byte(m.source>>8))
}

// flowTable is the flows of a rule: a hash table with open addressing, at most half
// full. What it hashes with is another in each process, so that no traffic can be
// made up that is slow to look up; nothing depends on it but the time that takes.
type flowTable struct {
	slots  []*flowState // a power of two, or none
	n      int
	marked []*flowState // those met last, by their marks: as many places
	free   []flowState  // room for those to come
	spare  flowState    // one that is alone
	keys   [4]uint64
}

// of returns the flow of a frame on path p.
func (t *flowTable) of(p *path, data []byte) *flowState {
	if len(data) < markLen {
		return t.find(p, flowOf(data))
	}
	m := markOf(data)
	if p.flow != nil && p.flow.mark == m {
		return p.flow
	}
	if len(t.marked) > 0 {
		for _, s := range t.places(p, m) {
			if s != nil && s.mark == m && s.path == p {
				p.flow = s
				return s
			}
		}
	}
	s := t.find(p, flowOf(data))
	if m.usual() && !s.alone {
		s.mark = m
		places := t.places(p, m)
		copy(places[1:], places) // the one that is there longest makes room
		places[0] = s
	}
	return s
}

// ways is how many places there are in which a flow can be among those met last.
const ways = 4

// places are where the flow with a mark is among those met last, if it is there.
func (t *flowTable) places(p *path, m mark) []*flowState {
	h := mix(m.source^t.keys[0], m.rest^t.keys[1]^p.number)
	i := h & uint64(len(t.marked)-1) &^ (ways - 1)
	return t.marked[i : i+ways : i+ways]
}

// find returns the flow, which is counted apart from now on if there is room.
func (t *flowTable) find(p *path, f flow) *flowState {
	if p.flow != nil && p.flow.flow == f {
		return p.flow
	}
	s := t.look(p, f)
	if !s.alone {
		p.flow = s
	}
	return s
}

func (t *flowTable) look(p *path, f flow) *flowState {
	if len(t.slots) == 0 {
		seed := maphash.MakeSeed()
		for i := range t.keys {
			t.keys[i] = maphash.Comparable(seed, i)
		}
		t.slots, t.marked = make([]*flowState, 8), make([]*flowState, 8)
	}
	slot := t.slot(p, &f)
	if *slot != nil {
		return *slot
	}
	if t.n == maxFlows {
		p.rest++
		t.spare = flowState{path: p, hash: p.key.flow.hash(f), n: p.rest - 1, alone: true}
		return &t.spare
	}
	if 2*t.n == len(t.slots) {
		t.grow()
		slot = t.slot(p, &f)
	}
	if len(t.free) == 0 {
		t.free = make([]flowState, max(1, min(t.n, 1024)))
	}
	s := &t.free[0]
	t.free = t.free[1:]
	*s = flowState{path: p, flow: f, mark: unmarked, hash: p.key.flow.hash(f)}
	*slot = s
	t.n++
	return s
}

func (t *flowTable) grow() {
	old := t.slots
	t.slots, t.marked = make([]*flowState, 2*len(old)), make([]*flowState, 2*len(old))
	for _, s := range old {
		if s != nil {
			*t.slot(s.path, &s.flow) = s
		}
	}
}

// slot is where the flow is, or where it belongs.
func (t *flowTable) slot(p *path, f *flow) **flowState {
	h := mix(mix(f[0]^t.keys[0], f[2]^t.keys[1])^f[4]^p.number, mix(f[1]^t.keys[2], f[3]^t.keys[3])^t.keys[0])
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		if s := t.slots[i]; s == nil || s.path == p && s.flow == *f {
			return &t.slots[i]
		}
	}
}

// mix multiplies to 128 bits and folds them.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
