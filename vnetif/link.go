package vnetif

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/vnreplay/vnreplay/switch"
)

// link joins a gVisor stack to a port: the stack's link endpoint on one side,
// the port's endpoint on the other. It lies under gVisor's link/ethernet, which
// adds and parses Ethernet headers.
//
// It offers no checksum offload (but see forwarding), so that checksums in recordings
// are real and corrupted frames are noticed, and gVisor's segmentation in software, so that
// frames are no bigger than the wire's.
type link struct {
	port wire
	mac  tcpip.LinkAddress
	nic  tcpip.NICID
	tags []byte // see HostConfig.Tags

	addrs []netip.Prefix // the interface's
	own4  [][4]byte      // those of IPv4, without their networks
	now   func() time.Time

	// linkLocal is a link-local address of a router's interface that has IPv6.
	linkLocal netip.Addr

	forward *forwarding // of a router's link; nil for others
	follow  *following  // of a host's; nil for others
	paths   *pathMTUs   // of a host's; nil for others

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher
}

var (
	_ stack.LinkEndpoint = (*link)(nil)
	_ stack.GSOEndpoint  = (*link)(nil)
	_ vswitch.Endpoint   = (*link)(nil)
)

// hasAddr reports whether an address is the interface's.
func (l *link) hasAddr(a netip.Addr) bool {
	return slices.ContainsFunc(l.addrs, func(p netip.Prefix) bool { return p.Addr() == a })
}

// Deliver hands a frame to the stack; gVisor copies it.
func (l *link) Deliver(data []byte) {
	l.mu.RLock()
	d := l.dispatcher
	l.mu.RUnlock()
	if d == nil {
		return
	}
	if data = l.take(data); data == nil {
		return
	}
	if l.forward == nil {
		l.hand(d, data)
		return
	}
	for _, piece := range l.forward.pieces(data) {
		l.hand(d, piece)
	}
}

// hand hands a frame to the stack.
func (l *link) hand(d stack.NetworkDispatcher, data []byte) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		Payload: buffer.MakeWithView(buffer.NewViewWithData(data)),
	})
	d.DeliverNetworkPacket(0, pkt)
	pkt.DecRef()
}

// take returns the frame as the stack is to see it, or nil if that has nothing to do with
// it. Like a network card, the link takes no frame that is for another station: gVisor
// itself does not look.
func (l *link) take(data []byte) []byte {
	if dst := vswitch.MAC(data[:6]); !dst.IsGroup() && dst != l.port.MAC() {
		return nil
	}
	if len(l.tags) > 0 {
		data = untagged(data)
	}
	if l.asksAnother(data) {
		return nil
	}
	if l.forward != nil {
		if l.forward.refuses(data) {
			return nil
		}
		l.forward.redirect(l, data, l.now())
		l.forward.arrives(data)
	} else {
		l.follow.hears(data)
		l.paths.hears(data)
	}
	return data
}

// asksAnother reports whether a frame without tags is an ARP request for an address that is
// not the interface's. The stack would pass over it, after a while: among many stations most
// of what one is given are these.
func (l *link) asksAnother(frame []byte) bool {
	if len(frame) < vswitch.HeaderLen+header.ARPSize || binary.BigEndian.Uint16(frame[12:]) != uint16(header.ARPProtocolNumber) {
		return false
	}
	arp := header.ARP(frame[vswitch.HeaderLen:])
	return arp.IsValid() && arp.Op() == header.ARPRequest && !slices.Contains(l.own4, [4]byte(arp.ProtocolAddressTarget()))
}

// WritePackets puts frames on the port's cable. A full port is the stack's
// "no buffer space", which it counts.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for n, pkt := range pkts.AsSlice() {
		l.lead(pkt)
		frames, ok := l.instead(pkt)
		if !ok {
			if err := l.send(pkt.AsSlices()); err != nil {
				return n, sendError(err)
			}
			continue
		}
		for _, frame := range frames {
			if err := l.send([][]byte{frame}); err != nil {
				return n, sendError(err)
			}
		}
	}
	return pkts.Len(), nil
}

// lead gives a packet with its Ethernet header, which is about to leave, to the router that
// a redirect has named.
func (l *link) lead(pkt *stack.PacketBuffer) {
	if l.follow != nil {
		l.follow.leads(pkt)
	}
}

// instead returns the frames that leave in place of a packet, there may be none for now, if
// others do.
func (l *link) instead(pkt *stack.PacketBuffer) (frames [][]byte, ok bool) {
	if l.forward != nil {
		return l.forward.leaves(slices.Concat(pkt.AsSlices()...)), true
	}
	frames = l.paths.cut(pkt)
	return frames, frames != nil
}

// sendError is gVisor's error for one of a port.
func sendError(err error) tcpip.Error {
	switch {
	case errors.Is(err, vswitch.ErrTooBig):
		return &tcpip.ErrMessageTooLong{}
	case errors.Is(err, vswitch.ErrQueueFull):
		return &tcpip.ErrNoBufferSpace{}
	}
	return &tcpip.ErrClosedForSend{}
}

// send puts a frame without tags on the port's cable.
func (l *link) send(parts [][]byte) error {
	if len(l.tags) > 0 {
		parts = l.tagged(parts)
	}
	return l.port.Sendv(parts)
}

const (
	tagLen      = 4
	maxTags     = 4
	addressesTo = 12 // where an Ethernet header's addresses end
)

// tagRoom is how many bytes of tags count against a port's MTU: vswitch has room for
// one 802.1Q tag beside it.
func tagRoom(tags []byte) int {
	if len(tags) >= tagLen && tags[0] == 0x81 && tags[1] == 0x00 {
		return len(tags) - tagLen
	}
	return len(tags)
}

// tagged puts the host's tags behind the addresses of a frame, which link/ethernet
// gives in the first part.
func (l *link) tagged(parts [][]byte) [][]byte {
	if len(parts) == 0 || len(parts[0]) < addressesTo {
		return parts
	}
	head := parts[0]
	return append([][]byte{head[:addressesTo], l.tags, head[addressesTo:]}, parts[1:]...)
}

// untagged returns a frame without its tags.
func untagged(data []byte) []byte {
	at := addressesTo
	for at+tagLen+2 <= len(data) && (data[at] == 0x81 && data[at+1] == 0x00 || data[at] == 0x88 && data[at+1] == 0xa8) {
		at += tagLen
	}
	if at == addressesTo {
		return data
	}
	return append(append(make([]byte, 0, len(data)), data[:addressesTo]...), data[at:]...)
}

// MTU includes the Ethernet header, which link/ethernet subtracts. The port allows
// for one 802.1Q tag (see vswitch.PortConfig).
func (l *link) MTU() uint32 {
	return uint32(l.port.MTU() + vswitch.HeaderLen - tagRoom(l.tags))
}

func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispatcher = d
}

func (l *link) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dispatcher != nil
}

func (l *link) LinkAddress() tcpip.LinkAddress { return l.mac }
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	if l.forward != nil {
		return stack.CapabilityTXChecksumOffload
	}
	return 0
}
func (l *link) GSOMaxSize() uint32                      { return stack.GVisorGSOMaxSize }
func (l *link) SupportedGSO() stack.SupportedGSO        { return stack.GVisorGSOSupported }
func (l *link) MaxHeaderLength() uint16                 { return 0 }
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
func (l *link) AddHeader(*stack.PacketBuffer)           {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (l *link) SetMTU(uint32)                           {}
func (l *link) SetLinkAddress(tcpip.LinkAddress)        {}
func (l *link) Wait()                                   {}
func (l *link) Close()                                  {}
func (l *link) SetOnCloseAction(func())                 {}
