package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
)

// What people's output has at most.
const (
	width = 80 // columns
	most  = 20 // lines of a table or list
)

// runOutcome is what the verb run has to say.
type runOutcome struct {
	Scenario  string           `json:"scenario"`
	Result    *scenario.Result `json:"result"`
	Recording string           `json:"recording,omitempty"` // where it is kept
	// Recordings are those of several switches, in their order, in place of Recording.
	Recordings []string `json:"recordings,omitempty"`
	Whole      bool     `json:"whole"` // what is recorded was written to its end
	// Broken are those that were not written to their end.
	Broken []string `json:"not_whole,omitempty"`
	Repeat *repeat  `json:"check,omitempty"`
	Error  string   `json:"error,omitempty"` // what ended the run
}

// recorded says where the recordings are kept.
func (o *runOutcome) recorded(paths []string) {
	o.Recording, o.Recordings = "", nil
	switch len(paths) {
	case 0:
	case 1:
		o.Recording = paths[0]
	default:
		o.Recordings = paths
	}
}

func (r *runner) print(o *runOutcome) error {
	switch {
	case r.json:
		return writeJSON(r.stdout, o)
	case r.out == "-":
		return o.write(r.stderr)
	}
	return o.write(r.stdout)
}

// write writes the summary for people.
func (o *runOutcome) write(w io.Writer) error {
	var b strings.Builder
	res := o.Result
	fmt.Fprintf(&b, "%s, seed %d\n\n", clip(pcap.Printable(o.Scenario), width-30), res.Seed)
	fmt.Fprintf(&b, "frames %d (%s), %v virtual in %v wall time\n", res.Frames, bytesText(res.Bytes),
		res.Virtual, round(res.Wall))
	for i, sw := range res.Switches {
		if i == most {
			fmt.Fprintf(&b, "  on %d more\n", len(res.Switches)-i)
			break
		}
		fmt.Fprintf(&b, "  on %s %d (%s)\n", clip(pcap.Printable(sw.Name), width-40), sw.Frames, bytesText(sw.Bytes))
	}
	fmt.Fprintf(&b, "TCP    %s, %s, %s\n", count(res.TCP.Retransmits, "retransmit"),
		count(res.TCP.Resets, "reset"), count(res.TCP.ChecksumErrors, "checksum error"))
	if text := lostWithoutRule(res.Lost); text != "" {
		fmt.Fprintf(&b, "lost   %s\n", text)
	}
	if res.Unordered > 0 {
		fmt.Fprintf(&b, "order  of %s came from the Go scheduler, not from the world\n", count(res.Unordered, "call"))
	}
	if n := res.CutOff; n > 0 {
		fmt.Fprintf(&b, "warning: last bytes of %s were never acknowledged\n", count(n, "closed connection"))
	}
	writeRules(&b, res)
	writeApps(&b, res.Apps)
	if o.Repeat != nil {
		switch r := o.Repeat; {
		case r.Same:
			fmt.Fprintf(&b, "\ncheck: a second run in a fresh process gave the same %d bytes\n", r.Bytes)
		case r.Error != "":
			fmt.Fprintf(&b, "\ncould not check: %s\n", r.Error)
		default:
			fmt.Fprintf(&b, "\ncheck: the run does NOT repeat: %s\n", pcap.Printable(r.Why))
		}
	}
	writeFailures(&b, res.Failures)
	kept := o.Recordings
	if o.Recording != "" && o.Recording != "-" {
		kept = []string{o.Recording}
	}
	for i, path := range kept {
		what := "recording"
		if slices.Contains(o.Broken, path) {
			what = "recording, not whole"
		}
		switch i {
		case 0:
			b.WriteByte('\n')
		case most:
			what = fmt.Sprintf("and %d more, the last", len(kept)-i)
			path = kept[len(kept)-1]
		}
		fmt.Fprintf(&b, "%s: %s\n", what, pcap.Printable(path))
		if i == most {
			break
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// lostWithoutRule says what was lost without a rule, or is "".
func lostWithoutRule(l scenario.LostResult) string {
	var parts []string
	for _, x := range []struct {
		n           uint64
		what, where string
	}{
		{l.Queue, "frame", "to full queues"}, {l.Down, "frame", "to pulled cables"}, {l.MTU, "frame", "for their length"},
		{l.NotForwarded, "packet", "in routers"},
	} {
		if x.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", count(x.n, x.what), x.where))
		}
	}
	return strings.Join(parts, ", ")
}

// writeFailures writes what is not as expected. Applications that wait for each
// other are many, and all for one reason: of those that did not finish there are few.
func writeFailures(b *strings.Builder, failures []scenario.Failure) {
	if len(failures) == 0 {
		return
	}
	fmt.Fprintf(b, "\nFAILED\n")
	const mostUnfinished = 5
	written, unfinished := 0, 0
	for _, f := range failures {
		if f.Unfinished() {
			if unfinished++; unfinished > mostUnfinished {
				continue
			}
		}
		if written++; written <= most {
			fmt.Fprintf(b, "  %v\n", f)
		}
	}
	if n := unfinished - mostUnfinished; n > 0 {
		fmt.Fprintf(b, "  and %s more that did not finish\n", count(uint64(n), "application"))
	}
	if written > most {
		fmt.Fprintf(b, "  and %d more\n", written-most)
	}
}

func writeRules(b *strings.Builder, res *scenario.Result) {
	if len(res.Rules) == 0 {
		return
	}
	b.WriteByte('\n')
	var rows []ruleRow
	for _, r := range res.Rules {
		asked := strconv.FormatUint(r.Matched, 10)
		if r.Idle {
			asked = "-"
		}
		rows = append(rows, ruleRow{asked: asked, counts: countsOf(r.Affected),
			text: strconv.Itoa(r.Number) + " " + pcap.Printable(r.Text)})
	}
	var all *ruleRow
	if len(rows) > 1 {
		all = &ruleRow{asked: "frames", counts: countsOf(res.Affected), text: "affected"}
	}
	writeRuleTable(b, rows, all)
	var warnings []string
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	for _, r := range res.Rules {
		switch {
		case !r.Added:
			warn("rule %d was not added before the run ended", r.Number)
		case r.Idle:
			warn("rule %d does nothing: its probability is 0, so it is not asked", r.Number)
		case r.Matched == 0:
			warn("rule %d never matched: no frame is what it is about", r.Number)
		case r.Frames+r.Refused == 0:
			warn("rule %d never hit any of the %d it was asked about", r.Number, r.Matched)
		}
	}
	const mostWarnings = 8
	for i, w := range warnings {
		if i == mostWarnings {
			fmt.Fprintf(b, "warning: and %d more rules did nothing\n", len(warnings)-i)
			break
		}
		fmt.Fprintf(b, "warning: %s\n", w)
	}
}

// ruleRow is a row of the table of rules.
type ruleRow struct {
	asked  string // "" where it is not known
	counts []uint64
	text   string
}

// ruleColumns are the heads of the columns of counts: the first three are always
// there, the others where there is something to count.
var ruleColumns = []string{"drop", "dup", "corrupt", "trunc", "pad", "delay", "reord", "refused"}

func countsOf(a scenario.Affected) []uint64 {
	return []uint64{a.Dropped, a.Duplicated, a.Corrupted, a.Truncated, a.Padded, a.Delayed, a.Reordered, a.Refused}
}

// writeRuleTable writes what rules did, and below it, if not nil, all together.
func writeRuleTable(b *strings.Builder, rows []ruleRow, all *ruleRow) {
	const always = 3
	shown := func(column int) bool {
		return column < always || slices.ContainsFunc(rows, func(r ruleRow) bool { return r.counts[column] > 0 })
	}
	t := newTable(tabwriter.AlignRight)
	line := func(asked string, cell func(column int) string, text string) {
		if rows[0].asked != "" {
			fmt.Fprintf(t, "%s\t", asked)
		}
		for i := range ruleColumns {
			if shown(i) {
				fmt.Fprintf(t, "%s\t", cell(i))
			}
		}
		fmt.Fprintf(t, "  %s\n", clip(text, width))
	}
	row := func(r ruleRow) {
		line(r.asked, func(i int) string { return strconv.FormatUint(r.counts[i], 10) }, r.text)
	}
	line("asked", func(i int) string { return ruleColumns[i] }, "rule")
	for i, r := range rows {
		if i == most {
			line("", func(int) string { return "" }, fmt.Sprintf("and %d more", len(rows)-most))
			break
		}
		row(r)
	}
	if all != nil {
		row(*all)
	}
	t.writeTo(b)
}

func writeApps(b *strings.Builder, apps []scenario.AppResult) {
	if len(apps) == 0 {
		return
	}
	b.WriteByte('\n')
	t := newTable(0)
	fmt.Fprintf(t, "app\thost\tkind\toutcome\n")
	for i := range apps {
		if i == most {
			fmt.Fprintf(t, "and %d more\n", len(apps)-most)
			break
		}
		a := &apps[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", clip(a.Name, 14), clip(a.Host, 12), a.Kind, appOutcome(a))
	}
	t.writeTo(b)
}

// table lines up columns and keeps to the width.
type table struct {
	*tabwriter.Writer
	text *strings.Builder
}

func newTable(flags uint) table {
	text := &strings.Builder{}
	return table{tabwriter.NewWriter(text, 0, 0, 2, ' ', flags), text}
}

func (t table) writeTo(b *strings.Builder) {
	t.Flush()
	for line := range strings.Lines(t.text.String()) {
		b.WriteString(clip(strings.TrimRight(line, " \n"), width) + "\n")
	}
}

// operations are what each kind of application counts.
var operations = map[string]string{
	"http-server": "request", "http-get": "request",
	"echo-server": "connection", "echo": "message",
	"bulk-server": "transfer", "bulk": "transfer",
	"udp-echo-server": "datagram", "udp-echo": "datagram",
	"ping": "request",
}

// appOutcome is one short line on what an application did.
func appOutcome(a *scenario.AppResult) string {
	parts := []string{count(uint64(a.OK), operations[a.Kind]) + " ok"}
	if a.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d FAILED", a.Failed))
	}
	if a.Lost > 0 {
		parts = append(parts, fmt.Sprintf("%d lost", a.Lost))
	}
	if n := max(a.Sent, a.Received); n > 0 && a.OK > 0 {
		parts = append(parts, bytesText(uint64(n)))
	}
	switch {
	case !a.Server && !a.Finished:
		parts = append(parts, "NOT FINISHED")
	case !a.Server:
		parts = append(parts, "took "+round(a.Took).String())
	}
	return strings.Join(parts, ", ")
}

// count writes a number with its noun.
func count(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// bytesText writes a number of bytes in the unit that leaves it readable.
func bytesText(n uint64) string {
	switch {
	case n < 10_000:
		return count(n, "byte")
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1_000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// round leaves three or four digits of a time.
func round(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 10_000 {
		unit *= 10
	}
	return d.Round(unit)
}

// clip shortens a text to n columns, marking the cut.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
