package vswitch_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

func TestRecorderIsToldEverythingInOrder(t *testing.T) {
	rec := &log{deliveries: true}
	l := newLAN(t, vswitch.SwitchConfig{Recorder: rec}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	l.sw.AddRule("dup", onReceiver("b", vswitch.Verdict{Copies: 1, Gap: 1 * ms, Edits: []vswitch.Edit{rewrite(0, "h", "H")}}))
	b.on = func(data []byte) {
		if len(b.got) == 1 {
			b.send(a.MAC(), "re")
		}
	}
	l.at(0, func() { a.send(b.MAC(), "hi") })
	l.at(500_000, func() { l.connect(vswitch.PortConfig{Name: "c"}) })
	l.at(600_000, func() { b.send(vswitch.Broadcast, "to-all") })
	l.at(700_000, func() { must(t, l.stations["c"].Close()) })
	l.run()
	must(t, l.w.Close())
	equal(t, "log", rec.String(), strings.TrimPrefix(`
0s connected a
0s connected b
0s sent #1 a "hi" simple all b@50µs@1.05ms [1:dup at b copies=1 gap=1ms @14:68>48]
50µs delivered #1 b "Hi"
50µs sent #2 b "re" simple all a@100µs
100µs delivered #2 a "re"
500µs connected c
600µs sent #3 b "to-all" all a@650µs c@650µs
650µs delivered #3 a "to-all"
650µs delivered #3 c "to-all"
700µs disconnected c
1.05ms delivered #1 b "Hi"
1.05ms disconnected a
1.05ms disconnected b`, "\n"))
	equal(t, "the recorder belongs to who made it: times closed", rec.closed, 0)
}

func TestDeliveriesAreToldOnlyToWhoWantsThem(t *testing.T) {
	rec := &log{}
	l := newLAN(t, vswitch.SwitchConfig{Recorder: rec}, "a", "b")
	l.at(0, func() { l.stations["a"].send(vswitch.Broadcast, "x") })
	l.run()
	equal(t, "log", rec.String(), "0s connected a\n0s connected b\n0s sent #1 a \"x\" all b@50µs\n"+
		"50µs disconnected a\n50µs disconnected b")
}

func TestRecorderMayReadTheBooks(t *testing.T) {
	var got []vswitch.Counters
	rec := recorderFunc(func(e vswitch.Event) error {
		switch e := e.(type) {
		case *vswitch.Connected:
			got = append(got, e.Port.Counters())
		case *vswitch.Disconnected:
			got = append(got, e.Port.Counters())
		}
		return nil
	})
	l := newLAN(t, vswitch.SwitchConfig{Recorder: rec}, "a", "b")
	l.at(0, func() { l.stations["a"].send(vswitch.Broadcast, "123456") })
	l.run()
	equal(t, "at the start", got[0], vswitch.Counters{})
	equal(t, "a at the end", got[2], vswitch.Counters{TxFrames: 1, TxBytes: 20})
	equal(t, "b at the end", got[3], vswitch.Counters{RxFrames: 1, RxBytes: 20})
}

// recorderFunc lets a function be a recorder.
type recorderFunc func(vswitch.Event) error

func (f recorderFunc) Record(e vswitch.Event) error { return f(e) }
func (recorderFunc) Close() error                   { return nil }

func TestRecorderErrorStopsTheRunAndIsItsError(t *testing.T) {
	full := errors.New("disk full")
	for _, tc := range []struct {
		name   string
		failAt int
		lines  int // told to the recorder in all
	}{
		{"sent", 4, 4},
		{"delivered", 5, 5},
		{"disconnected", 10, 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := &log{deliveries: true, failAt: tc.failAt, err: full}
			l := newLAN(t, vswitch.SwitchConfig{Name: "lan", Recorder: rec}, "a", "b")
			for i := range 3 {
				l.at(time.Duration(i)*ms, func() { l.stations["a"].send(vswitch.Broadcast, "x") })
			}
			err := l.tryRun()
			if !errors.Is(err, full) {
				t.Fatalf("Run: %v, want the recorder's error", err)
			}
			equal(t, "error", err.Error(), "recording lan: disk full")
			equal(t, "harness", vswitch.IsHarnessError(err), false)
			equal(t, "told no more", len(rec.lines), tc.lines)
		})
	}
}

func TestRecorderErrorAtConnectFailsConnect(t *testing.T) {
	rec := &log{failAt: 1, err: errors.New("disk full")}
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{Name: "lan", Recorder: rec})
	must(t, err)
	_, err = sw.Connect(vswitch.PortConfig{}, vswitch.EndpointFunc(func([]byte) {}))
	if err == nil || err.Error() != "recording lan: disk full" {
		t.Errorf("Connect: %v", err)
	}
	equal(t, "ports", len(sw.Ports()), 0)
}

func TestUnstartedWorldRecordsItsEnd(t *testing.T) {
	rec := &log{}
	l := newLAN(t, vswitch.SwitchConfig{Recorder: rec}, "a")
	must(t, l.w.Close())
	must(t, l.w.Close())
	equal(t, "log", rec.String(), "0s connected a\n0s disconnected a")
	if err := l.w.Run(context.Background(), func(context.Context) error { return nil }); err == nil {
		t.Error("Run after Close: no error")
	}
}
