package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/regress"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
	"github.com/vnreplay/vnreplay/switch"
)

// captureExt is the extension of a capture's name, with that of its compression:
// ".pcapng.gz".
func captureExt(path string) string {
	ext := filepath.Ext(path)
	if ext == ".gz" || ext == ".zst" {
		ext = filepath.Ext(strings.TrimSuffix(path, ext)) + ext
	}
	return ext
}

// recordingPaths are where the recordings of a run go: path itself, or of several
// switches NAME.lan.pcapng, NAME.wan.pcapng for NAME.pcapng.
func recordingPaths(path string, s *scenario.Scenario) []string {
	names := s.SwitchNames()
	if len(names) == 1 {
		return []string{path}
	}
	ext, before := captureExt(path), "."
	if strings.HasSuffix(path, regress.FailedSuffix) {
		ext, before = regress.FailedSuffix, regress.BeforeSwitch
	}
	for i, name := range names {
		names[i] = strings.TrimSuffix(path, ext) + before + name + ext
	}
	return names
}

// recordings are those of one run of a scenario: one for each switch.
type recordings struct{ recs []*pcap.Recorder }

// createRecordings makes the recordings of a run.
func createRecordings(paths []string, s *scenario.Scenario) (*recordings, error) {
	r := &recordings{}
	for i, meta := range s.Metas() {
		rec, err := pcap.Create(linked(paths[i]), meta)
		if err != nil {
			r.abort()
			return nil, fmt.Errorf("recording: %w", err)
		}
		r.recs = append(r.recs, rec)
	}
	return r, nil
}

// recorders are what a run needs. It ends when one of the recordings becomes too large.
func (r *recordings) recorders(most int64, end context.CancelCauseFunc) (all []vswitch.Recorder) {
	for _, rec := range r.recs {
		all = append(all, &ceiling{Recorder: rec, most: most, end: end})
	}
	return all
}

// written are the paths under which they stand now.
func (r *recordings) written() (all []string) {
	for _, rec := range r.recs {
		all = append(all, rec.Written())
	}
	return all
}

// close finishes all of them.
func (r *recordings) close() error {
	var errs []error
	for _, rec := range r.recs {
		errs = append(errs, rec.Close())
	}
	return errors.Join(errs...)
}

// broken are the paths of those that could not be finished.
func (r *recordings) broken() (all []string) {
	for _, rec := range r.recs {
		if rec.Close() != nil {
			all = append(all, rec.Written())
		}
	}
	return all
}

// abort ends them before there is anything in them: what stood under their names stays.
func (r *recordings) abort() {
	for _, rec := range r.recs {
		rec.Discard()
	}
}

// discard removes them.
func (r *recordings) discard() {
	for _, rec := range r.recs {
		rec.Close()
		os.Remove(rec.Written())
	}
}

// compareFiles compares two recordings.
func compareFiles(expected, actual string) (*pcap.Comparison, error) {
	e, err := pcap.Open(expected)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	a, err := pcap.Open(actual)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	return pcap.Compare(e, a)
}

// earliest returns which of the comparisons of a run's recordings, which have one clock, found
// what differs first, or -1. What differs on other switches may follow from that. Those that
// are nil do not count.
func earliest(all []*pcap.Comparison) int {
	first := -1
	for i, c := range all {
		if c != nil && c.Difference != nil && (first < 0 || c.Difference.At().Before(all[first].Difference.At())) {
			first = i
		}
	}
	return first
}
