package vnettest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
	"github.com/vnreplay/vnreplay/switch"
)

// recording is the recording of one world. It lies in a directory that ends with
// the test until it is known whether the test has failed.
//
// It is a vswitch.Recorder that makes its file when the world starts to run: only
// then are all rules known that its header is to name, and a world that never runs
// has none.
type recording struct {
	sw      string // the switch, if the Config names it
	several bool   // its switch is one of several
	path    string // "" where nothing is recorded
	pending []vswitch.Event
	out     *pcap.Recorder
	closed  bool
	err     error
}

// file is where this recording goes if those of the network go to path: there, or, of one
// of several switches, to NAME.lan.pcapng for NAME.pcapng.
func (r *recording) file(path string) string {
	if !r.several {
		return path
	}
	const ext = ".pcapng"
	stem, ok := strings.CutSuffix(path, ext)
	if !ok {
		return path + "." + r.sw
	}
	return stem + "." + r.sw + ext
}

// begin makes the file, and writes what happened before.
func (r *recording) begin(path string, seed uint64, rules []string) error {
	v := scenario.Versions()
	out, err := pcap.Create(path, pcap.Meta{
		Version: v.VNReplay, Stack: v.Stack, Go: v.Go,
		Seed: seed, Clock: "virtual", View: "wire", Switch: r.sw, Rules: rules,
	})
	if err != nil {
		return err
	}
	r.path, r.out = path, out
	for _, e := range r.pending {
		if err := out.Record(e); err != nil {
			return err
		}
	}
	r.pending = nil
	return nil
}

// Record implements vswitch.Recorder. Before the run there are only events about
// ports and rules; they are small, and what they point to stays.
func (r *recording) Record(e vswitch.Event) error {
	if r.out != nil {
		return r.out.Record(e)
	}
	switch e := e.(type) {
	case *vswitch.Connected:
		kept := *e
		r.pending = append(r.pending, &kept)
	case *vswitch.Changed:
		kept := *e
		r.pending = append(r.pending, &kept)
	case *vswitch.Disconnected:
		kept := *e
		r.pending = append(r.pending, &kept)
	}
	return nil
}

// Close makes the file whole. It may be called more than once.
func (r *recording) Close() error {
	if r.out != nil && !r.closed {
		r.closed = true
		r.err = r.out.Close()
	}
	return r.err
}

// keep moves the recordings to where they outlive the test, and returns their paths
// there.
func keep(t testing.TB, recs []*recording) ([]string, error) {
	dir := ""
	if artifacts() {
		dir = t.ArtifactDir()
	} else {
		var err error
		if dir, err = os.MkdirTemp("", "vnettest-"); err != nil {
			return nil, err
		}
	}
	name := fileName(t.Name())
	to := filepath.Join(dir, name+".pcapng")
	taken := func() bool {
		return slices.ContainsFunc(recs, func(r *recording) bool { return exists(r.file(to)) })
	}
	for i := 2; taken(); i++ {
		to = filepath.Join(dir, fmt.Sprintf("%s-%d.pcapng", name, i))
	}
	var paths []string
	for _, r := range recs {
		path := r.file(to)
		if err := move(r.path, path); err != nil {
			os.Remove(dir) // if it is empty
			return nil, err
		}
		r.path = path
		paths = append(paths, path)
	}
	return paths, nil
}

// fileName turns the name of a test into one of a file that needs no quoting.
func fileName(test string) string {
	const longest = 100
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.", r) {
			return r
		}
		return '_'
	}, test)
	return name[:min(len(name), longest)]
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// move renames a file, or copies it where the other name is on another disk.
func move(from, to string) error {
	if os.Rename(from, to) == nil {
		return nil
	}
	if err := copyFile(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}
