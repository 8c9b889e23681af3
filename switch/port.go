package vswitch

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

// Defaults of a [PortConfig].
const (
	DefaultMTU     = 1500
	DefaultLatency = 25 * time.Microsecond
	// DefaultLiveLatency is what cables have in real time, where the machine's own
	// latencies come on top.
	DefaultLiveLatency = time.Nanosecond
	DefaultQueue       = 1000 // frames
	MaxMTU             = 65535
)

// Endpoint is what hangs at a port's cable.
type Endpoint interface {
	// Deliver hands over one frame, with its Ethernet header, that arrived now.
	// It is called by the world's loop and must not block. data is the
	// endpoint's own copy: it may change it, and must not keep it after Deliver
	// returns. An endpoint that cannot take the frame drops it and counts.
	//
	// In a world in real time it is called on a goroutine of the port's own and may
	// block: frames then wait for it, and after a while their senders; see
	// PortConfig.Patience.
	Deliver(data []byte)
}

// BatchEndpoint is an [Endpoint] that in a world in real time takes all frames at
// once that have arrived.
type BatchEndpoint interface {
	Endpoint
	// DeliverBatch is Deliver of several frames, in order. What holds there for data
	// holds here for each of frames, and for frames itself.
	DeliverBatch(frames [][]byte)
}

// EndpointFunc lets a plain function be an [Endpoint].
type EndpointFunc func(data []byte)

// Deliver calls fn.
func (fn EndpointFunc) Deliver(data []byte) { fn(data) }

// PortConfig describes a port and its cable. The zero value is a port with
// default name, address, MTU and latency, and no rate limit.
type PortConfig struct {
	// Name is how rules and recordings call the port: letters, digits, and
	// _ . - inside, and not one of the words all, none, from, to, if, during,
	// for, after, until. Default "port" and the port's number.
	Name string

	// MAC is the address of the endpoint behind the port. Default PortMAC(number).
	MAC MAC

	// MTU is the largest payload after the 14-byte Ethernet header, in bytes;
	// an 802.1Q or 802.1ad tag does not count. Default DefaultMTU, at most MaxMTU.
	MTU int

	// Latency is the one-way latency of the cable, the same in both directions;
	// a frame takes the sender's and the receiver's. Default DefaultLatency, or
	// DefaultLiveLatency in real time, at least 1ns, at most MaxDelay.
	Latency time.Duration

	// Rate limits the cable in each direction, in bits per second of frame
	// bytes (Ethernet header included; preamble, FCS and gap not). 0: no limit.
	Rate int64

	// Patience is how long, in a world in real time, a frame waits for this port's
	// endpoint when that has taken none of the many that wait for it: its sender waits
	// as long in [Port.Send]. When it is over, frames for the port are lost (LostQueue)
	// without waiting, until the endpoint takes some again. Default DefaultPatience;
	// negative: nobody waits.
	Patience time.Duration

	// Queue is how many frames may wait for a rate-limited direction, the one
	// being sent not counted; one more is dropped at the tail. Default
	// DefaultQueue. Without Rate it has no effect.
	Queue int
}

// Counters are a port's books. Tx is what the endpoint sent into the switch,
// Rx what the switch delivered to the endpoint. Bytes count Ethernet headers.
type Counters struct {
	TxFrames, TxBytes uint64
	RxFrames, RxBytes uint64

	// Frames that Send refused; they never entered the switch and are in no recording.
	Runts, Oversize, TxQueueFull uint64

	// What this port as a receiver lost, by cause (copies are not counted:
	// a lost frame has none).
	RxLost [len(lossNames)]uint64

	// Frames this port sent that were lost on its own cable, by cause other
	// than a rule.
	TxLost [len(lossNames)]uint64

	// Copies that rules made for this port as a receiver.
	RxCopies uint64

	// Frames and copies still in flight towards the port when it closed.
	RxInFlight uint64
}

// Port is one socket of a switch, with the cable plugged into it.
type Port struct {
	sw       *Switch
	cfg      PortConfig
	number   int
	endpoint Endpoint

	// Guarded by the world's mu.
	outbox  [][]byte
	dirty   bool
	closing bool
	down    atomic.Bool // set under mu
	gone    atomic.Bool // closed, for the goroutine of the inbox

	// The loop's; fields of counters for refused frames are guarded by mu.
	closed   bool
	up       wire // from the endpoint to the switch
	downlink wire // from the switch to the endpoint
	seq      uint64
	inFlight uint64
	inbox    inbox     // in real time
	src, dst *macEntry // of the last frame sent, or nil; see macTable
	counters Counters
}

// maxOutbox is how many frames an endpoint may send before the world's loop
// takes them; it bounds the memory that a goroutine that only sends can use.
const maxOutbox = 16384

// Number is the port's number: world-wide, from 0, in order of creation.
func (p *Port) Number() int { return p.number }

// Name is the port's name.
func (p *Port) Name() string { return p.cfg.Name }

// MAC is the address of the endpoint behind the port.
func (p *Port) MAC() MAC { return p.cfg.MAC }

// MTU is the largest payload after the Ethernet header, in bytes.
func (p *Port) MTU() int { return p.cfg.MTU }

// Latency is the cable's one-way latency.
func (p *Port) Latency() time.Duration { return p.cfg.Latency }

// Rate is the cable's limit in bit/s in each direction, 0 for none.
func (p *Port) Rate() int64 { return p.cfg.Rate }

// Queue is how many frames may wait for a rate-limited direction.
func (p *Port) Queue() int { return p.cfg.Queue }

// IsUp reports whether the port's cable is plugged in.
func (p *Port) IsUp() bool { return !p.down.Load() }

// Closed reports whether the port was taken off its switch. Call it where Counters may
// be called.
func (p *Port) Closed() bool { return p.closed }

// Switch returns the switch the port belongs to.
func (p *Port) Switch() *Switch { return p.sw }

// Counters returns the port's books. Call it when the world is not running, or
// from what its loop calls (an endpoint, a rule, a recorder); in real time from a rule,
// a recorder, or [Switch.Inspect].
func (p *Port) Counters() Counters {
	c := p.counters
	c.RxInFlight = p.inFlight
	return c
}

// Send puts one frame, with its Ethernet header and without FCS, on the cable.
// It copies data, never blocks, and may be called from any goroutine. The frame
// enters the switch at the current instant. The error is ErrRunt, a [*SizeError]
// (ErrTooBig), ErrQueueFull, that of a [Gate], or net.ErrClosed after Close; each
// refusal but the last is counted.
func (p *Port) Send(data []byte) error { return p.Sendv([][]byte{data}) }

// Sendv is [Port.Send] of one frame that lies in several pieces.
func (p *Port) Sendv(parts [][]byte) error {
	size := 0
	for _, b := range parts {
		size += len(b)
	}
	w := p.sw.w
	if w.cfg.RealTime {
		if len(parts) != 1 {
			parts = [][]byte{slices.Concat(parts...)}
		}
		_, err := p.sendLive(parts)
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case p.closing || w.phase >= closing:
		return errClosed
	case size < HeaderLen:
		p.counters.Runts++
		return ErrRunt
	case size > MaxMTU+HeaderLen+vlanTagLen:
		p.counters.Oversize++
		return &SizeError{Port: p.cfg.Name, Len: size, MTU: p.cfg.MTU}
	case len(p.outbox) >= maxOutbox:
		p.counters.TxQueueFull++
		return ErrQueueFull
	}
	data := w.buffer(size)
	for _, b := range parts {
		data = append(data, b...)
	}
	if size > p.maxLen(data) {
		w.release(data)
		p.counters.Oversize++
		return &SizeError{Port: p.cfg.Name, Len: size, MTU: p.cfg.MTU}
	}
	if err := p.sw.refuse(p, data); err != nil {
		w.release(data)
		return err
	}
	p.outbox = append(p.outbox, data)
	w.markDirty(p)
	return nil
}

// SendBatch is [Port.Send] of several frames, in order, which is faster in real time.
// Those that are refused are left out; sent is how many were not. It does not keep
// the frames. The error joins those of all refused frames; [net.ErrClosed] is among
// them when the port was closed or the run is over, and then no more are sent.
//
// In real time the fate of each frame is decided before SendBatch (and Send) returns,
// and both wait while too many frames wait for a receiver; see PortConfig.Patience.
func (p *Port) SendBatch(frames [][]byte) (sent int, err error) {
	if p.sw.w.cfg.RealTime {
		return p.sendLive(frames)
	}
	for _, data := range frames {
		refused := p.Send(data)
		if refused == errClosed {
			return sent, errors.Join(err, refused)
		}
		if refused == nil {
			sent++
		}
		err = errors.Join(err, refused)
	}
	return sent, err
}

// maxLen is the longest frame that fits the port's MTU, given the frame's tag.
func (p *Port) maxLen(frame []byte) int {
	n := p.cfg.MTU + HeaderLen
	if len(frame) > HeaderLen && (frame[12] == 0x81 && frame[13] == 0x00 || frame[12] == 0x88 && frame[13] == 0xa8) {
		n += vlanTagLen
	}
	return n
}

// SetUp plugs the cable in (true, the initial state) or pulls it out. Frames
// that enter while the sender's or the receiver's cable is down are lost and
// counted; frames in flight arrive. During a run it is an event ([Changed]), and
// takes effect like a change of rules; see [InstalledRule].
func (p *Port) SetUp(up bool) {
	what := CableDown
	if up {
		what = CableUp
	}
	w := p.sw.w
	p.sw.change("cable "+p.cfg.Name, func() {
		if p.down.Load() == up && !p.closed {
			p.sw.changed(&Changed{Time: w.Now(), What: what, Port: p})
		}
		p.down.Store(!up)
	})
}

// Close takes the port off its switch: what was sent before is still forwarded,
// nothing is delivered any more, and frames in flight towards it are counted.
// It may be called more than once and does not block. (In real time it waits for frames
// that are being decided; the error is that of a recorder.)
func (p *Port) Close() error {
	w := p.sw.w
	if w.cfg.RealTime {
		return p.sw.closePort(p)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !p.closing {
		p.closing = true
		w.markDirty(p)
	}
	return nil
}
