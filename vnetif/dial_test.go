package vnetif_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

func TestDialOfAClosedPortIsRefused(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			l := newLAN(t, setup{})
			l.run(func(ctx context.Context) error {
				_, err := l.dial(ctx, f.network, f.address)
				wantErr(t, "dialling", err, syscall.ECONNREFUSED)
				var op *net.OpError
				if !errors.As(err, &op) || op.Op != "dial" || op.Net != f.network || op.Addr == nil {
					t.Errorf("%#v is no *net.OpError of a dial that names the address", err)
				}
				return nil
			})
			equal(t, "resets sent by the server", l.server.Stats().TCPResetsSent, 1)
		})
	}
}

func TestErrorOfADialReadsLikeTheNetPackages(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		_, err := l.dial(ctx, "tcp", "10.0.0.2:7")
		equal(t, "text", err.Error(), "dial tcp 10.0.0.2:7: connect: connection refused")
		return nil
	})
}

// Nobody has the address: three unanswered requests of address resolution, one a
// second (RFC 4861, retransmission timer), and the dial fails.
func TestDialOfAnAbsentAddressIsUnreachableAfterThreeSeconds(t *testing.T) {
	for name, address := range map[string]string{"IPv4": "10.0.0.77:7", "IPv6": "[fd00::77]:7"} {
		t.Run(name, func(t *testing.T) {
			l := newLAN(t, setup{})
			l.run(func(ctx context.Context) error {
				began := l.client.Now()
				_, err := l.dial(ctx, "tcp", address)
				wantErr(t, "dialling", err, syscall.EHOSTUNREACH)
				equal(t, "after", since(l.client, began), 3*time.Second)
				return nil
			})
			equal(t, "requests", len(l.wire.frames), 3)
		})
	}
}

// The host is there, but its answers are lost: the SYN is sent again and again,
// at intervals that double from one second.
func TestDialOfASilentHostTimesOut(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", echo)
	l.run(func(ctx context.Context) error {
		if c, err := l.dial(ctx, "tcp", "server:7"); err != nil { // so that the address is resolved
			return err
		} else if err := c.Close(); err != nil {
			return err
		}
		l.sw.AddRule("syn", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
			p := dissect(seen{data: f.Data})
			return vswitch.Verdict{Drop: p.proto == protoTCP && p.flags()&tcpSYN != 0}
		}))
		began := l.client.Now()
		_, err := l.dial(ctx, "tcp", "10.0.0.2:7")
		wantErr(t, "dialling", err, syscall.ETIMEDOUT)
		wantTimeout(t, "dialling", err)
		equal(t, "after", since(l.client, began).Round(time.Second), 127*time.Second)
		return nil
	})
	var at []time.Duration
	for _, p := range l.wire.tcp("client") {
		if p.flags() == tcpSYN && p.hit {
			at = append(at, p.at)
		}
	}
	for i := 2; i < len(at); i++ {
		equal(t, "interval between SYNs", (at[i] - at[i-1]).Round(time.Millisecond), 2*(at[i-1]-at[i-2]).Round(time.Millisecond))
	}
}

func TestDialWithoutARouteFailsAtOnce(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		_, err := l.dial(ctx, "tcp", "192.0.2.1:7")
		wantErr(t, "dialling", err, syscall.ENETUNREACH)
		equal(t, "after", since(l.client, l.w.Start()), 0)
		return nil
	})
}

func TestNames(t *testing.T) {
	l := newLAN(t, setup{})
	l.host(vnetif.HostConfig{Name: "v6only.example", Addrs: prefixes("fd00::3/64")})
	l.serve("tcp", ":7", echo)
	own, err := l.client.Listen("tcp", ":8")
	must(t, err)
	l.w.Background("own", func(context.Context) error {
		for {
			c, err := own.Accept()
			if err != nil {
				return err
			}
			c.Close()
		}
	})
	l.run(func(ctx context.Context) error {
		for _, tc := range []struct{ network, address, remote string }{
			{"tcp", "server:7", "10.0.0.2:7"},
			{"tcp6", "server:7", "[fd00::2]:7"},
			{"tcp", "10.0.0.2:7", "10.0.0.2:7"},
			{"tcp", "[fd00::2]:7", "[fd00::2]:7"},
			{"tcp", "[::ffff:10.0.0.2]:7", "10.0.0.2:7"},
			{"tcp", "client:8", "10.0.0.1:8"},
			{"tcp", "localhost:8", "127.0.0.1:8"},
			{"tcp6", "localhost:8", "[::1]:8"},
			{"tcp", "127.0.0.1:8", "127.0.0.1:8"},
			{"tcp", "127.9.9.9:8", "127.9.9.9:8"},
			{"tcp", "[::1]:8", "[::1]:8"},
			{"tcp", ":8", "127.0.0.1:8"},
			{"tcp", "0.0.0.0:8", "127.0.0.1:8"},
			{"tcp", "[::]:8", "[::1]:8"},
		} {
			c, err := l.dial(ctx, tc.network, tc.address)
			if err != nil {
				t.Errorf("%s %s: %v", tc.network, tc.address, err)
				continue
			}
			equal(t, tc.network+" "+tc.address, c.RemoteAddr().String(), tc.remote)
			c.Close()
		}
		for _, tc := range []struct{ network, address string }{
			{"tcp", "nobody:7"},
			{"tcp", "www.example.com:80"},
			{"tcp4", "v6only.example:7"},
			{"udp", "nobody:7"},
		} {
			_, err := l.client.DialContext(ctx, tc.network, tc.address)
			var dns *net.DNSError
			if !errors.As(err, &dns) || !dns.IsNotFound {
				t.Errorf("%s %s: %v is no *net.DNSError with IsNotFound", tc.network, tc.address, err)
			} else {
				equal(t, "the name", dns.Name+":", strings.TrimRight(tc.address, "0123456789"))
			}
		}
		return nil
	})
}

// Traffic of a host with itself never reaches the wire.
func TestLoopbackStaysInTheHost(t *testing.T) {
	l := newLAN(t, setup{})
	ln, err := l.client.Listen("tcp", ":8")
	must(t, err)
	l.w.Background("own", func(context.Context) error {
		for {
			c, err := ln.Accept()
			if err != nil {
				return err
			}
			if err := echo(c.(*vnetif.Conn)); err != nil {
				return err
			}
		}
	})
	l.run(func(ctx context.Context) error {
		for _, address := range []string{"localhost:8", "client:8", "[fd00::1]:8"} {
			c, err := l.dial(ctx, "tcp", address)
			if err != nil {
				return err
			}
			data := noise(200_000)
			go func() {
				_, _ = c.Write(data)
				_ = c.CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil {
				return err
			}
			equal(t, address, sum(got), sum(data))
			c.Close()
		}
		return nil
	})
	equal(t, "frames on the wire", len(l.wire.frames), 0)
}

func TestUnusableAddressesAndNetworks(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		for _, tc := range []struct{ network, address, want string }{
			{"tcp5", "server:7", "unknown network tcp5"},
			{"unix", "/tmp/x", "unknown network unix"},
			{"tcp", "server", "missing port in address"},
			{"tcp", "server:http", "want a port number"},
			{"tcp", "server:65536", "want a port number"},
			{"tcp", "server:-1", "want a port number"},
			{"tcp4", "[fd00::2]:7", "not an IPv4 address"},
			{"tcp6", "10.0.0.2:7", "not an IPv6 address"},
			{"tcp", "[fd00::2:7", "missing ']' in address"},
		} {
			c, err := l.client.DialContext(ctx, tc.network, tc.address)
			if err == nil || c != nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("dial %s %s: %v, %v; want %q", tc.network, tc.address, c, err, tc.want)
			}
		}
		for _, tc := range []struct{ network, address, want string }{
			{"udp", ":7", "unknown network udp"},
			{"tcp", "10.9.9.9:7", "cannot assign requested address"},
			{"tcp", "server:7", "cannot assign requested address"},
			{"tcp", "nobody:7", "no host of this world has that name"},
			{"tcp", "7", "missing port in address"},
		} {
			ln, err := l.client.Listen(tc.network, tc.address)
			if err == nil || ln != nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("listen %s %s: %v, %v; want %q", tc.network, tc.address, ln, err, tc.want)
			}
		}
		for _, network := range []string{"tcp", "ip", "ip4:udp", ""} {
			if _, err := l.client.ListenPacket(network, ":7"); err == nil || !strings.Contains(err.Error(), "unknown network "+network) {
				t.Errorf("ListenPacket %q: %v", network, err)
			}
		}
		return nil
	})
}

func TestDialFromAGivenAddress(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", echo)
	l.run(func(ctx context.Context) error {
		c, err := l.client.DialFrom(ctx, "tcp", netip.MustParseAddrPort("10.0.0.1:4711"), "server:7")
		if err != nil {
			return err
		}
		equal(t, "local address", c.LocalAddr().String(), "10.0.0.1:4711")
		_, err = l.client.DialFrom(ctx, "tcp", netip.MustParseAddrPort("10.0.0.1:4711"), "server:7")
		wantErr(t, "the same once more", err, syscall.EADDRINUSE)
		_, err = l.client.DialFrom(ctx, "tcp", netip.MustParseAddrPort("10.0.0.9:1"), "server:7")
		wantErr(t, "an address of somebody else", err, syscall.EADDRNOTAVAIL)
		c.Close()

		c, err = l.client.DialFrom(ctx, "udp", netip.AddrPortFrom(netip.Addr{}, 4712), "server:7")
		if err != nil {
			return err
		}
		equal(t, "local address", c.LocalAddr().String(), "10.0.0.1:4712")
		return c.Close()
	})
}

func TestCancellingAContextEndsADial(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		dialing, cancel := context.WithCancel(ctx)
		defer cancel()
		l.client.AfterFunc(700*time.Millisecond, cancel)
		began := l.client.Now()
		_, err := l.dial(dialing, "tcp", "10.0.0.77:7")
		wantErr(t, "dialling", err, context.Canceled)
		equal(t, "after", since(l.client, began), 700*time.Millisecond)

		_, err = l.dial(dialing, "tcp", "server:7")
		wantErr(t, "dialling with a cancelled context", err, context.Canceled)
		equal(t, "after", since(l.client, began), 700*time.Millisecond)
		return nil
	})
}

func TestDeadlineOfAContextEndsADial(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		for i, d := range []time.Duration{250 * time.Millisecond, time.Second, 2500 * time.Millisecond} {
			// The world's clock.
			began := l.client.Now()
			dialing, cancel := l.client.WithTimeout(ctx, d)
			_, err := l.dial(dialing, "tcp", fmt.Sprintf("10.0.0.%d:7", 70+i))
			cancel()
			wantErr(t, "host.WithTimeout", err, context.DeadlineExceeded)
			wantTimeout(t, "host.WithTimeout", err)
			equal(t, "after", since(l.client, began), d)

			// Real time, translated.
			began = l.client.Now()
			dialing, cancel = context.WithTimeout(ctx, d)
			_, err = l.dial(dialing, "tcp", fmt.Sprintf("10.0.0.%d:7", 80+i))
			cancel()
			wantErr(t, "context.WithTimeout", err, context.DeadlineExceeded)
			wantTimeout(t, "context.WithTimeout", err)
			equal(t, "after", since(l.client, began), d)
		}
		return nil
	})
}

// A dial that was given up leaves nothing that would answer a late SYN-ACK with
// anything but a reset.
func TestADialThatWasGivenUpIsReset(t *testing.T) {
	l := newLAN(t, setup{server: vswitch.PortConfig{Latency: 200 * time.Millisecond}})
	l.serve("tcp", ":7", echo)
	l.run(func(ctx context.Context) error {
		dialing, cancel := l.client.WithTimeout(ctx, 700*time.Millisecond) // resolution takes 400 ms, SYN and answer 400 more
		defer cancel()
		if _, err := l.dial(dialing, "tcp", "server:7"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dialling: %v", err)
		}
		return l.client.Sleep(time.Second)
	})
	last := l.wire.tcp("client")
	if f := last[len(last)-1].flags(); f&tcpRST == 0 {
		t.Errorf("the client's last segment has flags %#x, want a reset", f)
	}
}

// A server that is started again on its port finds it free, though connections of the one
// before are in TIME_WAIT; two at a time it cannot have.
func TestListenAgain(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		for range 3 {
			ln, err := l.server.Listen("tcp", ":80")
			if err != nil {
				return err
			}
			if second, err := l.server.Listen("tcp", ":80"); !errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Errorf("a second listener: %v, %v", second, err)
			}
			c, err := l.client.Dial("tcp", "server:80")
			if err != nil {
				return err
			}
			served, err := ln.Accept()
			if err != nil {
				return err
			}
			// The server closes first: TIME_WAIT is its.
			if err := errors.Join(served.Close(), ln.Close()); err != nil {
				return err
			}
			if _, err := io.ReadAll(c); err != nil {
				return err
			}
			if err := c.Close(); err != nil {
				return err
			}
			if err := l.server.Sleep(time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	})
}
