package vnetif

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/vnreplay/vnreplay/switch"
)

// liveLink is the link of a host in real time, where speed counts. Like a network card
// it offers to cut up what TCP sends (segment.go) and puts together what TCP receives
// (coalesce.go), so that the stack handles up to 64 kB at once; on the cable, and so in
// a recording, are the frames that a wire would carry, with their checksums.
type liveLink struct {
	link
	run run // the port's goroutine's

	// verified says that the checksums of the packet that is being handed over have
	// been verified: those of one that was put together do not hold any more. gVisor
	// asks for it as a capability, with every packet that it is given.
	verified atomic.Bool
}

var (
	_ vswitch.BatchEndpoint = (*liveLink)(nil)
	_ stack.GSOEndpoint     = (*liveLink)(nil)
)

func (l *liveLink) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

func (l *liveLink) Capabilities() stack.LinkEndpointCapabilities {
	c := l.link.Capabilities()
	if l.verified.Load() {
		c |= stack.CapabilityRXChecksumOffload
	}
	return c
}

// Deliver hands over one frame.
func (l *liveLink) Deliver(data []byte) { l.DeliverBatch([][]byte{data}) }

// DeliverBatch hands frames to the stack; see link.Deliver.
func (l *liveLink) DeliverBatch(frames [][]byte) {
	l.mu.RLock()
	d := l.dispatcher
	l.mu.RUnlock()
	if d == nil {
		return
	}
	for len(frames) > 0 {
		data := l.take(frames[0])
		frames = frames[1:]
		switch {
		case data == nil:
		case l.forward != nil: // a router must forward what came
			l.verified.Store(false)
			for _, piece := range l.forward.pieces(data) {
				l.hand(d, piece)
			}
		case !l.run.begin(data):
			l.verified.Store(false)
			l.hand(d, data)
		default:
			for len(frames) > 0 {
				if next := l.take(frames[0]); next == nil || !l.run.add(next) {
					break
				}
				frames = frames[1:]
			}
			l.verified.Store(true)
			pkt := l.run.packet()
			d.DeliverNetworkPacket(0, pkt)
			pkt.DecRef()
		}
	}
}

// outgoing is frames being put together for the port: one behind the other.
type outgoing struct {
	data   []byte
	frames [][]byte
}

var outgoings = sync.Pool{New: func() any { return &outgoing{data: make([]byte, 0, 128<<10)} }}

// room returns space for a frame of n bytes. Frames that were given out before stay
// where they are.
func (o *outgoing) room(n int) []byte {
	at := len(o.data)
	if at+n > cap(o.data) {
		o.data, at = make([]byte, 0, max(n, 128<<10)), 0
	}
	o.data = o.data[:at+n]
	frame := o.data[at : at+n : at+n]
	o.frames = append(o.frames, frame)
	return frame
}

// WritePackets puts frames on the port's cable, which may take until receivers have
// room.
func (l *liveLink) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	o := outgoings.Get().(*outgoing)
	defer func() {
		clear(o.frames)
		o.data, o.frames = o.data[:0], o.frames[:0]
		outgoings.Put(o)
	}()
	for n, pkt := range pkts.AsSlice() {
		o.data, o.frames = o.data[:0], o.frames[:0]
		l.lead(pkt)
		l.frames(o, pkt)
		if _, err := l.port.SendBatch(o.frames); err != nil {
			return n, sendError(err)
		}
	}
	return pkts.Len(), nil
}
