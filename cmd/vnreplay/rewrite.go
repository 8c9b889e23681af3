package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/pcap"
)

func rewriteCommand() *cli.Command {
	return &cli.Command{
		Name:      "rewrite",
		Usage:     "change addresses in a capture",
		UsageText: "vnreplay rewrite CAPTURE -w OUT [--ip OLD=NEW]... [FLAGS]",
		Description: "Writes the capture with other addresses: in Ethernet, VLAN, ARP, IP, TCP\n" +
			"and UDP headers, in neighbour discovery and ICMP redirects, and in what ICMP\n" +
			"errors quote; not in tunnels and in the contents of other protocols. All\n" +
			"else stays: times, interfaces, comments, options, statistics, names, secrets,\n" +
			"blocks that nobody knows. pcapng stays pcapng, pcap stays pcap unless OUT\n" +
			"ends in .pcapng. Frames that cannot be dissected are left alone, and counted.\n\n" +
			"An old address is looked up in the frame as it was: two mappings may swap\n" +
			"two addresses. A network's hosts keep their part: 10.0.0.0/24=10.9.0.0/24.\n\n" +
			"--fixsum: checksums that addresses and ports count into are updated where\n" +
			"these change. changed (default) also computes anew what is wrong in frames\n" +
			"that change; all, in all frames; keep leaves wrong sums wrong; none touches\n" +
			"none.\n\n" +
			"Example: vnreplay rewrite bug.pcap -w t.pcap --ip 192.168.1.0/24=10.0.0.0/24\n" +
			"         vnreplay rewrite a.pcapng -w b.pcapng --vlan 10=none --port 80=8080",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "w", Usage: "write to `OUT`; - is the standard output"},
			&cli.StringSliceFlag{Name: "mac", Usage: "MAC address `OLD=NEW`; may be repeated"},
			&cli.StringSliceFlag{Name: "ip", Usage: "IP address or network `OLD=NEW`; repeatable"},
			&cli.StringSliceFlag{Name: "port", Usage: "TCP and UDP port `OLD=NEW`; may be repeated"},
			&cli.StringSliceFlag{Name: "vlan", Usage: "VLAN `OLD=NEW`, OLD=none or add=NEW; repeatable"},
			&cli.StringFlag{Name: "fixsum", Value: "changed", Usage: "make `changed|all|keep|none` checksums right"},
			jsonFlag,
		},
		Action: rewrite,
	}
}

func rewrite(c *cli.Context) error {
	if err := wantArgs(c, 1, 1, "the capture"); err != nil {
		return err
	}
	path, out := c.Args().First(), c.String("w")
	format, err := formatOf(out)
	switch {
	case !c.IsSet("w"):
		return usage("where to? give -w OUT, or -w - for the standard output")
	case out == "-" && c.Bool("json"):
		return usage("--json and -w - both want the standard output")
	case sameFile(path, out):
		return overwrites(out)
	case err != nil:
		return err
	}
	r, err := rewriter(c)
	if err != nil {
		return err
	}
	in := os.Stdin
	if path != "-" {
		if in, err = os.Open(path); err != nil {
			return err
		}
		defer in.Close()
	}
	file, err := pcap.CreateFile(linked(out))
	if err != nil {
		return err
	}
	_, g := newGuard(c.Context, c.App.ErrWriter, 0)
	defer g.stop()
	g.leaves(file.Written())
	cut := r.Copy(file, in, inputName(path), format)
	var truncated *pcap.TruncatedError
	if cut != nil && !errors.As(cut, &truncated) {
		file.Discard()
		if errors.Is(cut, pcap.ErrFormat) {
			return usage("%v: end the name of OUT in .pcapng", cut)
		}
		return cut
	}
	report := r.Report()
	nothing := !matched(&report)
	if nothing {
		file.Discard()
	} else if err := file.Close(); err != nil {
		return err
	}
	if err := printRewritten(c, &report, path, out, nothing); err != nil {
		return err
	}
	if nothing {
		return fmt.Errorf("%s: nothing matched, nothing is written", path)
	}
	return cut // what precedes the cut is there
}

func inputName(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}

// formatOf is the format that the name of the output asks for.
func formatOf(out string) (pcap.FileFormat, error) {
	switch strings.ToLower(filepath.Ext(out)) {
	case ".pcapng":
		return pcap.PcapngFormat, nil
	case ".pcap":
		return pcap.ClassicFormat, nil
	}
	return pcap.SameFormat, nil
}

// rewriter makes the rewriter of the flags.
func rewriter(c *cli.Context) (*pcap.Rewriter, error) {
	fix, err := pcap.ParseFixSums(c.String("fixsum"))
	if err != nil {
		return nil, usage("--fixsum %v", err)
	}
	var maps []pcap.Mapping
	for _, kind := range []struct {
		flag  string
		parse func(string) (pcap.Mapping, error)
	}{{"mac", pcap.MapMAC}, {"ip", pcap.MapIP}, {"port", pcap.MapPort}, {"vlan", pcap.MapVLAN}} {
		for _, text := range c.StringSlice(kind.flag) {
			m, err := kind.parse(text)
			if err != nil {
				return nil, usage("--%s %v", kind.flag, err)
			}
			maps = append(maps, m)
		}
	}
	if len(maps) == 0 && fix != pcap.FixAll {
		return nil, usage("what is to change? give --mac, --ip, --port or --vlan OLD=NEW, or --fixsum all")
	}
	return pcap.NewRewriter(fix, maps...)
}

// matched reports whether anything was done, or need not be.
func matched(r *pcap.Rewritten) bool {
	for _, m := range r.Mappings {
		if m.Frames > 0 {
			return true
		}
	}
	return len(r.Mappings) == 0
}

// rewriteOutcome is what rewrite --json prints.
type rewriteOutcome struct {
	Capture   string           `json:"capture"`
	Out       string           `json:"out,omitempty"`
	Frames    uint64           `json:"frames"`
	Changed   uint64           `json:"changed"`
	Fixed     uint64           `json:"checksums_fixed"` // frames of which a sum was computed anew
	Cut       uint64           `json:"cut,omitempty"`
	Mappings  []rewriteMapping `json:"mappings"`
	Left      []rewriteLeft    `json:"left_alone"`
	Recording bool             `json:"recording"`
}

type rewriteMapping struct {
	Mapping string `json:"mapping"`
	Frames  uint64 `json:"frames"`
}

type rewriteLeft struct {
	Frames uint64 `json:"frames"`
	First  int    `json:"first_frame"`
	Reason string `json:"reason"`
}

func printRewritten(c *cli.Context, r *pcap.Rewritten, path, out string, nothing bool) error {
	if nothing {
		out = ""
	}
	if c.Bool("json") {
		o := rewriteOutcome{Capture: path, Out: out, Frames: r.Frames, Changed: r.Changed, Fixed: r.Fixed, Cut: r.Cut,
			Mappings: []rewriteMapping{}, Left: []rewriteLeft{}, Recording: r.Recording}
		for _, m := range r.Mappings {
			o.Mappings = append(o.Mappings, rewriteMapping{m.String(), m.Frames})
		}
		for _, l := range r.Left {
			o.Left = append(o.Left, rewriteLeft{l.Frames, l.First, l.Reason})
		}
		return writeJSON(c.App.Writer, o)
	}
	w := c.App.Writer
	if out == "-" {
		w = c.App.ErrWriter
	}
	_, err := io.WriteString(w, rewrittenText(r, path, out))
	return err
}

// rewrittenText is the summary for people.
func rewrittenText(r *pcap.Rewritten, path, out string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, %d changed", clip(pcap.Printable(path), width-50), count(r.Frames, "frame"), r.Changed)
	if r.Fixed > 0 {
		fmt.Fprintf(&b, ", checksums of %d fixed", r.Fixed)
	}
	b.WriteByte('\n')
	if len(r.Mappings) > 0 {
		b.WriteByte('\n')
		t := newTable(0)
		fmt.Fprintf(t, "frames\tmapping\n")
		for _, m := range r.Mappings {
			fmt.Fprintf(t, "%d\t--%s\n", m.Frames, pcap.Printable(m.String()))
		}
		t.writeTo(&b)
	}
	var notes strings.Builder
	for _, m := range r.Mappings {
		if m.Frames == 0 {
			fmt.Fprintf(&notes, "warning: --%s never matched\n", pcap.Printable(m.String()))
		}
	}
	for i, l := range r.Left {
		if i == most {
			fmt.Fprintf(&notes, "left alone: and for %d more reasons\n", len(r.Left)-most)
			break
		}
		fmt.Fprintf(&notes, "left alone: %s (the first is %d): %s\n", count(l.Frames, "frame"), l.First, pcap.Printable(l.Reason))
	}
	if r.Cut > 0 {
		fmt.Fprintf(&notes, "cut: %s at the length that the interface keeps\n", count(r.Cut, "frame"))
	}
	if r.Recording {
		notes.WriteString("note: it is a recording, and says what it was of: verify will find it changed\n")
	}
	if notes.Len() > 0 {
		b.WriteString("\n" + notes.String())
	}
	if out != "" && out != "-" {
		fmt.Fprintf(&b, "\nwritten: %s\n", pcap.Printable(out))
	}
	return b.String()
}
