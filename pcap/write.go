package pcap

import (
	"bufio"
	"encoding/binary"
	"io"
	"time"
)

// application is what section headers name as the writing program.
const application = "vnreplay"

// writeBuffer is the size of the output's buffer: few, large writes. write(2),
// not encoding, is what limits a recording.
const writeBuffer = 256 << 10

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

// blockWriter writes one section of pcapng.
type blockWriter struct {
	out      countingWriter
	w        *bufio.Writer
	comments []string // of the section header; none once that is written
	begun    bool     // the section header is written
	n        int      // interfaces
	buf      []byte   // scratch: fixed parts and options of a block
}

// newBlockWriter returns a writer of a section with the given comments, through a
// buffer of the given size. Nothing is written before the first interface: until
// then the caller may find that there is nothing to write.
func newBlockWriter(w io.Writer, name string, comments []string, buffer int) *blockWriter {
	b := &blockWriter{
		out:      countingWriter{w: w, name: name},
		comments: comments,
		buf:      make([]byte, 0, 512),
	}
	b.w = bufio.NewWriterSize(&b.out, buffer)
	return b
}

// block writes a block of which the body is put together. bufio keeps the first
// error and returns it from every later call, so that the last one's is enough.
func (b *blockWriter) block(kind uint32, body []byte) error {
	length := uint32(len(body) + 12)
	frame := make([]byte, 0, 8)
	frame = binary.LittleEndian.AppendUint32(frame, kind)
	frame = binary.LittleEndian.AppendUint32(frame, length)
	b.w.Write(frame)
	b.w.Write(body)
	_, err := b.w.Write(frame[4:])
	return err
}

// begin writes the section header, once. Hardware and operating system are not in
// it: the machine must not reach the file. Nor is the section's length, which
// would have to be known before.
func (b *blockWriter) begin() error {
	if b.begun {
		return nil
	}
	body := binary.LittleEndian.AppendUint32(nil, byteOrderMagic)
	body = append(body, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	body = appendOption(body, optApplication, application)
	for _, c := range b.comments {
		body = appendOption(body, optComment, c)
	}
	b.begun, b.comments = true, nil
	return b.block(blockSection, append(body, optEnd, 0, 0, 0))
}

// addInterface writes an Ethernet interface and returns its number. It has no
// snapshot length, and nanoseconds; texts that are empty are left out.
func (b *blockWriter) addInterface(name, description, comment string) (int, error) {
	n := b.n
	b.n++
	if err := b.begin(); err != nil {
		return n, err
	}
	body := append(b.options(), LinkEthernet, 0, 0, 0, 0, 0, 0, 0)
	for _, o := range []struct {
		code int
		text string
	}{{optIfName, name}, {optComment, comment}, {optIfDescription, description}} {
		if o.text != "" {
			body = appendOption(body, o.code, o.text)
		}
	}
	body = append(body, optIfTSResol, 0, 1, 0, byte(nanoseconds), 0, 0, 0)
	b.buf = append(body, optEnd, 0, 0, 0)
	return n, b.block(blockInterface, b.buf)
}

// options starts the options of the next packet, which are appended to the
// returned slice and given to packet.
func (b *blockWriter) options() []byte { return b.buf[:0] }

// packet writes an enhanced packet block. opts are options as from options, with
// which the buffer comes back.
func (b *blockWriter) packet(iface int, at time.Time, data []byte, origLen int, dir Direction, id uint64, opts []byte) error {
	opts = append(opts, optPacketFlags, 0, 4, 0, byte(dir), 0, 0, 0)
	opts = appendUint64Option(opts, optPacketID, id)
	opts = append(opts, optEnd, 0, 0, 0)
	b.buf = opts
	const fixed = 28
	length := fixed + padded(len(data)) + len(opts) + 4
	opts = binary.LittleEndian.AppendUint32(opts, uint32(length))

	// The head is put together behind the options, to need no second buffer.
	k := len(opts)
	opts = append(opts, blockPacket, 0, 0, 0)
	opts = binary.LittleEndian.AppendUint32(opts, uint32(length))
	opts = binary.LittleEndian.AppendUint32(opts, uint32(iface))
	opts = appendStamp(opts, at)
	opts = binary.LittleEndian.AppendUint32(opts, uint32(len(data)))
	opts = binary.LittleEndian.AppendUint32(opts, uint32(origLen))
	b.buf = opts
	b.w.Write(opts[k:])
	b.w.Write(data)
	for i := len(data); i%4 != 0; i++ {
		b.w.WriteByte(0)
	}
	_, err := b.w.Write(opts[:k])
	return err
}

// statistics writes an interface statistics block. A zero start or end is left out.
func (b *blockWriter) statistics(iface int, st *Statistics) error {
	body := binary.LittleEndian.AppendUint32(b.options(), uint32(iface))
	body = appendStamp(body, st.Time)
	for _, c := range st.Comments {
		body = appendOption(body, optComment, c)
	}
	if !st.Start.IsZero() {
		body = appendTimeOption(body, optStatsStart, st.Start)
	}
	if !st.End.IsZero() {
		body = appendTimeOption(body, optStatsEnd, st.End)
	}
	body = appendUint64Option(body, optStatsRecv, st.Received)
	body = appendUint64Option(body, optStatsDrop, st.Dropped)
	b.buf = append(body, optEnd, 0, 0, 0)
	return b.block(blockStats, b.buf)
}

// flush writes what is buffered.
func (b *blockWriter) flush() error { return b.w.Flush() }

// finish ends the file. A section without interfaces has at least its header.
func (b *blockWriter) finish() error {
	if err := b.begin(); err != nil {
		return err
	}
	return b.w.Flush()
}
