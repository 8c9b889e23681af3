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
			ctx, g := newGuard(c.Context, c.App.ErrWriter, grace)
			defer g.stop()
			return verifyAll(ctx, c.Args().Slice(), c.Duration("wall-limit"), c.Bool("json"), c.App.Writer, c.App.ErrWriter)
		},
	}
}

// fileVerdict is what verify has to say about one file.
type fileVerdict struct {
	File     string           `json:"file"`
	Verdict  string           `json:"verdict"` // "same", "different", "cut", "cut short", "error"
	Frames   int              `json:"equal_frames"`
	Versions []string         `json:"versions_differ,omitempty"`
	Diff     *frameDifference `json:"difference,omitempty"`
	// CutShort is why the recorded run ended before its time.
	CutShort string `json:"cut_short,omitempty"`
	// Run is what the recording says of its run that the second run does not.
	Run    string `json:"run_differs,omitempty"`
	Error  string `json:"error,omitempty"`
	status int
	err    error
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
	if err := readTwice("verify", file); err != nil {
		out.Verdict, out.status, out.err, out.Error = "error", exitUsage, err, oneLine(err)
		return out
	}
	v, err := scenario.Verify(ctx, file, scenario.Options{WallLimit: wall})
	switch {
	case err != nil:
		out.Verdict, out.status, out.err = "error", exitStatus(err), err
		out.Error = oneLine(err)
		return out
	case v.Difference != nil:
		out.Verdict, out.status = "different", exitFailed
		out.Diff = differenceOf(v)
	case v.CutShort != "":
		out.Verdict, out.status, out.CutShort = "cut short", exitUsage, v.CutShort
	case v.Cut != nil:
		out.Verdict, out.status, out.err = "cut", exitUsage, v.Cut
		out.Error = oneLine(v.Cut)
	default:
		out.Verdict = "same"
	}
	out.Frames, out.Versions, out.Run = v.Frames, v.Versions, v.Run
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
	if v.Run != "" {
		fmt.Fprintf(stdout, "%s: what it says of its run is not so: %s\n", name, pcap.Printable(v.Run))
	}
	switch v.Verdict {
	case "same":
		fmt.Fprintf(stdout, "%s: the same, %s\n", name, count(uint64(v.Frames), "frame"))
	case "cut short":
		fmt.Fprintf(stdout, "%s: equal up to frame %d, where the recorded run was cut short:\n  %s\n",
			name, v.Frames, pcap.Printable(v.CutShort))
	case "cut":
		var cut *pcap.TruncatedError
		errors.As(v.err, &cut)
		fmt.Fprintf(stdout, "%s: equal up to frame %d, then the file ends at byte %d\n", name, cut.Frames, cut.Offset)
	case "different":
		d := v.Diff
		fmt.Fprintf(stdout, "%s: DIFFERENT at frame %d: %s\n", name, d.Frame, pcap.Printable(d.Kind))
		fmt.Fprintf(stdout, "  time  %s\n  port  %s\n  %s\n", d.Time.UTC().Format(time.RFC3339Nano), pcap.Printable(d.Port), pcap.Printable(d.Detail))
		io.WriteString(stdout, indent(pcap.FormatDiff(d.Fields)))
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
