package pcap

import (
	"fmt"
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
	if s.first.IsZero() {
		s.first = p.Time
	}
	at, sign := p.Time.Sub(s.first), ""
	if p.Time.IsZero() {
		at = 0
	} else if at < 0 {
		at, sign = -at, "-"
	}
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
	line := fmt.Sprintf("%4d %12s %s%s%s", p.Number, fmt.Sprintf("%s%d.%09d", sign, at/time.Second, at%time.Second),
		Printable(iface.Name), mark, s.d.Frame(p.LinkType, p.Data, p.OrigLen))
	if fate := showFate(p.Comments); fate != "" {
		if n := showWidth - utf8.RuneCountInString(line); n > 0 {
			line += strings.Repeat(" ", n)
		}
		line += "  " + fate
	}
	return line
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
			add(x.At, "DROP %s", rule)
		case FaultDup:
			add(x.At, "DUP %s x%d", rule, x.Copies)
		case FaultDelay:
			add(x.At, "DELAY %s %v", rule, x.By)
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
