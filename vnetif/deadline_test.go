package vnetif_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/vnetif"
)

// longAgo is how net/http and others cancel what is under way.
var longAgo = time.Unix(1, 0)

// withConn runs main with a connection to a server that never says a word.
func withConn(t *testing.T, main func(l *lan, c *vnetif.Conn) error) {
	t.Helper()
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", func(c *vnetif.Conn) error {
		defer c.Close()
		return l.server.Sleep(time.Hour)
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		return errors.Join(main(l, c), c.Close())
	})
}

// clocks are the two ways to say when a deadline is.
func clocks(h *vnetif.Host) map[string]func() time.Time {
	return map[string]func() time.Time{"time.Now": time.Now, "host.Now": h.Now}
}

func TestReadDeadlineComesAtItsInstant(t *testing.T) {
	withConn(t, func(l *lan, c *vnetif.Conn) error {
		for name, now := range clocks(l.client) {
			for _, d := range []time.Duration{time.Nanosecond, 10 * time.Millisecond, time.Second, 1500 * time.Millisecond, 30 * time.Second, 90 * time.Second, 10 * time.Minute} {
				if name == "time.Now" && d < 100*time.Millisecond {
					continue // a busy machine may take a hundredth of it to get there
				}
				began := l.client.Now()
				if err := c.SetReadDeadline(now().Add(d)); err != nil {
					return err
				}
				n, err := c.Read(make([]byte, 1))
				equal(t, "bytes", n, 0)
				wantErr(t, "read", err, os.ErrDeadlineExceeded)
				wantTimeout(t, "read", err)
				equal(t, fmt.Sprintf("%s().Add(%v)", name, d), since(l.client, began), d)
			}
		}
		return nil
	})
}

// A deadline on the world's clock is exact, whatever its digits are.
func TestReadDeadlineOnTheWorldsClockIsExact(t *testing.T) {
	withConn(t, func(l *lan, c *vnetif.Conn) error {
		const d = 1234567891 * time.Nanosecond
		began := l.client.Now()
		if err := c.SetReadDeadline(l.client.Now().Add(d)); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 1))
		wantErr(t, "read", err, os.ErrDeadlineExceeded)
		equal(t, "after", since(l.client, began), d)
		return nil
	})
}

func TestDeadlineInThePastWakesAPendingReadAtOnce(t *testing.T) {
	for name, past := range map[string]func(h *vnetif.Host) time.Time{
		"the epoch":        func(*vnetif.Host) time.Time { return longAgo },
		"world's now":      func(h *vnetif.Host) time.Time { return h.Now() },
		"real now":         func(*vnetif.Host) time.Time { return time.Now() },
		"before real now":  func(*vnetif.Host) time.Time { return time.Now().Add(-time.Hour) },
		"before the world": func(h *vnetif.Host) time.Time { return h.World().Start().Add(-time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			withConn(t, func(l *lan, c *vnetif.Conn) error {
				l.client.AfterFunc(3*time.Second, func() {
					if err := c.SetReadDeadline(past(l.client)); err != nil {
						t.Error(err)
					}
				})
				began := l.client.Now()
				_, err := c.Read(make([]byte, 1))
				wantErr(t, "read", err, os.ErrDeadlineExceeded)
				equal(t, "after", since(l.client, began), 3*time.Second)
				_, err = c.Read(make([]byte, 1))
				wantErr(t, "a read that begins later", err, os.ErrDeadlineExceeded)
				_, err = c.Write([]byte("x"))
				return err // the other direction has no deadline
			})
		})
	}
}

func TestDeadlinesCanBeMovedAndTakenBack(t *testing.T) {
	withConn(t, func(l *lan, c *vnetif.Conn) error {
		h := l.client
		read := func(what string, want time.Duration) {
			began := h.Now()
			_, err := c.Read(make([]byte, 1))
			wantErr(t, what, err, os.ErrDeadlineExceeded)
			equal(t, what, since(h, began), want)
		}
		must(t, c.SetReadDeadline(h.Now().Add(time.Second)))
		h.AfterFunc(500*time.Millisecond, func() { must(t, c.SetReadDeadline(h.Now().Add(2*time.Second))) })
		read("moved back while a read waits", 2500*time.Millisecond)

		must(t, c.SetReadDeadline(h.Now().Add(time.Hour)))
		h.AfterFunc(500*time.Millisecond, func() { must(t, c.SetDeadline(h.Now().Add(time.Second))) })
		read("moved forward while a read waits", 1500*time.Millisecond)

		must(t, c.SetReadDeadline(h.Now().Add(time.Second)))
		h.AfterFunc(500*time.Millisecond, func() { must(t, c.SetReadDeadline(time.Time{})) })
		h.AfterFunc(5*time.Second, func() { must(t, c.SetReadDeadline(longAgo)) })
		read("taken back while a read waits", 5*time.Second)

		// After a timeout, a new deadline makes the connection usable again.
		must(t, c.SetDeadline(time.Time{}))
		_, err := c.Write([]byte("x"))
		return err
	})
}

func TestWriteDeadlineEndsAWriteIntoAFullWindow(t *testing.T) {
	withConn(t, func(l *lan, c *vnetif.Conn) error {
		began := l.client.Now()
		must(t, c.SetWriteDeadline(time.Now().Add(5*time.Second)))
		n, err := c.Write(make([]byte, 64<<20))
		wantErr(t, "write", err, os.ErrDeadlineExceeded)
		wantTimeout(t, "write", err)
		equal(t, "after", since(l.client, began), 5*time.Second)
		if n == 0 || n == 64<<20 {
			t.Errorf("%d bytes were written before the buffers were full", n)
		}
		_, err = c.Write([]byte("x"))
		wantErr(t, "the next write", err, os.ErrDeadlineExceeded)
		return c.SetLinger(0)
	})
}

func TestSetDeadlineWakesReadAndWrite(t *testing.T) {
	withConn(t, func(l *lan, c *vnetif.Conn) error {
		ended := make(chan error)
		go func() { _, err := c.Read(make([]byte, 1)); ended <- err }()
		go func() { _, err := c.Write(make([]byte, 64<<20)); ended <- err }()
		must(t, l.client.Sleep(time.Second))
		began := l.client.Now()
		must(t, c.SetDeadline(longAgo))
		for range 2 {
			wantErr(t, "a pending call", <-ended, os.ErrDeadlineExceeded)
		}
		equal(t, "after", since(l.client, began), 0)
		return c.SetLinger(0)
	})
}

// Data that is there counts for nothing once the deadline has passed, as with
// the net package.
func TestPassedDeadlineWinsOverData(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", echo)
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		must(t, l.client.Sleep(time.Second))
		must(t, c.SetReadDeadline(longAgo))
		_, err = c.Read(make([]byte, 1))
		wantErr(t, "read", err, os.ErrDeadlineExceeded)
		must(t, c.SetReadDeadline(time.Time{}))
		n, err := c.Read(make([]byte, 10))
		equal(t, "bytes after the deadline was taken back", n, 1)
		return err
	})
}

// Each chunk resets the deadline; only silence makes it come.
func TestDeadlineThatIsRenewedByEachRead(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", func(c *vnetif.Conn) error {
		defer c.Close()
		for range 5 {
			if _, err := io.WriteString(c, "tick"); err != nil {
				return err
			}
			if err := l.server.Sleep(900 * time.Millisecond); err != nil {
				return err
			}
		}
		return l.server.Sleep(time.Minute)
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		var last time.Time
		for ticks := 0; ; ticks++ {
			must(t, c.SetReadDeadline(time.Now().Add(time.Second)))
			if _, err := c.Read(make([]byte, 4)); err != nil {
				wantErr(t, "read", err, os.ErrDeadlineExceeded)
				equal(t, "ticks", ticks, 5)
				equal(t, "silence before the timeout", since(l.client, last), time.Second)
				return nil
			}
			last = l.client.Now()
		}
	})
}

func TestAcceptDeadline(t *testing.T) {
	l := newLAN(t, setup{})
	ln, err := l.server.Listen("tcp", ":7")
	must(t, err)
	l.run(func(ctx context.Context) error {
		for name, now := range clocks(l.server) {
			began := l.server.Now()
			must(t, ln.(*vnetif.Listener).SetDeadline(now().Add(20*time.Second)))
			_, err := ln.Accept()
			wantErr(t, name, err, os.ErrDeadlineExceeded)
			wantTimeout(t, name, err)
			equal(t, name, since(l.server, began), 20*time.Second)
		}
		must(t, ln.(*vnetif.Listener).SetDeadline(time.Time{}))
		l.client.AfterFunc(time.Second, func() {
			if c, err := l.client.Dial("tcp", "server:7"); err != nil {
				t.Error(err)
			} else {
				c.Close()
			}
		})
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		return c.Close()
	})
}

func TestPacketDeadlines(t *testing.T) {
	for _, tc := range []struct{ network, address string }{{"udp", ":7"}, {"ip4:icmp", ""}, {"ip6:ipv6-icmp", ""}} {
		t.Run(tc.network, func(t *testing.T) {
			l := newLAN(t, setup{})
			pc, err := l.server.ListenPacket(tc.network, tc.address)
			must(t, err)
			l.run(func(ctx context.Context) error {
				defer pc.Close()
				for name, now := range clocks(l.server) {
					began := l.server.Now()
					must(t, pc.SetReadDeadline(now().Add(750*time.Millisecond)))
					_, addr, err := pc.ReadFrom(make([]byte, 100))
					wantErr(t, name, err, os.ErrDeadlineExceeded)
					wantTimeout(t, name, err)
					equal(t, "address", addr, net.Addr(nil))
					equal(t, name, since(l.server, began), 750*time.Millisecond)
				}
				must(t, pc.SetReadDeadline(time.Time{}))
				l.server.AfterFunc(time.Second, func() { must(t, pc.SetDeadline(longAgo)) })
				began := l.server.Now()
				_, _, err := pc.ReadFrom(make([]byte, 100))
				wantErr(t, "an instant in the past", err, os.ErrDeadlineExceeded)
				equal(t, "an instant in the past", since(l.server, began), time.Second)
				_, err = pc.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1})
				if tc.network == "udp" {
					wantErr(t, "writing after SetDeadline(past)", err, os.ErrDeadlineExceeded)
				}
				return nil
			})
		})
	}
}

// A deadline that was set before the run counts from the world's start.
func TestDeadlineSetBeforeTheRun(t *testing.T) {
	l := newLAN(t, setup{})
	ln, err := l.server.Listen("tcp", ":7")
	must(t, err)
	must(t, ln.(*vnetif.Listener).SetDeadline(time.Now().Add(2*time.Second)))
	l.run(func(ctx context.Context) error {
		_, err := ln.Accept()
		wantErr(t, "accept", err, os.ErrDeadlineExceeded)
		equal(t, "after", since(l.server, l.w.Start()), 2*time.Second)
		return nil
	})
}
