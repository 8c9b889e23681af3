package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// Wireshark's side of extcap: it asks what there is, opens a fifo, and reads a running
// switch through its capture filter until it has enough.
func TestExtcap(t *testing.T) {
	dir, err := os.MkdirTemp("", "vnr") // short: there are sockets in it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	sock, fifo := filepath.Join(dir, "q"), filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatalf("no fifo: %v", err)
	}
	rec, errs := program(t, "vnreplay", "record", "--port", "host:10.0.0.1/24", "--port", "qemu:unix:"+sock)
	if err := rec.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { rec.Process.Signal(syscall.SIGINT); rec.Wait() }()
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
	defer conn.Close()
	go io.Copy(io.Discard, conn)

	ask := func(args ...string) string {
		t.Helper()
		cmd, errs := program(t, "vnreplay", args...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, errs)
		}
		return string(out)
	}
	said := ask("--extcap-interfaces", "--extcap-version=4.0")
	m := regexp.MustCompile(`(?m)^interface \{value=([^}]+)\}`).FindStringSubmatch(said)
	if !strings.HasPrefix(said, "extcap {version=") || m == nil {
		t.Fatalf("--extcap-interfaces says\n%s", said)
	}
	if dlt := ask("--extcap-interface", m[1], "--extcap-dlts"); !strings.Contains(dlt, "dlt {number=1}") {
		t.Errorf("--extcap-dlts says %q", dlt)
	}
	ask("--extcap-interface", m[1], "--extcap-config")
	bad, errs := program(t, "vnreplay", "--extcap-interface", m[1], "--extcap-capture-filter", "arq")
	if out, err := bad.Output(); err == nil && len(out) == 0 {
		t.Errorf("a wrong filter is taken: %s%s", out, errs)
	}

	capture, errs := program(t, "vnreplay", "--extcap-interface="+m[1], "--capture", "--fifo="+fifo, "--extcap-capture-filter", "arp and src host 10.0.0.9")
	if err := capture.Start(); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(fifo) // waits for the other end
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				_, _ = conn.Write(whoHas())
			}
		}
	}()
	var got bytes.Buffer
	r, err := pcap.NewReader(io.TeeReader(reader, &got), "fifo")
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 3; n++ {
		p, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.Data, whoHas()[4:]) { // the host's answers are filtered out
			t.Errorf("frame %d: %x", n, p.Data)
		}
	}
	reader.Close() // it has enough
	ended := make(chan error, 1)
	go func() { ended <- capture.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) || errs.Len() > 0 {
			t.Errorf("the capture ends with %v: %s", err, errs)
		}
	case <-time.After(20 * time.Second):
		capture.Process.Kill()
		t.Error("the capture goes on without a reader")
	}
	close(stop)
}
