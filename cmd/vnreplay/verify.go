package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
)

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "run what recordings carry again, and compare",
		UsageText: "vnreplay verify FILE... [FLAGS]",
		Description: "Runs the scenario that each recording carries once more and compares\n" +
			"every frame: time, port, direction, bytes and what became of it.\n\n" +
			"Example: vnreplay verify testdata/*.pcapng",
		Flags: []cli.Flag{
			wallLimitFlag,
			jsonFlag,
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, -1, "a recording"); err != nil {
				return err
			}
			if err := checkWallLimit(c); err != nil {
				return err
			}
			ctx, stop := untilSignal(c.Context)
			defer stop()
			return verifyAll(ctx, c.Args().Slice(), c.Duration("wall-limit"), c.Bool("json"), c.App.Writer, c.App.ErrWriter)
		},
	}
}

// fileVerdict is what verify has to say about one file.
type fileVerdict struct {
	File     string           `json:"file"`
	Verdict  string           `json:"verdict"` // "same", "different", "cut", "error"
	Frames   int              `json:"equal_frames"`
	Versions []string         `json:"versions_differ,omitempty"`
	Diff     *frameDifference `json:"difference,omitempty"`
	Error    string           `json:"error,omitempty"`
	status   int
	err      error
}

// frameDifference is the first difference, for programs.
type frameDifference struct {
	Frame  int              `json:"frame"`
	Kind   string           `json:"kind"`
	Time   time.Time        `json:"time"`
	Port   string           `json:"port"`
	Detail string           `json:"detail"`
	Hint   string           `json:"hint,omitempty"`
	Fields []pcap.FieldDiff `json:"fields,omitempty"`
}

// verifyAll verifies files one after the other; the exit status is the gravest.
func verifyAll(ctx context.Context, files []string, wall time.Duration, asJSON bool, stdout, stderr io.Writer) error {
	worst := quiet{exitOK}
	var verdicts []*fileVerdict
	for _, file := range files {
		v := verifyFile(ctx, file, wall)
		verdicts = append(verdicts, v)
		worst.status = max(worst.status, v.status)
		if !asJSON {
			v.write(stdout, stderr)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if asJSON {
		if err := writeJSON(stdout, verdicts); err != nil {
			return err
		}
	}
	if worst.status != exitOK {
		return worst
	}
	return nil
}

func verifyFile(ctx context.Context, file string, wall time.Duration) *fileVerdict {
	out := &fileVerdict{File: file}
	if file == "-" {
		out.Verdict, out.status, out.err = "error", exitUsage, usage("verify reads a recording twice: give the name of a file")
		out.Error = out.err.Error()
		return out
	}
	v, err := scenario.Verify(ctx, file, scenario.Options{WallLimit: wall})
	switch {
	case err != nil:
		out.Verdict, out.status, out.err = "error", exitStatus(err), err
		out.Error = pcap.Printable(err.Error())
		return out
	case v.Difference != nil:
		out.Verdict, out.status = "different", exitFailed
		out.Diff = differenceOf(v)
	case v.Cut != nil:
		out.Verdict, out.status, out.err = "cut", exitUsage, v.Cut
		out.Error = v.Cut.Error()
	default:
		out.Verdict = "same"
	}
	out.Frames, out.Versions = v.Frames, v.Versions
	return out
}

func differenceOf(v *scenario.Verification) *frameDifference {
	d := v.Difference
	out := &frameDifference{Frame: d.Frame, Kind: d.Kind.String(), Detail: d.Detail, Hint: v.Hint, Fields: v.Fields}
	p, iface := d.Expected, d.ExpectedInterface
	if p == nil {
		p, iface = d.Actual, d.ActualInterface
	}
	out.Time = p.Time
	if iface != nil {
		out.Port = iface.Name
	}
	return out
}

// write writes the verdict for people: a line, and for a difference the place
// and the fields.
func (v *fileVerdict) write(stdout, stderr io.Writer) {
	name := pcap.Printable(v.File)
	for _, line := range v.Versions {
		fmt.Fprintf(stdout, "%s: %s\n", name, line)
	}
	switch v.Verdict {
	case "same":
		fmt.Fprintf(stdout, "%s: the same, %s\n", name, count(uint64(v.Frames), "frame"))
	case "cut":
		var cut *pcap.TruncatedError
		errors.As(v.err, &cut)
		fmt.Fprintf(stdout, "%s: equal up to frame %d, then the file ends at byte %d\n", name, cut.Frames, cut.Offset)
	case "different":
		d := v.Diff
		fmt.Fprintf(stdout, "%s: DIFFERENT at frame %d: %s\n", name, d.Frame, pcap.Printable(d.Kind))
		fmt.Fprintf(stdout, "  time  %s\n  port  %s\n  %s\n", d.Time.UTC().Format(time.RFC3339Nano), pcap.Printable(d.Port), pcap.Printable(d.Detail))
		if len(d.Fields) > 0 {
			io.WriteString(stdout, indent(pcap.FormatDiff(d.Fields)))
		}
		if d.Hint != "" {
			fmt.Fprintf(stdout, "  %s\n", d.Hint)
		}
		fmt.Fprintf(stdout, "  %s before it\n", count(uint64(v.Frames), "equal frame"))
	default:
		report(stderr, v.err)
	}
}

func indent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString("  " + line)
	}
	return b.String()
}
