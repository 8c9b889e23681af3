package vnetif_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// serveUDP sends back every datagram that reaches an address of the server.
func (l *lan) serveUDP(network, address string) {
	l.t.Helper()
	pc, err := l.server.ListenPacket(network, address)
	must(l.t, err)
	l.w.Background("udp "+address, func(context.Context) error {
		b := make([]byte, 1<<16)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return err
			}
			if _, err := pc.WriteTo(b[:n], from); err != nil {
				return err
			}
		}
	})
}

// dialUDP connects a socket of the client; reads on it fail after ten seconds.
func (l *lan) dialUDP(address string) (net.Conn, error) {
	c, err := l.client.Dial("udp", address)
	if err != nil {
		return nil, err
	}
	return c, c.SetReadDeadline(l.client.Now().Add(10 * time.Second))
}

// Every size arrives as one datagram with its bytes: nothing, little, what fills
// a frame, one more, and the most that UDP can carry.
func TestDatagramsOfAllSizesAreEchoed(t *testing.T) {
	for address, sizes := range map[string][]int{
		"10.0.0.2:7":  {0, 1, 1472, 1473, 8000, 65507},
		"[fd00::2]:7": {0, 1, 1452, 1453, 8000, 65527 - 8},
	} {
		t.Run(address, func(t *testing.T) {
			l := newLAN(t, setup{})
			l.serveUDP("udp", ":7")
			l.run(func(ctx context.Context) error {
				c, err := l.dialUDP(address)
				if err != nil {
					return err
				}
				defer c.Close()
				b := make([]byte, 1<<16)
				for _, size := range sizes {
					if n, err := c.Write(noise(size)); n != size || err != nil {
						t.Errorf("writing %d bytes: %d, %v", size, n, err)
						continue
					}
					n, err := c.Read(b)
					if err != nil {
						return fmt.Errorf("%d bytes: %w", size, err)
					}
					equal(t, fmt.Sprintf("%d bytes", size), sum(b[:n]), sum(noise(size)))
				}
				return nil
			})
			l.checkWire(t)
			fragments := 0
			for _, p := range l.wire.packets() {
				if p.fragment {
					fragments++
				}
			}
			if fragments == 0 {
				t.Error("no fragment on the wire")
			}
		})
	}
}

func TestDatagramThatIsTooLong(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		for address, size := range map[string]int{"10.0.0.2:7": 65508, "[fd00::2]:7": 65536} {
			c, err := l.dialUDP(address)
			if err != nil {
				return err
			}
			n, err := c.Write(make([]byte, size))
			equal(t, "bytes written", n, 0)
			wantErr(t, address, err, syscall.EMSGSIZE)
			c.Close()
		}
		return nil
	})
	equal(t, "frames", l.wire.n, 0)
}

func TestDatagramIsCutToTheBuffer(t *testing.T) {
	l := newLAN(t, setup{})
	l.serveUDP("udp", ":7")
	l.run(func(ctx context.Context) error {
		c, err := l.dialUDP("server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		for _, word := range []string{"long word", "second", "third"} {
			if _, err := c.Write([]byte(word)); err != nil {
				return err
			}
		}
		b := make([]byte, 4)
		n, err := c.Read(b)
		equal(t, "the first, cut", string(b[:n]), "long")
		if err != nil {
			return err
		}
		n, err = c.Read(nil)
		equal(t, "the second, thrown away", n, 0)
		if err != nil {
			return err
		}
		n, err = c.Read(b)
		equal(t, "the third, not the rest of the first", string(b[:n]), "thir")
		return err
	})
}

func TestSenderOfADatagramThatIsThrownAwayIsTold(t *testing.T) {
	l := newLAN(t, setup{})
	pc, err := l.server.ListenPacket("udp", ":7")
	must(t, err)
	l.run(func(ctx context.Context) error {
		c, err := l.dialUDP("server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, from, err := pc.ReadFrom(nil)
		equal(t, "sender", fmt.Sprint(from), c.LocalAddr().String())
		return err
	})
}

func TestPortUnreachableIsAnErrorOfTheConnectedSocket(t *testing.T) {
	for _, address := range []string{"10.0.0.2:9", "[fd00::2]:9"} {
		t.Run(address, func(t *testing.T) {
			l := newLAN(t, setup{})
			l.run(func(ctx context.Context) error {
				c, err := l.dialUDP(address)
				if err != nil {
					return err
				}
				defer c.Close()
				if _, err := c.Write([]byte("anybody?")); err != nil {
					return err
				}
				began := l.client.Now()
				_, err = c.Read(make([]byte, 1))
				wantErr(t, "read", err, syscall.ECONNREFUSED)
				if d := since(l.client, began); d > time.Millisecond {
					t.Errorf("the pending read was woken after %v", d)
				}
				return nil
			})
		})
	}
}

// A socket for both families speaks of IPv4 peers in IPv4 terms.
func TestDualSocketAndIPv4(t *testing.T) {
	l := newLAN(t, setup{})
	l.serveUDP("udp", ":7")
	pc, err := l.client.ListenPacket("udp", ":5000")
	must(t, err)
	equal(t, "local address", pc.LocalAddr().String(), "[::]:5000")
	l.run(func(ctx context.Context) error {
		defer pc.Close()
		must(t, pc.SetDeadline(l.client.Now().Add(10*time.Second)))
		b := make([]byte, 10)
		for _, to := range []string{"10.0.0.2:7", "[::ffff:10.0.0.2]:7", "[fd00::2]:7"} {
			addr := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))
			if _, err := pc.WriteTo([]byte(to), addr); err != nil {
				return err
			}
			_, from, err := pc.ReadFrom(b)
			if err != nil {
				return err
			}
			equal(t, "sender of the answer from "+to, from.String(), strings.Replace(strings.Replace(to, "[::ffff:", "", 1), "2]:", "2:", strings.Count(to, "ffff")))
		}
		return nil
	})
}

func TestSocketsOfBothFamiliesShareAPort(t *testing.T) {
	l := newLAN(t, setup{})
	for _, network := range []string{"udp6", "udp4"} {
		l.serveUDP(network, ":7")
	}
	_, err := l.server.ListenPacket("udp4", ":7")
	wantErr(t, "a third socket", err, syscall.EADDRINUSE)
	l.run(func(ctx context.Context) error {
		for _, address := range []string{"10.0.0.2:7", "[fd00::2]:7"} {
			c, err := l.dialUDP(address)
			if err != nil {
				return err
			}
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
			if _, err := c.Read(make([]byte, 1)); err != nil {
				return err
			}
			c.Close()
		}
		return nil
	})
}

func TestAddressesASocketCannotWriteTo(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		pc4, err := l.client.ListenPacket("udp4", ":0")
		if err != nil {
			return err
		}
		defer pc4.Close()
		pc6, err := l.client.ListenPacket("udp6", ":0")
		if err != nil {
			return err
		}
		defer pc6.Close()
		v4, v6 := &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}, &net.UDPAddr{IP: net.ParseIP("fd00::2"), Port: 7}
		for _, tc := range []struct {
			pc net.PacketConn
			to net.Addr
		}{{pc4, v6}, {pc6, v4}, {pc4, nil}, {pc4, &net.TCPAddr{}}, {pc4, &net.UDPAddr{}}} {
			n, err := tc.pc.WriteTo([]byte("x"), tc.to)
			var op *net.OpError
			if n != 0 || !errors.As(err, &op) {
				t.Errorf("%v to %v: %d, %v; want a *net.OpError", tc.pc.LocalAddr(), tc.to, n, err)
			}
		}
		c, err := l.client.Dial("udp", "server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.(net.PacketConn).WriteTo([]byte("x"), v4)
		wantErr(t, "WriteTo on a connected socket", err, net.ErrWriteToConnected)
		_, err = pc4.(net.Conn).Write([]byte("x"))
		wantErr(t, "Write on a socket that is not connected", err, syscall.EDESTADDRREQ)
		return nil
	})
	equal(t, "frames", l.wire.n, 0)
}

func TestConnectedSocketHearsItsPeerOnly(t *testing.T) {
	l := newLAN(t, setup{})
	pc, err := l.server.ListenPacket("udp", ":7")
	must(t, err)
	other, err := l.server.ListenPacket("udp", ":8")
	must(t, err)
	l.run(func(ctx context.Context) error {
		c, err := l.dialUDP("10.0.0.2:7")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := other.WriteTo([]byte("stranger"), c.LocalAddr()); err != nil {
			return err
		}
		if _, err := pc.WriteTo([]byte("peer"), c.LocalAddr()); err != nil {
			return err
		}
		b := make([]byte, 100)
		n, err := c.Read(b)
		equal(t, "what is read", string(b[:n]), "peer")
		return err
	})
}

func TestBroadcastReachesAllHosts(t *testing.T) {
	l := newLAN(t, setup{})
	pc, err := l.server.ListenPacket("udp4", ":7")
	must(t, err)
	l.run(func(ctx context.Context) error {
		c, err := l.client.ListenPacket("udp4", ":8")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.WriteTo([]byte("all"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 255), Port: 7}); err != nil {
			return err
		}
		_, from, err := pc.ReadFrom(make([]byte, 10))
		equal(t, "sender", fmt.Sprint(from), "10.0.0.1:8")
		return err
	})
	equal(t, "destination", l.wire.packets()[0].dst, vswitch.Broadcast)
}

// Nobody reads: what does not fit the buffer is lost and counted.
func TestDatagramsNobodyReadsAreCounted(t *testing.T) {
	l := newLAN(t, setup{})
	pc, err := l.server.ListenPacket("udp", ":7")
	must(t, err)
	const sent = 3000
	received := 0
	l.run(func(ctx context.Context) error {
		c, err := l.dialUDP("server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		for range sent {
			if _, err := c.Write(make([]byte, 1000)); err != nil {
				return err
			}
			if err := l.client.Sleep(time.Millisecond); err != nil {
				return err
			}
		}
		must(t, pc.SetReadDeadline(l.server.Now().Add(time.Second)))
		for ; ; received++ {
			if _, _, err := pc.ReadFrom(make([]byte, 1000)); err != nil {
				return nil
			}
		}
	})
	equal(t, "received and dropped", uint64(received)+l.server.Stats().UDPBufferOverflows, sent)
	if received == 0 || received == sent {
		t.Errorf("%d of %d datagrams were received", received, sent)
	}
}
