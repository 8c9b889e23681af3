package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/vnreplay/vnreplay/internal/bench"
	"github.com/vnreplay/vnreplay/replay"
)

// feedGroup is a capture's frames, flat out.
func feedGroup(s sizes) bench.Group {
	c := &capture{frames: s.fed, dir: s.dir}
	const (
		flat, preloaded = "tcpreplay", "tcpreplay, preloaded"
		ours            = "vnreplay, open loop"
		endpoints       = "vnreplay, into endpoints"
	)
	return bench.Group{
		Name:   "feed",
		Title:  fmt.Sprintf("%d frames of %d bytes from a capture, flat out", c.frames, fedSize),
		Metric: bench.MillionFrames,
		Subjects: []bench.Subject{
			&flatOut{name: flat, program: tcpreplay("--topspeed"), capture: c},
			&flatOut{name: preloaded, program: tcpreplay("--topspeed", "--preload-pcap"), capture: c},
			&flatOut{name: ours, program: vnreplay(s, "--topspeed"), capture: c},
			&intoEndpoints{name: endpoints, capture: c},
		},
		Ratios: []bench.Ratio{
			{Of: ours, To: flat, AtLeast: 1.2},
			{Of: ours, To: preloaded, AtLeast: 1.05},
			{Of: preloaded, To: flat},
			{Of: endpoints, To: flat},
		},
	}
}

// paceGroup is a capture's frames at their times.
func paceGroup(s sizes) bench.Group {
	c := &capture{frames: s.paced, dir: s.dir}
	return bench.Group{
		Name:   "pace",
		Title:  fmt.Sprintf("%d frames %v apart, at their times, into a veth", c.frames, fedGap),
		Metric: bench.Drift,
		Subjects: []bench.Subject{
			&onTime{name: "tcpreplay", program: tcpreplay(), capture: c},
			&onTime{name: "tcpreplay, busy", program: tcpreplay(), capture: c, busy: true},
			&onTime{name: "vnreplay", program: vnreplay(s), capture: c},
			&onTime{name: "vnreplay, busy", program: vnreplay(s), capture: c, busy: true},
		},
	}
}

// replayer is a program that sends the frames of a capture into a device.
type replayer struct {
	name string
	find func(context.Context) (path string, err error)
	args func(dev, file string) []string
	// rate reads from what the program says how many frames per second it sent.
	rate *regexp.Regexp
}

// vnreplay is the command of this repository, in its open loop.
func vnreplay(s sizes, flags ...string) *replayer {
	return &replayer{
		name: "vnreplay",
		find: s.command.path,
		args: func(dev, file string) []string {
			return append([]string{"replay", file, "--open", "--to", "packet:" + dev}, flags...)
		},
		rate: regexp.MustCompile(`: ([0-9.]+) pps`),
	}
}

func tcpreplay(flags ...string) *replayer {
	return &replayer{
		name: "tcpreplay",
		find: func(context.Context) (string, error) { return "tcpreplay", needTools("tcpreplay") },
		args: func(dev, file string) []string { return append(flags[:len(flags):len(flags)], "-i", dev, file) },
		rate: regexp.MustCompile(`Rated: .* ([0-9.]+) pps`),
	}
}

// wire is a pair of devices, v0 and v1, in a namespace, for a program to send from
// the one to the other.
type wire struct {
	ns   *namespaces
	path string // of the program
}

func newWire(ctx context.Context, program *replayer, c *capture) (*wire, error) {
	path, err := program.find(ctx)
	if err != nil {
		return nil, err
	}
	ns, err := newNamespaces(ctx, 1)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(ns.veth(ctx, 0, "v0", 0, "v1"), c.make()); err != nil {
		return nil, errors.Join(err, ns.close())
	}
	return &wire{ns, path}, nil
}

// send has a program send a capture from v0, and returns what the program said.
func (w *wire) send(ctx context.Context, program *replayer, c *capture) (said []byte, err error) {
	cmd := w.ns.command(ctx, 0, w.path, program.args("v0", c.path())...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = explain(cmd, cmd.Run(), out.String())
	return out.Bytes(), err
}

// flatOut is a program that sends as fast as it can. Its rate is what it says
// itself, without the time in which it reads the file ahead; how many frames arrived
// is what the device at the other end counted.
type flatOut struct {
	name    string
	program *replayer
	capture *capture

	*wire
}

func (f *flatOut) Name() string { return f.name }

func (f *flatOut) Setup(ctx context.Context) (err error) {
	f.wire, err = newWire(ctx, f.program, f.capture)
	return err
}

func (f *flatOut) Teardown() error { return f.ns.close() }

func (f *flatOut) Run(ctx context.Context) (r bench.Result, err error) {
	before, err := f.ns.received(ctx, 0, "v1")
	if err != nil {
		return r, err
	}
	watch := bench.Start()
	said, err := f.send(ctx, f.program, f.capture)
	_, r.CPU = watch.Stop()
	if err != nil {
		return r, err
	}
	after, err := f.ns.received(ctx, 0, "v1")
	if err != nil {
		return r, err
	}
	m := f.program.rate.FindSubmatch(said)
	if m == nil {
		return r, fmt.Errorf("%s does not say how fast it was: %s", f.program.name, said)
	}
	pps, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil || pps <= 0 {
		return r, fmt.Errorf("%s says it was this fast: %s", f.program.name, m[1])
	}
	sent := uint64(f.capture.frames)
	r.Frames = min(after-before, sent)
	r.Bytes, r.Lost = r.Frames*fedSize, sent-r.Frames
	r.Elapsed = time.Duration(float64(sent) / pps * float64(time.Second))
	return r, nil
}

// intoEndpoints is vnreplay's open loop in real time, from the file into raw interfaces
// on its switch. The file is read twice; the time, as with the programs, is that of
// sending, which the first reading is not part of, and the processors' is of all.
type intoEndpoints struct {
	name    string
	capture *capture
}

func (e *intoEndpoints) Name() string                { return e.name }
func (e *intoEndpoints) Setup(context.Context) error { return e.capture.make() }
func (e *intoEndpoints) Teardown() error             { return nil }

func (e *intoEndpoints) Run(ctx context.Context) (r bench.Result, err error) {
	open, err := replay.OpenSource(e.capture.path())
	if err != nil {
		return r, err
	}
	watch := bench.Start()
	fed, err := replay.Feed(ctx, open, replay.FeedOptions{RealTime: true, Pace: replay.Pace{TopSpeed: true}, Ports: replay.PortsByMAC})
	_, r.CPU = watch.Stop()
	if err != nil {
		return r, err
	}
	r.Elapsed = fed.Duration
	r.Frames = fed.Frames
	r.Bytes, r.Lost = r.Frames*fedSize, uint64(e.capture.frames)-r.Frames
	return r, nil
}

// onTime is a program that sends a capture at its times. When frames arrive is
// measured at the other end.
type onTime struct {
	name    string
	program *replayer
	capture *capture
	busy    bool // another program wants a processor meanwhile

	*wire
}

func (o *onTime) Name() string { return o.name }

func (o *onTime) Setup(ctx context.Context) (err error) {
	o.wire, err = newWire(ctx, o.program, o.capture)
	return err
}

func (o *onTime) Teardown() error { return o.ns.close() }

func (o *onTime) Run(ctx context.Context) (r bench.Result, err error) {
	recv, err := newReceiver(o.ns, 0, "v1", o.capture.frames)
	if err != nil {
		return r, err
	}
	if o.busy {
		end, err := spin()
		if err != nil {
			return r, errors.Join(err, dropped(recv))
		}
		defer end()
	}
	watch := bench.Start()
	_, err = o.send(ctx, o.program, o.capture)
	r.Elapsed, r.CPU = watch.Stop()
	at, rerr := recv.end()
	if err := errors.Join(err, rerr); err != nil {
		return r, err
	}
	return r, lateness(at, &r)
}

// dropped ends a receiver nobody wants to hear.
func dropped(recv *receiver) error {
	_, err := recv.end()
	return err
}

// lateness says of frames, by their arrivals, how far off their schedule they were.
func lateness(at []time.Time, r *bench.Result) error {
	first, last := at[0], at[len(at)-1]
	if first.IsZero() || last.IsZero() {
		return errors.New("the first or the last frame did not arrive")
	}
	for i, t := range at {
		if t.IsZero() {
			r.Lost++
			continue
		}
		r.Frames++
		r.Late = max(r.Late, t.Sub(first)-time.Duration(i)*fedGap)
	}
	r.Bytes = r.Frames * fedSize
	planned := time.Duration(len(at)-1) * fedGap
	r.Drift = float64(last.Sub(first)-planned) / float64(planned)
	return nil
}

// spin has a process of its own keep a processor busy, until end is called, or for
// two minutes.
func spin() (end func(), err error) {
	if err := needTools("timeout", "sh"); err != nil {
		return nil, err
	}
	cmd := exec.Command("timeout", "120", "sh", "-c", "while :; do :; done")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // timeout and sh
		cmd.Wait()
	}, nil
}
