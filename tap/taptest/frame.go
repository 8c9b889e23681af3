package taptest

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/vnreplay/vnreplay/tap"
)

const (
	headerLen = tap.MinFrame
	tagLen    = 4

	etherType = 0x88b5 // IEEE 802, local experiments
	vlanType  = 0x8100
)

var (
	dataSource  = []byte{0x02, 0x76, 0x6e, 0x72, 0, 1}
	probeSource = []byte{0x02, 0x76, 0x6e, 0x72, 0, 2}
)

// dataFrame makes a frame of size bytes, the number in it if there is room, the rest random.
// It is for everybody, so that a bridge between the two has nothing to learn.
func dataFrame(number, size int, rng *rand.Rand) []byte {
	frame := make([]byte, size)
	copy(frame, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	copy(frame[6:], dataSource)
	binary.BigEndian.PutUint16(frame[12:], etherType)
	payload := frame[headerLen:]
	for i := range payload {
		payload[i] = byte(rng.Uint32())
	}
	if len(payload) >= 8 {
		binary.BigEndian.PutUint64(payload, uint64(number))
	}
	return frame
}

// probe is a frame that says nothing but that the link is up.
func probe() []byte {
	frame := dataFrame(0, 60, rand.New(rand.NewPCG(0, 0)))
	copy(frame[6:], probeSource)
	return frame
}

// tagged puts an 802.1Q tag into a frame.
func tagged(frame []byte) []byte {
	out := append([]byte(nil), frame[:12]...)
	out = append(out, vlanType>>8, vlanType&0xff, 0x60, 0x07)
	return append(out, frame[12:]...)
}

// what a frame is to the suite.
const (
	isForeign = iota
	isData
	isProbe
)

func kind(frame []byte) int {
	if len(frame) < headerLen {
		return isData // nothing may be so short: let the test find it
	}
	typ := binary.BigEndian.Uint16(frame[12:])
	if typ == vlanType && len(frame) >= headerLen+tagLen {
		typ = binary.BigEndian.Uint16(frame[16:])
	}
	switch source := string(frame[6:12]); {
	case typ != etherType:
		return isForeign
	case source == string(probeSource):
		return isProbe
	case source == string(dataSource):
		return isData
	}
	return isForeign
}

// buffers makes n buffers for Read.
func buffers(n int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, tap.MaxFrame)
	}
	return bufs
}
