package pcap

import (
	"encoding/binary"
	"io"
	"slices"
	"time"
)

// application is what section headers name as the writing program.
const application = "vnreplay"

// writeBuffer is the size of the output's buffer: few, large writes. write(2),
// not encoding, is what limits a recording.
const writeBuffer = 256 << 10

// blockOverhead is what a packet's block takes besides its bytes and comments, at
// most: head, padding, flags, drop count, packet id, end of options, length.
const blockOverhead = packetHead + 3 + 12 + packetTail

// countingWriter counts what it wrote and keeps its first error, with the offset.
type countingWriter struct {
	w    io.Writer
	name string
	n    int64
	err  error
}

func (c *countingWriter) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		c.err = &WriteError{Name: c.name, Offset: c.n, Err: err}
	}
	return n, c.err
}

// blockWriter writes one section of pcapng, in the caller. Blocks are put together
// in its buffer, by the functions below.
type blockWriter struct {
	out      countingWriter
	comments []string // of the section header
	begun    bool     // the section header is written
	n        int      // interfaces
	buf      []byte
	size     int // of buf, but for a block that is longer
}

// newBlockWriter returns a writer of a section with the given comments, through a
// buffer of the given size. Nothing is written before the first interface: until
// then the caller may find that there is nothing to write.
func newBlockWriter(w io.Writer, name string, comments []string, buffer int) *blockWriter {
	return &blockWriter{
		out:      countingWriter{w: w, name: name},
		comments: comments,
		buf:      make([]byte, 0, buffer),
		size:     buffer,
	}
}

// room writes what is buffered unless n bytes more fit.
func (b *blockWriter) room(n int) error {
	if len(b.buf)+n <= b.size {
		return nil
	}
	return b.flush()
}

// begin writes the section header, once.
func (b *blockWriter) begin() {
	if !b.begun {
		b.buf = appendSection(b.buf, b.comments)
		b.begun, b.comments = true, nil
	}
}

// addInterface writes an Ethernet interface and returns its number; texts that are
// empty are left out.
func (b *blockWriter) addInterface(name, description, comment string) (int, error) {
	n := b.n
	b.n++
	b.begin()
	b.buf = appendInterface(b.buf, name, description, comment)
	return n, b.room(0)
}

// packet writes a packet with the comments given.
func (b *blockWriter) packet(iface int, at time.Time, data []byte, origLen int, dir Direction, id uint64, comments []string) error {
	if err := b.room(len(data) + blockOverhead); err != nil {
		return err
	}
	var k int
	b.buf, k = beginPacket(b.buf, iface, at.UnixNano(), data, origLen)
	for _, c := range comments {
		b.buf = appendOption(b.buf, optComment, c)
	}
	b.buf = endPacket(b.buf, k, dir, id)
	return b.room(0)
}

// statistics writes an interface statistics block.
func (b *blockWriter) statistics(iface int, st *Statistics) error {
	b.buf = appendStatistics(b.buf, iface, st)
	return b.room(0)
}

// flush writes what is buffered.
func (b *blockWriter) flush() error {
	if b.out.err != nil {
		return b.out.err
	}
	if len(b.buf) == 0 {
		return nil
	}
	_, err := b.out.Write(b.buf)
	b.buf = b.buf[:0]
	return err
}

// finish ends the file. A section without interfaces has at least its header.
func (b *blockWriter) finish() error {
	b.begin()
	return b.flush()
}

// appendSection appends a section header with the given comments. Hardware and
// operating system are not in it: the machine must not reach the file. Nor is the
// section's length, which would have to be known before.
func appendSection(b []byte, comments []string) []byte {
	b, at := beginBlock(b, blockSection)
	b = binary.LittleEndian.AppendUint32(b, byteOrderMagic)
	b = append(b, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	b = appendOption(b, optApplication, application)
	for _, c := range comments {
		b = appendOption(b, optComment, c)
	}
	return endBlock(b, at)
}

// appendInterface appends the block of an Ethernet interface, with nanoseconds and
// no snapshot length.
func appendInterface(b []byte, name, description, comment string) []byte {
	b, at := beginBlock(b, blockInterface)
	b = append(b, LinkEthernet, 0, 0, 0, 0, 0, 0, 0)
	for _, o := range []struct {
		code int
		text string
	}{{optIfName, name}, {optComment, comment}, {optIfDescription, description}} {
		if o.text != "" {
			b = appendOption(b, o.code, o.text)
		}
	}
	b = append(b, optIfTSResol, 0, 1, 0, byte(nanoseconds), 0, 0, 0)
	return endBlock(b, at)
}

// appendStatistics appends an interface statistics block. A zero start or end is
// left out.
func appendStatistics(b []byte, iface int, st *Statistics) []byte {
	b, at := beginBlock(b, blockStats)
	b = binary.LittleEndian.AppendUint32(b, uint32(iface))
	b = appendStamp(b, st.Time)
	for _, c := range st.Comments {
		b = appendOption(b, optComment, c)
	}
	if !st.Start.IsZero() {
		b = appendTimeOption(b, optStatsStart, st.Start)
	}
	if !st.End.IsZero() {
		b = appendTimeOption(b, optStatsEnd, st.End)
	}
	b = appendUint64Option(b, optStatsRecv, st.Received)
	b = appendUint64Option(b, optStatsDrop, st.Dropped)
	return endBlock(b, at)
}

// beginBlock appends the head of a block whose body the caller appends before
// endBlock.
func beginBlock(b []byte, kind uint32) (_ []byte, at int) {
	at = len(b)
	b = binary.LittleEndian.AppendUint32(b, kind)
	return append(b, 0, 0, 0, 0), at
}

// endBlock ends the options of the block that began at byte at, and the block.
func endBlock(b []byte, at int) []byte {
	b = append(b, optEnd, 0, 0, 0)
	length := uint32(len(b) - at + 4)
	binary.LittleEndian.PutUint32(b[at+4:], length)
	return binary.LittleEndian.AppendUint32(b, length)
}

// appendPacket appends an enhanced packet block without comments: ns are nanoseconds
// since 1970. It is what most frames of a recording take, so it is written out: the
// lengths are known from the start, and there is one copy and one check for room.
func appendPacket(b []byte, iface int, ns int64, data []byte, dir Direction, id uint64) []byte {
	at := len(b)
	n := padded(len(data))
	size := packetHead + n + packetTail
	if cap(b)-at < size {
		b = slices.Grow(b, size)
	}
	b = b[:at+size]
	block := b[at : at+size : at+size]
	t := (*[packetTail]byte)(block[packetHead+n:])
	h := (*[packetHead]byte)(block)
	putPacketHead(h, size, iface, ns, len(data), len(data))
	if n > 0 {
		// The padding; b may hold bytes of an earlier use.
		binary.LittleEndian.PutUint32(block[packetHead+n-4:], 0)
		copy(block[packetHead:], data)
	}
	putPacketTail(t, size, dir, id)
	return b
}

// What stands before a packet's bytes in its block, and behind its comments.
const (
	packetHead = 28
	packetTail = 8 + 12 + 4 + 4
)

func putPacketHead(h *[packetHead]byte, size, iface int, ns int64, length, origLen int) {
	// Two fields at a time; the high word of the time comes first.
	binary.LittleEndian.PutUint64(h[:], blockPacket|uint64(size)<<32)
	binary.LittleEndian.PutUint64(h[8:], uint64(uint32(iface))|uint64(ns)&^(1<<32-1))
	binary.LittleEndian.PutUint64(h[16:], uint64(uint32(ns))|uint64(length)<<32)
	binary.LittleEndian.PutUint32(h[24:], uint32(origLen))
}

func putPacketTail(t *[packetTail]byte, size int, dir Direction, id uint64) {
	binary.LittleEndian.PutUint64(t[:], optPacketFlags|4<<16|uint64(dir)<<32)
	binary.LittleEndian.PutUint32(t[8:], optPacketID|8<<16)
	binary.LittleEndian.PutUint64(t[12:], id)
	binary.LittleEndian.PutUint64(t[20:], optEnd|uint64(size)<<32)
}

// beginPacket appends an enhanced packet block up to its options, which the caller
// appends before endPacket.
func beginPacket(b []byte, iface int, ns int64, data []byte, origLen int) (_ []byte, at int) {
	at = len(b)
	n := padded(len(data))
	// What follows the data is reserved, too, so that b grows once if at all.
	b = slices.Grow(b, n+blockOverhead)[:at+packetHead+n]
	putPacketHead((*[packetHead]byte)(b[at:]), 0, iface, ns, len(data), origLen)
	if n > 0 {
		binary.LittleEndian.PutUint32(b[at+packetHead+n-4:], 0)
		copy(b[at+packetHead:], data)
	}
	return b, at
}

// endPacket ends the packet block that began at byte at, with the options that all
// packets have.
func endPacket(b []byte, at int, dir Direction, id uint64) []byte {
	n := len(b)
	b = slices.Grow(b, packetTail)[:n+packetTail]
	size := n + packetTail - at
	putPacketTail((*[packetTail]byte)(b[n:]), size, dir, id)
	binary.LittleEndian.PutUint32(b[at+4:], uint32(size))
	return b
}
