// Package hub is a backend of one's own, for when a switch is not what is wanted: raw
// interfaces and hosts are plugged into it in its place. This one hands each frame to
// everybody but its sender, a while later.
package hub

import (
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Hub is a vnetif.Backend.
type Hub struct {
	world *vswitch.World
	clock vswitch.Clock
	mu    sync.Mutex // guards ports, and keeps what one sends in order at all others
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

// World is the world in which the hub is.
func (h *Hub) World() *vswitch.World { return h.world }

// Connect adds a port.
func (h *Hub) Connect(cfg vswitch.PortConfig, e vswitch.Endpoint) (*Port, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &Port{vnetif.NewBasePort(len(h.ports), cfg, e), h}
	h.ports = append(h.ports, p)
	return p, nil
}

// Port is a port of a hub.
type Port struct {
	*vnetif.BasePort
	hub *Hub
}

// Send has a copy of the frame delivered to every other port, 50 µs from now.
func (p *Port) Send(frame []byte) error {
	if err := p.Check(frame); err != nil {
		return err
	}
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	for _, q := range p.hub.ports {
		if q != p {
			q.DeliverAfter(p.hub.clock, 50*time.Microsecond, frame)
		}
	}
	return nil
}
