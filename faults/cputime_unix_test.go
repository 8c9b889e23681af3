//go:build unix

package faults_test

import (
	"syscall"
	"time"
)

// cpuTime is the processor time that the process has used: on a shared machine it
// says more of what something costs than the clock does.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
