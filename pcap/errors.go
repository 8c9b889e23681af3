package pcap

import (
	"errors"
	"fmt"
	"io"
)

// Errors of reading. Compare with [errors.Is].
var (
	// ErrNotCapture: the input is no capture of a format the package reads.
	ErrNotCapture = errors.New("not a capture")
	// ErrDamaged: the input is a capture, and what stands at some byte of it
	// cannot be right.
	ErrDamaged = errors.New("damaged capture")
	// ErrNotRecording: the capture is sound, and is not a wire recording made by
	// vnreplay; views and deliveries exist of such recordings only.
	ErrNotRecording = errors.New("not a wire recording of vnreplay")
)

// FormatError says what is wrong with an input, and where.
type FormatError struct {
	Name   string // of the input
	Offset int64  // of the block or record that is wrong, from the start of the (uncompressed) input
	Frame  int    // the last frame before it, 0 for none
	Reason string
	Kind   error // ErrNotCapture or ErrDamaged
	// Inflated is set if the input is compressed: Offset is no offset in the
	// file, but in the data that it expands to.
	Inflated bool
}

// atByte says where something stands.
func atByte(offset int64, inflated bool) string {
	if inflated {
		return fmt.Sprintf("byte %d of the uncompressed data", offset)
	}
	return fmt.Sprintf("byte %d", offset)
}

// Error is one line: name, byte offset, frame, reason.
func (e *FormatError) Error() string {
	if e.Kind == ErrNotCapture {
		return fmt.Sprintf("%s: %v: %s", e.Name, e.Kind, e.Reason)
	}
	where := ""
	if e.Frame > 0 {
		where = fmt.Sprintf(", after frame %d", e.Frame)
	}
	return fmt.Sprintf("%s: %v at %s%s: %s", e.Name, e.Kind, atByte(e.Offset, e.Inflated), where, e.Reason)
}

// Unwrap returns Kind.
func (e *FormatError) Unwrap() error { return e.Kind }

// TruncatedError is the end of an input that was cut (a full disk, a killed
// writer) in the middle of a block. All that stands before was read.
type TruncatedError struct {
	Name   string // of the input
	Offset int64  // where the last whole block ends
	Size   int64  // how many bytes there are
	Frames int    // the number of the last whole frame, 0 for none
	// Inflated is set if the input is compressed: Offset and Size are then of
	// the data that it expands to.
	Inflated bool
}

// Error is one line: name, where the last whole block ends, what follows.
func (e *TruncatedError) Error() string {
	if e.Size == e.Offset {
		return fmt.Sprintf("%s: cut: the compressed data end in the middle, with the last whole block (frame %d) at %s",
			e.Name, e.Frames, atByte(e.Offset, e.Inflated))
	}
	return fmt.Sprintf("%s: cut: the last whole block (frame %d) ends at %s, and %d bytes of the next follow",
		e.Name, e.Frames, atByte(e.Offset, e.Inflated), e.Size-e.Offset)
}

// Unwrap returns [io.ErrUnexpectedEOF].
func (e *TruncatedError) Unwrap() error { return io.ErrUnexpectedEOF }

// WriteError is a failure to write a capture. What was written before Offset
// stands in the file Name.
type WriteError struct {
	Name   string // the file that holds what was written: PATH.partial, or the path itself when it was written directly
	Offset int64  // bytes that were written before it
	Err    error
}

// Error is one line: name, byte offset, the cause.
func (e *WriteError) Error() string {
	return fmt.Sprintf("writing %s: at byte %d: %v", e.Name, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *WriteError) Unwrap() error { return e.Err }
