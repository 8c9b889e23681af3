package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Subject is one thing that is measured. Its methods are called in turn: Setup,
// Run, Teardown, and again for every repetition, so that nothing of one run is
// left for the next.
type Subject interface {
	// Name says in a few words what is measured; it is unique in its group.
	Name() string

	// Setup makes what a run needs. None of it is measured. An error made by
	// [Skip] says why the subject cannot be measured on this machine. After an
	// error Teardown is not called: what was made so far is Setup's to remove.
	Setup(ctx context.Context) error

	// Run measures once. It returns soon after ctx is done, with its error.
	Run(ctx context.Context) (Result, error)

	// Teardown removes what Setup and Run made: files, namespaces, goroutines.
	Teardown() error
}

// Result is what one run of a subject did.
type Result struct {
	// Frames that arrived at their receiver; 0 where only bytes can be counted.
	Frames uint64 `json:"frames,omitempty"`
	// Bytes that arrived: of payload where applications talk, and of frames with
	// their Ethernet header where frames do.
	Bytes uint64 `json:"bytes,omitempty"`
	// Elapsed is how long that took.
	Elapsed time.Duration `json:"elapsed_ns"`
	// CPU is the time of the processors, user and system, that this process and
	// the children it waited for used meanwhile. The kernel's own threads are in
	// nobody's account.
	CPU time.Duration `json:"cpu_ns"`
	// Lost counts frames that did not arrive or were not recorded, where nothing
	// was to be lost.
	Lost uint64 `json:"lost,omitempty"`
	// Drift is by how much of its planned length a schedule was longer than
	// planned: 0.01 is 1 %.
	Drift float64 `json:"drift,omitempty"`
	// Late is how late the latest frame of a schedule was, counted from the first.
	Late time.Duration `json:"late_ns,omitempty"`
}

// ErrSkipped is in errors of [Skip].
var ErrSkipped = errors.New("cannot be measured here")

// Skip returns an error that is [ErrSkipped], with the reason.
func Skip(format string, args ...any) error {
	return &skipped{fmt.Sprintf(format, args...)}
}

type skipped struct{ reason string }

func (s *skipped) Error() string        { return s.reason }
func (s *skipped) Is(target error) bool { return target == ErrSkipped }

// Watch takes the time of a run and its share of the processors.
type Watch struct {
	began time.Time
	cpu   time.Duration
}

// Start starts a watch.
func Start() Watch { return Watch{time.Now(), cpuTime()} }

// Stop returns what has passed since Start. The processors' time of children
// counts when they have been waited for.
func (w Watch) Stop() (elapsed, cpu time.Duration) {
	elapsed = time.Since(w.began)
	return elapsed, cpuTime() - w.cpu
}
