package apps

import (
	"encoding/binary"
	"io"
	"math/rand/v2"

	"github.com/vnreplay/vnreplay/switch"
)

// Random returns an endless stream of bytes that depends on the seed and the
// names only. It compresses no better than noise.
func Random(seed uint64, names ...string) io.Reader {
	return &stream{rng: vswitch.NewRand(seed, append([]string{"content"}, names...)...)}
}

// RandomBytes returns the first n bytes of Random's stream.
func RandomBytes(n int64, seed uint64, names ...string) []byte {
	b := make([]byte, n)
	Random(seed, names...).Read(b) // never short, never fails
	return b
}

type stream struct {
	rng  *rand.Rand
	left []byte // of the last word drawn
	word [8]byte
}

func (s *stream) Read(p []byte) (int, error) {
	n := copy(p, s.left)
	s.left = s.left[n:]
	for ; len(p)-n >= 8; n += 8 {
		binary.LittleEndian.PutUint64(p[n:], s.rng.Uint64())
	}
	if n < len(p) {
		binary.LittleEndian.PutUint64(s.word[:], s.rng.Uint64())
		k := copy(p[n:], s.word[:])
		s.left = s.word[k:]
		n += k
	}
	return n, nil
}
