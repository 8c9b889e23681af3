package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// A feed in real time is two goroutines: one reads the capture ahead, into a few
// buffers that go round, and one sends what is due.

// FeedTo is where the frames of a port go, in real time: to a device, such as those of
// package tap.
type FeedTo struct {
	// Port is whose frames go there; "" is for all frames, whatever ports there would be.
	Port string
	// Name is what messages call it.
	Name string
	// MTU is the largest payload after the Ethernet header, in bytes.
	MTU int
	// Write sends frames in order, blocks while they cannot be taken, and keeps none. n
	// is how many were taken; less than all only with an error.
	Write func(frames [][]byte) (n int, err error)
	// Connect plugs it into a switch, where frames have to pass one. What comes from it
	// is then recorded.
	Connect func(sw *vswitch.Switch, cfg vswitch.PortConfig) (*vswitch.Port, error)
}

const (
	// volleyFrames and volleyBytes bound what is read ahead in one piece; there are
	// volleys of them.
	volleyFrames = 128
	volleyBytes  = 64 << 10
	volleys      = 4
	// poll is how long before a deadline a sender stops sleeping: the machine's timers may
	// be late by as much.
	poll = 2 * time.Millisecond
	// nap is how long it sleeps before it looks whether it is to end.
	nap = 50 * time.Millisecond
)

// volley is frames that were read ahead.
type volley struct {
	frames [][]byte // in data
	marks  []mark
	data   []byte
	err    error // why there are no more after these
}

type mark struct {
	due    time.Duration
	port   int
	number int
}

// add takes a frame. It reports false when there is no room for it.
func (v *volley) add(f *FeedFrame) bool {
	if len(v.frames) == cap(v.frames) || len(v.frames) > 0 && len(v.data)+len(f.Data) > cap(v.data) {
		return false
	}
	at := len(v.data)
	v.data = append(v.data, f.Data...)
	v.frames = append(v.frames, v.data[at:len(v.data):len(v.data)])
	v.marks = append(v.marks, mark{f.Due, f.port, f.Number})
	return true
}

// line is a feed in real time at work.
type line struct {
	feeder *Feeder
	pace   Pace
	send   func(port int, frames [][]byte) (sent int, err error)
	single bool // frames go one by one: some may be refused

	full, empty chan *volley
	stop        chan struct{}

	count FeedCount
	ports []FedPort // Frames and Bytes of each
	late  time.Duration
}

// run feeds until the capture or ctx ends.
func (l *line) run(ctx context.Context) error {
	l.full, l.empty, l.stop = make(chan *volley, volleys), make(chan *volley, volleys), make(chan struct{})
	for range volleys {
		l.empty <- &volley{frames: make([][]byte, 0, volleyFrames), marks: make([]mark, 0, volleyFrames), data: make([]byte, 0, volleyBytes)}
	}
	read := make(chan struct{})
	go func() { defer close(read); l.read() }()
	err := l.feed(ctx)
	close(l.stop)
	<-read
	l.feeder.Close()
	all := l.feeder.Count()
	all.Frames, all.Bytes, all.Duration, all.last = l.count.Frames, l.count.Bytes, l.count.Duration, l.count.last
	all.Skipped = append(all.Skipped, l.count.Skipped...)
	l.count = all
	return err
}

// read reads ahead.
func (l *line) read() {
	defer close(l.full)
	var left *FeedFrame
	for {
		var v *volley
		select {
		case v = <-l.empty:
		case <-l.stop:
			return
		}
		v.frames, v.marks, v.data = v.frames[:0], v.marks[:0], v.data[:0]
		for {
			if left == nil {
				if left, v.err = l.feeder.Next(); v.err != nil {
					break
				}
			}
			if !v.add(left) {
				break
			}
			left = nil
		}
		l.full <- v // which has room for all
		if v.err != nil {
			return
		}
	}
}

// feed sends what was read.
func (l *line) feed(ctx context.Context) error {
	var began time.Time
	for v := range l.full {
		for i := 0; i < len(v.frames); {
			if began.IsZero() {
				began = time.Now()
			}
			now := time.Since(began)
			if wait := v.marks[i].due - now; wait > 0 && !l.pace.TopSpeed {
				if err := sleepUntil(ctx, began.Add(v.marks[i].due)); err != nil {
					return err
				}
				now = time.Since(began)
			}
			n := l.together(v.marks[i:], now)
			err := l.put(v.frames[i:i+n], v.marks[i:i+n])
			if !l.pace.TopSpeed {
				l.late = max(l.late, now-v.marks[i].due)
			}
			l.count.Duration = time.Since(began)
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			i += n
		}
		if v.err != nil {
			if v.err == io.EOF {
				return nil
			}
			return v.err
		}
		l.empty <- v
	}
	return nil
}

// together is how many frames go in one call: those of one port that are due.
func (l *line) together(marks []mark, now time.Duration) int {
	if l.single {
		return 1
	}
	n := 1
	for n < len(marks) && marks[n].port == marks[0].port && (l.pace.TopSpeed || n < maxBatch && marks[n].due <= now) {
		n++
	}
	return n
}

// put sends frames of one port.
func (l *line) put(frames [][]byte, marks []mark) error {
	sent, err := l.send(marks[0].port, frames)
	if err != nil && l.single && !errors.Is(err, net.ErrClosed) {
		if reason := refusal(err); reason != "" {
			l.count.Skipped = countSkip(l.count.Skipped, reason, marks[0].number)
			return nil
		}
	}
	p, bytes := &l.ports[marks[0].port], uint64(0)
	for _, f := range frames[:sent] {
		bytes += uint64(len(f))
	}
	p.Frames += uint64(sent)
	p.Bytes += bytes
	l.count.Frames += uint64(sent)
	l.count.Bytes += bytes
	if sent > 0 {
		l.count.last = uint64(len(frames[sent-1]))
	}
	return err
}

// sleepUntil returns at an instant, as exactly as the machine can: it sleeps until
// shortly before and looks at the clock from then on.
func sleepUntil(ctx context.Context, at time.Time) error {
	for {
		left := time.Until(at)
		switch {
		case left <= 0:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case left > poll:
			time.Sleep(min(left-poll, nap))
		default:
			runtime.Gosched()
		}
	}
}

// check holds the options of a feed in real time against each other.
func (o *FeedOptions) check() error {
	if len(o.To) > 0 {
		o.RealTime = true
	}
	switch {
	case !o.RealTime:
		return nil
	case len(o.Live) > 0:
		return errors.New("live hosts are fed in virtual time only")
	case o.Step != nil:
		return errors.New("frames are sent step by step in virtual time only")
	case len(o.To) > 1 && o.onSwitch():
		return errors.New("a recording, or faults, are of one switch: feed one device at a time")
	case len(o.To) > 1 && slices.ContainsFunc(o.To, func(t FeedTo) bool { return t.Port == "" }):
		return errors.New("all frames go to one device, so there can be no other")
	}
	return nil
}

// onSwitch reports whether frames have to pass a switch.
func (o *FeedOptions) onSwitch() bool {
	return len(o.To) == 0 || o.Recorder != nil || len(o.Faults) > 0
}

// toOne reports whether all frames go one way, so that the capture need not be read for
// its ports.
func (o *FeedOptions) toOne() bool { return len(o.To) == 1 && o.To[0].Port == "" }

// toDevices makes the line that leads to devices directly.
func (r *feed) toDevices() error {
	var writes []func([][]byte) (int, error)
	for _, p := range r.plan.ports {
		i := slices.IndexFunc(r.o.To, func(t FeedTo) bool { return t.Port == p.cfg.Name || t.Port == "" })
		if i < 0 {
			return fmt.Errorf("port %s leads nowhere: there is no device for it", p.cfg.Name)
		}
		writes = append(writes, r.o.To[i].Write)
	}
	r.line.send = func(port int, frames [][]byte) (int, error) { return writes[port](frames) }
	return nil
}

// addDevice puts the one device on the switch, which then is a hub of two ports.
func (r *feed) addDevice(sw *vswitch.Switch) (err error) {
	to := r.o.To[0]
	r.device, err = to.Connect(sw, vswitch.PortConfig{Name: "device", MTU: to.MTU, Patience: devicePatience})
	return err
}

// devicePatience is how long a device may take no frame before some are lost, which are
// counted.
const devicePatience = 10 * time.Second
