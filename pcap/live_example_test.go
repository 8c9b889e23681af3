package pcap_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// talk lets a port send so many frames to another while rec records. In a program the
// switch would be one in real time.
func talk(rec vswitch.Recorder, frames int) error {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{Recorder: rec})
	if err != nil {
		return err
	}
	nobody := vswitch.EndpointFunc(func([]byte) {})
	a, err := sw.Connect(vswitch.PortConfig{Name: "a"}, nobody)
	if err != nil {
		return err
	}
	b, err := sw.Connect(vswitch.PortConfig{Name: "b"}, nobody)
	if err != nil {
		return err
	}
	return w.Run(context.Background(), func(context.Context) error {
		for range frames {
			if err := a.Send(ether(b.MAC(), a.MAC(), 1000)); err != nil {
				return err
			}
		}
		return nil
	})
}

func ExampleLiveRecorder() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	f, err := pcap.CreateFile(filepath.Join(dir, "run.pcapng"))
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := pcap.NewLiveRecorder(pcap.LiveConfig{
		Meta:    pcap.Meta{Version: "v1.0.0"},
		Outputs: []pcap.Output{pcap.ToFile(f)},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = talk(rec, 100)
	fmt.Println("run:", err)
	fmt.Println("recording:", rec.Close())
	st := rec.Stats()
	fmt.Println(filepath.Base(f.Written()), st.Frames, "frames,", st.Lost, "lost,", st.WaitingBytes, "bytes wait")
	// Output:
	// run: <nil>
	// recording: <nil>
	// run.pcapng 100 frames, 0 lost, 0 bytes wait
}

func ExampleRotation() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	files, err := pcap.NewRotation(filepath.Join(dir, "run.pcapng"), pcap.RotationConfig{
		Size: 40_000, Keep: 2, Start: time.Date(2026, 11, 27, 13, 45, 0, 0, time.UTC),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := pcap.NewLiveRecorder(pcap.LiveConfig{Outputs: []pcap.Output{files}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := talk(rec, 100); err != nil {
		fmt.Println(err)
	}
	if err := rec.Close(); err != nil {
		fmt.Println(err)
	}
	for _, f := range files.Files() {
		fmt.Println(filepath.Base(f.Path), f.Frames, "frames, removed:", f.Removed)
	}
	// Output:
	// run_00001_20261127134500.pcapng 37 frames, removed: true
	// run_00002_20260101000000.pcapng 37 frames, removed: false
	// run_00003_20260101000000.pcapng 26 frames, removed: false
}

func ExampleBroadcaster() {
	live := pcap.NewBroadcaster(pcap.BroadcasterConfig{})
	rec, err := pcap.NewLiveRecorder(pcap.LiveConfig{Outputs: []pcap.Output{live}})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Whoever connects to a listener would get such a stream.
	var stream bytes.Buffer
	ended := make(chan error)
	go func() {
		_, err := live.Stream(context.Background(), "127.0.0.1:4711", &stream)
		ended <- err
	}()
	for len(live.Streams()) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := talk(rec, 3); err != nil {
		fmt.Println(err)
	}
	if err := rec.Close(); err != nil {
		fmt.Println(err)
	}
	fmt.Println("stream:", <-ended)
	r, err := pcap.NewReader(&stream, "stream")
	if err != nil {
		fmt.Println(err)
		return
	}
	for p := range r.Packets() {
		fmt.Println(p.ID, r.Interface(p.Interface).Name, len(p.Data))
	}
	// Output:
	// stream: <nil>
	// 1 a 1000
	// 2 a 1000
	// 3 a 1000
}
