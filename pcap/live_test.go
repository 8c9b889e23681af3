package pcap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// eventLog keeps what a switch tells its recorder, to tell it again.
type eventLog struct{ events []vswitch.Event }

func (l *eventLog) Close() error { return nil }
func (l *eventLog) Record(e vswitch.Event) error {
	switch v := e.(type) {
	case *vswitch.Sent:
		c, f := *v, *v.Frame
		f.Data = slices.Clone(f.Data)
		c.Frame = &f
		c.Receivers = slices.Clone(c.Receivers)
		for i := range c.Receivers {
			c.Receivers[i].Arrivals = slices.Clone(c.Receivers[i].Arrivals)
		}
		c.Hits = slices.Clone(c.Hits)
		e = &c
	case *vswitch.Connected:
		c := *v
		e = &c
	case *vswitch.Changed:
		c := *v
		e = &c
	case *vswitch.Disconnected:
		c := *v
		e = &c
	}
	l.events = append(l.events, e)
	return nil
}

// tell tells a recorder everything.
func (l *eventLog) tell(t tb, r vswitch.Recorder) {
	t.Helper()
	for _, e := range l.events {
		ok(t, r.Record(e))
	}
}

// recorded is what a Recorder makes of the events.
func (l *eventLog) recorded(t tb, meta pcap.Meta) []byte {
	t.Helper()
	var b bytes.Buffer
	r, err := pcap.NewRecorder(&b, meta)
	ok(t, err)
	l.tell(t, r)
	ok(t, r.Close())
	return b.Bytes()
}

// realMeta describes a run in real time.
func realMeta() pcap.Meta {
	m := testMeta
	m.Clock = "real"
	return m
}

func live(t tb, cfg pcap.LiveConfig) *pcap.LiveRecorder {
	t.Helper()
	cfg.Meta = testMeta
	r, err := pcap.NewLiveRecorder(cfg)
	ok(t, err)
	return r
}

// traffic is events of two ports, of which a sends so many frames of n bytes to b, one a
// millisecond.
func traffic(t tb, frames, n int) *eventLog {
	t.Helper()
	a, b, first := event(t, n)
	l := &eventLog{}
	start := vswitch.DefaultStart
	for _, p := range []*vswitch.Port{a, b} {
		ok(t, l.Record(&vswitch.Connected{Time: start, Port: p}))
	}
	for i := range frames {
		e := *first
		f := *first.Frame
		f.Seq = uint64(i + 1)
		f.At = start.Add(time.Duration(i+1) * time.Millisecond)
		e.Frame = &f
		e.Receivers = []vswitch.Receiver{{Port: b, Arrivals: []time.Time{f.At.Add(a.Latency() + b.Latency())}}}
		ok(t, l.Record(&e))
	}
	end := start.Add(time.Duration(frames+1) * time.Millisecond)
	for _, p := range []*vswitch.Port{a, b} {
		ok(t, l.Record(&vswitch.Disconnected{Time: end, Port: p}))
	}
	return l
}

// Whatever happens on a switch, the live recorder writes the bytes that the other one
// does.
func TestALiveRecordingIsTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := randomLAN(t).log
		want := log.recorded(t, realMeta())
		dir, err := os.MkdirTemp("", "live")
		ok(t, err)
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "run.pcapng")
		f, err := pcap.CreateFile(path)
		ok(t, err)
		var also bytes.Buffer
		r := live(t, pcap.LiveConfig{
			Outputs: []pcap.Output{pcap.ToFile(f), pcap.ToWriter(&also, "also")},
			Flush:   time.Duration(rapid.IntRange(1, 2000).Draw(t, "flush")) * time.Microsecond,
		})
		log.tell(t, r)
		ok(t, r.Close())
		got, err := os.ReadFile(path)
		ok(t, err)
		if !bytes.Equal(got, want) || !bytes.Equal(also.Bytes(), want) {
			t.Fatalf("%d and %d bytes, want %d", len(got), also.Len(), len(want))
		}
		if s := r.Stats(); s.WaitingBytes != 0 || s.WaitingFrames != 0 || s.Lost != 0 || s.Frames != uint64(len(packets(t, read(t, want)))) {
			t.Fatalf("%+v", s)
		}
	})
}

// Many chunks, and frames that are longer than one.
func TestALongLiveRecordingIsTheSameBytes(t *testing.T) {
	log := traffic(t, 3000, 1514)
	for _, e := range log.events {
		// One of 65,000 bytes all of which are changed takes 300 KB.
		if s, isSent := e.(*vswitch.Sent); isSent && s.Seq == 1000 {
			s.Data = ether(s.Dst(), s.Src(), 65000)
			s.Hits = []vswitch.Hit{{Rule: log.rule(t), Verdict: vswitch.Verdict{Edits: []vswitch.Edit{{Old: make([]byte, 60000), New: make([]byte, 60000)}}}}}
		}
	}
	want := log.recorded(t, realMeta())
	var b bytes.Buffer
	r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToWriter(&b, "b")}, Queue: 1})
	log.tell(t, r)
	ok(t, r.Close())
	if !bytes.Equal(b.Bytes(), want) {
		t.Fatalf("%d bytes, want %d", b.Len(), len(want))
	}
}

// rule is a rule of the log's switch.
func (l *eventLog) rule(t tb) *vswitch.InstalledRule {
	t.Helper()
	return l.events[0].(*vswitch.Connected).Port.Switch().AddRule("r", script(nil))
}

// A frame is in the output after the time that was asked for, also when no other comes.
func TestAFrameDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := traffic(t, 2, 100)
		var b lockedBuffer
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToWriter(&b, "b")}, Flush: 100 * time.Millisecond})
		ok(t, r.Record(log.events[0]))
		ok(t, r.Record(log.events[1]))
		time.Sleep(90 * time.Minute)
		ok(t, r.Record(log.events[2]))
		synctest.Wait()
		if n := framesIn(t, &b); n != 0 {
			t.Fatalf("%d frames at once", n)
		}
		time.Sleep(60 * time.Millisecond)
		ok(t, r.Record(log.events[3])) // does not put the first off
		if s := r.Stats(); s.WaitingFrames != 2 || s.Lag != 60*time.Millisecond {
			t.Errorf("%+v", s)
		}
		time.Sleep(40 * time.Millisecond)
		synctest.Wait()
		if n := framesIn(t, &b); n != 2 {
			t.Fatalf("%d frames after the time that was asked for", n)
		}
		if s := r.Stats(); s.WaitingFrames != 0 || s.Lag != 0 || s.Frames != 2 || s.Bytes == 0 {
			t.Errorf("%+v", s)
		}
		ok(t, r.Close())
	})
}

// lockedBuffer is a buffer that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.b.Bytes())
}

// framesIn counts the packets that a buffer holds.
func framesIn(t tb, b *lockedBuffer) int {
	t.Helper()
	return len(packets(t, read(t, b.bytes())))
}

// gate is a writer that does not write before it is opened.
type gate struct {
	io.Writer
	open chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	return g.Writer.Write(p)
}

// A full queue makes the switch wait, and nothing is lost.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := traffic(t, 3000, 1514) // 4.7 MB
		var b bytes.Buffer
		g := &gate{&b, make(chan struct{})}
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToWriter(g, "b")}, Queue: 3 << 20})
		told := make(chan struct{})
		go func() {
			log.tell(t, r)
			close(told)
		}()
		time.Sleep(time.Minute)
		select {
		case <-told:
			t.Error("4.7 MB fitted into a queue of 3 MiB")
		default:
		}
		if s := r.Stats(); s.WaitingBytes < 2<<20 || s.WaitingBytes > 4<<20 || s.Lag < 59*time.Second || s.Lost != 0 {
			t.Errorf("%+v", s)
		}
		close(g.open)
		<-told
		ok(t, r.Close())
		if !bytes.Equal(b.Bytes(), log.recorded(t, realMeta())) {
			t.Error("the recording is another")
		}
	})
}

// A recorder that drops never makes the switch wait, and the file tells what is missing.
func TestDroppedFramesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := traffic(t, 4000, 1514)
		var b bytes.Buffer
		g := &gate{&b, make(chan struct{})}
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToWriter(g, "b")}, Queue: 1, DropWhenFull: true})
		for _, e := range log.events[:3500] {
			ok(t, r.Record(e)) // in time that stands still
		}
		close(g.open)
		time.Sleep(time.Second)
		for _, e := range log.events[3500:] {
			ok(t, r.Record(e))
		}
		ok(t, r.Close())

		st := r.Stats()
		if st.Lost < 1000 || st.Frames+st.Lost != 4000 {
			t.Fatalf("%+v", st)
		}
		rd := read(t, b.Bytes())
		last, lost, gaps := uint64(0), uint64(0), 0
		for p, err := range rd.Packets() {
			ok(t, err)
			if missing := p.ID - last - 1; missing != p.Lost {
				t.Fatalf("frame %d comes after %d and tells of %d lost", p.ID, last, p.Lost)
			} else if missing > 0 {
				gaps++
				lost += missing
			}
			last = p.ID
		}
		stats := rd.Interfaces()[0].Stats
		if lost > st.Lost || stats.Lost != st.Lost || stats.Dropped != st.Lost || gaps == 0 {
			t.Fatalf("%d told by frames, %d by the statistics (%d dropped), want %d", lost, stats.Lost, stats.Dropped, st.Lost)
		}
		if !slices.Contains(stats.Comments, fmt.Sprintf("vnr.recorder-lost=%d", st.Lost)) {
			t.Errorf("comments %q", stats.Comments)
		}
		books, err := pcap.Balance(read(t, b.Bytes()), nil)
		ok(t, err)
		ok(t, books.Check())
		if books.Partial == "" || books.Ports[0].RecorderLost != st.Lost {
			t.Errorf("books %q, %d", books.Partial, books.Ports[0].RecorderLost)
		}
	})
}

// Ports that come and go while there is no room are recorded all the same.
func TestPortsAreNotDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := traffic(t, 2000, 1514)
		var b bytes.Buffer
		g := &gate{&b, make(chan struct{})}
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToWriter(g, "b")}, Queue: 1, DropWhenFull: true})
		log.tell(t, r)
		if r.Stats().Lost == 0 {
			t.Fatal("there was room")
		}
		for range 100 {
			log.tell(t, r) // the ports once more; nobody minds
		}
		if s := r.Stats(); s.WaitingBytes > 3<<20 {
			t.Errorf("%+v", s)
		}
		close(g.open)
		ok(t, r.Close())
		rd := read(t, b.Bytes())
		packets(t, rd)
		if n := len(rd.Interfaces()); n != 202 {
			t.Errorf("%d interfaces", n)
		}
		for _, ifc := range rd.Interfaces() {
			if ifc.Stats == nil {
				t.Fatalf("interface %d has no statistics", ifc.ID)
			}
		}
	})
}

// The first error of an output is told at once, also where nothing happens any more.
func TestAFullDiskEndsALiveRecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := traffic(t, 2000, 1514)
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToWriter(&full{n: 1_200_000}, "disk")}, Queue: 8 << 20})
		for _, e := range log.events[:1500] {
			if err := r.Record(e); err != nil {
				break
			}
		}
		<-r.Failed()
		err := r.Err()
		var we *pcap.WriteError
		if !errors.As(err, &we) || !errors.Is(err, syscall.ENOSPC) || we.Name != "disk" || we.Offset != 1_200_000 {
			t.Errorf("got %v", err)
		}
		for what, got := range map[string]error{"Record": r.Record(log.events[1600]), "Close": r.Close(), "Finish": r.Finish(t.Context())} {
			if got != err {
				t.Errorf("%s returns %v, want %v", what, got, err)
			}
		}
		r.Abort()
	})
}

func TestALiveRecorderThatIsGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.pcapng")
	f, err := pcap.CreateFile(path)
	ok(t, err)
	log := traffic(t, 10, 60)
	r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToFile(f)}, Flush: time.Millisecond})
	for _, e := range log.events[:8] {
		ok(t, r.Record(e))
	}
	for r.Stats().WaitingFrames > 0 {
		time.Sleep(time.Millisecond)
	}
	r.Abort()
	select {
	case <-r.Failed():
	default:
		t.Error("Failed is not closed")
	}
	if err := r.Record(log.events[8]); !errors.Is(err, pcap.ErrAborted) {
		t.Errorf("Record returns %v", err)
	}
	if err := r.Close(); !errors.Is(err, pcap.ErrAborted) {
		t.Errorf("Close returns %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a file of the name: %v", err)
	}
	b, err := os.ReadFile(path + ".partial")
	ok(t, err)
	if n := len(packets(t, read(t, b))); n != 6 {
		t.Errorf("%d frames", n)
	}
}

// A switch that waits for room learns that the recording is given up.
func TestAbortWhileRecordWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := traffic(t, 3000, 1514)
		g := &gate{io.Discard, make(chan struct{})}
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToWriter(g, "b")}, Queue: 1})
		got := make(chan error)
		go func() {
			for _, e := range log.events {
				if err := r.Record(e); err != nil {
					got <- err
					return
				}
			}
			got <- nil
		}()
		synctest.Wait()
		r.Abort()
		if err := <-got; !errors.Is(err, pcap.ErrAborted) {
			t.Errorf("got %v", err)
		}
		close(g.open)
	})
}

// Close does not wait for ever for what nobody takes.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := traffic(t, 10, 60)
		g := &gate{io.Discard, make(chan struct{})}
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToWriter(g, "pipe")}, CloseWait: 3 * time.Second})
		log.tell(t, r)
		began := time.Now()
		err := r.Close()
		if took := time.Since(began); !errors.Is(err, pcap.ErrNotRead) || took < 3*time.Second || took > 4*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		close(g.open)
	})
	synctest.Test(t, func(t *testing.T) {
		g := &gate{io.Discard, make(chan struct{})}
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToWriter(g, "pipe")}})
		traffic(t, 10, 60).tell(t, r)
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("the second signal")
		time.AfterFunc(time.Second, func() { cancel(why) })
		if err := r.Finish(ctx); err != why {
			t.Errorf("got %v", err)
		}
		close(g.open)
	})
}

// A pipe whose reader goes away ends the recording; one that nobody reads does not keep
// Close.
func TestAPipeOfALiveRecording(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	ok(t, syscall.Mkfifo(path, 0o600))
	open := func(t *testing.T) (*pcap.LiveRecorder, *os.File) {
		reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		ok(t, err)
		f, err := pcap.CreateFile(path)
		ok(t, err)
		return live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToFile(f)}, Flush: time.Millisecond, CloseWait: 50 * time.Millisecond}), reader
	}
	log := traffic(t, 1000, 1514)
	t.Run("the reader goes away", func(t *testing.T) {
		r, reader := open(t)
		for _, e := range log.events[:10] {
			ok(t, r.Record(e))
		}
		b := make([]byte, 100_000)
		n, err := io.ReadAtLeast(reader, b, 8*1514)
		ok(t, err)
		if n := len(packets(t, read(t, b[:n]))); n < 7 {
			t.Errorf("%d frames in the pipe", n)
		}
		ok(t, reader.Close())
		// Nothing happens but one frame more; the error comes all the same.
		_ = r.Record(log.events[10])
		<-r.Failed()
		if err := r.Close(); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nobody reads", func(t *testing.T) {
		r, reader := open(t)
		defer reader.Close()
		for _, e := range log.events { // 1.5 MB into 64 KiB
			ok(t, r.Record(e))
		}
		if err := r.Close(); !errors.Is(err, pcap.ErrNotRead) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nobody opens it", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		_, err := pcap.CreateFileContext(ctx, path)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
	})
}

func TestLiveRecorderThatCannotBe(t *testing.T) {
	long := testMeta
	long.Scenario = strings.Repeat("x", pcap.MaxMeta)
	for want, cfg := range map[string]pcap.LiveConfig{
		"without outputs": {},
		"too long":        {Meta: long, Outputs: []pcap.Output{pcap.ToWriter(io.Discard, "")}},
		"two rotations":   {Outputs: []pcap.Output{rotation(t, t.TempDir(), pcap.RotationConfig{Size: 1}), rotation(t, t.TempDir(), pcap.RotationConfig{Size: 1})}},
	} {
		if _, err := pcap.NewLiveRecorder(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
