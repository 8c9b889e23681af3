package vnetif_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// transfer sends n bytes from the client to the server and closes.
func (l *lan) transfer(network, address string, n int) {
	l.t.Helper()
	var got []byte
	l.serve("tcp", ":7", func(c *vnetif.Conn) (err error) {
		got, err = io.ReadAll(c)
		return errors.Join(err, c.Close())
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, network, address)
		if err != nil {
			return err
		}
		_, err = c.Write(noise(n))
		err = errors.Join(err, c.CloseWrite())
		_, _ = io.ReadAll(c)
		return errors.Join(err, c.Close())
	})
	equal(l.t, "sha256", sum(got), sum(noise(n)))
}

// The wire of a new world is silent until somebody talks; then the address is
// resolved, once, before anything else is sent.
func TestAddressResolutionOnTheWire(t *testing.T) {
	l := newLAN(t, setup{})
	l.transfer("tcp4", "server:7", 1000)
	ps := l.wire.packets()
	equal(t, "first frame", fmt.Sprintf("%s %#x to %v", ps[0].from, ps[0].etherType, ps[0].dst), "client 0x806 to ff:ff:ff:ff:ff:ff")
	equal(t, "second frame", fmt.Sprintf("%s %#x to %v", ps[1].from, ps[1].etherType, ps[1].dst), fmt.Sprintf("server 0x806 to %v", l.client.Port().MAC()))
	equal(t, "third frame", fmt.Sprintf("%s protocol %d flags %d", ps[2].from, ps[2].proto, ps[2].flags()), "client protocol 6 flags 2")
	arps := 0
	for _, p := range ps {
		if p.etherType == etherARP {
			arps++
		}
	}
	equal(t, "ARP frames", arps, 2)
}

func TestNeighborDiscoveryOnTheWire(t *testing.T) {
	l := newLAN(t, setup{})
	l.transfer("tcp6", "server:7", 1000)
	ps := l.wire.packets()
	equal(t, "first frame: neighbor solicitation", fmt.Sprintf("%s %d to %v", ps[0].from, ps[0].transport[0], ps[0].dst), "client 135 to 33:33:ff:00:00:02")
	equal(t, "second frame: neighbor advertisement", fmt.Sprintf("%s %d to %v", ps[1].from, ps[1].transport[0], ps[1].dst), fmt.Sprintf("server 136 to %v", l.client.Port().MAC()))
	equal(t, "third frame", fmt.Sprintf("%s protocol %d flags %d", ps[2].from, ps[2].proto, ps[2].flags()), "client protocol 6 flags 2")
}

// Both sides announce the segment size of their own port, and no frame is bigger
// than the smaller of the two ports lets pass.
func TestSegmentsFitTheMTU(t *testing.T) {
	for _, mtu := range []struct{ client, server int }{{1500, 1500}, {1400, 1500}, {9000, 9000}, {9000, 1400}, {576, 1500}} {
		for _, f := range families {
			header := 40
			if f.network == "tcp6" {
				header = 60
				if mtu.client < 1280 {
					continue
				}
			}
			t.Run(fmt.Sprintf("%s %d-%d", f.name, mtu.client, mtu.server), func(t *testing.T) {
				l := &lan{t: t, w: vswitch.NewWorld(vswitch.Config{}), wire: newWire(false)}
				defer l.close()
				var err error
				l.sw, err = l.w.NewSwitch(vswitch.SwitchConfig{Recorder: l.wire})
				must(t, err)
				addrs := func(n int) []netip.Prefix {
					if f.network == "tcp6" {
						return prefixes(fmt.Sprintf("fd00::%d/64", n))
					}
					return prefixes(fmt.Sprintf("10.0.0.%d/24", n))
				}
				l.client = l.host(vnetif.HostConfig{Name: "client", Addrs: addrs(1), Port: vswitch.PortConfig{MTU: mtu.client}})
				l.server = l.host(vnetif.HostConfig{Name: "server", Addrs: addrs(2), Port: vswitch.PortConfig{MTU: mtu.server}})
				l.transfer(f.network, f.address, 200_000)
				biggest := 0
				for _, p := range l.wire.tcp("") {
					biggest = max(biggest, len(p.data)-vswitch.HeaderLen)
					if p.flags()&tcpSYN != 0 {
						own := mtu.client
						if p.from == "server" {
							own = min(mtu.server, own)
						}
						if p.from == "client" || mtu.server <= mtu.client {
							equal(t, "MSS of the "+p.from, p.mss(), own-header)
						}
					}
				}
				// gVisor keeps room for all TCP options (40 bytes), of which it uses 12.
				equal(t, "biggest packet", biggest, min(mtu.client, mtu.server)-28)
				for _, h := range []*vnetif.Host{l.client, l.server} {
					equal(t, "frames too big for the port", h.Port().Counters().Oversize, 0)
				}
				l.checkWire(t)
			})
		}
	}
}

// What is on no network of the host goes to the gateway's hardware address.
func TestGateway(t *testing.T) {
	l := newLAN(t, setup{gateways: []netip.Addr{netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr("fd00::fe")}})
	gw := l.host(vnetif.HostConfig{Name: "gw", Addrs: prefixes("10.0.0.254/24", "fd00::fe/64")})
	l.run(func(ctx context.Context) error {
		for _, to := range []string{"192.0.2.1:7", "[2001:db8::1]:7", "10.0.0.2:7"} {
			c, err := l.client.Dial("udp", to)
			if err != nil {
				return err
			}
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
			c.Close()
		}
		return l.client.Sleep(time.Second)
	})
	found := map[string]vswitch.MAC{}
	for _, p := range l.wire.packets() {
		if p.proto == protoUDP {
			found[p.ipDst.String()] = p.dst
		}
	}
	equal(t, "IPv4", found["192.0.2.1"], gw.Port().MAC())
	equal(t, "IPv6", found["2001:db8::1"], gw.Port().MAC())
	equal(t, "on the own network", found["10.0.0.2"], l.server.Port().MAC())
}

// On a hub every host hears every frame, and takes only those for itself.
func TestHostTakesNoFrameForAnotherAddress(t *testing.T) {
	l := newLAN(t, setup{hub: true})
	raw, err := vnetif.NewRaw(l.sw, vnetif.RawConfig{Port: vswitch.PortConfig{Name: "raw"}})
	must(t, err)
	l.serveUDP("udp", ":7")
	answers := 0
	raw.SetListen(func(f []byte) {
		if vswitch.MAC(f[6:12]) == l.server.Port().MAC() && dissect(seen{data: f}).proto == protoICMP {
			answers++
		}
	})
	request := func(dst vswitch.MAC) []byte { // an echo request for the server's IP address
		mac := raw.MAC()
		f := append(append([]byte{}, dst[:]...), mac[:]...)
		f = append(f, 0x08, 0x00)
		icmp := ping(8, 1, "x")
		ck := onesComplement(icmp)
		icmp[2], icmp[3] = byte(ck>>8), byte(ck)
		ip := []byte{0x45, 0, 0, byte(20 + len(icmp)), 0, 1, 0, 0, 64, protoICMP, 0, 0, 10, 0, 0, 9, 10, 0, 0, 2}
		ck = onesComplement(ip)
		ip[10], ip[11] = byte(ck>>8), byte(ck)
		return append(append(f, ip...), icmp...)
	}
	arp := func() []byte { // who answers needs the sender's hardware address
		mac := raw.MAC()
		f := append(append([]byte{}, vswitch.Broadcast[:]...), mac[:]...)
		f = append(f, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1)
		f = append(append(f, mac[:]...), 10, 0, 0, 9)
		return append(f, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2)
	}
	l.run(func(ctx context.Context) error {
		for _, f := range [][]byte{arp(), request(l.server.Port().MAC()), request(l.client.Port().MAC()), request(vswitch.MAC{2, 9, 9, 9, 9, 9})} {
			if err := raw.WriteFrame(f); err != nil {
				return err
			}
			if err := l.client.Sleep(time.Second); err != nil {
				return err
			}
		}
		return nil
	})
	equal(t, "answers", answers, 1)
}

// flip changes a byte of every third frame that pick chooses, behind the
// headers' last field, so that a checksum of the transport layer does not match.
func (l *lan) flip(pick func(p packet) bool) *vswitch.InstalledRule {
	n := 0
	return l.sw.AddRule("flip", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) (v vswitch.Verdict) {
		if to != nil || !pick(dissect(seen{data: f.Data})) {
			return v
		}
		if n++; n%3 == 0 {
			at := len(f.Data) - 1
			v.Edits = []vswitch.Edit{{Offset: at, Old: []byte{f.Data[at]}, New: []byte{f.Data[at] ^ 0x10}}}
		}
		return v
	}))
}

func TestTCPRecoversFromCorruption(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			l := newLAN(t, setup{})
			rule := l.flip(func(p packet) bool { return p.proto == protoTCP && len(p.transport) > 100 })
			l.transfer(f.network, f.address, 200_000)
			changed := rule.Counts().Changed
			equal(t, "checksum errors of the server", l.server.Stats().TCPChecksumErrors, changed)
			if changed == 0 || l.client.Stats().TCPRetransmits < changed {
				t.Errorf("%d segments corrupted, %d sent again", changed, l.client.Stats().TCPRetransmits)
			}
		})
	}
}

func TestCorruptDatagramsAreDropped(t *testing.T) {
	l := newLAN(t, setup{})
	pc, err := l.server.ListenPacket("udp", ":7")
	must(t, err)
	rule := l.flip(func(p packet) bool { return p.proto == protoUDP })
	const sent = 30
	received := uint64(0)
	l.run(func(ctx context.Context) error {
		c, err := l.dialUDP("server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		for range sent {
			if _, err := c.Write([]byte("right")); err != nil {
				return err
			}
		}
		must(t, pc.SetReadDeadline(l.server.Now().Add(time.Second)))
		b := make([]byte, 10)
		for {
			n, _, err := pc.ReadFrom(b)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			equal(t, "what is received", string(b[:n]), "right")
			received++
		}
	})
	equal(t, "corrupted", rule.Counts().Changed, sent/3)
	equal(t, "counted by the server", l.server.Stats().UDPChecksumErrors, sent/3)
	equal(t, "received", received, sent-sent/3)
}

func TestBadIPv4HeadersAreCounted(t *testing.T) {
	l := newLAN(t, setup{})
	l.sw.AddRule("ttl", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) (v vswitch.Verdict) {
		if to == nil && dissect(seen{data: f.Data}).proto == protoUDP {
			v.Edits = []vswitch.Edit{{Offset: 22, Old: f.Data[22:23], New: []byte{f.Data[22] ^ 1}}}
		}
		return v
	}))
	l.run(func(ctx context.Context) error {
		c, err := l.dialUDP("10.0.0.2:7")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		return l.client.Sleep(time.Second)
	})
	equal(t, "malformed packets", l.server.Stats().IPMalformed, 1)
}

// The round trip of a byte is what the cables say, to the nanosecond.
func TestLatencyIsExact(t *testing.T) {
	l := newLAN(t, setup{client: vswitch.PortConfig{Latency: 20 * time.Millisecond}, server: vswitch.PortConfig{Latency: 5 * time.Millisecond}})
	l.serve("tcp", ":7", echo)
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		// One round trip resolves the address, one opens the connection.
		equal(t, "dial", since(l.client, l.w.Start()), 100*time.Millisecond)
		began := l.client.Now()
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		equal(t, "echo", since(l.client, began), 50*time.Millisecond)
		return err
	})
}
