package pcap

import (
	"encoding/binary"
	"time"
)

// chunkSize is how much is encoded before it is handed to the writer. write(2) needs no more
// than 256 KiB, but the two goroutines have to tell each other of every chunk.
const chunkSize = 1 << 20

// chunk is a piece of a recording: whole blocks, without the section header.
type chunk struct {
	buf    []byte
	frames uint64    // in it
	opened int       // interface blocks in it
	since  time.Time // when its first block was put in; real time
	after  *standing // what holds after it
	last   uint64    // and the number of the last frame by then

	size int // how much is put in

	// cut is set if the recording is cut into files and this chunk begins one.
	cut *cut
	// The statistics of ports closed in it, as the file that the chunk is in has
	// them; in buf they are those of the whole recording.
	closed []closedPort
}

// cut is where one file ends and the next begins.
type cut struct {
	at         time.Time
	statistics []byte // blocks that end the file before
}

type closedPort struct {
	at, end int // in buf
	block   []byte
}

// reset makes a chunk empty, to be used again.
func (c *chunk) reset() {
	*c = chunk{buf: c.buf[:0], closed: c.closed[:0], size: c.size}
}

// newChunk returns an empty chunk for about size bytes. Behind these is room for
// comments, so that few ever grow.
func newChunk(size int) *chunk { return &chunk{buf: make([]byte, 0, size+size/64), size: size} }

// eachBlock calls fn with every block of b, which holds whole blocks of ours, and
// what kind it is.
func eachBlock(b []byte, fn func(kind uint32, block []byte)) {
	for len(b) > 0 {
		n := binary.LittleEndian.Uint32(b[4:])
		fn(binary.LittleEndian.Uint32(b), b[:n:n])
		b = b[n:]
	}
}

// blockIface returns the interface of a packet or statistics block.
func blockIface(block []byte) int { return int(binary.LittleEndian.Uint32(block[8:])) }

// setBlockIface sets it.
func setBlockIface(block []byte, iface int) {
	binary.LittleEndian.PutUint32(block[8:], uint32(iface))
}
