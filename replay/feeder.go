package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Source opens a capture; each call gives it from its beginning.
type Source func() (*pcap.Reader, error)

// OpenSource returns the capture at path as a source, "-" for standard input. A
// regular file is opened anew each time; of anything else (a pipe) the bytes are
// read now and kept, at most [MaxCaptureBytes] of them.
func OpenSource(path string) (Source, error) {
	name, in := path, io.Reader(os.Stdin)
	if path == "-" {
		name = "standard input"
	} else {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			return func() (*pcap.Reader, error) { return pcap.Open(path) }, nil
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	kept, err := io.ReadAll(io.LimitReader(in, MaxCaptureBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(kept) > MaxCaptureBytes {
		return nil, fmt.Errorf("%s: %w: more than %d bytes that are in no regular file", name, ErrTooLarge, MaxCaptureBytes)
	}
	return func() (*pcap.Reader, error) { return pcap.NewReader(bytes.NewReader(kept), name) }, nil
}

// FeedFrame is one frame of a capture that is to be sent.
type FeedFrame struct {
	Number    int // as Wireshark shows it
	Pass      int // over the capture, from 1
	Interface int // of the capture, counted over its sections
	Direction pcap.Direction
	// At is how long after the first frame that is fed the capture has it; it
	// never decreases within a pass.
	At time.Duration
	// Due is its deadline, as long after the first frame's: see [Pace].
	Due time.Duration
	// Data is the Ethernet frame without FCS. It is valid until the next frame is asked
	// for, and not to be changed.
	Data []byte

	at   time.Duration // At, over all passes
	port int           // where it is fed, in Feed
}

// Feeder gives the frames of a capture with the instants at which they are to be
// sent. It holds one frame at a time. It is not safe for concurrent use.
type Feeder struct {
	open   Source
	passes int
	limit  uint64
	// use says where a frame goes, or why it does not; and whether that is by choice.
	use func(f *FeedFrame) (port int, reason string, choice bool)

	r      *pcap.Reader
	packet pcap.Packet
	pass   int
	sched  schedule
	cur    FeedFrame
	held   bool          // cur has been given and not been skipped
	first  time.Time     // of the first frame that is used
	timed  bool          // first is set
	at     time.Duration // of the last frame in this pass
	before time.Duration // what earlier passes took
	used   bool          // this pass has given a frame
	report FeedCount
	err    error
}

// FeedCount is what a feed has come to.
type FeedCount struct {
	Frames, Bytes uint64        // that were sent; bytes count Ethernet headers
	Duration      time.Duration // from the first to the last
	// Skipped says, by reason, which frames could not be sent, Left which were not
	// to be. What one pass over the capture cannot use, no other can: that is counted
	// in the first only.
	Skipped, Left []Skip
	// Backwards is how many frames are stamped earlier than one before them, Ahead
	// how many more than [MaxGap] later: they are sent without a pause.
	Backwards, Ahead int
	// Cut is why the capture ends before its end, nil for a whole file.
	Cut error

	last uint64 // bytes of the last frame
}

// PPS is the rate from the first frame to the last in frames per second: the
// number of frames but one by the time. It is 0 where that is 0.
func (c *FeedCount) PPS() float64 {
	if c.Duration <= 0 {
		return 0
	}
	return float64(c.Frames-1) / c.Duration.Seconds()
}

// Mbps is the same in 10⁶ bits of frames per second, without the last frame's.
func (c *FeedCount) Mbps() float64 {
	if c.Duration <= 0 {
		return 0
	}
	return float64(c.Bytes-c.last) * 8 / 1e6 / c.Duration.Seconds()
}

// NewFeeder returns a feeder that goes over a capture so many times, 1 for 0. A
// pass begins at the instant of the last frame of the one before. limit bounds the
// frames in all; 0 is no limit. The error is [ErrPace] or that of opening.
func NewFeeder(open Source, pace Pace, passes int, limit uint64) (*Feeder, error) {
	if err := pace.check(); err != nil {
		return nil, err
	}
	f := &Feeder{open: open, passes: max(passes, 1), limit: limit, pass: 1, sched: schedule{pace: pace},
		use: func(*FeedFrame) (int, string, bool) { return 0, "", false }}
	var err error
	f.r, err = open()
	return f, err
}

// Next returns the next frame, or [io.EOF]. The frame that it returned before
// counts as sent, unless [Feeder.Skip] was called. A file that is cut is no error:
// what precedes the cut is given, in every pass, and Count().Cut says so.
func (f *Feeder) Next() (*FeedFrame, error) {
	f.commit()
	if f.err == nil {
		f.err = f.advance()
	}
	if f.err != nil {
		f.Close()
		return nil, f.err
	}
	f.held = true
	return &f.cur, nil
}

// Skip says that the frame which Next returned last was not sent, and why; the
// frame that comes next takes its place in the schedule.
func (f *Feeder) Skip(reason string) {
	if f.held {
		f.held = false
		f.report.Skipped = countSkip(f.report.Skipped, reason, f.cur.Number)
	}
}

// Count returns what has been sent and skipped so far, without the frame that Next
// returned last.
func (f *Feeder) Count() FeedCount { return f.report }

// Close closes the capture. It may be called more than once.
func (f *Feeder) Close() error {
	if f.err == nil {
		f.err = os.ErrClosed
	}
	if f.r == nil {
		return nil
	}
	r := f.r
	f.r = nil
	return r.Close()
}

// commit counts the frame that Next returned last.
func (f *Feeder) commit() {
	if !f.held {
		return
	}
	f.held = false
	f.sched.sent(f.cur.at, f.cur.Due, len(f.cur.Data))
	f.report.Frames++
	f.report.Bytes += uint64(len(f.cur.Data))
	f.report.Duration, f.report.last = f.cur.Due, uint64(len(f.cur.Data))
}

// advance reads up to the next frame that is used.
func (f *Feeder) advance() error {
	if f.limit > 0 && f.sched.frames >= f.limit {
		return io.EOF
	}
	for {
		p := &f.packet
		if err := f.r.NextInto(p); err != nil {
			if err = f.rewind(err); err != nil {
				return err
			}
			continue
		}
		if reason, choice := f.take(p); reason != "" {
			list := &f.report.Skipped
			if choice {
				list = &f.report.Left
			}
			if f.pass == 1 {
				*list = countSkip(*list, reason, p.Number)
			}
			continue
		}
		f.stamp(p.Time)
		f.used, f.cur.At, f.cur.at = true, f.at, f.before+f.at
		var ok bool
		if f.cur.Due, ok = f.sched.due(f.cur.at); !ok || f.cur.at < 0 { // an overflow
			return fmt.Errorf("%s: frame %d: %w: it would come more than %d years after the first", f.r.Name(), p.Number, ErrPace,
				MaxFeed/(365*24*time.Hour))
		}
		return nil
	}
}

// rewind ends a pass, and begins the next.
func (f *Feeder) rewind(end error) error {
	if end != io.EOF {
		if !isTruncated(end) || !f.used {
			return end
		}
		f.report.Cut = end
	}
	if f.pass == f.passes || !f.used {
		return io.EOF
	}
	f.r.Close()
	var err error
	if f.r, err = f.open(); err != nil {
		return err
	}
	f.pass, f.used = f.pass+1, false
	f.before, f.at = f.before+f.at, 0
	return nil
}

// take makes a packet the current frame, or says why it cannot be used.
func (f *Feeder) take(p *pcap.Packet) (reason string, choice bool) {
	if p.LinkType != pcap.LinkEthernet {
		return pcap.LinkTypeName(p.LinkType) + ", not Ethernet", false
	}
	data, length := p.Frame()
	switch e := p.LinkErrors(); {
	case e != "":
		return "received with an error: " + e, false
	case length > len(data):
		return "snapped short by the capture", false
	case len(data) < vswitch.HeaderLen:
		return fmt.Sprintf("shorter than the %d bytes of an Ethernet header", vswitch.HeaderLen), false
	}
	c := &f.cur // At and Due follow
	c.Number, c.Pass, c.Interface, c.Direction, c.Data = p.Number, f.pass, p.Interface, p.Direction, data
	f.cur.port, reason, choice = f.use(&f.cur)
	return reason, choice
}

// stamp advances the capture's time to that of a frame.
func (f *Feeder) stamp(t time.Time) {
	if !f.timed {
		f.first, f.timed = t, true
		return
	}
	switch at := t.Sub(f.first); {
	case t.IsZero() || f.first.IsZero(): // a simple packet block has no time
	case at < f.at:
		if f.pass == 1 {
			f.report.Backwards++
		}
	case at-f.at > MaxGap:
		if f.pass == 1 {
			f.report.Ahead++
		}
	default:
		f.at = at
	}
}

// Start feeds into a function, on a world's clock: the first frame now, each at its
// deadline. send is called by the world's loop and must not block; [vswitch.Port.Send]
// is made for it. If it refuses a frame as a port does (a [*vswitch.SizeError],
// [vswitch.ErrQueueFull] or [vswitch.ErrRunt]), that is skipped and counted; any
// other error ends the feed. done is called once, with nil at the end of the
// capture. Frames enter a switch in the order in which they are given to send,
// whatever ports that gives them to.
func (f *Feeder) Start(clock vswitch.Clock, send func(*FeedFrame) error, done func(error)) {
	d := &feeding{f: f, began: clock.Now(), clock: clock, send: send, done: done}
	d.timer = clock.AfterFunc(0, d.next)
}

// feeding is a feeder at work.
type feeding struct {
	f       *Feeder
	clock   vswitch.Clock
	timer   vswitch.Timer
	began   time.Time
	pending *FeedFrame
	batch   bool // frames of one port may be sent in one call of the loop
	send    func(*FeedFrame) error
	done    func(error)
}

// maxBatch is how many frames are sent in one call of the loop.
const maxBatch = 64

// next sends the pending frame and those due with it.
//
// Ports are emptied in the order of their numbers, not of the calls of Send. So
// where the port changes, the loop has to come by before.
func (d *feeding) next() {
	for n := 1; ; n++ {
		if d.pending != nil {
			if err := d.send(d.pending); err != nil {
				reason := refusal(err)
				if reason == "" {
					d.end(err)
					return
				}
				d.f.Skip(reason)
			}
		}
		port := -1
		if d.pending != nil {
			port = d.pending.port
		}
		f, err := d.f.Next()
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			d.end(err)
			return
		}
		first := d.pending == nil
		d.pending = f
		wait := d.began.Add(f.Due).Sub(d.clock.Now())
		if wait > 0 || !first && (!d.batch || f.port != port || n >= maxBatch) {
			d.timer.Reset(wait)
			return
		}
	}
}

func (d *feeding) end(err error) {
	d.f.Close()
	d.done(err)
}

// refusal is the reason to skip a frame that a port refused, or "".
func refusal(err error) string {
	var size *vswitch.SizeError
	switch {
	case errors.As(err, &size):
		return fmt.Sprintf("bigger than the MTU of %d", size.MTU)
	case errors.Is(err, vswitch.ErrTooBig):
		return "bigger than an MTU"
	case errors.Is(err, vswitch.ErrQueueFull):
		return "the port's queue was full"
	case errors.Is(err, vswitch.ErrRunt):
		return fmt.Sprintf("shorter than the %d bytes of an Ethernet header", vswitch.HeaderLen)
	}
	return ""
}
