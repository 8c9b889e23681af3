package pcap

import (
	"errors"
	"io"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Recorder writes what happens on a switch to pcapng. It is a
// [vswitch.DeliveryRecorder]; give it to the switch as its Recorder, and call
// Close after the run.
//
// A wire recording ([NewRecorder]) holds each frame once, on its sender's
// interface, with its fate in comments: every other view is derived from it. A
// full recording ([NewFullRecorder]) holds each arrival too.
//
// It writes in the caller, in chunks of 256 KiB, and loses nothing: a slow
// writer makes the run wait. An untouched frame costs no allocation. It is not
// safe for concurrent use; a switch does not use it concurrently.
type Recorder struct {
	b      *blockWriter
	enc    encoder
	file   *File // to be closed with it, or nil
	err    error // the first
	closed bool
}

var _ vswitch.DeliveryRecorder = (*Recorder)(nil)

// errRecorderClosed: an event came after Close.
var errRecorderClosed = errors.New("pcap: recorder is closed")

// NewRecorder returns a wire recorder that writes to w. meta describes the run;
// View becomes "wire", an empty Clock "virtual". The error is
// [ErrMetaTooLong].
func NewRecorder(w io.Writer, meta Meta) (*Recorder, error) {
	return newRecorder(w, "recording", meta, "wire")
}

// NewFullRecorder returns a recorder that also writes every arrival: inbound, on
// the receiver's interface, with the packet id of the frame and without
// comments. It takes as many times the space as frames have receivers. View
// becomes "full".
func NewFullRecorder(w io.Writer, meta Meta) (*Recorder, error) {
	return newRecorder(w, "recording", meta, "full")
}

func newRecorder(w io.Writer, name string, meta Meta, view string) (*Recorder, error) {
	meta.View = view
	if meta.Clock == "" {
		meta.Clock = "virtual"
	}
	comments, err := meta.Marshal()
	if err != nil {
		return nil, err
	}
	return &Recorder{b: newBlockWriter(w, name, comments, writeBuffer), enc: encoder{full: view == "full"}}, nil
}

// Create returns a wire recorder that writes to the file path, as [CreateFile]
// does; Close closes the file, which gives it its name.
func Create(path string, meta Meta) (*Recorder, error) {
	f, err := CreateFile(path)
	if err != nil {
		return nil, err
	}
	r, err := newRecorder(f, f.Written(), meta, "wire")
	if err != nil {
		f.Abort()
		return nil, err
	}
	r.file = f
	return r, nil
}

// WantDeliveries reports whether it is a full recorder.
func (r *Recorder) WantDeliveries() bool { return r.enc.full }

// Record writes one event. The first error of writing is a [*WriteError]; it is
// returned now and from every later call.
func (r *Recorder) Record(e vswitch.Event) error {
	if r.closed {
		return errRecorderClosed
	}
	if r.err != nil {
		return r.err
	}
	need := 0
	switch e := e.(type) {
	case *vswitch.Sent:
		need = len(e.Data) + blockOverhead
		if len(r.b.buf)+need <= r.b.size {
			r.b.buf, r.err = r.enc.sent(r.b.buf, e)
			return r.err
		}
	case *vswitch.Delivered:
		need = len(e.Data) + blockOverhead
	case *vswitch.Connected:
		r.b.begin()
	}
	if r.err = r.b.room(need); r.err == nil {
		r.b.buf, r.err = r.enc.append(r.b.buf, e)
	}
	return r.err
}

// Flush writes what is buffered. A recording may be read up to there.
func (r *Recorder) Flush() error {
	if r.err == nil {
		r.err = r.b.flush()
	}
	return r.err
}

// Close finishes the recording, and the file when [Create] made it. After an
// error of writing it returns that error, and the file keeps its provisional
// name ([Recorder.Written]). Further calls do nothing and return the same.
func (r *Recorder) Close() error {
	if r.closed {
		return r.err
	}
	r.closed = true
	if r.err == nil {
		r.err = r.b.finish()
	}
	if r.file == nil {
		return r.err
	}
	if r.err != nil {
		r.file.Abort()
	} else {
		r.err = r.file.Close()
	}
	return r.err
}

// Discard ends a recording that is not to be. Of what [Create] made nothing is left, and what
// stood under its name stays. After Close it does nothing.
func (r *Recorder) Discard() {
	if r.closed {
		return
	}
	r.closed, r.err = true, errRecorderClosed
	if r.file != nil {
		r.file.Discard()
	}
}

// Written returns the path under which what was written stands now: PATH.partial
// until Close has succeeded, or PATH itself for what is written directly. It is
// empty for a recorder that [Create] did not make.
func (r *Recorder) Written() string {
	if r.file == nil {
		return ""
	}
	return r.file.Written()
}
