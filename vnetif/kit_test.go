package vnetif_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// No test leaves a goroutine behind: worlds are closed and nothing of them runs on.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lan is what most tests are built with: two hosts, client and server, with an
// IPv4 and an IPv6 address each, on one switch whose wire is watched.
type lan struct {
	t              testing.TB
	w              *vswitch.World
	sw             *vswitch.Switch
	client, server *vnetif.Host
	wire           *wire
}

// setup changes what newLAN builds; the zero value changes nothing.
type setup struct {
	world          vswitch.Config
	hub            bool
	client, server vswitch.PortConfig
	gateways       []netip.Addr // of the client
	quiet          bool         // keep no frames, only their digest
	unrecorded     bool         // not even that
}

func newLAN(t testing.TB, s setup) *lan {
	t.Helper()
	l := &lan{t: t, w: vswitch.NewWorld(s.world), wire: newWire(s.quiet)}
	t.Cleanup(func() { l.close() })
	var err error
	cfg := vswitch.SwitchConfig{Hub: s.hub}
	if !s.unrecorded {
		cfg.Recorder = l.wire
	}
	l.sw, err = l.w.NewSwitch(cfg)
	must(t, err)
	l.client = l.host(vnetif.HostConfig{Name: "client", Addrs: prefixes("10.0.0.1/24", "fd00::1/64"), Port: s.client, Gateways: s.gateways})
	l.server = l.host(vnetif.HostConfig{Name: "server", Addrs: prefixes("10.0.0.2/24", "fd00::2/64"), Port: s.server})
	return l
}

func (l *lan) host(cfg vnetif.HostConfig) *vnetif.Host {
	l.t.Helper()
	h, err := vnetif.NewHost(l.sw, cfg)
	must(l.t, err)
	return h
}

func (l *lan) close() {
	if err := l.w.Close(); err != nil {
		l.t.Errorf("closing the world: %v", err)
	}
}

// run runs the world, which must succeed.
func (l *lan) run(main func(ctx context.Context) error) {
	l.t.Helper()
	must(l.t, l.w.Run(context.Background(), main))
}

// fails runs the world and returns its error, of which there must be one.
func (l *lan) fails(main func(ctx context.Context) error) error {
	l.t.Helper()
	err := l.w.Run(context.Background(), main)
	if err == nil {
		l.t.Fatal("the run succeeded; it should not have")
	}
	return err
}

// serve accepts connections on the server and calls handle for one after the other.
func (l *lan) serve(network, address string, handle func(c *vnetif.Conn) error) {
	l.t.Helper()
	ln, err := l.server.Listen(network, address)
	must(l.t, err)
	l.w.Background("serve "+address, func(context.Context) error {
		for {
			c, err := ln.Accept()
			if err != nil {
				return err
			}
			if err := handle(c.(*vnetif.Conn)); err != nil {
				return err
			}
		}
	})
}

// dial connects the client to the server.
func (l *lan) dial(ctx context.Context, network, address string) (*vnetif.Conn, error) {
	c, err := l.client.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return c.(*vnetif.Conn), nil
}

// lose drops so many frames out of a thousand, on the senders' cables.
func (l *lan) lose(permille uint32) {
	r := vswitch.NewRand(l.w.Seed(), "test", "loss")
	l.sw.AddRule("loss", vswitch.RuleFunc(func(_ *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		return vswitch.Verdict{Drop: to == nil && r.Uint32N(1000) < permille}
	}))
}

// echo sends back what it reads.
func echo(c *vnetif.Conn) error {
	defer c.Close()
	_, err := io.Copy(c, c)
	return err
}

func prefixes(ss ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// noise returns n bytes that do not compress, the same ones every time.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// equal compares what came with what should have.
func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// wantErr checks that err is what errors.Is should find in it.
func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, err, want)
	}
}

// wantTimeout checks that err is a timeout the way programs ask for it.
func wantTimeout(t testing.TB, what string, err error) {
	t.Helper()
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("%s: %v is no net.Error with Timeout() true", what, err)
	}
}

// since says how much virtual time has passed since an instant.
func since(h *vnetif.Host, t time.Time) time.Duration { return h.Now().Sub(t) }

// sum is the hash of what was transferred.
func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
