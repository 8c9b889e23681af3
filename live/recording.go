package live

import (
	"errors"
	"fmt"
	"os"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// recording is where what happens on the switch goes.
type recording struct {
	file *pcap.Recorder
}

// RecordingStatus says where a recording is, and how it fares.
type RecordingStatus struct {
	File string `json:"file,omitempty"`
}

func newRecording(cfg Config) (*recording, error) {
	meta := cfg.Recording.Meta
	meta.Seed, meta.Clock, meta.Rules = cfg.Seed, "real", nil
	for _, r := range cfg.Faults {
		meta.Rules = append(meta.Rules, r.String())
	}
	r := &recording{}
	if cfg.Recording.File == "" {
		return r, nil
	}
	var err error
	if r.file, err = pcap.Create(cfg.Recording.File, meta); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return r, nil
}

func (r *recording) Record(e vswitch.Event) error {
	if r.file == nil {
		return nil
	}
	return r.file.Record(e)
}

func (r *recording) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

func (r *recording) abandon() {
	if r.file != nil {
		path := r.file.Written()
		if err := r.file.Close(); errors.Is(err, os.ErrClosed) {
			return
		}
		os.Remove(path)
	}
}

func (r *recording) status() RecordingStatus {
	if r.file == nil {
		return RecordingStatus{}
	}
	return RecordingStatus{File: r.file.Written()}
}
