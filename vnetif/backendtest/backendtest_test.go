package backendtest_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
	"github.com/vnreplay/vnreplay/vnetif/backendtest"
)

// Switches are backends.
func TestSwitches(t *testing.T) {
	for name, cfg := range map[string]vswitch.SwitchConfig{"learning": {}, "hub": {Hub: true}} {
		for clock, world := range map[string]vswitch.Config{"virtual": {}, "real": {RealTime: true}} {
			t.Run(name+"/"+clock, func(t *testing.T) {
				create := func(w *vswitch.World) (vnetif.Backend[*vswitch.Port], error) { return w.NewSwitch(cfg) }
				if err := backendtest.Frames(world, create); err != nil {
					t.Error(err)
				}
				if err := backendtest.Hosts(world, create); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A backend that delivers inside Send is one for interfaces.
func TestSynchronousBackend(t *testing.T) {
	for clock, world := range map[string]vswitch.Config{"virtual": {}, "real": {RealTime: true}} {
		t.Run(clock, func(t *testing.T) {
			if err := backendtest.Frames(world, broken("synchronous")); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is wrong with a backend is said, with the rule that it breaks and what showed it.
func TestBrokenBackends(t *testing.T) {
	for _, c := range []struct {
		fault  string
		reason string
	}{
		{"late", "Close: port b was delivered 10 frames after its Close had returned"},
		{"deaf close", "Close: port b was delivered 20 frames after its Close had returned"},
		{"shared", "each receiver has bytes of its own: after a receiver wrote into the bytes it was given: port c got a frame that nobody sent to it, or not with these bytes"},
		{"shared with the sender", "each receiver has bytes of its own: a receiver wrote into the bytes it was given, and the sender's changed"},
		{"keeps", "Send copies the frame: after the sender used its buffer again: port b got a frame that nobody sent to it"},
		{"echo", "broadcast: port b was given back a frame that it sent itself"},
		{"echo", "unicast: port a was given back a frame that it sent itself"},
		{"twice", "broadcast: port a got a frame twice"},
		{"loses", "broadcast: port a got frame 8 of 50 where frame 7 was to come: one is lost, or the order is another"},
		{"loses the last", "broadcast: port a got 49 of 50 frames within 5s"},
		{"reorders", "broadcast: port a got frame 2 of 50 where frame 1 was to come"},
		{"pads", "broadcast: port a got a frame that nobody sent to it, or not with these bytes"},
		{"any size", "sizes: at a port of MTU 1400, Send of 0 bytes: <nil>, want an error that is: " + vswitch.ErrRunt.Error()},
		{"small", "sizes: at a port of MTU 1400, Send of 1414 bytes: port "},
		{"one MTU", "ports: a port that asked for name asked, address 02:aa:bb:cc:dd:ee, MTU 9000 has asked, 02:aa:bb:cc:dd:ee, 1500"},
		{"one name", `ports: port b has the name "port", which is empty or another port's`},
		{"one address", "ports: port c has the address 02:00:00:00:00:00, which is none, that of a group, or another port's"},
		{"any address", "addresses repeat: three ports have the addresses ["},
		{"sends when closed", "Close: after Close, Send: <nil>, want net.ErrClosed"},
		{"closes once", "Close: again: port b: Close: use of closed network connection"},
		{"other world", "ports: its World is another one than the backend was made for"},
		{"none", "ports: making the backend: no cable"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			err := backendtest.Frames(vswitch.Config{}, broken(c.fault))
			if err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("got %v\nwant among it: %s", err, c.reason)
			}
		})
	}
}

// Stacks notice what frames alone do not show.
func TestBrokenBackendsUnderHosts(t *testing.T) {
	for fault, reason := range map[string]string{
		"":             "",
		"slow":         "hosts: udp to 10.0.0.2:7: no answer within 10s",
		"unrepeatable": "hosts: runs do not repeat: frame ",
	} {
		t.Run(fault, func(t *testing.T) {
			err := backendtest.Hosts(vswitch.Config{}, broken(fault))
			if fault == "" && err != nil || fault != "" && (err == nil || !strings.HasPrefix(err.Error(), reason)) {
				t.Errorf("got %v, want %q", err, reason)
			}
		})
	}
}

// faulty is a hub that keeps to all rules, but for its fault.
type faulty struct {
	fault string
	world *vswitch.World
	clock vswitch.Clock
	mu    sync.Mutex
	ports []*port
}

func broken(fault string) func(w *vswitch.World) (vnetif.Backend[*port], error) {
	return func(w *vswitch.World) (vnetif.Backend[*port], error) {
		node, err := w.NewNode("faulty")
		if err != nil {
			return nil, err
		}
		switch fault {
		case "none":
			return nil, fmt.Errorf("no cable")
		case "other world":
			w = vswitch.NewWorld(vswitch.Config{})
		}
		return &faulty{fault: fault, world: w, clock: node.StackClock()}, nil
	}
}

func (f *faulty) World() *vswitch.World { return f.world }

func (f *faulty) Connect(cfg vswitch.PortConfig, e vswitch.Endpoint) (*port, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.ports)
	p := &port{hub: f, end: e, name: cmp.Or(cfg.Name, fmt.Sprintf("port%d", n)),
		mac: cmp.Or(cfg.MAC, vswitch.PortMAC(n)), mtu: cmp.Or(cfg.MTU, vswitch.DefaultMTU)}
	switch f.fault {
	case "one MTU":
		p.mtu = vswitch.DefaultMTU
	case "one name":
		p.name = "port"
	case "one address":
		p.mac = cmp.Or(cfg.MAC, vswitch.PortMAC(0))
	case "any address":
		p.mac = cmp.Or(cfg.MAC, vswitch.PortMAC(rand.IntN(1<<31)))
	}
	f.ports = append(f.ports, p)
	return p, nil
}

type port struct {
	hub    *faulty
	end    vswitch.Endpoint
	name   string
	mac    vswitch.MAC
	mtu    int
	sent   int
	closed bool
	turn   sync.Mutex // of a frame at the endpoint
}

func (p *port) Name() string     { return p.name }
func (p *port) MAC() vswitch.MAC { return p.mac }
func (p *port) MTU() int         { return p.mtu }

func (p *port) Close() error {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	if p.closed && p.hub.fault == "closes once" {
		return net.ErrClosed
	}
	p.closed = true
	return nil
}

func (p *port) Send(frame []byte) error {
	f := p.hub
	f.mu.Lock()
	fault, longest := f.fault, p.mtu+vswitch.HeaderLen
	if fault == "small" {
		longest--
	}
	switch {
	case p.closed && fault != "sends when closed":
		f.mu.Unlock()
		return net.ErrClosed
	case len(frame) < vswitch.HeaderLen && fault != "any size":
		f.mu.Unlock()
		return vswitch.ErrRunt
	case len(frame) > longest && fault != "any size":
		f.mu.Unlock()
		return &vswitch.SizeError{Port: p.name, Len: len(frame), MTU: p.mtu}
	}
	p.sent++
	n, ports := p.sent, slices.Clone(f.ports)
	f.mu.Unlock()
	copied := bytes.Clone(frame)
	for _, q := range ports {
		data, delay, times := bytes.Clone(frame), 50*time.Microsecond, 1
		if q == p && fault != "echo" {
			continue
		}
		switch {
		case fault == "shared":
			data = copied
		case fault == "keeps" || fault == "shared with the sender":
			data = frame
		case fault == "pads":
			data = append(data, 0)
		case fault == "twice" && n%7 == 0:
			times = 2
		case fault == "loses" && n == 7 || fault == "loses the last" && n == 50:
			times = 0
		case fault == "reorders" && n == 1:
			delay *= 2
		case fault == "slow":
			delay = 9 * time.Second
		case fault == "unrepeatable":
			delay += time.Duration(rand.IntN(1000))
		}
		// What waits when the port is closed is delivered all the same if the hub is late.
		enter := q.open()
		deliver := func() {
			if q.open() || fault == "deaf close" || fault == "late" && enter {
				q.end.Deliver(data)
			}
		}
		for range times {
			if fault == "synchronous" {
				q.turn.Lock() // in real time there are other senders
				deliver()
				q.turn.Unlock()
			} else {
				f.clock.AfterFunc(delay, deliver)
			}
		}
	}
	return nil
}

func (p *port) open() bool {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	return !p.closed
}
