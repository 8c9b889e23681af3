package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// FileWrite writes as many bytes as frames have to a file, in plain write(2) calls
// of a MiB: what no recorder can do better.
type FileWrite struct {
	Label string
	Count int // of frames
	Dir   string

	file *os.File
}

const writeChunk = 1 << 20 // bytes

// Name is the label.
func (f *FileWrite) Name() string { return f.Label }

// Setup makes the file.
func (f *FileWrite) Setup(context.Context) (err error) {
	f.file, err = os.Create(filepath.Join(f.Dir, "plain"))
	return err
}

// Run writes.
func (f *FileWrite) Run(ctx context.Context) (Result, error) {
	chunk := make([]byte, writeChunk)
	for i := range chunk {
		chunk[i] = byte(i)
	}
	r := Result{Frames: uint64(f.Count), Bytes: uint64(f.Count) * FrameSize}
	watch := Start()
	for left := int(r.Bytes); left > 0 && ctx.Err() == nil; left -= writeChunk {
		if _, err := f.file.Write(chunk[:min(left, writeChunk)]); err != nil {
			return r, fmt.Errorf("plain file: %w", err)
		}
	}
	r.Elapsed, r.CPU = watch.Stop()
	return r, nil
}

// Teardown removes the file.
func (f *FileWrite) Teardown() error {
	f.file.Close()
	return os.Remove(f.file.Name())
}
