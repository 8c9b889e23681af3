package vnetif

import (
	"encoding/binary"
	"slices"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/vnreplay/vnreplay/switch"
)

// ownFragments are the fragments of UDP datagrams that a router sends itself. The stack leaves
// the checksum of these to the network card, whose the link is (see forwarding); it is known
// with all of the fragments only, and stands in the first. The stack cuts a datagram at once,
// so that they wait for no time; in real time, when it is just finding out the neighbour's
// Ethernet address, they may come in another order.
type ownFragments struct {
	mu    sync.Mutex
	held  map[fragmentsOf][]udpFragment
	begun []fragmentsOf // in their order
}

// fragmentsOf is what fragments of one datagram have in common.
type fragmentsOf struct {
	src, dst tcpip.Address
	id       uint32
}

// mostHeld bounds the datagrams of which a fragment is missing. Of others the first are given
// up: what is missing was lost in the stack.
const mostHeld = 64

// udpFragment is a fragment in a frame without tags.
type udpFragment struct {
	fragmentsOf
	offset  int // of its payload, in bytes
	more    bool
	payload []byte
	frame   []byte
}

func readUDPFragment(frame []byte) (u udpFragment, ok bool) {
	if len(frame) < vswitch.HeaderLen {
		return u, false
	}
	p := frame[vswitch.HeaderLen:]
	switch tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(frame[12:])) {
	case header.IPv4ProtocolNumber:
		ip := header.IPv4(p)
		if !ip.IsValid(len(p)) || ip.TransportProtocol() != header.UDPProtocolNumber || !ip.More() && ip.FragmentOffset() == 0 {
			return u, false
		}
		return udpFragment{fragmentsOf{ip.SourceAddress(), ip.DestinationAddress(), uint32(ip.ID())}, int(ip.FragmentOffset()), ip.More(), ip.Payload(), frame}, true
	case header.IPv6ProtocolNumber:
		ip := header.IPv6(p)
		if !ip.IsValid(len(p)) || ip.NextHeader() != uint8(header.IPv6FragmentExtHdrIdentifier) || len(ip.Payload()) < header.IPv6FragmentHeaderSize {
			return u, false
		}
		f := header.IPv6Fragment(ip.Payload())
		if f.TransportProtocol() != header.UDPProtocolNumber {
			return u, false
		}
		return udpFragment{fragmentsOf{ip.SourceAddress(), ip.DestinationAddress(), f.ID()}, 8 * int(f.FragmentOffset()), f.More(), f.Payload(), frame}, true
	}
	return u, false
}

// whole returns the frames that may leave with this one: itself, or none while a datagram of
// the router's own is not whole, and then all of its fragments, with its checksum.
func (o *ownFragments) whole(frame []byte, own map[tcpip.Address]bool) [][]byte {
	u, ok := readUDPFragment(frame)
	if !ok || !own[u.src] {
		return [][]byte{frame}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.held[u.fragmentsOf]
	if slices.ContainsFunc(all, func(before udpFragment) bool { return before.offset == u.offset }) {
		o.forget(u.fragmentsOf) // of an older datagram of the same number
		all = nil
	}
	all = append(all, u)
	slices.SortFunc(all, func(a, b udpFragment) int { return a.offset - b.offset })
	var payload []byte
	for _, part := range all {
		if part.offset == len(payload) {
			payload = append(payload, part.payload...)
		}
	}
	last := all[len(all)-1]
	if last.more || last.offset+len(last.payload) != len(payload) {
		o.hold(u.fragmentsOf, all)
		return nil
	}
	o.forget(u.fragmentsOf)
	fillChecksum(header.UDPProtocolNumber, u.src, u.dst, payload)
	copy(all[0].payload, payload[:min(len(all[0].payload), header.UDPMinimumSize)])
	var frames [][]byte
	for _, part := range all {
		frames = append(frames, part.frame)
	}
	return frames
}

// hold keeps the fragments of a datagram that is not whole; o.mu is held.
func (o *ownFragments) hold(of fragmentsOf, all []udpFragment) {
	if o.held[of] == nil {
		if len(o.begun) >= mostHeld {
			o.forget(o.begun[0])
		}
		o.begun = append(o.begun, of)
	}
	if o.held == nil {
		o.held = map[fragmentsOf][]udpFragment{}
	}
	o.held[of] = all
}

// forget lets go of a datagram; o.mu is held.
func (o *ownFragments) forget(of fragmentsOf) {
	delete(o.held, of)
	o.begun = slices.DeleteFunc(o.begun, func(other fragmentsOf) bool { return other == of })
}
