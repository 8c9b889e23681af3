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
	for name, c := range map[string]struct {
		kernel, host, gateway, better, beyond, server string // addresses with their networks
		via, cache                                    string // the kernel's way, as ip says
	}{
		"IPv4": {
			kernel: "10.77.0.1/24", gateway: "10.77.0.254/24", better: "10.77.0.3/24",
			beyond: "10.50.0.254/16", server: "10.50.0.1/16", via: "10.77.0.3", cache: "redirected",
		},
		"IPv6": { // where routers are known by their link-local addresses
			kernel: "fd00:77::1/64", gateway: "fe80::254/64", better: "fe80::3/64", host: "fd00:77::254/64",
			beyond: "fd00:50::254/64", server: "fd00:50::1/64", via: "fe80::3",
		},
	} {
		t.Run(name, func(t *testing.T) {
			v6 := name == "IPv6"
			if raceEnabled && !v6 {
				t.Skip("gVisor's forwarding of IPv4 has a data race; see package vnetif's tests")
			}
			k := newKernel(t, "vnrkr", "tcpdump", "ping")
			if v6 {
				k.do("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.disable_ipv6=0", "net.ipv6.conf.default.accept_dad=0")
			}
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
			at := netip.MustParsePrefix
			onLAN := []netip.Prefix{at(c.gateway)}
			if v6 {
				onLAN = append(onLAN, at(c.host))
			}
			gateway, err := vnetif.NewRouter(vnetif.RouterConfig{
				Name:       "gateway",
				Interfaces: []vnetif.Interface{{Switch: lan, Addrs: onLAN}},
				Routes:     []vnetif.Route{{To: at(c.server).Masked(), Via: at(c.better).Addr()}},
			})
			must(t, err)
			back := []netip.Prefix{at(c.better)}
			if v6 {
				back = append(back, at("fd00:77::3/64"))
			}
			_, err = vnetif.NewRouter(vnetif.RouterConfig{
				Name: "better",
				Interfaces: []vnetif.Interface{
					{Switch: lan, Addrs: back},
					{Switch: far, Addrs: []netip.Prefix{at(c.beyond)}},
				},
			})
			must(t, err)
			_, err = vnetif.NewHost(far, vnetif.HostConfig{Name: "server", Addrs: []netip.Prefix{at(c.server)}, Gateways: []netip.Addr{at(c.beyond).Addr()}})
			must(t, err)
			k.plug(c.kernel)
			k.do("ip", "route", "add", at(c.server).Masked().String(), "via", at(c.gateway).Addr().String(), "dev", k.device)

			ctx, cancel := context.WithCancelCause(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- w.Run(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil }) }()
			server := at(c.server).Addr().String()
			out := k.do("ping", "-c", "5", "-i", "0.1", "-w", "10", server)
			if !strings.Contains(out, " 0% packet loss") || !strings.Contains(out, "ttl=63") {
				t.Errorf("ping: %s", out)
			}
			if out := k.do("ip", "route", "get", server); !strings.Contains(out, "via "+c.via) || !strings.Contains(out, c.cache) {
				t.Errorf("the kernel did not follow the redirect: %s", out)
			}
			// The gateway was sent the first ones, and the other router the last.
			through := func() (n uint64) {
				lan.Inspect(func() { n = gateway.Ports()[0].Counters().RxFrames })
				return n
			}
			before := through()
			k.do("ping", "-c", "3", "-i", "0.1", "-w", "10", server)
			if n := through() - before; n > 1 { // an ARP request to all, perhaps
				t.Errorf("the gateway got %d more frames", n)
			}
			cancel(vswitch.ErrStopped)
			if err := <-ended; err != nil && !errors.Is(err, vswitch.ErrStopped) {
				t.Error(err)
			}
		})
	}
}
