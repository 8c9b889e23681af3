package pcap

import (
	"bufio"
	"fmt"
	"io"
)

// input reads bytes and knows where it is.
type input struct {
	r     io.Reader
	ahead *bufio.Reader // what r reads from, to look at what comes
	name  string
	zip   bool  // off counts uncompressed bytes
	off   int64 // bytes consumed by whole blocks

	// buf is the current block as far as it was read. It lies in the buffer of ahead,
	// which then has held bytes that are still to be discarded, or in own.
	buf  []byte
	held int
	own  []byte
}

// begin goes on to the next block.
func (in *input) begin() {
	if in.held == 0 && in.buf != nil {
		in.own = in.buf // which may have grown
	}
	in.ahead.Discard(in.held) // which are there
	in.buf, in.held = nil, 0
}

// keep takes the block out of the buffer of ahead, where what follows is looked at.
func (in *input) keep() {
	in.own = append(in.own[:0], in.buf...)
	in.ahead.Discard(in.held)
	in.buf, in.held = in.own, 0
}

// fill reads until buf holds n bytes. A claimed length is not believed: the
// buffer grows as the bytes arrive. It returns io.EOF when the input ends before
// the first byte of a block, io.ErrUnexpectedEOF when within it.
func (in *input) fill(n int) error {
	const step = 64 << 10
	if len(in.buf) == in.held && n <= readBuffer && in.r == io.Reader(in.ahead) {
		if b, err := in.ahead.Peek(n); err == nil {
			in.buf, in.held = b[:n:n], n
			return nil
		}
		// The rest is to be read, and what is wrong with it to be said.
	}
	if in.held > 0 || in.buf == nil {
		in.keep()
	}
	for len(in.buf) < n {
		have := len(in.buf)
		want := min(n-have, step)
		if cap(in.buf)-have < want {
			// Doubled, so that what is thrown away on the way is no more than n.
			more := make([]byte, have, max(have+want, min(2*have, n)))
			copy(more, in.buf)
			in.buf = more
		}
		k, err := io.ReadFull(in.r, in.buf[have:have+want])
		in.buf = in.buf[:have+k]
		switch {
		case err == nil:
		case err == io.EOF && have == 0:
			return io.EOF
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return io.ErrUnexpectedEOF
		default:
			if bad, ok := err.(packError); ok {
				return bad
			}
			return fmt.Errorf("%s: at %s: %w", in.name, atByte(in.off+int64(len(in.buf)), in.zip), err)
		}
	}
	return nil
}

// ended turns the end of the input within a block into a TruncatedError, and what
// cannot be decompressed into a FormatError; frames have been read.
func (in *input) ended(err error, frames int) error {
	if err == io.ErrUnexpectedEOF {
		return &TruncatedError{Name: in.name, Offset: in.off, Size: in.off + int64(len(in.buf)), Frames: frames, Inflated: in.zip}
	}
	if bad, ok := err.(packError); ok {
		return &FormatError{Name: in.name, Offset: in.off + int64(len(in.buf)), Frame: frames, Reason: bad.Error(), Kind: ErrDamaged, Inflated: in.zip}
	}
	return err
}
