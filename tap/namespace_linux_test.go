package tap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

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
		if os.Getenv("VNREPLAY_REQUIRE_TOOLS") == "1" && os.Geteuid() == 0 {
			t.Fatalf("no network namespace: %v", err)
		}
		t.Skipf("no network namespace of its own: %v; run the test as root, or as root of a user namespace: unshare -Urn go test ./tap", err)
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

// need skips a test when a tool is absent, or fails it where the tools are required.
func need(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("VNREPLAY_REQUIRE_TOOLS") == "1" {
				t.Fatalf("%s is required: %v", tool, err)
			}
			t.Skipf("%s is not installed", tool)
		}
	}
}

// counters are a device's.
func counters(dev tap.Device) tap.Counters { return dev.(tap.Counting).Counters() }

// reader reads a device all the time.
type reader struct {
	frames chan []byte
	err    chan error
}

// read starts reading until the device fails. on, if not nil, is called for each frame
// instead of keeping it.
func read(dev tap.Device, on func(frame []byte)) *reader {
	r := &reader{frames: make(chan []byte, 4096), err: make(chan error, 1)}
	if on == nil {
		on = func(frame []byte) { r.frames <- frame }
	}
	go func() {
		bufs, sizes := make([][]byte, 64), make([]int, 64)
		for i := range bufs {
			bufs[i] = make([]byte, tap.MaxFrame)
		}
		for {
			n, err := dev.Read(bufs, sizes)
			for i := range n {
				on(bytes.Clone(bufs[i][:sizes[i]]))
			}
			if err != nil {
				r.err <- err
				return
			}
		}
	}()
	return r
}

// next is the next frame of an EtherType.
func (r *reader) next(t *testing.T, etherType uint16) []byte {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case frame := <-r.frames:
			if binary.BigEndian.Uint16(frame[12:]) == etherType {
				return frame
			}
		case err := <-r.err:
			t.Fatalf("no frame of type %#x: %v", etherType, err)
		case <-deadline:
			t.Fatalf("no frame of type %#x", etherType)
		}
	}
}

// failed is with what reading failed.
func (r *reader) failed(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.err:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("reading goes on")
		return nil
	}
}

// eventually waits for what has to come true.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// testFrame is a broadcast of an experimental EtherType.
func testFrame(size int) []byte {
	frame := make([]byte, max(size, tap.MinFrame))
	copy(frame, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 0x88, 0xb6})
	for i := tap.MinFrame; i < size; i++ {
		frame[i] = byte(i)
	}
	return frame[:size]
}

const testType = 0x88b6

// write writes one frame.
func write(t *testing.T, dev tap.Device, frame []byte) {
	t.Helper()
	if n, err := dev.Write([][]byte{frame}); n != 1 || err != nil {
		t.Fatalf("%s: wrote %d: %v", dev.Name(), n, err)
	}
}

// pcapFile writes frames to a file that Wireshark reads: the classic format, link type Ethernet.
func pcapFile(t *testing.T, frames [][]byte) string {
	t.Helper()
	var out []byte
	for _, n := range []uint32{0xa1b2c3d4, 2<<16 | 4, 0, 0, 1 << 18, 1} {
		out = binary.BigEndian.AppendUint32(out, n)
	}
	for i, frame := range frames {
		for _, n := range []uint32{uint32(i / 1e6), uint32(i % 1e6), uint32(len(frame)), uint32(len(frame))} {
			out = binary.BigEndian.AppendUint32(out, n)
		}
		out = append(out, frame...)
	}
	path := t.TempDir() + "/frames.pcap"
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tshark prints fields of the frames that a filter selects, a line each.
func tshark(t *testing.T, path, filter string, fields ...string) []string {
	t.Helper()
	need(t, "tshark")
	args := []string{"-r", path, "-Y", filter, "-T", "fields", "-E", "separator=|"}
	for _, proto := range []string{"ip", "tcp", "udp"} {
		args = append(args, "-o", proto+".check_checksum:TRUE")
	}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("tshark: %v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}
