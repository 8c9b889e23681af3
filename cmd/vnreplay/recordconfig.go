package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/portspec"
	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/live"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
)

// recordFile is a file of the verb record: the flags, by their names.
type recordFile struct {
	Port        scenario.List[string] `yaml:"port"`
	Hub         bool                  `yaml:"hub"`
	Fault       scenario.List[string] `yaml:"fault"`
	Faults      string                `yaml:"faults"`
	Seed        *scenario.Number      `yaml:"seed"`
	W           string                `yaml:"w"`
	OnFull      string                `yaml:"on-full"`
	Listen      string                `yaml:"listen"`
	RotateSize  scenario.Size         `yaml:"rotate-size" least:"1B"`
	RotateTime  scenario.Duration     `yaml:"rotate-time" least:"1ns"`
	RotateFiles scenario.Number       `yaml:"rotate-files" least:"1"`
	Control     string                `yaml:"control"`
	LimitTime   scenario.Duration     `yaml:"limit-time" least:"1ns"`
	LimitFrames scenario.Number       `yaml:"limit-frames" least:"1"`
	LimitBytes  scenario.Size         `yaml:"limit-bytes" least:"1B"`
}

// readRecorder reads the file, if there is one, and the flags.
func readRecorder(c *cli.Context) (*recorder, error) {
	if err := wantArgs(c, 0, 1, ""); err != nil {
		return nil, err
	}
	r := &recorder{json: c.Bool("json"), stdout: c.App.Writer, stderr: c.App.ErrWriter}
	var f recordFile
	if c.NArg() == 1 {
		if err := r.readFile(c.Args().First(), &f); err != nil {
			return nil, err
		}
	}
	if err := r.readFlags(c, &f); err != nil {
		return nil, err
	}
	return r, r.check()
}

// readFile reads a file into f, and the ports and rules of it.
func (r *recorder) readFile(name string, f *recordFile) error {
	text, err := readFile(name, scenario.MaxText)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	doc, err := scenario.Decode(text, name, "a file of vnreplay record", "port and w", f)
	if err != nil {
		return err
	}
	for i, text := range f.Port {
		p, err := portspec.Parse(text)
		if err != nil {
			var in *portspec.Error
			errors.As(err, &in)
			return doc.ErrorIn([]string{"port", strconv.Itoa(i)}, in.Column, errors.New(in.Msg))
		}
		r.cfg.Ports = append(r.cfg.Ports, p)
	}
	for i, text := range f.Fault {
		err := r.addFaults([]string{text})
		var wrong *faults.SyntaxError
		switch {
		case errors.As(err, &wrong):
			return doc.ErrorIn([]string{"fault", strconv.Itoa(i)}, wrong.Column, err)
		case err != nil:
			return doc.Errorf([]string{"fault", strconv.Itoa(i)}, "%w", err)
		}
	}
	return nil
}

// readFlags lets flags count before what the file says, and ports and rules be added
// to it.
func (r *recorder) readFlags(c *cli.Context, f *recordFile) error {
	for _, text := range c.StringSlice("port") {
		p, err := portspec.Parse(text)
		if err != nil {
			return usage("--port: %v", err)
		}
		r.cfg.Ports = append(r.cfg.Ports, p)
	}
	if c.IsSet("faults") {
		f.Faults = c.String("faults")
	}
	if f.Faults != "" {
		if err := r.readFaults(f.Faults); err != nil {
			return err
		}
	}
	if err := r.addFaults(c.StringSlice("fault")); err != nil {
		return fmt.Errorf("--fault: %w", err)
	}
	r.cfg.Hub = f.Hub || c.Bool("hub")
	if f.Seed != nil {
		r.cfg.Seed = uint64(*f.Seed)
	}
	if c.IsSet("seed") {
		r.cfg.Seed = c.Uint64("seed")
	}
	for name, to := range map[string]*string{"w": &f.W, "on-full": &f.OnFull, "listen": &f.Listen, "control": &f.Control} {
		if c.IsSet(name) {
			*to = c.String(name)
		}
	}
	for name, to := range map[string]*scenario.Duration{"limit-time": &f.LimitTime, "rotate-time": &f.RotateTime} {
		if c.IsSet(name) {
			*to = scenario.Duration(c.Duration(name))
		}
	}
	for name, to := range map[string]*scenario.Number{"limit-frames": &f.LimitFrames, "rotate-files": &f.RotateFiles} {
		if !c.IsSet(name) {
			continue
		}
		n := c.Uint64(name)
		if n == 0 || n > math.MaxInt32 && name == "rotate-files" {
			return usage("--%s %d: want 1 or more, or leave it out", name, n)
		}
		*to = scenario.Number(n)
	}
	for name, to := range map[string]*scenario.Size{"limit-bytes": &f.LimitBytes, "rotate-size": &f.RotateSize} {
		if c.IsSet(name) {
			size, err := sizeFlag(c, name)
			if err != nil {
				return err
			}
			*to = size
		}
	}
	return r.use(f)
}

// use puts what file and flags came to into the configuration.
func (r *recorder) use(f *recordFile) error {
	r.control = f.Control
	r.cfg.Limit = live.Limit{Time: time.Duration(f.LimitTime), Frames: uint64(f.LimitFrames), Bytes: uint64(f.LimitBytes)}
	v := scenario.Versions()
	r.cfg.Recording = live.Recording{
		Meta: pcap.Meta{Version: v.VNReplay, Stack: v.Stack, Go: v.Go}, File: f.W, Listen: f.Listen,
		Rotate:       pcap.RotationConfig{Size: int64(f.RotateSize), Every: time.Duration(f.RotateTime), Keep: int(f.RotateFiles)},
		DropWhenFull: f.OnFull == "drop",
	}
	rotates := r.cfg.Recording.Rotate != (pcap.RotationConfig{})
	switch {
	case f.OnFull != "" && f.OnFull != "drop" && f.OnFull != "wait":
		return usage("record: on-full %q: want wait or drop", f.OnFull)
	case f.Listen != "" && !strings.HasPrefix(f.Listen, "tcp:"):
		return usage("record: listen %q: want tcp:HOST:PORT, such as tcp:127.0.0.1:19000", f.Listen)
	case rotates && f.W == "":
		return usage("record: rotation without a file: give -w")
	case rotates && !isRegularOrNew(f.W):
		return usage("record: -w %s: only files rotate", f.W)
	case f.RotateFiles > 0 && f.RotateSize == 0 && f.RotateTime == 0:
		return usage("record: rotate-files says how many to keep: give rotate-size or rotate-time, too")
	}
	return nil
}

// sizeFlag reads a flag that is a size of more than nothing.
func sizeFlag(c *cli.Context, name string) (scenario.Size, error) {
	size, err := scenario.ParseSize(c.String(name))
	if err == nil && size == 0 {
		err = errors.New("want more than nothing")
	}
	if err != nil {
		return 0, usage("--%s %s: %v", name, c.String(name), err)
	}
	return size, nil
}

// readFaults reads the rules of a file, one a line.
func (r *recorder) readFaults(name string) error {
	text, err := readFile(name, 16<<20)
	if err != nil {
		return fmt.Errorf("--faults: %w", err)
	}
	var s scenario.Scenario
	if err := s.ReadFaults(text, name); err != nil {
		return err
	}
	return r.addFaults(s.Faults)
}

// addFaults adds rules; what is wrong with one is said as its own.
func (r *recorder) addFaults(texts []string) error {
	texts, err := readTables(texts)
	if err != nil {
		return err
	}
	for _, text := range texts {
		rule, err := faults.Parse(text)
		if err != nil {
			return err
		}
		r.cfg.Faults = append(r.cfg.Faults, rule)
	}
	return nil
}

// check refuses what does not go together.
func (r *recorder) check() error {
	for _, p := range r.cfg.Ports {
		if strings.HasPrefix(p.Device, "stdio:") {
			if r.stdio {
				return usage("record: two ports want the standard streams: give one stdio port")
			}
			r.stdio = true
		}
	}
	switch {
	case len(r.cfg.Ports) == 0:
		return usage("record: no port: give --port tap:vnr0, say, or a file with port:; see %s", helpOf("record"))
	case r.stdio && r.cfg.Recording.File == "-":
		return usage("record: -w - and a stdio port both want the standard output")
	}
	return nil
}
