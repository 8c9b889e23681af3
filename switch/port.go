package vswitch

import (
	"sync/atomic"
	"time"
)

// Defaults of a [PortConfig].
const (
	DefaultMTU     = 1500
	DefaultLatency = 25 * time.Microsecond
	DefaultQueue   = 1000 // frames
	MaxMTU         = 65535
)

// Endpoint is what hangs at a port's cable.
type Endpoint interface {
	// Deliver hands over one frame, with its Ethernet header, that arrived now.
	// It is called by the world's loop and must not block. data is the
	// endpoint's own copy: it may change it, and must not keep it after Deliver
	// returns. An endpoint that cannot take the frame drops it and counts.
	Deliver(data []byte)
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
	// a frame takes the sender's and the receiver's. Default DefaultLatency,
	// at least 1ns, at most MaxDelay.
	Latency time.Duration

	// Rate limits the cable in each direction, in bits per second of frame
	// bytes (Ethernet header included; preamble, FCS and gap not). 0: no limit.
	Rate int64

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

	// The loop's; fields of counters for refused frames are guarded by mu.
	closed   bool
	up       wire // from the endpoint to the switch
	downlink wire // from the switch to the endpoint
	seq      uint64
	inFlight uint64
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

// Switch returns the switch the port belongs to.
func (p *Port) Switch() *Switch { return p.sw }

// Counters returns the port's books. Call it when the world is not running, or
// from what its loop calls (an endpoint, a rule, a recorder).
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

// maxLen is the longest frame that fits the port's MTU, given the frame's tag.
func (p *Port) maxLen(frame []byte) int {
	n := p.cfg.MTU + HeaderLen
	if tpid := [2]byte(frame[12:]); tpid == [2]byte{0x81, 0x00} || tpid == [2]byte{0x88, 0xa8} {
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
	w.change("cable "+p.cfg.Name, func() {
		if p.down.Load() == up && !p.closed {
			p.sw.changed(&Changed{Time: w.Now(), What: what, Port: p})
		}
		p.down.Store(!up)
	})
}

// Close takes the port off its switch: what was sent before is still forwarded,
// nothing is delivered any more, and frames in flight towards it are counted.
// It may be called more than once and does not block.
func (p *Port) Close() error {
	w := p.sw.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if !p.closing {
		p.closing = true
		w.markDirty(p)
	}
	return nil
}
