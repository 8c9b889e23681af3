package vnetif_test

import (
	"bytes"
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

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// twoLANs is client - lan - router - wan - server.
type twoLANs struct {
	w                      *vswitch.World
	lan, wan               *vswitch.Switch
	client, server, router *vnetif.Host
	seen                   [2][]seenFrame // on lan and wan
}

// seenFrame is a frame as a recorder is told of it.
type seenFrame struct {
	seq  uint64
	at   time.Duration
	data []byte
}

type watcher struct {
	n    *twoLANs
	seen *[]seenFrame
}

func (r watcher) Record(e vswitch.Event) error {
	if s, ok := e.(*vswitch.Sent); ok {
		*r.seen = append(*r.seen, seenFrame{s.Seq, s.At.Sub(r.n.w.Start()), bytes.Clone(s.Data)})
	}
	return nil
}
func (watcher) Close() error { return nil }

// skipRacyRouter skips what routes IPv4 on several goroutines where the race detector looks:
// gVisor's forwarding reads a header's TTL after it has given the header's memory back to a
// pool (ipv4.go, forwardPacketWithRoute, as of 20260905035102).
func skipRacyRouter(t *testing.T, real bool) {
	t.Helper()
	if real && raceEnabled {
		t.Skip("gVisor's forwarding of IPv4 has a data race")
	}
}

// bareLANs is only the two switches, and what is seen on them.
func bareLANs(t testing.TB, real bool) *twoLANs {
	t.Helper()
	n := &twoLANs{w: vswitch.NewWorld(vswitch.Config{Seed: 3, RealTime: real, WallLimit: time.Minute})}
	t.Cleanup(func() {
		if err := n.w.Close(); err != nil {
			t.Error(err)
		}
	})
	for i, sw := range []**vswitch.Switch{&n.lan, &n.wan} {
		var err error
		*sw, err = n.w.NewSwitch(vswitch.SwitchConfig{Name: []string{"lan", "wan"}[i], Recorder: watcher{n, &n.seen[i]}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// newTwoLANs makes all of it; the wan has its own MTU.
func newTwoLANs(t testing.TB, real bool, wanMTU int) *twoLANs {
	t.Helper()
	n := bareLANs(t, real)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	n.client, err = vnetif.NewHost(n.lan, vnetif.HostConfig{
		Name: "client", Addrs: prefixes("10.0.0.1/24", "fd00:a::1/64"),
		Gateways: []netip.Addr{netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr("fd00:a::fe")},
	})
	check(err)
	n.server, err = vnetif.NewHost(n.wan, vnetif.HostConfig{
		Name: "server", Addrs: prefixes("10.9.0.1/24", "fd00:b::1/64"), Port: vswitch.PortConfig{MTU: wanMTU},
		Gateways: []netip.Addr{netip.MustParseAddr("10.9.0.254"), netip.MustParseAddr("fd00:b::fe")},
	})
	check(err)
	n.router, err = vnetif.NewRouter(vnetif.RouterConfig{
		Name: "router",
		Interfaces: []vnetif.Interface{
			{Switch: n.lan, Addrs: prefixes("10.0.0.254/24", "fd00:a::fe/64")},
			{Switch: n.wan, Addrs: prefixes("10.9.0.254/24", "fd00:b::fe/64"), Port: vswitch.PortConfig{MTU: wanMTU}},
		},
		Routes: []vnetif.Route{{To: netip.MustParsePrefix("10.50.0.0/16"), Via: netip.MustParseAddr("10.9.0.77")}},
	})
	check(err)
	return n
}

func TestRouterForwardsBetweenSwitches(t *testing.T) {
	for _, real := range []bool{false, true} {
		for _, mtu := range []int{1500, 1300} {
			for _, addr := range []string{"10.9.0.1:80", "[fd00:b::1]:80"} {
				t.Run(fmt.Sprintf("real=%v/mtu=%d/%s", real, mtu, addr), func(t *testing.T) {
					skipRacyRouter(t, real)
					n := newTwoLANs(t, real, mtu)
					if err := n.w.Run(context.Background(), func(context.Context) error { return transfer(n.client, n.server, addr, 300_000) }); err != nil {
						t.Fatal(err)
					}
					last := uint64(0)
					numbers := map[uint64]bool{}
					for i, seen := range n.seen {
						if len(seen) < 100 {
							t.Fatalf("switch %d saw %d frames", i, len(seen))
						}
						last = 0
						for _, f := range seen {
							if f.seq <= last || numbers[f.seq] {
								t.Fatalf("switch %d: frame number %d after %d", i, f.seq, last)
							}
							last = f.seq
							numbers[f.seq] = true
							if i == 1 && len(f.data) > mtu+14 {
								t.Fatalf("a frame of %d bytes on the wan", len(f.data))
							}
						}
					}
				})
			}
		}
	}
}

// transfer sends n bytes from a to b at addr.
func transfer(a, b *vnetif.Host, addr string, n int) error {
	l, err := b.Listen("tcp", addr[strings.LastIndex(addr, ":"):])
	if err != nil {
		return err
	}
	got := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- err
			return
		}
		k, err := io.Copy(io.Discard, c)
		if err == nil && int(k) != n {
			err = fmt.Errorf("%d bytes arrived, want %d", k, n)
		}
		c.Close()
		got <- err
	}()
	c, err := a.Dial("tcp", addr)
	if err != nil {
		return err
	}
	if _, err := c.Write(make([]byte, n)); err != nil {
		return err
	}
	if err := c.Close(); err != nil {
		return err
	}
	// Received on the world's clock: the goroutine's end is the connection's.
	for range 1000 {
		select {
		case err := <-got:
			return errors.Join(err, l.Close())
		default:
			if err := a.Sleep(10 * time.Millisecond); err != nil {
				return err
			}
		}
	}
	return errors.New("nothing arrived")
}

func TestRouterSameBytesEveryRun(t *testing.T) {
	var runs [2][2][]seenFrame
	for i := range runs {
		n := newTwoLANs(t, false, 1300)
		if err := n.w.Run(context.Background(), func(context.Context) error { return transfer(n.client, n.server, "10.9.0.1:80", 100_000) }); err != nil {
			t.Fatal(err)
		}
		runs[i] = n.seen
	}
	if fmt.Sprint(runs[0]) != fmt.Sprint(runs[1]) {
		t.Error("two runs differ")
	}
}

// udpProbe is an IPv4 packet with UDP to port 9 in an Ethernet frame.
func udpProbe(dst, src vswitch.MAC, from, to string, ttl uint8, df bool, size int) []byte {
	b := make([]byte, 14+28+size)
	copy(b, dst[:])
	copy(b[6:], src[:])
	b[12] = 8
	ip := header.IPv4(b[14:])
	f := header.IPv4Fields{TotalLength: uint16(28 + size), ID: 77, TTL: ttl, Protocol: 17, SrcAddr: addrOf(from), DstAddr: addrOf(to)}
	if df {
		f.Flags = header.IPv4FlagDontFragment
	}
	ip.Encode(&f)
	ip.SetChecksum(^ip.CalculateChecksum())
	udp := header.UDP(b[34:])
	udp.Encode(&header.UDPFields{SrcPort: 5, DstPort: 9, Length: uint16(8 + size)})
	udp.SetChecksum(^checksum.Checksum(udp, header.PseudoHeaderChecksum(17, addrOf(from), addrOf(to), uint16(len(udp)))))
	return b
}

// What cannot be forwarded is answered by the message that the standards ask for.
func TestRouterAnswersWhatItCannotForward(t *testing.T) {
	for _, c := range []struct {
		name       string
		to         string
		ttl        uint8
		df         bool
		size       int
		typ, code  uint8
		mtu        uint16
		atServer   int // frames with IPv4 on the wan
		afterwards time.Duration
	}{
		{name: "TTL expired", to: "10.9.0.1", ttl: 1, typ: 11, code: 0},
		{name: "no route", to: "192.0.2.1", ttl: 9, typ: 3, code: 0},
		{name: "nobody there", to: "10.9.0.88", ttl: 9, typ: 3, code: 1, afterwards: 10 * time.Second},
		{name: "too big, not to be fragmented", to: "10.9.0.1", ttl: 9, df: true, size: 1400, typ: 3, code: 4, mtu: 1300},
		{name: "too big, fragmented", to: "10.9.0.1", ttl: 9, size: 1400, atServer: 2, typ: 3, code: 3}, // the server has no such port
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newTwoLANs(t, false, 1300)
			raw, err := vnetif.NewRaw(n.lan, vnetif.RawConfig{Port: vswitch.PortConfig{Name: "probe"}})
			if err != nil {
				t.Fatal(err)
			}
			var answers [][]byte
			raw.SetListen(func(f []byte) {
				answerFor9(raw, f)
				if f[12] == 8 && f[13] == 0 && f[23] == 1 {
					answers = append(answers, bytes.Clone(f))
				}
			})
			router := n.router.Ports()[0].MAC()
			err = n.w.Run(context.Background(), func(context.Context) error {
				if err := raw.WriteFrame(udpProbe(router, raw.MAC(), "10.0.0.9", c.to, c.ttl, c.df, c.size)); err != nil {
					return err
				}
				return n.client.Sleep(c.afterwards + time.Second)
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(answers) != 1 {
				t.Fatalf("%d ICMP messages", len(answers))
			}
			icmp := header.ICMPv4(answers[0][34:])
			if uint8(icmp.Type()) != c.typ || uint8(icmp.Code()) != c.code || icmp.MTU() != c.mtu {
				t.Errorf("type %d code %d mtu %d", icmp.Type(), icmp.Code(), icmp.MTU())
			}
			atServer := 0
			for _, f := range n.seen[1] {
				if ip := header.IPv4(f.data[14:]); f.data[12] == 8 && f.data[13] == 0 && ip.Protocol() == 17 {
					atServer++
					if ip.TTL() != c.ttl-1 {
						t.Errorf("TTL %d on the wan", ip.TTL())
					}
				}
			}
			if atServer != c.atServer {
				t.Errorf("%d of its packets on the wan, want %d", atServer, c.atServer)
			}
			dropped := uint64(1)
			if c.atServer > 0 {
				dropped = 0
			}
			if got := n.router.Stats().NotForwarded; got != dropped {
				t.Errorf("%d packets were not forwarded, want %d", got, dropped)
			}
		})
	}
}

func TestRouterUnreachableIsTheDialersError(t *testing.T) {
	n := newTwoLANs(t, false, 1500)
	err := n.w.Run(context.Background(), func(context.Context) error {
		_, err := n.client.Dial("tcp", "192.0.2.1:80")
		return err
	})
	if !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("Dial: %v", err)
	}
}

func TestRouterConfigIsChecked(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	other := vswitch.NewWorld(vswitch.Config{})
	defer other.Close()
	sw2, err := other.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	lan := vnetif.Interface{Switch: sw, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.254/24")}}
	local := func(addr string) vnetif.Interface {
		return vnetif.Interface{Switch: sw, Addrs: []netip.Prefix{netip.MustParsePrefix(addr)}}
	}
	for want, cfg := range map[string]vnetif.RouterConfig{
		"fe80::7 is on networks of several": {Interfaces: []vnetif.Interface{local("fe80::1/64"), local("fe80::2/64")}, Routes: []vnetif.Route{{To: netip.MustParsePrefix("fd00::/32"), Via: netip.MustParseAddr("fe80::7")}}},
		"no interfaces":                     {},
		"route 2: there is another one to 10.1.0.0/16": {Interfaces: []vnetif.Interface{lan}, Routes: []vnetif.Route{
			{To: netip.MustParsePrefix("10.1.0.0/16"), Via: netip.MustParseAddr("10.0.0.1")}, {To: netip.MustParsePrefix("10.1.2.3/16"), Via: netip.MustParseAddr("10.0.0.2")},
		}},
		"route 1: 10.0.0.0/24 is the network of": {Interfaces: []vnetif.Interface{lan}, Routes: []vnetif.Route{{To: netip.MustParsePrefix("10.0.0.0/24"), Via: netip.MustParseAddr("10.0.0.1")}}},
		"interface 1: no switch":                 {Interfaces: []vnetif.Interface{{}}},
		"interface 2: switch switch0 is in anot": {Interfaces: []vnetif.Interface{lan, {Switch: sw2}}},
		"interface 2: address 10.0.0.254/24 is":  {Interfaces: []vnetif.Interface{lan, lan}},
		"route 1 (10.1.0.0/16 via invalid IP)":   {Interfaces: []vnetif.Interface{lan}, Routes: []vnetif.Route{{To: netip.MustParsePrefix("10.1.0.0/16")}}},
		"next hop 10.9.0.1":                      {Interfaces: []vnetif.Interface{lan}, Routes: []vnetif.Route{{To: netip.MustParsePrefix("10.1.0.0/16"), Via: netip.MustParseAddr("10.9.0.1")}}},
		"of different families":                  {Interfaces: []vnetif.Interface{lan}, Routes: []vnetif.Route{{To: netip.MustParsePrefix("10.1.0.0/16"), Via: netip.MustParseAddr("fd00::1")}}},
	} {
		cfg.Name = "r"
		if _, err := vnetif.NewRouter(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

func addrOf(s string) tcpip.Address { return tcpip.AddrFromSlice(netip.MustParseAddr(s).AsSlice()) }

// A corrupted datagram is forwarded as corrupted as it came, and what the router itself
// says has its checksums.
func TestRouterKeepsAndMakesChecksums(t *testing.T) {
	for _, real := range []bool{false, true} {
		if real && raceEnabled {
			continue // see skipRacyRouter
		}
		n := newTwoLANs(t, real, 1500)
		raw, err := vnetif.NewRaw(n.lan, vnetif.RawConfig{Port: vswitch.PortConfig{Name: "probe"}})
		if err != nil {
			t.Fatal(err)
		}
		bad := udpProbe(n.router.Ports()[0].MAC(), raw.MAC(), "10.0.0.9", "10.9.0.1", 9, false, 100)
		bad[len(bad)-1] ^= 1
		err = n.w.Run(context.Background(), func(context.Context) error {
			if err := raw.WriteFrame(bad); err != nil {
				return err
			}
			pc, err := n.router.ListenPacket("udp4", "10.9.0.254:5")
			if err != nil {
				return err
			}
			if _, err := pc.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.IPv4(10, 9, 0, 1), Port: 99}); err != nil {
				return err
			}
			if err := n.client.Sleep(50 * time.Millisecond); err != nil {
				return err
			}
			return transfer(n.router, n.server, "10.9.0.1:81", 50_000)
		})
		if err != nil {
			t.Fatal(err)
		}
		var good, wrong int
		for _, f := range n.seen[1] {
			if f.data[12] != 8 || f.data[13] != 0 {
				continue
			}
			ip := header.IPv4(f.data[14:])
			if ip.Protocol() == 1 || !ip.IsChecksumValid() {
				continue
			}
			sum := header.PseudoHeaderChecksum(ip.TransportProtocol(), ip.SourceAddress(), ip.DestinationAddress(), uint16(len(ip.Payload())))
			switch {
			case checksum.Checksum(ip.Payload(), sum) == 0xffff:
				good++
			case ip.SourceAddress() == addrOf("10.0.0.9"):
				wrong++
			default:
				t.Errorf("frame %d: bad checksum", f.seq)
			}
		}
		if good < 30 || wrong != 1 {
			t.Errorf("real=%v: %d good and %d corrupted packets on the wan", real, good, wrong)
		}
	}
}

// Datagrams of a router's own that are cut into fragments have a checksum, too; over IPv6
// nobody would take one without.
func TestRouterFragmentsHaveChecksums(t *testing.T) {
	for _, real := range []bool{false, true} {
		for _, to := range []string{"10.9.0.1", "fd00:b::1"} {
			t.Run(fmt.Sprintf("real=%v/%s", real, to), func(t *testing.T) {
				n := newTwoLANs(t, real, 1500)
				sent := bytes.Repeat([]byte("0123456789"), 400)
				err := n.w.Run(context.Background(), func(context.Context) error {
					for range 3 {
						if err := datagram(n.router, n.server, to, sent, 5*time.Second); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				firsts := 0
				for _, f := range n.seen[1] {
					at, first := 34, f.data[12] == 0x08 && f.data[13] == 0 && f.data[20]&0x20 != 0 && f.data[20]&0x1f == 0 && f.data[21] == 0
					if f.data[12] == 0x86 {
						at, first = 62, f.data[20] == 44 && f.data[56] == 0 && f.data[57]&0xf8 == 0
					}
					if first {
						firsts++
						if header.UDP(f.data[at:]).Checksum() == 0 {
							t.Errorf("frame %d: no checksum", f.seq)
						}
					}
				}
				if firsts != 3 {
					t.Errorf("%d first fragments", firsts)
				}
			})
		}
	}
}

// datagram sends one from a to b, which has the address to, and waits until it is there.
func datagram(a, b *vnetif.Host, to string, sent []byte, wait time.Duration) error {
	l, err := b.ListenPacket("udp", ":9")
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := a.Dial("udp", net.JoinHostPort(to, "9"))
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(sent); err != nil {
		return err
	}
	if err := l.SetReadDeadline(b.Now().Add(wait)); err != nil {
		return err
	}
	got := make([]byte, len(sent)+1)
	n, _, err := l.ReadFrom(got)
	if err == nil && !bytes.Equal(got[:n], sent) {
		err = fmt.Errorf("%d bytes came, others than were sent", n)
	}
	return err
}
