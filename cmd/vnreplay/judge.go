package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/scenario"
)

var (
	maskHeaderFlag = &cli.StringSliceFlag{Name: "mask-header", Usage: "leave out values of HTTP header `NAME`"}
	maskFlag       = &cli.StringSliceFlag{Name: "mask", Usage: "leave out bytes that match `REGEXP`"}
)

// judgement reads the flags that say what is compared, and how strictly.
func judgement(c *cli.Context, o *replay.Options) (err error) {
	if o.Compare, err = replay.ParseCompare(c.String("compare")); err != nil {
		return usage("--compare %v", err)
	}
	if o.Masks, err = masks(c); err != nil {
		return err
	}
	if c.IsSet("within") {
		if o.Within, err = tolerance(c.String("within")); err != nil {
			return err
		}
	}
	o.Budget.Virtual = c.Duration("max-virtual")
	for name, to := range map[string]**int{"max-retransmits": &o.Budget.Retransmits, "max-synthetic": &o.Budget.Synthetic, "max-segments": &o.Budget.Segments} {
		if !c.IsSet(name) {
			continue
		}
		text, want := c.String(name), "a whole number"
		if name == "max-segments" {
			text, want = strings.TrimSuffix(text, "%"), "a percentage such as 120%"
		}
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return usage("--%s %q: want %s", name, c.String(name), want)
		}
		*to = new(int(n))
	}
	return nil
}

// masks reads --mask-header and --mask.
func masks(c *cli.Context) (all []*replay.Mask, err error) {
	for _, name := range c.StringSlice("mask-header") {
		m, err := replay.MaskHeader(name)
		if err != nil {
			return nil, usage("--mask-header: %v", err)
		}
		all = append(all, m)
	}
	for _, expr := range c.StringSlice("mask") {
		m, err := replay.MaskPattern(expr)
		if err != nil {
			return nil, usage("--mask: %v", err)
		}
		all = append(all, m)
	}
	if len(all) > replay.MaxMasks {
		return nil, usage("%d masks: want at most %d", len(all), replay.MaxMasks)
	}
	return all, nil
}

// tolerance reads a time or a percentage.
func tolerance(text string) (t replay.Tolerance, err error) {
	if number, ok := strings.CutSuffix(text, "%"); ok {
		t.Percent, err = strconv.ParseFloat(number, 64)
		if err == nil && !(t.Percent > 0 && t.Percent <= 1e6) {
			err = fmt.Errorf("out of range")
		}
	} else if t.By, err = time.ParseDuration(text); err == nil && t.By <= 0 {
		err = fmt.Errorf("out of range")
	}
	if err != nil {
		return t, usage("--within %q: want a time such as 20ms, or a percentage such as 10%%", text)
	}
	return t, nil
}

// frames prepares the comparison of frames: with the seed of the recording, if no
// other is given, and only with the stack that made it.
func (p *player) frames(c *replay.Capture) error {
	if p.options.Compare != replay.CompareFrames || c.Meta == nil {
		return nil
	}
	if !p.seedGiven {
		p.options.Seed = c.Meta.Seed
	}
	if ours := scenario.Versions().Stack; c.Meta.Stack != ours {
		return fmt.Errorf("--compare frames: %s was recorded with gVisor %s, this is %s: compare its streams", c.Name, c.Meta.Stack, ours)
	}
	return nil
}
