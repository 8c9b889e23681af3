package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Recording says where the recording of a switch goes. With a zero Recording it goes
// only to who asks for it ([Switch.Capture]).
type Recording struct {
	// Meta describes the run. Seed, Clock and Rules are filled in.
	Meta pcap.Meta
	// File is its name, "-" the standard output; see [pcap.CreateFile]. Empty: no file. A
	// named pipe is opened when somebody reads it.
	File string
	// Rotate, if not zero, spreads it over files named after File.
	Rotate pcap.RotationConfig
	// Listen, "tcp:HOST:PORT", is where whoever connects gets the stream from then on.
	Listen string
	// DropWhenFull lets frames go unrecorded, and counted, when the file is too slow.
	// Otherwise the switch waits for it.
	DropWhenFull bool
}

// closeWait is how long a file or a reader has to take the end of the recording.
const closeWait = 3 * time.Second

// maxListeners is how many connections to Recording.Listen there may be at a time.
const maxListeners = 32

// recording is where what happens on the switch goes.
type recording struct {
	*pcap.LiveRecorder
	cfg       Recording
	file      *pcap.File     // or nil
	rotation  *pcap.Rotation // or nil
	broadcast *pcap.Broadcaster
	listener  net.Listener // or nil
	listening sync.WaitGroup

	mu   sync.Mutex
	path string // where the file is
}

// RecordingStatus says where a recording is, and how it fares.
type RecordingStatus struct {
	File   string       `json:"file,omitempty"` // .partial while it is not whole
	Files  []FileStatus `json:"files,omitempty"`
	Listen string       `json:"listen,omitempty"`
	Frames uint64       `json:"frames"`         // recorded
	Bytes  int64        `json:"bytes"`          // written
	Lost   uint64       `json:"lost,omitempty"` // frames not recorded, since it was full
	// What is recorded and not written yet, and for how long the oldest of it waits.
	WaitingFrames uint64         `json:"waiting_frames"`
	Lag           time.Duration  `json:"lag_ns"`
	Streams       []StreamStatus `json:"streams,omitempty"`
}

// FileStatus is one of several files.
type FileStatus struct {
	Path    string `json:"path"`
	Bytes   int64  `json:"bytes"`
	Frames  uint64 `json:"frames"`
	Removed bool   `json:"removed,omitempty"` // to keep as many as were wanted
}

// StreamStatus is what somebody who listens got.
type StreamStatus struct {
	Name   string `json:"name"`
	Frames uint64 `json:"frames"`
	Bytes  int64  `json:"bytes"`
	Lost   uint64 `json:"lost,omitempty"` // left out of the stream, whose reader was too slow
}

// newRecording begins the recording of a switch. It waits, until ctx ends, for the
// reader of a named pipe.
func newRecording(ctx context.Context, cfg Config) (_ *recording, err error) {
	r := &recording{cfg: cfg.Recording, broadcast: pcap.NewBroadcaster(pcap.BroadcasterConfig{})}
	meta := r.cfg.Meta
	meta.Seed, meta.Clock, meta.Rules = cfg.Seed, "real", nil
	for i, rule := range cfg.Faults {
		meta.Rules = append(meta.Rules, rule.String())
		if rule.StartsOff() {
			meta.Off = append(meta.Off, i+1)
		}
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("recording: %w", err)
			r.giveUp()
		}
	}()
	if r.cfg.Listen != "" {
		addr, ok := strings.CutPrefix(r.cfg.Listen, "tcp:")
		if !ok {
			return nil, fmt.Errorf("listen on %q: want tcp:HOST:PORT, such as tcp:127.0.0.1:19000", r.cfg.Listen)
		}
		if r.listener, err = net.Listen("tcp", addr); err != nil {
			return nil, err
		}
	}
	var outputs []pcap.Output
	switch {
	case r.cfg.File == "":
	case r.cfg.Rotate != (pcap.RotationConfig{}):
		if r.rotation, err = pcap.NewRotation(r.cfg.File, r.cfg.Rotate); err != nil {
			return nil, err
		}
		outputs = append(outputs, r.rotation)
	default:
		if r.file, err = createFile(ctx, r.cfg.File); err != nil {
			return nil, err
		}
		r.path = r.file.Written()
		if r.cfg.File == "-" {
			r.path = "-"
		}
		outputs = append(outputs, pcap.ToFile(r.file))
	}
	outputs = append(outputs, r.broadcast)
	r.LiveRecorder, err = pcap.NewLiveRecorder(pcap.LiveConfig{Meta: meta, Outputs: outputs,
		DropWhenFull: r.cfg.DropWhenFull, CloseWait: closeWait})
	return r, err
}

// createFile is pcap.CreateFile, which waits for the reader of a pipe, until ctx ends.
func createFile(ctx context.Context, path string) (*pcap.File, error) {
	type made struct {
		f   *pcap.File
		err error
	}
	done := make(chan made, 1)
	go func() {
		f, err := pcap.CreateFile(path)
		done <- made{f, err}
	}()
	select {
	case m := <-done:
		return m.f, m.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// serve gives the stream to whoever connects, until the recording ends.
func (r *recording) serve() {
	if r.listener == nil {
		return
	}
	room := make(chan struct{}, maxListeners)
	r.listening.Go(func() {
		for {
			conn, err := r.listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // no descriptor left, say: others may go
				time.Sleep(100 * time.Millisecond)
				continue
			}
			select {
			case room <- struct{}{}:
			default:
				conn.Close()
				continue
			}
			r.listening.Go(func() {
				defer func() { <-room }()
				defer conn.Close()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				go func() { // until it hangs up
					io.Copy(io.Discard, conn)
					cancel()
				}()
				// How it ended its reader sees.
				_, _ = r.broadcast.Stream(ctx, conn.RemoteAddr().String(), conn)
			})
		}
	})
}

// Close finishes the recording.
func (r *recording) Close() error {
	if r.listener != nil {
		r.listener.Close()
	}
	err := r.LiveRecorder.Close()
	r.listening.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil && r.path != "-" {
		r.path = r.file.Written()
	}
	return err
}

// giveUp takes back a recording that is of no use: the run did not begin.
func (r *recording) giveUp() {
	if r.listener != nil {
		r.listener.Close()
	}
	if r.LiveRecorder != nil {
		r.Abort()
	}
	var left []string
	if r.file != nil {
		r.file.Abort()
		left = append(left, r.file.Written())
	}
	if r.rotation != nil {
		for _, f := range r.rotation.Files() {
			left = append(left, f.Path)
		}
	}
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			os.Remove(path)
		}
	}
	r.listening.Wait()
}

func (r *recording) status() RecordingStatus {
	st := r.Stats()
	r.mu.Lock()
	out := RecordingStatus{File: r.path, Frames: st.Frames, Bytes: st.Bytes, Lost: st.Lost, WaitingFrames: st.WaitingFrames, Lag: st.Lag}
	r.mu.Unlock()
	if r.rotation != nil {
		for _, f := range r.rotation.Files() {
			out.Files = append(out.Files, FileStatus{f.Path, f.Size, f.Frames, f.Removed})
		}
	}
	if r.listener != nil {
		out.Listen = "tcp:" + r.listener.Addr().String()
	}
	for _, s := range r.broadcast.Streams() {
		out.Streams = append(out.Streams, StreamStatus{s.Name, s.Frames, s.Bytes, s.Lost})
	}
	return out
}

// isReaderGone reports whether a recording ended because nobody reads the pipe it goes to.
func isReaderGone(err error) bool { return errors.Is(err, syscall.EPIPE) }

var _ vswitch.Recorder = (*recording)(nil)

// Rotate lets the next frame begin a file. The error is pcap.ErrNoRotation if the
// recording is not one of several files.
func (s *Switch) Rotate() error { return s.rec.Rotate() }

// Capture writes a pcapng of what happens from now on to w, until the run ends, done is
// closed, or w fails; a w that does not keep up misses frames, which the stream tells. If
// w has a method SetWriteDeadline, a write that hangs is ended with it.
func (s *Switch) Capture(w io.Writer, done <-chan struct{}) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-done:
			cancel()
		case <-over:
		}
	}()
	_, err := s.rec.broadcast.Stream(ctx, "capture", w)
	return err
}
