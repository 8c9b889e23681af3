package tap_test

import (
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"github.com/vnreplay/vnreplay/tap"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace of a test's own: that of one thread, which does
// what is to be done in it. It ends with the thread.
type namespace struct {
	t     *testing.T
	tid   int
	calls chan func()
}

// newNamespace makes one, or skips the test where it may not.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	need(t, "ip")
	ns := &namespace{t: t, calls: make(chan func())}
	ready, done := make(chan error), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		ns.tid = unix.Gettid()
		ready <- err
		for f := range ns.calls {
			f()
		}
	}()
	t.Cleanup(func() { close(ns.calls); <-done })
	if err := <-ready; err != nil {
		skip(t, "no network namespace of its own: %v; run the test as root, or as root of a user namespace: unshare -Urn go test ./tap", err)
	}
	ns.sh("ip link set lo up")
	return ns
}

// do calls f on the namespace's thread, and waits for it.
func (ns *namespace) do(f func()) {
	done := make(chan struct{})
	ns.calls <- func() { defer close(done); f() }
	<-done
}

// sh runs commands there, one a line.
func (ns *namespace) sh(script string) {
	ns.t.Helper()
	var out []byte
	var err error
	// A command is started from the thread of the caller and has its namespace.
	ns.do(func() { out, err = exec.Command("sh", "-ec", script).CombinedOutput() })
	if err != nil {
		ns.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// id is what ip link calls the namespace.
func (ns *namespace) id() string { return strconv.Itoa(ns.tid) }

// open opens a device there; it is closed when the test ends.
func (ns *namespace) open(spec string) tap.Device {
	ns.t.Helper()
	dev, err := ns.try(spec)
	if err != nil {
		ns.t.Fatal(err)
	}
	ns.t.Cleanup(func() { dev.Close() })
	return dev
}

func (ns *namespace) try(spec string) (dev tap.Device, err error) {
	ns.do(func() { dev, err = tap.Open(spec) })
	return dev, err
}
