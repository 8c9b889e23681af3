package regress

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// Options say how regressions are run.
type Options struct {
	Jobs  int           // processes at a time
	Limit time.Duration // of wall time, for each; beyond it, the process is ended
	// Command makes the process of one regression. It writes a Result as JSON to
	// its standard output.
	Command func(path string) *exec.Cmd
	// Began and Ended are called as processes come and go, Done with each result,
	// in the order of the paths. No two of them at once.
	Began, Ended func(path string, r *Result)
	Done         func(r Result)
}

// patience is how long a process that is told to end has to do so. The command
// itself has about a second (it may be told with a signal, too).
const patience = 400 * time.Millisecond

// Run runs the regressions and returns their results, in the order of the paths.
// When ctx ends, the processes are ended, by their ids, and what has not come to
// its end is [NotRun].
func Run(ctx context.Context, paths []string, o Options) []Result {
	results := make([]Result, len(paths))
	ready := make([]bool, len(paths))
	var mu sync.Mutex
	next := 0 // the first whose result has not been handed on
	work := make(chan int)
	var wg sync.WaitGroup
	for range min(o.Jobs, len(paths)) {
		wg.Go(func() {
			for i := range work {
				mu.Lock()
				o.Began(paths[i], nil)
				mu.Unlock()
				r := one(ctx, paths[i], o)
				mu.Lock()
				results[i], ready[i] = r, true
				o.Ended(paths[i], &r)
				for ; next < len(paths) && ready[next]; next++ {
					o.Done(results[next])
				}
				mu.Unlock()
			}
		})
	}
feed:
	for i := range paths {
		select {
		case work <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(work)
	wg.Wait()
	for ; next < len(paths); next++ {
		if !ready[next] {
			results[next] = notRun(paths[next])
		}
		o.Done(results[next])
	}
	return results
}

func notRun(path string) Result {
	return Result{Path: path, Outcome: NotRun, What: "interrupted before its end"}
}

// one runs one regression in its process.
func one(ctx context.Context, path string, o Options) Result {
	if ctx.Err() != nil {
		return notRun(path)
	}
	began := time.Now()
	cmd := o.Command(path)
	out, errs := &bounded{most: 8 << 20}, &bounded{most: 64 << 10}
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.WaitDelay = patience // whoever else holds its output open
	err := cmd.Start()
	var late bool
	if err == nil {
		late, err = wait(ctx, cmd, o.Limit)
	}
	r := Result{}
	switch jsonErr := json.Unmarshal(out.Bytes(), &r); {
	case ctx.Err() != nil:
		return notRun(path)
	case late:
		r = Result{Outcome: Harness, What: fmt.Sprintf("ended by force: it took more than %v of wall time", o.Limit)}
		r.Say(lines(errs.String()))
	case jsonErr != nil || r.Outcome == "":
		if err == nil {
			err = fmt.Errorf("it said nothing")
		}
		r = Result{Outcome: Harness, What: fmt.Sprintf("its process failed: %v", err)}
		r.Say(lines(errs.String()))
	}
	r.Path, r.Took = path, time.Since(began)
	return r
}

// lines makes every line of a text printable.
func lines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(pcap.Printable(strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\t", "    ")) + "\n")
	}
	return b.String()
}

// wait waits for a process. It is told to end when the context or its time is
// over, and killed if it does not.
func wait(ctx context.Context, cmd *exec.Cmd, limit time.Duration) (late bool, err error) {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return false, err
	case <-ctx.Done():
	case <-timer.C:
		late = true
	}
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-done:
		return late, err
	case <-time.After(patience):
	}
	cmd.Process.Kill()
	return late, <-done
}

// bounded keeps the beginning of what is written.
type bounded struct {
	bytes.Buffer
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(b.most-b.Len(), 0))])
	return len(p), nil
}
