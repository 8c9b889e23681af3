package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// execProc is one process, with what is on its way to it. Its ends of pipes are
// plain descriptors that never block: a goroutine in the runtime's poller would be
// one that waits in real time without the world knowing.
type execProc struct {
	process   *os.Process
	in, out_  int // descriptors of ours; -1: closed. For datagrams they are one.
	datagrams bool
	out       chan []byte   // what it wrote
	done      chan struct{} // closed when it has ended

	mu      sync.Mutex
	pending [][]byte // for its input
	size    int      // of pending
	eof     bool     // nothing follows pending
	ended   bool
	closed  bool // out is
}

// Bounds of what waits between a process and its connection.
const (
	maxPending = 1 << 20 // bytes for a process that does not read
	maxQueue   = 1 << 12 // writes of a process that are not said yet
)

// startProc starts a command in a shell, in a process group of its own.
func startProc(command string, local, remote net.Addr, datagrams bool) (*execProc, error) {
	p := &execProc{datagrams: datagrams, out: make(chan []byte, maxQueue), done: make(chan struct{})}
	var theirs [2]int
	if datagrams {
		var pair [2]int
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		p.in, p.out_, theirs = pair[0], pair[0], [2]int{pair[1], pair[1]}
	} else {
		var in, out [2]int
		if err := syscall.Pipe2(in[:], syscall.O_CLOEXEC); err != nil {
			return nil, err
		}
		if err := syscall.Pipe2(out[:], syscall.O_CLOEXEC); err != nil {
			syscall.Close(in[0])
			syscall.Close(in[1])
			return nil, err
		}
		p.in, p.out_, theirs = in[1], out[0], [2]int{in[0], out[1]}
	}
	syscall.SetNonblock(p.in, true)
	syscall.SetNonblock(p.out_, true)
	stdin := os.NewFile(uintptr(theirs[0]), "stdin")
	stdout := stdin
	if !datagrams {
		stdout = os.NewFile(uintptr(theirs[1]), "stdout")
	}
	process, err := os.StartProcess("/bin/sh", []string{"sh", "-c", command}, &os.ProcAttr{
		Files: []*os.File{stdin, stdout, os.Stderr},
		Env:   append(os.Environ(), "VNREPLAY_LOCAL="+local.String(), "VNREPLAY_REMOTE="+remote.String()),
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	stdin.Close()
	if !datagrams {
		stdout.Close()
	}
	if err != nil {
		p.closeIn()
		p.closeOut()
		return nil, err
	}
	p.process = process
	return p, nil
}

// input gives the process what came.
func (p *execProc) input(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(b) == 0 && !p.datagrams || p.ended {
		return
	}
	p.pending = append(p.pending, append([]byte(nil), b...))
	p.size += len(b)
	p.feed()
}

// inputEnds closes the process's input behind what came.
func (p *execProc) inputEnds() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.eof = true
	p.feed()
}

// full reports whether the process does not keep up.
func (p *execProc) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size > maxPending && !p.ended
}

// gone reports whether the process has ended.
func (p *execProc) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// feed writes what it takes. p.mu is held.
func (p *execProc) feed() {
	for len(p.pending) > 0 && p.in >= 0 {
		n, err := syscall.Write(p.in, p.pending[0])
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN {
			return
		}
		if err != nil { // it does not read any more
			p.closeIn()
			break
		}
		p.size -= n
		if p.pending[0] = p.pending[0][n:]; len(p.pending[0]) == 0 {
			p.pending = p.pending[1:]
		}
	}
	if p.eof && p.in >= 0 || p.in < 0 {
		p.closeIn()
		p.pending, p.size = nil, 0
	}
}

func (p *execProc) closeIn() {
	if p.in >= 0 && !p.datagrams {
		syscall.Close(p.in)
	}
	if !p.datagrams {
		p.in = -1
	}
}

func (p *execProc) closeOut() {
	if p.out_ >= 0 {
		syscall.Close(p.out_)
	}
	p.out_ = -1
	if p.datagrams {
		p.in = -1
	}
}

// move moves what can be moved, and reports whether the process is still there. The
// error is its failure.
func (p *execProc) move() (alive bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.feed()
	for p.out_ >= 0 && len(p.out) < cap(p.out) {
		buf := make([]byte, 64<<10)
		n, err := syscall.Read(p.out_, buf)
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN {
			break
		}
		if err != nil || n == 0 {
			p.closeOut()
			break
		}
		p.out <- buf[:n]
	}
	var status syscall.WaitStatus
	pid, werr := syscall.Wait4(p.process.Pid, &status, syscall.WNOHANG, nil)
	if pid != p.process.Pid && !errors.Is(werr, syscall.ECHILD) {
		if p.out_ < 0 && !p.closed {
			p.closed = true
			close(p.out)
		}
		return true, nil
	}
	if p.out_ >= 0 && p.readable() {
		return true, p.reaped(status) // its last words first; the next wait finds no child
	}
	p.finish()
	return false, p.reaped(status)
}

// readable reports whether there is more output at once.
func (p *execProc) readable() bool {
	fds := []pollFD{{fd: int32(p.out_), events: pollIn}}
	poll(fds, 0)
	return fds[0].revents&pollIn != 0
}

// reaped is the failure of a process that has ended. One that is told by a signal
// that nobody reads any more has not failed.
func (p *execProc) reaped(s syscall.WaitStatus) error {
	switch {
	case s.Exited() && s.ExitStatus() != 0 && s.ExitStatus() != 128+int(syscall.SIGPIPE):
		return fmt.Errorf("exit status %d", s.ExitStatus())
	case s.Signaled() && s.Signal() != syscall.SIGPIPE:
		return fmt.Errorf("ended by signal: %v", s.Signal())
	}
	return nil
}

// finish closes all. p.mu is held.
func (p *execProc) finish() {
	if p.ended {
		return
	}
	p.ended = true
	p.closeIn()
	p.closeOut()
	if !p.closed {
		p.closed = true
		close(p.out)
	}
	close(p.done)
	p.process.Release()
}

// kill ends the process and what it started.
func (p *execProc) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	syscall.Kill(-p.process.Pid, syscall.SIGKILL)
	for {
		if _, err := syscall.Wait4(p.process.Pid, nil, 0, nil); err != syscall.EINTR {
			break
		}
	}
	p.finish()
}

// waitForOutput waits in a system call until a process has written something, or can
// take more, for at most d.
func waitForOutput(procs []*execProc, d time.Duration) {
	var fds []pollFD
	for _, p := range procs {
		p.mu.Lock()
		if p.out_ >= 0 {
			fds = append(fds, pollFD{fd: int32(p.out_), events: pollIn})
		}
		if p.in >= 0 && len(p.pending) > 0 {
			fds = append(fds, pollFD{fd: int32(p.in), events: pollOut})
		}
		p.mu.Unlock()
	}
	poll(fds, d)
}

// pollFD is poll(2)'s.
type pollFD struct {
	fd              int32
	events, revents int16
}

const pollIn, pollOut = 1, 4

func poll(fds []pollFD, d time.Duration) {
	at := syscall.NsecToTimespec(int64(d))
	var first unsafe.Pointer
	if len(fds) > 0 {
		first = unsafe.Pointer(&fds[0])
	}
	syscall.Syscall6(syscall.SYS_PPOLL, uintptr(first), uintptr(len(fds)), uintptr(unsafe.Pointer(&at)), 0, 0, 0)
}
