package vnettest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/vnettest"
)

// gateway is a client on one switch, a server on another, and a router between them.
func gateway() vnettest.Config {
	return vnettest.Config{
		Seed:     5,
		Switches: []vnettest.Switch{{Name: "lan"}, {Name: "wan", Hub: true}},
		Hosts: []vnettest.Host{
			{Name: "client", Switch: "lan", Addrs: []string{"10.0.0.1/24"}, Gateways: []string{"10.0.0.254"}},
			{Name: "server", Switch: "wan", Addrs: []string{"10.9.0.1/24"}, Gateways: []string{"10.9.0.254"}},
		},
		Routers: []vnettest.Router{{Name: "gw", Interfaces: []vnettest.Interface{
			{Name: "lan", Addrs: []string{"10.0.0.254/24"}},
			{Name: "outside", Switch: "wan", Addrs: []string{"10.9.0.254/24"}, Latency: 5 * time.Millisecond},
		}}},
		Faults: []string{"loss: drop 2% from gw.outside", "late: delay 1ms on lan", "twice: duplicate 1%"},
	}
}

// Behind a gateway all is as without one, but that there are several switches.
func TestBehindAGateway(t *testing.T) {
	n := vnettest.New(t, gateway())
	n.HTTPServer("server", ":80", handler)
	n.Run(download(n))
	total := map[string]uint64{}
	names := map[string]int{}
	for i, path := range n.Recordings() {
		got, meta := frames(t, path)
		want := []string{"lan", "wan"}[i]
		if meta.Switch != want || n.SwitchNamed(want).Name() != want || len(meta.Rules) != 3 {
			t.Errorf("%s is of switch %q, with the rules %v", path, meta.Switch, meta.Rules)
		}
		total["frames"] += uint64(got)
		r, err := pcap.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for p, err := range r.Packets() {
			if err != nil {
				t.Fatal(err)
			}
			fate, err := pcap.ParseFate(p.Comments)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range fate.Faults {
				total[f.Name]++
			}
		}
		for _, i := range r.Interfaces() {
			names[i.Name]++
		}
	}
	if n.Recording() != n.Recordings()[0] || fmt.Sprint(names) != "map[client:1 gw.lan:1 gw.outside:1 server:1]" {
		t.Errorf("recordings %v, ports %v", n.Recordings(), names)
	}
	if st := n.World().Stats(); st.Frames != total["frames"] {
		t.Errorf("%d frames, the recordings have %d", st.Frames, total["frames"])
	}
	for _, name := range []string{"loss", "late", "twice"} {
		if r := n.Rule(name); r.Counts().Frames != total[name] || total[name] == 0 || r.Matched() < total[name] {
			t.Errorf("%s: %+v of %d matched, the recordings have %d", name, r.Counts(), r.Matched(), total[name])
		}
	}
	if got := n.Host("gw").Addrs(); len(got) != 2 {
		t.Errorf("the router's addresses are %v", got)
	}
}

// Routes of one router, the gateway of the other, and what is said of interfaces lead
// through three switches.
func TestThreeSwitches(t *testing.T) {
	const mac = "02:00:00:00:aa:01"
	n := vnettest.New(t, vnettest.Config{
		Switches: []vnettest.Switch{{Name: "lan"}, {Name: "between"}, {Name: "wan", Hub: true}},
		Hosts: []vnettest.Host{
			{Name: "client", Switch: "lan", Addrs: []string{"10.0.0.1/24", "fd00:a::1/64"}, Gateways: []string{"10.0.0.254", "fd00:a::fe"}},
			{Name: "server", Switch: "wan", Addrs: []string{"10.9.0.1/24", "fd00:b::1/64"}, Gateways: []string{"10.9.0.254", "fd00:b::fe"}},
			{Name: "other", Switch: "wan", Addrs: []string{"10.9.0.3/24"}},
		},
		Routers: []vnettest.Router{{
			Name: "inner",
			Interfaces: []vnettest.Interface{
				{Name: "lan", Addrs: []string{"10.0.0.254/24", "fd00:a::fe/64"}},
				{Name: "between", Addrs: []string{"10.5.0.1/24", "fd00:5::1/64"}, MAC: mac, MTU: 1400, Rate: 2 * vnettest.Mbit, Queue: 500, Latency: 3 * time.Millisecond},
			},
			Routes: []vnettest.Route{{To: "10.9.0.0/16", Via: "10.5.0.2"}, {To: "fd00:b::/32", Via: "fd00:5::2"}},
		}, {
			Name: "outer",
			Interfaces: []vnettest.Interface{
				{Name: "in", Switch: "between", Addrs: []string{"10.5.0.2/24", "fd00:5::2/64"}, MTU: 1400},
				{Name: "wan", Addrs: []string{"10.9.0.254/24", "fd00:b::fe/64"}},
			},
			Gateways: []string{"10.5.0.1", "fd00:5::1"},
		}},
	})
	port, ok := n.SwitchNamed("between").Port("inner.between")
	if !ok {
		t.Fatal("there is no port inner.between")
	}
	got := fmt.Sprint(port.MAC(), port.MTU(), port.Latency(), port.Rate(), port.Queue())
	if want := mac + " 1400 3ms 2000000 500"; got != want {
		t.Errorf("port inner.between is %s, want %s", got, want)
	}
	n.HTTPServer("server", ":80", handler)
	n.Run(func(ctx context.Context) error {
		for _, addr := range []string{"10.9.0.1", "[fd00:b::1]"} {
			resp, err := n.HTTPClient("client").Get("http://" + addr + "/")
			if err != nil {
				return err
			}
			got, err := io.ReadAll(resp.Body)
			if err != nil {
				return err
			}
			if err := resp.Body.Close(); err != nil || !bytes.Equal(got, document) {
				return fmt.Errorf("from %s came %d bytes (%v)", addr, len(got), err)
			}
		}
		return nil
	})
	// Two documents over 2 Mbit/s.
	if least := time.Duration(2*len(document)*8) * time.Second / (2 * vnettest.Mbit); n.World().Stats().Virtual < least {
		t.Errorf("it took %v, less than the cable does: %v", n.World().Stats().Virtual, least)
	}
	if heard := n.Host("other").Ports()[0].Counters().RxFrames; heard < 100 {
		t.Errorf("on the hub a host heard %d frames of others", heard)
	}
	for i, name := range []string{"lan", "between", "wan"} {
		if got, meta := frames(t, n.Recordings()[i]); meta.Switch != name || got < 100 {
			t.Errorf("recording %d is of switch %q, with %d frames", i, meta.Switch, got)
		}
	}
}

// A rule is turned off and on, and taken off, on all switches at once.
func TestRuleOnSeveralSwitches(t *testing.T) {
	cfg := gateway()
	cfg.Faults = []string{"delay 1ms"}
	n := vnettest.New(t, cfg)
	rule := n.Rule("delay 1ms")
	n.HTTPServer("server", ":80", handler)
	n.Run(func(ctx context.Context) error {
		for i, set := range []func(){func() { rule.SetOn(false) }, func() { rule.SetOn(true) }, rule.Remove} {
			before := n.World().Stats().Frames
			was := rule.Counts().Frames
			set()
			if err := download(n)(ctx); err != nil {
				return err
			}
			// Frames that have not arrived are not counted yet.
			if err := n.Host("client").Sleep(time.Second); err != nil {
				return err
			}
			hit, all := rule.Counts().Frames-was, n.World().Stats().Frames-before
			if on := i == 1; on && hit != all || !on && hit != 0 {
				t.Errorf("phase %d: %d of %d frames were hit", i, hit, all)
			}
		}
		return nil
	})
	if rule.Matched() != rule.Counts().Frames {
		t.Errorf("matched %d, counts %+v", rule.Matched(), rule.Counts())
	}
}

// One switch that has a name is recorded as one, under the name it was given.
func TestOneNamedSwitch(t *testing.T) {
	n := vnettest.New(t, vnettest.Config{Switches: []vnettest.Switch{{Name: "lan"}}, Faults: []string{"delay 1ms on lan"}})
	n.HTTPServer("server", ":80", handler)
	n.Run(download(n))
	_, meta := frames(t, n.Recording())
	if name := filepath.Base(n.Recording()); strings.Contains(name, "lan") || meta.Switch != "lan" || n.Switch().Name() != "lan" {
		t.Errorf("recording %s of switch %q", name, meta.Switch)
	}
	var got string
	tb := &catcher{TB: t, said: &got}
	other := vnettest.New(tb, gateway())
	tb.run(func() { other.SwitchNamed("dmz") })
	if want := `no switch "dmz"; the switches are lan, wan`; !strings.Contains(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A test that fails behind a gateway leaves the recordings of all switches, together and
// of one name, and the command that does it again once.
func TestFailingBehindAGateway(t *testing.T) {
	p := play(t, t.TempDir(), "fails behind a gateway")
	const name = "TestScene_fails_behind_a_gateway"
	if p.passed || len(p.left) != 2 || filepath.Dir(p.left[0]) != filepath.Dir(p.left[1]) {
		t.Fatalf("it left %v:\n%s", p.left, p.out)
	}
	for i, sw := range []string{"lan", "wan"} {
		if want := name + "." + sw + ".pcapng"; filepath.Base(p.left[i]) != want {
			t.Errorf("it left %s, want %s", p.left[i], want)
		}
		if got, meta := frames(t, p.left[i]); meta.Switch != sw || meta.Seed != 5 || got == 0 {
			t.Errorf("%s: %d frames, switch %q, seed %d", p.left[i], got, meta.Switch, meta.Seed)
		}
		p.says(t, "seed 5, recording: "+p.left[i], "read it:  vnreplay show "+p.left[i])
	}
	if n := strings.Count(p.out, "again:  "); n != 1 {
		t.Errorf("it says %d times how to do it again:\n%s", n, p.out)
	}
}

func TestTopologyErrors(t *testing.T) {
	change := func(f func(*vnettest.Config, *vnettest.Router)) vnettest.Config {
		cfg := gateway()
		f(&cfg, &cfg.Routers[0])
		return cfg
	}
	route := func(to, via string) vnettest.Config {
		return change(func(_ *vnettest.Config, r *vnettest.Router) { r.Routes = []vnettest.Route{{To: to, Via: via}} })
	}
	gateways := func(addrs ...string) vnettest.Config {
		return change(func(_ *vnettest.Config, r *vnettest.Router) { r.Gateways = addrs })
	}
	lan := func(in vnettest.Interface) vnettest.Config {
		return change(func(_ *vnettest.Config, r *vnettest.Router) { r.Interfaces[0] = in })
	}
	const gw, first = `router "gw" (Config.Routers[0]): `, `(Interfaces[0]): `
	addrs := []string{"10.0.0.254/24"}
	for want, cfg := range map[string]vnettest.Config{
		`Config.Hub is about an only switch`:                                           change(func(c *vnettest.Config, _ *vnettest.Router) { c.Hub = true }),
		`Config.Switches[1]: it needs a Name, and one of its own; it is called "a"`:    {Switches: []vnettest.Switch{{Name: "a"}, {Name: "a"}}},
		`Config.Switches[0]: name "a/b": want at most 100 letters`:                     {Switches: []vnettest.Switch{{Name: "a/b"}}},
		`host "client" (Config.Hosts[0]): on which Switch? The switches are a, b`:      {Switches: []vnettest.Switch{{Name: "a"}, {Name: "b"}}},
		`host "c" (Config.Hosts[0]): no switch "b"; the switches are switch`:           {Hosts: []vnettest.Host{{Name: "c", Switch: "b"}}},
		`router "" (Config.Routers[0]): it needs a Name`:                               {Routers: []vnettest.Router{{}}},
		`router "client" (Config.Routers[0]): host: node "client": the name is taken`:  change(func(_ *vnettest.Config, r *vnettest.Router) { r.Name = "client" }),
		gw + `it needs Interfaces`:                                                     change(func(_ *vnettest.Config, r *vnettest.Router) { r.Interfaces = nil }),
		gw + `interface "" ` + first + `it needs a Name`:                               lan(vnettest.Interface{}),
		gw + `interface "lan" ` + first + `it needs Addrs`:                             lan(vnettest.Interface{Name: "lan"}),
		gw + `interface "lan" ` + first + `address "10.0.0.9": want one`:               lan(vnettest.Interface{Name: "lan", Addrs: []string{"10.0.0.9"}}),
		gw + `interface "lan" ` + first + `MAC address "zz"`:                           lan(vnettest.Interface{Name: "lan", Addrs: addrs, MAC: "zz"}),
		gw + `interface "dmz" ` + first + `on which Switch? The switches are lan, wan`: lan(vnettest.Interface{Name: "dmz", Addrs: addrs}),
		gw + `interface "lan" ` + first + `no switch "dmz"`:                            lan(vnettest.Interface{Name: "lan", Switch: "dmz", Addrs: addrs}),
		gw + `interface "outside" (Interfaces[1]): it is the second of that name`:      lan(vnettest.Interface{Name: "outside", Switch: "lan", Addrs: addrs}),
		gw + `interface "outside" (Interfaces[1]): gw.outside has a port of the name "gw.outside" already`: change(func(c *vnettest.Config, _ *vnettest.Router) {
			c.Hosts = append(c.Hosts, vnettest.Host{Name: "gw.outside", Switch: "lan", Addrs: []string{"10.0.0.3/24"}})
		}),
		`hosts "client" and "gw" both have the address 10.0.0.1`:                                        lan(vnettest.Interface{Name: "lan", Addrs: []string{"10.0.0.1/24"}}),
		gw + `route to "x" via "10.9.0.7" (Routes[0]): want a network`:                                  route("x", "10.9.0.7"),
		gw + `route to "10.5.0.0/16" via "x" (Routes[0]): want the IP address`:                          route("10.5.0.0/16", "x"),
		gw + `route to "10.5.0.1/16" via "10.9.0.7" (Routes[0]): 10.5.0.1/16 is in network 10.5.0.0/16`: route("10.5.0.1/16", "10.9.0.7"),
		gw + `route to "fd00::/32" via "10.9.0.7" (Routes[0]): they are of different IP versions`:       route("fd00::/32", "10.9.0.7"),
		gw + `route to "10.5.0.0/16" via "10.7.0.1" (Routes[0]): 10.7.0.1 is on no network`:             route("10.5.0.0/16", "10.7.0.1"),
		gw + `gateway "x": want an IP address`:                                                          gateways("x"),
		gw + `gateway 10.7.0.1 (Gateways[0]): 10.7.0.1 is on no network`:                                gateways("10.7.0.1"),
		gw + `gateway 10.9.0.254 (Gateways[0]): 10.9.0.254 is the router's own address`:                 gateways("10.9.0.254"),
		gw + `gateway 10.9.0.8 (Gateways[1]): it is the second of its family`:                           gateways("10.9.0.7", "10.9.0.8"),
		`no switch "won"; the switches are lan, wan; did you mean "wan"?`:                               change(func(c *vnettest.Config, _ *vnettest.Router) { c.Faults = []string{"drop on won"} }),
		`its ports are on different switches (client on lan, server on wan)`:                            change(func(c *vnettest.Config, _ *vnettest.Router) { c.Faults = []string{"drop from client to server"} }),
	} {
		wantError(t, cfg, want)
	}
}
