package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/regress"
	"github.com/vnreplay/vnreplay/pcap"
)

// bar is the line on a terminal that says how far the regressions are.
type bar struct {
	w           io.Writer // nil: not a terminal
	total, over int
	bad         int
	running     []string
}

func newBar(w io.Writer, total int) *bar {
	b := &bar{total: total}
	if isTerminal(w) {
		b.w = w
	}
	return b
}

// isTerminal reports whether somebody sees a line that is written over and over.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (b *bar) began(path string) {
	b.running = append(b.running, path)
	b.draw()
}

func (b *bar) ended(path string, o regress.Outcome) {
	if i := slices.Index(b.running, path); i >= 0 {
		b.running = slices.Delete(b.running, i, i+1)
	}
	b.over++
	if o != regress.OK {
		b.bad++
	}
	b.draw()
}

// draw writes the line; what is there is written over.
func (b *bar) draw() {
	if b.w == nil {
		return
	}
	const long = 20
	done := b.over * long / b.total
	text := fmt.Sprintf("[%s%s] %d/%d", strings.Repeat("=", done), strings.Repeat(" ", long-done), b.over, b.total)
	if b.bad > 0 {
		text += fmt.Sprintf(" %d not ok", b.bad)
	}
	for _, path := range b.running {
		text += " " + pcap.Printable(path)
	}
	fmt.Fprintf(b.w, "\r%s%s", eraseLine, clip(text, width-1))
}

// clear takes the line away.
func (b *bar) clear() {
	if b.w != nil {
		fmt.Fprintf(b.w, "\r%s", eraseLine)
	}
}

const eraseLine = "\x1b[K" // to its end (ECMA-48, EL)
