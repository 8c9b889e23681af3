package vnetif_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// frame6 is a frame with an IPv6 packet; next is its first header's number and payload that
// and all that follows.
func frame6(dst, src vswitch.MAC, from, to string, hops, next uint8, payload []byte) []byte {
	a, b := netip.MustParseAddr(from).As16(), netip.MustParseAddr(to).As16()
	ip := []byte{0x60, 0, 0, 0, 0, 0, next, hops}
	binary.BigEndian.PutUint16(ip[4:], uint16(len(payload)))
	return slices.Concat(dst[:], src[:], []byte{0x86, 0xdd}, ip, a[:], b[:], payload)
}

// redirect6 is a redirect as RFC 4861, section 4.5, has it, without its checksum.
func redirect6(mac, to vswitch.MAC, from string, about []byte, target string, targetMAC *vswitch.MAC) []byte {
	t := netip.MustParseAddr(target).As16()
	packet := about[14:]
	options := []byte(nil)
	if targetMAC != nil {
		options = append([]byte{2, 1}, targetMAC[:]...)
	}
	room := 1280 - 40 - 40 - len(options) - 8
	quoted := packet[:min(len(packet)/8*8, room/8*8)]
	options = append(options, 4, byte(len(quoted)/8+1), 0, 0, 0, 0, 0, 0)
	icmp := slices.Concat([]byte{137, 0, 0, 0, 0, 0, 0, 0}, t[:], packet[24:40], options, quoted)
	return frame6(to, mac, from, netip.AddrFrom16([16]byte(packet[8:24])).String(), 255, 58, icmp)
}

// Over IPv6 a router tells a neighbour of the better way from its link-local address, and
// says what it knows of it.
func TestRouterRedirectsIPv6(t *testing.T) {
	const (
		source = "fd00:a::9"
		beyond = "fd00:50::1" // via fe80::77
		udp    = 17
		icmp   = 58
	)
	udpTo := make([]byte, 24)
	copy(udpTo, []byte{0, 5, 0, 9, 0, 24})
	for _, c := range []struct {
		name    string
		addrs   []string // the router's on the lan
		from    string
		to      string
		hops    uint8
		next    uint8
		payload []byte
		sent    int // probes, 80 ms apart

		source string   // of the redirects
		target []string // of each
		alone  bool     // nothing is forwarded
	}{
		{name: "to a router of the same network", to: beyond, target: []string{"fe80::77"}},
		{name: "again, when it knows more", to: beyond, sent: 3, target: []string{"fe80::77", "fe80::77", "fe80::77"}},
		{name: "to a host of the same network", to: "fd00:a::77", target: []string{"fd00:a::77"}},
		{
			name: "from an address made of the port's", addrs: []string{"fd00:a::fe/64"}, to: "fd00:a::77",
			source: "fe80::ff:fe00:fe", target: []string{"fd00:a::77"},
		},
		{name: "of a long packet", to: beyond, payload: make([]byte, 1400), target: []string{"fe80::77"}},
		{name: "of a packet of odd length", to: beyond, payload: make([]byte, 101), target: []string{"fe80::77"}},
		{name: "to a router that has no link-local address here", to: "fd00:60::1"},
		{name: "out of another interface", to: "fd00:b::1"},
		{name: "of a source on another network", from: "fd00:7::1", to: beyond},
		{name: "of a link-local source", from: "fe80::9", to: beyond, alone: true},
		{name: "to a link-local address", to: "fe80::77", alone: true},
		{name: "to the router itself", to: "fd00:a::fe", alone: true},
		{name: "the last hop", to: beyond, hops: 1, alone: true},
		{name: "an ICMP error", to: beyond, next: icmp, payload: append([]byte{1, 0}, make([]byte, 60)...)},
		{name: "a redirect", to: beyond, next: icmp, payload: append([]byte{137, 0}, make([]byte, 60)...)},
		{name: "an echo request", to: beyond, next: icmp, payload: append([]byte{128, 0}, make([]byte, 60)...), target: []string{"fe80::77"}},
		{name: "a first fragment", to: beyond, next: 44, payload: append([]byte{udp, 0, 0, 1, 0, 0, 0, 1}, udpTo...), target: []string{"fe80::77"}},
		{name: "a later fragment", to: beyond, next: 44, payload: append([]byte{udp, 0, 0, 9, 0, 0, 0, 1}, udpTo...)},
		{name: "with options for its destination", to: beyond, next: 60, payload: append([]byte{udp, 0, 1, 4, 0, 0, 0, 0}, udpTo...), target: []string{"fe80::77"}},
		{name: "which says its way itself", to: beyond, next: 43, payload: append([]byte{udp, 0, 0, 0, 0, 0, 0, 0}, udpTo...)},
	} {
		kinds := []bool{false, true}
		if c.sent > 1 { // when the next one may be sent is the machine's time, in real time
			kinds = kinds[:1]
		}
		for _, real := range kinds {
			t.Run(fmt.Sprintf("%s/real=%v", c.name, real), func(t *testing.T) {
				if c.addrs == nil {
					c.addrs, c.source = []string{"fd00:a::fe/64", "fe80::fe/64"}, "fe80::fe"
				}
				n := bareLANs(t, real)
				w, lan, wan := n.w, n.lan, n.wan
				routes := []vnetif.Route{
					{To: netip.MustParsePrefix("fd00:60::/32"), Via: netip.MustParseAddr("fd00:a::77")},
					{To: netip.MustParsePrefix("fd00:7::/32"), Via: netip.MustParseAddr("fd00:b::1")},
				}
				if len(c.addrs) > 1 {
					routes = append(routes, vnetif.Route{To: netip.MustParsePrefix("fd00:50::/32"), Via: netip.MustParseAddr("fe80::77")})
				}
				router, err := vnetif.NewRouter(vnetif.RouterConfig{
					Name: "router",
					Interfaces: []vnetif.Interface{
						{Switch: lan, Addrs: prefixes(c.addrs...), Port: vswitch.PortConfig{MAC: vswitch.MAC{2, 0, 0, 0, 0, 0xfe}}},
						{Switch: wan, Addrs: prefixes("fd00:b::fe/64")},
					},
					Routes: routes,
				})
				if err != nil {
					t.Fatal(err)
				}
				hop, err := vnetif.NewHost(lan, vnetif.HostConfig{Name: "hop", Addrs: prefixes("fd00:a::77/64", "fe80::77/64")})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := vnetif.NewHost(wan, vnetif.HostConfig{Name: "far", Addrs: prefixes("fd00:b::1/64")}); err != nil {
					t.Fatal(err)
				}
				probe, err := vnetif.NewRaw(lan, vnetif.RawConfig{Port: vswitch.PortConfig{Name: "probe"}})
				if err != nil {
					t.Fatal(err)
				}
				probe.SetListen(func(f []byte) { answerFor9(probe, f) })
				from, hops, next, payload := source, uint8(9), uint8(udp), udpTo
				if c.from != "" {
					from = c.from
				}
				if c.hops > 0 {
					hops = c.hops
				}
				if c.next > 0 {
					next = c.next
				}
				if c.payload != nil {
					payload = c.payload
				}
				frame := frame6(router.Ports()[0].MAC(), probe.MAC(), from, c.to, hops, next, payload)
				err = w.Run(context.Background(), func(context.Context) error {
					for range max(c.sent, 1) {
						if err := probe.WriteFrame(frame); err != nil {
							return err
						}
						if err := router.Sleep(80 * time.Millisecond); err != nil {
							return err
						}
					}
					return router.Sleep(100 * time.Millisecond)
				})
				if err != nil {
					t.Fatal(err)
				}
				var redirects [][]byte
				forwarded := 0
				for _, f := range append(n.seen[0], n.seen[1]...) {
					switch {
					case f.data[12] != 0x86 || bytes.Equal(f.data, frame):
					case f.data[21] == 8 && bytes.Equal(f.data[54:], payload):
						forwarded++
					case f.data[20] == icmp && f.data[54] == 137:
						redirects = append(redirects, f.data)
					}
				}
				want := max(c.sent, 1)
				if c.alone {
					want = 0
				}
				if forwarded != want || len(redirects) != len(c.target) {
					t.Fatalf("%d packets forwarded and %d redirects, want %d and %d", forwarded, len(redirects), want, len(c.target))
				}
				for i, got := range redirects {
					ip := header.IPv6(got[14:])
					if len(ip) > 1280 {
						t.Errorf("a packet of %d bytes", len(ip))
					}
					pseudo := header.PseudoHeaderChecksum(icmp, ip.SourceAddress(), ip.DestinationAddress(), ip.PayloadLength())
					if checksum.Checksum(ip.Payload(), pseudo) != 0xffff {
						t.Error("the checksum is wrong")
					}
					got[14+40+2], got[14+40+3] = 0, 0
					var mac *vswitch.MAC
					if i > 0 { // by now the router has asked for it
						known := hop.Port().MAC()
						mac = &known
					}
					if want := redirect6(router.Ports()[0].MAC(), probe.MAC(), c.source, frame, c.target[i], mac); !bytes.Equal(got, want) {
						t.Errorf("redirect %d:\n%x, want\n%x", i+1, got, want)
					}
				}
			})
		}
	}
}

// A redirect goes to the host that sent the packet, also when another router brought it.
func TestRedirectsGoToTheHost(t *testing.T) {
	for _, real := range []bool{false, true} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("real=%v/v6=%v", real, v6), func(t *testing.T) {
				skipRacyRouter(t, real)
				n := bareLANs(t, real)
				router, err := vnetif.NewRouter(vnetif.RouterConfig{
					Name:       "router",
					Interfaces: []vnetif.Interface{{Switch: n.lan, Addrs: prefixes("10.0.0.254/24", "fd00:a::fe/64", "fe80::fe/64")}},
					Routes: []vnetif.Route{
						{To: netip.MustParsePrefix("10.50.0.0/16"), Via: netip.MustParseAddr("10.0.0.77")},
						{To: netip.MustParsePrefix("fd00:50::/32"), Via: netip.MustParseAddr("fe80::77")},
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				raw := map[string]*vnetif.Raw{}
				for _, name := range []string{"host", "bringer"} {
					if raw[name], err = vnetif.NewRaw(n.lan, vnetif.RawConfig{Port: vswitch.PortConfig{Name: name}}); err != nil {
						t.Fatal(err)
					}
				}
				raw["host"].SetListen(func(f []byte) { answerFor9(raw["host"], f) })
				bringer := raw["bringer"]
				frame := udpProbe(router.Ports()[0].MAC(), bringer.MAC(), "10.0.0.9", "10.50.0.1", 9, false, 20)
				kind := []byte{1, 5}
				if v6 {
					frame = frame6(router.Ports()[0].MAC(), bringer.MAC(), "fd00:a::9", "fd00:50::1", 9, 17, make([]byte, 24))
					kind = []byte{58, 137}
				}
				err = n.w.Run(context.Background(), func(context.Context) error {
					if err := bringer.WriteFrame(frame); err != nil {
						return err
					}
					return router.Sleep(200 * time.Millisecond)
				})
				if err != nil {
					t.Fatal(err)
				}
				var to []vswitch.MAC
				for _, f := range n.seen[0] {
					if f.data[12] == 0x08 && f.data[13] == 0 && bytes.Equal([]byte{f.data[23], f.data[34]}, kind) ||
						f.data[12] == 0x86 && bytes.Equal([]byte{f.data[20], f.data[54]}, kind) {
						to = append(to, vswitch.MAC(f.data[:6]))
					}
				}
				if want := raw["host"].MAC(); len(to) != 1 || to[0] != want {
					t.Errorf("redirects to %v, want one to %v", to, want)
				}
			})
		}
	}
}
