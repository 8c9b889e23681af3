package vnetif

import (
	"errors"
	"sync"

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
// It offers no checksum offload, so that checksums in recordings are real and
// corrupted frames are noticed, and gVisor's segmentation in software, so that
// frames are no bigger than the wire's.
type link struct {
	port *vswitch.Port
	mac  tcpip.LinkAddress

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher
}

var (
	_ stack.LinkEndpoint = (*link)(nil)
	_ stack.GSOEndpoint  = (*link)(nil)
	_ vswitch.Endpoint   = (*link)(nil)
)

// Deliver hands a frame to the stack; gVisor copies it. Like a network card, it
// takes no frame that is for another address: gVisor itself does not look.
func (l *link) Deliver(data []byte) {
	if dst := vswitch.MAC(data[:6]); !dst.IsGroup() && dst != l.port.MAC() {
		return
	}
	l.mu.RLock()
	d := l.dispatcher
	l.mu.RUnlock()
	if d == nil {
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		Payload: buffer.MakeWithView(buffer.NewViewWithData(data)),
	})
	d.DeliverNetworkPacket(0, pkt)
	pkt.DecRef()
}

// WritePackets puts frames on the port's cable. A full port is the stack's
// "no buffer space", which it counts.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	for _, pkt := range pkts.AsSlice() {
		switch err := l.port.Sendv(pkt.AsSlices()); {
		case err == nil:
			n++
		case errors.Is(err, vswitch.ErrTooBig):
			return n, &tcpip.ErrMessageTooLong{}
		case errors.Is(err, vswitch.ErrQueueFull):
			return n, &tcpip.ErrNoBufferSpace{}
		default:
			return n, &tcpip.ErrClosedForSend{}
		}
	}
	return n, nil
}

// MTU includes the Ethernet header, which link/ethernet subtracts.
func (l *link) MTU() uint32 { return uint32(l.port.MTU() + vswitch.HeaderLen) }

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

func (l *link) LinkAddress() tcpip.LinkAddress               { return l.mac }
func (l *link) Capabilities() stack.LinkEndpointCapabilities { return 0 }
func (l *link) GSOMaxSize() uint32                           { return stack.GVisorGSOMaxSize }
func (l *link) SupportedGSO() stack.SupportedGSO             { return stack.GVisorGSOSupported }
func (l *link) MaxHeaderLength() uint16                      { return 0 }
func (l *link) ARPHardwareType() header.ARPHardwareType      { return header.ARPHardwareEther }
func (l *link) AddHeader(*stack.PacketBuffer)                {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool         { return true }
func (l *link) SetMTU(uint32)                                {}
func (l *link) SetLinkAddress(tcpip.LinkAddress)             {}
func (l *link) Wait()                                        {}
func (l *link) Close()                                       {}
func (l *link) SetOnCloseAction(func())                      {}
