package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/internal/bench"
	"github.com/vnreplay/vnreplay/scenario"
	"github.com/vnreplay/vnreplay/switch"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:      "bench",
		Usage:     "measure how fast the switch is on this machine",
		UsageText: "vnreplay bench [tcp] [udp] [frames] [--quick] [--json]",
		Description: "tcp: one TCP connection between two hosts on a switch, in real time; udp:\n" +
			"datagrams as big as the MTU; frames: frames of 1514 bytes from one port to\n" +
			"another. Each with and without a recording, and fault rules that do nothing.\n" +
			"All of them, if none is named. What is compared is measured by turns, and\n" +
			"every recording is held against the switch. No privilege is needed.\n\n" +
			"Recordings of as many bytes as are sent are written to --dir, one at a time,\n" +
			"and removed: on tmpfs, which is memory, they show the recorder and no disk.\n\n" +
			"Example: vnreplay bench --quick\n" +
			"         vnreplay bench tcp --mtu 1500 --reps 9 --json",
		ArgsUsage: "[tcp] [udp] [frames]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quick", Usage: "measure a tenth, three times"},
			&cli.Uint64Flag{Name: "reps", Value: 5, Usage: "measure everything `N` times (5)"},
			&cli.StringFlag{Name: "bytes", Value: "1GB", Usage: "send `SIZE` over TCP (1GB)"},
			&cli.Uint64Flag{Name: "datagrams", Value: 500_000, Usage: "send `N` datagrams (500000)"},
			&cli.Uint64Flag{Name: "frames", Value: 4_000_000, Usage: "forward `N` frames (4000000)"},
			&cli.StringFlag{Name: "mtu", Value: "1500,9000,65535", Usage: "with these MTUs, `BYTES,...` (1500,9000,65535)"},
			&cli.StringFlag{Name: "dir", Usage: "record into `DIR` (/dev/shm, or the temporary one)"},
			jsonFlag,
		},
		Action: benchmark,
	}
}

// benchmark is the action of bench.
func benchmark(c *cli.Context) error {
	sizes, reps, err := readSizes(c)
	if err != nil {
		return err
	}
	ctx, g := newGuard(c.Context, c.App.ErrWriter, grace)
	defer g.stop()
	if sizes.Dir, err = os.MkdirTemp(benchDir(c.String("dir")), "vnreplay-bench-"); err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	g.discards(sizes.Dir)
	defer os.RemoveAll(sizes.Dir)
	groups, err := chooseGroups(bench.Suite(sizes), c.Args().Slice())
	if err != nil {
		return err
	}
	line := progress{total: reps}
	for _, group := range groups {
		line.subjects += len(group.Subjects)
	}
	if isTerminal(c.App.ErrWriter) {
		line.w = c.App.ErrWriter
	}
	report, err := bench.Measure(ctx, groups, bench.Options{Reps: reps, Progress: line.draw})
	line.clear()
	if c.Bool("json") {
		err = errors.Join(err, writeJSON(c.App.Writer, report))
	} else {
		err = errors.Join(err, report.WriteText(c.App.Writer))
	}
	return err
}

// readSizes reads how much is measured, and how often.
func readSizes(c *cli.Context) (s bench.Sizes, reps int, err error) {
	bytes, err := scenario.ParseSize(c.String("bytes"))
	if err != nil || bytes < 1 {
		return s, 0, usage("bench: --bytes %s: want a size such as 1GB", c.String("bytes"))
	}
	s = bench.Sizes{Bytes: int64(bytes), Datagrams: int(c.Uint64("datagrams")), Frames: int(c.Uint64("frames"))}
	reps = int(c.Uint64("reps"))
	if c.Bool("quick") {
		for name, divide := range map[string]func(){
			"bytes":     func() { s.Bytes = max(s.Bytes/10, 1) },
			"datagrams": func() { s.Datagrams = max(s.Datagrams/10, 1) },
			"frames":    func() { s.Frames = max(s.Frames/10, 1) },
			"reps":      func() { reps = 3 },
		} {
			if !c.IsSet(name) {
				divide()
			}
		}
	}
	const most = 1 << 32
	for _, n := range []struct {
		name  string
		value int
	}{{"datagrams", s.Datagrams}, {"frames", s.Frames}, {"reps", reps}} {
		if n.value < 1 || n.value > most {
			return s, 0, usage("bench: --%s %d: want 1 to %d", n.name, n.value, most)
		}
	}
	for text := range strings.SplitSeq(c.String("mtu"), ",") {
		mtu, err := strconv.Atoi(text)
		if err != nil || mtu < leastMTU || mtu > vswitch.MaxMTU || slices.Contains(s.MTUs, mtu) {
			return s, 0, usage("bench: --mtu %s: want different numbers from %d to %d", c.String("mtu"), leastMTU, vswitch.MaxMTU)
		}
		s.MTUs = append(s.MTUs, mtu)
	}
	return s, reps, nil
}

// leastMTU is the least that every machine of the Internet has to take (RFC 791).
const leastMTU = 576

// benchDir is where recordings are written: on tmpfs if there is one.
func benchDir(given string) string {
	if given != "" {
		return given
	}
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() {
		return shm
	}
	return os.TempDir()
}

// chooseGroups takes the groups that are named, or all.
func chooseGroups(all []bench.Group, names []string) ([]bench.Group, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []bench.Group
	for _, name := range names {
		i := slices.IndexFunc(all, func(g bench.Group) bool { return g.Name == name })
		if i < 0 {
			return nil, usage("bench: %q cannot be measured: want tcp, udp or frames", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// progress is the line on a terminal that says what is being measured.
type progress struct {
	w               io.Writer // nil: not a terminal
	subjects, total int       // how many there are, and how often each
	over            int
}

func (p *progress) draw(group, subject string, rep, reps int) {
	p.over++
	if p.w != nil {
		text := fmt.Sprintf("%d/%d %s: %s", p.over, p.subjects*p.total, group, subject)
		fmt.Fprintf(p.w, "\r%s%s", eraseLine, clip(text, width-1))
	}
}

// clear takes the line away.
func (p *progress) clear() {
	if p.w != nil {
		fmt.Fprintf(p.w, "\r%s", eraseLine)
	}
}
