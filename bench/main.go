// Command bench measures vnreplay beside what one would use in its place: gVisor's
// own links, gvisor-tap-vsock's switch, pion's vnet, the kernel's bridge with
// dumpcap or tcpdump, and tcpreplay. It runs on Linux.
//
// Each file measures one kind of thing: tcp.go bulk transfer, frames.go single
// frames, faults.go fault rules, replay.go replay of captures. What they have in
// common is in the package internal/bench of the main module, whose [bench.Subject]
// every measurement is. The peers are in files of their names.
//
// What needs a tool or a privilege that is missing is skipped, with the reason.
// Namespaces, files and processes that a measurement makes, it removes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/vnreplay/vnreplay/internal/bench"
)

const usageText = `Usage: go run . [FLAGS] [GROUP...]

Measures vnreplay beside its peers, by turns, and prints a table for each group:
  tcp     one TCP connection in bulk, MTU 1500
  frames  single frames of 1514 bytes, from one writer to one listener
  faults  the same with fault rules
  feed    a capture's frames flat out into a veth
  pace    a capture's frames at their times, on a quiet machine and on a busy one
All of them, if none is named. The kernel's peers need root.

Example: go run . -reps 5 tcp frames
         go run . -quick -json

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// sizes say how much is measured.
type sizes struct {
	tcpBytes int64 // of a bulk transfer
	frames   int   // that are forwarded
	fed      int   // frames of the capture that is fed flat out
	paced    int   // frames of the capture that is fed at its times
	dir      string
	command  *ownCommand
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s := sizes{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usageText); flags.PrintDefaults() }
	reps := flags.Int("reps", 5, "measure each subject so often")
	asJSON := flags.Bool("json", false, "print the report as JSON")
	quick := flags.Bool("quick", false, "measure little, to see that everything works")
	flags.Int64Var(&s.tcpBytes, "bytes", 1_000_000_000, "bytes of a TCP transfer")
	flags.IntVar(&s.frames, "frames", 4_000_000, "frames that are forwarded")
	flags.IntVar(&s.fed, "fed", 1_000_000, "frames of the capture that is fed flat out")
	flags.IntVar(&s.paced, "paced", 20_000, "frames of the capture that is fed at its times, 100µs apart")
	flags.StringVar(&s.dir, "dir", "/dev/shm", "directory for recordings, on tmpfs")
	given := flags.String("vnreplay", "", "the command vnreplay to measure (default: built from this repository)")
	only := flags.String("only", "", "of each group only subjects whose name has this in it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *quick {
		s.tcpBytes, s.frames, s.fed, s.paced = 10_000_000, 20_000, 20_000, 200
	}
	if *reps < 1 || s.tcpBytes < 1 || s.frames < 1 || s.fed < 1 || s.paced < 2 {
		return errors.New("-reps, -bytes, -frames and -fed want 1 or more, -paced 2 or more")
	}
	dir, err := os.MkdirTemp(s.dir, "vnreplay-bench-")
	if err != nil {
		return fmt.Errorf("-dir: %w", err)
	}
	defer os.RemoveAll(dir)
	s.dir, s.command = dir, &ownCommand{given: *given, dir: dir}

	groups, err := choose(groups(s), flags.Args(), *only)
	if err != nil {
		return err
	}
	opts := bench.Options{Reps: *reps, Progress: func(group, subject string, rep, reps int) {
		fmt.Fprintf(stderr, "%s %d/%d: %s\n", group, rep, reps, subject)
	}}
	report, err := bench.Measure(ctx, groups, opts)
	if *asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return errors.Join(err, enc.Encode(report))
	}
	return errors.Join(err, report.WriteText(stdout))
}

// groups is everything there is to measure.
func groups(s sizes) []bench.Group {
	return []bench.Group{tcpGroup(s), framesGroup(s), faultsGroup(s), feedGroup(s), paceGroup(s)}
}

// choose takes the groups that are named, or all, and of them the subjects whose
// name has a text in it.
func choose(all []bench.Group, names []string, only string) ([]bench.Group, error) {
	var chosen []bench.Group
	for _, name := range names {
		i := slices.IndexFunc(all, func(g bench.Group) bool { return g.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no group is called %q: see -help", name)
		}
		chosen = append(chosen, all[i])
	}
	if len(names) == 0 {
		chosen = all
	}
	for i := range chosen {
		g := &chosen[i]
		g.Subjects = slices.DeleteFunc(g.Subjects, func(s bench.Subject) bool { return !strings.Contains(s.Name(), only) })
	}
	chosen = slices.DeleteFunc(chosen, func(g bench.Group) bool { return len(g.Subjects) == 0 })
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-only %q: there is no such subject", only)
	}
	return chosen, nil
}
