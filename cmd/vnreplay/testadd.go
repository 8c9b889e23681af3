package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/regress"
	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/shell"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
)

func testAddCommand() *cli.Command {
	return &cli.Command{
		Name:      "add",
		Usage:     "make a regression of a capture",
		UsageText: "vnreplay test add CAPTURE --live ADDR=APP... [--to DIR] [FLAGS]",
		Description: "Copies the capture, and the files that APP names, to DIR (by default they\n" +
			"stay where the capture is), replays it once, and writes the expectation\n" +
			"NAME.vnr.yaml beside it: from then on the live side is to answer as\n" +
			"captured. If it does not do so now, as with a bug that is still there,\n" +
			"that is shown, the regression is written all the same, and the exit status\n" +
			"is 1. A capture that cannot be replayed gives none. A recording of\n" +
			"vnreplay run needs no --live: the regression is to verify it.\n\n" +
			"Example: vnreplay test add bug.pcap --to testdata/regressions \\\n" +
			"           --live 10.0.0.2=http-server:/index.html=index.html",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "live", Usage: "`ADDR=APP` is live, see replay; may be repeated"},
			&cli.StringFlag{Name: "to", Usage: "put the files into `DIR`"},
			&cli.StringFlag{Name: "name", Usage: "call it `NAME` (as the capture)"},
			&cli.BoolFlag{Name: "expect-diverged", Usage: "the capture shows what is wrong: be different"},
			&cli.BoolFlag{Name: "allow-partial", Usage: "accept that some cannot be replayed"},
			&cli.BoolFlag{Name: "force", Usage: "write over files that are there"},
			wallLimitFlag,
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 1, "the capture"); err != nil {
				return err
			}
			a := adder{
				capture: c.Args().First(), to: c.String("to"), name: c.String("name"), live: c.StringSlice("live"), verdict: regress.Same,
				partial: c.Bool("allow-partial"), force: c.Bool("force"), wall: c.Duration("wall-limit"),
				stdout: c.App.Writer, stderr: c.App.ErrWriter, copies: map[string]string{},
			}
			if c.Bool("expect-diverged") {
				a.verdict = regress.Diverged
			}
			return a.add(c.Context)
		},
	}
}

// adder is one call of the verb test add.
type adder struct {
	capture, to, name string
	live              []string
	verdict           string
	partial, force    bool
	wall              time.Duration
	stdout, stderr    io.Writer

	copies map[string]string // files of the regression, by name: where they come from
	files  []string          // their names, in order
}

func (a *adder) add(ctx context.Context) error {
	if err := readTwice("test add", a.capture); err != nil {
		return err
	}
	ext := a.names()
	if strings.ContainsAny(a.name, `/\`) || strings.HasPrefix(a.name, ".") {
		return usage("--name %s: want a plain name; --to says where it goes", a.name)
	}
	if err := a.file(a.name+ext, a.capture); err != nil {
		return err
	}
	head, err := a.what(a.name + ext)
	if err != nil {
		return err
	}
	if _, err := os.Stat(a.to); err != nil {
		defer os.Remove(a.to) // if it stays empty
	}
	if err := os.MkdirAll(a.to, 0o777); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	expectation := a.name + regress.Suffixes[0]
	if err := a.free(expectation); err != nil {
		return err
	}
	ctx, g := newGuard(ctx, a.stderr, grace)
	defer g.stop()
	stage, err := os.MkdirTemp(a.to, ".vnreplay-add-")
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	defer os.RemoveAll(stage)
	g.discards(stage)
	for name, from := range a.copies {
		if err := copyFile(filepath.Join(stage, name), from); err != nil {
			return err
		}
	}
	staged := filepath.Join(stage, expectation)
	// The first time, whatever is measured will do.
	var whatever []regress.Figure
	if a.verdict == regress.Same {
		whatever = []regress.Figure{{Key: "synthetic-acks", Value: `">=0"`}}
	}
	if err := os.WriteFile(staged, []byte(a.text(head, whatever)), 0o666); err != nil {
		return err
	}
	r := a.try(ctx, staged, filepath.Join(a.to, expectation))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if r.Outcome != regress.OK && r.Outcome != regress.Failed {
		return a.refuse(r)
	}
	if r.Outcome != regress.OK || a.verdict != regress.Same {
		r.Figures = nil // they say nothing of how it should be
	}
	if err := os.WriteFile(staged, []byte(a.text(head, r.Figures)), 0o666); err != nil {
		return err
	}
	return a.write(stage, expectation, r)
}

// names fills in where the regression goes and what it is called, and returns the
// capture's extension.
func (a *adder) names() (ext string) {
	base := filepath.Base(a.capture)
	ext = captureExt(base)
	if a.name == "" {
		a.name = strings.TrimSuffix(base, ext)
	}
	if a.to == "" {
		a.to = filepath.Dir(a.capture)
	}
	return ext
}

// file notes a file of the regression.
func (a *adder) file(name, from string) error {
	if other, ok := a.copies[name]; ok && !sameFile(other, from) {
		return usage("%s and %s are both called %s: rename one", other, from, name)
	}
	if info, err := os.Stat(from); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return usage("%s: not a regular file", from)
	}
	if _, ok := a.copies[name]; !ok {
		a.files = append(a.files, name)
	}
	a.copies[name] = from
	if sameFile(filepath.Join(a.to, name), from) {
		return nil
	}
	return a.free(name)
}

// free refuses to write over a file, unless it was said to.
func (a *adder) free(name string) error {
	path := filepath.Join(a.to, name)
	if _, err := os.Lstat(path); err == nil && !a.force {
		if from, ok := a.copies[name]; ok {
			if _, same, err := sameBytes(from, path); err == nil && same {
				return nil
			}
		}
		return usage("%s is there already: choose another --name, or --force to write over it", path)
	}
	return nil
}

// what is the part of the expectation that says what to do with the capture.
func (a *adder) what(file string) (string, error) {
	r, err := pcap.Open(a.capture)
	if err != nil {
		return "", err
	}
	meta, ok := r.Meta()
	r.Close()
	if ok && meta.Scenario != "" && meta.View == "wire" && len(a.live) == 0 {
		if a.verdict == regress.Diverged || a.partial {
			return "", usage("%s is a recording, to be verified: it is the same or it is not", a.capture)
		}
		return "verify: " + yamlText(file) + "\n", nil
	}
	capture, err := replay.Load(a.capture)
	if err != nil {
		return "", err
	}
	if len(a.live) == 0 {
		if err := replay.Analyse(capture).List(a.stdout); err != nil {
			return "", err
		}
		return "", usage("which side is live, and what runs there? vnreplay test add %s --live ADDR=APP", shell.File(a.capture))
	}
	head := "capture: " + yamlText(file) + "\nlive:\n"
	for _, text := range a.live {
		addrText, app, _ := strings.Cut(text, "=")
		addr, err := netip.ParseAddr(strings.Trim(addrText, "[]"))
		switch {
		case err != nil:
			return "", usage("--live %q: want an address of the capture, such as 10.0.0.2", text)
		case app == "":
			return "", usage("--live %s: what runs there? ADDR=http-server:/PATH=FILE, say; ADDR=transcript tests the stack only", text)
		}
		app, _, err = mapAppFiles(app, func(file string) (string, error) {
			name := filepath.Base(file)
			return name, a.file(name, file)
		})
		if err != nil {
			return "", usage("--live %s: %v", addrText, err)
		}
		head += "  " + yamlText(addr.String()) + ": " + yamlText(app) + "\n"
	}
	if a.partial {
		head += "allow-partial: true\n"
	}
	return head, nil
}

// yamlText is a text as a scalar of YAML.
func yamlText(s string) string {
	plain := func(r rune) bool {
		return r == '.' || r == '-' || r == '_' || r == '/' || r == '@' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	word := strings.ToLower(s)
	if strings.TrimFunc(s, plain) == "" && strings.TrimLeft(s, "-@") == s && word != "true" && word != "false" && word != "null" {
		return s
	}
	return strconv.Quote(s) // whose escapes are YAML's, too
}

// text is the expectation file.
func (a *adder) text(head string, figures []regress.Figure) string {
	text := "# vnreplay test runs this.\n" + head
	if strings.HasPrefix(head, "verify") {
		return text
	}
	text += "expect:\n  verdict: " + a.verdict + "\n"
	for _, f := range figures {
		text += "  " + f.Key + ": " + f.Value + "\n"
	}
	return text
}

// try runs the regression in a process of its own.
func (a *adder) try(ctx context.Context, path, name string) (out regress.Result) {
	t := tester{wall: a.wall}
	regress.Run(ctx, []string{path}, regress.Options{
		Jobs: 1, Limit: a.wall + reading,
		Command: func(path string) *exec.Cmd {
			recording := filepath.Join(filepath.Dir(path), ".trial", "replay.pcapng") // no file of the regression's
			if abs, err := filepath.Abs(recording); err == nil {
				recording = abs
			}
			return t.command(path, name, recording)
		},
		Began: func(string, *regress.Result) {}, Ended: func(string, *regress.Result) {},
		Done: func(r regress.Result) { out = r },
	})
	out.Path, out.Recording, out.Trial = name, "", true // the recording is not kept
	return out
}

// refuse is for what is of no use as a regression.
func (a *adder) refuse(r regress.Result) error {
	if err := regress.Text(a.stdout, r); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.stderr, "vnreplay: nothing is written: %s\n", map[regress.Outcome]string{
		regress.Partial: "not all of it could be replayed; --allow-partial makes a regression of the rest",
		regress.Wrong:   "it cannot be used",
		regress.Harness: "the run itself failed",
	}[r.Outcome]); err != nil {
		return err
	}
	return quiet{r.Outcome.Status()}
}

// write puts the files where they belong, and says so.
func (a *adder) write(stage, expectation string, r regress.Result) error {
	for _, name := range append(a.files, expectation) {
		to := filepath.Join(a.to, name)
		if from, ok := a.copies[name]; !ok || !sameFile(from, to) {
			if err := os.Rename(filepath.Join(stage, name), to); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(a.stdout, "wrote %s\n", pcap.Printable(to)); err != nil {
				return err
			}
		}
	}
	if err := regress.Text(a.stdout, r); err != nil {
		return err
	}
	if r.Outcome == regress.OK {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "\nit FAILS now, and passes when it is %s\n",
		map[string]string{regress.Same: "answered as captured", regress.Diverged: "answered otherwise"}[a.verdict])
	if err != nil {
		return err
	}
	return quiet{r.Outcome.Status()}
}

// copyFile copies a file to one that is not there.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
