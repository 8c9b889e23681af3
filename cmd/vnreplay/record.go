package main

import (
	"context"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/live"
	"github.com/vnreplay/vnreplay/live/control"
)

func recordCommand() *cli.Command {
	return &cli.Command{
		Name:      "record",
		Usage:     "run a switch in real time with TAP, QEMU and other ports",
		UsageText: "vnreplay record [FILE] --port PORT... [-w FILE] [FLAGS]",
		Description: "Runs a switch in real time until Ctrl-C or a limit; both end it with exit\n" +
			"status 0, its recording whole. A second Ctrl-C ends it at once. FILE has the\n" +
			"same flags as YAML, without dashes; what is given here counts, or is added.\n\n" +
			"PORT is [NAME=]KIND:..., with ,latency=5ms ,rate=10mbit ,queue=64p ,mac= :\n" +
			"  tap:vnr0           a TAP device      packet:eth0        an interface\n" +
			"  qemu:unix:PATH     -netdev stream    qemu-dgram:local=  -netdev dgram\n" +
			"  unixgram:PATH      vfkit             stdio:             length, frame\n" +
			"  vxlan:42@LOCAL     RFC 7348          host:10.0.0.2/24[=APP]\n" +
			"APP is echo-server, udp-echo-server, bulk-server (all with @PORT if wanted)\n" +
			"or http-server[@PORT]:/PATH=FILE (or a directory); several with +.\n\n" +
			"Example: vnreplay record --port tap:vnr0 -w lab.pcapng \\\n" +
			"           --port web=host:10.77.0.1/24=http-server:/=public \\\n" +
			"           --fault 'drop 2% from web'",
		Flags:  recordFlags(),
		Action: record,
	}
}

func recordFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "port", Usage: "a `PORT` of the switch; repeat it"},
		&cli.BoolFlag{Name: "hub", Usage: "send every frame to all other ports"},
		&cli.StringSliceFlag{Name: "fault", Usage: "break frames by `RULE`; may be repeated"},
		&cli.StringFlag{Name: "faults", Usage: "take rules from `FILE`, one a line"},
		&cli.Uint64Flag{Name: "seed", Base: 10, Usage: "seed of what rules draw: `N`"},
		&cli.StringFlag{Name: "w", Usage: "write the recording to `FILE` (-: standard output)"},
		&cli.StringFlag{Name: "on-full", Usage: "where the file is too slow: `wait|drop` frames (wait)"},
		&cli.StringFlag{Name: "listen", Usage: "stream to who connects to `tcp:HOST:PORT`"},
		&cli.StringFlag{Name: "rotate-size", Usage: "begin a file when one has `SIZE` (100MB)"},
		&cli.DurationFlag{Name: "rotate-time", Usage: "begin a file when one covers `TIME`"},
		&cli.Uint64Flag{Name: "rotate-files", Usage: "keep the newest `N` files"},
		&cli.StringFlag{Name: "control", Usage: "socket for vnreplay ctl: `PATH`"},
		&cli.DurationFlag{Name: "limit-time", Usage: "end after `TIME`"},
		&cli.Uint64Flag{Name: "limit-frames", Usage: "end after `N` frames"},
		&cli.StringFlag{Name: "limit-bytes", Usage: "end after frames of `SIZE` (10MB)"},
		jsonFlag,
	}
}

// recorder is one call of the verb record.
type recorder struct {
	cfg     live.Config
	json    bool
	stdio   bool   // a port has the standard streams
	control string // path of the socket, or ""

	stdout, stderr io.Writer
}

// recordGrace is how long a recording that is told to end has for that: what waits to
// be written is written.
const recordGrace = 5 * time.Second

func record(c *cli.Context) error {
	r, err := readRecorder(c)
	if err != nil {
		return err
	}
	return r.run(c.Context)
}

func (r *recorder) run(ctx context.Context) error {
	// What a pipe's reader leaves is an error of the recording, not the end of the process.
	signal.Ignore(syscall.SIGPIPE)
	ctx, g := newGuard(ctx, r.stderr, recordGrace)
	defer g.stop()
	server, err := control.Listen(r.control)
	if err != nil {
		return err
	}
	defer server.Close()
	g.discards(server.Path())
	line := newStatusLine(r.stderr)
	r.cfg.Notice = line.notice
	sw, err := live.Start(ctx, r.cfg)
	if err != nil {
		return err
	}
	for _, path := range paths(sw.Status().Recording) {
		g.leaves(path)
	}
	server.Serve(sw)
	line.watch(sw)
	err = sw.Run(ctx)
	line.clear()
	if cerr := sw.Close(); err == nil {
		err = cerr
	}
	if werr := r.print(sw.Status(), err); werr != nil && err == nil {
		err = werr
	}
	return err
}

// paths are the files of a recording that there are; pipes are none.
func paths(rec live.RecordingStatus) (paths []string) {
	if rec.File != "" && isRegularOrNew(rec.File) {
		paths = append(paths, rec.File)
	}
	for _, f := range rec.Files {
		if !f.Removed {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

// out is where the summary goes.
func (r *recorder) out() io.Writer {
	if r.cfg.Recording.File == "-" || r.stdio {
		return r.stderr
	}
	return r.stdout
}

func (r *recorder) print(st live.Status, err error) error {
	if r.json {
		out := recordOutcome{Status: st}
		if err != nil {
			out.Error = oneLine(err)
		}
		return writeJSON(r.out(), out)
	}
	_, werr := io.WriteString(r.out(), recordText(st, err))
	return werr
}

// recordOutcome is what record --json prints.
type recordOutcome struct {
	live.Status
	Error string `json:"error,omitempty"`
}
