package vnetif

import (
	"net"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/vnreplay/vnreplay/switch"
)

// Conn is a TCP connection, or a UDP socket that is connected to a peer. Beyond
// net.Conn it offers what *net.TCPConn does under the same names.
type Conn struct{ *socket }

var _ net.Conn = (*Conn)(nil)

func newTCP(h *Host, ep tcpip.Endpoint, wq *waiter.Queue, v6 bool) *Conn {
	// As with the net package, small writes are sent at once.
	ep.SocketOptions().SetDelayOption(false)
	return &Conn{newSocket(h, "tcp", ep, wq, func(a tcpip.FullAddress) net.Addr { return tcpAddr(addrPort(a, v6)) })}
}

// Read reads what has arrived, parking until there is something. It returns
// io.EOF when the peer has closed its side.
func (c *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, c.opError("read", c.remote, c.open())
	}
	return c.read(b, nil)
}

// Write writes all of b, parking while the send buffer is full.
func (c *Conn) Write(b []byte) (int, error) { return c.write(b, nil, c.remote) }

// Close closes the connection: what was written is still sent, then a FIN. With
// unread data, or after SetLinger(0), the peer gets a reset.
func (c *Conn) Close() error {
	return c.close(func() {
		c.ep.Close()
		c.h.closes(c.ep)
	})
}

// CloseWrite shuts down the writing side: the peer reads io.EOF after what was written.
func (c *Conn) CloseWrite() error {
	err := c.shutdown(tcpip.ShutdownWrite)
	c.h.closes(c.ep)
	return err
}

// CloseRead shuts down the reading side.
func (c *Conn) CloseRead() error { return c.shutdown(tcpip.ShutdownRead) }

// SetLinger(0) makes Close reset the connection; negative values restore the
// default. Waiting in Close (positive values) is not offered: they act like the default.
func (c *Conn) SetLinger(sec int) error {
	return c.option(func() tcpip.Error {
		c.ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: sec == 0})
		return nil
	})
}

// SetNoDelay(false) turns Nagle's algorithm on; it is off by default, as with the net package.
func (c *Conn) SetNoDelay(noDelay bool) error {
	return c.option(func() tcpip.Error {
		c.ep.SocketOptions().SetDelayOption(!noDelay)
		return nil
	})
}

// Listener accepts TCP connections.
type Listener struct {
	*socket
	v6 bool
}

var _ net.Listener = (*Listener)(nil)

// Accept parks until a connection has come in. It returns no temporary errors;
// after Close, or when the run ends, the error is net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	var (
		c   *Conn
		err error
	)
	waited := l.do(vswitch.OpAccept, in, func() bool {
		if err = l.gone(in); err != nil {
			return true
		}
		ep, wq, terr := l.ep.Accept(nil)
		if _, none := terr.(*tcpip.ErrWouldBlock); none {
			return false
		}
		if terr != nil {
			err = first(l.open(), callError("accept", errorOf(terr)))
			return true
		}
		c = newTCP(l.h, ep, wq, l.v6)
		return true
	})
	if err := first(waited, err); err != nil {
		return nil, &net.OpError{Op: "accept", Net: l.network, Addr: l.local, Err: err}
	}
	return c, nil
}

// Addr returns the address listened on.
func (l *Listener) Addr() net.Addr { return l.local }

// Close stops listening; connections that were not accepted are reset.
func (l *Listener) Close() error { return l.close(l.ep.Close) }
