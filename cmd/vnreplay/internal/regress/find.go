package regress

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Suffixes of expectation files. The first is the one that is written.
var Suffixes = []string{".vnr.yaml", ".vnr.yml"}

// FailedSuffix ends the names of recordings of what failed: they are nobody's
// capture.
const FailedSuffix = ".failed.pcapng"

// BeforeSwitch stands before the name of a switch in the names of recordings of what failed,
// where there is one of each switch. With a dot, that of switch lan in NAME.vnr.yaml would be
// that of NAME.lan.vnr.yaml.
const BeforeSwitch = "@"

// IsExpectation reports whether a file is one by its name.
func IsExpectation(path string) bool {
	return slices.ContainsFunc(Suffixes, func(s string) bool { return strings.HasSuffix(path, s) })
}

// Name is the path of an expectation file without its suffix.
func Name(path string) string {
	for _, s := range Suffixes {
		path = strings.TrimSuffix(path, s)
	}
	return path
}

// Find returns the expectation files among and below paths, each once, sorted.
// Directories whose names begin with a dot are left out, links to directories are
// not followed. captures are the captures beside them, by their names.
func Find(paths []string) (found, captures []string, err error) {
	seen := map[string]bool{}
	add := func(list *[]string, path string) {
		if path = filepath.Clean(path); !seen[path] {
			seen[path] = true
			*list = append(*list, path)
		}
	}
	var errs []error
	for _, root := range paths {
		info, err := os.Stat(root)
		switch {
		case err != nil:
			return nil, nil, err
		case !info.IsDir() && IsExpectation(root):
			add(&found, root)
			continue
		case !info.IsDir():
			return nil, nil, fmt.Errorf("%s: not an expectation file: its name ends in %s", root, Suffixes[0])
		}
		// The slash makes it follow a link that was named.
		walkErr := filepath.WalkDir(root+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				errs = append(errs, err)
				if d != nil && d.IsDir() {
					return fs.SkipDir
				}
			case d.IsDir():
				if strings.HasPrefix(d.Name(), ".") && d.Name() != "." && d.Name() != ".." && filepath.Clean(path) != filepath.Clean(root) {
					return fs.SkipDir
				}
			case strings.HasSuffix(path, FailedSuffix):
			case IsExpectation(path):
				add(&found, path)
			case slices.ContainsFunc(extensions, func(ext string) bool { return strings.HasSuffix(path, ext) }):
				add(&captures, path)
			}
			return nil
		})
		errs = append(errs, walkErr)
	}
	slices.Sort(found)
	slices.Sort(captures)
	return found, captures, errors.Join(errs...)
}
