package live

import (
	"errors"
	"net"
	"sync"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/tap"
)

// link joins a device to a port.
type link struct {
	dev  tap.Device
	port *vswitch.Port
	done chan struct{}
	once sync.Once
	err  error
}

const linkBatch = 64

func connect(sw *vswitch.Switch, cfg vswitch.PortConfig, dev tap.Device) (*link, error) {
	l := &link{dev: dev, done: make(chan struct{})}
	if cfg.MTU == 0 {
		cfg.MTU = dev.MTU()
	}
	if a, ok := dev.(tap.Addressed); ok && cfg.MAC == (vswitch.MAC{}) {
		cfg.MAC = a.MAC()
	}
	var err error
	if l.port, err = sw.Connect(cfg, l); err != nil {
		return nil, err
	}
	go l.read()
	return l, nil
}

func (l *link) Deliver(data []byte) { l.DeliverBatch([][]byte{data}) }

func (l *link) DeliverBatch(frames [][]byte) {
	if _, err := l.dev.Write(frames); err != nil {
		l.fail(err)
	}
}

func (l *link) read() {
	bufs, sizes := make([][]byte, linkBatch), make([]int, linkBatch)
	for i := range bufs {
		bufs[i] = make([]byte, tap.MaxFrame)
	}
	frames := make([][]byte, linkBatch)
	for {
		n, err := l.dev.Read(bufs, sizes)
		if err != nil {
			l.fail(err)
			return
		}
		for i := range n {
			frames[i] = bufs[i][:sizes[i]]
		}
		if _, err := l.port.SendBatch(frames[:n]); errors.Is(err, net.ErrClosed) {
			l.fail(err)
			return
		}
	}
}

func (l *link) fail(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.done)
		l.port.Close()
	})
}

func (l *link) Done() <-chan struct{} { return l.done }
func (l *link) Err() error            { return l.err }
func (l *link) Close() error          { return l.dev.Close() }
