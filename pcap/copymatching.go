package pcap

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// CopyMatching copies the pcapng in, which may be one that is still being written, to
// out, and leaves out the packets that match does not want; it is shown a packet's bytes
// and its length on the wire. All else is copied byte for byte; what stands in the comments
// of a packet goes with it. What came is written before more is waited for.
//
// It returns nil at the end of in. Of one that is cut the whole blocks are copied, and
// the error is a [*TruncatedError]; others are those of [NewReader], and of writing.
func CopyMatching(out io.Writer, in io.Reader, name string, match func(frame []byte, wireLen int) bool) error {
	w := bufio.NewWriterSize(out, writeBuffer)
	br, k, pack, err := sniff(&flusher{in, w}, name)
	if err != nil {
		return err
	}
	if k != kindPcapng {
		return fmt.Errorf("%s: no pcapng", name)
	}
	var raw bytes.Buffer
	scan := &ngScanner{input: input{r: io.TeeReader(br, &raw), ahead: br, name: name, zip: pack != plain}}
	for {
		raw.Reset()
		if err := scan.next(); err != nil {
			if err == io.EOF {
				err = nil
			}
			if ferr := w.Flush(); ferr != nil { // also where that ended the reading
				return ferr
			}
			return err
		}
		block := raw.Bytes()
		const lengths, start = 20, 28
		switch scan.order.Uint32(block) {
		case blockPacket, blockObsolete:
			captured := int(scan.order.Uint32(block[lengths:]))
			if !match(block[start:start+captured], scan.cur.origLen) {
				continue
			}
		case blockSimple:
			if !match(block[12:len(block)-4], scan.cur.origLen) {
				continue
			}
		}
		if _, err := w.Write(block); err != nil {
			return err
		}
	}
}

// flusher reads from in, and before that flushes w.
type flusher struct {
	in io.Reader
	w  *bufio.Writer
}

func (f *flusher) Read(p []byte) (int, error) {
	if err := f.w.Flush(); err != nil {
		return 0, err
	}
	return f.in.Read(p)
}
