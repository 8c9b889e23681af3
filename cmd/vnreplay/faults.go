package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
)

func faultsCommand() *cli.Command {
	return &cli.Command{
		Name:        "faults",
		Usage:       "explain fault rules, or take them from a recording",
		UsageText:   "vnreplay faults explain 'RULES' | extract FILE...",
		Description: "Example: vnreplay faults explain 'drop 5% from client if \"tcp port 80\"'",
		Subcommands: []*cli.Command{extractCommand(), explainCommand()},
		Action: func(c *cli.Context) error {
			return usage("faults: what to do? there is explain and extract: see vnreplay faults --help")
		},
	}
}

func extractCommand() *cli.Command {
	return &cli.Command{
		Name:      "extract",
		Usage:     "print what the faults did as exact rules",
		UsageText: "vnreplay faults extract FILE... [--json]",
		Description: "Prints, as rules, what was done to which frames: no seed, no probability.\n" +
			"Edit them, and give them to a run; unedited, run --faults-from does both.\n" +
			"Of a run with several switches, give the recording of each.\n\n" +
			"Example: vnreplay faults extract lossy.pcapng > rules.txt\n" +
			"         vnreplay run lossy.yaml --faults rules.txt",
		Flags: []cli.Flag{jsonFlag},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, -1, "the recording"); err != nil {
				return err
			}
			var opens []scenario.Opener
			for _, path := range c.Args().Slice() {
				if err := readTwice("faults extract", path); err != nil {
					return err
				}
				opens = append(opens, func() (*pcap.Reader, error) { return pcap.Open(path) })
			}
			// Of a recording that is cut there are rules and an error.
			rules, err := scenario.ExtractFaults(opens...)
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
	}
}

func explainCommand() *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "say in words what fault rules will do, and where",
		UsageText: "vnreplay faults explain ['RULES'...]",
		Description: "Shows at which stage of a frame's way each rule acts, and says what it does.\n" +
			"Several rules are several arguments, or stand on lines of their own. Without\n" +
			"rules, the stages are shown.\n\n" +
			"Example: vnreplay faults explain 'loss: drop gemodel 1% 25% from server' \\\n" +
			"           'rate 10mbit queue 64p to client'",
		Action: func(c *cli.Context) error {
			var texts []string
			for _, arg := range c.Args().Slice() {
				for line := range strings.Lines(arg) {
					if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
						texts = append(texts, line)
					}
				}
			}
			if texts == nil {
				_, err := io.WriteString(c.App.Writer, faults.Stages())
				return err
			}
			texts, err := readTables(texts)
			if err != nil {
				return err
			}
			rules, err := faults.ParseAll(texts)
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.App.Writer, faults.Explain(rules))
			return err
		},
	}
}
