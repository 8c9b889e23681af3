package regress

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/vnreplay/vnreplay/pcap"
)

// TAP writes results as the Test Anything Protocol has them, version 13, which
// every reader of it knows: a plan, a line for each regression and, where it is
// not as expected, a block of YAML.
type TAP struct {
	w io.Writer
	n int
}

// NewTAP returns a writer of the protocol and writes its head, for n results.
func NewTAP(w io.Writer, n int) (*TAP, error) {
	_, err := fmt.Fprintf(w, "TAP version 13\n1..%d\n", n)
	return &TAP{w: w}, err
}

// Result writes one.
func (t *TAP) Result(r Result) error {
	t.n++
	var b strings.Builder
	// A # would begin a directive, a backslash escapes.
	name := strings.NewReplacer(`\`, `\\`, "#", `\#`).Replace(pcap.Printable(r.Path))
	if r.Outcome != OK {
		b.WriteString("not ")
	}
	fmt.Fprintf(&b, "ok %d - %s\n", t.n, name)
	if r.Outcome != OK {
		b.WriteString("  ---\n")
		field := func(key, value string) {
			text, _ := json.Marshal(value) // a text of JSON is one of YAML, too
			fmt.Fprintf(&b, "  %s: %s\n", key, text)
		}
		field("message", r.line())
		field("severity", "fail")
		field("outcome", string(r.Outcome))
		fmt.Fprintf(&b, "  exit_status: %d\n  duration_ms: %d\n", r.Outcome.Status(), r.Took.Milliseconds())
		if lines := r.details(); len(lines) > 0 {
			// How far the block is indented, its first line says; prove knows no
			// other way.
			lines[0] = strings.TrimLeft(lines[0], " ")
			b.WriteString("  report: |\n")
			for _, line := range lines {
				b.WriteString("    " + line + "\n")
			}
		}
		b.WriteString("  ...\n")
	} else {
		fmt.Fprintf(&b, "# %s\n", r.line())
		for _, line := range r.details() {
			b.WriteString("# " + line + "\n")
		}
	}
	_, err := io.WriteString(t.w, b.String())
	return err
}

// BailOut says that nothing more comes, and why.
func (t *TAP) BailOut(why string) error {
	_, err := fmt.Fprintf(t.w, "Bail out! %s\n", pcap.Printable(why))
	return err
}
