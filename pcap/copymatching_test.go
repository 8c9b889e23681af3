package pcap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// smallRecording is a recording of frames of so many bytes, as two ports send them in turn.
func smallRecording(sizes ...int) []byte {
	var out bytes.Buffer
	rec, err := pcap.NewRecorder(&out, pcap.Meta{})
	if err != nil {
		panic(err)
	}
	w := vswitch.NewWorld(vswitch.Config{})
	sw, err := w.NewSwitch(vswitch.SwitchConfig{Recorder: rec})
	if err != nil {
		panic(err)
	}
	var ports []*vswitch.Port
	for range 2 {
		p, err := sw.Connect(vswitch.PortConfig{}, vswitch.EndpointFunc(func([]byte) {}))
		if err != nil {
			panic(err)
		}
		ports = append(ports, p)
	}
	for i, n := range sizes {
		if err := ports[i%2].Send(append(bytes.Repeat([]byte{0xff}, 6), make([]byte, n-6)...)); err != nil {
			panic(err)
		}
	}
	if err := errors.Join(w.Run(context.Background(), func(context.Context) error { return nil }), w.Close(), rec.Close()); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// Frames that are not wanted are left out, and all else is kept.
func ExampleCopyMatching() {
	var out bytes.Buffer
	long := func(_ []byte, wireLen int) bool { return wireLen > 100 }
	err := pcap.CopyMatching(&out, bytes.NewReader(smallRecording(60, 500, 90, 101)), "stream", long)
	fmt.Println(err)
	r, err := pcap.NewReader(&out, "copy")
	if err != nil {
		fmt.Println(err)
		return
	}
	for p, err := range r.Packets() {
		fmt.Println(p.ID, len(p.Data), err)
	}
	// Output:
	// <nil>
	// 3 500 <nil>
	// 4 101 <nil>
}

// What has come is written before more comes; a cut is told.
func TestCopyMatchingIsLive(t *testing.T) {
	data := smallRecording(60, 61, 62)
	all := func([]byte, int) bool { return true }
	var out bytes.Buffer
	if err := pcap.CopyMatching(&out, bytes.NewReader(data), "stream", all); err != nil || !bytes.Equal(out.Bytes(), data) {
		t.Errorf("%d of %d bytes: %v", out.Len(), len(data), err)
	}
	var cut *pcap.TruncatedError
	if err := pcap.CopyMatching(io.Discard, bytes.NewReader(data[:len(data)-5]), "stream", all); !errors.As(err, &cut) {
		t.Errorf("cut: %v", err)
	}
	if err := pcap.CopyMatching(io.Discard, strings.NewReader("no capture, this is"), "stream", all); err == nil {
		t.Error("text was copied")
	}

	from, to := io.Pipe()
	came := make(chan int, 1000)
	done := make(chan error)
	go func() {
		done <- pcap.CopyMatching(writerFunc(func(p []byte) (int, error) { came <- len(p); return len(p), nil }), from, "stream", all)
	}()
	half := len(data) / 2
	to.Write(data[:half])
	if n := <-came; n == 0 || n > half { // and not only at the end
		t.Errorf("%d bytes of %d", n, half)
	}
	to.Write(data[half:])
	to.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
