//go:build unix

package tap

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// takeStdio takes descriptors 0 and 1 over. Something else is put in their place, so
// that nothing that the process prints ends up between the frames: it goes to
// standard error. The files do not block in the system, so that Close ends a call.
func takeStdio() (in, out *stdioFile, err error) {
	if in, err = moveDescriptor(unix.Stdin, "standard input"); err != nil {
		return nil, nil, err
	}
	if out, err = moveDescriptor(unix.Stdout, "standard output"); err != nil {
		in.Close()
		return nil, nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	if err == nil {
		err = unix.Dup2(int(null.Fd()), unix.Stdin)
		null.Close()
	}
	if err == nil {
		err = unix.Dup2(unix.Stderr, unix.Stdout)
	}
	if err != nil {
		in.Close()
		out.Close()
		return nil, nil, err
	}
	return in, out, nil
}

// stdioFile is a standard file that was moved to a descriptor of its own.
type stdioFile struct {
	*os.File
	keep    int // another descriptor of the file, for restoring, or -1
	closing sync.Mutex
}

// moveDescriptor makes a copy of fd that does not block. Whether a file blocks is a
// property that all have in common who have it, other processes too, so it is put
// back as it was on closing.
func moveDescriptor(fd int, name string) (*stdioFile, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	moved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	f := &stdioFile{keep: -1}
	if flags&unix.O_NONBLOCK == 0 {
		if f.keep, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err == nil {
			err = unix.SetNonblock(moved, true)
		}
		if err != nil {
			unix.Close(moved)
			return nil, os.NewSyscallError("fcntl", err)
		}
	}
	f.File = os.NewFile(uintptr(moved), name)
	return f, nil
}

// Close lets go of the file and leaves it as it was found: after the last call of
// Read or Write, which would otherwise wait in the system.
func (f *stdioFile) Close() error {
	f.closing.Lock()
	defer f.closing.Unlock()
	err := f.File.Close()
	if f.keep >= 0 {
		if rerr := unix.SetNonblock(f.keep, false); err == nil {
			err = rerr
		}
		unix.Close(f.keep)
		f.keep = -1
	}
	return err
}
