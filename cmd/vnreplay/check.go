package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
)

// repeat is what --check found out.
type repeat struct {
	Same  bool   `json:"same"`
	Bytes int64  `json:"bytes"` // of the recording
	Why   string `json:"why,omitempty"`
	Error string `json:"error,omitempty"` // why it could not be found out
}

// status is the exit status for it.
func (r *repeat) status() int {
	switch {
	case r == nil || r.Same:
		return exitOK
	case r.Error != "":
		return exitUsage
	}
	return exitHarness
}

// repeat runs the scenario again, in a fresh process and in another second of
// the wall clock, and compares the recordings byte by byte.
func (r *runner) repeat(ctx context.Context, g *guard, s *scenario.Scenario, first []string) *repeat {
	dir, err := os.MkdirTemp("", "vnreplay-check-")
	if err != nil {
		return &repeat{Error: oneLine(err)}
	}
	defer os.RemoveAll(dir)
	g.discards(dir)
	second := filepath.Join(dir, "again.pcapng")

	now := time.Now()
	select {
	case <-time.After(now.Truncate(time.Second).Add(time.Second + 10*time.Millisecond).Sub(now)):
	case <-ctx.Done():
	}
	switch status, err := r.again(ctx, second); {
	case status == exitHarness:
		return &repeat{Why: "the second run failed: " + oneLine(err)}
	case err != nil:
		return &repeat{Error: oneLine(err)}
	}
	out := &repeat{Same: true}
	comparisons := make([]*pcap.Comparison, len(first))
	for i, second := range recordingPaths(second, s) {
		size, same, err := sameBytes(first[i], second)
		out.Bytes += size
		if err == nil && !same {
			out.Same = false
			comparisons[i], err = compareFiles(first[i], second)
		}
		if err != nil {
			return &repeat{Error: oneLine(err)}
		}
	}
	if out.Same {
		return out
	}
	out.Why = "the frames are the same, what the recording says of its run is not"
	if i := earliest(comparisons); i >= 0 {
		out.Why = whyDifferent(comparisons[i].Difference)
		if len(first) > 1 {
			out.Why = "on switch " + s.SwitchNames()[i] + ", " + out.Why
		}
	}
	return out
}

// again runs this program with the same flags, for a recording at path. Failed
// expectations are no error: those of the first run failed, too.
func (r *runner) again(ctx context.Context, path string) (status int, err error) {
	self, err := os.Executable()
	if err != nil {
		return exitOK, err
	}
	args := []string{"run", "-w", path, "--wall-limit", r.wallLimit.String(), "--max-size", scenario.Size(r.maxSize).String()}
	if r.seed != nil {
		args = append(args, "--seed", strconv.FormatUint(*r.seed, 10))
	}
	if r.ruleFile != "" {
		args = append(args, "--faults", r.ruleFile)
	}
	for _, path := range r.rulesFrom {
		args = append(args, "--faults-from", path)
	}
	for _, rule := range r.extra {
		args = append(args, "--fault", rule)
	}
	cmd := exec.CommandContext(ctx, self, append(args, "--", r.path)...)
	cmd.Args[0] = os.Args[0]
	var said bytes.Buffer
	cmd.Stderr = &said
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status = exit.ExitCode(); status == exitFailed {
			return status, nil
		}
		if line, _, _ := strings.Cut(said.String(), "\n"); line != "" {
			err = errors.New(strings.TrimPrefix(line, "vnreplay: "))
		}
	}
	return status, err
}

// sameBytes compares two files, and returns the size of the first.
func sameBytes(a, b string) (size int64, same bool, err error) {
	var files [2]*os.File
	for i, path := range []string{a, b} {
		if files[i], err = os.Open(path); err != nil {
			return 0, false, err
		}
		defer files[i].Close()
	}
	bufs := [2][]byte{make([]byte, 1<<16), make([]byte, 1<<16)}
	for {
		n, errA := io.ReadFull(files[0], bufs[0])
		m, errB := io.ReadFull(files[1], bufs[1])
		size += int64(n)
		if n != m || !bytes.Equal(bufs[0][:n], bufs[1][:m]) {
			return size, false, nil
		}
		if errA != nil || errB != nil {
			if errA == io.EOF || errA == io.ErrUnexpectedEOF {
				return size, true, nil
			}
			return size, false, errors.Join(errA, errB)
		}
	}
}

// whyDifferent explains a difference between two recordings.
func whyDifferent(d *pcap.Difference) string {
	why := d.String()
	if d.Expected != nil && d.Actual != nil && scenario.DateDiffers(d.Expected.Data, d.Actual.Data) {
		why += fmt.Sprintf(" (an HTTP Date header: %s)", scenario.DateAdvice)
	}
	return why
}
