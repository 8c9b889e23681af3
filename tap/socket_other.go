//go:build !linux

package tap

import (
	"errors"
	"net"
	"syscall"
)

// socket is a datagram socket, unix or UDP, one datagram at a time.
type socket struct {
	conn net.PacketConn
	head int
	from []address // of the datagram received last
	in   []byte
	out  []byte
}

// newSocket takes conn over. Each datagram begins with head bytes that are not the frame's.
func newSocket(conn net.PacketConn, head int) (*socket, error) {
	return &socket{conn: conn, head: head, from: make([]address, 1), in: make([]byte, head+MaxFrame+1)}, nil
}

// recv waits for a datagram. Its frame is in bufs[0], sizes[0] bytes long, or less
// than 0 if it is shorter than a head, or more than len(bufs[0]) if it was cut.
func (s *socket) recv(bufs [][]byte, sizes []int) (int, error) {
	n, from, err := s.conn.ReadFrom(s.in)
	if err != nil {
		return 0, err
	}
	if sizes[0] = n - s.head; n > s.head {
		copy(bufs[0], s.in[s.head:n])
	}
	switch a := from.(type) {
	case *net.UDPAddr:
		s.from[0] = address{ip: unmap(a.AddrPort())}
	case *net.UnixAddr:
		s.from[0] = address{path: a.Name}
	default:
		s.from[0] = address{}
	}
	return 1, nil
}

// headOf is the head of the datagram received last.
func (s *socket) headOf(int) []byte { return s.in[:s.head] }

// send sends frames to one address, each behind head. On an error n were sent and
// the next one was refused.
func (s *socket) send(frames [][]byte, head []byte, to address) (n int, err error) {
	addr := net.Addr(&net.UnixAddr{Net: "unixgram", Name: to.path})
	if to.path == "" {
		addr = net.UDPAddrFromAddrPort(to.ip)
	}
	for i, frame := range frames {
		s.out = append(append(s.out[:0], head...), frame...)
		if _, err := s.conn.WriteTo(s.out, addr); err != nil {
			return i, err
		}
	}
	return len(frames), nil
}

// drops is not known here.
func (s *socket) drops() uint64 { return 0 }

func (s *socket) close() error { return s.conn.Close() }

// isRefused reports whether nobody listens there.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
