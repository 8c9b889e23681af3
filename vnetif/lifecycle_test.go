package vnetif_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Listeners and datagram sockets are made before the run; what needs the network
// to move says that the world is not running.
func TestCallsBeforeTheRun(t *testing.T) {
	l := newLAN(t, setup{})
	ln, err := l.server.Listen("tcp", ":7")
	must(t, err)
	pc, err := l.server.ListenPacket("udp", ":7")
	must(t, err)
	_, accept := ln.Accept()
	_, dial := l.client.Dial("tcp", "server:7")
	_, _, read := pc.ReadFrom(make([]byte, 1))
	_, write := pc.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 7})
	for what, err := range map[string]error{
		"accept": accept, "dial": dial, "read": read, "write": write, "sleep": l.client.Sleep(time.Second),
	} {
		wantErr(t, what, err, net.ErrClosed)
		if err != nil && !strings.Contains(err.Error(), "the world is not running") {
			t.Errorf("%s: %q does not say that the world is not running", what, err)
		}
	}
	must(t, ln.Close())
	must(t, pc.Close())
	wantErr(t, "closing once more", ln.Close(), net.ErrClosed)
	l.run(func(ctx context.Context) error {
		_, err := l.dial(ctx, "tcp", "server:7")
		if err == nil {
			t.Error("a listener that was closed before the run accepted a connection")
		}
		return nil
	})
}

func TestCallsAfterTheRun(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":7", echo)
	ln, err := l.server.Listen("tcp", ":8")
	must(t, err)
	var c *vnetif.Conn
	l.run(func(ctx context.Context) (err error) {
		c, err = l.dial(ctx, "tcp", "server:7")
		return err
	})
	_, read := c.Read(make([]byte, 1))
	_, write := c.Write([]byte("x"))
	_, accept := ln.Accept()
	_, dial := l.client.Dial("tcp", "server:7")
	_, listen := l.client.Listen("tcp", ":9")
	for what, err := range map[string]error{
		"read": read, "write": write, "accept": accept, "dial": dial, "listen": listen,
		"sleep": l.client.Sleep(time.Second), "CloseWrite": c.CloseWrite(),
	} {
		wantErr(t, what, err, net.ErrClosed)
		if err != nil && !strings.Contains(err.Error(), "the world's run is over") {
			t.Errorf("%s: %q does not say that the run is over", what, err)
		}
	}
	must(t, c.SetDeadline(time.Now().Add(time.Second)))
	must(t, c.Close())
	must(t, ln.Close())
	wantErr(t, "closing once more", c.Close(), net.ErrClosed)
	must(t, l.w.Close())
	wantErr(t, "closing a connection of a closed world once more", c.Close(), net.ErrClosed)
}

// When the last client has returned, calls of servers end with net.ErrClosed.
func TestParkedCallsEndWithTheRun(t *testing.T) {
	l := newLAN(t, setup{})
	ended := map[string]error{}
	background := func(what string, f func() error) {
		l.w.Background(what, func(context.Context) error {
			err := f()
			ended[what] = err
			return err
		})
	}
	ln, err := l.server.Listen("tcp", ":7")
	must(t, err)
	pc, err := l.server.ListenPacket("udp", ":7")
	must(t, err)
	raw, err := vnetif.NewRaw(l.sw, vnetif.RawConfig{Port: vswitch.PortConfig{Name: "raw"}})
	must(t, err)
	background("read", func() error {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return errors.Join(err, c.Close())
	})
	background("packet", func() error { _, _, err := pc.ReadFrom(make([]byte, 1)); return err })
	background("sleep", func() error { return l.server.Sleep(time.Hour) })
	background("dial", func() error { _, err := l.server.Dial("tcp", "10.0.0.99:1"); return err })
	background("raw", func() error {
		for {
			if _, err := raw.ReadFrame(make([]byte, 2000)); err != nil {
				return err
			}
		}
	})
	var c *vnetif.Conn
	l.run(func(ctx context.Context) (err error) {
		c, err = l.dial(ctx, "tcp", "server:7")
		return err
	})
	for _, what := range []string{"read", "packet", "sleep", "dial", "raw"} {
		wantErr(t, what, ended[what], net.ErrClosed)
	}
	must(t, c.Close())
}

// A world in which two wait for each other ends, and says who waits on what.
func TestTwoWhoBothReadAreADeadlock(t *testing.T) {
	l := newLAN(t, setup{})
	ln, err := l.server.Listen("tcp", ":7")
	must(t, err)
	l.w.Go("listener", func(context.Context) error {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return errors.Join(err, c.Close())
	})
	err = l.fails(func(ctx context.Context) error {
		c, err := l.client.DialFrom(ctx, "tcp", netip.MustParseAddrPort("10.0.0.1:4711"), "server:7")
		if err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return errors.Join(err, c.Close())
	})
	wantErr(t, "the run", err, vswitch.ErrDeadlock)
	for _, want := range []string{
		"not finished: main, listener",
		"client waits in read tcp 10.0.0.1:4711 > 10.0.0.2:7",
		"server waits in read tcp 10.0.0.2:7 > 10.0.0.1:4711",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestApplicationsErrorsAreTheRuns(t *testing.T) {
	l := newLAN(t, setup{})
	err := l.fails(func(ctx context.Context) error { return io.ErrUnexpectedEOF })
	wantErr(t, "the run", err, io.ErrUnexpectedEOF)
}

func TestHostsThatCannotBe(t *testing.T) {
	l := newLAN(t, setup{})
	for _, tc := range []struct {
		cfg  vnetif.HostConfig
		want string
	}{
		{vnetif.HostConfig{}, "name"},
		{vnetif.HostConfig{Name: "a b"}, "a b"},
		{vnetif.HostConfig{Name: "client"}, "taken"},
		{vnetif.HostConfig{Name: "x", Addrs: []netip.Prefix{{}}}, "address 1"},
		{vnetif.HostConfig{Name: "y", Addrs: prefixes("10.0.0.9/24", "::ffff:10.0.0.8/120")}, "address 2"},
		{vnetif.HostConfig{Name: "z", Port: vswitch.PortConfig{MTU: -1}}, "MTU"},
		{vnetif.HostConfig{Name: "twice", Addrs: prefixes("10.0.0.9/24", "10.0.0.9/24")}, "10.0.0.9/24"},
		{vnetif.HostConfig{Name: "small6", Addrs: prefixes("fd00::9/64"), Port: vswitch.PortConfig{MTU: 1279}}, "1280"},
		{vnetif.HostConfig{Name: "small4", Addrs: prefixes("10.0.0.9/24"), Port: vswitch.PortConfig{MTU: 67}}, "68"},
		{vnetif.HostConfig{Name: "gw", Addrs: prefixes("10.0.0.9/24"), Gateways: []netip.Addr{{}}}, "gateway"},
		{vnetif.HostConfig{Name: "far", Addrs: prefixes("10.0.0.9/24"), Gateways: []netip.Addr{netip.MustParseAddr("10.0.1.1")}}, "gateway 1: no neighbour"},
		{vnetif.HostConfig{Name: "all", Addrs: prefixes("10.0.0.9/24"), Gateways: []netip.Addr{netip.MustParseAddr("10.0.0.255")}}, "gateway 1: no neighbour"},
		{vnetif.HostConfig{Name: "self", Addrs: prefixes("fd00::9/64"), Gateways: []netip.Addr{netip.MustParseAddr("fd00::9")}}, "gateway 1: no neighbour"},
		{vnetif.HostConfig{Name: "net", Addrs: prefixes("10.0.0.0/24")}, "10.0.0.0/24) is that of its network"},
		{vnetif.HostConfig{Name: "broadcast", Addrs: prefixes("10.0.0.127/25")}, "is that of its network"},
	} {
		h, err := vnetif.NewHost(l.sw, tc.cfg)
		if err == nil || h != nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v; want an error with %q", tc.cfg, err, tc.want)
		}
	}
	equal(t, "ports left on the switch", len(l.sw.Ports()), 2)
}
