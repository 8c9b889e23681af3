package vnettest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// session is what a [Net] and a [Replay] have in common: a test, the recording of
// its world, and the functions that run in there.
type session struct {
	t    testing.TB
	seed uint64
	recs []*recording // of each switch
	dir  string       // for the recording, until the test ends; "" where nothing is recorded
	ran  bool
	stop context.CancelCauseFunc // ends the run

	mu       sync.Mutex
	failures []*failure // of functions, in order, before the run ended
}

// failure is the end of a function that was not a good one.
type failure struct {
	who   string
	at    time.Duration // on the world's clock, from its start
	err   error
	exit  bool   // by runtime.Goexit
	panic bool   // by a panic,
	stack []byte // there
}

func (f *failure) Error() string {
	after := fmt.Sprintf("after %v of virtual time", f.at)
	switch {
	case f.panic:
		return fmt.Sprintf("%s panicked %s: %v\n%s", f.who, after, f.err, f.stack)
	case f.exit:
		return fmt.Sprintf("%s ended by runtime.Goexit %s", f.who, after)
	}
	return fmt.Sprintf("%s, %s: %v", f.who, after, f.err)
}

// turn is held by the world that runs. Worlds queue for their process anyway; what
// is added here is that the process of a golden recording has its turn like a
// world: a world that began while one waits for a process to end would take that
// wait for part of the background, and have it end in its midst.
var turn = make(chan struct{}, 1)

// holder is the test whose turn it is.
var holder atomic.Pointer[string]

// start makes a session for a test, which calls cleanup when it ends.
func (s *session) start(t testing.TB, cleanup func()) {
	s.t = t
	if !fuzzing() && !inChild() {
		s.dir = t.TempDir() // its removal is a cleanup, too: the earlier one comes later
	}
	t.Cleanup(cleanup)
}

// inTurn calls f when no other world of this package is running.
func (s *session) inTurn(f func()) {
	s.t.Helper()
	name := s.t.Name()
	if h := holder.Load(); h != nil && (name == *h || strings.HasPrefix(name, *h+"/")) {
		s.t.Fatal("vnettest: another world of this test is running, and this one would wait for its end for ever: let its Run return first")
	}
	select {
	case turn <- struct{}{}:
	case <-s.t.Context().Done():
		s.t.Fatalf("vnettest: %v while waiting for another test's world", context.Cause(s.t.Context()))
	}
	holder.Store(&name)
	defer func() {
		holder.Store(nil)
		<-turn
	}()
	f()
}

// begin starts the recording. In a process of go test -fuzz there is none, and in
// one that makes a golden recording only that one.
func (s *session) begin(golden string, rules []string) {
	s.t.Helper()
	path := ""
	switch {
	case inChild():
		path = childPath(s.t, golden)
	case !fuzzing():
		path = filepath.Join(s.dir, "run.pcapng")
	}
	s.ran = true
	if path == "" {
		return
	}
	for _, r := range s.recs {
		if err := r.begin(r.file(path), s.seed, rules); err != nil {
			s.t.Fatalf("vnettest: making the recording: %v", err)
		}
	}
}

// recordingFailed reports whether err is that of a recording.
func (s *session) recordingFailed(err error) bool {
	return slices.ContainsFunc(s.recs, func(r *recording) bool { return errors.Is(err, r.err) })
}

// guard wraps a function that runs in the world, so that its error, its panic or
// its t.FailNow ends the run at once: what others would do until they notice, or
// wait for it in vain, would bury the cause.
func (s *session) guard(who string, background bool, elapsed func() time.Duration, fn func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		f := &failure{who: who, exit: true}
		defer func() {
			if r := recover(); r != nil {
				// Here the panic's own frames are still on the stack.
				f.panic, f.exit, f.stack = true, false, debug.Stack()
				if f.err, _ = r.(error); f.err == nil {
					f.err = fmt.Errorf("%v", r)
				}
				err = f
			}
			s.ended(ctx, f, elapsed())
		}()
		err = fn(ctx)
		f.exit = false
		if background && (errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed)) {
			err = nil // how a server's life ends
		}
		f.err = err
		return err
	}
}

// ended is told how a function ended.
func (s *session) ended(ctx context.Context, f *failure, at time.Duration) {
	over := ctx.Err() != nil
	switch {
	case f.err == nil && !f.exit:
		return
	case over && !f.panic && (!f.exit || !s.t.Failed()):
		return // a consequence of the end of the run
	}
	f.at = at
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, f)
	first, _, _ := strings.Cut(f.Error(), "\n") // the recording has room for a line
	s.stop(errors.New(first))
}

// end makes the recording whole, and reports what went wrong in a function. err is
// the run's; it is left to the caller where no function's failure explains it.
// With a function that ended by t.FailNow or t.SkipNow, it does the same, and with
// any other failure it ends the test.
func (s *session) end(err error) {
	s.t.Helper()
	for _, r := range s.recs {
		if cerr := r.Close(); cerr != nil && !errors.Is(err, cerr) {
			s.t.Errorf("vnettest: the recording: %v", cerr)
		}
	}
	s.mu.Lock()
	failures := s.failures
	s.mu.Unlock()
	if len(failures) > 0 && (errors.Is(err, vswitch.ErrStuck) || errors.Is(err, vswitch.ErrRealTime)) {
		s.t.Errorf("vnettest: %v", err) // no consequence
	}
	for _, f := range failures {
		switch {
		case !f.exit:
			s.t.Errorf("vnettest: %v", f)
		case s.t.Failed():
			s.t.FailNow()
		case s.t.Skipped():
			s.t.SkipNow()
		default:
			s.t.Errorf("vnettest: %v, and not by this test's t.FailNow, t.Fatal or t.SkipNow: call these of the t that was given to vnettest, or return an error", f)
		}
	}
	if len(failures) > 0 {
		s.t.FailNow()
	}
}

// finish keeps the recording or lets it go with the test, and says how to repeat
// what happened. It is the test's cleanup.
func (s *session) finish() {
	s.t.Helper()
	for _, r := range s.recs {
		r.Close()
	}
	failed := s.t.Failed()
	if !s.ran || inChild() || !failed && !*keepFlag {
		return
	}
	out := s.t.Output()
	if s.recs[0].path == "" {
		fmt.Fprintf(out, "vnettest: seed %d; nothing is recorded while fuzzing: run the failing input alone, with the command that go test prints\n", s.seed)
		return
	}
	paths, err := keep(s.t, s.recs)
	if err != nil {
		s.t.Errorf("vnettest: seed %d; keeping the recording: %v", s.seed, err)
	}
	for _, path := range paths {
		fmt.Fprintf(out, "vnettest: seed %d, recording: %s\n", s.seed, path)
		fmt.Fprintf(out, "  read it:  vnreplay show %s\n", quote(path))
	}
	if failed {
		fmt.Fprintf(out, "  again:    %s\n", command(s.t, fmt.Sprintf("-vnettest.seed=%d", s.seed)))
	}
}

// absolute resolves a path as it was meant when the test's package was started.
func absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(startDir, path)
}
