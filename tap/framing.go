package tap

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The framing of QEMU's -netdev stream (QEMU, net/stream.c): the length of the frame
// in four bytes, big-endian, then the frame.
const lengthLen = 4

// framingError says that what comes cannot be the length of a frame, so that
// nothing behind it can be understood.
type framingError uint32

func (e framingError) Error() string {
	return fmt.Sprintf("frame length %d: want 1 to %d", uint32(e), MaxFrame)
}

// deframer takes the frames out of a byte stream. What was read for one peer must
// not be mixed with another's: a new stream begins with a new deframer.
type deframer struct {
	r    io.Reader
	buf  []byte // of MaxFrame and its length at least
	a, b int    // buf[a:b] was read and not yet taken
}

// deframerSize is what is read at once: enough for the frames of a batch.
const deframerSize = 256 << 10

func newDeframer(r io.Reader) *deframer { return &deframer{r: r, buf: make([]byte, deframerSize)} }

// next is the next whole frame that was read, or nil; it is good until more is read.
func (d *deframer) next() ([]byte, error) {
	have := d.buf[d.a:d.b]
	if len(have) < lengthLen {
		return nil, nil
	}
	n := binary.BigEndian.Uint32(have)
	switch {
	case n == 0 || n > MaxFrame:
		return nil, framingError(n)
	case len(have)-lengthLen < int(n):
		return nil, nil
	}
	d.a += lengthLen + int(n)
	return have[lengthLen : lengthLen+n], nil
}

// read reads on, once. It blocks until there is something.
func (d *deframer) read() error {
	if d.a > 0 {
		// What is left is the beginning of one frame.
		d.b = copy(d.buf, d.buf[d.a:d.b])
		d.a = 0
	}
	n, err := d.r.Read(d.buf[d.b:])
	d.b += n
	if n > 0 {
		return nil // an error comes again
	}
	if err == io.EOF && d.b > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// frames fills bufs with frames, waiting for the first. Runts are counted and left out.
func (d *deframer) frames(bufs [][]byte, sizes []int, count *books) (n int, err error) {
	for {
		for n < len(bufs) {
			frame, err := d.next()
			if err != nil {
				if n > 0 {
					return n, nil // it is found again
				}
				count.rxMalformed.Add(1)
				return 0, err
			}
			if frame == nil {
				break
			}
			if len(frame) < MinFrame {
				count.rxMalformed.Add(1)
				continue
			}
			sizes[n] = copy(bufs[n], frame)
			n++
		}
		if n > 0 {
			return n, nil
		}
		if err := d.read(); err != nil {
			return 0, err
		}
	}
}

// framer puts frames into a byte stream, many with one write.
type framer struct {
	w   io.Writer
	buf []byte
}

// write sends frames, leaving out and counting those that do not fit the MTU. On an
// error n of them were dealt with, and the stream is of no more use: the next ones
// may have gone out in part.
func (f *framer) write(frames [][]byte, mtu int, count *books) (n int, err error) {
	for i, frame := range frames {
		if !fits(frame, mtu) {
			count.txInvalid.Add(1)
			continue
		}
		if len(f.buf)+lengthLen+len(frame) > deframerSize {
			if err := f.flush(); err != nil {
				return n, err
			}
			n = i
		}
		f.buf = binary.BigEndian.AppendUint32(f.buf, uint32(len(frame)))
		f.buf = append(f.buf, frame...)
	}
	if err := f.flush(); err != nil {
		return n, err
	}
	return len(frames), nil
}

func (f *framer) flush() error {
	if len(f.buf) == 0 {
		return nil
	}
	_, err := f.w.Write(f.buf)
	f.buf = f.buf[:0]
	return err
}
