package vswitch

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"runtime/metrics"
	"time"
)

// settler waits until no goroutine but the caller's runs or can run. The
// runtime's own counts of goroutines say so (Go 1.26); reading them takes about
// 70 ns, and they cover goroutines of any library.
//
// The counts have one hole. A goroutine that was in a system call for so long
// that another thread took over is in none of them from the end of the call until
// its own thread has put it on the run queue; on a loaded machine that may take
// milliseconds. When there may have been such a call, the states of all
// goroutines have the last word: they show it as runnable.
type settler struct {
	samples  []metrics.Sample
	baseline uint64 // goroutines in system calls or cgo that have nothing to do with the run
	ctx      context.Context
	deadline time.Time // of the run, in real time
	suspect  bool      // somebody may be on the way back from a system call
	thread   int       // that the loop was on when that was last looked into
	buf      []byte    // for dumps of all goroutines, which take megabytes when there are thousands

	collections collections

	older map[string]bool // goroutines that were there before the run, by their number
	look  time.Time       // not before is the baseline looked into again, in real time
}

const (
	metricRunning  = "/sched/goroutines/running:goroutines"
	metricRunnable = "/sched/goroutines/runnable:goroutines"
	metricNotInGo  = "/sched/goroutines/not-in-go:goroutines"
)

// start takes the baseline: signal handlers and blocked reads of a terminal
// count as "not in Go" for as long as the process lives. The minimum of many
// samples leaves out what just passes through a system call.
func (s *settler) start(ctx context.Context, deadline time.Time) {
	s.samples = []metrics.Sample{{Name: metricRunning}, {Name: metricRunnable}, {Name: metricNotInGo}}
	s.ctx, s.deadline = ctx, deadline
	s.collections.start()
	s.baseline = 1 << 63
	for range 1000 {
		metrics.Read(s.samples)
		s.baseline = min(s.baseline, s.samples[2].Value.Uint64())
		runtime.Gosched()
	}
}

// quiet reports whether, at this moment, nobody else runs or can run.
func (s *settler) quiet() bool {
	metrics.Read(s.samples)
	notInGo := s.samples[2].Value.Uint64()
	s.baseline = min(s.baseline, notInGo)
	s.suspect = s.suspect || notInGo > s.baseline
	return s.samples[0].Value.Uint64() <= 1 && s.samples[1].Value.Uint64() == 0 && notInGo <= s.baseline
}

// patience is how long others may be in system calls, in real time, until the settler looks
// whether they have anything to do with the run.
const patience = 2 * time.Millisecond

// settle returns when nobody else runs or can run. It fails with ErrStuck when
// that takes longer than the run has left, and when the run is cancelled.
func (s *settler) settle() error {
	var look time.Time
	for i := 0; ; i++ {
		// If it is quiet at once, nobody else has run since it was the last time.
		// A dump of all goroutines ends with a look at what has come for those that wait for
		// real files: who was in a system call may wait for one of these now, which is there.
		if s.quiet() && (i == 0 && !s.suspect || s.atRest() && s.quiet()) {
			if !s.collections.begun() {
				return nil
			}
			s.collections.await()
		}
		runtime.Gosched()
		// A busy goroutine gives way once in 10 ms only: look at the limits often.
		if i&0x3f != 0x3f {
			continue
		}
		if s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
		now := time.Now()
		if look.IsZero() {
			look = now.Add(patience)
		}
		if s.samples[2].Value.Uint64() > s.baseline && now.After(look) && now.After(s.look) {
			s.rebase(now)
		}
		if now.After(s.deadline) {
			return fmt.Errorf("%w: goroutines still run when the wall time limit passes: %s", ErrStuck, busyGoroutines())
		}
	}
}

// rebase raises the baseline again when all who are in system calls are older than the run:
// one that waits in one for long, as the reader of a CPU profile does, may have come back
// for a moment, by which quiet lowered it. It takes at most a twentieth of the time.
func (s *settler) rebase(began time.Time) {
	if st := s.states(); st.newerInCalls == 0 {
		s.baseline = max(s.baseline, st.olderInCalls)
	}
	s.look = time.Now().Add(20 * time.Since(began))
}

// atRest makes sure that quiet told the truth. That another thread took over for
// a system call is seen from the loop being on another one itself, or from the
// call having been counted. It may have been counted for an older goroutine's, which
// had come back from one.
func (s *settler) atRest() bool {
	if !s.suspect && threadID() == s.thread {
		return true
	}
	st := s.states()
	s.suspect = st.active || st.newerInCalls > 0
	s.thread = threadID()
	return !s.suspect
}

// states is what goroutines do, but for the caller.
type states struct {
	active                     bool   // one runs or can run
	olderInCalls, newerInCalls uint64 // in system calls, older than the run and not
}

// waitsForGood reports whether a goroutine is one that waits in a system call for as long as
// the process lives, or a profile is made, and that comes into being when the first asks for it.
func waitsForGood(part []byte) bool {
	return bytes.Contains(part, []byte("\nos/signal.loop(")) || bytes.Contains(part, []byte("\nruntime/pprof.profileWriter("))
}

func (s *settler) states() (st states) {
	for part := range others(stacks(&s.buf)) {
		id, state := header(part)
		switch string(state) {
		case "running", "runnable":
			st.active = true
		case "syscall":
			if s.older[string(id)] || waitsForGood(part) {
				st.olderInCalls++
			} else {
				st.newerInCalls++
			}
		}
	}
	return st
}
