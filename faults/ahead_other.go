//go:build !amd64

package faults

func hits64(s *sipState, first, j, below uint64) uint64 { return hits64Go(s, first, j, below) }
