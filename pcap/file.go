package pcap

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// File is a file being written. It has its name only when it is whole: until
// Close has succeeded it is called PATH.partial, so that a run that was killed,
// or a full disk, leaves nothing that looks like a result. Standard output,
// pipes and devices are written directly.
//
// One run at a time writes PATH.partial: it is locked, and another that wants it
// gets an [ErrBeingWritten]. What a killed run left there is written over. (Where
// the system has no flock, an existing PATH.partial has to be removed by hand.)
//
// It is not synced to the disk before it gets its name: a crash of the machine
// may cost the last seconds, a crash of the program does not.
type File struct {
	f       *os.File
	path    string // where it is to be
	partial string // where it is, if it is to be renamed
	release func() // ends the claim to partial
	closed  bool
	err     error
}

// ErrBeingWritten: another run is writing the file, under its provisional name.
// Compare with [errors.Is].
var ErrBeingWritten = errors.New("another run is writing")

var _ io.WriteCloser = (*File)(nil)

// CreateFile creates the file path, or opens it when it is a pipe or a device;
// "-" is the standard output, which Close leaves open. What stands at path stays
// there until Close; where path is a symbolic link, what it points to is replaced.
// Opening a named pipe waits for its reader; see [CreateFileContext].
//
// The error is [ErrBeingWritten], or the operating system's; also when
// PATH.partial is a symbolic link, or otherwise no regular file, and when the name
// promises a compressed file (.gz, .zst), which a File is not.
func CreateFile(path string) (*File, error) {
	return CreateFileContext(context.Background(), path)
}

// CreateFileContext is [CreateFile], but it waits for the reader of a named pipe no
// longer than ctx lasts; the error is then ctx's cause.
func CreateFileContext(ctx context.Context, path string) (*File, error) {
	if path == "-" {
		return &File{f: os.Stdout, path: "standard output"}, nil
	}
	if isSpecial(path) {
		f, err := openSpecial(ctx, path)
		if err != nil {
			return nil, err
		}
		return &File{f: f, path: path}, nil
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".gz", ".zst":
		return nil, &os.PathError{Op: "create", Path: path, Err: errors.New("it is not compressed; leave the ending out")}
	}
	target := path
	if t, err := filepath.EvalSymlinks(path); err == nil {
		target = t
	}
	if st, err := os.Stat(target); err == nil && st.IsDir() {
		return nil, &os.PathError{Op: "create", Path: path, Err: errors.New("is a directory")}
	}
	partial := target + ".partial"
	f, release, err := openPartial(partial)
	if err != nil {
		return nil, err
	}
	return &File{f: f, path: target, partial: partial, release: release}, nil
}

// openSpecial opens a pipe or a device. A pipe is opened without blocking, again and
// again until somebody reads from it: an open that blocks cannot be called off, nor can
// a write to what it opened.
func openSpecial(ctx context.Context, path string) (*os.File, error) {
	if st, err := os.Stat(path); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
		return os.OpenFile(path, os.O_WRONLY, 0)
	}
	const pause = 20 * time.Millisecond
	for {
		f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if !errors.Is(err, syscall.ENXIO) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, &os.PathError{Op: "wait for a reader of", Path: path, Err: context.Cause(ctx)}
		case <-time.After(pause):
		}
	}
}

// notRegular returns an error that says what stands at path if that is no regular
// file, and err otherwise.
func notRegular(path string, err error) error {
	st, serr := os.Lstat(path)
	if serr != nil || st.Mode().IsRegular() {
		return err
	}
	what := "no regular file"
	switch {
	case st.Mode()&os.ModeSymlink != 0:
		what = "a symbolic link"
	case st.IsDir():
		what = "a directory"
	case st.Mode()&os.ModeNamedPipe != 0:
		what = "a pipe"
	}
	return &os.PathError{Op: "create", Path: path, Err: errors.New("there is " + what + " of that name; remove it")}
}

// isSpecial reports whether path is written directly: devices, pipes, and the
// names of open files, whatever those lead to (/dev/stdout may be a regular file).
func isSpecial(path string) bool {
	for _, dir := range []string{"/dev/std", "/dev/fd/", "/proc/"} {
		if strings.HasPrefix(path, dir) {
			return true
		}
	}
	st, err := os.Stat(path)
	return err == nil && !st.Mode().IsRegular() && !st.IsDir()
}

// Write writes to the file.
func (f *File) Write(p []byte) (int, error) { return f.f.Write(p) }

// Written returns the path under which what was written stands now.
func (f *File) Written() string {
	if f.partial != "" {
		return f.partial
	}
	return f.path
}

// Close closes the file and gives it its name. If that fails, the file keeps its
// provisional name, which the error tells. Further calls return the same.
func (f *File) Close() error {
	if f.closed {
		return f.err
	}
	f.closed = true
	if f.f == os.Stdout {
		return nil
	}
	f.err = f.f.Close()
	if f.partial == "" {
		return f.err
	}
	// The claim lasts until the file has its name: whoever came in between would
	// empty it.
	defer f.release()
	if f.err == nil {
		if f.err = os.Rename(f.partial, f.path); f.err == nil {
			f.partial = ""
		}
	}
	return f.err
}

// Discard closes the file and removes it: what stood under its name stays. Pipes and
// devices are left where they are. After Close it does nothing.
func (f *File) Discard() {
	f.giveUp(func() { os.Remove(f.partial) })
}

// Abort closes the file and leaves it under its provisional name. After Close it
// does nothing.
func (f *File) Abort() { f.giveUp(func() {}) }

// giveUp closes the file; last is what is done while nobody else may claim its provisional
// name.
func (f *File) giveUp(last func()) {
	if f.closed {
		return
	}
	f.closed, f.err = true, errors.New(f.Written()+": given up")
	if f.f != os.Stdout {
		f.f.Close()
	}
	if f.partial != "" {
		last()
		f.release()
	}
}
