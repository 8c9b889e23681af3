package vswitch

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"sync"
)

// One world runs in a process at a time: it needs the scheduler and the garbage
// collector for itself. Others wait for the claim.
var claim = make(chan struct{}, 1)

// procs guards changes of GOMAXPROCS.
var procs sync.Mutex

// seize waits for the claim, sets the process up for a deterministic run, and
// returns what restores it.
func seize(ctx context.Context) (restore func(), err error) {
	if ctx.Err() != nil { // or the select below would choose at random
		return nil, context.Cause(ctx)
	}
	select {
	case claim <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another world of this process to end: %w", ctx.Err())
	}
	procs.Lock()
	p := runtime.GOMAXPROCS(1)
	procs.Unlock()
	gc := debug.SetGCPercent(-1)
	limit := debug.SetMemoryLimit(math.MaxInt64)
	runtime.GC() // ends a collection that may be under way
	return func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(gc)
		procs.Lock()
		runtime.GOMAXPROCS(p)
		procs.Unlock()
		<-claim
	}, nil
}

// SingleP calls f with GOMAXPROCS 1. Some libraries (gVisor's TCP) size their
// set of worker goroutines by it when they start.
func SingleP(f func()) {
	procs.Lock()
	defer procs.Unlock()
	if p := runtime.GOMAXPROCS(0); p != 1 {
		runtime.GOMAXPROCS(1)
		defer runtime.GOMAXPROCS(p)
	}
	f()
}
