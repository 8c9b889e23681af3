// Package hub is a backend of one's own, for when a switch is not what is wanted: raw
// interfaces and hosts are plugged into it in its place. This one hands each frame to
// everybody but its sender, a while later.
package hub

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// Hub is a vnetif.Backend.
type Hub struct {
	world *vswitch.World
	clock vswitch.Clock
	mu    sync.Mutex // guards ports, and what waits for them
	ports []*Port
}

// New makes a hub; a world has room for one.
func New(w *vswitch.World) (*Hub, error) {
	node, err := w.NewNode("hub")
	if err != nil {
		return nil, err
	}
	return &Hub{world: w, clock: node.StackClock()}, nil
}

func (h *Hub) World() *vswitch.World { return h.world }

// Connect adds a port. What the configuration leaves open follows from its number.
func (h *Hub) Connect(cfg vswitch.PortConfig, e vswitch.Endpoint) (*Port, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.ports)
	p := &Port{hub: h, end: e, name: cmp.Or(cfg.Name, fmt.Sprintf("port%d", n)),
		mac: cmp.Or(cfg.MAC, vswitch.PortMAC(n)), mtu: cmp.Or(cfg.MTU, vswitch.DefaultMTU)}
	h.ports = append(h.ports, p)
	return p, nil
}

// Port is a port of a hub.
type Port struct {
	hub    *Hub
	end    vswitch.Endpoint
	name   string
	mac    vswitch.MAC
	mtu    int
	queue  [][]byte
	turn   sync.Mutex // of a frame at the endpoint
	closed atomic.Bool
}

func (p *Port) Name() string     { return p.name }
func (p *Port) MAC() vswitch.MAC { return p.mac }
func (p *Port) MTU() int         { return p.mtu }
func (p *Port) Close() error     { p.closed.Store(true); return nil }

// Send has a copy of the frame delivered to every other port, 50 µs from now.
func (p *Port) Send(frame []byte) error {
	switch {
	case p.closed.Load():
		return net.ErrClosed
	case len(frame) < vswitch.HeaderLen:
		return vswitch.ErrRunt
	case len(frame) > p.mtu+vswitch.HeaderLen:
		return &vswitch.SizeError{Port: p.name, Len: len(frame), MTU: p.mtu}
	}
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	for _, q := range p.hub.ports {
		if q != p {
			q.queue = append(q.queue, bytes.Clone(frame))
			p.hub.clock.AfterFunc(50*time.Microsecond, q.deliver)
		}
	}
	return nil
}

// deliver hands over the frame that has waited longest. In real time timers fire on
// goroutines of their own; the turn keeps the order.
func (p *Port) deliver() {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.hub.mu.Lock()
	frame := p.queue[0]
	p.queue = p.queue[1:]
	p.hub.mu.Unlock()
	if !p.closed.Load() {
		p.end.Deliver(frame)
	}
}
