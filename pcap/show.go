package pcap

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Show formats the packets of one capture, in order, as lines for people: frame
// number as in Wireshark, seconds since the first packet, the port with '>' for
// what it sent or '<' for what it got, the frame in tcpdump's grammar (see
// [Describer]), and last what became of it. The zero value is ready for use.
//
//	9  0.125000000 client> 10.0.0.1.49152 > 10.0.0.2.80: [S] seq 0 win 65535 mss 1460    DROP syn
type Show struct {
	d     Describer
	first time.Time
}

// showWidth is the column at which the fate of a frame starts, where the frame's
// description leaves room.
const showWidth = 96

// Line formats a packet; iface is its interface. Nothing but printable text is in it.
func (s *Show) Line(p *Packet, iface Interface) string {
	mark := " "
	switch p.Direction {
	case Inbound:
		mark = "< "
	case Outbound:
		mark = "> "
	}
	if iface.Name == "" {
		mark = strings.TrimPrefix(mark, " ")
	}
	line := fmt.Sprintf("%4d %12s %s%s%s", p.Number, s.since(p.Time),
		Printable(iface.Name), mark, s.d.Describe(p))
	fate := showFate(p.Comments)
	if p.Lost > 0 {
		fate = strings.TrimSuffix(fmt.Sprintf("%d before it NOT RECORDED; %s", p.Lost, fate), "; ")
	}
	if fate != "" {
		if n := showWidth - utf8.RuneCountInString(line); n > 0 {
			line += strings.Repeat(" ", n)
		}
		line += "  " + fate
	}
	return line
}

// Changes formats the changes of rules and cables that stand in comments, of a
// packet or of an interface's statistics, as lines of their own:
//
//	1.500000000 -- loss: off
func (s *Show) Changes(comments []string) []string {
	f, err := ParseFate(slices.DeleteFunc(slices.Clone(comments), func(c string) bool { return !strings.HasPrefix(c, "vnr.change=") }))
	if err != nil {
		return nil // the packet's line shows the comment as it is
	}
	var lines []string
	for _, c := range f.Changes {
		about := "cable of " + c.Port
		switch {
		case c.Port == "" && c.Name != "":
			about = c.Name
		case c.Port == "":
			about = fmt.Sprintf("rule %d", c.Rule)
		}
		line := fmt.Sprintf("     %12s -- %s: %v", s.since(c.Time), Printable(about), c.What)
		if c.Text != "" {
			line += ", " + Printable(c.Text)
		}
		lines = append(lines, line)
	}
	return lines
}

// since formats the time from the first packet, or 0 for none.
func (s *Show) since(t time.Time) string {
	if s.first.IsZero() {
		s.first = t
	}
	at, sign := t.Sub(s.first), ""
	if t.IsZero() {
		at = 0
	} else if at < 0 {
		at, sign = -at, "-"
	}
	return fmt.Sprintf("%s%d.%09d", sign, at/time.Second, at%time.Second)
}

// showFate says in a few words what comments tell of a frame's fate.
func showFate(comments []string) string {
	f, err := ParseFate(comments)
	if err != nil {
		return "# " + Printable(strings.Join(comments, " "))
	}
	var words []string
	// Where there are several receivers, it matters whose cable a clause is about.
	several := f.To == ToAll || f.To == ToNames
	add := func(at, format string, args ...any) {
		w := fmt.Sprintf(format, args...)
		if several && at != "" {
			w += " at " + at
		}
		words = append(words, w)
	}
	for _, x := range f.Faults {
		rule := x.Name
		if rule == "" {
			rule = fmt.Sprintf("rule %d", x.Rule)
		}
		switch x.Kind {
		case FaultDrop:
			if x.Reason != "" {
				rule += " (" + x.Reason + ")"
			}
			add(x.At, "DROP %s", rule)
		case FaultDup:
			add(x.At, "DUP %s x%d", rule, x.Copies)
		case FaultDelay:
			add(x.At, "DELAY %s %v", rule, x.By)
		case FaultTruncate:
			add(x.At, "TRUNC %s to %d", rule, x.Size)
		case FaultPad:
			add(x.At, "PAD %s +%d", rule, x.Size)
		case FaultReorder:
			add(x.At, "REORD %s behind %d", rule, x.Behind)
		case FaultCorrupt:
			add(x.At, "CORR %s %s", rule, showEdits(x.Edits))
		}
	}
	for _, x := range f.Lost {
		add(x.At, "LOST %v", x.Cause)
	}
	if f.To == ToNone && len(words) == 0 {
		words = append(words, "to nobody")
	}
	for _, c := range f.Foreign {
		words = append(words, "# "+c)
	}
	return Printable(strings.Join(words, "; "))
}

// showEdits writes at most three edits of at most 8 bytes.
func showEdits(edits []vswitch.Edit) string {
	var out []string
	for i, e := range edits {
		if i == 3 {
			out = append(out, fmt.Sprintf("and %d more", len(edits)-i))
			break
		}
		more := ""
		if len(e.Old) > 8 || len(e.New) > 8 {
			more = "…"
		}
		out = append(out, fmt.Sprintf("@%d %x>%x%s", e.Offset, e.Old[:min(len(e.Old), 8)], e.New[:min(len(e.New), 8)], more))
	}
	return strings.Join(out, ",")
}
