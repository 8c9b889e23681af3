package replay

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// Bounds of a printed report, in lines of a kind. All together it stays under
// 40 lines.
const (
	maxMore       = 5
	maxUnplayable = 5
	maxNotes      = 5
	maxFrames     = 8
)

// Print writes the report for people, in at most 40 lines of printable text.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(pcap.Printable(fmt.Sprintf(format, args...)) + "\n") }
	line("%v: %s, live %s", r.Verdict, r.Capture.Name, r.liveText())
	if r.Err != nil {
		line("  %s", strings.ReplaceAll(clip(r.Err.Error(), 600), "\n", "; "))
	}
	r.printDivergences(line)
	r.printCoverage(line)
	r.printUnusable(line)
	if len(r.Normalised) > 0 {
		var s []string
		for _, c := range r.Normalised {
			s = append(s, fmt.Sprintf("%s %d", c.Name, c.N))
		}
		line("normalised: %s", strings.Join(s, ", "))
	}
	if n := r.counted("datagram-order"); n > 0 {
		line("order: the live side sent %s in another order than the capture has", count(n, "datagram"))
	}
	for i, n := range r.Notes {
		if i == maxNotes {
			line("note: and %d more notes", len(r.Notes)-i)
			break
		}
		line("note: %s", n)
	}
	if len(r.Conversations) > 0 {
		line("live side: %s with data or FIN, %s; played side: %s", count(r.Segments, "segment"), count(r.Retransmits, "retransmission"), r.syntheticText())
		line("time: %v virtual, %v in the capture; seed %d", r.Virtual.Round(time.Microsecond), r.Captured.Round(time.Microsecond), r.Seed)
	}
	if r.transcript && len(r.Conversations) > 0 {
		line("application bytes were taken from the capture: this run tests the stack only")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) liveText() string {
	var s []string
	for i, l := range r.Live {
		if i == 4 {
			s = append(s, fmt.Sprintf("and %d more", len(r.Live)-i))
			break
		}
		name := l.Name
		switch {
		case name != "":
		case l.App != nil:
			name = "application"
		default:
			name = "transcript"
			if l.From != nil && l.From.Capture != r.Capture {
				name += ":" + l.From.Capture.Name
			}
		}
		s = append(s, fmt.Sprintf("%v (%s)", l.Addr, name))
	}
	return strings.Join(s, ", ")
}

func (r *Report) printDivergences(line func(string, ...any)) {
	if len(r.Divergences) == 0 {
		return
	}
	d := r.Divergences[0]
	line("first divergence, %v into the replay: %s", d.At.Round(time.Microsecond), d.Text)
	if d.Conversation != nil {
		line("  conversation %d: %v", d.Conversation.Number, d.Conversation)
	}
	where := d.direction()
	if d.Offset >= 0 {
		what := "stream"
		if d.Conversation != nil && d.Conversation.Proto != TCP {
			what = "datagram"
		}
		where += fmt.Sprintf(", %s offset %d", what, d.Offset)
	}
	if d.Frame > 0 {
		where += fmt.Sprintf(", frame %d of %s", d.Frame, r.Capture.Name)
	}
	line("  %s", where)
	if d.Expected != nil || d.Actual != nil {
		line("  expected  %s", dump(d.Expected))
		line("  actual    %s", dump(d.Actual))
	}
	if d.Hint != "" {
		line("  hint: %s", d.Hint)
	}
	if c := d.Conversation; c != nil {
		line("  Wireshark: %s", c.filter())
	}
	for i, d := range r.Divergences[1:] {
		if i == 0 {
			line("%d more, which may be its consequences:", len(r.Divergences)-1)
		}
		if i == maxMore {
			line("  ...")
			break
		}
		line("  %v %s: %s", d.At.Round(time.Microsecond), d.direction(), clip(d.Text, 160))
	}
}

// syntheticText counts the synthetic acknowledgements, and says which frames of the
// recording they are.
func (r *Report) syntheticText() string {
	s := count(r.Synthetic, "synthetic acknowledgement")
	if n := r.counted("ack-own"); n > 0 {
		s += fmt.Sprintf(", %d of its own", n)
	}
	if !r.recorded || len(r.SyntheticFrames) == 0 {
		return s
	}
	var frames []string
	for i, n := range r.SyntheticFrames {
		if i == maxFrames {
			frames = append(frames, "...")
			break
		}
		frames = append(frames, fmt.Sprint(n))
	}
	what := "frame"
	if len(frames) > 1 {
		what = "frames"
	}
	return fmt.Sprintf("%s (%s %s of the recording)", s, what, strings.Join(frames, ", "))
}

// dump shows the first 32 bytes, or that there is nothing.
func dump(b []byte) string {
	if len(b) == 0 {
		return "(nothing)"
	}
	return pcap.HexDump(b, 32)
}

func (d *Divergence) direction() string {
	if d.To == (netip.AddrPort{}) {
		return d.From.Addr().String()
	}
	return fmt.Sprintf("%v > %v", d.From, d.To)
}

func (r *Report) printCoverage(line func(string, ...any)) {
	same, conversations, sameBytes, bytes := r.Coverage()
	percent := "no bytes"
	if bytes > 0 {
		// Rounded down: 100.0 % is all of them.
		percent = fmt.Sprintf("%d.%d %% of %d bytes", sameBytes*100/bytes, sameBytes*1000/bytes%10, bytes)
	}
	line("coverage: %d/%d conversations, %s", same, conversations, percent)
	for i, c := range r.Unplayable {
		if i == maxUnplayable {
			line("  ... and %d more that cannot be replayed", len(r.Unplayable)-i)
			break
		}
		line("  not replayable: conversation %d, %v: %s", c.Number, c, clip(c.Reason, 200))
	}
	if r.NotChosen > 0 {
		line("not replayed: %s with an end that is not to be played", count(r.NotChosen, "conversation"))
	}
	if r.NoneLive > 0 || r.BothLive > 0 {
		line("not replayed: %s without a live end, %d with two", count(r.NoneLive, "conversation"), r.BothLive)
	}
}

// filter is a display filter of Wireshark's that shows the conversation.
func (c *Conversation) filter() string {
	ip := "ip"
	if c.Ends[0].Addr().Is6() {
		ip = "ipv6"
	}
	s := fmt.Sprintf("%s.addr == %v && %s.addr == %v", ip, c.Ends[0].Addr(), ip, c.Ends[1].Addr())
	switch c.Proto {
	case Echo:
		if ip == "ipv6" {
			return s + fmt.Sprintf(" && icmpv6.echo.identifier == %d", c.Ends[0].Port())
		}
		return s + fmt.Sprintf(" && icmp.ident == %d", c.Ends[0].Port())
	default:
		p := strings.ToLower(c.Proto.String())
		return s + fmt.Sprintf(" && %s.port == %d && %s.port == %d", p, c.Ends[0].Port(), p, c.Ends[1].Port())
	}
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
