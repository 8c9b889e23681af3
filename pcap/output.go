package pcap

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// Output is where a [LiveRecorder] writes: [ToFile], [ToWriter], a [*Rotation] or a
// [*Broadcaster]. An output belongs to one recorder.
type Output interface {
	// begin tells the output what is recorded, before anything else.
	begin(meta Meta, s *standing) error
	// put writes a chunk, and does not keep it.
	put(c *chunk) error
	// finish ends what is written when it is complete.
	finish() error
	// abort ends it when it is not, or makes a put that hangs return. It may be
	// called at the same time as the others, and more than once.
	abort()
	// drain waits, until ctx is done, for those who have yet to read what was put.
	drain(ctx context.Context)
}

// single is one capture that goes to a writer.
type single struct {
	out   countingWriter
	file  *File // or nil
	head  []byte
	ended atomic.Bool
}

// ToFile is the output into f, which gets its name when the recording is complete. So
// it is one for standard output and pipes ([CreateFile]).
func ToFile(f *File) Output {
	return &single{out: countingWriter{w: f, name: f.Written()}, file: f}
}

// ToWriter is the output to w, which errors call name. The recorder does not close it.
// If w has a method SetWriteDeadline, as connections and pipes have, a write that hangs
// is ended with it when the recording is given up.
func ToWriter(w io.Writer, name string) Output {
	return &single{out: countingWriter{w: w, name: name}}
}

func (s *single) begin(meta Meta, st *standing) (err error) {
	s.head, _, err = st.head(meta, 0, 0)
	return err
}

func (s *single) put(c *chunk) error {
	if err := s.start(); err != nil {
		return err
	}
	_, err := s.out.Write(c.buf)
	return err
}

// start writes the section header, once. Where there is nothing to write yet, the
// caller may find that there is nothing to record.
func (s *single) start() error {
	head := s.head
	if s.head = nil; head == nil {
		return nil
	}
	_, err := s.out.Write(head)
	return err
}

func (s *single) finish() error {
	err := s.start()
	if err != nil {
		s.abort()
		return err
	}
	if s.ended.Swap(true) {
		return ErrAborted
	}
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

func (s *single) abort() {
	if s.ended.Swap(true) {
		return
	}
	if s.file != nil {
		s.file.Abort()
		return
	}
	interrupt(s.out.w)
}

// interrupt ends a write that is under way, if w lets it.
func interrupt(w io.Writer) {
	if d, ok := w.(interface{ SetWriteDeadline(time.Time) error }); ok {
		_ = d.SetWriteDeadline(time.Unix(1, 0)) // files that cannot say so
	}
}

func (s *single) drain(context.Context) {}

// errOutputUsed: an output was given to a second recorder.
var errOutputUsed = errors.New("pcap: the output belongs to another recorder")
