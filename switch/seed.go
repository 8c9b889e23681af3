package vswitch

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// digest hashes a seed and a path of names: SHA-256 over the seed in eight bytes
// big-endian, then each name preceded by its length in eight bytes big-endian,
// so that ("ab","c") and ("a","bc") differ.
func digest(seed uint64, parts []string) [sha256.Size]byte {
	b := binary.BigEndian.AppendUint64(nil, seed)
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}

// Derive returns a seed that depends on the given seed and names only. Streams
// made from different names are independent: drawing from one never moves another.
func Derive(seed uint64, parts ...string) uint64 {
	d := digest(seed, parts)
	return binary.BigEndian.Uint64(d[:8])
}

// NewRand returns a ChaCha8 stream for a seed and a path of names; see [Derive].
// It is not safe for concurrent use.
func NewRand(seed uint64, parts ...string) *rand.Rand {
	return rand.New(rand.NewChaCha8(digest(seed, parts)))
}

type orderKey struct{}

// WithOrder gives the blocking calls made with ctx a key that orders them among
// calls of the same host that are alike otherwise, such as two dials of one
// address by two goroutines. Without it the world executes such calls in the
// order in which the Go scheduler happened to run the goroutines, and counts
// that in [Stats.Unordered]. The context that [World.Go] hands to an application
// carries the application's name.
func WithOrder(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, orderKey{}, key)
}

// Order returns the key set by [WithOrder], or "".
func Order(ctx context.Context) string {
	key, _ := ctx.Value(orderKey{}).(string)
	return key
}
