package tap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// stream is a device whose peers come and go, one at a time, each with a byte
// stream in QEMU's framing.
//
// One goroutine gets peers; whoever finds in Read or Write that the peer has gone
// ends the session, and that goroutine gets the next.
type stream struct {
	books
	spec string
	name string
	mtu  int

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	ln     net.Listener // nil where we dial
	getter sync.WaitGroup

	mu   sync.Mutex
	cur  *session
	came chan struct{} // closed when there is a session after there was none

	rmu, wmu sync.Mutex // held by Read and by Write
}

// session is the time of one peer.
type session struct {
	conn net.Conn
	in   *deframer     // under rmu
	out  framer        // under wmu
	gone chan struct{} // closed when it is over
}

const (
	// How long a new peer waits for the one before it to be found gone: a machine that
	// restarts may be back before its hang-up was read.
	handover = time.Second

	// Between two attempts to dial: longer each time, until one lasted.
	redialLeast = 50 * time.Millisecond
	redialMost  = time.Second
)

func newStream(spec, addr string, mtu int) *stream {
	s := &stream{spec: spec, name: portName("qemu", addr), mtu: mtu, came: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// listenStream waits for peers at a unix or tcp address.
func listenStream(spec, network, addr string, mtu int) (Device, error) {
	if network == "unix" {
		if err := removeStale(addr, "unix"); err != nil {
			return nil, fmt.Errorf("%s: %w", spec, err)
		}
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec, err)
	}
	s := newStream(spec, addr, mtu)
	s.ln = ln
	s.getter.Go(s.accept)
	return s, nil
}

// dialStream calls a peer that listens, again and again.
func dialStream(spec, network, addr string, mtu int) (Device, error) {
	s := newStream(spec, addr, mtu)
	s.getter.Go(func() { s.dial(network, addr) })
	return s, nil
}

// Addr is where the device listens, or nil.
func (s *stream) Addr() net.Addr {
	if s.ln == nil {
		return nil
	}
	return s.ln.Addr()
}

func (s *stream) accept() {
	for {
		conn, err := s.ln.Accept()
		if s.ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return
		}
		if err != nil {
			// Out of descriptors, for one: others may be given back.
			s.pause(redialMost)
			continue
		}
		if old := s.current(); old != nil {
			select {
			case <-old.gone:
			case <-time.After(handover):
			case <-s.ctx.Done():
			}
		}
		if !s.begin(conn) {
			conn.Close()
		}
	}
}

func (s *stream) dial(network, addr string) {
	var d net.Dialer
	wait := redialLeast
	for s.ctx.Err() == nil {
		began := time.Now()
		if conn, err := d.DialContext(s.ctx, network, addr); err == nil && s.begin(conn) {
			if now := s.current(); now != nil {
				select {
				case <-now.gone:
				case <-s.ctx.Done():
				}
			}
			if time.Since(began) > redialMost {
				wait = redialLeast
			}
		} else if err == nil {
			conn.Close()
		}
		s.pause(wait)
		wait = min(2*wait, redialMost)
	}
}

func (s *stream) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	}
}

// begin makes conn the peer's, unless there is a peer or the device is closed.
func (s *stream) begin(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	if s.cur != nil {
		s.refused.Add(1)
		return false
	}
	s.cur = &session{conn: conn, in: newDeframer(conn), out: framer{w: conn}, gone: make(chan struct{})}
	s.connects.Add(1)
	close(s.came)
	return true
}

// end ends a session, once.
func (s *stream) end(old *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur != old {
		return
	}
	s.cur = nil
	s.came = make(chan struct{})
	s.disconnects.Add(1)
	old.conn.Close()
	close(old.gone)
}

func (s *stream) current() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur
}

// wait returns the session, when there is one.
func (s *stream) wait() (*session, error) {
	for {
		s.mu.Lock()
		cur, came := s.cur, s.came
		s.mu.Unlock()
		if s.ctx.Err() != nil {
			return nil, closedErr(s.spec)
		}
		if cur != nil {
			return cur, nil
		}
		select {
		case <-came:
		case <-s.ctx.Done():
		}
	}
}

// Read implements [Device].
func (s *stream) Read(bufs [][]byte, sizes []int) (int, error) {
	if _, err := checkBuffers(bufs, sizes); err != nil {
		return 0, err
	}
	s.rmu.Lock()
	defer s.rmu.Unlock()
	for {
		peer, err := s.wait()
		if err != nil {
			return 0, err
		}
		n, err := peer.in.frames(bufs, sizes, &s.books)
		if err == nil {
			return n, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			s.rxMalformed.Add(1) // the peer went in the middle of a frame
		}
		s.end(peer)
	}
}

// Write implements [Device]. A peer that does not read makes it wait.
func (s *stream) Write(frames [][]byte) (int, error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if s.ctx.Err() != nil {
		return 0, closedErr(s.spec)
	}
	peer := s.current()
	if peer == nil {
		s.countDown(frames, s.mtu)
		return len(frames), nil
	}
	n, err := peer.out.write(frames, s.mtu, &s.books)
	if err == nil {
		return n, nil
	}
	if s.ctx.Err() != nil {
		return n, closedErr(s.spec)
	}
	s.countDown(frames[n:], s.mtu)
	s.end(peer)
	return len(frames), nil
}

// countDown counts frames that nobody is there to take.
func (b *books) countDown(frames [][]byte, mtu int) {
	for _, frame := range frames {
		if fits(frame, mtu) {
			b.txDown.Add(1)
		} else {
			b.txInvalid.Add(1)
		}
	}
}

// MTU implements [Device].
func (s *stream) MTU() int { return s.mtu }

// Name implements [Device].
func (s *stream) Name() string { return s.name }

// Close implements [Device].
func (s *stream) Close() error {
	s.cancel()
	if s.ln != nil {
		s.ln.Close() // removes a unix socket's file
	}
	if peer := s.current(); peer != nil {
		s.end(peer)
	}
	s.getter.Wait()
	return nil
}

// portName makes a port's name out of an address: what stands in a path last, or the
// whole address, with other characters than letters, digits and _ . - replaced.
func portName(kind, addr string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.', r == '-':
			return r
		}
		return '-'
	}, strings.TrimSuffix(filepath.Base(addr), ".sock"))
	if name = strings.Trim(name, "-."); name == "" {
		return kind
	}
	return kind + "-" + name
}

// removeStale removes the file of a socket whose owner is gone, so that it can be
// bound again; kind is unix or unixgram.
func removeStale(path, kind string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&os.ModeSocket == 0:
		return fmt.Errorf("%s exists and is no socket: remove it or use another path", path)
	}
	conn, err := net.Dial(kind, path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("%s is in use: another process listens there", path)
	}
	if !isRefused(err) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.Remove(path)
}
