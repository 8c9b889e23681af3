package tap_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/tap"
)

// need skips a test when a tool is absent, or fails it where the tools are required.
func need(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, "%s is not installed", tool)
		}
	}
}

// skip skips a test, or fails it where everything is required.
func skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("VNREPLAY_REQUIRE_TOOLS") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
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
