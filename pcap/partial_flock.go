//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pcap

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// openPartial opens the empty regular file path for one writer: it creates it,
// or takes over what a run that was killed left behind. release ends the claim;
// call it after the file has been closed and renamed.
//
// The claim is a lock (flock) on the open file, which ends with the process
// however that ends. It is only worth something while path names the locked file:
// another run may have renamed that between our open and our lock.
func openPartial(path string) (f *os.File, release func(), err error) {
	// No symbolic link is followed, and a pipe without a reader does not block.
	const safely = os.O_WRONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	const attempts = 100
	for range attempts {
		f, err = os.OpenFile(path, safely|os.O_CREATE|os.O_EXCL, 0o666)
		created := err == nil
		if errors.Is(err, os.ErrExist) {
			f, err = os.OpenFile(path, safely, 0)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
		}
		if err != nil {
			return nil, nil, notRegular(path, err)
		}
		release, err = claim(f, path, created)
		if err == nil {
			return f, release, nil
		}
		f.Close()
		if !errors.Is(err, errRenamed) {
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("%w %s", ErrBeingWritten, path)
}

// errRenamed: the path no longer names the file that was opened.
var errRenamed = errors.New("renamed meanwhile")

// claim locks f, makes sure that path still names it, and empties it.
func claim(f *os.File, path string, created bool) (release func(), err error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, notRegular(path, errRenamed)
	}
	lock, err := duplicate(f)
	if err != nil {
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	err = flock(lock)
	switch {
	case err == nil:
	case err == syscall.EWOULDBLOCK:
		err = fmt.Errorf("%w %s", ErrBeingWritten, path)
	case !errors.Is(err, errors.ErrUnsupported):
		err = &os.PathError{Op: "lock", Path: path, Err: err}
	case created:
		err = nil // a file system without locks: what we have made is ours
	default:
		err = fmt.Errorf("%w %s, or was killed; in that case remove the file", ErrBeingWritten, path)
	}
	if err == nil {
		now, lerr := os.Lstat(path)
		if lerr != nil || !os.SameFile(st, now) {
			err = errRenamed
		} else {
			err = f.Truncate(0)
		}
	}
	if err != nil {
		syscall.Close(lock)
		return nil, err
	}
	return func() { syscall.Close(lock) }, nil
}

// flock asks for an exclusive lock and does not wait for it.
func flock(fd int) error {
	for {
		if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err != syscall.EINTR {
			return err
		}
	}
}

// duplicate returns a second descriptor of the open file: closing f tells late
// errors of writing, and the lock has to last beyond that, until the rename.
func duplicate(f *os.File) (fd int, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := conn.Control(func(old uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, err = syscall.Dup(int(old)); err == nil {
			syscall.CloseOnExec(fd)
		}
	})
	return fd, errors.Join(err, cerr)
}
