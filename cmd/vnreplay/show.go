package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/filter"
	"github.com/vnreplay/vnreplay/pcap"
)

func showCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "print a capture as text",
		UsageText: "vnreplay show FILE ['EXPRESSION'] [--count] [--json]",
		Description: "One line for each frame in tcpdump's grammar: number as in Wireshark,\n" +
			"seconds, port, contents, and last what a fault did to it. Reads any pcap or\n" +
			"pcapng file, in gzip or zstd too; - is the standard input.\n\n" +
			"EXPRESSION is a tcpdump filter: of an Ethernet capture, the frames are shown\n" +
			"that tcpdump -r FILE EXPRESSION shows. --count tells how many there are, and\n" +
			"what each fault rule did to them.\n\n" +
			"Example: vnreplay show lossy.pcapng | grep -E 'DROP|DUP|CORR'\n" +
			"         vnreplay show lossy.pcapng 'tcp port 80 and greater 1000' --count",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "count", Usage: "print the number of frames, and counts by rule"},
			jsonFlag,
		},
		Action: func(c *cli.Context) error {
			if c.NArg() < 1 {
				return wantArgs(c, 1, 2, "the capture")
			}
			// tcpdump joins the words of an expression, too.
			expr, err := filter.Compile(strings.Join(c.Args().Tail(), " "))
			if err != nil {
				return err
			}
			r, err := pcap.Open(c.Args().First())
			if err != nil {
				return err
			}
			defer r.Close()
			s := shower{r: r, expr: expr, w: bufio.NewWriterSize(c.App.Writer, 1<<16)}
			switch {
			case c.Bool("count"):
				err = s.count(c.Bool("json"))
			case c.Bool("json"):
				err = s.json()
			default:
				err = s.lines()
			}
			return errors.Join(err, s.w.Flush())
		},
	}
}

// shower prints the frames of a capture that an expression selects.
type shower struct {
	r    *pcap.Reader
	expr *filter.Filter
	w    *bufio.Writer
}

// frames calls fn for each frame that is selected.
func (s *shower) frames(fn func(p *pcap.Packet, iface pcap.Interface) error) error {
	for {
		p, err := s.r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if s.expr.String() != "" {
			if p.LinkType != pcap.LinkEthernet {
				return fmt.Errorf("%s: frame %d has %s, and expressions are for Ethernet only: leave it out",
					s.r.Name(), p.Number, pcap.LinkTypeName(p.LinkType))
			}
			if !s.expr.MatchLen(p.Data, p.OrigLen) {
				continue
			}
		}
		if err := fn(p, s.r.Interface(p.Interface)); err != nil {
			return err
		}
	}
}

// lines prints a line for each frame and, if all are shown, for each change of
// rules and cables.
func (s *shower) lines() error {
	show := &pcap.Show{}
	changes := func(comments []string) {
		if s.expr.String() == "" {
			for _, line := range show.Changes(comments) {
				fmt.Fprintln(s.w, line)
			}
		}
	}
	err := s.frames(func(p *pcap.Packet, iface pcap.Interface) error {
		line := show.Line(p, iface)
		changes(p.Comments)
		_, err := fmt.Fprintln(s.w, line)
		return err
	})
	if err != nil {
		return err
	}
	for _, iface := range s.r.Interfaces() {
		if iface.Stats != nil {
			changes(iface.Stats.Comments)
		}
	}
	return nil
}

// shownFrame is one line of show --json.
type shownFrame struct {
	Frame     int          `json:"frame"`
	Time      time.Time    `json:"time"`
	Interface string       `json:"interface"`
	Direction string       `json:"direction"`
	Bytes     int          `json:"bytes"`
	Text      string       `json:"text"`
	Faults    []shownFault `json:"faults,omitempty"`
	Comments  []string     `json:"comments,omitempty"`
}

// shownFault is one thing that a rule did to a frame.
type shownFault struct {
	Fault string `json:"fault"` // the word of a recording: drop, dup, corrupt …
	Rule  int    `json:"rule"`
	Name  string `json:"name,omitempty"`
	At    string `json:"at,omitempty"` // the receiver whose cable it was; else the sender's
}

func (s *shower) json() error {
	values := newEncoder(s.w)
	var describer pcap.Describer
	return s.frames(func(p *pcap.Packet, iface pcap.Interface) error {
		out := shownFrame{
			Frame: p.Number, Time: p.Time, Interface: iface.Name, Direction: p.Direction.String(), Bytes: p.OrigLen,
			Text: describer.Describe(p), Comments: p.Comments,
		}
		if fate, err := pcap.ParseFate(p.Comments); err == nil {
			for _, f := range fate.Faults {
				out.Faults = append(out.Faults, shownFault{f.Kind.String(), f.Rule, f.Name, f.At})
			}
		}
		return values.Encode(out)
	})
}

// frameCounts is what show --count tells.
type frameCounts struct {
	Frames int              `json:"frames"`
	Rules  []pcap.RuleTally `json:"rules"`
	Blocks []string         `json:"other_blocks,omitempty"` // of a pcapng file, that are no packets
}

// count prints how many frames there are, and what rules did to them.
func (s *shower) count(asJSON bool) error {
	var out frameCounts
	var tally pcap.Tally
	err := s.frames(func(p *pcap.Packet, _ pcap.Interface) error {
		out.Frames++
		tally.Add(p.Comments)
		return nil
	})
	if err != nil {
		return err
	}
	out.Rules = tally.Rules()
	for _, b := range s.r.OtherBlocks() {
		out.Blocks = append(out.Blocks, b.String())
	}
	if asJSON {
		return writeJSON(s.w, out)
	}
	fmt.Fprintf(s.w, "%s\n", count(uint64(out.Frames), "packet"))
	if len(out.Blocks) > 0 {
		fmt.Fprintf(s.w, "passed over, as they are no packets: %s\n", strings.Join(out.Blocks, ", "))
	}
	if len(out.Rules) == 0 {
		return nil
	}
	var rules []ruleRow
	for _, r := range out.Rules {
		text := strconv.Itoa(r.Rule)
		if r.Name != "" {
			text += " " + r.Name
		}
		rules = append(rules, ruleRow{text: pcap.Printable(text), counts: []uint64{
			r.Dropped, r.Duplicated, r.Corrupted, r.Truncated, r.Padded, r.Delayed, r.Reordered, 0}})
	}
	var b strings.Builder
	writeRuleTable(&b, rules, nil)
	_, err = s.w.WriteString(b.String())
	return err
}

func viewCommand() *cli.Command {
	return &cli.Command{
		Name:      "view",
		Usage:     "write another view of a recording",
		UsageText: "vnreplay view FILE --at HOST | --full | --split DIR [-w OUT]",
		Description: "A recording holds each frame once, as it was sent. These are the other\n" +
			"sides of it, rebuilt without running again: what tcpdump on a host would\n" +
			"have seen (take it for RTT and sequence graphs), everything on every port,\n" +
			"or a file for each host.\n\n" +
			"Example: vnreplay view lossy.pcapng --at client -w client.pcapng",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "at", Usage: "what `HOST` sent and received"},
			&cli.BoolFlag{Name: "full", Usage: "what all hosts sent and received"},
			&cli.StringFlag{Name: "split", Usage: "a file for each host in directory `DIR`"},
			&cli.StringFlag{Name: "w", Usage: "write to `OUT`; - is the standard output"},
		},
		Action: view,
	}
}

func view(c *cli.Context) error {
	if err := wantArgs(c, 1, 1, "the recording"); err != nil {
		return err
	}
	kinds := 0
	for _, flag := range []string{"at", "full", "split"} {
		if c.IsSet(flag) {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return usage("which view? give one of --at HOST, --full, --split DIR")
	case c.IsSet("split") && c.IsSet("w"):
		return usage("--split writes its files into its directory: leave -w out")
	case !c.IsSet("split") && !c.IsSet("w"):
		return usage("where to? give -w OUT, or -w - for the standard output")
	case sameFile(c.Args().First(), c.String("w")):
		return overwrites(c.String("w"))
	}
	r, err := pcap.Open(c.Args().First())
	if err != nil {
		return err
	}
	defer r.Close()
	if dir := c.String("split"); c.IsSet("split") {
		paths, err := pcap.Split(dir, r)
		for _, p := range paths {
			fmt.Fprintln(c.App.Writer, pcap.Printable(p))
		}
		return err
	}
	out, err := pcap.CreateFile(linked(c.String("w")))
	if err != nil {
		return err
	}
	_, g := newGuard(c.Context, c.App.ErrWriter, 0)
	defer g.stop()
	g.leaves(out.Written())
	if c.Bool("full") {
		err = pcap.ViewFull(out, r)
	} else {
		err = pcap.ViewAt(out, r, c.String("at"))
	}
	var cut *pcap.TruncatedError
	if err != nil && !errors.As(err, &cut) {
		out.Discard()
		return err
	}
	// The view of a recording that is cut is whole as far as that goes.
	if cerr := out.Close(); cerr != nil {
		return cerr
	}
	return err
}
