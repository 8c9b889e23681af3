package faults

import "golang.org/x/sys/cpu"

var (
	hasAVX512 = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ
	hasAVX2   = cpu.X86.HasAVX2
)

func hits64(s *sipState, first, j, below uint64) uint64 {
	switch {
	case hasAVX512:
		return hits64AVX512(s, first, j, below)
	case hasAVX2:
		return hits64AVX2(s, first, j, below)
	}
	return hits64Go(s, first, j, below)
}

// hits64AVX512 is hits64Go with AVX-512F and DQ, 16 draws at a time.
//
//go:noescape
func hits64AVX512(s *sipState, first, j, below uint64) uint64

// hits64AVX2 is hits64Go with AVX2, 8 draws at a time.
//
//go:noescape
func hits64AVX2(s *sipState, first, j, below uint64) uint64
