package faults

import "math/bits"

// ahead knows before their turn which of the words of a sequence fall below a
// threshold: one draw is a hash that takes longer than all else a rule does to a
// frame it leaves alone, and 64 at once take little longer than one. The zero
// value is ready; it belongs to one sequence (a key, a flow, a word of each draw)
// and one threshold.
type ahead struct {
	// due is the next index at which there is something to see: between the last
	// one that was asked about and it, nothing falls below.
	due   uint64
	block uint64 // the indices from 64·block on are in hits, a bit each
	hits  uint64
}

// blockLen is how many draws are computed at once; and up to which index they are
// computed one by one, since most sequences are shorter than that.
const blockLen = 64

// falls reports whether word j of draw i of the flow falls below the threshold.
// Indices ascend from call to call; some may be left out.
func (a *ahead) falls(k sipKey, flow, i, j, below uint64) bool {
	if i < a.due {
		return false
	}
	s := k.start().word(flow)
	if i < blockLen {
		a.due = i + 1
		return s.word(i).word(j).sum(3) < below
	}
	if block := i / blockLen; block != a.block {
		a.block, a.hits = block, hits64(&s, block*blockLen, j, below)
	}
	later := a.hits >> (i % blockLen)
	hit := later&1 != 0
	if later >>= 1; later != 0 {
		a.due = i + 1 + uint64(bits.TrailingZeros64(later))
	} else {
		a.due = i/blockLen*blockLen + blockLen
	}
	return hit
}

// hits64Go says which of the words SipHash(s, i, j), for the 64 i from first on,
// fall below the threshold: bit 0 stands for the first. s is the state after the
// message's word before them. hits64 is the same in what the processor has for it.
func hits64Go(s *sipState, first, j, below uint64) (hits uint64) {
	for k := range uint64(blockLen) {
		if s.word(first+k).word(j).sum(3) < below {
			hits |= 1 << k
		}
	}
	return hits
}
