package tap

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// pipe is a device over two byte streams in QEMU's framing: a stream with one
// session, which ends with its peer.
type pipe struct {
	books
	name string
	mtu  int
	r    io.ReadCloser
	w    io.WriteCloser

	closed atomic.Bool

	rmu sync.Mutex // held by Read
	in  *deframer

	wmu sync.Mutex // held by Write
	out framer
}

// NewPipe makes a device of two byte streams, in the framing of QEMU's -netdev stream:
// each frame behind its length, four bytes, big-endian. It takes r and w over and
// closes both; Close ends a Read or Write that waits if closing r and w does, as it
// does for pipes and connections. It has one peer: Read's error is io.EOF when that
// has hung up.
func NewPipe(name string, r io.ReadCloser, w io.WriteCloser, mtu int) Device {
	return &pipe{name: name, mtu: mtu, r: r, w: w, in: newDeframer(r), out: framer{w: w}}
}

// Read implements [Device].
func (p *pipe) Read(bufs [][]byte, sizes []int) (int, error) {
	if _, err := checkBuffers(bufs, sizes); err != nil {
		return 0, err
	}
	p.rmu.Lock()
	defer p.rmu.Unlock()
	if p.closed.Load() {
		return 0, closedErr(p.name)
	}
	n, err := p.in.frames(bufs, sizes, &p.books)
	if err != nil {
		return n, p.fail(err)
	}
	return n, nil
}

// Write implements [Device].
func (p *pipe) Write(frames [][]byte) (int, error) {
	p.wmu.Lock()
	defer p.wmu.Unlock()
	if p.closed.Load() {
		return 0, closedErr(p.name)
	}
	n, err := p.out.write(frames, p.mtu, &p.books)
	if err != nil {
		return n, p.fail(err)
	}
	return n, nil
}

func (p *pipe) fail(err error) error {
	if p.closed.Load() {
		return closedErr(p.name)
	}
	return fmt.Errorf("%s: %w", p.name, err)
}

// MTU implements [Device].
func (p *pipe) MTU() int { return p.mtu }

// Name implements [Device].
func (p *pipe) Name() string { return p.name }

// Close implements [Device].
func (p *pipe) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	err := p.r.Close()
	if werr := p.w.Close(); err == nil {
		err = werr
	}
	return err
}
