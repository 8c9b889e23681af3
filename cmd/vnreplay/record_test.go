package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vnreplay/vnreplay/pcap"
)

// peer SOCKET N [ANSWERS]: a machine behind QEMU's -netdev stream. It asks N times who has
// 10.0.0.1, waits for N answers (or so many; a duplicate may be among them), and says how
// many frames came.
func peer() {
	if err := bePeer(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func bePeer(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	answers := n
	if len(args) > 2 {
		if answers, err = strconv.Atoi(args[2]); err != nil {
			return err
		}
	}
	conn, err := net.Dial("unix", args[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	came := 0
	receive := func() error {
		head := make([]byte, 4)
		if _, err := io.ReadFull(conn, head); err != nil {
			return err
		}
		came++
		_, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(head)))
		return err
	}
	for range n {
		if _, err := conn.Write(whoHas()); err != nil {
			return err
		}
		if answers > 0 {
			if err := receive(); err != nil {
				return fmt.Errorf("after %d frames: %w", came, err)
			}
		}
	}
	// What comes besides; and what was sent without an answer is to be read.
	conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
	for receive() == nil {
	}
	if came == 1 {
		fmt.Println("1 frame")
	} else {
		fmt.Println(came, "frames")
	}
	return nil
}

// whoHas is an ARP request for 10.0.0.1, behind its length.
func whoHas() []byte {
	b := []byte("\x00\x00\x00\x2a\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x99\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01")
	b = append(b, "\x02\x00\x00\x00\x00\x99\x0a\x00\x00\x09\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x01"...)
	return b
}

// await FILE: waits until it is there.
func await(ts *testscript.TestScript, neg bool, args []string) {
	for range 2000 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s does not come", args[0])
}

// wholefiles PREFIX: every capture whose name begins so is whole, and has frames.
func wholeFiles(ts *testscript.TestScript, neg bool, args []string) {
	paths, err := filepath.Glob(ts.MkAbs(args[0] + "*"))
	ts.Check(err)
	for _, path := range paths {
		r, err := pcap.Open(path)
		ts.Check(err)
		frames := 0
		for _, err := range r.Packets() {
			ts.Check(err)
			frames++
		}
		meta, _ := r.Meta()
		r.Close()
		if frames == 0 || meta.File == 0 || !strings.HasSuffix(path, ".pcapng") {
			ts.Fatalf("%s: %d frames, file %d", path, frames, meta.File)
		}
	}
	if len(paths) == 0 {
		ts.Fatalf("no files %s", args[0])
	}
}

// The second signal ends a recording at once whose reader does not read; it says what it
// leaves, and takes its socket away.
func TestRecordSecondSignal(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "vnr") // short: there are sockets in it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	fifo, sock, control := filepath.Join(dir, "f"), filepath.Join(dir, "q"), filepath.Join(dir, "c")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatalf("no fifo: %v", err)
	}
	held, err := os.OpenFile(fifo, os.O_RDWR, 0) // a reader that does not read
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	cmd := exec.Command(exe, "record", "--port", "host:10.0.0.1/24", "--port", "qemu:unix:"+sock, "-w", fifo, "--on-full", "drop", "--control", control)
	cmd.Args[0] = "vnreplay"
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var conn net.Conn
	for range 1000 {
		if conn, err = net.Dial("unix", sock); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, conn)
	for range 2000 { // more than a pipe takes
		if _, err := conn.Write(whoHas()); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(500 * time.Millisecond) // longer than frames wait to be written
	cmd.Process.Signal(syscall.SIGINT)
	time.Sleep(again + 200*time.Millisecond)
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != exitSignal+int(syscall.SIGINT) {
		t.Errorf("exit status %d: %s", got, errs.String())
	}
	if _, err := os.Stat(control); err == nil {
		t.Error("the control socket is still there")
	}
}

// What a recording that was killed leaves can be read to its last whole block, and holds
// what stood in it for longer than frames wait to be written.
func TestRecordKilled(t *testing.T) {
	dir, err := os.MkdirTemp("", "vnr") // short: there is a socket in it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	sock, out := filepath.Join(dir, "q"), filepath.Join(dir, "out.pcapng")
	cmd, errs := program(t, "vnreplay", "record", "--port", "host:10.0.0.1/24", "--port", "qemu:unix:"+sock, "-w", out, "--control", filepath.Join(dir, "c"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var conn net.Conn
	for range 1000 {
		if conn, err = net.Dial("unix", sock); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	go io.Copy(io.Discard, conn)
	const asked = 2000
	for i := range asked + 1 {
		if _, err := conn.Write(whoHas()); err != nil {
			t.Fatal(err)
		}
		if i == asked-1 {
			time.Sleep(time.Second) // frames are written after a quarter of it
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	if _, err := os.Stat(out); err == nil {
		t.Error("what was killed has the name of a whole recording")
	}
	r, err := pcap.Open(out + ".partial")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	for p, err := range r.Packets() {
		if err != nil {
			t.Fatalf("after %d frames: %v", n, err)
		}
		if p.Interface == 1 {
			n++
		}
	}
	if n < asked {
		t.Errorf("%d of %d frames are there", n, asked)
	}
}
