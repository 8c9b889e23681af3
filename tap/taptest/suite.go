// Package taptest holds devices of package tap to the contract of [tap.Device].
//
//	func TestConformance(t *testing.T) {
//		taptest.Run(t, func(t *testing.T) (a, b tap.Device) { ... })
//	}
//
// [Run] is all there is to it; each of its subtests is one clause of the contract. Frames of
// the suite have the EtherType 0x88b5, which is for experiments (IEEE 802), so that what a
// kernel at one end says by itself is told apart.
package taptest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/tap"
	"go.uber.org/goleak"
)

// Run tests a kind of device by two of them that are linked, so that a frame written to
// one can be read from the other. Open makes a fresh pair; what it needs beside the
// devices it gives back by t.Cleanup. A link may come up some time after open returned.
// Frames must come in order; there may be loss only of what nobody reads.
func Run(t *testing.T, open func(t *testing.T) (a, b tap.Device)) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, p *pair)
	}{
		{"Order", testOrder},
		{"Sizes", testSizes},
		{"Invalid", testInvalid},
		{"Aliasing", testAliasing},
		{"BothWays", testBothWays},
		{"Buffers", testBuffers},
		{"CloseEndsRead", testCloseEndsRead},
		{"CloseEndsWrite", testCloseEndsWrite},
		{"PeerVanishes", testPeerVanishes},
	} {
		t.Run(c.name, func(t *testing.T) {
			ignore := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
			a, b := open(t)
			p := &pair{a: newEnd(t, "a", a), b: newEnd(t, "b", b)}
			t.Cleanup(p.close)
			p.up(t)
			c.test(t, p)
		})
	}
}

// patience is how long what must happen may take. Nothing waits for it to pass.
const patience = 20 * time.Second

// pair are the two linked devices.
type pair struct{ a, b *end }

// end is a device with a goroutine that reads it.
type end struct {
	name string
	dev  tap.Device
	done chan struct{} // closed when the goroutine has ended
	err  error         // what Read said last; to be read after done

	mu     sync.Mutex
	frames [][]byte      // what came
	probed bool          // a probe came
	moved  chan struct{} // closed and made anew whenever something came
}

func newEnd(t *testing.T, name string, dev tap.Device) *end {
	if dev.Name() == "" {
		t.Errorf("%s has no name", name)
	}
	if dev.MTU() < 68 || dev.MTU() > tap.MaxFrame {
		t.Errorf("%s: MTU %d", name, dev.MTU())
	}
	e := &end{name: name, dev: dev, done: make(chan struct{}), moved: make(chan struct{})}
	go e.read()
	return e
}

func (e *end) read() {
	defer close(e.done)
	bufs, sizes := buffers(16), make([]int, 16)
	for {
		n, err := e.dev.Read(bufs, sizes)
		for i := range n {
			e.take(bytes.Clone(bufs[i][:sizes[i]]))
			// Nobody else may be looking at the buffer.
			clear(bufs[i][:sizes[i]])
		}
		if err == nil && n == 0 {
			err = errors.New("read no frame and no error")
		}
		if err != nil {
			e.err = err
			return
		}
	}
}

func (e *end) take(frame []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch kind(frame) {
	case isProbe:
		e.probed = true
	case isData:
		e.frames = append(e.frames, frame)
	default:
		return
	}
	close(e.moved)
	e.moved = make(chan struct{})
}

// until waits until cond holds; it is called under mu, again whenever something came.
func (e *end) until(what string, cond func() bool) error {
	deadline := time.After(patience)
	for {
		e.mu.Lock()
		ok, moved, have := cond(), e.moved, len(e.frames)
		e.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-moved:
		case <-deadline:
			return fmt.Errorf("%s: waited %v for %s; %d frames came; %s", e.name, patience, what, have, lost(e.dev))
		case <-e.done:
			return fmt.Errorf("%s: waiting for %s: %w", e.name, what, e.err)
		}
	}
}

// lost is what a device counted, for messages.
func lost(dev tap.Device) string {
	if c, ok := dev.(tap.Counting); ok {
		return fmt.Sprintf("%+v", c.Counters())
	}
	return "it does not count"
}

// up waits until frames pass in both directions.
func (p *pair) up(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !p.probed() {
		if time.Now().After(deadline) {
			t.Fatalf("the link did not come up; a: %s; b: %s", lost(p.a.dev), lost(p.b.dev))
		}
		for _, e := range []*end{p.a, p.b} {
			if _, err := e.dev.Write([][]byte{probe()}); err != nil {
				t.Fatalf("%s: %v", e.name, err)
			}
		}
		time.Sleep(time.Millisecond)
	}
}

func (p *pair) probed() bool {
	ok := true
	for _, e := range []*end{p.a, p.b} {
		e.mu.Lock()
		ok = ok && e.probed
		e.mu.Unlock()
	}
	return ok
}

func (p *pair) close() {
	for _, e := range []*end{p.a, p.b} {
		e.dev.Close()
		<-e.done
	}
}

// send writes frames in batches, with a window that any link can hold, and waits until
// they came at the other end.
func send(from, to *end, frames [][]byte, batch int) error {
	const windowFrames, windowBytes = 64, 64 << 10
	to.mu.Lock()
	base := len(to.frames)
	to.mu.Unlock()
	for sent := 0; sent < len(frames); {
		next := frames[sent:min(sent+batch, len(frames))]
		err := to.until("room for more", func() bool {
			came := len(to.frames) - base
			return came == sent || sent-came+len(next) <= windowFrames && size(frames[came:sent])+size(next) <= windowBytes
		})
		if err != nil {
			return err
		}
		n, err := from.dev.Write(next)
		if err != nil || n != len(next) {
			return fmt.Errorf("%s: wrote %d of %d frames: %w", from.name, n, len(next), err)
		}
		sent += n
	}
	if err := to.until("the last frames", func() bool { return len(to.frames)-base >= len(frames) }); err != nil {
		return err
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	for i, want := range frames {
		if got := to.frames[base+i]; !bytes.Equal(got, want) {
			return fmt.Errorf("%s: frame %d of %d differs:\n got %s\nwant %s", to.name, i, len(frames), excerpt(got), excerpt(want))
		}
	}
	return nil
}

func size(frames [][]byte) (n int) {
	for _, f := range frames {
		n += len(f)
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func excerpt(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("% x... (%d bytes)", b[:40], len(b))
	}
	return fmt.Sprintf("% x (%d bytes)", b, len(b))
}

func testOrder(t *testing.T, p *pair) {
	mtu := min(p.a.dev.MTU(), p.b.dev.MTU(), 1500)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, batch := range []int{1, 7, 32} {
		var frames [][]byte
		for i := range 400 {
			frames = append(frames, dataFrame(i, headerLen+8+rng.IntN(mtu-7), rng))
		}
		must(t, send(p.a, p.b, frames, batch))
		must(t, send(p.b, p.a, frames, batch))
	}
}

func testSizes(t *testing.T, p *pair) {
	mtu := min(p.a.dev.MTU(), p.b.dev.MTU())
	rng := rand.New(rand.NewPCG(3, 4))
	var frames [][]byte
	for _, n := range []int{headerLen, headerLen + 1, 42, 59, 60, 61, 64, 65, 512, 1513, mtu + headerLen - 1, mtu + headerLen} {
		if n <= mtu+headerLen {
			frames = append(frames, dataFrame(n, n, rng))
		}
	}
	// Linux wants two bytes behind a tag that it takes out.
	for _, n := range []int{headerLen + tagLen + 2, 64, mtu + headerLen + tagLen} {
		frames = append(frames, tagged(dataFrame(n, n-tagLen, rng)))
	}
	for _, batch := range []int{1, 8} {
		must(t, send(p.a, p.b, frames, batch))
		must(t, send(p.b, p.a, frames, batch))
	}
}

func testInvalid(t *testing.T, p *pair) {
	mtu := p.a.dev.MTU()
	rng := rand.New(rand.NewPCG(5, 6))
	invalid := [][]byte{
		{},
		dataFrame(0, headerLen, rng)[:headerLen-1],
		dataFrame(0, mtu+headerLen+1, rng),
		dataFrame(0, mtu+headerLen+tagLen, rng),
		tagged(dataFrame(0, mtu+headerLen+1, rng)),
		dataFrame(0, tap.MaxFrame+1, rng),
	}
	good := dataFrame(1, 60, rng)
	var mixed [][]byte
	for _, frame := range invalid {
		mixed = append(mixed, frame, good)
	}
	before := invalidCount(p.a.dev)
	if n, err := p.a.dev.Write(mixed); n != len(mixed) || err != nil {
		t.Fatalf("wrote %d of %d: %v", n, len(mixed), err)
	}
	must(t, p.b.until("the good ones", func() bool { return len(p.b.frames) >= len(invalid) }))
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	for i, got := range p.b.frames {
		if !bytes.Equal(got, good) {
			t.Errorf("frame %d: got %s", i, excerpt(got))
		}
	}
	if n := invalidCount(p.a.dev) - before; before >= 0 && n != len(invalid) {
		t.Errorf("counted %d invalid frames, want %d", n, len(invalid))
	}
}

// invalidCount is TxInvalid, or -1.
func invalidCount(dev tap.Device) int {
	if c, ok := dev.(tap.Counting); ok {
		return int(c.Counters().TxInvalid)
	}
	return -1
}

func testAliasing(t *testing.T, p *pair) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 20 {
		var frames, want [][]byte
		for i := range 8 {
			frames = append(frames, dataFrame(i, 200, rng))
			want = append(want, bytes.Clone(frames[i]))
		}
		p.b.mu.Lock()
		base := len(p.b.frames)
		p.b.mu.Unlock()
		if n, err := p.a.dev.Write(frames); n != len(frames) || err != nil {
			t.Fatalf("wrote %d of %d: %v", n, len(frames), err)
		}
		for i, frame := range frames {
			if !bytes.Equal(frame, want[i]) {
				t.Fatal("Write changed a frame")
			}
			clear(frame) // they are ours again
		}
		must(t, p.b.until("the frames", func() bool { return len(p.b.frames) >= base+len(want) }))
		p.b.mu.Lock()
		for i := range want {
			if !bytes.Equal(p.b.frames[base+i], want[i]) {
				t.Errorf("frame %d was changed after it was written: %s", i, excerpt(p.b.frames[base+i]))
			}
		}
		p.b.mu.Unlock()
	}
}

func testBothWays(t *testing.T, p *pair) {
	var both sync.WaitGroup
	for i, way := range [][2]*end{{p.a, p.b}, {p.b, p.a}} {
		both.Go(func() {
			rng := rand.New(rand.NewPCG(9, uint64(i)))
			var frames [][]byte
			for k := range 500 {
				frames = append(frames, dataFrame(k, headerLen+8+rng.IntN(1000), rng))
			}
			if err := send(way[0], way[1], frames, 16); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
}

func testBuffers(t *testing.T, p *pair) {
	p.a.dev.Close()
	<-p.a.done
	for _, c := range []struct {
		name  string
		bufs  [][]byte
		sizes []int
	}{
		{"none", nil, nil},
		{"no sizes", buffers(2), make([]int, 1)},
		{"short", [][]byte{make([]byte, tap.MaxFrame-1)}, make([]int, 1)},
	} {
		if n, err := p.a.dev.Read(c.bufs, c.sizes); n != 0 || err == nil {
			t.Errorf("%s: read %d, %v; want an error", c.name, n, err)
		}
	}
}

func testCloseEndsRead(t *testing.T, p *pair) {
	// The ends read by now, or will in a moment: both must end.
	closeTwice(t, p.a.dev)
	within(t, "Read after Close", func() { <-p.a.done })
	wantClosed(t, "Read that waited", p.a.err)
	n, err := p.a.dev.Read(buffers(1), make([]int, 1))
	wantClosed(t, "Read after Close", err)
	if n != 0 {
		t.Errorf("Read after Close: %d frames", n)
	}
	n, err = p.a.dev.Write([][]byte{probe()})
	wantClosed(t, "Write after Close", err)
	if n != 0 {
		t.Errorf("Write after Close: %d frames", n)
	}
}

func testCloseEndsWrite(t *testing.T, p *pair) {
	// Nobody reads at the other end any more, once what was read is not taken.
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	result := make(chan error, 1)
	began := make(chan struct{})
	go func() {
		batch := make([][]byte, 32)
		for i := range batch {
			batch[i] = dataFrame(i, 1000, rand.New(rand.NewPCG(1, 1)))
		}
		for i := 0; ; i++ {
			if i == 100 {
				close(began)
			}
			if _, err := p.a.dev.Write(batch); err != nil {
				if i < 100 {
					close(began)
				}
				result <- err
				return
			}
		}
	}()
	select {
	case <-began:
	case <-time.After(200 * time.Millisecond): // it waits in Write
	}
	p.a.dev.Close()
	within(t, "Write after Close", func() { wantClosed(t, "Write that waited", <-result) })
}

func testPeerVanishes(t *testing.T, p *pair) {
	p.b.dev.Close()
	<-p.b.done
	wantClosed(t, "Read of the one that was closed", p.b.err)
	within(t, "Write to nobody", func() {
		for range 20 {
			// It is counted, or an error that is final.
			n, err := p.a.dev.Write([][]byte{probe(), probe()})
			if errors.Is(err, net.ErrClosed) {
				t.Errorf("Write to nobody: %v, and nobody closed it", err)
			}
			if err != nil {
				return
			}
			if n != 2 {
				t.Errorf("Write to nobody: %d of 2 and no error", n)
			}
		}
	})
	p.a.dev.Close()
	within(t, "Read after Close", func() { <-p.a.done })
	closeTwice(t, p.a.dev)
}

func closeTwice(t *testing.T, dev tap.Device) {
	t.Helper()
	for range 2 {
		if err := dev.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func wantClosed(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("%s: %v, want net.ErrClosed", what, err)
	}
}

// within fails the test if f does not return.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s did not return within %v", what, patience)
	}
}
