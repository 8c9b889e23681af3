package pcap

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// FileFormat is what a rewritten capture is to be.
type FileFormat uint8

// The formats.
const (
	SameFormat    FileFormat = iota // that of the input
	PcapngFormat                    // pcapng, also of a classic file
	ClassicFormat                   // the classic format; of pcapng that is [ErrFormat]
)

// ErrFormat: pcapng cannot become a classic pcap file, which has no room for
// interfaces, comments and options.
var ErrFormat = errors.New("pcapng does not fit into a classic pcap file")

// Copy rewrites the capture in, which errors call name, to out. It stays in its
// format, and all but frames and their lengths is copied byte for byte: section and
// interface blocks, comments and other options, statistics, names, secrets, and
// blocks that nobody knows; of a classic file the header. What is compressed is
// written as it is inside.
//
// Of a file that is cut what precedes the cut is rewritten; the error is then a
// [*TruncatedError]. Other errors are those of [NewReader] and [Reader.Next], and
// of writing.
func (r *Rewriter) Copy(out io.Writer, in io.Reader, name string, format FileFormat) error {
	br, k, pack, err := sniff(in, name)
	if err != nil {
		return err
	}
	if k == kindPcapng && format == ClassicFormat {
		return fmt.Errorf("%s: %w", name, ErrFormat)
	}
	c := &copying{r: r, w: bufio.NewWriterSize(out, writeBuffer)}
	src := input{r: io.TeeReader(br, &c.raw), ahead: br, name: name, zip: pack != plain}
	if k == kindPcapng {
		err = c.pcapng(&ngScanner{input: src})
	} else {
		err = c.pcap(&pcapScanner{input: src}, format == PcapngFormat)
	}
	if err == io.EOF {
		err = nil
	}
	if err != nil && !isCut(err) {
		return err
	}
	if ferr := c.w.Flush(); ferr != nil {
		return ferr
	}
	return err
}

// copying is a capture on its way. The scanners of [Reader] check it; raw holds
// the block that they read last, as it stands in the file.
type copying struct {
	r     *Rewriter
	w     *bufio.Writer
	raw   bytes.Buffer
	order binary.ByteOrder
	links []int // of the section's interfaces
}

// pcapng copies block after block, until the scanner's error.
func (c *copying) pcapng(scan *ngScanner) error {
	for {
		c.raw.Reset()
		if err := scan.next(); err != nil {
			return err
		}
		c.order = scan.order
		block := c.raw.Bytes()
		var err error
		switch kind := c.order.Uint32(block); kind {
		case blockSection:
			c.section(block, scan)
			_, err = c.w.Write(block)
		case blockInterface:
			c.links = append(c.links, int(c.order.Uint16(block[8:])))
			_, err = c.w.Write(block)
		case blockPacket, blockObsolete:
			iface := int(c.order.Uint32(block[8:]))
			if kind == blockObsolete {
				iface = int(c.order.Uint16(block[8:]))
			}
			err = c.packet(block, iface, scan)
		case blockSimple:
			err = c.simple(block, scan)
		default:
			_, err = c.w.Write(block)
		}
		if err != nil {
			return err
		}
	}
}

// section begins a section. Its length cannot be told when frames change theirs.
func (c *copying) section(block []byte, scan *ngScanner) {
	c.links = c.links[:0]
	if c.r.resizes {
		c.order.PutUint64(block[16:], 1<<64-1) // "not told"
	}
	if _, err := ParseMeta(scan.sections[len(scan.sections)-1].Comments...); err == nil {
		c.r.report.Recording = true
	}
}

// packet writes an enhanced or obsolete packet block: its type and length, 12
// bytes that stay, the two lengths of the packet, the packet, options, the length.
func (c *copying) packet(block []byte, iface int, scan *ngScanner) error {
	const lengths, start = 20, 28
	captured := int(c.order.Uint32(block[lengths:]))
	data := block[start : start+captured]
	ifc := *scan.ifaces[scan.base+iface]
	ifc.LinkType = c.links[iface]
	frame, longer := c.frame(&ifc, data, &scan.cur)
	if longer == 0 {
		copy(data, frame)
		_, err := c.w.Write(block)
		return err
	}
	options := block[start+padded(captured) : len(block)-4]
	head := append([]byte(nil), block[:start]...)
	total := uint32(start + padded(len(frame)) + len(options) + 4)
	c.order.PutUint32(head[4:], total)
	c.order.PutUint32(head[lengths:], uint32(len(frame)))
	c.order.PutUint32(head[lengths+4:], uint32(scan.cur.origLen+longer))
	c.w.Write(head)
	c.w.Write(frame)
	c.w.Write(make([]byte, padded(len(frame))-len(frame)))
	c.w.Write(options)
	return c.length(total)
}

// length writes the length at the end of a block.
func (c *copying) length(n uint32) error {
	var b [4]byte
	c.order.PutUint32(b[:], n)
	_, err := c.w.Write(b[:])
	return err
}

// simple writes a simple packet block, which has the original length only.
func (c *copying) simple(block []byte, scan *ngScanner) error {
	const start = 12
	ifc := *scan.ifaces[scan.base]
	ifc.LinkType = c.links[0]
	captured := scan.cur.origLen
	if ifc.SnapLen > 0 {
		captured = min(captured, ifc.SnapLen)
	}
	snapped := captured < scan.cur.origLen
	if snapped && c.r.resizes {
		// Readers take the snapshot length for that of the data.
		c.r.report.Frames++
		c.r.left("snapped short in a simple packet block, which cannot tell how long the rest is", scan.cur.frame)
		_, err := c.w.Write(block)
		return err
	}
	data := block[start : start+captured]
	frame, longer := c.frame(&ifc, data, &scan.cur)
	if longer == 0 {
		copy(data, frame)
		_, err := c.w.Write(block)
		return err
	}
	total := uint32(start + padded(len(frame)) + 4)
	head := append([]byte(nil), block[:start]...)
	c.order.PutUint32(head[4:], total)
	c.order.PutUint32(head[8:], uint32(scan.cur.origLen+longer))
	c.w.Write(head)
	c.w.Write(frame)
	c.w.Write(make([]byte, padded(len(frame))-len(frame)))
	return c.length(total)
}

// frame rewrites a frame. One that would be longer than its interface keeps is
// cut there, as the capture would have been.
func (c *copying) frame(ifc *Interface, data []byte, sc *scanned) (frame []byte, longer int) {
	p := Packet{Data: data, OrigLen: max(sc.origLen, len(data)), FCSLen: fcsLen(ifc, sc.flags)}
	without, _ := p.Frame()
	frame, longer = c.r.Frame(ifc.LinkType, data, len(data)-len(without), sc.frame)
	if ifc.SnapLen > 0 && longer > 0 && len(frame) > ifc.SnapLen {
		c.r.report.Cut++
		frame = frame[:max(ifc.SnapLen, len(data))]
	}
	return frame, longer
}

// pcap copies record after record of a classic file, until the scanner's error.
// Variants of the format stay what they are.
func (c *copying) pcap(scan *pcapScanner, asPcapng bool) error {
	if err := scan.next(); err != nil {
		return err
	}
	c.order = scan.order
	if asPcapng {
		c.order = binary.LittleEndian
		c.begin(&scan.iface, scan.variant.nano)
	} else {
		c.w.Write(c.raw.Bytes())
	}
	for {
		c.raw.Reset()
		if err := scan.next(); err != nil {
			return err
		}
		size := recordHeader + scan.variant.more
		head, data := c.raw.Bytes()[:size], c.raw.Bytes()[size:]
		frame, longer := c.frame(&scan.iface, data, &scan.cur)
		original := uint32(scan.cur.origLen + longer)
		if asPcapng {
			sec, sub := scan.order.Uint32(head), scan.order.Uint32(head[4:])
			if err := c.enhanced(sec, sub, scan.variant.nano, frame, max(original, uint32(len(frame)))); err != nil {
				return err
			}
			continue
		}
		if longer != 0 {
			first, second := uint32(len(frame)), original
			if was, _ := scan.lengths.of(1, 2); was != 1 || scan.lengths == smallerIsCaptured && scan.order.Uint32(head[8:]) > scan.order.Uint32(head[12:]) {
				first, second = second, first
			}
			c.order.PutUint32(head[8:], first)
			c.order.PutUint32(head[12:], second)
		}
		c.w.Write(head)
		if _, err := c.w.Write(frame); err != nil {
			return err
		}
	}
}

// begin writes the section and the interface that a classic file's header is.
func (c *copying) begin(ifc *Interface, nanos bool) {
	b := binary.LittleEndian.AppendUint32(nil, byteOrderMagic)
	b = append(b, 1, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, 1<<64-1)
	b = append(appendOption(b, optApplication, application), optEnd, 0, 0, 0)
	c.block(blockSection, b)
	b = binary.LittleEndian.AppendUint16(nil, uint16(ifc.LinkType))
	b = append(b, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(ifc.SnapLen))
	resolution := byte(microseconds)
	if nanos {
		resolution = byte(nanoseconds)
	}
	b = append(b, optIfTSResol, 0, 1, 0, resolution, 0, 0, 0)
	if ifc.FCSLen > 0 {
		b = append(b, optIfFCSLen, 0, 1, 0, byte(ifc.FCSLen), 0, 0, 0)
	}
	c.block(blockInterface, append(b, optEnd, 0, 0, 0))
}

// enhanced writes a record as an enhanced packet block.
func (c *copying) enhanced(sec, sub uint32, nanos bool, frame []byte, orig uint32) error {
	units := uint64(1_000_000)
	if nanos {
		units = 1_000_000_000
	}
	at := uint64(sec)*units + uint64(sub)
	b := make([]byte, 4, 20+padded(len(frame)))
	for _, n := range []uint32{uint32(at >> 32), uint32(at), uint32(len(frame)), orig} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = append(b, frame...)
	return c.block(blockPacket, append(b, make([]byte, padded(len(frame))-len(frame))...))
}

func (c *copying) block(kind uint32, body []byte) error {
	total := uint32(len(body) + 12)
	c.w.Write(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, kind), total))
	c.w.Write(body)
	return c.length(total)
}
