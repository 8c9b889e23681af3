package regress

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/shell"
	"github.com/vnreplay/vnreplay/pcap"
)

// words begin the lines of a listing; those in capitals are to be found.
var words = map[Outcome]string{OK: "ok", Failed: "FAIL", Partial: "PARTIAL", Wrong: "ERROR", Harness: "HARNESS", NotRun: "not run"}

// Text writes a result for people: a line, and below it, indented, what is to be
// said of it.
func Text(w io.Writer, r Result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-7s  %s", words[r.Outcome], pcap.Printable(r.Path))
	switch r.Outcome {
	case NotRun:
	case Wrong: // the error names the file again
		fmt.Fprintf(&b, "  %s\n    %s", seconds(r.Took), r.What)
	default:
		fmt.Fprintf(&b, "  %s  %s", seconds(r.Took), r.line())
	}
	b.WriteByte('\n')
	for _, line := range r.details() {
		b.WriteString(strings.TrimRight("    "+line, " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// line is the result in one line.
func (r *Result) line() string {
	if r.StackOnly && r.Outcome != Wrong {
		return r.What + " (the stack only)"
	}
	return r.What
}

// details are the lines that stand below a result, 40 of them at most.
func (r *Result) details() []string {
	var out []string
	if len(r.Changed) > 0 {
		out = append(out, "updated:")
		for _, line := range r.Changed {
			out = append(out, "  "+line)
		}
	}
	if r.Outcome != OK {
		out = append(out, r.Report...)
		if r.Recording != "" {
			out = append(out, "recording: "+pcap.Printable(r.Recording))
		}
		if r.Outcome != Wrong && r.Outcome != NotRun && !r.Trial {
			out = append(out, "again: vnreplay test "+pcap.Printable(shell.File(r.Path)))
		}
	}
	return out
}

// seconds is a time with two decimals: "0.12s".
func seconds(d time.Duration) string { return fmt.Sprintf("%.2fs", d.Seconds()) }
