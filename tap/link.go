package tap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// ErrVirtual: a device of the real world was to be plugged into a world in virtual time.
var ErrVirtual = errors.New("devices of the real world need a world in real time (vswitch.Config.RealTime)")

// Link is a device that is plugged into a port of a switch.
type Link struct {
	dev  Device
	port *vswitch.Port

	over sync.WaitGroup // the goroutine that reads the device
	done chan struct{}

	mu      sync.Mutex
	err     error // why the device is of no more use
	closing bool
}

// Connect plugs dev into a new port of sw, whose world must be in real time. From cfg it
// takes what is not zero; the device knows the rest: Name, MTU and, if it is [Addressed],
// MAC. A goroutine reads the device and waits with the next frames while the switch does
// ([vswitch.Port.SendBatch]); the port's own goroutine writes to it, and while that waits,
// so do those who send to the port, for as long as cfg.Patience says.
//
// The device is the link's from then on, unless there is an error. The link ends with
// [Link.Close], with the run, or when the device fails; then it closes device and port.
func Connect(sw *vswitch.Switch, cfg vswitch.PortConfig, dev Device) (*Link, error) {
	world := sw.World()
	if !world.RealTime() {
		return nil, fmt.Errorf("%s: %w", dev.Name(), ErrVirtual)
	}
	if cfg.Name == "" {
		cfg.Name = dev.Name()
	}
	if cfg.MTU == 0 {
		cfg.MTU = dev.MTU()
	}
	if a, ok := dev.(Addressed); ok && cfg.MAC == (vswitch.MAC{}) {
		cfg.MAC = a.MAC()
	}
	l := &Link{dev: dev, done: make(chan struct{})}
	var err error
	if l.port, err = sw.Connect(cfg, writer{l}); err != nil {
		return nil, fmt.Errorf("%s: %w", dev.Name(), err)
	}
	l.over.Go(l.pump)
	world.Background("link "+cfg.Name, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return l.Close()
		case <-l.done:
			return nil
		}
	})
	return l, nil
}

// Port is the port that the device is plugged into.
func (l *Link) Port() *vswitch.Port { return l.port }

// Device is the device.
func (l *Link) Device() Device { return l.dev }

// Done is closed when the link has ended.
func (l *Link) Done() <-chan struct{} { return l.done }

// Err is the device's error, if that has ended the link, or nil.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close ends the link: nothing is read from the device any more, it is closed, and so is
// the port. It waits until that is done. The error is that of closing; that of the device is
// Err's. Closing again does nothing and returns nil.
func (l *Link) Close() error {
	l.mu.Lock()
	again := l.closing
	l.closing = true
	l.mu.Unlock()
	if again {
		l.over.Wait()
		return nil
	}
	err := l.dev.Close()
	l.over.Wait()
	return err
}

// batchFrames is how many frames are taken from a device at once.
const batchFrames = 64

// pump sends what the device reads, until that fails.
func (l *Link) pump() {
	defer close(l.done)
	defer l.port.Close() // an error is that of a recorder, which has ended the run
	bufs, sizes := make([][]byte, batchFrames), make([]int, batchFrames)
	room := make([]byte, batchFrames*MaxFrame)
	for i := range bufs {
		bufs[i] = room[i*MaxFrame:][:MaxFrame:MaxFrame]
	}
	frames := make([][]byte, batchFrames)
	for {
		n, err := l.dev.Read(bufs, sizes)
		if err != nil {
			l.fail(err)
			return
		}
		for i := range n {
			frames[i] = bufs[i][:sizes[i]]
		}
		// What the port refuses, it counts.
		if _, err := l.port.SendBatch(frames[:n]); errors.Is(err, net.ErrClosed) {
			l.dev.Close()
			return
		}
	}
}

// fail notes why the device is of no more use, and closes it.
func (l *Link) fail(err error) {
	l.mu.Lock()
	if l.err == nil && !l.closing && !errors.Is(err, net.ErrClosed) {
		l.err = err
	}
	l.mu.Unlock()
	l.dev.Close()
}

// writer is the endpoint at the link's port.
type writer struct{ link *Link }

var _ vswitch.BatchEndpoint = writer{}

// Deliver writes one frame.
func (w writer) Deliver(data []byte) { w.DeliverBatch([][]byte{data}) }

// DeliverBatch writes frames, and waits as long as the device does. When the device fails
// the port is closed: frames that nobody gets must not count as delivered.
func (w writer) DeliverBatch(frames [][]byte) {
	if _, err := w.link.dev.Write(frames); err != nil {
		w.link.fail(err)
	}
}
