package pcap

import "io"

// NewRecorderBuffer is NewRecorder with a buffer of the given size.
func NewRecorderBuffer(w io.Writer, meta Meta, size int) (*Recorder, error) {
	r, err := NewRecorder(w, meta)
	if err == nil {
		r.b.buf, r.b.size = make([]byte, 0, size), size
	}
	return r, err
}
