package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
)

func showCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "print a capture as text",
		UsageText: "vnreplay show FILE [--json]",
		Description: "One line for each frame in tcpdump's grammar: number as in Wireshark,\n" +
			"seconds, port, contents, and last what a fault did to it. Reads any pcap or\n" +
			"pcapng file; - is the standard input.\n\n" +
			"Example: vnreplay show lossy.pcapng | grep -E 'DROP|DUP|CORR'",
		Flags: []cli.Flag{jsonFlag},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 1, "the capture"); err != nil {
				return err
			}
			r, err := pcap.Open(c.Args().First())
			if err != nil {
				return err
			}
			defer r.Close()
			return show(c.App.Writer, r, c.Bool("json"))
		},
	}
}

// shownFrame is one line of show --json.
type shownFrame struct {
	Frame     int       `json:"frame"`
	Time      time.Time `json:"time"`
	Interface string    `json:"interface"`
	Direction string    `json:"direction"`
	Bytes     int       `json:"bytes"`
	Text      string    `json:"text"`
	Comments  []string  `json:"comments,omitempty"`
}

func show(w io.Writer, r *pcap.Reader, asJSON bool) error {
	out := bufio.NewWriterSize(w, 1<<16)
	lines, values := &pcap.Show{}, newEncoder(out)
	var describer pcap.Describer
	for {
		p, err := r.Next()
		if err == io.EOF {
			return out.Flush()
		}
		if err != nil {
			out.Flush()
			return err
		}
		iface := r.Interface(p.Interface)
		if asJSON {
			err = values.Encode(shownFrame{p.Number, p.Time, iface.Name, p.Direction.String(), p.OrigLen,
				describer.Frame(p.LinkType, p.Data, p.OrigLen), p.Comments})
		} else {
			_, err = fmt.Fprintln(out, lines.Line(p, iface))
		}
		if err != nil {
			return err
		}
	}
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
		discard(out)
		return err
	}
	// The view of a recording that is cut is whole as far as that goes.
	if cerr := out.Close(); cerr != nil {
		return cerr
	}
	return err
}

// discard gives up a file that was not finished.
func discard(f *pcap.File) {
	f.Abort()
	if info, err := os.Lstat(f.Written()); err == nil && info.Mode().IsRegular() {
		os.Remove(f.Written())
	}
}

func faultsCommand() *cli.Command {
	return &cli.Command{
		Name:        "faults",
		Usage:       "work with the faults of a recording",
		UsageText:   "vnreplay faults extract FILE [--json]",
		Description: "Example: vnreplay faults extract lossy.pcapng",
		Subcommands: []*cli.Command{{
			Name:      "extract",
			Usage:     "print what the faults did as exact rules",
			UsageText: "vnreplay faults extract FILE [--json]",
			Description: "Prints, as rules, the very frames that were dropped, duplicated and\n" +
				"corrupted: no seed, no probability. Edit them, and give them to a run.\n\n" +
				"Example: vnreplay faults extract lossy.pcapng > rules.txt\n" +
				"         vnreplay run lossy.yaml --faults rules.txt",
			Flags: []cli.Flag{jsonFlag},
			Action: func(c *cli.Context) error {
				if err := wantArgs(c, 1, 1, "the recording"); err != nil {
					return err
				}
				path := c.Args().First()
				if err := readTwice("faults extract", path); err != nil {
					return err
				}
				// Of a recording that is cut there are rules and an error.
				rules, err := scenario.ExtractFaults(func() (*pcap.Reader, error) { return pcap.Open(path) })
				if err != nil && !errors.As(err, new(*pcap.TruncatedError)) {
					return err
				}
				if c.Bool("json") {
					if werr := writeJSON(c.App.Writer, append([]string{}, rules...)); werr != nil {
						return werr
					}
					return err
				}
				for _, rule := range rules {
					if _, err := fmt.Fprintln(c.App.Writer, rule); err != nil {
						return err
					}
				}
				return err
			},
		}},
		Action: func(c *cli.Context) error {
			return usage("faults: what to do? there is extract: see vnreplay faults --help")
		},
	}
}
