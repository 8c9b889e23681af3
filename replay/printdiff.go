package replay

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// printDivergences prints the first divergence with all that is known of it, and
// what followed in short.
func (r *Report) printDivergences(p *printer) {
	if len(r.Divergences) == 0 {
		return
	}
	d := r.Divergences[0]
	p.line("first divergence: %s", clip(d.Text, 300))
	if c := d.Conversation; c != nil {
		now := ""
		if d.Now.IsValid() {
			now = fmt.Sprintf(" (live from %v now)", d.Now)
			if r.files {
				now = fmt.Sprintf(" (%v in %s)", d.Now, r.Actual.Name)
			}
		}
		p.line("  conversation %d: %v%s", c.Number, c, now)
	}
	p.line("  %s", r.frameText(d))
	where := d.direction()
	if d.Offset >= 0 {
		what := "stream"
		if d.Conversation != nil && d.Conversation.Proto != TCP {
			what = "datagram"
		}
		where += fmt.Sprintf(", %s offset %d", what, d.Offset)
	}
	if d.Place != "" {
		where += ": " + d.Place
	}
	p.line("  %s", clip(where, 300))
	r.printFrames(p, d)
	if d.Expected != nil || d.Actual != nil {
		from := max(d.Offset, 0) - int64(len(d.Before))
		e := append(d.Before[:len(d.Before):len(d.Before)], d.Expected...)
		a := append(d.Before[:len(d.Before):len(d.Before)], d.Actual...)
		for _, row := range hexRows(e, a, from, 2) {
			p.line("%s", row)
		}
	}
	if d.Hint != "" {
		p.line("  hint: %s", clip(d.Hint, 300))
	}
	r.printConsequences(p, r.Divergences[1:])
}

// frameText says where the divergence is in the capture, and in the replay.
func (r *Report) frameText(d *Divergence) string {
	var s []string
	if d.Frame > 0 {
		t := fmt.Sprintf("frame %d of %s", d.Frame, r.Capture.Name)
		if d.CapturedAt >= 0 {
			t += fmt.Sprintf(" (at %v)", d.CapturedAt.Round(time.Microsecond))
		}
		s = append(s, t)
	}
	if n := d.ReplayedFrame(); n > 0 && (r.recorded || r.files) {
		name := "the recording"
		switch {
		case r.files:
			name = r.Actual.Name
		case r.Recording != "":
			name = r.Recording
		}
		s = append(s, fmt.Sprintf("frame %d of %s (at %v)", n, name, d.At.Round(time.Microsecond)))
	} else if !r.files {
		s = append(s, fmt.Sprintf("at %v of the replay", d.At.Round(time.Microsecond)))
	}
	return strings.Join(s, "; ")
}

// ReplayedFrame is the number of the frame of the replay in which the divergence
// is, as a recording of it has it; 0 for none.
func (d *Divergence) ReplayedFrame() int {
	for _, l := range d.Replayed {
		if l.Here {
			return l.Frame
		}
	}
	return 0
}

// Widths of the left one of two columns.
const (
	minColumn = 34
	maxColumn = 62
)

// printFrames prints the frames around a divergence in two columns, those in which
// it is beside each other.
func (r *Report) printFrames(p *printer, d *Divergence) {
	expected, actual := d.Captured, d.Replayed
	if len(expected)+len(actual) == 0 {
		return
	}
	e, a := here(expected), here(actual)
	before := max(e, a)
	width := minColumn
	var left, right []string
	rows := max(len(expected)-e, len(actual)-a) + before
	for i := range rows {
		l, x := r.column(expected, i-before+e), r.column(actual, i-before+a)
		left, right = append(left, l), append(right, x)
		width = min(max(width, utf8.RuneCountInString(l)), maxColumn)
	}
	side := "actual (< from the live side)"
	if r.files {
		side = fmt.Sprintf("actual (< from %v)", d.From)
	}
	p.line("  %-*s | %s", width, "expected", side)
	for i := range rows {
		l := clipRunes(left[i], width)
		p.line("%s", strings.TrimRight(fmt.Sprintf("  %s%s | %s", l, strings.Repeat(" ", width-utf8.RuneCountInString(l)), clipRunes(right[i], maxColumn)), " "))
	}
}

// here is the index of the line in which the divergence is, or where it would be.
func here(lines []Line) int {
	for i, l := range lines {
		if l.Here {
			return i
		}
	}
	return min(len(lines), framesBefore)
}

func (r *Report) column(lines []Line, i int) string {
	if i < 0 || i >= len(lines) {
		return ""
	}
	l := lines[i]
	mark, direction := " ", ">"
	if l.Here {
		mark = "!"
	}
	if l.Live {
		direction = "<"
	}
	number := fmt.Sprint(l.Frame)
	return fmt.Sprintf("%s%5s %s %s", mark, number, direction, l.Text)
}

func clipRunes(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// printConsequences prints in short what came after the first divergence.
func (r *Report) printConsequences(p *printer, rest []*Divergence) {
	if len(rest) == 0 {
		return
	}
	kinds := []Count{}
	for _, d := range rest {
		kinds = add(kinds, d.Kind)
	}
	p.line("  then, which may be its consequences: %s", counts(kinds))
	p.list(len(rest), func(i int) {
		d := rest[i]
		frame := ""
		if d.Frame > 0 {
			frame = fmt.Sprintf(" (frame %d)", d.Frame)
		}
		p.line("    %v %s: %s%s", d.At.Round(time.Microsecond), d.direction(), clip(d.Text, 160), frame)
	}, "    and %d more")
}
