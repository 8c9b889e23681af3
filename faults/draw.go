package faults

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// How a draw is made. It is part of what a recording means, so it never changes
// without a new label (and TestDrawsAreWhatTheyWere holds it):
//
//	K = SHA-256("vnreplay/faults/1", seed, switch, rule key, occurrence, from, to)
//
// where a number is 8 bytes and a text its length in 8 bytes and then its bytes,
// all big-endian; K is made once per path of a rule. Its 32 bytes are two keys
// of SipHash-2-4, K1 and K2. With f the flow's five words (see [flow]),
//
//	F       = SipHash-2-4(K1, f)
//	word(j) = SipHash-2-4(K2, F, i, j)   of the i-th frame (from 1) of the flow
//
// the messages being 64-bit words, little-endian. word(0) decides a probability;
// the words after it choose bits to flip. When they are computed is nobody's
// business: see ahead.

const drawLabel = "vnreplay/faults/1"

// Keys are what the draws of a rule depend on besides the rule and the frame.
type Keys struct {
	// Seed is the world's.
	Seed uint64
	// Switch is the name of the switch: in a world of several, the same rule on
	// the same port names is dealt anew for each.
	Switch string
	// Occurrence tells rules of equal text apart: 1 for the first, 2 for the next.
	Occurrence int
}

// pathKey is the secret of one path of one rule.
type pathKey struct{ flow, draw sipKey }

// newPathKey makes the keys of the path from one port to another; to is "" for
// the sender's cable.
func newPathKey(k Keys, rule, from, to string) pathKey {
	var b []byte
	text := func(s string) { b = append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...) }
	text(drawLabel)
	b = binary.BigEndian.AppendUint64(b, k.Seed)
	text(k.Switch)
	text(rule)
	b = binary.BigEndian.AppendUint64(b, uint64(k.Occurrence))
	text(from)
	text(to)
	sum := sha256.Sum256(b)
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(sum[8*i:]) }
	return pathKey{sipKey{word(0), word(1)}, sipKey{word(2), word(3)}}
}

// draw gives the random words of one frame.
type draw struct {
	key   sipKey
	flow  uint64 // F
	index uint64 // of the frame in its flow, from 1
}

func (d *draw) word(j uint64) uint64 {
	return d.key.start().word(d.flow).word(d.index).word(j).sum(3)
}

// sipKey is a key of SipHash-2-4 (Aumasson, Bernstein: SipHash: a fast
// short-input PRF, 2012), which is here fed whole 64-bit words only.
type sipKey struct{ k0, k1 uint64 }

// sipState is handed about by value, which keeps it in registers.
type sipState struct{ v0, v1, v2, v3 uint64 }

func (k sipKey) start() sipState {
	return sipState{k.k0 ^ 0x736f6d6570736575, k.k1 ^ 0x646f72616e646f6d, k.k0 ^ 0x6c7967656e657261, k.k1 ^ 0x7465646279746573}
}

func (s sipState) round() sipState {
	s.v0 += s.v1
	s.v2 += s.v3
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v0 = bits.RotateLeft64(s.v0, 32)
	s.v2 += s.v1
	s.v0 += s.v3
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 = bits.RotateLeft64(s.v2, 32)
	return s
}

// word takes in the next eight bytes of the message.
func (s sipState) word(m uint64) sipState {
	s.v3 ^= m
	s = s.round().round()
	s.v0 ^= m
	return s
}

// sum ends a message of n words.
func (s sipState) sum(n uint64) uint64 {
	s = s.word(n * 8 << 56)
	s.v2 ^= 0xff
	s = s.round().round().round().round()
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}
