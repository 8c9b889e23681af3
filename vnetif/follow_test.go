package vnetif_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// wayNet is a client on lan with a gateway, another router on lan, and a server on far, to
// which both lead.
type wayNet struct {
	w               *vswitch.World
	client          *vnetif.Host
	gateway, better vswitch.MAC
	probe           *vnetif.Raw // on lan
	seen            []seenFrame // on lan
}

var wayRoutes = []vnetif.Route{ // of a gateway that is not on far itself
	{To: netip.MustParsePrefix("10.50.0.0/16"), Via: netip.MustParseAddr("10.0.0.3")},
	{To: netip.MustParsePrefix("fd00:50::/32"), Via: netip.MustParseAddr("fe80::3")},
}

func newWayNet(t *testing.T, real, direct bool, gateway6 string) *wayNet {
	t.Helper()
	n := &wayNet{w: vswitch.NewWorld(vswitch.Config{Seed: 1, RealTime: real, WallLimit: time.Minute})}
	t.Cleanup(func() { n.w.Close() })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	lan, err := n.w.NewSwitch(vswitch.SwitchConfig{Name: "lan", Recorder: watcher{&twoLANs{w: n.w}, &n.seen}})
	must(err)
	far, err := n.w.NewSwitch(vswitch.SwitchConfig{Name: "far"})
	must(err)
	n.client, err = vnetif.NewHost(lan, vnetif.HostConfig{
		Name: "client", Addrs: prefixes("10.0.0.1/24", "fd00:a::1/64"),
		Gateways: []netip.Addr{netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr(gateway6)},
	})
	must(err)
	gateway := vnetif.RouterConfig{Name: "gateway", Routes: wayRoutes}
	gateway.Interfaces = []vnetif.Interface{{Switch: lan, Addrs: prefixes("10.0.0.254/24", "fd00:a::fe/64", "fe80::fe/64")}}
	if direct { // so that it sends no redirects
		gateway.Interfaces = append(gateway.Interfaces, vnetif.Interface{Switch: far, Addrs: prefixes("10.50.0.254/16", "fd00:50::fe/64")})
		gateway.Routes = nil
	}
	r, err := vnetif.NewRouter(gateway)
	must(err)
	n.gateway = r.Ports()[0].MAC()
	r, err = vnetif.NewRouter(vnetif.RouterConfig{Name: "better", Interfaces: []vnetif.Interface{
		{Switch: lan, Addrs: prefixes("10.0.0.3/24", "fd00:a::3/64", "fe80::3/64")},
		{Switch: far, Addrs: prefixes("10.50.0.3/16", "fd00:50::3/64")},
	}})
	must(err)
	n.better = r.Ports()[0].MAC()
	server, err := vnetif.NewHost(far, vnetif.HostConfig{
		Name: "server", Addrs: prefixes("10.50.0.1/16", "fd00:50::1/64"),
		Gateways: []netip.Addr{netip.MustParseAddr("10.50.0.3"), netip.MustParseAddr("fd00:50::3")},
	})
	must(err)
	l, err := server.Listen("tcp", ":7")
	must(err)
	n.w.Background("echo", func(context.Context) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			n.w.Go("echo one", func(context.Context) error {
				defer c.Close()
				_, err := io.Copy(c, c)
				return err
			})
		}
	})
	n.probe, err = vnetif.NewRaw(lan, vnetif.RawConfig{Port: vswitch.PortConfig{Name: "probe"}})
	must(err)
	return n
}

// way says to whom the client sent the last frame with a packet for the server.
func (n *wayNet) way(server string) vswitch.MAC {
	to, mac := netip.MustParseAddr(server).AsSlice(), n.client.Port().MAC()
	for _, f := range slices.Backward(n.seen) {
		if at := map[byte]int{0x08: 30, 0x86: 38}[f.data[12]]; f.data[13] != 6 && bytes.Equal(f.data[6:12], mac[:]) && bytes.Equal(f.data[at:at+len(to)], to) {
			return vswitch.MAC(f.data[:6])
		}
	}
	return vswitch.MAC{}
}

// echoed has the server say something again, which comes back as it was.
func echoed(c io.ReadWriter, text []byte) error {
	if _, err := c.Write(text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, text) {
		return fmt.Errorf("%d bytes came back otherwise: %w", len(text), err)
	}
	return nil
}

// A host is told of the better way by its gateway, and takes it: with the connection for
// which it was told, and with new ones.
func TestHostsFollowRedirects(t *testing.T) {
	for _, real := range []bool{false, true} {
		for _, server := range []string{"10.50.0.1", "fd00:50::1"} {
			t.Run(fmt.Sprintf("real=%v/%s", real, server), func(t *testing.T) {
				skipRacyRouter(t, real)
				n := newWayNet(t, real, false, "fe80::fe")
				err := n.w.Run(context.Background(), func(ctx context.Context) error {
					addr := netip.AddrPortFrom(netip.MustParseAddr(server), 7).String()
					first, err := n.client.DialContext(ctx, "tcp", addr)
					if err != nil {
						return err
					}
					defer first.Close()
					if err := n.client.Sleep(100 * time.Millisecond); err != nil {
						return err
					}
					if err := echoed(first, make([]byte, 50_000)); err != nil {
						return err
					}
					second, err := n.client.DialContext(ctx, "tcp", addr)
					if err != nil {
						return err
					}
					defer second.Close()
					return echoed(second, []byte("hello"))
				})
				if err != nil {
					t.Fatal(err)
				}
				redirects := 0
				for _, f := range n.seen {
					if f.data[12] == 0x08 && f.data[13] == 0 && f.data[23] == 1 && f.data[34] == 5 || f.data[12] == 0x86 && f.data[20] == 58 && f.data[54] == 137 {
						redirects++
					}
				}
				if got := n.way(server); got != n.better || redirects == 0 || !real && redirects > 1 {
					t.Errorf("the last packet went to %v, want %v; %d redirects", got, n.better, redirects)
				}
			})
		}
	}
}

// redirect4 is a redirect for the host as RFC 792 has it, about a packet from self to a
// destination.
func redirect4(mac, dst vswitch.MAC, from, self, to, via string) []byte {
	about := udpProbe(mac, dst, self, to, 9, false, 0)[14:]
	v := netip.MustParseAddr(via).As4()
	icmp := slices.Concat([]byte{5, 1, 0, 0}, v[:], about)
	b := slices.Concat(dst[:], mac[:], []byte{8, 0}, make([]byte, 20), icmp)
	header.IPv4(b[14:]).Encode(&header.IPv4Fields{TotalLength: uint16(20 + len(icmp)), TTL: 64, Protocol: 1, SrcAddr: addrOf(from), DstAddr: addrOf(self)})
	return b
}

// summed fills in the checksums of a frame with an ICMP message.
func summed(b []byte) []byte {
	if b[12] == 0x08 {
		ip := header.IPv4(b[14:])
		ip.SetChecksum(0)
		ip.SetChecksum(^ip.CalculateChecksum())
		icmp := ip.Payload()
		icmp[2], icmp[3] = 0, 0
		binary.BigEndian.PutUint16(icmp[2:], ^checksum.Checksum(icmp, 0))
		return b
	}
	ip := header.IPv6(b[14:])
	icmp := ip.Payload()
	icmp[2], icmp[3] = 0, 0
	sum := checksum.Checksum(icmp, header.PseudoHeaderChecksum(58, ip.SourceAddress(), ip.DestinationAddress(), ip.PayloadLength()))
	binary.BigEndian.PutUint16(icmp[2:], ^sum)
	return b
}

// Hosts believe a redirect if it comes from the gateway that they ask, is one, and names a
// router that they reach; and they forget it after a while.
func TestHostsBelieveGoodRedirects(t *testing.T) {
	type form struct{ from, self, to, via string }
	const nobody = "10.0.0.99"
	good4 := form{"10.0.0.254", "10.0.0.1", "10.50.0.1", "10.0.0.3"}
	good6 := form{"fe80::fe", "fd00:a::1", "fd00:50::1", "fe80::3"}
	for _, c := range []struct {
		name     string
		form     form
		change   func(frame []byte) // before the checksums are made
		spoil    func(frame []byte) // behind
		gateway6 string             // fe80::fe, if it is empty
		after    string             // a router that a redirect named before
		wait     time.Duration
		want     bool
	}{
		{name: "good", form: good4, want: true},
		{name: "just before it is forgotten", form: good4, wait: 299 * time.Second, want: true},
		{name: "forgotten", form: good4, wait: 300 * time.Second},
		{name: "for the network", form: good4, change: func(f []byte) { f[35] = 0 }, want: true},
		{name: "of no known code", form: good4, change: func(f []byte) { f[35] = 4 }},
		{name: "not from the gateway", form: form{"10.0.0.3", "10.0.0.1", "10.50.0.1", "10.0.0.3"}},
		{name: "from another router", form: form{"10.0.0.7", "10.0.0.1", "10.50.0.1", "10.0.0.3"}},
		{name: "for another destination", form: form{"10.0.0.254", "10.0.0.1", "10.50.0.2", "10.0.0.3"}},
		{name: "to all", form: form{"10.0.0.254", "10.0.0.1", "10.50.0.1", "10.0.0.255"}},
		{name: "to itself", form: form{"10.0.0.254", "10.0.0.1", "10.50.0.1", "10.0.0.1"}},
		{name: "to a router's address elsewhere", form: form{"10.0.0.254", "10.0.0.1", "10.50.0.1", "10.50.0.3"}},
		{name: "to nobody", form: form{"10.0.0.254", "10.0.0.1", "10.50.0.1", nobody}},
		{name: "after one to nobody", form: good4, after: nobody, want: true},
		{name: "of another's packet", form: good4, change: func(f []byte) { f[34+8+15] = 2 }},
		{name: "to another host", form: form{"10.0.0.254", "10.0.0.2", "10.50.0.1", "10.0.0.3"}},
		{name: "with a wrong checksum", form: good4, spoil: func(f []byte) { f[36] ^= 1 }},
		{name: "a fragment", form: good4, change: func(f []byte) { f[20] = 0x20 }},
		{name: "IPv6, good", form: good6, want: true},
		{name: "IPv6, forgotten", form: good6, wait: 300 * time.Second},
		{name: "IPv6, from far away", form: good6, change: func(f []byte) { f[21] = 254 }},
		{name: "IPv6, not from a link-local address", gateway6: "fd00:a::fe", form: form{"fd00:a::fe", "fd00:a::1", "fd00:50::1", "fe80::3"}},
		{name: "IPv6, not from the gateway", form: form{"fe80::3", "fd00:a::1", "fd00:50::1", "fe80::3"}},
		{name: "IPv6, from another router", form: form{"fe80::7", "fd00:a::1", "fd00:50::1", "fe80::3"}},
		{name: "IPv6, to a router's other address", form: form{"fe80::fe", "fd00:a::1", "fd00:50::1", "fd00:a::3"}},
		{name: "IPv6, in a frame to all", form: good6, change: func(f []byte) { copy(f, vswitch.Broadcast[:]) }},
		{name: "IPv6, of a code", form: good6, change: func(f []byte) { f[55] = 1 }},
		{name: "IPv6, with a wrong checksum", form: good6, spoil: func(f []byte) { f[56] ^= 1 }},
		{name: "IPv6, with an option of no length", form: good6, change: func(f []byte) { f[95] = 0 }},
		{name: "IPv6, with an option that is too long", form: good6, change: func(f []byte) { f[95] = 200 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newWayNet(t, false, true, cmp.Or(c.gateway6, "fe80::fe"))
			var frame []byte
			if netip.MustParseAddr(c.form.from).Is4() {
				frame = redirect4(n.probe.MAC(), n.client.Port().MAC(), c.form.from, c.form.self, c.form.to, c.form.via)
			} else {
				about := frame6(n.gateway, n.client.Port().MAC(), c.form.self, c.form.to, 64, 17, make([]byte, 24))
				frame = redirect6(n.probe.MAC(), n.client.Port().MAC(), c.form.from, about, c.form.via, nil)
			}
			if c.change != nil {
				c.change(frame)
			}
			summed(frame)
			if c.spoil != nil {
				c.spoil(frame)
			}
			server := "10.50.0.1"
			if frame[12] == 0x86 {
				server = "fd00:50::1"
			}
			var before vswitch.MAC
			told := 0 // frames that were seen before it was
			err := n.w.Run(context.Background(), func(ctx context.Context) error {
				conn, err := n.client.DialContext(ctx, "tcp", netip.AddrPortFrom(netip.MustParseAddr(server), 7).String())
				if err != nil {
					return err
				}
				defer conn.Close()
				if err := echoed(conn, []byte("before")); err != nil {
					return err
				}
				before = n.way(server)
				if c.after != "" {
					vain := redirect4(n.probe.MAC(), n.client.Port().MAC(), c.form.from, c.form.self, c.form.to, c.after)
					if err := errors.Join(n.probe.WriteFrame(summed(vain)), n.client.Sleep(5*time.Second)); err != nil {
						return err
					}
				}
				told = len(n.seen)
				if err := n.probe.WriteFrame(frame); err != nil {
					return err
				}
				if err := n.client.Sleep(max(c.wait, 5*time.Second)); err != nil {
					return err
				}
				return echoed(conn, []byte("afterwards"))
			})
			if err != nil {
				t.Fatal(err)
			}
			if after := n.way(server); before != n.gateway || (after == n.better) != c.want || !c.want && after != n.gateway {
				t.Errorf("it went to %v, then to %v; the gateway is %v, the better one %v", before, after, n.gateway, n.better)
			}
			via, mac := netip.MustParseAddr(c.form.via).AsSlice(), n.client.Port().MAC()
			asked := slices.ContainsFunc(n.seen[told:], func(f seenFrame) bool { // ARP, or a neighbour solicitation
				return bytes.Equal(f.data[6:12], mac[:]) && (f.data[13] == 0x06 && bytes.Equal(f.data[38:42], via) || f.data[20] == 58 && f.data[54] == 135 && bytes.Equal(f.data[62:78], via))
			})
			if heeded := c.want || c.wait > 0 || c.form.via == nobody || c.form.to != server; asked != heeded {
				t.Errorf("it asked for the better router's Ethernet address: %v, want %v", asked, heeded)
			}
		})
	}
}

// A host that knows no network but itself sends to its gateway what is for its neighbours,
// and is told over IPv6 that they are; here by the address that the router made for itself.
func TestHostsFollowRedirectsToNeighbours(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{Seed: 1})
	defer w.Close()
	n := &wayNet{w: w}
	lan, err := w.NewSwitch(vswitch.SwitchConfig{Recorder: watcher{&twoLANs{w: w}, &n.seen}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vnetif.NewRouter(vnetif.RouterConfig{Name: "gateway", Interfaces: []vnetif.Interface{
		{Switch: lan, Addrs: prefixes("fd00:a::fe/64"), Port: vswitch.PortConfig{MAC: vswitch.MAC{2, 0, 0, 0, 0, 0xfe}}},
	}}); err != nil {
		t.Fatal(err)
	}
	n.client, err = vnetif.NewHost(lan, vnetif.HostConfig{Name: "client", Addrs: prefixes("fd00:a::1/128"), Gateways: []netip.Addr{netip.MustParseAddr("fe80::ff:fe00:fe")}})
	if err != nil {
		t.Fatal(err)
	}
	server, err := vnetif.NewHost(lan, vnetif.HostConfig{Name: "server", Addrs: prefixes("fd00:a::7/64")})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(context.Background(), func(context.Context) error { return transfer(n.client, server, "[fd00:a::7]:7", 10_000) }); err != nil {
		t.Fatal(err)
	}
	if got := n.way("fd00:a::7"); got != server.Port().MAC() {
		t.Errorf("the last packet went to %v, want %v", got, server.Port().MAC())
	}
}
