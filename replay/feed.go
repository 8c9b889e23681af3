package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/vnreplay/vnreplay/faults"
	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// FeedOptions describe a feed.
type FeedOptions struct {
	Pace Pace
	// Passes over the capture; 1 for 0. Time goes on from one to the next.
	Passes int
	// Limit is how many frames are sent at most; 0 is no limit.
	Limit uint64
	// Ports says which port a frame is fed into, PortRules, if any, says it by
	// filters instead: the frames that no rule is about are not fed, and one that
	// is for several ports is [ErrAmbiguous].
	Ports     PortsBy
	PortRules []PortRule
	// MTU is that of all ports; 0 for what a recording tells, or 1,500. Bigger
	// frames are skipped.
	MTU int
	// Live are hosts with a real stack. What their addresses send in the capture
	// is not fed; what they send now is recorded, and compared with nothing.
	Live []FeedLive
	// RealTime feeds by the machine's clock; To, if not empty, says into which devices,
	// and implies it. The capture is read once if all frames go to one device. Without
	// Recorder and Faults frames go to devices directly, else over a switch. Each frame
	// is sent at its deadline or, where the machine or a device is slower, as soon after
	// it as can be: deadlines stay. TopSpeed is then as fast as frames are taken. There
	// can be no Live and no Step.
	RealTime bool
	To       []FeedTo
	// Faults are installed on the switch.
	Faults []*faults.Rule
	// Seed is the world's.
	Seed uint64
	// WallLimit is the world's. Its limit of virtual time is an hour more than
	// [MaxFeed].
	WallLimit time.Duration
	// Recorder, if any, is told of every frame.
	Recorder vswitch.Recorder
	// Step, if not nil, is called before each frame is sent, by the world's loop,
	// whose clock stands still until it returns: it may wait for a person. It may
	// end the feed with [io.EOF].
	Step func(*FeedFrame) error
}

// FedPort is what was fed into one port.
type FedPort struct {
	Name          string
	MAC           vswitch.MAC
	First         int // number of the first frame of the capture that enters here
	Frames, Bytes uint64
}

// Fed is what came of a feed.
type Fed struct {
	FeedCount
	Ports []FedPort
	// Stopped is true when Step ended the feed.
	Stopped bool
	// Rules are the faults, Affected how many frames they affected together.
	Rules    []*faults.Installed
	Affected vswitch.RuleCounts
	// Live is how many frames live hosts sent (in real time: how many came from the device), and Answers how many were made up
	// to tell them the MACs of addresses that are fed.
	Live, Answers uint64
	Stats         vswitch.Stats
	// In real time, Late is how far the latest frame was behind its deadline, and Lost how
	// many frames the device did not take in time; FeedCount.Duration is what was measured.
	Late time.Duration
	Lost uint64
}

// Feed feeds the frames of a capture into raw interfaces (package vnetif) on a
// switch, in virtual time unless told otherwise: open loop, nothing waits for an answer. It reads the
// capture twice, first to find out which ports there are; it keeps none of it.
//
// The world's clock starts at the stamp of the first frame that is fed, so that at
// original speed each frame is sent, and recorded, at its stamp.
//
// A file that is cut is no error, see [Feeder.Next]; neither is a capture of which
// nothing can be sent: look at Fed.Frames. The same capture and options give the
// same recording. With a nil *Fed the error is about the options or the capture
// ([ErrPace], [ErrAmbiguous], [ErrNotInThere], that of a fault rule); otherwise it
// is how the run ended, and Fed says what had been done by then.
func Feed(ctx context.Context, open Source, o FeedOptions) (*Fed, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	plan, err := planFeed(open, &o)
	if err != nil {
		return nil, err
	}
	f, err := NewFeeder(open, o.Pace, o.Passes, o.Limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	f.use = plan.port
	r := &feed{o: &o, plan: plan, feeder: f, fed: &Fed{}}
	if o.RealTime {
		f.sched.asap = o.Pace.TopSpeed
		r.line = &line{feeder: f, pace: o.Pace, single: len(o.Faults) > 0, ports: make([]FedPort, len(plan.ports))}
	}
	if !o.onSwitch() {
		if err := r.toDevices(); err != nil {
			return nil, err
		}
		return r.direct(ctx)
	}
	cfg := vswitch.Config{RealTime: o.RealTime, Seed: o.Seed, WallLimit: o.WallLimit, Start: plan.clockStart(), Limit: vswitch.DefaultLimit + MaxFeed}
	r.world = vswitch.NewWorld(cfg)
	defer r.world.Close()
	if err := r.build(); err != nil {
		return nil, err
	}
	if o.RealTime {
		err = r.world.Run(ctx, r.line.run)
	} else {
		err = r.world.Run(ctx, r.main)
	}
	r.count()
	return r.fed, err
}

// direct feeds devices without a switch.
func (r *feed) direct(ctx context.Context) (*Fed, error) {
	if limit := r.o.WallLimit; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: %v of real time", vswitch.ErrLimit, limit))
		defer cancel()
	}
	began := time.Now()
	err := r.line.run(ctx)
	r.fed.Stats.Wall = time.Since(began)
	r.fed.Stats.Virtual, r.fed.Stats.Frames = r.fed.Stats.Wall, r.line.count.Frames
	r.countLine()
	return r.fed, err
}

// clockStart is when the world's clock starts: like [Capture.start], but at the
// first frame itself, and such that the longest feed ends before 2262, when 64 bits of
// nanoseconds do.
func (p *feedPlan) clockStart() time.Time {
	if p.start.Year() < 1980 || p.start.Year() > 2150 {
		return time.Time{}
	}
	return p.start
}

// feed is one feed at work.
type feed struct {
	o      *FeedOptions
	plan   *feedPlan
	feeder *Feeder
	fed    *Fed
	world  *vswitch.World
	node   *vswitch.Node
	raws   []*vnetif.Raw
	hosts  []*vnetif.Host
	wait   vswitch.Op
	over   bool
	err    error // that ended it

	// In real time.
	line   *line
	device *vswitch.Port // nil without one
}

func (r *feed) build() error {
	recorder := r.o.Recorder
	if len(r.o.Faults) > 0 {
		recorder = affectedCounter{r.o.Recorder, &r.fed.Affected}
	}
	sw, err := r.world.NewSwitch(vswitch.SwitchConfig{Name: "feed", Recorder: recorder, Hub: len(r.o.To) > 0})
	if err != nil {
		return err
	}
	if r.node, err = r.world.NewNode("vnreplay-feed"); err != nil {
		return err
	}
	for _, p := range r.plan.ports {
		raw, err := vnetif.NewRaw(sw, vnetif.RawConfig{Port: p.cfg})
		if err != nil {
			return err
		}
		if len(r.o.Live) > 0 {
			r.answer(len(r.raws), raw)
		} else {
			raw.SetListen(func([]byte) {})
		}
		r.raws = append(r.raws, raw)
	}
	if err := r.addHosts(sw); err != nil {
		return err
	}
	if r.o.RealTime {
		r.line.send = func(port int, frames [][]byte) (int, error) { return r.raws[port].Port().SendBatch(frames) }
		if len(r.o.To) > 0 {
			if err := r.addDevice(sw); err != nil {
				return err
			}
		}
	}
	r.fed.Rules, err = faults.Install(sw, r.o.Faults)
	return err
}

// main is the world's main application.
func (r *feed) main(context.Context) error {
	d := &feeding{f: r.feeder, clock: r.node.StackClock(), began: r.world.Now(), batch: true, send: r.send, done: r.done}
	d.timer = d.clock.AfterFunc(0, d.next)
	r.wait = vswitch.Op{Kind: vswitch.OpSleep, Try: func() bool { return r.over }, What: func() string { return "the end of the capture" }}
	if err := r.node.Do(&r.wait); err != nil {
		return err
	}
	return r.err
}

func (r *feed) send(f *FeedFrame) error {
	if r.o.Step != nil {
		if err := r.o.Step(f); err != nil {
			return err
		}
	}
	return r.raws[f.port].WriteFrame(f.Data)
}

// done is called when all is fed. Live hosts then have as long as after a closed
// loop to say something.
func (r *feed) done(err error) {
	if errors.Is(err, io.EOF) { // of Step, before the frame
		r.fed.Stopped, err = true, nil
	}
	r.err = err
	end := func() { r.over = true; r.node.Wake(&r.wait) }
	if err == nil && len(r.hosts) > 0 {
		r.node.AppClock(0).AfterFunc(Linger, end)
		return
	}
	end()
}

// count takes the books.
func (r *feed) count() {
	if r.o.RealTime {
		r.fed.Stats = r.world.Stats()
		r.countLine()
		if r.device != nil {
			for _, n := range r.device.Counters().RxLost {
				r.fed.Lost += n
			}
			r.fed.Lost += r.device.Counters().RxInFlight
			r.fed.Live = r.fed.Stats.Frames - min(r.fed.Stats.Frames, r.fed.Frames)
		}
		return
	}
	r.fed.FeedCount = r.feeder.Count()
	r.fed.Stats = r.world.Stats()
	for i, raw := range r.raws {
		st := raw.Stats()
		p := FedPort{raw.Port().Name(), raw.MAC(), r.plan.ports[i].first, st.TxFrames, st.TxBytes}
		r.fed.Ports = append(r.fed.Ports, p)
	}
	r.fed.Live = r.fed.Stats.Frames - min(r.fed.Stats.Frames, r.fed.Frames+r.fed.Answers)
}

// countLine takes the books of a feed in real time.
func (r *feed) countLine() {
	r.fed.FeedCount, r.fed.Late = r.line.count, r.line.late
	for i, p := range r.plan.ports {
		n := r.line.ports[i]
		r.fed.Ports = append(r.fed.Ports, FedPort{p.cfg.Name, p.cfg.MAC, p.first, n.Frames, n.Bytes})
	}
}

// affectedCounter counts the frames that rules affect.
type affectedCounter struct {
	vswitch.Recorder
	counts *vswitch.RuleCounts
}

// Record takes one event.
func (c affectedCounter) Record(e vswitch.Event) error {
	if sent, ok := e.(*vswitch.Sent); ok && len(sent.Hits) > 0 {
		c.counts.Count(sent.Hits)
	}
	if c.Recorder == nil {
		return nil
	}
	return c.Recorder.Record(e)
}

// WantDeliveries asks the other recorder.
func (c affectedCounter) WantDeliveries() bool {
	d, ok := c.Recorder.(vswitch.DeliveryRecorder)
	return ok && d.WantDeliveries()
}

// addHosts makes the live hosts.
func (r *feed) addHosts(sw *vswitch.Switch) error {
	for _, h := range r.plan.hosts {
		host, err := vnetif.NewHost(sw, vnetif.HostConfig{Name: h.name, Port: vswitch.PortConfig{MAC: h.mac, MTU: r.o.MTU}, Addrs: h.prefixes()})
		if err != nil {
			return err
		}
		r.hosts = append(r.hosts, host)
		if h.App == nil {
			continue
		}
		r.world.Background("app "+h.Addr.String(), func(ctx context.Context) error {
			err := h.App(ctx, host)
			if ctx.Err() != nil && (errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled)) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("the application of %v failed: %w", h.Addr, err)
			}
			return nil
		})
	}
	return nil
}
