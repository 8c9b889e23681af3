package vswitch_test

import (
	"bytes"
	"slices"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// bridge is a second, slow and simple account of what a switch does with a frame,
// to compare the real one with.
type bridge struct {
	cfg   vswitch.SwitchConfig
	known []learned
}

// learned is an address that was a source, the last time.
type learned struct {
	mac  string
	port *vswitch.Port
	seen time.Time
}

// forward returns who gets the frame, given the open ports but the ingress.
func (b *bridge) forward(e *vswitch.Sent, open []*vswitch.Port) (to []*vswitch.Port, reserved bool) {
	// The switch sees what the sender's cable makes of the frame, if it comes through.
	seen, dropped := bytes.Clone(e.Data), false
	for _, h := range e.Hits {
		if h.To == nil {
			dropped = dropped || h.Drop
			for _, ed := range h.Edits {
				copy(seen[ed.Offset:], ed.New)
			}
		}
	}
	if b.cfg.Hub {
		return open, false
	}
	dst, src := string(seen[0:6]), string(seen[6:12])
	if !dropped && src[0]&1 == 0 {
		b.learn(src, e.From, e.At)
	}
	if dst[:5] == "\x01\x80\xc2\x00\x00" && dst[5] < 16 {
		return nil, true
	}
	for _, k := range b.known {
		if k.mac == dst && e.At.Sub(k.seen) <= b.cfg.Ageing {
			if k.port == e.From {
				return nil, false
			}
			return []*vswitch.Port{k.port}, false
		}
	}
	return open, false
}

func (b *bridge) learn(mac string, p *vswitch.Port, at time.Time) {
	for i := range b.known {
		if b.known[i].mac == mac {
			b.known[i] = learned{mac, p, at}
			return
		}
	}
	if len(b.known) >= b.cfg.MACs { // room is made only when it is needed
		b.known = slices.DeleteFunc(b.known, func(k learned) bool { return at.Sub(k.seen) > b.cfg.Ageing })
	}
	if len(b.known) < b.cfg.MACs {
		b.known = append(b.known, learned{mac, p, at})
	}
}

// forget takes out what was learned behind a port that is closed.
func (b *bridge) forget(p *vswitch.Port) {
	if b != nil {
		b.known = slices.DeleteFunc(b.known, func(k learned) bool { return k.port == p })
	}
}
