// Command vnreplay records, breaks and replays conversations between TCP/IP
// stacks on a software Ethernet switch. See its --help, and the README.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/filter"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
	"github.com/vnreplay/vnreplay/switch"
)

// Exit statuses.
const (
	exitOK      = 0 // the same; expectations held
	exitFailed  = 1 // diverged; an expectation failed
	exitUsage   = 2 // the input or the command was wrong, or not all of it could be used
	exitHarness = 3 // the run could not be what it should: it does not settle, does not repeat
	exitSignal  = 128
)

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// run executes one command line and returns its exit status.
func run(args []string, stdout, stderr io.Writer) int {
	out := &watchedWriter{w: stdout}
	if call, ok := parseExtcap(args); ok {
		err := call.run(out, stderr)
		report(stderr, err)
		return exitStatus(err)
	}
	app := newApp(out, stderr)
	permuted, err := permute(app, args)
	if err == nil {
		err = app.Run(permuted)
	}
	if out.err != nil && (err == nil || errors.As(err, new(quiet))) {
		err = fmt.Errorf("standard output: %w", out.err)
	}
	report(stderr, err)
	return exitStatus(err)
}

// watchedWriter keeps the first error of writing: what cannot be told is a
// failure, whoever wrote it.
type watchedWriter struct {
	w   io.Writer
	err error
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:      "vnreplay",
		Usage:     "record, break and replay conversations between network stacks",
		UsageText: "vnreplay COMMAND [ARGUMENTS] [FLAGS]",
		Description: "Exit status: 0 the same, or expectations held; 1 diverged, or an\n" +
			"expectation failed; 2 the input or the command was wrong, or only part\n" +
			"of it could be used; 3 a run that does not repeat or does not settle.\n\n" +
			"Example: vnreplay demo",
		Version:                   scenario.Versions().VNReplay,
		HideVersion:               true, // version is a verb
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              usageOfLibrary,
		Commands: []*cli.Command{
			runCommand(), recordCommand(), ctlCommand(), verifyCommand(), replayCommand(), diffCommand(), rewriteCommand(), testCommand(),
			showCommand(), viewCommand(), faultsCommand(), benchCommand(), extcapCommand(), demoCommand(), versionCommand(),
		},
		Action: func(c *cli.Context) error {
			cli.ShowAppHelp(c)
			return quiet{exitUsage}
		},
	}
	onUsageError(app.Commands)
	return app
}

// onUsageError tells the cli library, at every command, to leave errors to us.
func onUsageError(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = usageOfLibrary
		onUsageError(c.Subcommands)
	}
}

// usageOfLibrary is for what permute let pass.
func usageOfLibrary(_ *cli.Context, err error, _ bool) error { return usage("%v", err) }

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:        "version",
		Usage:       "print the versions that recordings depend on",
		UsageText:   "vnreplay version",
		Description: "Example: vnreplay version",
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, ""); err != nil {
				return err
			}
			v := scenario.Versions()
			_, err := fmt.Fprintf(c.App.Writer, "vnreplay %s\ngVisor %s\n%s\n", v.VNReplay, v.Stack, v.Go)
			return err
		},
	}
}

// usageError is a wrong command line.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// quiet is an outcome that has been reported already.
type quiet struct{ status int }

func (q quiet) Error() string { return fmt.Sprintf("exit status %d", q.status) }

// interrupted is the cause of a run's end by a signal.
type interrupted struct{ sig syscall.Signal }

func (i interrupted) Error() string { return i.sig.String() }

// exitStatus is the exit status for an error.
func exitStatus(err error) int {
	var q quiet
	var i interrupted
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &q):
		return q.status
	case errors.As(err, &i):
		return exitSignal + int(i.sig)
	case vswitch.IsHarnessError(err):
		return exitHarness
	}
	return exitUsage
}

// report writes an error: one line that says what to do, and for an error in a
// text the place in it.
func report(w io.Writer, err error) {
	var q quiet
	if err == nil || errors.As(err, &q) || errors.Is(err, syscall.EPIPE) {
		return
	}
	fmt.Fprintf(w, "vnreplay: %s\n", oneLine(err))
	var in *scenario.Error
	var rule *faults.SyntaxError
	var expr *filter.SyntaxError
	switch {
	case errors.As(err, &in):
		io.WriteString(w, in.Excerpt())
	case errors.As(err, &rule):
		io.WriteString(w, rule.Excerpt())
	case errors.As(err, &expr):
		io.WriteString(w, (&faults.SyntaxError{Text: expr.Expr, Column: expr.Column, Token: expr.Token}).Excerpt())
	}
}

// oneLine is an error as a line of printable text.
func oneLine(err error) string {
	var full *pcap.WriteError
	if errors.As(err, &full) {
		err = full // whatever else failed did so for this
	}
	return pcap.Printable(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
}
