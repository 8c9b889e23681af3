package vnetif

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

// BasePort is what the ports of a [Backend] of one's own have in common: what they are
// called, what they refuse, and how a frame comes to their endpoint. A port that embeds one
// lacks Send only.
type BasePort struct {
	end    vswitch.Endpoint
	name   string
	mac    vswitch.MAC
	mtu    int
	closed atomic.Bool

	mu    sync.Mutex // guards queue
	queue [][]byte
	turn  sync.Mutex // of a frame at the endpoint
}

// NewBasePort makes port n, counted from 0, of its backend, with e at its other end. What cfg
// leaves open follows from n. Of cfg it uses Name, MAC and MTU.
func NewBasePort(n int, cfg vswitch.PortConfig, e vswitch.Endpoint) *BasePort {
	return &BasePort{
		end:  e,
		name: cmp.Or(cfg.Name, fmt.Sprintf("port%d", n)),
		mac:  cmp.Or(cfg.MAC, vswitch.PortMAC(n)),
		mtu:  cmp.Or(cfg.MTU, vswitch.DefaultMTU),
	}
}

// Name, MAC, MTU and Close are those of a [Port].
func (p *BasePort) Name() string     { return p.name }
func (p *BasePort) MAC() vswitch.MAC { return p.mac }
func (p *BasePort) MTU() int         { return p.mtu }
func (p *BasePort) Close() error     { p.closed.Store(true); return nil }

// Check returns the error with which Send has to refuse a frame, or nil; see [Port].
func (p *BasePort) Check(frame []byte) error {
	switch {
	case p.closed.Load():
		return net.ErrClosed
	case len(frame) < vswitch.HeaderLen:
		return vswitch.ErrRunt
	case len(frame) > p.mtu+vswitch.HeaderLen:
		return &vswitch.SizeError{Port: p.name, Len: len(frame), MTU: p.mtu}
	}
	return nil
}

// DeliverAfter has a copy of a frame delivered d from now on the clock, unless the port is
// closed by then. Frames come one at a time, in the order of the calls, each when the time of
// one of them is over: with one d for all, each in its own. It does not block.
func (p *BasePort) DeliverAfter(clock vswitch.Clock, d time.Duration, frame []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, bytes.Clone(frame))
	clock.AfterFunc(d, p.deliver)
}

// deliver hands over the frame that has waited longest. In real time timers fire on
// goroutines of their own; the turn keeps the order.
func (p *BasePort) deliver() {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.mu.Lock()
	frame := p.queue[0]
	p.queue = p.queue[1:]
	p.mu.Unlock()
	if !p.closed.Load() {
		p.end.Deliver(frame)
	}
}
