package pcap

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// File is a file being written. It has its name only when it is whole: until
// Close has succeeded it is called PATH.partial, so that a run that was killed,
// or a full disk, leaves nothing that looks like a result. Standard output,
// pipes and devices are written directly.
//
// It is not synced to the disk before it gets its name: a crash of the machine
// may cost the last seconds, a crash of the program does not.
type File struct {
	f       *os.File
	path    string // where it is to be
	partial string // where it is, if it is to be renamed
	closed  bool
	err     error
}

var _ io.WriteCloser = (*File)(nil)

// CreateFile creates the file path, or opens it when it is a pipe or a device;
// "-" is the standard output, which Close leaves open. What stands at path stays
// there until Close; where path is a symbolic link, what it points to is replaced.
func CreateFile(path string) (*File, error) {
	if path == "-" {
		return &File{f: os.Stdout, path: "standard output"}, nil
	}
	if isSpecial(path) {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return &File{f: f, path: path}, nil
	}
	target := path
	if t, err := filepath.EvalSymlinks(path); err == nil {
		target = t
	}
	if st, err := os.Stat(target); err == nil && st.IsDir() {
		return nil, &os.PathError{Op: "create", Path: path, Err: errors.New("is a directory")}
	}
	partial := target + ".partial"
	f, err := os.Create(partial)
	if err != nil {
		return nil, err
	}
	return &File{f: f, path: target, partial: partial}, nil
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
	if f.err == nil && f.partial != "" {
		if f.err = os.Rename(f.partial, f.path); f.err == nil {
			f.partial = ""
		}
	}
	return f.err
}

// Abort closes the file and leaves it under its provisional name. After Close it
// does nothing.
func (f *File) Abort() {
	if f.closed {
		return
	}
	f.closed, f.err = true, errors.New(f.Written()+": given up")
	if f.f != os.Stdout {
		f.f.Close()
	}
}
