package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/scenario"
	"github.com/vnreplay/vnreplay/switch"
)

// isRegularOrNew reports whether path is, or will be, a regular file.
func isRegularOrNew(path string) bool {
	if path == "-" {
		return false
	}
	info, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist) || err == nil && info.Mode().IsRegular()
}

// sameFile reports whether two paths lead to one regular file.
func sameFile(in, out string) bool {
	a, err := os.Stat(in)
	if err != nil || !a.Mode().IsRegular() {
		return false
	}
	b, err := os.Stat(out)
	return err == nil && os.SameFile(a, b)
}

// linked follows a symbolic link whose target is not there yet, so that writing
// makes the target.
func linked(path string) string {
	const most = 40 // as Linux does; links can form a ring
	for range most {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			break
		}
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return path
}

// overwrites is the error of a command that is to write over what it reads.
func overwrites(path string) error {
	return usage("-w %s is the file that it reads: give another", path)
}

// readTwice refuses what cannot be read a second time.
func readTwice(verb, path string) error {
	if path == "-" {
		return usage("%s reads a recording twice: give the name of a file", verb)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return usage("%s: not a regular file, and %s reads it twice", path, verb)
	}
	return nil
}

// readFile reads a file of limited size.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: more than %d bytes", path, most)
	}
	return data, err
}

var maxSizeFlag = &cli.StringFlag{Name: "max-size", Value: "4GB", Usage: "end at a recording of about `SIZE` (4GB)"}

func maxSize(c *cli.Context) (int64, error) {
	text := c.String("max-size")
	size, err := scenario.ParseSize(text)
	if err == nil && size == 0 {
		err = errors.New("want more than nothing")
	}
	if err != nil {
		return 0, usage("--max-size %s: %v", text, err)
	}
	return int64(size), nil
}

// ceiling is a recorder that ends the run when its recording becomes too large.
// The recording is whole nevertheless: it says that the run was cut short.
type ceiling struct {
	vswitch.Recorder
	most, size int64
	end        context.CancelCauseFunc
}

// What a frame takes in the file besides its bytes, about.
const (
	blockBytes   = 60
	commentBytes = 50
)

// Record passes an event on.
func (c *ceiling) Record(e vswitch.Event) error {
	if sent, ok := e.(*vswitch.Sent); ok {
		c.size += blockBytes + int64(len(sent.Data)) + commentBytes*int64(len(sent.Hits))
		if c.size > c.most {
			c.end(errTooLarge{c.most})
		}
	}
	return c.Recorder.Record(e)
}

// errTooLarge is the cause of the end of a run whose recording is too large.
type errTooLarge struct{ most int64 }

func (e errTooLarge) Error() string {
	return fmt.Sprintf("the recording has grown to %v: allow more with --max-size", scenario.Size(e.most))
}
