package pcap_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vnreplay/vnreplay/pcap"
)

// Two runs with one -w: the second is refused, and the first one's file is whole.
func TestOneRunAtATimeWritesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.pcapng")
	first, err := pcap.CreateFile(path)
	ok(t, err)
	_, err = first.Write([]byte("first"))
	ok(t, err)
	if _, err := pcap.CreateFile(path); !errors.Is(err, pcap.ErrBeingWritten) || !strings.Contains(err.Error(), "another run is writing "+path+".partial") {
		t.Errorf("the second run gets %v", err)
	}
	ok(t, first.Close())
	if b, _ := os.ReadFile(path); string(b) != "first" {
		t.Errorf("the file holds %q", b)
	}
	// Closed or given up, it is free again.
	for _, end := range []func(*pcap.File){func(f *pcap.File) { ok(t, f.Close()) }, (*pcap.File).Abort} {
		f, err := pcap.CreateFile(path)
		ok(t, err)
		end(f)
	}
	f, err := pcap.CreateFile(path)
	ok(t, err)
	ok(t, f.Close())
}

// Whatever the order in which runs come and go, a file with the good name is
// wholly of one of them.
func TestRunsThatRaceForAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.pcapng")
	var wg sync.WaitGroup
	for id := range 8 {
		wg.Go(func() {
			mine := strings.Repeat(string(rune('a'+id)), 1000)
			for range 300 {
				f, err := pcap.CreateFile(path)
				if errors.Is(err, pcap.ErrBeingWritten) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				for at := 0; at < len(mine); at += 100 {
					if _, err := f.Write([]byte(mine[at : at+100])); err != nil {
						t.Error(err)
					}
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
				if b, err := os.ReadFile(path); err != nil || len(b) != len(mine) || strings.Trim(string(b), string(b[:1])) != "" {
					t.Errorf("the file holds %d bytes of several runs, or %v", len(b), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// The lock of a run that was killed ends with it.
func TestAKilledRunsFileIsReplaced(t *testing.T) {
	const of = "VNREPLAY_TEST_HOLD"
	if path := os.Getenv(of); path != "" {
		f, err := pcap.CreateFile(path)
		ok(t, err)
		_, err = f.Write([]byte(strings.Repeat("killed", 100)))
		ok(t, err)
		os.Stdout.WriteString("held\n")
		select {} // until killed
	}
	path := filepath.Join(t.TempDir(), "run.pcapng")
	cmd := exec.Command(os.Args[0], "-test.run=^TestAKilledRunsFileIsReplaced$")
	cmd.Env = append(os.Environ(), of+"="+path)
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	_, err = out.Read(make([]byte, 5))
	ok(t, err)
	if _, err := pcap.CreateFile(path); !errors.Is(err, pcap.ErrBeingWritten) {
		t.Errorf("while it lives: %v", err)
	}
	ok(t, cmd.Process.Kill())
	_ = cmd.Wait()
	if b, _ := os.ReadFile(path + ".partial"); len(b) != 600 {
		t.Errorf("%d bytes are left of it", len(b))
	}
	f, err := pcap.CreateFile(path)
	ok(t, err)
	_, err = f.Write([]byte("new"))
	ok(t, err)
	ok(t, f.Close())
	if b, _ := os.ReadFile(path); string(b) != "new" {
		t.Errorf("the file holds %q", b)
	}
}

// What stands at the provisional name may be anybody's.
func TestTheProvisionalNameIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	ok(t, os.WriteFile(victim, []byte("precious"), 0o600))
	for _, c := range []struct {
		what string
		make func(partial string) error
	}{
		{"a symbolic link", func(p string) error { return os.Symlink(victim, p) }},
		{"a symbolic link", func(p string) error { return os.Symlink(filepath.Join(dir, "none"), p) }},
		{"a pipe", func(p string) error { return syscall.Mkfifo(p, 0o600) }},
		{"a directory", func(p string) error { return os.Mkdir(p, 0o700) }},
	} {
		path := filepath.Join(dir, "run.pcapng")
		partial := path + ".partial"
		ok(t, c.make(partial))
		if _, err := pcap.CreateFile(path); err == nil || !strings.Contains(err.Error(), partial+": there is "+c.what+" of that name") {
			t.Errorf("%s: got %v", c.what, err)
		}
		ok(t, os.Remove(partial))
	}
	// A pipe with a reader can be opened; it is no file all the same.
	path := filepath.Join(dir, "read.pcapng")
	ok(t, syscall.Mkfifo(path+".partial", 0o600))
	reader, err := os.OpenFile(path+".partial", os.O_RDONLY|syscall.O_NONBLOCK, 0)
	ok(t, err)
	defer reader.Close()
	if _, err := pcap.CreateFile(path); err == nil || !strings.Contains(err.Error(), "there is a pipe") {
		t.Errorf("a pipe with a reader: got %v", err)
	}
	if b, _ := os.ReadFile(victim); string(b) != "precious" || exists(filepath.Join(dir, "none")) {
		t.Errorf("the victim holds %q", b)
	}
}
