package bench_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vnreplay/vnreplay/internal/bench"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every subject of vnreplay moves all it should, recorded (the recording is held
// against the switch) and not, and leaves neither files nor goroutines.
func TestSubjectsMoveAllTheyShould(t *testing.T) {
	dir := t.TempDir()
	recorded := bench.Setting{Dir: dir}
	const frames, size = 5000, 3_000_000
	tests := []struct {
		s             bench.Subject
		frames, bytes uint64
	}{
		{&bench.Memcpy{Label: "memcpy", Count: frames}, frames, frames * bench.FrameSize},
		{&bench.FileWrite{Label: "write", Count: frames, Dir: dir}, frames, frames * bench.FrameSize},
		{&bench.Frames{Label: "frames", Count: frames}, frames, frames * bench.FrameSize},
		{&bench.Frames{Label: "frames, recorded", Count: frames, Setting: recorded}, frames, frames * bench.FrameSize},
		{&bench.Frames{Label: "frames, idle rules", Count: frames, Setting: bench.Setting{Rules: bench.IdleRules}}, frames, frames * bench.FrameSize},
		{&bench.Frames{Label: "frames, drop", Count: frames, Setting: bench.Setting{Rules: []string{"drop 10%"}}}, frames, frames * bench.FrameSize},
		{&bench.TCP{Label: "TCP", Size: size}, 0, size},
		{&bench.TCP{Label: "TCP, recorded", Size: size, Setting: recorded}, 0, size},
		{&bench.TCP{Label: "TCP 9000, recorded", Size: size, Setting: bench.Setting{Dir: dir, MTU: 9000}}, 0, size},
		{&bench.TCP{Label: "TCP 65535, recorded", Size: size, Setting: bench.Setting{Dir: dir, MTU: 65535}}, 0, size},
		{&bench.TCP{Label: "TCP, drop", Size: size, Setting: bench.Setting{Rules: []string{"drop 0.1%"}}}, 0, size},
	}
	for _, test := range tests {
		t.Run(test.s.Name(), func(t *testing.T) {
			for range 2 { // a subject can be measured again
				if err := test.s.Setup(t.Context()); err != nil {
					t.Fatal(err)
				}
				r, err := test.s.Run(t.Context())
				if err := errors.Join(err, test.s.Teardown()); err != nil {
					t.Fatal(err)
				}
				if r.Frames != test.frames || r.Bytes != test.bytes || r.Lost != 0 {
					t.Errorf("%d frames, %d bytes, %d lost; want %d, %d, 0", r.Frames, r.Bytes, r.Lost, test.frames, test.bytes)
				}
			}
		})
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the directory: %v %v", left, err)
	}
}

// A socket may have no room for what a sender sends unasked, but every datagram is
// accounted for.
func TestDatagramsArriveOrAreLost(t *testing.T) {
	const datagrams, payload = 2000, 100
	s := &bench.UDP{Label: "UDP", Count: datagrams, Payload: payload, Setting: bench.Setting{Dir: t.TempDir()}}
	if err := s.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := s.Run(t.Context())
	if err := errors.Join(err, s.Teardown()); err != nil {
		t.Fatal(err)
	}
	if r.Frames == 0 || r.Frames+r.Lost != datagrams || r.Bytes != r.Frames*payload {
		t.Errorf("%+v, want %d datagrams of %d bytes, arrived or lost", r, datagrams, payload)
	}
}

// A rule that is wrong, or a place where nothing can be written, is an error of Setup.
func TestSubjectsThatCannotBeSetUp(t *testing.T) {
	for _, s := range []bench.Subject{
		&bench.Frames{Label: "rule", Count: 1, Setting: bench.Setting{Rules: []string{"drop often"}}},
		&bench.TCP{Label: "rule", Size: 1, Setting: bench.Setting{Rules: []string{"drop 1% from nobody"}}},
		&bench.Frames{Label: "place", Count: 1, Setting: bench.Setting{Dir: "/no/such/place"}},
		&bench.UDP{Label: "nothing"},
	} {
		if err := s.Setup(t.Context()); err == nil || errors.Is(err, bench.ErrSkipped) {
			t.Errorf("%s: error %v, want one that is no skip", s.Name(), err)
		}
	}
}

// A transfer ends with its context, whoever waits.
func TestBulkEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	dial := func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	if r, err := bench.Bulk(ctx, l, dial, 1<<60); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%+v, error %v; want that of the context", r, err)
	}
	r, err := bench.Bulk(t.Context(), l, dial, 1_000_001)
	if err != nil || r.Bytes != 1_000_001 {
		t.Errorf("%+v, %v; want 1000001 bytes", r, err)
	}
}
