package vnetif

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/vnreplay/vnreplay/switch"
)

// pathMTUs are what a host has learned of ways over IPv6 for which its packets were too big
// (RFC 8201). For TCP the stack makes its segments shorter. All else, as datagrams and pings, it
// would send as before, and nobody on the way may cut it: so the link does (RFC 8200, section
// 4.5), as kernels do.
type pathMTUs struct {
	link *link

	mu      sync.Mutex
	to      learned[int]
	firstID func() uint32 // at random
	lastID  uint32        // of a packet that was cut; 0 before the first
}

const pathMTUFor = 10 * time.Minute // RFC 8201, section 4

// hears is told of a frame without tags before the stack is.
func (m *pathMTUs) hears(frame []byte) {
	if len(frame) < vswitch.HeaderLen || tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(frame[12:])) != header.IPv6ProtocolNumber {
		return
	}
	ip := header.IPv6(frame[vswitch.HeaderLen:])
	if !ip.IsValid(len(ip)) || ip.NextHeader() != uint8(header.ICMPv6ProtocolNumber) {
		return
	}
	icmp := header.ICMPv6(ip.Payload())
	if len(icmp) < header.ICMPv6PacketTooBigMinimumSize+header.IPv6MinimumSize || icmp.Type() != header.ICMPv6PacketTooBig ||
		checksum.Checksum(icmp, header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(icmp)))) != 0xffff {
		return
	}
	about := header.IPv6(icmp[header.ICMPv6PacketTooBigMinimumSize:])
	mtu := max(int(icmp.MTU()), header.IPv6MinimumMTU)
	if !m.link.hasAddr(netipOf(about.SourceAddress())) || mtu >= int(m.link.MTU())-vswitch.HeaderLen {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.to.get(about.DestinationAddress()); !ok || mtu < known {
		m.to.put(about.DestinationAddress(), mtu)
	}
}

// cut returns the frames in place of a packet with its Ethernet header, which is about to
// leave and is too big for its way; otherwise nil.
func (m *pathMTUs) cut(pkt *stack.PacketBuffer) [][]byte {
	if !m.to.some.Load() || pkt.NetworkProtocolNumber != header.IPv6ProtocolNumber || pkt.Size() <= vswitch.HeaderLen+header.IPv6MinimumMTU {
		return nil
	}
	frame := slices.Concat(pkt.AsSlices()...)
	ip := header.IPv6(frame[vswitch.HeaderLen:])
	m.mu.Lock()
	defer m.mu.Unlock()
	mtu, ok := m.to.get(ip.DestinationAddress())
	if !ok || len(ip) <= mtu {
		return nil
	}
	switch next := ip.NextHeader(); next {
	case uint8(header.UDPProtocolNumber), uint8(header.ICMPv6ProtocolNumber):
		if m.lastID == 0 {
			m.lastID = m.firstID()
		}
		m.lastID++
		return fragments6(frame, mtu, next, ip.Payload(), 0, false, m.lastID)
	case uint8(header.IPv6FragmentExtHdrIdentifier): // cut by the stack to fit the cable
		f := header.IPv6Fragment(ip.Payload())
		if f.IsValid() && f.NextHeader() != uint8(header.TCPProtocolNumber) {
			return fragments6(frame, mtu, f.NextHeader(), f.Payload(), f.FragmentOffset(), f.More(), f.ID())
		}
	}
	return nil
}

// fragments6 returns frames with fragments that are no longer than the MTU: of the payload,
// which is at an offset in units of 8 bytes, and has more behind it or not. The frame gives the
// headers.
func fragments6(frame []byte, mtu int, next uint8, payload []byte, at uint16, more bool, id uint32) (all [][]byte) {
	const headers = vswitch.HeaderLen + header.IPv6MinimumSize
	most := (mtu - header.IPv6MinimumSize - header.IPv6FragmentHeaderSize) &^ 7
	for len(payload) > 0 {
		n := min(most, len(payload))
		b := append(make([]byte, 0, headers+header.IPv6FragmentHeaderSize+n), frame[:headers]...)
		ip := header.IPv6(b[vswitch.HeaderLen:])
		ip.SetPayloadLength(uint16(header.IPv6FragmentHeaderSize + n))
		ip.SetNextHeader(uint8(header.IPv6FragmentExtHdrIdentifier))
		flags := at << 3
		if more || n < len(payload) {
			flags |= 1
		}
		b = append(b, next, 0)
		b = binary.BigEndian.AppendUint16(b, flags)
		b = binary.BigEndian.AppendUint32(b, id)
		all = append(all, append(b, payload[:n]...))
		payload = payload[n:]
		at += uint16(n / 8)
	}
	return all
}
