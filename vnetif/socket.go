package vnetif

import (
	"bytes"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/vnreplay/vnreplay/switch"
)

// socket is an endpoint of a stack under the blocking calls of application code.
// Each call becomes a [vswitch.Op]; the stack's notifications, deadlines and
// Close have the world's loop try the calls that wait.
type socket struct {
	h       *Host
	network string // "tcp", "udp", "ip4:icmp": for errors
	ep      tcpip.Endpoint
	wq      *waiter.Queue
	entry   waiter.Entry
	object  uint64
	addrOf  func(tcpip.FullAddress) net.Addr
	local   net.Addr
	remote  net.Addr // nil when not connected

	mu       sync.Mutex
	waiting  [2][]*vswitch.Op // by direction
	deadline [2]time.Time     // of the world's clock; zero: none
	timer    [2]vswitch.Timer
	known    instants
	closed   bool

	trying  sync.Mutex    // one try of a Write at a time
	writing *bytes.Reader // of the Write that has begun and is not finished
}

// Directions of calls.
const (
	in  = 0 // Read, Accept
	out = 1 // Write
)

// newSocket takes over an endpoint. It is called by the world's loop, or before
// the world runs.
func newSocket(h *Host, network string, ep tcpip.Endpoint, wq *waiter.Queue, addrOf func(tcpip.FullAddress) net.Addr) *socket {
	s := &socket{h: h, network: network, ep: ep, wq: wq, addrOf: addrOf, object: h.node.NextObject()}
	s.entry = waiter.NewFunctionEntry(waiter.ReadableEvents|waiter.WritableEvents|waiter.EventHUp|waiter.EventErr, s.notify)
	wq.EventRegister(&s.entry)
	s.nameEnds()
	return s
}

// nameEnds notes the addresses, which the endpoint forgets when it is closed.
func (s *socket) nameEnds() {
	if a, err := s.ep.GetLocalAddress(); err == nil {
		s.local = s.addrOf(a)
	}
	if a, err := s.ep.GetRemoteAddress(); err == nil {
		s.remote = s.addrOf(a)
	}
}

// notify is called by the stack, from any goroutine.
func (s *socket) notify(mask waiter.EventMask) {
	const always = waiter.EventHUp | waiter.EventErr
	if mask&(waiter.ReadableEvents|always) != 0 {
		s.wake(in)
	}
	if mask&(waiter.WritableEvents|always) != 0 {
		s.wake(out)
	}
}

// wake has the loop try the calls that wait in one direction.
func (s *socket) wake(dir int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range s.waiting[dir] {
		s.h.node.Wake(op)
	}
}

// what describes the socket in messages about who waits on what.
func (s *socket) what() string {
	if s.remote == nil {
		if s.local == nil {
			return s.network
		}
		return s.network + " " + s.local.String()
	}
	return s.network + " " + s.local.String() + " > " + s.remote.String()
}

// do parks the caller until try has returned true. The error is nil, or that of
// a world that does not run.
func (s *socket) do(kind vswitch.OpKind, dir int, try func() bool) error {
	op := &vswitch.Op{Object: s.object, Kind: kind, What: s.what, Try: try}
	s.mu.Lock()
	s.waiting[dir] = append(s.waiting[dir], op)
	s.mu.Unlock()
	err := s.h.node.Do(op)
	s.mu.Lock()
	i := slices.Index(s.waiting[dir], op)
	s.waiting[dir] = slices.Delete(s.waiting[dir], i, i+1)
	s.mu.Unlock()
	return err
}

// open returns net.ErrClosed when the socket was closed. In real time that happens also
// while a call is tried: it is the reason for whatever error of the stack's.
func (s *socket) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	return nil
}

// gone returns the error of a call that must not proceed: the socket was
// closed, or the direction's deadline has passed.
func (s *socket) gone(dir int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	if d := s.deadline[dir]; !d.IsZero() && !s.h.Now().Before(d) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// read reads what is there into b, and notes the sender in from if it is not nil.
func (s *socket) read(b []byte, from *tcpip.FullAddress) (n int, err error) {
	waited := s.do(vswitch.OpRead, in, func() bool {
		if err = s.gone(in); err != nil {
			return true
		}
		w := tcpip.SliceWriter(b)
		res, terr := s.ep.Read(&w, tcpip.ReadOptions{NeedRemoteAddr: from != nil})
		switch terr.(type) {
		case *tcpip.ErrWouldBlock:
			return false
		case *tcpip.ErrClosedForReceive:
			err = first(s.open(), io.EOF)
		case nil, *tcpip.ErrBadBuffer: // the latter: no room for any of the datagram
			n = res.Count
			s.ep.ModerateRecvBuf(n)
			if from != nil {
				*from = res.RemoteAddr
			}
		default:
			err = first(s.open(), callError("read", errorOf(terr)))
		}
		return true
	})
	return n, s.opError("read", s.remote, first(waited, err))
}

// write writes all of b, to an address if to is not nil. The bytes of one call
// stay together: another has to wait until it is finished.
func (s *socket) write(b []byte, to *tcpip.FullAddress, addr net.Addr) (n int, err error) {
	r := new(bytes.Reader)
	waited := s.do(vswitch.OpWrite, out, func() (done bool) {
		s.trying.Lock()
		defer s.trying.Unlock()
		if s.writing != nil && s.writing != r {
			err = s.gone(out)
			return err != nil
		}
		s.writing = r
		defer func() {
			if done {
				s.writing = nil
				s.wake(out)
			}
		}()
		for {
			if err = s.gone(out); err != nil {
				return true
			}
			r.Reset(b[n:])
			wrote, terr := s.ep.Write(r, tcpip.WriteOptions{To: to})
			n += int(wrote)
			if _, full := terr.(*tcpip.ErrWouldBlock); full {
				return false
			}
			if terr != nil {
				err = first(s.open(), callError("write", errorOf(terr)))
			}
			if err != nil || n == len(b) {
				return true
			}
		}
	})
	return n, s.opError("write", addr, first(waited, err))
}

// shutdown ends one or both directions without closing the socket.
func (s *socket) shutdown(flags tcpip.ShutdownFlags) (err error) {
	waited := s.do(vswitch.OpClose, out, func() bool {
		if err = s.open(); err != nil {
			return true
		}
		if terr := s.ep.Shutdown(flags); terr != nil {
			err = callError("shutdown", errorOf(terr))
		}
		return true
	})
	return s.opError("close", s.remote, first(waited, err))
}

// close closes the socket; it works at any time. A second call is an error, as
// with the net package.
func (s *socket) close(release func()) error {
	var err error
	act := func() bool {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			err = net.ErrClosed
			return true
		}
		s.closed = true
		for dir := range s.timer {
			if s.timer[dir] != nil {
				s.timer[dir].Stop()
			}
		}
		s.mu.Unlock()
		s.wq.EventUnregister(&s.entry)
		release()
		s.wake(in)
		s.wake(out)
		return true
	}
	if s.do(vswitch.OpClose, out, act) != nil {
		act() // the world does not run
	}
	return s.opError("close", s.remote, err)
}

// SetDeadline, SetReadDeadline and SetWriteDeadline never park; they wake calls
// that wait. See the package comment for what an instant means.
func (s *socket) SetDeadline(t time.Time) error {
	if err := s.setDeadline(in, t); err != nil {
		return err
	}
	return s.setDeadline(out, t)
}

func (s *socket) SetReadDeadline(t time.Time) error  { return s.setDeadline(in, t) }
func (s *socket) SetWriteDeadline(t time.Time) error { return s.setDeadline(out, t) }

func (s *socket) setDeadline(dir int, t time.Time) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return s.opError("set", s.remote, net.ErrClosed)
	}
	if s.timer[dir] != nil {
		s.timer[dir].Stop()
		s.timer[dir] = nil
	}
	at := s.h.instant(&s.known, t)
	s.deadline[dir] = at
	passed := !at.IsZero() && !s.h.Now().Before(at)
	if !at.IsZero() && !passed {
		s.timer[dir] = s.h.node.AppClock(s.object).AfterFunc(at.Sub(s.h.Now()), func() { s.wake(dir) })
	}
	s.mu.Unlock()
	if passed {
		s.wake(dir)
	}
	return nil
}

// opError dresses an error like the net package does; nil and io.EOF stay.
func (s *socket) opError(op string, addr net.Addr, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: s.network, Source: s.local, Addr: addr, Err: err}
}

// LocalAddr returns the local address.
func (s *socket) LocalAddr() net.Addr { return s.local }

// RemoteAddr returns the peer's address, or nil.
func (s *socket) RemoteAddr() net.Addr { return s.remote }

// first returns the first error that is not nil.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
