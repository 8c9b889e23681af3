package main

import (
	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/replay"
)

func diffCommand() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "compare what two captures say",
		UsageText: "vnreplay diff EXPECTED ACTUAL [FLAGS]",
		Description: "Compares the conversations of two captures as applications see them: the\n" +
			"bytes of TCP streams, datagrams, how connections open and close; not\n" +
			"segments, numbers and times. Conversations belong together that have the\n" +
			"same ends, or the same hosts and server port. Order counts within each\n" +
			"direction only. Says where the first difference is, and exits 1; 0 if\n" +
			"there is none; 2 if not all could be compared.\n\n" +
			"A mask keeps lengths: other bytes in place of those it covers, and as many.\n\n" +
			"Example: vnreplay diff before.pcap after.pcap --mask-header Server",
		Flags: []cli.Flag{
			maskHeaderFlag, maskFlag,
			&cli.BoolFlag{Name: "allow-partial", Usage: "accept that some cannot be compared"},
			jsonFlag,
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 2, 2, "two captures"); err != nil {
				return err
			}
			o := replay.DiffOptions{AllowPartial: c.Bool("allow-partial")}
			var err error
			if o.Masks, err = masks(c); err != nil {
				return err
			}
			if c.Args().Get(0) == "-" && c.Args().Get(1) == "-" {
				return usage("both captures cannot come from the standard input")
			}
			var both [2]*replay.Analysis
			for i := range both {
				capture, err := replay.Load(c.Args().Get(i))
				if err != nil {
					return err
				}
				both[i] = replay.Analyse(capture)
			}
			r, err := replay.Diff(both[0], both[1], o)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				err = writeJSON(c.App.Writer, outcomeOf(r))
			} else {
				err = r.Print(c.App.Writer)
			}
			if err == nil && r.Verdict != replay.Same {
				err = quiet{int(r.Verdict)}
			}
			return err
		},
	}
}
