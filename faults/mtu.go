package faults

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// mtu loses frames that are too long, in silence or with an error to the sender.
type mtu struct {
	size     int  // bytes after the Ethernet header and a VLAN tag
	tell     bool // inside the sender's write
	tellWord token
}

func startMTU() (action, []clause) {
	a := &mtu{}
	return a, []clause{
		{word: "SIZE", shape: "BYTES", match: looksLikeValue, parse: func(p *parser, t token) error {
			n, err := p.whole(t, "an MTU", 1, vswitch.MaxMTU)
			a.size = int(n)
			return err
		}},
		{word: "error", shape: "error", parse: func(_ *parser, word token) error {
			a.tell, a.tellWord = true, word
			return nil
		}},
	}
}

func (*mtu) word() string  { return "mtu" }
func (a *mtu) draws() bool { return false }

func (a *mtu) options() []string {
	parts := []string{formatInt(a.size)}
	if a.tell {
		parts = append(parts, "error")
	}
	return parts
}

func (a *mtu) check(p *parser) error {
	if a.size == 0 {
		return p.errorf(p.end, "which MTU? mtu 1400: bytes after the Ethernet header")
	}
	return nil
}

func (a *mtu) checkRule(p *parser, r *Rule) error {
	switch {
	case !a.tell:
		return nil
	case r.to != "":
		return p.errorf(a.tellWord, "only a frame's sender can be given an error: mtu %d error from PORT", a.size)
	case r.when.after != (amount{}) || r.when.until != (amount{}):
		// Frames are counted when they enter, which is later than the write.
		return p.errorf(a.tellWord, `inside the sender's write only the time is known: use "during", or on and off`)
	}
	return nil
}

// length is what counts against an MTU.
func (a *mtu) length(data []byte) int {
	n := len(data) - vswitch.HeaderLen
	if t := binary.BigEndian.Uint16(data[12:]); t == typeVLAN || t == typeQinQ {
		n -= 4
	}
	return n
}

func (a *mtu) verdict(s *subject, v *vswitch.Verdict) {
	if n := a.length(s.frame.Data); n > a.size && !a.tell {
		v.Drop, v.Reason = true, fmt.Sprintf("mtu:%d/%d", n, a.size)
	}
}

// gate is a compiled "mtu N error".
type gate struct{ *Compiled }

var _ vswitch.Gate = gate{}

// Refuse gives the sender the error; see [vswitch.Gate].
func (g gate) Refuse(from *vswitch.Port, data []byte, at time.Time) error {
	a := g.rule.what.(*mtu)
	if g.idle || a.length(data) <= a.size || !g.rule.where.on(from, nil) || !g.rule.where.fits(data) ||
		!g.rule.when.onTime(at.Sub(from.Switch().World().Start())) {
		return nil
	}
	return &vswitch.SizeError{Port: from.Name(), Len: len(data), MTU: a.size}
}

func (a *mtu) says() string {
	if a.tell {
		return fmt.Sprintf("refuses those with more than %d bytes after the Ethernet header: the write fails", a.size)
	}
	return fmt.Sprintf("loses those with more than %d bytes after the Ethernet header", a.size)
}
