package backendtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

const (
	// hangs is how long, in real time, a rule may take: milliseconds, if all is well.
	hangs = 20 * time.Second
	// patience is how long, on the world's clock, a frame may take.
	patience = 5 * time.Second
	// What is not to come is waited for so long after everything else has come.
	silence     = time.Second
	liveSilence = 50 * time.Millisecond
)

// lab is a world with a backend in which one rule is checked.
type lab struct {
	world    *vswitch.World
	clock    *vswitch.Node
	connect  func(vswitch.PortConfig, vswitch.Endpoint) (vnetif.Port, error)
	stations []*station
}

// check makes a world with a backend and runs a rule in it.
func check[P vnetif.Port](cfg vswitch.Config, create func(*vswitch.World) (vnetif.Backend[P], error), rule func(l *lab, on vnetif.Backend[P]) error) error {
	w := vswitch.NewWorld(cfg)
	on, err := create(w)
	if err != nil {
		return errors.Join(fmt.Errorf("making the backend: %w", err), w.Close())
	}
	if on.World() != w {
		return errors.Join(errors.New("its World is another one than the backend was made for"), w.Close())
	}
	l := &lab{world: w, connect: func(cfg vswitch.PortConfig, e vswitch.Endpoint) (vnetif.Port, error) {
		p, err := on.Connect(cfg, e)
		if err != nil {
			return nil, fmt.Errorf("connect %+v: %w", cfg, err)
		}
		return p, nil
	}}
	done := make(chan error, 1)
	go func() {
		var err error
		if l.clock, err = w.NewNode("backendtest"); err == nil {
			err = rule(l, on)
		}
		done <- errors.Join(err, w.Close())
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(hangs):
		return fmt.Errorf("it hangs: a call of Connect, Send, Deliver or Close has not returned within %v (is a lock held while Deliver is called?)", hangs)
	}
}

// run runs the world.
func (l *lab) run(main func() error) error {
	return l.world.Run(context.Background(), func(context.Context) error { return main() })
}

// pause parks the caller on the world's clock.
func (l *lab) pause(d time.Duration) error {
	passed := make(chan struct{}, 1)
	op := vswitch.Op{Kind: vswitch.OpSleep, What: d.String, Try: func() bool { return len(passed) > 0 }}
	timer := l.clock.AppClock(0).AfterFunc(d, func() {
		passed <- struct{}{}
		l.clock.Wake(&op)
	})
	defer timer.Stop()
	return l.clock.Do(&op)
}

// until waits, for as long as a frame may take, until a condition holds.
func (l *lab) until(holds func() bool) error {
	for end := l.world.Now().Add(patience); !holds() && l.world.Now().Before(end); {
		if err := l.pause(time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// quiet waits for what is not to come.
func (l *lab) quiet() error {
	if l.world.RealTime() {
		return l.pause(liveSilence)
	}
	return l.pause(silence)
}

// station is an endpoint that keeps what it gets, and its port.
type station struct {
	vnetif.Port
	name string

	mu       sync.Mutex
	got      [][]byte
	then     func(frame []byte) error // called with each frame
	underWay int
	crossed  bool  // a call of Deliver began during another
	closed   bool  // Close has returned
	late     int   // calls that began thereafter
	failed   error // what then said
}

// plug connects a new station for each of the configurations.
func (l *lab) plug(cfgs ...vswitch.PortConfig) ([]*station, error) {
	for _, cfg := range cfgs {
		s := &station{name: string(rune('a' + len(l.stations)))}
		var err error
		if s.Port, err = l.connect(cfg, s); err != nil {
			return nil, err
		}
		l.stations = append(l.stations, s)
	}
	return l.stations, nil
}

// hub connects n stations with default configurations.
func (l *lab) hub(n int) ([]*station, error) { return l.plug(make([]vswitch.PortConfig, n)...) }

// Deliver implements vswitch.Endpoint.
func (s *station) Deliver(data []byte) {
	s.mu.Lock()
	s.crossed = s.crossed || s.underWay > 0
	s.underWay++
	if s.closed {
		s.late++
	}
	s.got = append(s.got, bytes.Clone(data))
	then := s.then
	s.mu.Unlock()
	var err error
	if then != nil {
		err = then(data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = errors.Join(s.failed, err)
	s.underWay--
}

// close closes the port, and notes that it has.
func (s *station) close() error {
	err := s.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if err != nil {
		return fmt.Errorf("port %s: Close: %w", s.name, err)
	}
	return nil
}

// frames are those the station has got so far.
func (s *station) frames() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func (s *station) count() int { return len(s.frames()) }

// wants says in which way what the station got is not these frames, in this order, each
// once.
func (s *station) wants(from *station, want ...[]byte) error {
	got := s.frames()
	for i, frame := range got {
		switch at := slices.IndexFunc(want, func(w []byte) bool { return bytes.Equal(w, frame) }); {
		case i < len(want) && bytes.Equal(frame, want[i]):
		case s == from:
			return fmt.Errorf("port %s was given back a frame that it sent itself (%s)", s.name, describe(frame))
		case at >= 0 && at < i:
			return fmt.Errorf("port %s got a frame twice (%s)", s.name, describe(frame))
		case at >= 0:
			return fmt.Errorf("port %s got frame %d of %d where frame %d was to come: one is lost, or the order is another", s.name, at+1, len(want), i+1)
		default:
			return fmt.Errorf("port %s got a frame that nobody sent to it, or not with these bytes (%s)", s.name, describe(frame))
		}
	}
	if len(got) < len(want) {
		return fmt.Errorf("port %s got %d of %d frames within %v", s.name, len(got), len(want), patience)
	}
	return nil
}

// frame is a frame with a number in it; size counts the Ethernet header.
func frame(dst vswitch.MAC, from *station, number, size int) []byte {
	src := from.MAC()
	b := append(append(dst[:], src[:]...), 0x88, 0xb5) // IEEE 802: local experiments
	if size >= len(b)+4 {
		b = binary.BigEndian.AppendUint32(b, uint32(number))
	}
	for i := len(b); i < size; i++ {
		b = append(b, byte(number+i))
	}
	return b
}

// verdict is what was wrong with the calls of Deliver so far.
func (s *station) verdict() (late int, crossed bool, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.late, s.crossed, s.failed
}

// describe is a frame in a message.
func describe(frame []byte) string {
	if len(frame) < vswitch.HeaderLen {
		return fmt.Sprintf("%d bytes, %x", len(frame), frame)
	}
	return fmt.Sprintf("%v > %v, %d bytes, payload %x", vswitch.MAC(frame[6:12]), vswitch.MAC(frame[:6]), len(frame),
		frame[vswitch.HeaderLen:min(len(frame), vswitch.HeaderLen+8)])
}
