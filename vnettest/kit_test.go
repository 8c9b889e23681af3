package vnettest_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/vnettest"
)

// No test leaves a goroutine behind, nor does any scene.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A package that tests with goldens of its own has this flag. It is here to show
// that vnettest's do not collide with it.
var _ = flag.Bool("update", false, "rewrite golden files")

// document is what the web server of most scenes serves.
var document = bytes.Repeat([]byte("All work and no play makes Jack a dull boy.\n"), 6000)

var handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(document) })

// download fetches a document on a host called client from one called server.
func download(n *vnettest.Net) func(context.Context) error {
	return func(ctx context.Context) error {
		resp, err := n.HTTPClient("client").Get("http://server/")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err == nil && !bytes.Equal(got, document) {
			err = fmt.Errorf("got %d bytes, not the document's %d", len(got), len(document))
		}
		return err
	}
}

// Scenes are tests that are run in a process of their own, because they fail, or
// because what they leave behind is to be seen.
const envScene = "VNETTEST_SCENE"

func TestScene(t *testing.T) {
	if os.Getenv(envScene) == "" {
		t.Skip("it is run by the other tests")
	}
	for name, scene := range scenes {
		t.Run(name, scene)
	}
}

// played is what came of a scene.
type played struct {
	out    string
	passed bool
	tmp    string   // its os.TempDir
	left   []string // what is left there
}

// play runs a scene with flags. The directory it starts in, which it takes for its
// package's, is dir.
func play(t *testing.T, dir, scene string, args ...string) played {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := played{tmp: t.TempDir()}
	cmd := exec.Command(self, append([]string{"-test.run=^TestScene$/^" + scene + "$", "-test.v=true", "-test.count=1"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), envScene+"=1", "TMPDIR="+p.tmp)
	out, err := cmd.CombinedOutput()
	p.out, p.passed = string(out), err == nil
	if strings.Contains(p.out, "no tests to run") {
		t.Fatalf("there is no scene %s", scene)
	}
	err = filepath.WalkDir(p.tmp, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			p.left = append(p.left, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// says fails the test unless the scene printed all of want.
func (p *played) says(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(p.out, w) {
			t.Errorf("it does not say %q:\n%s", w, p.out)
		}
	}
}

// saysNot fails the test if the scene printed any of these.
func (p *played) saysNot(t *testing.T, unwanted ...string) {
	t.Helper()
	for _, u := range unwanted {
		if strings.Contains(p.out, u) {
			t.Errorf("it says %q:\n%s", u, p.out)
		}
	}
}

var recordingLine = regexp.MustCompile(`recording: (\S+)`)

// recording fails the test unless the scene failed, said where its recording is,
// and left that and nothing else; it returns the path.
func (p *played) recording(t *testing.T) string {
	t.Helper()
	if p.passed {
		t.Errorf("it passed:\n%s", p.out)
	}
	m := recordingLine.FindStringSubmatch(p.out)
	if m == nil {
		t.Fatalf("it does not say where its recording is:\n%s", p.out)
	}
	if !slices.Equal(p.left, []string{m[1]}) {
		t.Errorf("it left %v, want %s", p.left, m[1])
	}
	return m[1]
}

// nothingLeft fails the test if a scene left files or directories behind.
func (p *played) nothingLeft(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(p.tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("it left %s:\n%s", e.Name(), p.out)
	}
}

// frames reads a recording, which has to be whole, and returns how many frames it
// has and what it says of the run.
func frames(t *testing.T, path string) (n int, meta pcap.Meta) {
	t.Helper()
	r, err := pcap.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, err := range r.Packets() {
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		n++
	}
	meta, ok := r.Meta()
	if !ok {
		t.Errorf("%s does not describe its run", path)
	}
	return n, meta
}
