package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/shell"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/scenario"
	"github.com/vnreplay/vnreplay/switch"
)

func replayCommand() *cli.Command {
	return &cli.Command{
		Name:      "replay",
		Usage:     "play a capture against a live stack",
		UsageText: "vnreplay replay CAPTURE --live WHO[=APP|@PORT]... | --open [FLAGS]",
		Description: "Gives each live address a real TCP/IP stack, plays those that talk to it\n" +
			"from the capture, and compares what the live side says with what the\n" +
			"capture says it said. Without --live and --play it lists what the capture\n" +
			"holds.\n\n" +
			"WHO is an address of the capture, a MAC (every address behind it),\n" +
			"all-servers or all-clients. With --play, only those are played; without\n" +
			"--live, everyone who talks to them is live.\n\n" +
			"APP is what runs on the live side; it says what it said in the capture\n" +
			"unless it is one of\n" +
			"  transcript:FILE                     what it said in another capture\n" +
			"  http-server[@PORT]:/PATH=FILE[,...] answers with the files\n" +
			"  echo-server@PORT, udp-echo-server@PORT\n" +
			"  exec:COMMAND                        a process for each connection (Linux)\n\n" +
			"exec: gives COMMAND to a shell once for each connection or flow of\n" +
			"datagrams, and joins it to standard input and output. Virtual time then\n" +
			"goes as fast as real time, and a run does not repeat to the byte.\n\n" +
			outsideHelp +
			openHelp +
			"Example: vnreplay replay bug.pcap --live 10.0.0.2\n" +
			"         vnreplay replay bug.pcap --live 10.0.0.2@tap:vnr0\n" +
			"         vnreplay replay bug.pcap --open --speed 10x -w out.pcapng",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "live", Usage: "`WHO[=APP|@PORT]` is live; may be repeated"},
			&cli.StringSliceFlag{Name: "play", Usage: "only `WHO` is played; may be repeated"},
			&cli.StringFlag{Name: "w", Usage: "write a recording of the replay to `OUT`"},
			&cli.Uint64Flag{Name: "seed", Base: 10, Usage: "seed `N` of the live stacks (0)"},
			&cli.BoolFlag{Name: "allow-partial", Usage: "accept that some cannot be replayed"},
			&cli.StringFlag{Name: "compare", Value: "stream", Usage: "`WHAT`: stream, frames or none"},
			maskHeaderFlag, maskFlag,
			&cli.StringFlag{Name: "within", Usage: "as late or soon as captured: `20ms` or 10%"},
			&cli.StringFlag{Name: "max-retransmits", Usage: "`N` for each connection"},
			&cli.StringFlag{Name: "max-synthetic", Usage: "`N` acks made up for each connection"},
			&cli.StringFlag{Name: "max-segments", Usage: "`PERCENT` of the captured ones"},
			&cli.DurationFlag{Name: "max-virtual", Usage: "so much virtual `TIME` in all"},
			&cli.DurationFlag{Name: "patience", Value: replay.Patience, Usage: "wait so much `TIME` for the live side (1m)"},
			&cli.BoolFlag{Name: "other", Usage: "list what else came from @PORT"},
			wallLimitFlag,
			maxSizeFlag,
			jsonFlag,
		}, openFlags()...),
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 1, "the capture"); err != nil {
				return err
			}
			p := player{
				live: c.StringSlice("live"), played: c.StringSlice("play"), out: c.String("w"), json: c.Bool("json"), again: commandLine(c, "w", "json"), stdout: c.App.Writer, stderr: c.App.ErrWriter,
				options: replay.Options{Seed: c.Uint64("seed"), AllowPartial: c.Bool("allow-partial"), WallLimit: c.Duration("wall-limit")},
			}
			var err error
			if p.maxSize, err = maxSize(c); err != nil {
				return err
			}
			if c.Bool("open") {
				return openLoop(c, p)
			}
			if err := onlyOpen(c); err != nil {
				return err
			}
			if err := judgement(c, &p.options); err != nil {
				return err
			}
			p.options.Patience, p.other = c.Duration("patience"), c.Bool("other")
			p.seedGiven, p.wallGiven = c.IsSet("seed"), c.IsSet("wall-limit")
			return p.play(c.Context, c.Args().First())
		},
	}
}

// outsideHelp is about live sides that have a stack already.
const outsideHelp = "With WHO@PORT the live side is outside: a kernel, a virtual machine. PORT is\n" +
	"tap:NAME, packet:IFACE, qemu:unix:PATH, qemu:tcp:HOST:PORT, unixgram:PATH or\n" +
	"vxlan:VNI@LOCAL. Everybody else is played there in real time; WHO must have\n" +
	"its address, and routes to those that are played. What else it sends is\n" +
	"counted (--other lists it).\n\n"

// realWallLimit is the wall time limit of runs in real time, if none is given: a live
// side that hangs is noticed after a minute of it.
const realWallLimit = 10 * time.Minute

// player is one call of the verb replay.
type player struct {
	live, played   []string
	out            string
	json           bool
	seedGiven      bool
	wallGiven      bool
	processes      bool // are live
	real           bool // time
	other          bool // is listed
	outside        map[string]*replay.Outside
	cables         cables
	again          string // the command line, without the output
	maxSize        int64
	options        replay.Options
	stdout, stderr io.Writer
}

func (p *player) play(ctx context.Context, path string) error {
	if p.out == "-" && p.json {
		return usage("--json and -w - both want the standard output")
	}
	if sameFile(path, p.out) {
		return overwrites(p.out)
	}
	capture, err := replay.Load(path)
	if err != nil {
		return err
	}
	a := replay.Analyse(capture)
	if len(p.live) == 0 && len(p.played) == 0 {
		list := a.List
		if p.json {
			list = func(w io.Writer) error { return writeJSON(w, listing(a)) }
		}
		if err := list(p.stdout); err != nil {
			return err
		}
		return usage("which side is live? choose an address: vnreplay replay %s --live ADDR", shell.File(path))
	}
	if err := p.choose(a); err != nil {
		return err
	}
	for _, l := range p.options.Live {
		p.processes = p.processes || strings.HasPrefix(l.Name, execPrefix)
	}
	if p.real = p.processes || len(p.outside) > 0; p.real && !p.wallGiven {
		p.options.WallLimit = realWallLimit + length(capture)
	}
	if err := p.frames(capture); err != nil {
		return err
	}
	ctx, g := newGuard(ctx, p.stderr, grace)
	defer g.stop()
	if err := p.openOutside(ctx, g, a); err != nil {
		return err
	}
	defer p.cables.close()
	rec, remove, err := p.record(path)
	if err != nil {
		return err
	}
	p.options.Recorder = &ceiling{Recorder: rec, most: p.maxSize, end: g.cancel}
	g.leaves(rec.Written())
	inTime := g.within(p.options.WallLimit)
	report, err := replay.Run(ctx, a, p.options)
	if err != nil && !errors.Is(err, replay.ErrNoAnswer) { // it did not begin
		rec.Discard()
	}
	if cerr := rec.Close(); err == nil {
		err = cerr
	}
	inTime()
	if err != nil {
		remove()
		return err
	}
	if len(p.outside) > 0 {
		report.Notes = append(append(report.Notes, p.cables.lost()...), "the live side is outside, in real time: another run may differ in time and segments")
	} else if p.processes {
		report.Notes = append(report.Notes, "processes ran in real time: another run may differ in time and segments")
	}
	if n := report.BothLive; n > 0 {
		report.Notes = append(report.Notes, fmt.Sprintf("both ends of %s are live, so nobody plays: make only one end live",
			count(uint64(n), "conversation")))
	}
	kept := rec.Written()
	if report.Verdict == replay.Same || report.Verdict == replay.Partial {
		if remove(); p.out == "" {
			kept = ""
		}
	}
	if err := p.print(report, kept); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case report.Verdict != replay.Same:
		return quiet{int(report.Verdict)}
	}
	return nil
}

// record makes the recorder, and what removes the file if nobody asked for it.
func (p *player) record(capture string) (*pcap.Recorder, func(), error) {
	path, remove := p.out, func() {}
	if path == "" {
		dir, err := os.MkdirTemp("", "vnreplay-")
		if err != nil {
			return nil, nil, err
		}
		name := strings.TrimSuffix(filepath.Base(capture), filepath.Ext(capture))
		path, remove = filepath.Join(dir, name+".replay.pcapng"), func() { os.RemoveAll(dir) }
	}
	v := scenario.Versions()
	meta := pcap.Meta{Version: v.VNReplay, Stack: v.Stack, Go: v.Go, Seed: p.options.Seed}
	if p.real {
		meta.Clock = "real"
	}
	rec, err := pcap.Create(linked(path), meta)
	if err != nil {
		remove()
		return nil, nil, fmt.Errorf("recording: %w", err)
	}
	return rec, remove, nil
}

// jsonListing is what replay --json prints when it is not told who is live.
type jsonListing struct {
	Capture       string             `json:"capture"`
	Frames        int                `json:"frames"`
	Endpoints     []jsonEndpoint     `json:"endpoints"`
	Conversations []jsonConversation `json:"conversations"`
	Ignored       []jsonSkip         `json:"ignored"` // in no conversation
	Skipped       []jsonSkip         `json:"skipped"` // not usable
	Clock         jsonClock          `json:"clock"`
	Format        string             `json:"format"`
	Blocks        []string           `json:"other_blocks,omitempty"` // of a pcapng file, that are no packets
	Cut           string             `json:"cut,omitempty"`
}

type jsonEndpoint struct {
	Address netip.Addr `json:"address"`
	MAC     string     `json:"mac"`
	Frames  int        `json:"frames"`
	Bytes   int64      `json:"bytes"`
}

type jsonConversation struct {
	Number   int               `json:"number"`
	Protocol string            `json:"protocol"`
	Ends     [2]netip.AddrPort `json:"ends"`  // the first opened it
	Bytes    [2]int64          `json:"bytes"` // that each sent
	First    int               `json:"first_frame"`
	Last     int               `json:"last_frame"`
	Reason   string            `json:"not_replayable,omitempty"`
}

type jsonSkip struct {
	Frames  int    `json:"frames"`
	First   int    `json:"first_frame"`
	Numbers []int  `json:"frame_numbers"` // of the first few
	Reason  string `json:"reason"`
}

// jsonClock is what is wrong with the stamps of a capture.
type jsonClock struct {
	Backwards      int `json:"backwards"` // frames
	FirstBackwards int `json:"first_backwards,omitempty"`
	Ahead          int `json:"ahead"` // by more than 30 days
	FirstAhead     int `json:"first_ahead,omitempty"`
	Untimed        int `json:"untimed"`
	FirstUntimed   int `json:"first_untimed,omitempty"`
}

func clockOf(c *replay.Capture) jsonClock {
	return jsonClock{c.Backwards, c.FirstBackwards, c.Ahead, c.FirstAhead, c.Untimed, c.FirstUntimed}
}

// jsonSkips is a list of frames that were not used; it is never null.
func jsonSkips(skips []replay.Skip) []jsonSkip {
	out := []jsonSkip{}
	for _, s := range skips {
		out = append(out, jsonSkip{s.Frames, s.First, s.Numbers, s.Reason})
	}
	return out
}

func listing(a *replay.Analysis) jsonListing {
	out := jsonListing{
		Capture: a.Capture.Name, Frames: len(a.Capture.Frames), Endpoints: []jsonEndpoint{},
		Conversations: []jsonConversation{}, Ignored: jsonSkips(a.Ignored), Skipped: jsonSkips(a.Capture.Skipped),
		Clock: clockOf(a.Capture), Format: a.Capture.Format,
	}
	for _, b := range a.Capture.Blocks {
		out.Blocks = append(out.Blocks, b.String())
	}
	if a.Capture.Cut != nil {
		out.Cut = oneLine(a.Capture.Cut)
	}
	for _, e := range a.Endpoints {
		out.Endpoints = append(out.Endpoints, jsonEndpoint{e.Addr, e.MAC.String(), e.Frames, e.Bytes})
	}
	for _, c := range a.Conversations {
		out.Conversations = append(out.Conversations, jsonConversation{
			c.Number, c.Proto.String(), c.Ends, [2]int64{c.Bytes(0), c.Bytes(1)}, c.First, c.Last, c.Reason})
	}
	return out
}

func (p *player) print(r *replay.Report, kept string) error {
	v := scenario.Versions()
	r.Versions = fmt.Sprintf("vnreplay %s, gVisor %s, %s", v.VNReplay, v.Stack, v.Go)
	r.Recording, r.Again = kept, p.again
	w := p.stdout
	switch {
	case p.json:
		return writeJSON(p.stdout, outcomeOf(r))
	case p.out == "-":
		r.Recording, w = "", p.stderr
	}
	if err := r.Print(w); err != nil || !p.other {
		return err
	}
	return r.PrintOther(w)
}

// length is how long a capture took.
func length(c *replay.Capture) time.Duration {
	if n := len(c.Frames); n > 0 {
		return min(c.Frames[n-1].At, 365*24*time.Hour)
	}
	return 0
}

// openOutside opens the ports to the outside, and says to whoever waits for that when
// live addresses may begin to talk.
func (p *player) openOutside(ctx context.Context, g *guard, a *replay.Analysis) error {
	if len(p.outside) == 0 {
		return nil
	}
	p.cables.failed = g.cancel
	for spec, out := range p.outside {
		c, err := p.cables.open("--live", spec)
		if err != nil {
			p.cables.close()
			return err
		}
		out.Connect = c.connect
	}
	context.AfterFunc(ctx, p.cables.close)
	var opens []string
	for _, c := range a.Conversations {
		if c.Reason == "" && slices.ContainsFunc(p.options.Live, func(l replay.Live) bool { return l.Addr == c.Ends[0].Addr() && l.Behind != nil }) {
			if to := fmt.Sprintf("%v %v", c.Proto, c.Ends[1]); !slices.Contains(opens, to) {
				opens = append(opens, to)
			}
		}
	}
	p.options.Ready = func() {
		if len(opens) > 0 {
			fmt.Fprintf(p.stderr, "vnreplay: ready: the live side is to open %s\n", strings.Join(opens[:min(len(opens), 4)], ", "))
		}
	}
	return nil
}

var (
	jsonFlag      = &cli.BoolFlag{Name: "json", Usage: "print JSON for programs"}
	wallLimitFlag = &cli.DurationFlag{Name: "wall-limit", Value: vswitch.DefaultWallLimit, Usage: "give up after so much real `TIME` (1m)"}
)
