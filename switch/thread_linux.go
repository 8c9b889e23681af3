package vswitch

import "syscall"

// threadID is the number of the operating system's thread the caller is on.
func threadID() int { return syscall.Gettid() }
