package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/scenario"
)

// why is the reason for which nothing was sent.
func why(fed *replay.Fed) string {
	switch {
	case fed.Stopped:
		return "stopped before the first frame"
	case len(fed.Skipped) > 0:
		return "no frame can be used"
	case len(fed.Left) > 0:
		return "no frame is to be sent"
	}
	return "it has no frames"
}

// openOutcome is what replay --open --json prints.
type openOutcome struct {
	Capture   string                `json:"capture"`
	Frames    uint64                `json:"frames"`
	Bytes     uint64                `json:"bytes"`
	Duration  time.Duration         `json:"duration_ns"` // from the first to the last frame
	PPS       float64               `json:"pps"`
	Mbps      float64               `json:"mbps"`
	Virtual   time.Duration         `json:"virtual_ns"`
	Wall      time.Duration         `json:"wall_ns"`
	RealTime  bool                  `json:"real_time,omitempty"`
	Late      time.Duration         `json:"late_ns,omitempty"`  // the latest frame, behind its deadline
	Lost      uint64                `json:"lost,omitempty"`     // frames that the device did not take in time
	Device    []string              `json:"not_sent,omitempty"` // what devices say they did not get through
	Stopped   bool                  `json:"stopped,omitempty"`
	Live      uint64                `json:"live_frames,omitempty"` // that live hosts sent
	Ports     []openPort            `json:"ports"`
	Rules     []scenario.RuleResult `json:"rules"`
	Skipped   []jsonSkip            `json:"skipped"` // could not be sent
	Left      []jsonSkip            `json:"left"`    // were not to be
	Backwards int                   `json:"backwards,omitempty"`
	Ahead     int                   `json:"ahead,omitempty"`
	Cut       string                `json:"cut,omitempty"`
	Error     string                `json:"error,omitempty"`
	Recording string                `json:"recording,omitempty"`
}

type openPort struct {
	Name   string `json:"name"`
	MAC    string `json:"mac"`
	Frames uint64 `json:"frames"`
	Bytes  uint64 `json:"bytes"`
}

func (o *opener) print(fed *replay.Fed, err error) error {
	if !o.json {
		w := o.stdout
		if o.out == "-" {
			w = o.stderr
		}
		_, werr := io.WriteString(w, o.text(fed, err))
		return werr
	}
	out := openOutcome{
		Capture: o.path, Frames: fed.Frames, Bytes: fed.Bytes, Duration: fed.Duration, PPS: fed.PPS(), Mbps: fed.Mbps(),
		Virtual: fed.Stats.Virtual, Wall: fed.Stats.Wall, RealTime: o.real, Late: fed.Late, Lost: fed.Lost, Device: o.cables.lost(), Stopped: fed.Stopped, Live: fed.Live, Ports: []openPort{},
		Rules: ruleResults(fed), Skipped: jsonSkips(fed.Skipped), Left: jsonSkips(fed.Left),
		Backwards: fed.Backwards, Ahead: fed.Ahead, Recording: o.out,
	}
	for _, p := range fed.Ports {
		out.Ports = append(out.Ports, openPort{p.Name, p.MAC.String(), p.Frames, p.Bytes})
	}
	if fed.Cut != nil {
		out.Cut = oneLine(fed.Cut)
	}
	if err != nil {
		out.Error = oneLine(err)
	}
	return writeJSON(o.stdout, out)
}

// text is the summary for people.
func (o *opener) text(fed *replay.Fed, err error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n\n", clip(pcap.Printable(o.path), width-40), o.pace)
	fmt.Fprintf(&b, "sent %s (%s) in %v", count(fed.Frames, "frame"), bytesText(fed.Bytes), fed.Duration)
	if fed.Duration > 0 {
		fmt.Fprintf(&b, ": %s pps, %s Mbit/s", number(fed.PPS()), number(fed.Mbps()))
	}
	if o.real {
		b.WriteString("\nin real time")
		if !o.opts.Pace.TopSpeed {
			fmt.Fprintf(&b, "; the latest frame was %v behind its time", round(fed.Late))
		}
		b.WriteByte('\n')
	} else {
		fmt.Fprintf(&b, "\n%v virtual in %v wall time\n", fed.Stats.Virtual, round(fed.Stats.Wall))
	}
	if fed.Live > 0 && o.real {
		fmt.Fprintf(&b, "%s came back\n", count(fed.Live, "frame"))
	} else if fed.Live > 0 {
		fmt.Fprintf(&b, "live hosts sent %s", count(fed.Live, "frame"))
		if fed.Answers > 0 {
			fmt.Fprintf(&b, "; %s made up to tell them where addresses are", count(fed.Answers, "frame"))
		}
		b.WriteByte('\n')
	}
	if len(fed.Ports) > 0 {
		b.WriteByte('\n')
		t := newTable(0)
		fmt.Fprintf(t, "port\tframes\tbytes\n")
		for i, p := range fed.Ports {
			if i == most {
				fmt.Fprintf(t, "and %d more\n", len(fed.Ports)-most)
				break
			}
			fmt.Fprintf(t, "%s\t%d\t%d\n", clip(p.Name, 48), p.Frames, p.Bytes)
		}
		t.writeTo(&b)
	}
	writeOpenRules(&b, fed)
	o.writeWarnings(&b, fed)
	if o.out != "" && o.out != "-" && err == nil {
		fmt.Fprintf(&b, "\nrecording: %s\n", pcap.Printable(o.out))
	}
	return b.String()
}

// number writes a rate.
func number(f float64) string {
	if f >= 1000 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 4, 64)
}

func writeOpenRules(b *strings.Builder, fed *replay.Fed) {
	if len(fed.Rules) == 0 {
		return
	}
	b.WriteByte('\n')
	writeRules(b, &scenario.Result{Affected: scenario.AffectedOf(fed.Affected), Rules: ruleResults(fed)})
}

func ruleResults(fed *replay.Fed) []scenario.RuleResult {
	out := []scenario.RuleResult{}
	for _, r := range fed.Rules {
		out = append(out, scenario.RuleResult{Number: r.Number(), Name: r.Name(), Text: r.Rule().String(),
			Added: true, Matched: r.Matched(), Idle: r.Rule().Idle(), Affected: scenario.AffectedOf(r.Counts())})
	}
	return out
}

func (o *opener) writeWarnings(to *strings.Builder, fed *replay.Fed) {
	b := &strings.Builder{}
	defer func() {
		if b.Len() > 0 {
			to.WriteString("\n" + b.String())
		}
	}()
	skips := func(word string, list []replay.Skip) {
		for i, s := range list {
			if i == most {
				fmt.Fprintf(b, "%s: and for %d more reasons\n", word, len(list)-most)
				break
			}
			fmt.Fprintf(b, "%s %s (the first is %d): %s\n", word, count(uint64(s.Frames), "frame"), s.First, pcap.Printable(s.Reason))
		}
	}
	skips("skipped", fed.Skipped)
	skips("left out", fed.Left)
	if fed.Lost > 0 {
		fmt.Fprintf(b, "lost %s that the device did not take in time\n", count(fed.Lost, "frame"))
	}
	for _, line := range o.cables.lost() {
		fmt.Fprintf(b, "%s\n", line)
	}
	if fed.Stopped {
		fmt.Fprintf(b, "stopped before the end of the capture\n")
	}
	if fed.Backwards > 0 {
		fmt.Fprintf(b, "warning: %s stamped earlier than one before: sent at once\n", isOrAre(fed.Backwards))
	}
	if fed.Ahead > 0 {
		fmt.Fprintf(b, "warning: %s stamped more than 30 days after the one before: sent at once\n", isOrAre(fed.Ahead))
	}
	if fed.Cut != nil {
		fmt.Fprintf(b, "warning: %s\n", oneLine(fed.Cut))
	}
}

func isOrAre(n int) string {
	if n == 1 {
		return "1 frame is"
	}
	return fmt.Sprintf("%d frames are", n)
}
