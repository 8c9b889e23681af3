package portspec

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/live"
)

// What an http-server keeps in memory, at most.
const (
	maxServed = 256 << 20 // bytes
	maxFiles  = 10_000
)

// servers are the kinds of applications, with their usual ports.
var servers = []struct {
	kind string
	port int
	make func(port int) apps.App // nil: of its own
}{
	{"echo-server", 7, func(port int) apps.App { return apps.EchoServer{Port: port}.New() }},
	{"udp-echo-server", 7, func(port int) apps.App { return apps.UDPEchoServer{Port: port}.New() }},
	{"bulk-server", 5001, func(port int) apps.App { return apps.BulkServer{Port: port}.New() }},
	{"http-server", 80, nil},
}

// readApps reads the applications behind a host's =.
func (r *reader) readApps() error {
	for {
		text := r.text[r.at:]
		one := text[:nextApp(text)]
		app, err := r.readApp(one)
		if err != nil {
			return err
		}
		r.host.Apps = append(r.host.Apps, app)
		if len(one) == len(text) {
			return nil
		}
		r.at += len(one) + 1
	}
}

// nextApp is where the first application of a text ends: at its end, or before a + with
// the name of another kind behind it, since a file may have a + in its name.
func nextApp(text string) int {
	for i := range len(text) {
		if text[i] != '+' {
			continue
		}
		for _, s := range servers {
			if rest, ok := strings.CutPrefix(text[i+1:], s.kind); ok && (rest == "" || strings.ContainsRune("@:+", rune(rest[0]))) {
				return i
			}
		}
	}
	return len(text)
}

// readApp reads KIND[@PORT][:ARGUMENTS].
func (r *reader) readApp(text string) (live.App, error) {
	word, args, hasArgs := strings.Cut(text, ":")
	kind, portText, hasPort := strings.Cut(word, "@")
	var kinds []string
	for _, s := range servers {
		kinds = append(kinds, s.kind)
		if s.kind != kind {
			continue
		}
		port := s.port
		if hasPort {
			n, err := strconv.ParseUint(portText, 10, 16)
			if err != nil || n == 0 {
				return live.App{}, r.fail(r.at+len(kind)+1, portText, "want a port from 1 to 65535")
			}
			port = int(n)
		}
		app := live.App{Name: fmt.Sprintf("%s@%d", kind, port)}
		switch {
		case s.make == nil:
			files, err := r.files(args, r.at+len(word)+1)
			if err != nil {
				return app, err
			}
			app.App = apps.HTTPServer{Port: port, Files: files}.New()
		case hasArgs:
			return app, r.fail(r.at+len(word), ":"+args, "%s takes nothing but its port", kind)
		default:
			app.App = s.make(port)
		}
		return app, nil
	}
	return live.App{}, r.fail(r.at, kind, "no such application; there is %s", strings.Join(kinds, ", "))
}

// files reads what an http-server serves: /PATH=FILE, several with commas.
func (r *reader) files(list string, at int) (map[string][]byte, error) {
	at = min(at, len(r.text))
	s := &shelf{files: map[string][]byte{}}
	for _, item := range strings.Split(list, ",") {
		url, file, ok := strings.Cut(item, "=")
		if !ok || !strings.HasPrefix(url, "/") || file == "" {
			return nil, r.fail(at, item, "want http-server:/PATH=FILE, or /=DIRECTORY, several with commas")
		}
		if err := s.add(url, file); err != nil {
			return nil, r.fail(at+len(url)+1, file, "%w", err)
		}
		at += len(item) + 1
	}
	return s.files, nil
}

// shelf collects what is served, by path of the URL.
type shelf struct {
	files map[string][]byte
	size  int64
}

// add puts a file, or all files below a directory, under a path.
func (s *shelf) add(url, name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return reason(err)
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return errors.New("neither a file nor a directory")
		}
		f, err := os.Open(name)
		if err != nil {
			return reason(err)
		}
		return s.read(url, f)
	}
	dir, err := os.OpenRoot(name)
	if err != nil {
		return reason(err)
	}
	defer dir.Close()
	return fs.WalkDir(dir.FS(), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := dir.Open(file)
		if err != nil {
			return err
		}
		where := path.Join(url, file)
		if err := s.read(where, f); err != nil {
			return err
		}
		if path.Base(file) == "index.html" {
			index := path.Dir(where)
			s.files[index] = s.files[where]
			if index != "/" {
				s.files[index+"/"] = s.files[where]
			}
		}
		return nil
	})
}

// reason is an error of a file without the file's name.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// read reads and closes a file.
func (s *shelf) read(url string, f *os.File) error {
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxServed-s.size+1))
	s.size += int64(len(data))
	switch {
	case err != nil:
		return err
	case s.size > maxServed || len(s.files) == maxFiles:
		return fmt.Errorf("more than %d MiB or %d files; an http-server has them in memory", maxServed>>20, maxFiles)
	}
	s.files[url] = slices.Clip(data)
	return nil
}
