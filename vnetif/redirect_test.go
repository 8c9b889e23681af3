package vnetif_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// A router tells a neighbour of the better way, less and less often, and
// forwards what it was sent all the same.
func TestRouterRedirects(t *testing.T) {
	const via = "10.0.0.77"                   // on the network that the probe is on
	options := func(o ...byte) func([]byte) { // in place of the first four bytes behind the header
		return func(f []byte) { f[14] = 0x46; copy(f[34:], o) }
	}
	for _, c := range []struct {
		name   string
		change func(frame []byte)
		from   string
		to     string
		sent   int           // probes
		each   time.Duration // between them
		want   int           // redirects
		alone  bool          // nothing is forwarded
	}{
		{name: "to a router of the same network", to: "10.50.0.1", want: 1},
		{name: "to a host of the same network", to: via, want: 1},
		{name: "many at once", to: "10.50.0.1", sent: 50, each: time.Millisecond, want: 2},          // at 0 and 40 ms
		{name: "many in a second", to: "10.50.0.1", sent: 5, each: 100 * time.Millisecond, want: 4}, // not the fourth
		{name: "in vain", to: "10.50.0.1", sent: 15, each: 10 * time.Second, want: 9},
		{name: "after a pause", to: "10.50.0.1", sent: 15, each: 20 * time.Second, want: 15},
		{name: "out of another interface", to: "10.9.0.1"},
		{name: "of a source on another network", from: "10.7.0.1", to: "10.50.0.1"},
		{name: "to the router itself", to: "10.0.0.254", alone: true},
		{name: "to all of the network", to: "10.0.0.255", alone: true},
		{name: "the last hop", to: "10.50.0.1", change: func(f []byte) { f[22] = 1 }, alone: true},
		{name: "a later fragment", to: "10.50.0.1", change: func(f []byte) { f[21] = 10 }},
		{name: "an ICMP error", to: "10.50.0.1", change: func(f []byte) { f[23], f[34] = 1, 3 }},
		{name: "an echo request", to: "10.50.0.1", change: func(f []byte) { f[23], f[34] = 1, 8 }, want: 1},
		{name: "which says its way itself", to: "10.50.0.1", change: options(131, 3, 4, 0)},
		{name: "which says its way itself, strictly", to: "10.50.0.1", change: options(1, 137, 2, 0)},
		{name: "with another option", to: "10.50.0.1", change: options(1, 1, 1, 0), want: 1},
		{name: "a wrong checksum", to: "10.50.0.1", change: func(f []byte) { f[24] ^= 0xff }, alone: true},
	} {
		for _, real := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/real=%v", c.name, real), func(t *testing.T) {
				skipRacyRouter(t, real)
				if real && c.each > 0 {
					t.Skip("it would take seconds")
				}
				n := bareLANs(t, real)
				w, lan, wan := n.w, n.lan, n.wan
				router, err := vnetif.NewRouter(vnetif.RouterConfig{
					Name: "router",
					Interfaces: []vnetif.Interface{
						{Switch: lan, Addrs: prefixes("10.0.0.254/24")},
						{Switch: wan, Addrs: prefixes("10.9.0.254/24")},
					},
					Routes: []vnetif.Route{
						{To: netip.MustParsePrefix("10.50.0.0/16"), Via: netip.MustParseAddr(via)},
						{To: netip.MustParsePrefix("10.7.0.0/16"), Via: netip.MustParseAddr("10.9.0.7")},
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				for name, on := range map[string]*vswitch.Switch{"77": lan, "1": wan} { // next hops that answer ARP
					addr := map[string]string{"77": via + "/24", "1": "10.9.0.1/24"}[name]
					if _, err := vnetif.NewHost(on, vnetif.HostConfig{Name: "hop" + name, Addrs: prefixes(addr)}); err != nil {
						t.Fatal(err)
					}
				}
				probe, err := vnetif.NewRaw(lan, vnetif.RawConfig{Port: vswitch.PortConfig{Name: "probe"}})
				if err != nil {
					t.Fatal(err)
				}
				probe.SetListen(func(f []byte) { answerFor9(probe, f) })
				from := c.from
				if from == "" {
					from = "10.0.0.9"
				}
				frame := udpProbe(router.Ports()[0].MAC(), probe.MAC(), from, c.to, 9, false, 20)
				if c.change != nil {
					sum := [2]byte(frame[24:26])
					c.change(frame)
					if ip := header.IPv4(frame[14:]); sum == [2]byte(frame[24:26]) {
						ip.SetChecksum(0)
						ip.SetChecksum(^ip.CalculateChecksum())
					}
				}
				err = w.Run(context.Background(), func(context.Context) error {
					for range max(c.sent, 1) {
						if err := probe.WriteFrame(frame); err != nil {
							return err
						}
						if err := router.Sleep(c.each); err != nil {
							return err
						}
					}
					return router.Sleep(100 * time.Millisecond)
				})
				if err != nil {
					t.Fatal(err)
				}
				redirects, forwarded := 0, 0
				for _, f := range append(n.seen[0], n.seen[1]...) {
					ip := header.IPv4(f.data[14:])
					if f.data[12] != 8 || f.data[13] != 0 || bytes.Equal(f.data, frame) {
						continue
					}
					if ip.TTL() == 8 {
						forwarded++
						continue
					}
					icmp := header.ICMPv4(ip.Payload())
					if ip.Protocol() != 1 || icmp.Type() != header.ICMPv4Redirect {
						continue
					}
					redirects++
					quoted := append([]byte(nil), frame[14:]...)
					switch {
					case !bytes.Equal(f.data[:6], frame[6:12]) || ip.SourceAddress() != addrOf("10.0.0.254") || ip.DestinationAddress() != addrOf(from):
						t.Errorf("from %v to %v, frame %x", ip.SourceAddress(), ip.DestinationAddress(), f.data)
					case icmp.Code() != 1 || netip.AddrFrom4([4]byte(icmp[4:8])) != netip.MustParseAddr(via):
						t.Errorf("code %d, to %v", icmp.Code(), icmp[4:8])
					case !ip.IsChecksumValid() || checksum.Checksum(icmp, 0) != 0xffff:
						t.Error("a checksum is wrong")
					case !bytes.Equal(icmp[8:], quoted):
						t.Errorf("it quotes %x, want %x", icmp[8:], quoted)
					}
				}
				want := max(c.sent, 1)
				if c.alone {
					want = 0
				}
				if redirects != c.want || forwarded != want {
					t.Errorf("%d redirects and %d packets forwarded, want %d and %d", redirects, forwarded, c.want, want)
				}
			})
		}
	}
}
