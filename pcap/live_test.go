package pcap_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
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
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToFile(f), pcap.ToWriter(&also, "also")},
			Flush: time.Duration(rapid.IntRange(1, 2000).Draw(t, "flush")) * time.Microsecond})
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

var _ = fmt.Sprint
