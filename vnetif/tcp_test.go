package vnetif_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// families are the ways to reach the server.
var families = []struct{ name, network, address string }{
	{"IPv4", "tcp4", "server:7"},
	{"IPv6", "tcp6", "server:7"},
}

func TestWhatIsWrittenIsEchoed(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			l := newLAN(t, setup{})
			l.serve("tcp", ":7", echo)
			l.run(func(ctx context.Context) error {
				c, err := l.dial(ctx, f.network, f.address)
				if err != nil {
					return err
				}
				defer c.Close()
				for _, word := range []string{"one", "two", "three"} {
					if _, err := c.Write([]byte(word)); err != nil {
						return err
					}
					b := make([]byte, 100)
					n, err := c.Read(b)
					if err != nil {
						return err
					}
					equal(t, "the echo", string(b[:n]), word)
				}
				return nil
			})
			l.checkWire(t)
		})
	}
}

func TestBulkArrivesWholeInSpiteOfLoss(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			l := newLAN(t, setup{})
			l.lose(20)
			data := noise(2 << 20)
			var got []byte
			l.serve("tcp", ":7", func(c *vnetif.Conn) (err error) {
				defer c.Close()
				got, err = io.ReadAll(c)
				return err
			})
			l.run(func(ctx context.Context) error {
				c, err := l.dial(ctx, f.network, f.address)
				if err != nil {
					return err
				}
				n, err := c.Write(data)
				equal(t, "bytes written", n, len(data))
				if err := c.CloseWrite(); err != nil {
					return err
				}
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					return fmt.Errorf("after the server has read all: %v, want EOF", err)
				}
				return errors.Join(err, c.Close())
			})
			equal(t, "sha256", sum(got), sum(data))
			if l.client.Stats().TCPRetransmits == 0 {
				t.Error("2 % loss, and nothing was sent again")
			}
			l.checkWire(t)
		})
	}
}

func TestBothDirectionsAtOnce(t *testing.T) {
	l := newLAN(t, setup{})
	l.lose(10)
	up, down := noise(600_000), noise(400_000)
	var gotUp, gotDown []byte
	l.serve("tcp", ":7", func(c *vnetif.Conn) (err error) {
		sent := make(chan error, 1)
		go func() {
			_, err := c.Write(down)
			sent <- errors.Join(err, c.CloseWrite())
		}()
		gotUp, err = io.ReadAll(c)
		return errors.Join(err, <-sent, c.Close())
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		sent := make(chan error, 1)
		go func() {
			_, err := c.Write(up)
			sent <- errors.Join(err, c.CloseWrite())
		}()
		gotDown, err = io.ReadAll(c)
		return errors.Join(err, <-sent, c.Close())
	})
	equal(t, "bytes up", sum(gotUp), sum(up))
	equal(t, "bytes down", sum(gotDown), sum(down))
}

// A half-closed connection still carries the answer.
func TestCloseWriteIsReadAsEOF(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", func(c *vnetif.Conn) error {
		question, err := io.ReadAll(c)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c, "you said %s", question)
		return errors.Join(err, c.Close())
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := io.WriteString(c, "hello"); err != nil {
			return err
		}
		if err := c.CloseWrite(); err != nil {
			return err
		}
		_, err = io.WriteString(c, "more")
		wantErr(t, "writing after CloseWrite", err, syscall.EPIPE)
		answer, err := io.ReadAll(c)
		equal(t, "the answer", string(answer), "you said hello")
		return err
	})
}

func TestCloseReadEndsReading(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", echo)
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.CloseRead(); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		equal(t, "reading after CloseRead", err, io.EOF)
		return nil
	})
}

func TestCloseWithUnreadDataResetsThePeer(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", func(c *vnetif.Conn) error {
		if err := l.server.Sleep(10 * time.Millisecond); err != nil {
			return err
		}
		return c.Close()
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := io.WriteString(c, "nobody reads this"); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		wantErr(t, "reading from a peer that threw data away", err, syscall.ECONNRESET)
		return nil
	})
	equal(t, "resets received by the client", l.client.Stats().TCPResetsReceived, 1)
}

func TestLingerZeroResetsThePeer(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", func(c *vnetif.Conn) error {
		return errors.Join(c.SetLinger(0), c.Close())
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
		wantErr(t, "reading", err, syscall.ECONNRESET)
		return nil
	})
	for _, p := range l.wire.tcp("server") {
		if p.flags()&tcpFIN != 0 {
			t.Errorf("the server sent a FIN at %v", p.at)
		}
	}
}

// What was written before Close arrives, although nobody waits for it.
func TestCloseSendsWhatWasWritten(t *testing.T) {
	l := newLAN(t, setup{client: vswitch.PortConfig{Latency: 100 * time.Millisecond}})
	data := noise(300_000)
	ln, err := l.server.Listen("tcp", ":7")
	must(t, err)
	var got []byte
	l.w.Go("server", func(context.Context) error {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		defer c.Close()
		got, err = io.ReadAll(c)
		return err
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		_, err = c.Write(data)
		return errors.Join(err, c.Close())
	})
	equal(t, "sha256", sum(got), sum(data))
}

// The run goes on until the FINs of closed connections have been exchanged.
func TestClosedConnectionsEndOnTheWire(t *testing.T) {
	l := newLAN(t, setup{client: vswitch.PortConfig{Latency: 50 * time.Millisecond}})
	l.serve("tcp", ":7", echo)
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		return c.Close()
	})
	fins := map[string]int{}
	var last packet
	for _, p := range l.wire.tcp("") {
		if p.flags()&tcpFIN != 0 {
			fins[p.from]++
		}
		last = p
	}
	equal(t, "FINs", fmt.Sprint(fins), "map[client:1 server:1]")
	equal(t, "the last segment is the client's acknowledgement of the server's FIN", last.from, "client")
}

func TestReadingOfNothingReturnsAtOnce(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", echo)
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		n, err := c.Read(nil)
		equal(t, "bytes", n, 0)
		if n, err := c.Write(nil); n != 0 || err != nil {
			t.Errorf("writing nothing: %d, %v", n, err)
		}
		return err
	})
}

func TestWritersOfOneConnectionDoNotMix(t *testing.T) {
	l := newLAN(t, setup{})
	const size = 3 << 20 // more than the buffers hold
	var got []byte
	l.serve("tcp", ":7", func(c *vnetif.Conn) (err error) {
		got, err = io.ReadAll(c)
		return errors.Join(err, c.Close())
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		written := make(chan error)
		for _, letter := range "ab" {
			go func() {
				_, err := c.Write(bytes.Repeat([]byte{byte(letter)}, size))
				written <- err
			}()
		}
		err = errors.Join(<-written, <-written, c.CloseWrite())
		_, eof := c.Read(make([]byte, 1))
		equal(t, "after all was read", eof, io.EOF)
		return errors.Join(err, c.Close())
	})
	equal(t, "bytes", len(got), 2*size)
	if changes := letterChanges(got); changes != 1 {
		t.Errorf("the two writes changed places %d times, want once", changes)
	}
}

func letterChanges(b []byte) (n int) {
	for i := 1; i < len(b); i++ {
		if b[i] != b[i-1] {
			n++
		}
	}
	return n
}

func TestAddressesOfAConnection(t *testing.T) {
	for _, tc := range []struct{ network, listen, address, client, server string }{
		{"tcp", ":7", "10.0.0.2:7", "10.0.0.1", "10.0.0.2:7"},
		{"tcp", ":7", "[fd00::2]:7", "fd00::1", "[fd00::2]:7"},
		{"tcp4", "server:7", "server:7", "10.0.0.1", "10.0.0.2:7"},
		{"tcp6", "server:7", "server:7", "fd00::1", "[fd00::2]:7"},
	} {
		t.Run(tc.network+" "+tc.address, func(t *testing.T) {
			l := newLAN(t, setup{})
			ln, err := l.server.Listen(tc.network, tc.listen)
			must(t, err)
			l.run(func(ctx context.Context) error {
				c, err := l.dial(ctx, "tcp", tc.address)
				if err != nil {
					return err
				}
				defer c.Close()
				s, err := ln.Accept()
				if err != nil {
					return err
				}
				defer s.Close()
				equal(t, "server, as the client sees it", c.RemoteAddr().String(), tc.server)
				equal(t, "server, as it sees itself", s.LocalAddr().String(), tc.server)
				equal(t, "client, as the server sees it", s.RemoteAddr().String(), c.LocalAddr().String())
				host, _, err := net.SplitHostPort(c.LocalAddr().String())
				equal(t, "client's address", host, tc.client)
				if _, ok := s.RemoteAddr().(*net.TCPAddr); !ok {
					t.Errorf("RemoteAddr is a %T, want *net.TCPAddr", s.RemoteAddr())
				}
				return err
			})
		})
	}
}

func TestListenersShareAPortByFamily(t *testing.T) {
	l := newLAN(t, setup{})
	for _, network := range []string{"tcp4", "tcp6"} {
		ln, err := l.server.Listen(network, ":7")
		must(t, err)
		l.w.Background(network, func(context.Context) error {
			for {
				c, err := ln.Accept()
				if err != nil {
					return err
				}
				_, err = io.WriteString(c, network)
				if err := errors.Join(err, c.Close()); err != nil {
					return err
				}
			}
		})
	}
	_, err := l.server.Listen("tcp4", ":7")
	wantErr(t, "a third listener", err, syscall.EADDRINUSE)
	l.run(func(ctx context.Context) error {
		for _, f := range families {
			c, err := l.dial(ctx, f.network, f.address)
			if err != nil {
				return err
			}
			got, err := io.ReadAll(c)
			if err != nil {
				return err
			}
			equal(t, "who answers", string(got), f.network)
			c.Close()
		}
		return nil
	})
}

func TestListenerTellsThePortItGot(t *testing.T) {
	l := newLAN(t, setup{})
	ln, err := l.server.Listen("tcp", "10.0.0.2:0")
	must(t, err)
	l.run(func(ctx context.Context) error {
		if ln.Addr().(*net.TCPAddr).Port == 0 {
			t.Errorf("the listener's address is %v", ln.Addr())
		}
		c, err := l.dial(ctx, "tcp", ln.Addr().String())
		if err != nil {
			return err
		}
		return c.Close()
	})
}

func TestClosingAListenerEndsAcceptAndRefusesWhatComes(t *testing.T) {
	l := newLAN(t, setup{})
	ln, err := l.server.Listen("tcp", ":7")
	must(t, err)
	var accepted error
	l.w.Go("accept", func(context.Context) error {
		_, accepted = ln.Accept()
		return nil
	})
	l.run(func(ctx context.Context) error {
		if err := l.server.Sleep(time.Second); err != nil {
			return err
		}
		if err := ln.Close(); err != nil {
			return err
		}
		_, err := l.dial(ctx, "tcp", "server:7")
		wantErr(t, "dialling a closed listener", err, syscall.ECONNREFUSED)
		return nil
	})
	wantErr(t, "the pending Accept", accepted, net.ErrClosed)
	equal(t, "its text", accepted.Error(), "accept tcp [::]:7: use of closed network connection")
	_, err = ln.Accept()
	wantErr(t, "another Accept", err, net.ErrClosed)
}

// A connection that was closed says so, in the net package's words.
func TestCallsOnAClosedConnection(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", echo)
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
		_, read := c.Read(make([]byte, 1))
		_, write := c.Write([]byte("x"))
		for what, err := range map[string]error{
			"read": read, "write": write, "close": c.Close(), "CloseWrite": c.CloseWrite(),
			"SetDeadline": c.SetDeadline(time.Time{}), "SetLinger": c.SetLinger(0),
		} {
			wantErr(t, what+" after Close", err, net.ErrClosed)
			var op *net.OpError
			if !errors.As(err, &op) || op.Net != "tcp" {
				t.Errorf("%s: %#v is no *net.OpError of tcp", what, err)
			}
		}
		if c.LocalAddr() == nil || c.RemoteAddr().String() != "10.0.0.2:7" {
			t.Errorf("addresses after Close: %v, %v", c.LocalAddr(), c.RemoteAddr())
		}
		return nil
	})
}

// Close wakes every call that waits on the connection.
func TestCloseWakesReadAndWrite(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", func(c *vnetif.Conn) error { return l.server.Sleep(time.Minute) }) // reads nothing
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		ended := make(chan error)
		go func() { _, err := c.Read(make([]byte, 1)); ended <- err }()
		go func() { _, err := c.Write(make([]byte, 64<<20)); ended <- err }()
		if err := l.client.Sleep(time.Second); err != nil {
			return err
		}
		began := l.client.Now()
		if err := c.SetLinger(0); err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
		for range 2 {
			wantErr(t, "a pending call", <-ended, net.ErrClosed)
		}
		equal(t, "how long that took", since(l.client, began), 0)
		return nil
	})
}
