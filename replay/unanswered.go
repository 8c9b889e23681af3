package replay

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/vnreplay/vnreplay/pcap"
)

// Where a live side may say more than the capture has, because the capture has less
// than was said, or another stack spares some.

// repeats reports whether a datagram is a captured answer once more, because its
// question was played more than once: it stands in the capture twice, with one
// answer.
func (p *datagramPeer) repeats(d *pcap.Decoded) bool {
	if p.me != 0 {
		return false
	}
	answered := slices.ContainsFunc(p.Datagrams, func(w *Datagram) bool {
		return w.From == p.Live && !w.Unreachable && w.Seq == seqOf(d) && bytes.Equal(w.Payload, d.Payload)
	})
	again := 0
	for i, w := range p.Datagrams {
		if w.From == p.me && !w.lost && slices.ContainsFunc(p.Datagrams[:i], func(x *Datagram) bool {
			return x.From == p.me && !x.lost && x.Seq == w.Seq && bytes.Equal(x.Payload, w.Payload)
		}) {
			again++
		}
	}
	if !answered || p.again >= again {
		return false
	}
	p.again++
	return true
}

// seqOf is the sequence number of an echo message, 0 for others.
func seqOf(d *pcap.Decoded) uint16 {
	if d.ICMP != nil {
		return d.ICMP.Seq
	}
	return 0
}

// spared reports whether one more ICMP error that the port is unreachable is one of
// those that the captured host spared: hosts limit their rate (RFC 1812, 4.3.2.8,
// and RFC 4443, 2.4).
func (p *datagramPeer) spared() bool {
	played, errors := 0, 0
	for _, d := range p.Datagrams {
		switch {
		case d.From == p.me && !d.lost && !d.Unreachable:
			played++
		case d.From == p.Live && d.Unreachable:
			errors++
		}
	}
	if errors == 0 || errors+p.again >= played {
		return false
	}
	p.again++
	return true
}

// closedPorts finds the conversations of UDP in which a port that was open, or is
// later, is closed: nothing that is said tells when.
func (a *analyser) closedPorts() {
	type use struct {
		conv *Conversation
		last int
	}
	uses := map[netip.AddrPort][]use{}
	for _, c := range a.Conversations {
		for end := range c.Ends {
			var frames []int
			for _, d := range c.Datagrams {
				if d.From == end && !d.Unreachable {
					frames = append(frames, d.Frame)
				}
			}
			if len(frames) > 0 && c.Proto == UDP {
				uses[c.Ends[end]] = append(uses[c.Ends[end]], use{c, frames[len(frames)-1]})
			}
		}
	}
	for _, c := range a.Conversations {
		for _, d := range c.Datagrams {
			if !d.Unreachable {
				continue
			}
			for _, u := range uses[c.Ends[d.From]] {
				if u.conv != c || u.last > d.Frame {
					c.cannot("port %d of %v is closed (frame %d) and at another time open (frame %d)", c.Ends[d.From].Port(), c.Ends[d.From].Addr(), d.Frame, u.last)
				}
			}
		}
	}
}
