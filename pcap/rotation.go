package pcap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// RotationConfig says when a [Rotation] begins its next file. At least one of Size and
// Every is set.
type RotationConfig struct {
	// Size is how long a file may become, in bytes: a frame with which it would exceed
	// that goes into the next. The section header and the statistics at the end are not
	// counted, and one frame is always in a file. 0: any.
	Size int64
	// Every is how much time a file covers, by the stamps of its frames: the first frame
	// so long after the first event of the file goes into the next. Where there are no
	// frames, no file begins. 0: any.
	Every time.Duration
	// Keep is how many files are kept, the current one included: the oldest one of this
	// run is removed when a further one is begun. 0: all.
	Keep int
	// Start is the time in the name of the first file. Zero: now.
	Start time.Time
}

// Rotation is the [Output] into files that follow each other, named as dumpcap names
// them: for "out.pcapng", out_00001_20261127134500.pcapng and so on, with the number of
// the file and the UTC time of its first event. As with [CreateFile], a file has that
// name when it is whole.
//
// Each file is a whole capture, of the frames that were sent while it was the current
// one:
//   - Its header describes the run, with the texts of all rules there are at that time,
//     and says which file it is ([Meta.File]), how many frames were sent before it
//     ([Meta.After]), which rules are off or removed and which cables are down. (If the
//     texts of added rules do not fit any more, rules and scenario are in the first
//     file only.)
//   - Packet ids go on from file to file; interfaces are those of the ports that are
//     open, numbered anew.
//   - The statistics at its end count the file's own frames, for ports that stay open as
//     well ("open=1" in their comments, [PortCounters.Open]): what it sent, and what
//     became of that, deliveries after the end of the file included. Only frames that a
//     port refused to send are counted over all files, in the last.
//
// So books balance in each file, deliveries can be rebuilt from each, and the
// deliveries from all are those from the recording in one file. But for two things: what
// was in flight to a port when that closed, and was sent in an earlier file, counts as
// delivered there; and frames that pass a reordered one in a later file are not seen to
// do so.
type Rotation struct {
	limits RotationConfig
	prefix string
	ext    string
	meta   Meta

	// The writer's.
	state   *standing
	last    uint64
	numbers *renumbering
	out     countingWriter
	started bool
	scratch []byte
	frames  uint64

	mu    sync.Mutex
	file  *File
	ended bool
	files []RotatedFile
}

// RotatedFile is one file of a [Rotation].
type RotatedFile struct {
	Number  int    // from 1
	Path    string // PATH.partial as long as it is not whole
	Size    int64  // bytes
	Frames  uint64
	Removed bool // because there were too many
}

// NewRotation returns the output into files whose names begin as path does, without its
// extension, and end with that. The error says what is wrong with cfg or path; the first
// file is made by [NewLiveRecorder].
func NewRotation(path string, cfg RotationConfig) (*Rotation, error) {
	switch {
	case path == "-" || isSpecial(path):
		return nil, fmt.Errorf("%s: only files can be rotated", path)
	case cfg.Size < 0 || cfg.Every < 0 || cfg.Keep < 0:
		return nil, errors.New("rotation: a limit below 0")
	case cfg.Size == 0 && cfg.Every == 0:
		return nil, errors.New("rotation: neither a size nor a time after which a file ends")
	}
	if cfg.Start.IsZero() {
		cfg.Start = time.Now()
	}
	ext := filepath.Ext(path)
	return &Rotation{limits: cfg, prefix: strings.TrimSuffix(path, ext), ext: ext}, nil
}

// Files returns the files so far, removed ones included, in their order.
func (t *Rotation) Files() []RotatedFile {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]RotatedFile(nil), t.files...)
}

func (t *Rotation) begin(meta Meta, s *standing) error {
	if t.file != nil {
		return errOutputUsed
	}
	t.meta, t.state = meta, s
	return t.open(t.limits.Start)
}

// open makes the next file, which begins at the given time.
func (t *Rotation) open(at time.Time) error {
	n := len(t.files) + 1
	path := fmt.Sprintf("%s_%05d_%s%s", t.prefix, n, at.UTC().Format("20060102150405"), t.ext)
	f, err := CreateFile(path)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		f.Abort()
		return ErrAborted
	}
	t.file = f
	t.files = append(t.files, RotatedFile{Number: n, Path: f.Written()})
	t.out = countingWriter{w: f, name: f.Written()}
	t.started, t.frames = false, 0
	return t.prune()
}

// prune removes files that are too many. t.mu is held.
func (t *Rotation) prune() error {
	if t.limits.Keep == 0 {
		return nil
	}
	for i := range max(0, len(t.files)-t.limits.Keep) {
		f := &t.files[i]
		if f.Removed {
			continue
		}
		if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rotation: %w", err)
		}
		f.Removed = true
	}
	return nil
}

func (t *Rotation) put(c *chunk) error {
	if c.cut != nil {
		if err := t.next(c.cut); err != nil {
			return err
		}
	}
	if err := t.start(); err != nil {
		return err
	}
	t.frames += c.frames
	_, err := t.out.Write(t.blocks(c))
	t.state, t.last = c.after, c.last
	t.count()
	return err
}

// start writes the head of the current file, once.
func (t *Rotation) start() error {
	if t.started {
		return nil
	}
	head, numbers, err := t.state.head(t.meta, len(t.files), t.last)
	if err != nil {
		return err
	}
	t.started, t.numbers = true, numbers
	_, err = t.out.Write(head)
	return err
}

// blocks returns the blocks of c as they are to be in the file.
func (t *Rotation) blocks(c *chunk) []byte {
	if t.numbers.numbers == nil && len(c.closed) == 0 {
		t.numbers.n += c.opened
		return c.buf
	}
	b, at := t.scratch[:0], 0
	for _, p := range c.closed {
		b = append(append(b, c.buf[at:p.at]...), p.block...)
		at = p.end
	}
	b = append(b, c.buf[at:]...)
	t.numbers.renumber(b)
	t.scratch = b
	return b
}

// count brings the size of the current file up to date.
func (t *Rotation) count() {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &t.files[len(t.files)-1]
	f.Size, f.Frames = t.out.n, t.frames
}

// next ends the current file and begins another.
func (t *Rotation) next(c *cut) error {
	if err := t.start(); err != nil {
		return err
	}
	b := append(t.scratch[:0], c.statistics...)
	t.numbers.renumber(b)
	t.scratch = b
	if _, err := t.out.Write(b); err != nil {
		return err
	}
	if err := t.close(); err != nil {
		return err
	}
	return t.open(c.at)
}

// close gives the current file its name.
func (t *Rotation) close() error {
	t.count()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return ErrAborted
	}
	err := t.file.Close()
	t.files[len(t.files)-1].Path = t.file.Written()
	t.file = nil
	return err
}

func (t *Rotation) finish() error {
	if err := t.start(); err != nil {
		t.abort()
		return err
	}
	return t.close()
}

func (t *Rotation) abort() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	if t.file != nil {
		t.file.Abort()
		t.file = nil
	}
}

func (t *Rotation) drain(context.Context) {}
