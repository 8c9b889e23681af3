package vnetif_test

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Whatever ends a call that waits, it ends at that instant.
func TestPendingCallsAreWoken(t *testing.T) {
	const at = 2 * time.Second
	fill := make([]byte, 64<<20)
	read := func(c *vnetif.Conn) error { _, err := c.Read(make([]byte, 1)); return err }
	write := func(c *vnetif.Conn) error { _, err := c.Write(fill); return err }
	for _, tc := range []struct {
		name    string
		pending func(*vnetif.Conn) error
		act     func(client, server *vnetif.Conn) error
		late    time.Duration // how long it takes from what is done to the call's end
		want    error
	}{
		{"Read, by CloseRead", read, func(c, _ *vnetif.Conn) error { return c.CloseRead() }, 0, io.EOF},
		{"Read, by Close", read, func(c, _ *vnetif.Conn) error { return c.Close() }, 0, net.ErrClosed},
		{"Read, by the peer's CloseWrite", read, func(_, s *vnetif.Conn) error { return s.CloseWrite() }, hop, io.EOF},
		{"Read, by the peer's Close", read, func(_, s *vnetif.Conn) error { return s.Close() }, hop, io.EOF},
		{"Read, by the peer's reset", read, func(_, s *vnetif.Conn) error { return errors.Join(s.SetLinger(0), s.Close()) }, hop, syscall.ECONNRESET},
		{"Write, by CloseWrite", write, func(c, _ *vnetif.Conn) error { return c.CloseWrite() }, 0, syscall.EPIPE},
		{"Write, by Close", write, func(c, _ *vnetif.Conn) error { return c.Close() }, 0, net.ErrClosed},
		{"Write, by the peer's reset", write, func(_, s *vnetif.Conn) error { return errors.Join(s.SetLinger(0), s.Close()) }, hop, syscall.ECONNRESET},
		{"Write, by the peer's Close with unread data", write, func(_, s *vnetif.Conn) error { return s.Close() }, hop, syscall.ECONNRESET},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLAN(t, setup{quiet: true})
			ln, err := l.server.Listen("tcp", ":7")
			must(t, err)
			l.run(func(ctx context.Context) error {
				c, err := l.dial(ctx, "tcp", "server:7")
				if err != nil {
					return err
				}
				defer c.Close()
				s, err := ln.Accept()
				if err != nil {
					return err
				}
				defer s.Close()
				began := l.client.Now()
				acted := make(chan error)
				l.client.AfterFunc(at, func() { acted <- tc.act(c, s.(*vnetif.Conn)) })
				err = tc.pending(c)
				wantErr(t, "the pending call", err, tc.want)
				equal(t, "ended after", since(l.client, began), at+tc.late)
				_ = c.SetLinger(0) // what was not written need not be, where it is still open
				return <-acted
			})
		})
	}
}

// A window that opens wakes the writer.
func TestWriterGoesOnWhenTheReaderDoes(t *testing.T) {
	l := newLAN(t, setup{quiet: true})
	const size = 16 << 20
	l.serve("tcp", ":7", func(c *vnetif.Conn) error {
		if err := l.server.Sleep(time.Minute); err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, c)
		equal(t, "bytes", n, size)
		return errors.Join(err, c.Close())
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		if _, err := c.Write(make([]byte, size)); err != nil {
			return err
		}
		if d := since(l.client, l.w.Start()); d < time.Minute || d > 3*time.Minute {
			t.Errorf("Write returned after %v, the reader began after a minute", d)
		}
		err = c.CloseWrite()
		_, _ = c.Read(make([]byte, 1))
		return errors.Join(err, c.Close())
	})
}

// Datagrams to nobody fill no queue for ever.
func TestWritersToNobodyDoNotHang(t *testing.T) {
	l := newLAN(t, setup{quiet: true})
	l.run(func(ctx context.Context) error {
		c, err := l.client.Dial("udp", "10.0.0.77:7")
		if err != nil {
			return err
		}
		defer c.Close()
		for range 3000 {
			if _, err := c.Write(make([]byte, 1000)); err != nil && !errors.Is(err, syscall.EHOSTUNREACH) {
				return err
			}
		}
		return nil
	})
}

// The same port serves thousands of connections one after the other; those in
// TIME_WAIT do not make the others wait.
func TestManyConnectionsInTurn(t *testing.T) {
	n := 3000
	if raceEnabled || testing.Short() {
		n = 300
	}
	l := newLAN(t, setup{quiet: true})
	l.serve("tcp", ":7", echo)
	l.run(func(ctx context.Context) error {
		for range n {
			c, err := l.dial(ctx, "tcp", "server:7")
			if err != nil {
				return err
			}
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
			if _, err := c.Read(make([]byte, 1)); err != nil {
				return err
			}
			if err := c.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	if per := l.w.Stats().Virtual / time.Duration(n); per > 5*hop {
		t.Errorf("a connection took %v, two round trips are %v", per, 4*hop)
	}
}

// A cable that is pulled out and plugged in again: the connection goes on.
func TestConnectionSurvivesAPulledCable(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", echo)
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		l.server.Port().SetUp(false)
		l.client.AfterFunc(3*time.Second, func() { l.server.Port().SetUp(true) })
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		if d := since(l.client, l.w.Start()); d < 3*time.Second || d > 10*time.Second {
			t.Errorf("the echo came after %v", d)
		}
		return err
	})
	if lost := l.server.Port().Counters().RxLost[vswitch.LostDown]; lost == 0 {
		t.Error("no frame was lost on the pulled cable")
	}
}
