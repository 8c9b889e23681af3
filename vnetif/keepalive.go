package vnetif

import (
	"net"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// What net.KeepAliveConfig stands for where it says nothing, as with the net package.
const (
	defaultKeepAlive       = 15 * time.Second
	defaultKeepAliveProbes = 9
)

// SetKeepAlive turns TCP's keep-alive probes on or off. They are off by default, unlike
// with the net package: the wire is silent until someone talks. A connection whose
// probes are not answered fails with ETIMEDOUT.
func (c *Conn) SetKeepAlive(keepalive bool) error {
	return c.option(func() tcpip.Error {
		c.ep.SocketOptions().SetKeepAlive(keepalive)
		return nil
	})
}

// SetKeepAlivePeriod sets for how long a connection is idle before the first probe, on
// the world's clock. It does not turn probes on.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	return c.option(func() tcpip.Error { return c.keepAliveIdle(d) })
}

// SetKeepAliveConfig sets all about keep-alive probes, as *net.TCPConn does: of the
// three values, 0 is the default (15 s idle, 15 s between probes, 9 probes), and a
// negative one stays as it is. At first those are the stack's: two hours, 75 s, 9.
func (c *Conn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return c.option(func() tcpip.Error {
		idle, interval, count := config.Idle, config.Interval, config.Count
		if idle == 0 {
			idle = defaultKeepAlive
		}
		if interval == 0 {
			interval = defaultKeepAlive
		}
		if count == 0 {
			count = defaultKeepAliveProbes
		}
		if idle > 0 {
			if err := c.keepAliveIdle(idle); err != nil {
				return err
			}
		}
		if interval > 0 {
			v := tcpip.KeepaliveIntervalOption(interval)
			if err := c.ep.SetSockOpt(&v); err != nil {
				return err
			}
		}
		if count > 0 {
			if err := c.ep.SetSockOptInt(tcpip.KeepaliveCountOption, count); err != nil {
				return err
			}
		}
		c.ep.SocketOptions().SetKeepAlive(config.Enable)
		return nil
	})
}

func (c *Conn) keepAliveIdle(d time.Duration) tcpip.Error {
	v := tcpip.KeepaliveIdleOption(d)
	return c.ep.SetSockOpt(&v)
}

// SetReadBuffer sets how many bytes that have come in may wait to be read, which bounds
// the window that the peer is offered.
func (c *Conn) SetReadBuffer(bytes int) error {
	return c.option(func() tcpip.Error {
		c.ep.SocketOptions().SetReceiveBufferSize(int64(bytes), true)
		return nil
	})
}

// SetWriteBuffer sets how many bytes that were written may wait to be sent and
// acknowledged.
func (c *Conn) SetWriteBuffer(bytes int) error {
	return c.option(func() tcpip.Error {
		c.ep.SocketOptions().SetSendBufferSize(int64(bytes), true)
		return nil
	})
}

// option sets an option of an open socket. It does not park.
func (c *Conn) option(set func() tcpip.Error) error {
	if err := c.open(); err != nil {
		return c.opError("set", c.remote, err)
	}
	if err := set(); err != nil {
		return c.opError("set", c.remote, callError("setsockopt", errorOf(err)))
	}
	return nil
}
