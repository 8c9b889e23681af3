package control_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/vnreplay/vnreplay/live"
	"github.com/vnreplay/vnreplay/live/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fake is a switch that notes what it is asked to do.
type fake struct {
	mu  sync.Mutex
	did []string
}

func (f *fake) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did = append(f.did, fmt.Sprintf(format, args...))
}

func (f *fake) Status() live.Status { return live.Status{Frames: 42, Seed: 7} }
func (f *fake) AddFault(text string) (live.RuleStatus, error) {
	f.note("add %s", text)
	return live.RuleStatus{Number: 3, Text: text, On: true}, nil
}
func (f *fake) SetFault(which string, on bool) (live.RuleStatus, error) {
	f.note("set %s %v", which, on)
	return live.RuleStatus{Number: 3, On: on}, nil
}
func (f *fake) RemoveFault(which string) (live.RuleStatus, error) {
	return live.RuleStatus{}, errors.New("no rule " + which)
}
func (f *fake) SetCable(port string, up bool) error { f.note("cable %s %v", port, up); return nil }
func (f *fake) Rotate() error                       { return errors.New("nothing rotates") }
func (f *fake) Stop()                               { f.note("stop") }
func (f *fake) Capture(w io.Writer, done <-chan struct{}) error {
	for {
		if _, err := io.WriteString(w, "frames "); err != nil {
			return err
		}
		select {
		case <-done:
			f.note("hung up")
			return nil
		default:
		}
	}
}

// serve makes the socket of a fake in a directory of its own, which is the run directory.
func serve(t *testing.T) (*fake, *control.Server) {
	t.Helper()
	dir, err := os.MkdirTemp("", "vnr") // short: there are sockets in it
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	s, err := control.Listen("")
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	f := &fake{}
	s.Serve(f)
	return f, s
}

func dial(t *testing.T, path string) *control.Client {
	t.Helper()
	cl, err := control.Dial(path)
	must(t, err)
	t.Cleanup(func() { cl.Close() })
	return cl
}

func TestAsk(t *testing.T) {
	f, s := serve(t)
	cl, other := dial(t, s.Path()), dial(t, s.Path())
	a, err := cl.Do(control.Request{Do: control.DoStatus})
	must(t, err)
	if a.Status.Frames != 42 || a.PID != os.Getpid() {
		t.Errorf("%+v", a)
	}
	up := false
	for _, req := range []control.Request{
		{Do: control.DoFaultAdd, Rule: "drop \"5%\""}, {Do: control.DoFaultOff, Rule: "2"}, {Do: control.DoCable, Port: "web", Up: &up}, {Do: control.DoStop},
	} {
		_, err := other.Do(req)
		must(t, err)
	}
	if got, want := strings.Join(f.did, "; "), `add drop "5%"; set 2 false; cable web false; stop`; got != want {
		t.Errorf("did %s\nwant %s", got, want)
	}
	var refused *control.Error
	if _, err := cl.Do(control.Request{Do: control.DoFaultRemove, Rule: "9"}); !errors.As(err, &refused) || refused.Msg != "no rule 9" {
		t.Errorf("%v", err)
	}
	if _, err := cl.Do(control.Request{Do: control.DoRotate}); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
}

// Requests that are none get an error line, and the next one its answer.
func TestBadRequests(t *testing.T) {
	f, s := serve(t)
	conn, err := net.Dial("unix", s.Path())
	must(t, err)
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for _, line := range []string{
		"", "{", "null", "[]", "GET / HTTP/1.1", `{"vnreplay":2,"do":"stop"}`, `{"do":"stop"}`, `{"vnreplay":1}`,
		`{"vnreplay":1,"do":"dance"}`, `{"vnreplay":1,"do":"stop","why":1}`, `{"vnreplay":1,"do":"stop"}{}`,
		`{"vnreplay":1,"do":"fault-add"}`, `{"vnreplay":1,"do":"cable","port":"a"}`, `{"vnreplay":1,"do":"stop","rule":"x"}`,
		"\x00\xff", strings.Repeat("[", 100_000),
	} {
		_, err := io.WriteString(conn, line+"\n")
		must(t, err)
		answer, err := answers.ReadString('\n')
		must(t, err)
		if !strings.HasPrefix(answer, `{"vnreplay":1,"error":"`) {
			t.Errorf("%.60q: %s", line, answer)
		}
	}
	go conn.Write(bytes.Repeat([]byte("x"), 200_000))
	if answer, err := answers.ReadString('\n'); err != nil || !strings.Contains(answer, "more than") {
		t.Errorf("%q %v", answer, err)
	}
	if _, err := answers.ReadString('\n'); err == nil {
		t.Error("the connection goes on after a line without end")
	}
	if len(f.did) != 0 {
		t.Errorf("it did %v", f.did)
	}
	_, err = dial(t, s.Path()).Do(control.Request{Do: control.DoStatus})
	must(t, err)
}

func TestCapture(t *testing.T) {
	f, s := serve(t)
	cl := dial(t, s.Path())
	r, err := cl.Capture()
	must(t, err)
	buf := make([]byte, 700)
	_, err = io.ReadFull(r, buf)
	must(t, err)
	if want := strings.Repeat("frames ", 100); string(buf) != want {
		t.Errorf("%q", buf)
	}
	cl.Close()
	must(t, s.Close()) // which waits for the stream's end
	if _, err := os.Stat(s.Path()); err == nil {
		t.Error("the socket is still there")
	}
	_ = f
}

// Sockets are their user's alone; those of switches that are gone are found and removed.
func TestSocket(t *testing.T) {
	_, s := serve(t)
	for path, want := range map[string]os.FileMode{s.Path(): 0o600, filepath.Dir(s.Path()): 0o700} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
	if _, err := control.Listen(s.Path()); err == nil || !strings.Contains(err.Error(), "another switch") {
		t.Errorf("a second one: %v", err)
	}
	dir := filepath.Dir(s.Path())
	stale, plain := filepath.Join(dir, "1.sock"), filepath.Join(dir, "x")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: stale})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
	must(t, os.WriteFile(plain, nil, 0o600))
	if _, err := control.Listen(plain); err == nil {
		t.Error("a file was taken for a socket")
	}
	found, err := control.Find()
	must(t, err)
	if len(found) != 1 || found[0] != s.Path() {
		t.Errorf("found %v", found)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("the stale socket is still there")
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("in the directory: %v", left)
	}
	must(t, os.Chmod(dir, 0o755))
	if _, err := control.Dir(); err == nil || !strings.Contains(err.Error(), "chmod 700 ") {
		t.Errorf("a directory for all: %v", err)
	}
	must(t, os.Chmod(dir, 0o700))
}

// Whatever a client says, the switch answers or hangs up, and does nothing that was not
// asked for.
func FuzzRequests(f *testing.F) {
	f.Add([]byte(`{"vnreplay":1,"do":"status"}` + "\n"))
	f.Add([]byte(`{"vnreplay":1,"do":"cable","port":"a","up":true}` + "\n{}\n"))
	f.Add([]byte("\n\n{"))
	dir, err := os.MkdirTemp("", "vnr")
	if err != nil {
		f.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := control.Listen(filepath.Join(dir, "s"))
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	s.Serve(&fake{})
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := net.Dial("unix", s.Path())
		must(t, err)
		defer conn.Close()
		conn.Write(data)
		conn.(*net.UnixConn).CloseWrite()
		lines := bufio.NewScanner(io.LimitReader(conn, 1<<20))
		for lines.Scan() {
			if line := lines.Text(); !strings.HasPrefix(line, `{"vnreplay":1`) && !strings.Contains(string(data), "capture") {
				t.Errorf("%q", line)
			}
		}
	})
}
