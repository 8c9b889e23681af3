package vnetif_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// narrowLine is client - router - line - router - server, each dash a switch; the line has
// an MTU of its own that neither of the ends knows of.
type narrowLine struct {
	w              *vswitch.World
	client, server *vnetif.Host
	seen           [3][]seenFrame // on the client's switch, the line, and the server's
}

func newNarrowLine(t *testing.T, real, v6 bool, mtu int) *narrowLine {
	t.Helper()
	w := vswitch.NewWorld(vswitch.Config{Seed: 5, RealTime: real, WallLimit: time.Minute})
	t.Cleanup(func() { w.Close() })
	n := &narrowLine{w: w}
	var sw [3]*vswitch.Switch
	for i := range sw {
		var err error
		if sw[i], err = w.NewSwitch(vswitch.SwitchConfig{Name: fmt.Sprint("s", i), Recorder: watcher{&twoLANs{w: w}, &n.seen[i]}}); err != nil {
			t.Fatal(err)
		}
	}
	// addr is host h of network net.
	addr := func(net, h int) netip.Addr {
		if v6 {
			return netip.MustParseAddr(fmt.Sprintf("fd00:%d::%d", net, h))
		}
		return netip.MustParseAddr(fmt.Sprintf("10.%d.0.%d", net, h))
	}
	bits := map[bool]int{true: 64, false: 24}[v6]
	on := func(net, h int) []netip.Prefix { return []netip.Prefix{netip.PrefixFrom(addr(net, h), bits)} }
	everywhere := netip.PrefixFrom(map[bool]netip.Addr{true: netip.IPv6Unspecified(), false: netip.IPv4Unspecified()}[v6], 0)
	host := func(i int) *vnetif.Host {
		h, err := vnetif.NewHost(sw[i], vnetif.HostConfig{Name: fmt.Sprint("h", i), Addrs: on(i, 1), Gateways: []netip.Addr{addr(i, 9)}})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	n.client, n.server = host(0), host(2)
	for _, far := range []int{0, 2} {
		line := far/2 + 1 // the router's number on the line
		_, err := vnetif.NewRouter(vnetif.RouterConfig{
			Name: fmt.Sprint("r", far),
			Interfaces: []vnetif.Interface{
				{Switch: sw[far], Addrs: on(far, 9)},
				{Switch: sw[1], Addrs: on(1, line), Port: vswitch.PortConfig{MTU: mtu}},
			},
			Routes: []vnetif.Route{{To: everywhere, Via: addr(1, 3-line)}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// The ends learn from the routers that a line between them is narrow, and only at the
// beginning.
func TestPathMTUThroughANarrowLine(t *testing.T) {
	const narrow = 1300
	for _, real := range []bool{false, true} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("real=%v/v6=%v", real, v6), func(t *testing.T) {
				skipRacyRouter(t, real)
				n := newNarrowLine(t, real, v6, narrow)
				const size = 300_000
				err := n.w.Run(context.Background(), func(context.Context) error {
					to := func(h *vnetif.Host, port uint16) string {
						return netip.AddrPortFrom(h.Addrs()[0].Addr(), port).String()
					}
					return errors.Join(transfer(n.client, n.server, to(n.server, 80), size), transfer(n.server, n.client, to(n.client, 81), size))
				})
				if err != nil {
					t.Fatal(err)
				}
				// Segments as long as the line takes, an ACK for each, and what it takes to begin.
				if most := 2*2*size/(narrow-100) + 100; len(n.seen[1]) > most {
					t.Errorf("%d frames on the line, want at most %d", len(n.seen[1]), most)
				}
				for _, end := range []int{0, 2} {
					told := 0
					for _, f := range n.seen[end] {
						if mtu, ok := tooBig(f.data); ok {
							told++
							if mtu != narrow {
								t.Fatalf("the router names an MTU of %d: %x", mtu, f.data)
							}
						}
					}
					if told == 0 {
						t.Errorf("nobody told host %d of the MTU", end)
					}
				}
			})
		}
	}
}

// A datagram that was sent in fragments is cut further where these are too long, and arrives.
func TestRouterFragmentsFragments(t *testing.T) {
	for _, mtu := range []int{1300, 576, 68} {
		for _, real := range []bool{false, true} {
			t.Run(fmt.Sprintf("mtu=%d/real=%v", mtu, real), func(t *testing.T) {
				skipRacyRouter(t, real)
				n := newNarrowLine(t, real, false, mtu)
				echo, err := n.server.ListenPacket("udp", ":7")
				if err != nil {
					t.Fatal(err)
				}
				n.w.Background("echo", func(context.Context) error {
					b := make([]byte, 1<<16)
					for {
						k, from, err := echo.ReadFrom(b)
						if err != nil {
							return err
						}
						if _, err := echo.WriteTo(b[:k], from); err != nil {
							return err
						}
					}
				})
				err = n.w.Run(context.Background(), func(context.Context) error {
					c, err := n.client.Dial("udp", "10.2.0.1:7")
					if err != nil {
						return err
					}
					defer c.Close()
					for _, size := range []int{100, 1400, 1472, 1473, 4000, 9001} {
						sent := make([]byte, size)
						for i := range sent {
							sent[i] = byte(i * 7 / 3)
						}
						if _, err := c.Write(sent); err != nil {
							return err
						}
						if err := c.SetReadDeadline(n.client.Now().Add(5 * time.Second)); err != nil {
							return err
						}
						got := make([]byte, 1<<16)
						k, err := c.Read(got)
						if err != nil {
							return fmt.Errorf("%d bytes: %w", size, err)
						}
						if !bytes.Equal(got[:k], sent) {
							return fmt.Errorf("%d bytes came back as %d others", size, k)
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range n.seen[1] {
					if len(f.data) > 14+mtu {
						t.Fatalf("a frame of %d bytes on the line", len(f.data))
					}
				}
			})
		}
	}
}

// tooBig returns the MTU in a frame with ICMP's "fragmentation needed" (RFC 1191) or ICMPv6's
// "packet too big" (RFC 4443), whose checksum it checks.
func tooBig(frame []byte) (mtu uint32, ok bool) {
	p := frame[14:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		ip := header.IPv4(p)
		icmp := header.ICMPv4(ip.Payload())
		if ip.TransportProtocol() != header.ICMPv4ProtocolNumber || icmp.Type() != header.ICMPv4DstUnreachable || icmp.Code() != header.ICMPv4FragmentationNeeded {
			return 0, false
		}
		if checksum.Checksum(icmp, 0) != 0xffff {
			return 0, true
		}
		return uint32(icmp.MTU()), true
	case 0x86dd:
		ip := header.IPv6(p)
		icmp := header.ICMPv6(ip.Payload())
		if tcpip.TransportProtocolNumber(ip.NextHeader()) != header.ICMPv6ProtocolNumber || icmp.Type() != header.ICMPv6PacketTooBig {
			return 0, false
		}
		pseudo := header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(icmp)))
		if checksum.Checksum(icmp, pseudo) != 0xffff {
			return 0, true
		}
		return icmp.MTU(), true
	}
	return 0, false
}
