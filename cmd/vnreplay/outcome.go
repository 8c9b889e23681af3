package main

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/shell"
	"github.com/vnreplay/vnreplay/replay"
)

// replayOutcome is what replay --json and diff --json print: all that the text says.
type replayOutcome struct {
	Verdict       string           `json:"verdict"`
	Error         string           `json:"error,omitempty"`
	Capture       string           `json:"capture"`
	Actual        string           `json:"actual,omitempty"` // the second file of diff
	Live          []jsonLive       `json:"live,omitempty"`
	Versions      string           `json:"versions,omitempty"`
	Seed          uint64           `json:"seed"`
	Same          int              `json:"conversations_same"`
	Conversations int              `json:"conversations"`
	SameBytes     int64            `json:"bytes_same"`
	Bytes         int64            `json:"bytes"`
	Unplayable    []jsonUnplayable `json:"not_replayable,omitempty"`
	Divergences   []jsonDivergence `json:"divergences"` // the first is the cause, the others may be its consequences
	Masked        map[string]int   `json:"masked"`
	Normalised    map[string]int   `json:"normalised"`
	Skipped       []jsonSkip       `json:"skipped"` // frames that are not usable
	Clock         jsonClock        `json:"clock"`
	Notes         []string         `json:"notes"`
	Other         []jsonOther      `json:"other,omitempty"` // from outside, in no conversation
	RealTime      bool             `json:"real_time,omitempty"`
	Segments      int              `json:"live_segments"`
	Retransmits   int              `json:"live_retransmissions"`
	Synthetic     int              `json:"synthetic_acks"`
	SyntheticAt   []uint64         `json:"synthetic_ack_frames,omitempty"`
	StackOnly     bool             `json:"stack_only"` // application bytes were taken from the capture
	Virtual       time.Duration    `json:"virtual_ns"`
	Captured      time.Duration    `json:"captured_ns"`
	Frames        uint64           `json:"frames"`
	Recording     string           `json:"recording,omitempty"`
	Again         string           `json:"again,omitempty"`
}

type jsonLive struct {
	Address     netip.Addr `json:"address"`
	Application string     `json:"application"`
}

type jsonOther struct {
	What   string   `json:"what"`
	Frames int      `json:"frames"`
	First  []uint64 `json:"first_frames"` // of the recording
}

type jsonUnplayable struct {
	Conversation string `json:"conversation"`
	Reason       string `json:"reason"`
}

type jsonDivergence struct {
	Kind         string        `json:"kind"`
	Conversation string        `json:"conversation,omitempty"`
	From         string        `json:"from,omitempty"`
	To           string        `json:"to,omitempty"`
	Now          string        `json:"live_now,omitempty"` // where the live port is not the captured one
	At           time.Duration `json:"at_ns"`
	Frame        int           `json:"frame,omitempty"`        // of the capture
	ActualFrame  int           `json:"actual_frame,omitempty"` // of the recording, or of the second file
	Offset       int64         `json:"offset"`                 // -1: none
	Place        string        `json:"place,omitempty"`
	Text         string        `json:"text"`
	Hint         string        `json:"hint,omitempty"`
	Expected     string        `json:"expected,omitempty"` // in hexadecimal, from the offset on
	Actual       string        `json:"actual,omitempty"`
	Before       string        `json:"before,omitempty"` // what precedes both
	Captured     []jsonLine    `json:"captured_frames,omitempty"`
	Replayed     []jsonLine    `json:"actual_frames,omitempty"`
	Filter       string        `json:"wireshark,omitempty"`
}

// jsonLine is a frame beside a divergence.
type jsonLine struct {
	Frame int           `json:"frame"`
	At    time.Duration `json:"at_ns"`
	Live  bool          `json:"live"`
	Here  bool          `json:"here,omitempty"`
	Text  string        `json:"text"`
}

// mostHex bounds the bytes of a divergence in JSON.
const mostHex = 32

func outcomeOf(r *replay.Report) replayOutcome {
	out := replayOutcome{
		Verdict: r.Verdict.String(), Capture: r.Capture.Name, Versions: r.Versions, Seed: r.Seed,
		Divergences: []jsonDivergence{}, Masked: map[string]int{}, Normalised: map[string]int{}, Skipped: jsonSkips(r.Capture.Skipped), Clock: clockOf(r.Capture), Notes: append([]string{}, r.Notes...),
		Segments: r.Segments, Retransmits: r.Retransmits, Synthetic: r.Synthetic, RealTime: r.RealTime, SyntheticAt: r.SyntheticFrames, StackOnly: r.StackOnly(),
		Virtual: r.Virtual, Captured: r.Captured, Frames: r.Stats.Frames, Recording: r.Recording, Again: r.Again,
	}
	if r.Actual != nil {
		out.Actual = r.Actual.Name
	}
	for _, l := range r.Live {
		out.Live = append(out.Live, jsonLive{l.Addr, r.AppName(l)})
	}
	for _, c := range r.Unplayable {
		out.Unplayable = append(out.Unplayable, jsonUnplayable{c.String(), c.Reason})
	}
	out.Same, out.Conversations, out.SameBytes, out.Bytes = r.Coverage()
	if r.Err != nil {
		out.Error = oneLine(r.Err)
	}
	for _, n := range r.Normalised {
		out.Normalised[n.Name] = n.N
	}
	for _, n := range r.Masked {
		out.Masked[n.Name] = n.N
	}
	for _, o := range r.Other {
		out.Other = append(out.Other, jsonOther{o.What, o.N, o.First})
	}
	for _, d := range r.Divergences {
		out.Divergences = append(out.Divergences, divergenceOf(d))
	}
	return out
}

func divergenceOf(d *replay.Divergence) jsonDivergence {
	j := jsonDivergence{
		Kind: d.Kind, From: endText(d.From), To: endText(d.To), Now: endText(d.Now), At: d.At, Frame: d.Frame, ActualFrame: d.ReplayedFrame(),
		Offset: d.Offset, Place: d.Place, Text: d.Text, Hint: d.Hint, Filter: d.Filter(),
		Expected: hexOf(d.Expected), Actual: hexOf(d.Actual), Before: hexOf(d.Before),
		Captured: linesOf(d.Captured), Replayed: linesOf(d.Replayed),
	}
	if d.Conversation != nil {
		j.Conversation = d.Conversation.String()
	}
	return j
}

func hexOf(b []byte) string { return hex.EncodeToString(b[:min(len(b), mostHex)]) }

func endText(a netip.AddrPort) string {
	switch {
	case !a.IsValid():
		return ""
	case a.Port() == 0:
		return a.Addr().String()
	}
	return a.String()
}

func linesOf(lines []replay.Line) (out []jsonLine) {
	for _, l := range lines {
		out = append(out, jsonLine(l))
	}
	return out
}

// commandLine is the command, whose arguments are files, as a line for a shell that
// repeats it, without some of its flags.
func commandLine(c *cli.Context, without ...string) string {
	words := []string{"vnreplay", c.Command.Name}
	for _, a := range c.Args().Slice() {
		words = append(words, shell.File(a))
	}
next:
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		for _, w := range without {
			if w == name {
				continue next
			}
		}
		if !c.IsSet(name) {
			continue
		}
		switch f.(type) {
		case *cli.StringSliceFlag:
			for _, v := range c.StringSlice(name) {
				words = append(words, "--"+name, shell.Word(v))
			}
		case *cli.BoolFlag:
			if c.Bool(name) {
				words = append(words, "--"+name)
			}
		case *cli.DurationFlag:
			words = append(words, "--"+name, c.Duration(name).String())
		case *cli.Uint64Flag:
			words = append(words, "--"+name, strconv.FormatUint(c.Uint64(name), 10))
		default:
			words = append(words, "--"+name, shell.Word(c.String(name)))
		}
	}
	return strings.Join(words, " ")
}
