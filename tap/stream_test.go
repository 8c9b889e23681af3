package tap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/tap"
)

// qemu speaks -netdev stream as QEMU does, as far as a test needs it; it shares no code
// with the package.
type qemu struct {
	t    *testing.T
	conn net.Conn
}

func dialQEMU(t *testing.T, network, addr string) qemu {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { conn.Close() })
	return qemu{t, conn}
}

func (q qemu) send(frame []byte) {
	q.t.Helper()
	head := []byte{byte(len(frame) >> 24), byte(len(frame) >> 16), byte(len(frame) >> 8), byte(len(frame))}
	// In two pieces, as QEMU's writev may come when it is cut short.
	for _, b := range [][]byte{head[:3], append(head[3:], frame...)} {
		if _, err := q.conn.Write(b); err != nil {
			q.t.Fatal(err)
		}
	}
}

func (q qemu) recv() []byte {
	q.t.Helper()
	var n uint32
	if err := binary.Read(q.conn, binary.BigEndian, &n); err != nil {
		q.t.Fatal(err)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(q.conn, frame); err != nil {
		q.t.Fatal(err)
	}
	return frame
}

// hungUp waits for the device to hang up.
func (q qemu) hungUp() {
	q.t.Helper()
	if _, err := io.Copy(io.Discard, q.conn); errors.Is(err, os.ErrDeadlineExceeded) {
		q.t.Fatal("the device did not hang up")
	}
}

func TestQEMUPeersComeAndGo(t *testing.T) {
	path := socketPath(t, "q.sock")
	dev := open(t, "qemu:unix:%s", path)
	r := read(dev, nil)
	write(t, dev, testFrame(100)) // to nobody
	write(t, dev, testFrame(13))
	if c := counters(dev); c.TxDown != 1 || c.TxInvalid != 1 {
		t.Errorf("counted %+v", c)
	}
	const peers = 3
	for i := range peers {
		q := dialQEMU(t, "unix", path)
		q.send(testFrame(60 + i))
		if got := r.next(t, testType); !bytes.Equal(got, testFrame(60+i)) {
			t.Errorf("got % x", got)
		}
		write(t, dev, testFrame(80+i))
		if got := q.recv(); !bytes.Equal(got, testFrame(80+i)) {
			t.Errorf("the peer got % x", got)
		}
		q.conn.Close() // and the next one comes at once
	}
	eventually(t, "the last one is gone", func() bool { return counters(dev).Disconnects == peers })
	if c := counters(dev); c.Connects != peers || c.Refused != 0 {
		t.Errorf("counted %+v", c)
	}
}

func TestQEMUHasOnePeerAtATime(t *testing.T) {
	dev := open(t, "qemu:tcp:127.0.0.1:0")
	r := read(dev, nil)
	first := dialQEMU(t, "tcp", addrOf(dev).String())
	first.send(testFrame(60))
	r.next(t, testType)
	second := dialQEMU(t, "tcp", addrOf(dev).String())
	second.hungUp()
	first.send(testFrame(70))
	if n := len(r.next(t, testType)); n != 70 {
		t.Errorf("got %d bytes", n)
	}
	if c := counters(dev); c.Refused != 1 || c.Connects != 1 {
		t.Errorf("counted %+v", c)
	}
}

func TestQEMUOutOfStep(t *testing.T) {
	path := socketPath(t, "q.sock")
	dev := open(t, "qemu:unix:%s", path)
	r := read(dev, nil)
	for i, length := range []uint32{0, tap.MaxFrame + 1, 1 << 31, 1<<32 - 1} {
		q := dialQEMU(t, "unix", path)
		q.send(testFrame(60)) // what came before still counts
		if err := binary.Write(q.conn, binary.BigEndian, length); err != nil {
			t.Fatal(err)
		}
		q.hungUp()
		r.next(t, testType)
		if c := counters(dev); c.RxMalformed != uint64(i+1) {
			t.Errorf("length %d: counted %+v", length, c)
		}
	}
	q := dialQEMU(t, "unix", path)
	q.send(testFrame(13)) // a runt is counted, and no more
	q.send(testFrame(tap.MaxFrame))
	if n := len(r.next(t, testType)); n != tap.MaxFrame {
		t.Errorf("got %d bytes", n)
	}
	if c := counters(dev); c.RxMalformed != 5 {
		t.Errorf("counted %+v", c)
	}
	q.conn.Write([]byte{0, 0, 1, 0, 1, 2}) // and goes in the middle of a frame
	q.conn.Close()
	eventually(t, "the peer is gone", func() bool { return counters(dev).Disconnects == 5 })
	if c := counters(dev); c.RxMalformed != 6 {
		t.Errorf("counted %+v", c)
	}
}

func TestQEMUConnects(t *testing.T) {
	path := socketPath(t, "q.sock")
	dev := open(t, "qemu:unix:%s,connect", path)
	r := read(dev, nil)
	for i := range 2 {
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		qemu{t, conn}.send(testFrame(60 + i))
		if n := len(r.next(t, testType)); n != 60+i {
			t.Errorf("got %d bytes", n)
		}
		conn.Close()
	}
}

// A peer that does not read makes Write wait, and when it reads on nothing is missing.
func TestQEMUBackPressure(t *testing.T) {
	path := socketPath(t, "q.sock")
	dev := open(t, "qemu:unix:%s", path)
	q := dialQEMU(t, "unix", path)
	eventually(t, "the peer is there", func() bool { return counters(dev).Connects == 1 })
	const frames = 5000 // of 1000 bytes: more than sockets hold
	done := make(chan error, 1)
	go func() {
		for i := range frames {
			frame := testFrame(1000)
			binary.BigEndian.PutUint32(frame[14:], uint32(i))
			if _, err := dev.Write([][]byte{frame}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for i := range frames {
		if got := binary.BigEndian.Uint32(q.recv()[14:]); got != uint32(i) {
			t.Fatalf("frame %d came, want %d", got, i)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if c := counters(dev); c != (tap.Counters{Connects: 1}) {
		t.Errorf("counted %+v", c)
	}
}

func TestSocketFiles(t *testing.T) {
	for _, c := range []struct{ network, spec string }{{"unix", "qemu:unix:"}, {"unixgram", "unixgram:"}} {
		path := socketPath(t, "s")
		dev := open(t, "%s%s", c.spec, path)
		if _, err := tap.Open(c.spec + path); err == nil || !strings.Contains(err.Error(), "is in use") {
			t.Errorf("%s twice: %v", c.spec, err)
		}
		dev.Close()
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s left its socket behind: %v", c.spec, err)
		}
		// The socket of a process that was killed is in nobody's way.
		stale(t, c.network, path)
		open(t, "%s%s", c.spec, path).Close()
		if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tap.Open(c.spec + path); err == nil || !strings.Contains(err.Error(), "is no socket") {
			t.Errorf("%s over a file: %v", c.spec, err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != "data" {
			t.Errorf("%s harmed a file: %q, %v", c.spec, data, err)
		}
	}
}

// stale leaves a socket without an owner.
func stale(t *testing.T, network, path string) {
	t.Helper()
	if network == "unixgram" {
		conn, err := net.ListenUnixgram(network, &net.UnixAddr{Net: network, Name: path})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close() // leaves the file
		return
	}
	ln, err := net.ListenUnix(network, &net.UnixAddr{Net: network, Name: path})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
}

func TestPipeEndsWithItsPeer(t *testing.T) {
	in, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	dev := tap.NewPipe("p", in, out, tap.DefaultMTU)
	defer dev.Close()
	r := read(dev, nil)
	theirs.Close()
	if err := r.failed(t); !errors.Is(err, io.EOF) {
		t.Errorf("reading ended with %v, want io.EOF", err)
	}
}

// stdioEnv makes the test binary an echo behind stdio: until its input ends.
const stdioEnv = "VNREPLAY_TAP_TEST_STDIO"

func stdioEcho() error {
	dev, err := tap.Open("stdio:")
	if err != nil {
		return err
	}
	os.Stdout.WriteString("this must not stand between the frames\n")
	bufs, sizes := [][]byte{make([]byte, tap.MaxFrame)}, make([]int, 1)
	for {
		if _, err := dev.Read(bufs, sizes); errors.Is(err, io.EOF) {
			return dev.Close()
		} else if err != nil {
			return err
		}
		if _, err := dev.Write([][]byte{bufs[0][:sizes[0]]}); err != nil {
			return err
		}
	}
}

func TestStdio(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), stdioEnv+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dev := tap.NewPipe("peer", stdout, stdin, tap.DefaultMTU)
	r := read(dev, nil)
	for n := 60; n < 70; n++ {
		write(t, dev, testFrame(n))
		if got := r.next(t, testType); !bytes.Equal(got, testFrame(n)) {
			t.Errorf("got % x", got)
		}
	}
	stdin.Close()
	r.failed(t)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, stderr.String())
	}
	if !strings.Contains(stderr.String(), "this must not stand") {
		t.Errorf("what it printed is not on standard error: %q", stderr.String())
	}
}

func TestStdioRefusesADevice(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self) // standard input is /dev/null
	cmd.Env = append(os.Environ(), stdioEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "stdio:: ") || !strings.Contains(string(out), "is a terminal or a device") {
		t.Errorf("%v: %s", err, out)
	}
}
