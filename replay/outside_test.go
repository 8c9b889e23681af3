package replay_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// elsewhere is a world of its own, in real time, with one host: what a kernel in a
// namespace is to a replay, without privilege. Its port and the replay's pass each
// other's frames on.
type elsewhere struct {
	world *vswitch.World
	sw    *vswitch.Switch
	host  *vnetif.Host
	app   replay.App // sets it up, when the replay is ready

	mu          sync.Mutex
	here, there *vswitch.Port // there is the replay's
	done        chan error
	cancel      context.CancelFunc
}

// across passes frames on to a port of the other world.
type across struct {
	mu *sync.Mutex
	to **vswitch.Port
}

func (a across) Deliver(data []byte) { a.DeliverBatch([][]byte{data}) }

func (a across) DeliverBatch(frames [][]byte) {
	a.mu.Lock()
	to := *a.to
	a.mu.Unlock()
	if to != nil {
		to.SendBatch(frames) // one that was closed takes none
	}
}

// newElsewhere makes the world with a host that has the addresses. When the replay is ready
// app is called: it listens, and returns; what goes on from then on is in the background.
func newElsewhere(t *testing.T, addrs []netip.Prefix, app replay.App) *elsewhere {
	t.Helper()
	x := &elsewhere{world: vswitch.NewWorld(vswitch.Config{Seed: 7, RealTime: true, WallLimit: time.Minute}), app: app, done: make(chan error, 1)}
	var err error
	if x.sw, err = x.world.NewSwitch(vswitch.SwitchConfig{Name: "elsewhere"}); err != nil {
		t.Fatal(err)
	}
	if x.here, err = x.sw.Connect(vswitch.PortConfig{Name: "cable", MTU: 9000}, across{&x.mu, &x.there}); err != nil {
		t.Fatal(err)
	}
	if x.host, err = vnetif.NewHost(x.sw, vnetif.HostConfig{Name: "kernel", Addrs: addrs}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	x.cancel = cancel
	go func() {
		x.done <- x.world.Run(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-x.done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("elsewhere: %v", err)
		}
		x.world.Close()
	})
	return x
}

func (x *elsewhere) begin(t *testing.T) {
	if x.app == nil {
		return
	}
	if err := x.app(context.Background(), x.host); err != nil {
		t.Error(err)
	}
}

func (x *elsewhere) outside() *replay.Outside {
	return &replay.Outside{Name: "mem:kernel", Connect: func(sw *vswitch.Switch, cfg vswitch.PortConfig) (*vswitch.Port, error) {
		p, err := sw.Connect(cfg, across{&x.mu, &x.here})
		x.mu.Lock()
		x.there = p
		x.mu.Unlock()
		return p, err
	}}
}

// run replays with addr behind the cable.
func (x *elsewhere) run(t *testing.T, a *replay.Analysis, addr string, change ...func(*replay.Options)) (*replay.Report, error) {
	t.Helper()
	o := replay.Options{Live: []replay.Live{{Addr: netip.MustParseAddr(addr), Behind: x.outside()}}, WallLimit: time.Minute,
		Patience: 10 * time.Second, Linger: 200 * time.Millisecond, Ready: func() { x.begin(t) }}
	for _, f := range change {
		f(&o)
	}
	return replay.Run(context.Background(), a, o)
}

// onNetwork is addr with a network on which all are that talk to it.
func onNetwork(a *replay.Analysis, addr string) []netip.Prefix {
	at := netip.MustParseAddr(addr)
	var peers []netip.Addr
	for _, c := range a.Conversations {
		if i := slices.IndexFunc(c.Ends[:], func(e netip.AddrPort) bool { return e.Addr() == at }); i >= 0 {
			peers = append(peers, c.Ends[1-i].Addr())
		}
	}
	return []netip.Prefix{replay.Network(at, peers)}
}

// TestOutsideAsInside replays to a host outside what is replayed to one inside, in real
// time instead of virtual: the verdicts are the same.
func TestOutsideAsInside(t *testing.T) {
	for _, c := range []struct{ file, live string }{
		{"01-http-get-100k.a.pcapng", "10.77.0.1"},
		{"01-http-get-100k.a.pcapng", "10.77.0.2"},
		{"13-http-ipv6.a.pcapng", "fd77::1"},
		{"13-http-ipv6.a.pcapng", "fd77::2"},
		{"03-rst-closed-port.a.pcapng", "10.77.0.1"},
		{"03-rst-closed-port.a.pcapng", "10.77.0.2"},
		{"06-udp-echo-dns.a.pcapng", "10.77.0.1"},
		{"06-udp-echo-dns.a.pcapng", "10.77.0.2"},
		{"07-ping-frag.a.pcapng", "10.77.0.2"},
		{"10-interactive.a.pcapng", "10.77.0.2"},
		{"02a-http-loss.a.pcapng", "10.77.0.1"},
		{"public-01-http-handshake-fin.pcap", "10.1.1.1"},
	} {
		t.Run(c.file+" "+c.live, func(t *testing.T) {
			t.Parallel()
			a := load(t, c.file)
			if a.Endpoint(netip.MustParseAddr(c.live)) == nil {
				t.Fatalf("%s has no %s", c.file, c.live)
			}
			x := newElsewhere(t, onNetwork(a, c.live), replay.Transcript(a, netip.MustParseAddr(c.live)))
			r, err := x.run(t, a, c.live)
			if err != nil {
				t.Fatal(err)
			}
			if out := text(t, r); r.Verdict != replay.Same || !r.RealTime || !strings.Contains(out, " real, ") {
				t.Errorf("want verdict same, in real time:\n%s", out)
			}
		})
	}
}

// TestOutsideDiverges: what differs is said with its place, and bytes of the played side
// are counted as far as the live side got them.
func TestOutsideDiverges(t *testing.T) {
	a := load(t, "01-http-get-100k.a.pcapng")
	answer := slices.Clone(a.Conversations[0].Streams[1].Data)
	answer[5000] ^= 0x20
	x := newElsewhere(t, onNetwork(a, "10.77.0.2"), func(_ context.Context, h *vnetif.Host) error {
		l, err := h.Listen("tcp", ":8080")
		if err != nil {
			return err
		}
		h.World().Background("answer", func(context.Context) error {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			defer c.Close()
			hear(c, 86)
			c.Write(answer) // until it is reset
			return nil
		})
		return nil
	})
	r, err := x.run(t, a, "10.77.0.2")
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != replay.Diverged || r.Divergences[0].Kind != "bytes" || r.Divergences[0].Offset != 5000 {
		t.Errorf("want a divergence at byte 5000:\n%s", text(t, r))
	}
}

// TestOutsideIsNotThere: nobody with the address, with and without anybody else there.
func TestOutsideIsNotThere(t *testing.T) {
	for _, c := range []struct{ file, live, has, want string }{
		{"01-http-get-100k.a.pcapng", "10.77.0.2", "10.77.0.9/24", "no reply to ARP in 5s; "},
		{"13-http-ipv6.a.pcapng", "fd77::2", "10.77.0.9/24", "no reply to neighbour discovery in 5s; "},
	} {
		t.Run(c.live, func(t *testing.T) {
			t.Parallel()
			x := newElsewhere(t, []netip.Prefix{netip.MustParsePrefix(c.has)}, nil)
			r, err := x.run(t, load(t, c.file), c.live)
			if !errors.Is(err, replay.ErrNoAnswer) || r != nil || !strings.Contains(err.Error(), c.live+" behind mem:kernel: nobody answers: "+c.want) ||
				!strings.Contains(err.Error(), "ip link set") && !strings.Contains(err.Error(), "ip addr add "+c.live) {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
}

// TestOutsideSaysNothing: patience is in real time, and can be shorter.
func TestOutsideSaysNothing(t *testing.T) {
	a := load(t, "01-http-get-100k.a.pcapng")
	x := newElsewhere(t, onNetwork(a, "10.77.0.2"), func(_ context.Context, h *vnetif.Host) error {
		_, err := h.Listen("tcp", ":8080")
		return err
	})
	r, err := x.run(t, a, "10.77.0.2", func(o *replay.Options) { o.Patience = 300 * time.Millisecond })
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != replay.Diverged || r.Divergences[0].Kind != "missing" || !strings.Contains(r.Divergences[0].Text, "byte 203 (waited 300ms)") {
		t.Errorf("want that byte 203 is missing:\n%s", text(t, r))
	}
}

// TestOutsideChatter: what a kernel says besides is counted, and no divergence; what it
// says to a played address is one.
func TestOutsideChatter(t *testing.T) {
	a := load(t, "01-http-get-100k.a.pcapng")
	for _, c := range []struct {
		name    string
		frame   func(x *elsewhere) []byte
		verdict replay.Verdict
		what    string
	}{
		{"mDNS", func(x *elsewhere) []byte { return datagramOf(t, x, "224.0.0.251", 5353) }, replay.Same, "mDNS"},
		{"another host", func(x *elsewhere) []byte { return datagramOf(t, x, "10.77.0.77", 99) }, replay.Same, "UDP to 10.77.0.77:99"},
		{"a search", func(x *elsewhere) []byte {
			f, err := pcap.BuildARPRequest(x.host.Port().MAC(), netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("10.77.0.66"))
			if err != nil {
				t.Fatal(err)
			}
			return f
		}, replay.Same, "ARP for 10.77.0.66"},
		{"a played host", func(x *elsewhere) []byte { return datagramOf(t, x, "10.77.0.1", 99) }, replay.Diverged, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newElsewhere(t, onNetwork(a, "10.77.0.2"), replay.Transcript(a, netip.MustParseAddr("10.77.0.2")))
			r, err := x.run(t, a, "10.77.0.2", func(o *replay.Options) {
				o.Ready = func() {
					if err := x.there.Send(c.frame(x)); err != nil {
						t.Error(err)
					}
					x.begin(t)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			var others strings.Builder
			if err := r.PrintOther(&others); err != nil {
				t.Fatal(err)
			}
			out := text(t, r)
			switch {
			case r.Verdict != c.verdict:
				t.Errorf("want %v:\n%s", c.verdict, out)
			case c.what != "" && (!strings.Contains(out, c.what+" 1") || !strings.Contains(others.String(), "other: "+c.what+": 1 frame (")):
				t.Errorf("want %s counted:\n%s%s", c.what, out, others.String())
			}
		})
	}
}

// datagramOf is a frame with a datagram from the host to an address.
func datagramOf(t *testing.T, x *elsewhere, to string, port uint16) []byte {
	t.Helper()
	segment := []byte{0x30, 0x39, byte(port >> 8), byte(port), 0, 10, 0, 0, 'h', 'i'}
	f, err := pcap.BuildIP(vswitch.Broadcast, x.host.Port().MAC(), netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr(to), pcap.ProtoUDP, 1, segment)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestOutsideInterrupted: a replay that waits ends at once when it is told to.
func TestOutsideInterrupted(t *testing.T) {
	a := load(t, "01-http-get-100k.a.pcapng")
	x := newElsewhere(t, onNetwork(a, "10.77.0.1"), nil)
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	r, err := replay.Run(ctx, a, replay.Options{
		Live:  []replay.Live{{Addr: netip.MustParseAddr("10.77.0.1"), Behind: x.outside()}},
		Ready: func() { cancel(why) },
	})
	if err != nil || r.Verdict != replay.HarnessFailed || !errors.Is(r.Err, why) {
		t.Errorf("%v, %v", r, err)
	}
}

// ExampleOutside says what a port to the outside is made of. A device of package tap
// would be joined to the switch by tap.Connect.
func ExampleOutside() {
	out := &replay.Outside{Name: "nobody", Connect: func(sw *vswitch.Switch, cfg vswitch.PortConfig) (*vswitch.Port, error) {
		return sw.Connect(cfg, vswitch.EndpointFunc(func([]byte) {}))
	}}
	capture, err := replay.Load("../fixtures/captures/01-http-get-100k.a.pcapng")
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = replay.Options{Live: []replay.Live{{Addr: replay.Analyse(capture).Endpoints[1].Addr, Behind: out}}}
	fmt.Println(out.Name)
	// Output: nobody
}
