package pcap

import (
	"bufio"
	"encoding/binary"
	"io"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
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

// blockWriter writes one section of pcapng. pcapgo writes the section header and
// the interface blocks, blockWriter the others, into the same bufio.Writer,
// which pcapgo takes as it is because it is large enough.
type blockWriter struct {
	out  countingWriter
	w    *bufio.Writer
	ng   *pcapgo.NgWriter // nil before the first interface
	info pcapgo.NgSectionInfo
	n    int    // interfaces
	buf  []byte // scratch: fixed parts and options of a block
}

// newBlockWriter returns a writer of a section with the given comment, through a
// buffer of the given size, at least 4 KiB. Nothing is written before the first interface, for pcapgo writes both at once.
func newBlockWriter(w io.Writer, name, comment string, buffer int) *blockWriter {
	b := &blockWriter{
		out: countingWriter{w: w, name: name},
		// Hardware and OS stay empty: the machine must not reach the file.
		info: pcapgo.NgSectionInfo{Application: application, Comment: comment},
		buf:  make([]byte, 0, 512),
	}
	b.w = bufio.NewWriterSize(&b.out, buffer)
	return b
}

// addInterface writes an Ethernet interface and returns its number.
func (b *blockWriter) addInterface(name, description, comment string) (int, error) {
	n := b.n
	b.n++
	ifc := pcapgo.NgInterface{
		Name: name, Description: description, Comment: comment,
		LinkType: layers.LinkTypeEthernet,
		// SnapLength 0 is no limit; OS stays empty; pcapgo writes nanoseconds.
	}
	if b.ng == nil {
		ng, err := pcapgo.NewNgWriterInterface(b.w, ifc, pcapgo.NgWriterOptions{SectionInfo: b.info})
		b.ng = ng
		return n, err
	}
	_, err := b.ng.AddInterface(ifc)
	return n, err
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
	// bufio keeps the first error and returns it from every later call.
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
	opts := b.options()
	for _, c := range st.Comments {
		opts = appendOption(opts, optComment, c)
	}
	if !st.Start.IsZero() {
		opts = appendTimeOption(opts, optStatsStart, st.Start)
	}
	if !st.End.IsZero() {
		opts = appendTimeOption(opts, optStatsEnd, st.End)
	}
	opts = appendUint64Option(opts, optStatsRecv, st.Received)
	opts = appendUint64Option(opts, optStatsDrop, st.Dropped)
	opts = append(opts, optEnd, 0, 0, 0)
	const fixed = 20
	length := fixed + len(opts) + 4
	head := make([]byte, 0, fixed)
	head = append(head, blockStats, 0, 0, 0)
	head = binary.LittleEndian.AppendUint32(head, uint32(length))
	head = binary.LittleEndian.AppendUint32(head, uint32(iface))
	head = appendStamp(head, st.Time)
	b.buf = opts
	b.w.Write(head)
	b.w.Write(opts)
	_, err := b.w.Write(binary.LittleEndian.AppendUint32(nil, uint32(length)))
	return err
}

// flush writes what is buffered.
func (b *blockWriter) flush() error { return b.w.Flush() }

// finish ends the file. The header of a section without interfaces is written
// here: pcapgo cannot.
func (b *blockWriter) finish() error {
	if b.ng == nil {
		opts := appendOption(b.options(), optApplication, b.info.Application)
		opts = appendOption(opts, optComment, b.info.Comment)
		opts = append(opts, optEnd, 0, 0, 0)
		const fixed = 24
		length := uint32(fixed + len(opts) + 4)
		head := binary.LittleEndian.AppendUint32(nil, blockSection)
		head = binary.LittleEndian.AppendUint32(head, length)
		head = binary.LittleEndian.AppendUint32(head, byteOrderMagic)
		head = append(head, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		b.w.Write(head)
		b.w.Write(opts)
		b.w.Write(binary.LittleEndian.AppendUint32(nil, length))
	}
	return b.w.Flush()
}
