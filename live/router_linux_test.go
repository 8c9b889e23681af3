package live_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/tap"
	"github.com/vnreplay/vnreplay/vnetif"
)

// A kernel whose gateway is one of our routers goes through it, is told of the better way,
// and takes it.
func TestKernelBehindRouters(t *testing.T) {
	if raceEnabled {
		t.Skip("gVisor's forwarding of IPv4 has a data race; see package vnetif's tests")
	}
	k := newKernel(t, "vnrkr", "tcpdump", "ping")
	w := vswitch.NewWorld(vswitch.Config{RealTime: true})
	defer w.Close()
	newSwitch := func(name string) *vswitch.Switch {
		sw, err := w.NewSwitch(vswitch.SwitchConfig{Name: name})
		must(t, err)
		return sw
	}
	lan, far := newSwitch("lan"), newSwitch("far")
	dev, err := tap.Open("tap:" + k.device)
	must(t, err)
	_, err = tap.Connect(lan, vswitch.PortConfig{Name: "kernel"}, dev)
	must(t, err)
	at := func(prefix string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(prefix)} }
	gateway, err := vnetif.NewRouter(vnetif.RouterConfig{
		Name:       "gateway",
		Interfaces: []vnetif.Interface{{Switch: lan, Addrs: at("10.77.0.254/24")}},
		Routes:     []vnetif.Route{{To: netip.MustParsePrefix("10.50.0.0/16"), Via: netip.MustParseAddr("10.77.0.3")}},
	})
	must(t, err)
	_, err = vnetif.NewRouter(vnetif.RouterConfig{
		Name: "better",
		Interfaces: []vnetif.Interface{
			{Switch: lan, Addrs: at("10.77.0.3/24")},
			{Switch: far, Addrs: at("10.50.0.254/16")},
		},
	})
	must(t, err)
	_, err = vnetif.NewHost(far, vnetif.HostConfig{Name: "server", Addrs: at("10.50.0.1/16"), Gateways: []netip.Addr{netip.MustParseAddr("10.50.0.254")}})
	must(t, err)
	k.plug("10.77.0.1/24")
	k.do("ip", "route", "add", "default", "via", "10.77.0.254")

	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil }) }()
	out := k.do("ping", "-c", "5", "-i", "0.1", "-w", "10", "10.50.0.1")
	if !strings.Contains(out, " 0% packet loss") || !strings.Contains(out, "ttl=63") {
		t.Errorf("ping: %s", out)
	}
	if out := k.do("ip", "route", "get", "10.50.0.1"); !strings.Contains(out, "via 10.77.0.3") || !strings.Contains(out, "redirected") {
		t.Errorf("the kernel did not follow the redirect: %s", out)
	}
	// The gateway was sent the first ones, and the other router the last.
	through := gateway.Ports()[0].Counters().RxFrames
	k.do("ping", "-c", "3", "-i", "0.1", "-w", "10", "10.50.0.1")
	if n := gateway.Ports()[0].Counters().RxFrames; n > through+1 { // an ARP request to all, perhaps
		t.Errorf("the gateway got %d more frames", n-through)
	}
	cancel(vswitch.ErrStopped)
	if err := <-ended; err != nil && !errors.Is(err, vswitch.ErrStopped) {
		t.Error(err)
	}
}
