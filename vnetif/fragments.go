package vnetif

import (
	"encoding/binary"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/vnreplay/vnreplay/switch"
)

// ownFragments are the fragments of UDP datagrams that a router sends itself. The stack leaves
// the checksum of these to the network card, whose the link is (see forwarding); it is known
// with the last fragment only, and stands in the first. The stack cuts a datagram at once, so
// that they wait for no time.
type ownFragments struct {
	mu   sync.Mutex
	held map[fragmentsOf][][]byte
}

// fragmentsOf is what fragments of one datagram have in common.
type fragmentsOf struct {
	src, dst tcpip.Address
	id       uint32
}

// mostHeld bounds the datagrams of which the last fragment is missing.
const mostHeld = 64

// udpFragment is a fragment in a frame without tags.
type udpFragment struct {
	fragmentsOf
	first, more bool
	payload     []byte
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
		return udpFragment{fragmentsOf{ip.SourceAddress(), ip.DestinationAddress(), uint32(ip.ID())}, ip.FragmentOffset() == 0, ip.More(), ip.Payload()}, true
	case header.IPv6ProtocolNumber:
		ip := header.IPv6(p)
		if !ip.IsValid(len(p)) || ip.NextHeader() != uint8(header.IPv6FragmentExtHdrIdentifier) || len(ip.Payload()) < header.IPv6FragmentHeaderSize {
			return u, false
		}
		f := header.IPv6Fragment(ip.Payload())
		if f.TransportProtocol() != header.UDPProtocolNumber {
			return u, false
		}
		return udpFragment{fragmentsOf{ip.SourceAddress(), ip.DestinationAddress(), f.ID()}, f.FragmentOffset() == 0, f.More(), ip.Payload()[header.IPv6FragmentHeaderSize:]}, true
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
	before, begun := o.held[u.fragmentsOf]
	switch {
	case !u.first && !begun || u.first && (begun || len(u.payload) < header.UDPMinimumSize || len(o.held) >= mostHeld):
		return [][]byte{frame}
	case u.more:
		if o.held == nil {
			o.held = map[fragmentsOf][][]byte{}
		}
		o.held[u.fragmentsOf] = append(before, frame)
		return nil
	}
	delete(o.held, u.fragmentsOf)
	all := append(before, frame)
	var payload []byte
	for _, f := range all {
		part, _ := readUDPFragment(f)
		payload = append(payload, part.payload...)
	}
	first, _ := readUDPFragment(all[0])
	binary.BigEndian.PutUint16(payload[6:], 0)
	sum := ^checksum.Checksum(payload, header.PseudoHeaderChecksum(header.UDPProtocolNumber, u.src, u.dst, uint16(len(payload))))
	if sum == 0 {
		sum = 0xffff // 0 says that there is none (RFC 768)
	}
	header.UDP(first.payload).SetChecksum(sum)
	return all
}
