package vswitch

import (
	"context"
	"fmt"
	"runtime"
	"runtime/metrics"
	"time"
)

// settler waits until no goroutine but the caller's runs or can run. The
// runtime's own counts of goroutines say so (Go 1.26); reading them takes about
// 70 ns, and they cover goroutines of any library.
type settler struct {
	samples  []metrics.Sample
	baseline uint64 // goroutines in system calls or cgo that have nothing to do with the run
	ctx      context.Context
	deadline time.Time // of the run, in real time
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
	if notInGo < s.baseline {
		s.baseline = notInGo
	}
	return s.samples[0].Value.Uint64() <= 1 && s.samples[1].Value.Uint64() == 0 && notInGo <= s.baseline
}

// settle returns when nobody else runs or can run. It fails with ErrStuck when
// that takes longer than the run has left, and when the run is cancelled.
func (s *settler) settle() error {
	for i := 0; !s.quiet(); i++ {
		runtime.Gosched()
		// A busy goroutine gives way once in 10 ms only: look at the limits often.
		if i&0x3f != 0x3f {
			continue
		}
		if s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
		if time.Now().After(s.deadline) {
			return fmt.Errorf("%w: goroutines still run when the wall time limit passes: %s", ErrStuck, busyGoroutines())
		}
	}
	return nil
}
