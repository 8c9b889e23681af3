package bench

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

const (
	// FrameSize is the length of the frames that are forwarded one by one, with
	// their Ethernet header.
	FrameSize = 1514

	frameBatch = 64   // frames handed over at once
	frameSlots = 1024 // different frames of a sender, so that no cache holds them all
	slotSize   = 2048 // bytes of memory for each
)

// Frames forwards frames from one port of a switch to another.
type Frames struct {
	Label string
	Count int // of frames
	Setting

	l      *lan
	sender *vswitch.Port
	got    counter
	frames [][]byte
}

// counter is the listener.
type counter struct{ frames, bytes atomic.Uint64 }

func (c *counter) Deliver(data []byte) { c.DeliverBatch([][]byte{data}) }

func (c *counter) DeliverBatch(frames [][]byte) {
	n := 0
	for _, f := range frames {
		n += len(f)
	}
	c.bytes.Add(uint64(n))
	c.frames.Add(uint64(len(frames)))
}

// Name is the label.
func (f *Frames) Name() string { return f.Label }

// Setup makes the switch and its two ports.
func (f *Frames) Setup(context.Context) (err error) {
	if f.l, err = newLAN(f.Setting); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.l.close()
		}
	}()
	f.got.frames.Store(0)
	f.got.bytes.Store(0)
	if f.sender, err = f.l.sw.Connect(f.l.port("writer"), &counter{}); err != nil {
		return err
	}
	listener, err := f.l.sw.Connect(f.l.port("listener"), &f.got)
	if err != nil {
		return err
	}
	// The switch learns where the listener is.
	if err := listener.Send(testFrame(vswitch.Broadcast, listener.MAC(), 60)); err != nil {
		return err
	}
	f.frames = testFrames(listener.MAC(), f.sender.MAC())
	return f.l.ready()
}

// Teardown ends the world and removes the recording.
func (f *Frames) Teardown() error { return f.l.close() }

// arrival is how long a frame that was sent may take to arrive before it counts
// as lost.
const arrival = 10 * time.Second

// Run sends the frames and waits until all have arrived.
func (f *Frames) Run(ctx context.Context) (r Result, err error) {
	sent := 0
	err = f.l.w.Run(ctx, func(ctx context.Context) error {
		watch := Start()
		for sent < f.Count && ctx.Err() == nil {
			at := sent % (frameSlots - frameBatch)
			n, err := f.sender.SendBatch(f.frames[at:][:min(frameBatch, f.Count-sent)])
			sent += n
			if err != nil {
				return err
			}
		}
		ruled := f.settle(ctx, uint64(sent))
		r.Elapsed, r.CPU = watch.Stop()
		r.Frames = f.got.frames.Load() + ruled
		r.Bytes = r.Frames * FrameSize
		r.Lost = uint64(sent) - min(r.Frames, uint64(sent))
		return nil
	})
	if err != nil {
		return r, err
	}
	return r, f.l.finish(&r)
}

// settle waits until frames that were sent have arrived or been lost by a rule,
// and returns how many were.
func (f *Frames) settle(ctx context.Context, sent uint64) (ruled uint64) {
	for began := time.Now(); ctx.Err() == nil && time.Since(began) < arrival; time.Sleep(10 * time.Microsecond) {
		if f.got.frames.Load() >= sent {
			return 0
		}
		if len(f.Rules) > 0 {
			ruled = lostByRules(f.l.sw)
			if f.got.frames.Load()+ruled >= sent {
				return ruled
			}
		}
	}
	return ruled
}

// lostByRules is how many frames rules have lost on a switch.
func lostByRules(sw *vswitch.Switch) (n uint64) {
	rules := sw.Rules()
	sw.Inspect(func() {
		for _, r := range rules {
			n += r.Counts().Dropped
		}
	})
	return n
}

// testFrames returns frames that lie apart in memory.
func testFrames(dst, src vswitch.MAC) [][]byte {
	arena := make([]byte, frameSlots*slotSize)
	frames := make([][]byte, frameSlots)
	for i := range frames {
		frames[i] = arena[i*slotSize:][:FrameSize]
		copy(frames[i], testFrame(dst, src, FrameSize))
	}
	return frames
}

// testFrame returns a frame that nothing is in.
func testFrame(dst, src vswitch.MAC, size int) []byte {
	b := append(append(make([]byte, 0, size), dst[:]...), src[:]...)
	b = binary.BigEndian.AppendUint16(b, 0x88b5) // for local experiments, IEEE 802
	return b[:size]
}

// Memcpy copies a frame through a ring of memory that no cache holds: what no
// switch that copies can do better.
type Memcpy struct {
	Label string
	Count int // of frames

	ring []byte
}

const ringSize = 64 << 20 // bytes

// Name is the label.
func (m *Memcpy) Name() string { return m.Label }

// Setup makes the ring.
func (m *Memcpy) Setup(context.Context) error {
	m.ring = make([]byte, ringSize)
	for i := range m.ring { // its pages are there
		m.ring[i] = 1
	}
	return nil
}

// Run copies.
func (m *Memcpy) Run(context.Context) (Result, error) {
	frame := testFrame(vswitch.Broadcast, vswitch.MAC{2}, FrameSize)
	watch := Start()
	for i := range m.Count {
		copy(m.ring[i*slotSize%ringSize:], frame)
	}
	r := Result{Frames: uint64(m.Count), Bytes: uint64(m.Count) * FrameSize}
	r.Elapsed, r.CPU = watch.Stop()
	return r, nil
}

// Teardown gives the ring back.
func (m *Memcpy) Teardown() error {
	m.ring = nil
	return nil
}
