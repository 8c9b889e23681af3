package pcap_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// tinyDisk is set in the process that may mount a file system where nobody else sees it.
const tinyDisk = "VNREPLAY_TEST_TINY_DISK"

// A disk that is really full: the error comes, and the file can be read as far as it goes,
// under its provisional name.
func TestALiveRecordingOnATinyDisk(t *testing.T) {
	dir := os.Getenv(tinyDisk)
	if dir == "" {
		inOwnMounts(t)
		return
	}
	ok(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"))
	log := traffic(t, 5000, 1514)
	t.Run("a file", func(t *testing.T) {
		path := filepath.Join(dir, "run.pcapng")
		f, err := pcap.CreateFile(path)
		ok(t, err)
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToFile(f)}, Flush: time.Millisecond})
		told := error(nil)
		for _, e := range log.events {
			if told = r.Record(e); told != nil {
				break
			}
		}
		<-r.Failed()
		err = r.Close()
		var we *pcap.WriteError
		if !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &we) || we.Name != path+".partial" || told != nil && told != err {
			t.Errorf("got %v and %v", told, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("there is a file of the name: %v", err)
		}
		n, err := pcap.CountFrames(path + ".partial")
		if n < 500 || n > 700 || err != nil && !errors.As(err, new(*pcap.TruncatedError)) {
			t.Errorf("%d frames, %v", n, err)
		}
		ok(t, os.Remove(path+".partial"))
	})
	t.Run("a ring that fits", func(t *testing.T) {
		rot := rotation(t, dir, pcap.RotationConfig{Size: 200_000, Keep: 3})
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{rot}})
		log.tell(t, r)
		ok(t, r.Close())
	})
}

// inOwnMounts runs the test once more in a process whose mounts are its own.
func inOwnMounts(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	ok(t, err)
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), tinyDisk+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		const why = "needs root, for a file system of its own: sudo go test ./pcap"
		if os.Getenv("VNREPLAY_REQUIRE_TOOLS") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("%v\n%s", err, out)
	}
}
