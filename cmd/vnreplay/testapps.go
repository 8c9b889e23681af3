package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/regress"
)

// appFiles returns the files that an application of a live side names, in the
// form that --live takes it, or why no expectation file may name it. An
// application that is not known here is refused: it could open or start anything,
// and expectation files may come from strangers.
func appFiles(app string) (files []string, err error) {
	_, _, err = mapAppFiles(app, func(file string) (string, error) {
		files = append(files, file)
		return file, nil
	})
	return files, err
}

// mapAppFiles returns the application with other names for its files, and what
// kind it is.
func mapAppFiles(app string, name func(file string) (string, error)) (mapped, kind string, err error) {
	word, rest, has := strings.Cut(app, ":")
	kind, _, _ = strings.Cut(word, "@")
	switch {
	case kind == "exec":
		return "", kind, errors.New("exec: is taken from the command line of replay only; an expectation file starts no programs")
	case app == "transcript", kind == "echo-server" && !has, kind == "udp-echo-server" && !has:
		return app, kind, nil
	case word == "transcript":
		file, err := name(rest)
		return word + ":" + file, kind, err
	case kind == "http-server":
		var items []string
		for item := range strings.SplitSeq(rest, ",") {
			path, file, ok := strings.Cut(item, "=")
			if !ok || file == "" {
				return "", kind, fmt.Errorf("%s: want http-server[@PORT]:/PATH=FILE, several with commas", app)
			}
			if file, err = name(file); err != nil {
				return "", kind, err
			}
			items = append(items, path+"="+file)
		}
		return word + ":" + strings.Join(items, ","), kind, nil
	}
	return "", kind, fmt.Errorf("%s: no application that an expectation file can name; there is transcript[:FILE], http-server[@PORT]:/PATH=FILE, echo-server@PORT and udp-echo-server@PORT", app)
}

// loadExpectation reads an expectation file for a run.
func loadExpectation(path, name string) (*regress.Expectation, error) {
	return regress.Load(path, name, appFiles)
}
