package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/filter"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/scenario"
	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/tap"
)

// openFlags are the flags of replay that only --open has a use for.
func openFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "open", Usage: "send all frames, whatever comes back"},
		&cli.StringFlag{Name: "speed", Usage: "open: `N` times as fast: 2x, 0.5x, 1/3x"},
		&cli.StringFlag{Name: "pps", Usage: "open: `N` frames per second"},
		&cli.StringFlag{Name: "mbps", Usage: "open: `N` Mbit of frames per second"},
		&cli.BoolFlag{Name: "topspeed", Usage: "open: 10 million frames/s; with --to, all"},
		&cli.DurationFlag{Name: "max-gap", Usage: "open: at most `TIME` between frames"},
		&cli.Uint64Flag{Name: "loop", Usage: "open: go over the capture `N` times"},
		&cli.Uint64Flag{Name: "limit", Usage: "open: send at most `N` frames"},
		&cli.BoolFlag{Name: "step", Usage: "open: ask before each frame"},
		&cli.StringFlag{Name: "ports", Usage: "open: a port for each `mac|interface`"},
		&cli.StringSliceFlag{Name: "port", Usage: "open: port `NAME=EXPR` sends what EXPR matches"},
		&cli.StringSliceFlag{Name: "to", Usage: "open: send to `[NAME@]PORT`, in real time"},
		&cli.Uint64Flag{Name: "mtu", Usage: "open: MTU of all ports in `BYTES`"},
		&cli.StringSliceFlag{Name: "fault", Usage: "open: break frames by `RULE`"},
	}
}

const openHelp = "With --open nothing waits for answers: each source MAC becomes a port of\n" +
	"the switch (each port of a recording, that port) and sends its frames when\n" +
	"the capture has them, or as told. A live address then answers as it likes.\n" +
	"--mbps counts frames with their Ethernet header, without FCS and preamble.\n" +
	"With --to PORT (as in WHO@PORT) all frames go out there in real time, at\n" +
	"their deadlines; --topspeed is as fast as they are taken. --to NAME@PORT\n" +
	"sends only what enters the port NAME.\n\n"

// onlyOpen refuses flags that need --open.
func onlyOpen(c *cli.Context) error {
	for _, f := range openFlags() {
		if name := f.Names()[0]; c.IsSet(name) {
			return usage("replay: --%s is for --open", name)
		}
	}
	return nil
}

// notOpen refuses flags that say what is played and how it is compared: with --open
// all frames are sent and nothing is compared, so that they would pass unheeded.
func notOpen(c *cli.Context) error {
	if c.IsSet("play") {
		return usage("replay: --play does not go with --open, which sends all frames: choose by --port NAME=EXPR")
	}
	for _, name := range []string{"compare", "mask-header", "mask", "within", "max-retransmits", "max-synthetic", "max-segments", "max-virtual", "patience", "other"} {
		if c.IsSet(name) {
			return usage("replay: --%s does not go with --open, which compares nothing", name)
		}
	}
	return nil
}

// opener is one call of replay --open.
type opener struct {
	player
	path    string
	opts    replay.FeedOptions
	pace    string // in words
	partial bool   // is enough
	stepper *stepper
	to      []destination
}

// openLoop is the action of replay --open.
func openLoop(c *cli.Context, p player) error {
	if err := notOpen(c); err != nil {
		return err
	}
	o := opener{player: p, path: c.Args().First(), partial: c.Bool("allow-partial")}
	o.opts = replay.FeedOptions{Seed: c.Uint64("seed"), WallLimit: c.Duration("wall-limit"), Limit: c.Uint64("limit")}
	if err := errors.Join(o.readPace(c), o.readPorts(c), o.readTo(c)); err != nil {
		return err
	}
	texts, err := readTables(c.StringSlice("fault"))
	if err != nil {
		return fmt.Errorf("--fault: %w", err)
	}
	if o.opts.Faults, err = faults.ParseAll(texts); err != nil {
		return fmt.Errorf("--fault: %w", err)
	}
	switch {
	case o.out == "-" && o.json:
		return usage("--json and -w - both want the standard output")
	case c.Bool("step") && o.path == "-":
		return usage("--step and the capture both want the standard input: give the name of a file")
	case sameFile(o.path, o.out):
		return overwrites(o.out)
	}
	if c.Bool("step") {
		if !c.IsSet("wall-limit") {
			o.opts.WallLimit = 365 * 24 * time.Hour // people take their time
		}
		o.stepper = &stepper{in: c.App.Reader, out: o.stdout}
		if o.out == "-" || o.json {
			o.stepper.out = o.stderr
		}
		o.opts.Step = o.stepper.step
	}
	return o.feed(c.Context)
}

// readPace reads when frames are sent.
func (o *opener) readPace(c *cli.Context) error {
	o.pace = "at the capture's times"
	var given []string
	for _, f := range []struct {
		name, pace string
		to         *replay.Ratio
	}{
		{"speed", "%s times as fast", &o.opts.Pace.Speed},
		{"pps", "%s frames/s", &o.opts.Pace.PPS},
		{"mbps", "%s Mbit/s", &o.opts.Pace.Mbps},
	} {
		if !c.IsSet(f.name) {
			continue
		}
		r, err := replay.ParseRatio(c.String(f.name))
		if err != nil {
			return usage("--%s %v", f.name, err)
		}
		*f.to, o.pace = r, fmt.Sprintf(f.pace, r)
		given = append(given, "--"+f.name)
	}
	if c.Bool("topspeed") {
		o.opts.Pace.TopSpeed, o.pace = true, "at top speed"
		given = append(given, "--topspeed")
	}
	if len(given) > 1 {
		return usage("%s exclude each other: give one", strings.Join(given, " and "))
	}
	o.opts.Pace.MaxGap = c.Duration("max-gap")
	n := c.Uint64("loop")
	if c.IsSet("loop") && (n == 0 || n > math.MaxInt32) {
		return usage("--loop %d: want 1 to %d", n, math.MaxInt32)
	}
	o.opts.Passes = int(n)
	if c.IsSet("limit") && o.opts.Limit == 0 {
		return usage("--limit 0 sends nothing: want 1 or more")
	}
	return nil
}

// readPorts reads where frames are fed.
func (o *opener) readPorts(c *cli.Context) error {
	switch by := c.String("ports"); {
	case c.IsSet("ports") && c.IsSet("port"):
		return usage("--ports and --port exclude each other: give one")
	case by == "mac":
		o.opts.Ports = replay.PortsByMAC
	case by == "interface":
		o.opts.Ports = replay.PortsByInterface
	case by != "":
		return usage("--ports %q: want mac or interface", by)
	}
	for _, text := range c.StringSlice("port") {
		name, expr, ok := strings.Cut(text, "=")
		if !ok || name == "" || expr == "" {
			return usage("--port %q: want NAME=EXPRESSION, such as 'client=src host 10.0.0.1'", text)
		}
		f, err := filter.Compile(expr)
		if err != nil {
			return fmt.Errorf("--port %s: %w", name, err)
		}
		o.opts.PortRules = append(o.opts.PortRules, replay.PortRule{Name: name, Filter: f})
	}
	mtu := c.Uint64("mtu")
	if c.IsSet("mtu") && (mtu == 0 || mtu > vswitch.MaxMTU) {
		return usage("--mtu %d: want 1 to %d", mtu, vswitch.MaxMTU)
	}
	o.opts.MTU = int(mtu)
	return nil
}

// readTo reads where frames go in real time.
func (o *opener) readTo(c *cli.Context) error {
	for _, text := range c.StringSlice("to") {
		to := destination{spec: text}
		if name, spec, ok := strings.Cut(text, "@"); ok && !strings.Contains(name, ":") {
			to = destination{name, spec}
		}
		if err := tap.Check(to.spec); err != nil {
			return usage("--to %s: %v", text, err)
		}
		o.to = append(o.to, to)
	}
	if len(o.to) == 0 {
		return nil
	}
	whole := slices.ContainsFunc(o.to, func(t destination) bool { return t.name == "" })
	switch {
	case whole && len(o.to) > 1:
		return usage("--to %s sends all frames, so there can be no other --to: name the port of each, --to NAME@PORT", c.StringSlice("to")[0])
	case whole && (c.IsSet("port") || c.IsSet("ports")):
		return usage("--to without a name sends all frames, so there are no ports to choose: --to NAME@PORT")
	case len(o.to) > 1 && (o.out != "" || c.IsSet("fault")):
		return usage("-w and --fault go with one --to")
	}
	for _, name := range []string{"live", "step", "mtu"} {
		if c.IsSet(name) {
			return usage("--%s does not go with --to", name)
		}
	}
	if !c.IsSet("wall-limit") {
		o.opts.WallLimit = 0 // as long as it takes
	}
	o.real = true
	return nil
}

// destination is a --to: the port whose frames go there, "" for all, and the device.
type destination struct{ name, spec string }

// openTo opens the devices.
func (o *opener) openTo(ctx context.Context, g *guard) error {
	o.cables.failed = g.cancel
	for _, to := range o.to {
		c, err := o.cables.open("--to", to.spec)
		if err != nil {
			return err
		}
		o.opts.To = append(o.opts.To, replay.FeedTo{Port: to.name, Name: to.spec, MTU: c.dev.MTU(), Write: c.dev.Write, Connect: c.connect})
	}
	context.AfterFunc(ctx, o.cables.close)
	return nil
}

// readLive reads the live addresses, whose applications may be made of the capture.
func (o *opener) readLive(open replay.Source) error {
	var a *replay.Analysis
	for _, text := range o.live {
		addr, app, _ := strings.Cut(text, "=")
		if app == "transcript" || strings.HasPrefix(app, "transcript:") {
			return usage("--live %s: a transcript is compared, and --open compares nothing", text)
		}
		if strings.Contains(text, "=") && a == nil {
			r, err := open()
			if err != nil {
				return err
			}
			capture, err := replay.Read(r, o.path)
			r.Close()
			if err != nil {
				return err
			}
			a = replay.Analyse(capture)
		}
		l, err := parseLive(text, a)
		if err != nil {
			return err
		}
		if l.App == nil && strings.Contains(text, "=") {
			return usage("--live %s: want one of the applications after %s=", text, addr)
		}
		o.opts.Live = append(o.opts.Live, replay.FeedLive{Addr: l.Addr, App: l.App})
	}
	return nil
}

func (o *opener) feed(ctx context.Context) error {
	open, err := replay.OpenSource(o.path)
	if err != nil {
		return err
	}
	if err := o.readLive(open); err != nil {
		return err
	}
	ctx, g := newGuard(ctx, o.stderr, grace)
	defer g.stop()
	if o.stepper != nil {
		o.stepper.ctx = ctx
	}
	defer o.cables.close()
	if err := o.openTo(ctx, g); err != nil {
		return err
	}
	rec, file, err := o.create()
	if err != nil {
		return err
	}
	if rec != nil {
		g.leaves(file.Written())
		o.opts.Recorder = &ceiling{Recorder: rec, most: o.maxSize, end: g.cancel}
	}
	inTime := func() {}
	if o.opts.WallLimit > 0 {
		inTime = g.within(o.opts.WallLimit)
	}
	fed, err := replay.Feed(ctx, open, o.opts)
	if rec != nil {
		if cerr := finish(rec, file, fed); err == nil {
			err = cerr
		}
	}
	inTime()
	if fed == nil {
		return hint(err)
	}
	if werr := o.print(fed, err); werr != nil && err == nil {
		err = werr
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case fed.Frames == 0:
		return fmt.Errorf("%s: nothing was sent: %s", o.path, why(fed))
	case !o.partial && (len(fed.Skipped) > 0 || fed.Cut != nil || fed.Lost > 0 || len(o.cables.lost()) > 0):
		return quiet{exitUsage}
	}
	return nil
}

// create makes the recorder and its file, if a recording is asked for.
func (o *opener) create() (*pcap.Recorder, *pcap.File, error) {
	if o.out == "" {
		return nil, nil, nil
	}
	v := scenario.Versions()
	meta := pcap.Meta{Version: v.VNReplay, Stack: v.Stack, Go: v.Go, Seed: o.opts.Seed}
	if o.real {
		meta.Clock = "real"
	}
	for _, r := range o.opts.Faults {
		meta.Rules = append(meta.Rules, r.String())
	}
	file, err := pcap.CreateFile(linked(o.out))
	if err != nil {
		return nil, nil, fmt.Errorf("recording: %w", err)
	}
	rec, err := pcap.NewRecorder(file, meta)
	if err != nil {
		file.Discard()
		return nil, nil, fmt.Errorf("recording: %w", err)
	}
	return rec, file, nil
}

// finish closes the recording. One of nothing is removed, and what had its name
// stays.
func finish(rec *pcap.Recorder, file *pcap.File, fed *replay.Fed) error {
	if fed == nil || fed.Frames == 0 {
		file.Discard()
		return nil
	}
	if err := rec.Close(); err != nil {
		file.Abort()
		return err
	}
	return file.Close()
}

// hint says which flags choose ports.
func hint(err error) error {
	if errors.Is(err, replay.ErrAmbiguous) {
		return fmt.Errorf("%w (--ports mac, --ports interface, --port NAME=EXPRESSION)", err)
	}
	return err
}
