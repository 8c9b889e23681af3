package tap

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchLen is how many messages one call of the system takes: with 64 the call
// itself is no longer what counts.
const batchLen = 64

// mmsghdr is the kernel's struct mmsghdr: a message, and how many bytes of it came.
type mmsghdr struct {
	unix.Msghdr
	n uint32
}

// messages are the arguments of recvmmsg(2) and sendmmsg(2), made once. Each message
// is a head, apart from the frame it stands before, and a frame.
type messages struct {
	raw  syscall.RawConn
	head int // length of a head in bytes, may be 0

	msgs    []mmsghdr
	iovs    []unix.Iovec // two a message: head, frame
	heads   []byte
	names   []unix.RawSockaddrAny // of senders; nil: not wanted
	control []byte                // controlLen bytes a message; nil: not wanted
	closed  *atomic.Bool          // of a socket that is not in the poller; nil: it is

	// Arguments and results of the call, which is a method value made once.
	call  func(fd uintptr) bool
	first int
	count int
	done  int
	errno syscall.Errno
}

// controlLen has room for the one control message that is asked for.
const controlLen = 64

func newMessages(raw syscall.RawConn, head int) *messages {
	m := &messages{
		raw:   raw,
		head:  head,
		msgs:  make([]mmsghdr, batchLen),
		iovs:  make([]unix.Iovec, 2*batchLen),
		heads: make([]byte, head*batchLen),
	}
	for i := range m.msgs {
		iov := m.iovs[2*i : 2*i+2]
		if head == 0 {
			iov = iov[1:]
		} else {
			iov[0].Base = &m.heads[i*head]
			iov[0].SetLen(head)
		}
		m.msgs[i].Iov = &iov[0]
		m.msgs[i].SetIovlen(len(iov))
	}
	return m
}

// receives prepares for receiving, with the senders' names or control messages.
func (m *messages) receives(names, control bool) {
	m.call = m.recvmmsg
	if names {
		m.names = make([]unix.RawSockaddrAny, batchLen)
		for i := range m.msgs {
			m.msgs[i].Name = (*byte)(unsafe.Pointer(&m.names[i]))
		}
	}
	if control {
		m.control = make([]byte, controlLen*batchLen)
		for i := range m.msgs {
			m.msgs[i].Control = &m.control[controlLen*i]
		}
	}
}

// sends prepares for sending, all to one name, or to whom the socket is bound if it
// is empty.
func (m *messages) sends() { m.call = m.sendmmsg }

// sendsAlone is sends for a socket that is not in the runtime's poller, until closed says
// that it is no more. For one that is there, the kernel looks for sleepers to wake at each
// frame that has left.
func (m *messages) sendsAlone(closed *atomic.Bool) { m.call, m.closed = m.sendmmsg, closed }

// awaitRoom is how long a socket that is not in the poller is waited for before it is
// looked at again whether it is closed.
const awaitRoom = 50 // ms

// await waits for room to send.
func (m *messages) await(fd uintptr) {
	unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, awaitRoom)
}

func (m *messages) setFrame(i int, b []byte) {
	iov := &m.iovs[2*i+1]
	iov.Base = unsafe.SliceData(b)
	iov.SetLen(len(b))
}

// headOf is the head of message i.
func (m *messages) headOf(i int) []byte { return m.heads[i*m.head : (i+1)*m.head] }

// recv waits for a message, then takes as many as there are. Message i is in bufs[i];
// its length, from the head on, is length(i).
func (m *messages) recv(bufs [][]byte) (int, error) {
	m.first, m.count = 0, min(len(bufs), batchLen)
	for i := range m.count {
		m.setFrame(i, bufs[i])
		msg := &m.msgs[i]
		if m.names != nil {
			msg.Namelen = uint32(unsafe.Sizeof(m.names[i]))
		}
		if m.control != nil {
			msg.SetControllen(controlLen)
		}
		msg.Flags = 0
	}
	if err := m.raw.Read(m.call); err != nil {
		return 0, err
	}
	if m.errno != 0 {
		return 0, m.errno
	}
	return m.done, nil
}

func (m *messages) recvmmsg(fd uintptr) bool {
	return m.syscall(unix.SYS_RECVMMSG, fd)
}

// length is how many bytes of message i came, its head left out; negative if that
// was not whole. cut: it was longer than its buffer.
func (m *messages) length(i int) (n int, cut bool) {
	return int(m.msgs[i].n) - m.head, m.msgs[i].Flags&unix.MSG_TRUNC != 0
}

// controlOf is the control data that came with a message.
func controlOf(msg *mmsghdr) []byte { return unsafe.Slice(msg.Control, int(msg.Controllen)) }

// send sends frames in order, waiting for room. On an error, a syscall.Errno unless
// the file was closed, n were sent and the next one was refused.
func (m *messages) send(frames [][]byte, name []byte) (n int, err error) {
	for n < len(frames) {
		m.first, m.count = 0, min(len(frames)-n, batchLen)
		for i := range m.count {
			m.setFrame(i, frames[n+i])
			m.msgs[i].Name = unsafe.SliceData(name)
			m.msgs[i].Namelen = uint32(len(name))
		}
		for m.first < m.count {
			if err := m.raw.Write(m.call); err != nil {
				return n, err
			}
			if m.errno != 0 {
				return n, m.errno
			}
			m.first += m.done
			n += m.done
		}
	}
	return n, nil
}

func (m *messages) sendmmsg(fd uintptr) bool {
	return m.syscall(unix.SYS_SENDMMSG, fd)
}

// syscall does the call for messages first to count. It reports false if it would
// have to wait.
func (m *messages) syscall(trap, fd uintptr) bool {
	for {
		n, _, errno := unix.Syscall6(trap, fd, uintptr(unsafe.Pointer(&m.msgs[m.first])), uintptr(m.count-m.first), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			if m.closed == nil {
				return false
			}
			if !m.closed.Load() {
				m.await(fd)
				continue
			}
		}
		m.done, m.errno = int(n), errno
		return true
	}
}

// socket is a datagram socket, unix or UDP, that takes and gives batches.
type socket struct {
	conn net.PacketConn
	head int
	rx   *messages
	tx   *messages

	from     []address  // of the messages received last
	lastPath string     // of them, so that one path is one string
	name     [14]uint64 // room for any of the kernel's sockaddr, aligned for all
	inet6    bool

	dropped atomic.Uint64 // as the kernel had it when it was last asked
}

// newSocket takes conn over. Each datagram begins with head bytes that are not the frame's.
func newSocket(conn net.PacketConn, head int) (*socket, error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, head: head, rx: newMessages(raw, head), tx: newMessages(raw, head), from: make([]address, batchLen)}
	if a, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		s.inet6 = a.IP.To4() == nil
	}
	s.rx.receives(true, false)
	s.tx.sends()
	return s, nil
}

// recv waits for a datagram and takes as many as are there: the frame of the i-th
// in bufs[i], sizes[i] bytes long, or less than 0 if it is shorter than a head, or
// more than len(bufs[i]) if it was cut.
func (s *socket) recv(bufs [][]byte, sizes []int) (int, error) {
	n, err := s.rx.recv(bufs)
	for i := range n {
		length, cut := s.rx.length(i)
		if sizes[i] = length; cut {
			sizes[i] = len(bufs[i]) + 1
		}
		s.from[i] = s.sender(i)
	}
	return n, err
}

// headOf is the head of datagram i of those received last.
func (s *socket) headOf(i int) []byte { return s.rx.headOf(i) }

// sender is who sent datagram i of those received last.
func (s *socket) sender(i int) address {
	name := unsafe.Slice((*byte)(unsafe.Pointer(&s.rx.names[i])), int(s.rx.msgs[i].Namelen))
	if len(name) < 2 {
		return address{}
	}
	switch s.rx.names[i].Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.rx.names[i]))
		return address{ip: netip.AddrPortFrom(netip.AddrFrom4(in.Addr), ntohs(in.Port))}
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(&s.rx.names[i]))
		return address{ip: netip.AddrPortFrom(netip.AddrFrom16(in.Addr).Unmap(), ntohs(in.Port))}
	case unix.AF_UNIX:
		path := name[2:]
		if len(path) > 0 && path[0] != 0 { // no abstract name
			path = path[:clen(path)]
		}
		if string(path) != s.lastPath {
			s.lastPath = string(path)
		}
		return address{path: s.lastPath}
	}
	return address{}
}

// send sends frames to one address, each behind head. On an error n were sent and
// the next one was refused.
func (s *socket) send(frames [][]byte, head []byte, to address) (int, error) {
	for i := range min(len(frames), batchLen) {
		copy(s.tx.headOf(i), head)
	}
	return s.tx.send(frames, s.encode(to))
}

// encode writes an address as the kernel has it.
func (s *socket) encode(a address) []byte {
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&s.name)), unsafe.Sizeof(s.name))
	switch {
	case a.path != "":
		un := (*unix.RawSockaddrUnix)(unsafe.Pointer(&s.name))
		*un = unix.RawSockaddrUnix{Family: unix.AF_UNIX}
		n := 2 + copy(raw[2:unsafe.Sizeof(*un)-1], a.path)
		if a.path[0] != 0 {
			n++ // the end mark; an abstract name has none
		}
		return raw[:n]
	case s.inet6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(&s.name))
		*in = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: ntohs(a.ip.Port()), Addr: a.ip.Addr().As16()}
		return raw[:unsafe.Sizeof(*in)]
	default:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.name))
		*in = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: ntohs(a.ip.Port()), Addr: a.ip.Addr().As4()}
		return raw[:unsafe.Sizeof(*in)]
	}
}

// drops is how many datagrams the kernel dropped because its buffer was full.
func (s *socket) drops() uint64 {
	var info [unix.SK_MEMINFO_DROPS + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	s.rx.raw.Control(func(fd uintptr) {
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 {
			s.dropped.Store(uint64(info[unix.SK_MEMINFO_DROPS]))
		}
	})
	return s.dropped.Load()
}

func (s *socket) close() error {
	s.drops()
	return s.conn.Close()
}

// ntohs turns a number of two bytes from network order around, or back.
func ntohs(n uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&n))
	return uint16(b[0])<<8 | uint16(b[1])
}

func clen(b []byte) int {
	for i, c := range b {
		if c == 0 {
			return i
		}
	}
	return len(b)
}

// isRefused reports whether nobody listens there.
func isRefused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }
