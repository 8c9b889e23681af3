package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/filter"
	"github.com/vnreplay/vnreplay/live"
	"github.com/vnreplay/vnreplay/live/control"
	"github.com/vnreplay/vnreplay/pcap"
)

var controlFlag = &cli.StringFlag{Name: "control", Usage: "the switch whose socket is `PATH`"}

func ctlCommand() *cli.Command {
	command := func(name, args, usage, example string, least, most int, run func(c *cli.Context, cl *control.Client) error) *cli.Command {
		return &cli.Command{
			Name: strings.TrimPrefix(name, "fault "), Usage: usage, UsageText: strings.TrimSpace("vnreplay ctl "+name+" "+args) + " [FLAGS]",
			Description: "Example: vnreplay ctl " + strings.TrimSpace(name+" "+example),
			Flags:       []cli.Flag{controlFlag, jsonFlag},
			Action: func(c *cli.Context) error {
				if err := wantArgs(c, least, most, "an argument"); err != nil {
					return err
				}
				return withSwitch(c, run)
			},
		}
	}
	capture := command("capture", "-w FILE ['FILTER']", "write the frames from now on to a file, or -", "-w - | wireshark -k -i -", 0, 1, ctlCapture)
	capture.Flags = []cli.Flag{controlFlag, &cli.StringFlag{Name: "w", Usage: "write to `FILE` (-: standard output)"}}
	return &cli.Command{
		Name:      "ctl",
		Usage:     "look at a running vnreplay record, and change it",
		UsageText: "vnreplay ctl COMMAND [ARGUMENTS] [--control PATH]",
		Description: "Without --control it is the one that runs; where several do, they are listed.\n\n" +
			"Example: vnreplay ctl fault add 'loss: drop 5% from web'",
		Flags: []cli.Flag{controlFlag},
		Subcommands: []*cli.Command{
			command("status", "", "print what happened so far", "--json", 0, 0, ctlStatus),
			command("faults", "", "list the rules, with their numbers and counts", "", 0, 0, ctlFaults),
			{
				Name: "fault", Usage: "add a rule, turn it off or on, remove it",
				UsageText:   "vnreplay ctl fault add|off|on|remove RULE",
				Description: "Example: vnreplay ctl fault off 2",
				Subcommands: []*cli.Command{
					command("fault add", "RULE", "add a rule", "'drop 5% from web'", 1, 1, ruleChange(control.DoFaultAdd)),
					command("fault off", "N|NAME", "turn a rule off", "2", 1, 1, ruleChange(control.DoFaultOff)),
					command("fault on", "N|NAME", "turn a rule on", "2", 1, 1, ruleChange(control.DoFaultOn)),
					command("fault remove", "N|NAME", "take a rule away", "loss", 1, 1, ruleChange(control.DoFaultRemove)),
				},
				Action: func(*cli.Context) error {
					return usage("ctl fault: what to do? there is add, off, on and remove: see vnreplay ctl fault --help")
				},
			},
			command("cable", "PORT up|down", "plug a port's cable in, or pull it out", "web down", 2, 2, ctlCable),
			command("rotate", "", "let the next frame begin a file", "", 0, 0, simply(control.DoRotate)),
			command("stop", "", "end it, its recording whole", "", 0, 0, simply(control.DoStop)),
			capture,
		},
		Action: func(*cli.Context) error {
			return usage("ctl: what to do? there is status, faults, fault, cable, rotate, stop and capture: see vnreplay ctl --help")
		},
	}
}

// withSwitch connects to the switch that is meant.
func withSwitch(c *cli.Context, run func(*cli.Context, *control.Client) error) error {
	path := c.String("control")
	if path == "" {
		found, err := control.Find()
		switch {
		case err != nil:
			return err
		case len(found) == 0:
			return usage("ctl: no vnreplay record is running here; give --control PATH if it has its socket elsewhere")
		case len(found) > 1:
			return usage("ctl: several are running: give --control %s", strings.Join(found, ", or "))
		}
		path = found[0]
	}
	cl, err := control.Dial(path)
	if err != nil {
		return fmt.Errorf("ctl: %w", err)
	}
	defer cl.Close()
	return run(c, cl)
}

// ask asks the switch.
func ask(cl *control.Client, req control.Request) (control.Answer, error) {
	a, err := cl.Do(req)
	if err != nil {
		return a, fmt.Errorf("ctl: %w", err)
	}
	return a, nil
}

// simply is a command that has nothing to show.
func simply(do string) func(*cli.Context, *control.Client) error {
	return func(_ *cli.Context, cl *control.Client) error {
		_, err := ask(cl, control.Request{Do: do})
		return err
	}
}

func ctlStatus(c *cli.Context, cl *control.Client) error {
	a, err := ask(cl, control.Request{Do: control.DoStatus})
	switch {
	case err != nil:
		return err
	case a.Status == nil:
		return errors.New("ctl: the switch answers without a status")
	case c.Bool("json"):
		return writeJSON(c.App.Writer, a.Status)
	}
	_, err = io.WriteString(c.App.Writer, recordText(*a.Status, nil))
	return err
}

func ctlFaults(c *cli.Context, cl *control.Client) error {
	a, err := ask(cl, control.Request{Do: control.DoStatus})
	switch {
	case err != nil:
		return err
	case a.Status == nil:
		return errors.New("ctl: the switch answers without a status")
	case c.Bool("json"):
		return writeJSON(c.App.Writer, a.Status.Rules)
	}
	var b strings.Builder
	if len(a.Status.Rules) == 0 {
		b.WriteString("no rules\n")
	} else {
		t := newTable(0)
		fmt.Fprintf(t, "rule\t\tasked\taffected\ttext\n")
		for _, r := range a.Status.Rules {
			fmt.Fprintf(t, "%d\t%s\t%d\t%d\t%s\n", r.Number, onOff(&r), r.Asked, r.Frames+r.Refused, pcap.Printable(r.Text))
		}
		t.writeTo(&b)
	}
	_, err = io.WriteString(c.App.Writer, b.String())
	return err
}

func onOff(r *live.RuleStatus) string {
	switch {
	case r.Removed:
		return "removed"
	case r.On:
		return "on"
	}
	return "off"
}

// ruleChange is a command about one rule. It says which that is now.
func ruleChange(do string) func(*cli.Context, *control.Client) error {
	return func(c *cli.Context, cl *control.Client) error {
		text := c.Args().First()
		if do == control.DoFaultAdd {
			// Files that it names are read here, not where the switch runs; and what is wrong
			// with it is shown here.
			var r recorder
			if err := r.addFaults([]string{text}); err != nil {
				return err
			}
			text = r.cfg.Faults[0].String()
		}
		a, err := ask(cl, control.Request{Do: do, Rule: text})
		switch {
		case err != nil:
			return err
		case a.Rule == nil:
			return errors.New("ctl: the switch answers without a rule")
		case c.Bool("json"):
			return writeJSON(c.App.Writer, a.Rule)
		}
		_, err = fmt.Fprintf(c.App.Writer, "rule %d, %s: %s\n", a.Rule.Number, onOff(a.Rule), pcap.Printable(a.Rule.Text))
		return err
	}
}

func ctlCable(c *cli.Context, cl *control.Client) error {
	word := c.Args().Get(1)
	if word != "up" && word != "down" {
		return usage("ctl cable: %q: want up or down", word)
	}
	up := word == "up"
	_, err := ask(cl, control.Request{Do: control.DoCable, Port: c.Args().First(), Up: &up})
	return err
}

func ctlCapture(c *cli.Context, cl *control.Client) error {
	if !c.IsSet("w") {
		return usage("ctl capture: give -w FILE, or -w - for the standard output")
	}
	return streamTo(c.App.ErrWriter, cl, c.String("w"), c.Args().First())
}

// streamTo writes the stream of a switch to a file until it ends or a signal comes. That
// nobody reads a pipe any more is no error.
func streamTo(stderr io.Writer, cl *control.Client, path, expr string) error {
	signal.Ignore(syscall.SIGPIPE)
	match := func([]byte, int) bool { return true }
	if expr != "" {
		f, err := filter.Compile(expr)
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		match = f.MatchLen
	}
	ctx, g := newGuard(context.Background(), stderr, grace)
	defer g.stop()
	out, err := pcap.CreateFile(linked(path))
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	g.leaves(out.Written())
	defer out.Abort() // unless it is closed
	stream, err := cl.Capture()
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	// At the first signal the stream ends, and what came of it is whole.
	defer context.AfterFunc(ctx, func() { cl.Close() })()
	err = pcap.CopyMatching(out, stream, "the stream", match)
	switch {
	case err == nil || ctx.Err() != nil && !errors.As(err, new(*pcap.WriteError)):
		return out.Close()
	case errors.Is(err, syscall.EPIPE):
		return nil
	}
	return fmt.Errorf("capture: %w", err)
}

// socketName is what to call the switch of a socket.
func socketName(path string) string {
	return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
}
