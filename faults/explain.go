package faults

import (
	"fmt"
	"strings"
)

// Explain says in words what the rules do, in the order in which they are given:
// for each, one line with its number and normal form and below it which frames it
// is about, when, which of these it hits, what it does to them, and on whose cable
// that is decided. Before, a picture of the way of a frame shows at which stage
// each rule stands. Lines have at most 79 columns where words allow it.
func Explain(rules []*Rule) string {
	var b strings.Builder
	at := map[stage][]span{}
	for i, r := range rules {
		n := span{uint64(i + 1), uint64(i + 1)}
		if s := r.stage(); s == onBoth {
			at[onSender], at[onReceiver] = append(at[onSender], n), append(at[onReceiver], n)
		} else {
			at[s] = append(at[s], n)
		}
	}
	numbers := func(s stage) string {
		list := strings.ReplaceAll(strings.TrimPrefix(normalSpans(at[s]).text(), "nth "), ",", ", ")
		switch len(at[s]) {
		case 0:
			return "no rule"
		case 1:
			return "rule " + list
		}
		const width = 79 - 39
		return strings.Join(wrap("rules "+list, width), "\n  |"+strings.Repeat(" ", 36))
	}
	fmt.Fprintf(&b, stages, numbers(inWrite), numbers(onSender), numbers(onReceiver))
	for i, r := range rules {
		head := fmt.Sprintf("rule %d  ", i+1)
		for n, part := range wrap(r.String(), 79-len(head)) {
			if n == 0 {
				b.WriteString("\n" + head + part + "\n")
			} else {
				fmt.Fprintf(&b, "%*s%s\n", len(head), "", part)
			}
		}
		line := func(what, text string) {
			const width = 79 - 14
			for n, part := range wrap(text, width) {
				if n > 0 {
					what = ""
				}
				fmt.Fprintf(&b, "   %-10s %s\n", what, part)
			}
		}
		line("frames", r.where.says())
		line("when", r.when.says())
		line("hits", r.often.says())
		line("and", r.what.says())
		line("decided", r.stage().says())
		if s := r.drawn(); s != "" {
			line("by chance", s)
		}
	}
	return b.String()
}

// Stages is the picture of the stages that a frame passes, in order: what the
// rules and the cables decide where.
func Stages() string {
	return fmt.Sprintf(stages, "mtu N error", `rules without "to"; down, up`, `rules with "to"; partition, down, up`)
}

const stages = `the sender writes a frame
  |  refused with an error?            the port's own MTU; %s
  |  enters the switch                 here its whole fate is decided
  v
the sender's cable                     cable down, rate and queue of the link
  |  decided once for all receivers    %s
  v
the switch forwards                    by the addresses that reached it
  |
  v
each receiver's cable
  |  decided for each receiver         %s
  |
  |  All rules were asked about the frame as it was sent. Now they act in the
  |  order in which they are written: a drop ends it; bytes are changed, cut
  |  and added; delays and copies add up; the last gap and the last hold win.
  |
  |  cable down, MTU, rate and queue of the receiver's link
  v
it arrives, with its copies            held frames wait for those to pass them
`

// stage is where a rule decides.
type stage int

const (
	inWrite stage = iota
	onSender
	onReceiver
	onBoth
)

func (r *Rule) stage() stage {
	_, parts := r.what.(*partition)
	one, _ := r.what.(*cut)
	switch {
	case r.Refuses():
		return inWrite
	case one != nil && one.port != everyPort:
		return onBoth
	case parts || r.to != "":
		return onReceiver
	}
	return onSender
}

func (s stage) says() string {
	return [...]string{
		"inside the sender's write; what is refused is in no recording, but counted",
		"on the sender's cable, once for all receivers",
		"on the receiver's cable, for each receiver by itself",
		"on the one cable: for what its port sends, and for what is on the way to it",
	}[s]
}

// says is which frames w is about, in words.
func (w *where) says() string {
	var s string
	switch {
	case w.at != nil:
		s = w.at.place()
	case w.from == "" && w.to == "":
		s = "frames that anybody sends"
	case w.to == "":
		s = "frames that " + w.from + " sends"
	case w.from == "" && w.to == everyPort:
		s = "frames on the way to each receiver"
	case w.from == "":
		s = "frames on the way to " + w.to
	case w.to == everyPort:
		s = "frames from " + w.from + " on the way to each receiver"
	default:
		s = "frames from " + w.from + " on the way to " + w.to
	}
	if w.sw != "" {
		s += ", on switch " + w.sw
	}
	if w.vlan != anyVLAN {
		s += fmt.Sprintf(", in VLAN %d", w.vlan)
	}
	if w.cond != nil {
		s += `, that match "` + w.cond.String() + `"`
	}
	return s
}

// says is when, in words.
func (w *when) says() string {
	var parts []string
	for _, in := range w.during {
		switch {
		case in.end == endless:
			parts = append(parts, "from "+formatDuration(in.first)+" on")
		case in.first == 0:
			parts = append(parts, "until "+formatDuration(in.end))
		default:
			parts = append(parts, "from "+formatDuration(in.first)+" until "+formatDuration(in.end))
		}
	}
	s := oneAnd(parts)
	add := func(text string) {
		if s != "" {
			s += ", "
		}
		s += text
	}
	if w.after != (amount{}) {
		add("after the first " + strings.TrimPrefix(w.after.String(), "1 ") + " of them")
		if w.lasts > 0 {
			s += ", for " + formatDuration(w.lasts)
		}
	}
	if w.until != (amount{}) {
		add("until " + w.until.String() + " of them have passed")
	}
	if s == "" {
		s = "always"
	}
	if w.off {
		s += "; off until somebody turns it on"
	}
	return s
}

// drawn says on what the rule's draws depend, or "" if it has none.
func (r *Rule) drawn() string {
	key := "its text"
	if r.name != "" {
		key = "its name"
	}
	var chain string
	switch f := r.often.(type) {
	case gilbert:
		chain = key + ", the path and the frame's place on it"
	case *markov:
		if f.name != "" {
			key = "the chain's name"
		}
		chain = key + ", the path and the frame's place on it"
		if f.step > 0 {
			chain = key + ", the path, the frame's place on it and the time"
		}
	}
	draws := r.often.draws() || r.what.draws()
	s := "depends on the seed, "
	switch {
	case chain == "" && !draws:
		return ""
	case chain == "":
		s += key + ", the path, the frame's flow and its place in it"
	case draws:
		s += chain + "; what is done to it, on its flow and its place in that"
	default:
		s += chain
	}
	if r.correlates() {
		s += ", and by correlation on the frames before it on that path"
	}
	return s + "; not on other rules"
}

// correlates reports whether a draw of the rule enters into the next.
func (r *Rule) correlates() bool {
	f, _ := r.often.(probability)
	l := r.lateness()
	return f.corr.rho != 0 || l != nil && l.corr.rho != 0
}

// oneAnd writes a list for people: "a, b and c".
func oneAnd(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}

// wrap breaks a text at spaces.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
