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
	at := map[stage][]string{}
	for i, r := range rules {
		at[r.stage()] = append(at[r.stage()], formatInt(i+1))
		if _, ok := r.what.(*cut); ok { // it is on both cables
			at[onReceiver] = append(at[onReceiver], formatInt(i+1))
		}
	}
	numbers := func(s stage) string {
		switch n := len(at[s]); n {
		case 0:
			return "no rule"
		case 1:
			return "rule " + at[s][0]
		}
		return "rules " + strings.Join(at[s], ", ")
	}
	fmt.Fprintf(&b, stages, numbers(inWrite), numbers(onSender), numbers(onReceiver))
	for i, r := range rules {
		fmt.Fprintf(&b, "\nrule %d  %s\n", i+1, r)
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
	return fmt.Sprintf(stages, "mtu N error", "rules without \"to\"", "rules with \"to\", partition")
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
  |  and added; delays and copies add up; the last gap, the last hold count.
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
)

func (r *Rule) stage() stage {
	switch a := r.what.(type) {
	case *mtu:
		if a.tell {
			return inWrite
		}
	case *partition:
		return onReceiver
	}
	if r.to != "" {
		return onReceiver
	}
	return onSender
}

func (s stage) says() string {
	return [...]string{
		"inside the sender's write; what is refused is in no recording, but counted",
		"on the sender's cable, once for all receivers",
		"on the receiver's cable, for each receiver by itself",
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
	if w.vlan != anyVLAN {
		s += fmt.Sprintf(", in VLAN %d", w.vlan)
	}
	if w.cond != nil {
		s += ", that match " + w.cond.String()
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
	s := strings.Join(parts, ", ")
	add := func(text string) {
		if s != "" {
			s += ", "
		}
		s += text
	}
	if w.after != (amount{}) {
		add("after the first " + w.after.String() + " of them")
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
	chain := false
	switch r.often.(type) {
	case gilbert, *markov:
		chain = true
	}
	if !chain && !r.often.draws() && !r.what.draws() {
		return ""
	}
	key := "its text"
	if r.name != "" {
		key = "its name"
	}
	s := "depends on the seed, " + key + ", the path, the frame's flow and its place in it"
	if chain {
		s = "depends on the seed, " + key + ", the path and the frame's place on it"
	}
	return s + "; not on other rules"
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
