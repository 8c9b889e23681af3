package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

const (
	// again is how long after a signal another one counts as a second: timeout(1)
	// and process managers send one twice.
	again = 300 * time.Millisecond
	// grace is how long a command that is told to end has to end by itself. It
	// cannot while it waits for the other end of a pipe.
	grace = 1200 * time.Millisecond
)

// guard ends the process when it is told to end and does not do so by itself.
// Make it before a world runs: a signal handler that is installed later looks
// like an application's goroutine to it.
type guard struct {
	stderr  io.Writer
	cancel  context.CancelCauseFunc
	signals chan os.Signal
	done    chan struct{}

	mu   sync.Mutex
	left []string // what stands on the disk while the command is at work
	junk []string // files and directories that nobody misses
}

// newGuard returns a guard and the context that ends with the first signal. A
// second one ends the process at once; so does the first, after grace.
func newGuard(parent context.Context, stderr io.Writer, grace time.Duration) (context.Context, *guard) {
	ctx, cancel := context.WithCancelCause(parent)
	g := &guard{stderr: stderr, cancel: cancel, signals: make(chan os.Signal, 1), done: make(chan struct{})}
	signal.Notify(g.signals, syscall.SIGINT, syscall.SIGTERM)
	go g.watch(grace)
	return ctx, g
}

func (g *guard) watch(grace time.Duration) {
	var first time.Time
	var told syscall.Signal
	var over <-chan time.Time
	for {
		select {
		case <-g.done:
			return
		case <-over:
			g.exit(exitSignal+int(told), told.String())
		case sig := <-g.signals:
			told = sig.(syscall.Signal)
			switch {
			case first.IsZero():
				first, over = time.Now(), time.After(grace)
				g.cancel(interrupted{told})
			case time.Since(first) > again:
				g.exit(exitSignal+int(told), told.String())
			}
		}
	}
}

// stop ends the watch.
func (g *guard) stop() {
	signal.Stop(g.signals)
	g.cancel(nil)
	close(g.done)
}

// leaves names a file that stands there, unfinished, if the process ends now.
func (g *guard) leaves(path string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left = append(g.left, path)
}

// discards names a file or directory that goes if the process ends now.
func (g *guard) discards(path string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.junk = append(g.junk, path)
}

// within ends the process when a run takes longer than its wall limit, because
// nobody takes its recording: the run looks at the clock between its writes only,
// and the closing of the recording writes too.
func (g *guard) within(limit time.Duration) (stop func()) {
	t := time.AfterFunc(limit+5*grace, func() {
		g.exit(exitHarness, fmt.Sprintf("the wall limit of %v is over, and nobody takes the recording", limit))
	})
	return func() { t.Stop() }
}

// exit ends the process, and says what it leaves behind.
func (g *guard) exit(status int, why string) {
	g.mu.Lock() // for good
	for _, path := range g.junk {
		os.RemoveAll(path)
	}
	text := "vnreplay: " + why
	for _, path := range g.left {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			text += "; left unfinished: " + pcap.Printable(path)
		}
	}
	said := make(chan struct{})
	go func() {
		io.WriteString(g.stderr, text+"\n")
		close(said)
	}()
	select { // the standard error may be such a pipe, too
	case <-said:
	case <-time.After(grace / 4):
	}
	os.Exit(status)
}
