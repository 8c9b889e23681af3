//go:build unix

package bench

import (
	"syscall"
	"time"
)

// cpuTime is what this process and the children it has waited for have used of
// the processors, user and system (getrusage(2)).
func cpuTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil { // fails for a bad argument only
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}
