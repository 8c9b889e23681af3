package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxPath is how long the path of a socket can be (sun_path of struct sockaddr_un has 108
// bytes on Linux, 104 elsewhere, and an end mark).
const maxPath = 103

// Dir is the directory of the sockets of this user's switches:
// $XDG_RUNTIME_DIR/vnreplay, or vnreplay-UID in the system's directory for temporary
// files. It is made if it is not there. The error says why it cannot be trusted: it
// belongs to somebody else, or others may write to it.
func Dir() (string, error) {
	dir := filepath.Join(os.TempDir(), "vnreplay-"+strconv.Itoa(os.Getuid()))
	if run := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(run) {
		dir = filepath.Join(run, "vnreplay")
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("directory for control sockets: %w", err)
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return "", fmt.Errorf("directory for control sockets: %w", err)
	case !info.IsDir():
		return "", fmt.Errorf("%s: no directory, and control sockets go there: remove it", dir)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("%s: others may use it, and control sockets go there: chmod 700 %[1]s", dir)
	case !own(info):
		return "", fmt.Errorf("%s belongs to another user, and control sockets go there", dir)
	}
	return dir, nil
}

// Listen makes the socket at path, or, if that is empty, one in Dir that is named by the
// process. What a process that is gone left there is removed; the error says so if one
// is alive, or if there is something else.
func Listen(path string) (*Server, error) {
	if path == "" {
		dir, err := Dir()
		if err != nil {
			return nil, err
		}
		path = filepath.Join(dir, strconv.Itoa(os.Getpid())+suffix)
	}
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &Server{listener: l, path: path, conns: map[net.Conn]struct{}{}}, nil
}

const suffix = ".sock"

// listen makes a socket that nobody else may ever connect to: it is made in a directory
// of its own, which only this user may enter, and moved once its mode is set.
func listen(path string) (net.Listener, error) {
	switch state(path) {
	case alive:
		return nil, fmt.Errorf("%s: another switch has it", path)
	case other:
		return nil, fmt.Errorf("%s: there is something else of that name; remove it", path)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), ".")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	made := filepath.Join(tmp, "s")
	if n := max(len(made), len(path)); n > maxPath {
		return nil, fmt.Errorf("%s: the path of a socket has at most %d bytes, this one needs %d: use a shorter one", path, maxPath, n)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: made})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it is called otherwise by then
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// What is at the path of a socket.
type what int

const (
	nothing what = iota
	stale        // a socket that nobody listens on
	alive
	other // no socket
)

// probeTime is how long a switch has to accept a connection.
const probeTime = time.Second

func state(path string) what {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nothing
	case info.Mode()&fs.ModeSocket == 0:
		return other
	}
	conn, err := net.DialTimeout("unix", path, probeTime)
	switch {
	case err == nil:
		conn.Close()
		return alive
	case errors.Is(err, syscall.ECONNREFUSED):
		return stale
	case errors.Is(err, fs.ErrNotExist):
		return nothing
	}
	return alive // busy, or not ours
}

// Find returns the paths of the sockets in [Dir] of switches that run, in the order of
// their names, and removes those of switches that are gone.
func Find() ([]string, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		switch state(path) {
		case alive:
			found = append(found, path)
		case stale:
			os.Remove(path)
		}
	}
	slices.Sort(found)
	return found, nil
}
