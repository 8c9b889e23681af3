package replay

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vnreplay/vnreplay/pcap"
)

// maxLines is how long a printed report may be.
const maxLines = 40

// maxList is how many entries each of its lists has at most, and maxFrames how many
// frame numbers.
const (
	maxList   = 5
	maxFrames = 8
)

// Print writes the report for people, in at most 40 lines of printable text. Its
// lists are shortened as far as that needs.
func (r *Report) Print(w io.Writer) error {
	var lines []string
	for n := maxList; n >= 0; n-- {
		if lines = r.lines(n); len(lines) <= maxLines {
			break
		}
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

// lines are the report's, with at most n entries in each list.
func (r *Report) lines(n int) []string {
	p := &printer{most: n}
	p.line("%v: %s", r.Verdict, r.subject())
	if r.Err != nil {
		p.line("  %s", strings.ReplaceAll(clip(r.Err.Error(), 600), "\n", "; "))
	}
	if r.Versions != "" && (len(r.Divergences) > 0 || r.Err != nil) {
		p.line("versions: %s", r.Versions)
	}
	r.printDivergences(p)
	r.printCoverage(p)
	r.printUnusable(p.line)
	if len(r.Masked) > 0 {
		p.line("masked: %s", counts(r.Masked))
	}
	if len(r.Normalised) > 0 {
		p.line("normalised: %s", counts(r.Normalised))
	}
	if n := r.counted("datagram-order"); n > 0 {
		p.line("order: the live side sent %s in another order than the capture has", count(n, "datagram"))
	}
	r.printOther(p)
	p.list(len(r.Notes), func(i int) { p.line("note: %s", r.Notes[i]) }, "note: and %d more notes")
	if len(r.Conversations) > 0 && !r.files {
		p.line("live side: %s with data or FIN, %s; played side: %s", count(r.Segments, "segment"), count(r.Retransmits, "retransmission"), r.syntheticText())
		clock := "virtual"
		if r.RealTime {
			clock = "real"
		}
		p.line("time: %v %s, %v in the capture; seed %d", r.Virtual.Round(time.Microsecond), clock, r.Captured.Round(time.Microsecond), r.Seed)
	}
	if r.StackOnly() {
		p.line("application bytes were taken from the capture: this run tests the stack only")
	}
	if r.Recording != "" {
		p.line("recording: %s", r.Recording)
	}
	if len(r.Divergences) > 0 || r.Err != nil {
		if r.Again != "" {
			p.line("again: %s", r.Again)
		}
		if len(r.Divergences) > 0 {
			if f := r.Divergences[0].Filter(); f != "" {
				p.line("Wireshark: %s", f)
			}
		}
	}
	return p.lines
}

// printer collects lines of printable text.
type printer struct {
	lines []string
	most  int // entries of a list
}

func (p *printer) line(format string, args ...any) {
	p.lines = append(p.lines, pcap.Printable(fmt.Sprintf(format, args...)))
}

// list prints the entries of a list as far as there is room, and how many there are
// besides.
func (p *printer) list(n int, entry func(i int), more string) {
	for i := range n {
		if i >= p.most && n > i {
			p.line(more, n-i)
			return
		}
		entry(i)
	}
}

// counts writes named numbers.
func counts(all []Count) string {
	var s []string
	for _, c := range all {
		s = append(s, fmt.Sprintf("%s %d", c.Name, c.N))
	}
	return strings.Join(s, ", ")
}

// subject says what was compared.
func (r *Report) subject() string {
	if r.files {
		return fmt.Sprintf("%s (expected), %s (actual)", r.Capture.Name, r.Actual.Name)
	}
	return fmt.Sprintf("%s, live %s", r.Capture.Name, r.liveText())
}

func (r *Report) liveText() string {
	var s []string
	for i, l := range r.Live {
		if i == 4 {
			s = append(s, fmt.Sprintf("and %d more", len(r.Live)-i))
			break
		}
		s = append(s, fmt.Sprintf("%v (%s)", l.Addr, r.AppName(l)))
	}
	return strings.Join(s, ", ")
}

// AppName is what the report calls the application of a live side.
func (r *Report) AppName(l Live) string {
	switch {
	case l.Name != "":
		return l.Name
	case l.Behind != nil:
		return l.Behind.Name
	case l.App != nil:
		return "application"
	case l.From != nil && l.From.Capture != r.Capture:
		return "transcript:" + l.From.Capture.Name
	}
	return "transcript"
}

// StackOnly reports whether application bytes were taken from a capture, so that
// the replay tests the stack only.
func (r *Report) StackOnly() bool { return r.transcript && len(r.Conversations) > 0 }

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

func (d *Divergence) direction() string {
	if d.To == (netip.AddrPort{}) {
		return d.From.Addr().String()
	}
	return fmt.Sprintf("%v > %v", d.From, d.To)
}

func (r *Report) printCoverage(p *printer) {
	same, conversations, sameBytes, bytes := r.Coverage()
	percent := "no bytes"
	if bytes > 0 {
		// Rounded down: 100.0 % is all of them.
		percent = fmt.Sprintf("%d.%d %% of %d bytes", sameBytes*100/bytes, sameBytes*1000/bytes%10, bytes)
	}
	p.line("coverage: %d/%d conversations, %s", same, conversations, percent)
	p.list(len(r.Unplayable), func(i int) {
		c, what := r.Unplayable[i], "replayable"
		if r.files {
			what = "comparable"
		}
		p.line("  not %s: conversation %d, %v: %s", what, c.Number, c, clip(c.Reason, 200))
	}, "  ... and %d more that cannot be")
	if r.NotChosen > 0 {
		p.line("not replayed: %s with an end that is not to be played", count(r.NotChosen, "conversation"))
	}
	if r.NoneLive > 0 || r.BothLive > 0 {
		p.line("not replayed: %s without a live end, %d with two", count(r.NoneLive, "conversation"), r.BothLive)
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
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		return s[:n] + "…"
	}
	return s
}
