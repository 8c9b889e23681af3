package pcap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/vnreplay/vnreplay/pcap"
)

// most is how much memory a hostile input may take beyond the packets it holds.
const most = 64 << 20

// allocated is how many bytes the process has allocated; unlike MemStats it costs nothing.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// swallow reads an input to its end, at most so many bytes of packets, and fails if
// that takes memory out of proportion, or if what is read makes no sense.
func swallow(t tb, b []byte, bytesMost int) (frames int, err error) {
	t.Helper()
	before, size := allocated(), 0
	r, err := pcap.NewReader(bytes.NewReader(b), "in")
	for last := 0; err == nil && size < bytesMost; {
		var p *pcap.Packet
		if p, err = r.Next(); err != nil {
			break
		}
		frames++
		size += len(p.Data)
		data, length := p.Frame()
		if p.Number <= last || p.OrigLen < len(p.Data) || len(data) > length || length > p.OrigLen || p.Interface >= len(r.Interfaces()) || p.Offset < 0 {
			t.Fatalf("packet %+v after %d", p, last)
		}
		last = p.Number
		pcap.DecodeLink(p.LinkType, data)
	}
	if n := allocated() - before; n > most+8*uint64(size)+512*uint64(frames) {
		t.Fatalf("%d MiB were allocated for an input of %d bytes with %d bytes of packets", n>>20, len(b), size)
	}
	return frames, err
}

// small are two small captures, plain and compressed.
func small(t tb) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, name := range []string{"public-01-http-handshake-fin.pcap", "public-28-multi-section-mixed.pcapng"} {
		b, err := os.ReadFile(captures + name)
		ok(t, err)
		all[name], all[name+".gz"], all[name+".zst"] = b, zipped(t, b), zstded(t, b)
	}
	return all
}

// TestEveryPrefix: a capture cut anywhere, plain or compressed, is read as far as it
// goes and then said to be cut, and never taken for whole.
func TestEveryPrefix(t *testing.T) {
	for name, whole := range small(t) {
		all, err := swallow(t, whole, most)
		if err != io.EOF || all == 0 {
			t.Fatalf("%s: %d frames, %v", name, all, err)
		}
		plain := !strings.HasSuffix(name, ".gz") && !strings.HasSuffix(name, ".zst")
		for n := range whole {
			frames, err := swallow(t, whole[:n], most)
			var cut *pcap.TruncatedError
			switch {
			case frames > all || plain && frames == all && n < len(whole)-4096:
				t.Fatalf("%s, cut at %d: %d frames", name, n, frames)
			case errors.As(err, &cut), n < 4 && errors.Is(err, pcap.ErrNotCapture):
			case plain && err == io.EOF: // between two blocks
			default:
				t.Fatalf("%s, cut at %d: %v", name, n, err)
			}
		}
	}
}

// TestEverySingleByteFlip: every byte of a capture, inverted and with one bit changed.
func TestEverySingleByteFlip(t *testing.T) {
	for name, whole := range small(t) {
		began := time.Now()
		for at := range whole {
			for _, flip := range []byte{0xff, 1 << (at % 8)} {
				b := bytes.Clone(whole)
				b[at] ^= flip
				_, err := swallow(t, b, most)
				var bad *pcap.FormatError
				var cut *pcap.TruncatedError
				if err != io.EOF && !errors.As(err, &bad) && !errors.As(err, &cut) {
					t.Fatalf("%s, byte %d ^ %#x: %v", name, at, flip, err)
				}
			}
		}
		if d := time.Since(began); d > time.Minute {
			t.Errorf("%s: %v", name, d)
		}
	}
}

// TestCompressedBombs: what expands a thousandfold and more takes no more memory
// than what it is read as.
func TestCompressedBombs(t *testing.T) {
	n := newNg(binary.LittleEndian)
	head := bytes.Clone(n.section().iface(1).Bytes())
	skipped := func() []byte { n := newNg(binary.LittleEndian); return n.block(0x7777, make([]byte, 1<<20)).Bytes() }()
	empty := bytes.Repeat(func() []byte { n := newNg(binary.LittleEndian); return n.packet(0, 1, "").Bytes() }(), 32<<10)
	large := func() []byte {
		n := newNg(binary.LittleEndian)
		return n.packet(0, 1, strings.Repeat("x", 15<<20)).Bytes()
	}()
	for name, block := range map[string][]byte{"blocks passed over": skipped, "empty packets": empty, "large packets": large, "zeros": make([]byte, 1<<20)} {
		for pack, make := range map[string]func(*testing.T, []byte, int, []byte) []byte{"gzip": bomb, "zstd": zstdBomb} {
			t.Run(name+", "+pack, func(t *testing.T) {
				z := make(t, head, 50+100<<20/len(block), block)
				runtime.GC()
				var before, now runtime.MemStats
				runtime.ReadMemStats(&before)
				peak, reads := uint64(0), 0
				r, err := pcap.NewReader(bytes.NewReader(z), "in")
				for err == nil {
					if _, err = r.Next(); reads%(1<<18) == 0 || len(block) > 10<<20 {
						runtime.GC() // what is alive, not what is garbage
						runtime.ReadMemStats(&now)
						peak = max(peak, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
					}
					reads++
				}
				if peak > most {
					t.Errorf("%d MiB are alive while %d KiB are read", peak>>20, len(z)>>10)
				}
				if err != io.EOF && !errors.Is(err, pcap.ErrDamaged) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// zstdBomb is bomb in zstd.
func zstdBomb(t *testing.T, head []byte, n int, block []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w, err := zstd.NewWriter(&z, zstd.WithEncoderConcurrency(1))
	ok(t, err)
	_, err = w.Write(head)
	ok(t, err)
	for range n {
		_, err = w.Write(block)
		ok(t, err)
	}
	ok(t, w.Close())
	return z.Bytes()
}

// A zstd file may ask for a window of any size; it gets none that is not filled.
func TestAZstdWindowIsNotBelieved(t *testing.T) {
	b := old{magic: 0xa1b2c3d4, network: 1}.file(0, udp4)
	for window := range 256 {
		before := allocated()
		_, err := swallow(t, zstdHead(b, byte(window)), most)
		if err != io.EOF && (window <= 15<<3 || !strings.Contains(err.Error(), "takes more than 32 MiB of memory")) {
			t.Errorf("window %#x: %v", window, err)
		}
		if n := allocated() - before; n > most {
			t.Errorf("window %#x: %d MiB", window, n>>20)
		}
	}
}

// A named pipe is read as it fills: what has arrived is given before more comes.
func TestANamedPipe(t *testing.T) {
	whole, err := os.ReadFile(captures + "public-01-http-handshake-fin.pcap")
	ok(t, err)
	for name, b := range map[string][]byte{"plain": whole, "gzip": zipped(t, whole), "zstd": zstded(t, whole)} {
		path := filepath.Join(t.TempDir(), "fifo")
		ok(t, syscall.Mkfifo(path, 0o600))
		more := make(chan bool)
		go func() {
			defer close(more)
			w, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return
			}
			defer w.Close()
			if name == "plain" {
				w.Write(b[:24+16+74])
				<-more
				b = b[24+16+74:]
			}
			w.Write(b)
		}()
		r, err := pcap.Open(path)
		ok(t, err)
		if _, err := r.Next(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "plain" {
			more <- true
		}
		if n := 1 + len(packets(t, r)); n != 10 {
			t.Errorf("%s: %d packets", name, n)
		}
		<-more
		ok(t, r.Close())
	}
}

// What the system's tools compress is read, or refused with the command that
// decompresses it.
func TestCompressorsOfTheSystem(t *testing.T) {
	whole, err := os.ReadFile(captures + "public-01-http-handshake-fin.pcap")
	ok(t, err)
	for _, tool := range []string{"gzip", "zstd", "xz", "bzip2", "lz4"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Logf("skipped: no %s", tool)
			continue
		}
		cmd := exec.Command(tool, "-c")
		cmd.Stdin = bytes.NewReader(whole)
		z, err := cmd.Output()
		ok(t, err)
		err = drain(bytes.NewReader(z))
		if tool == "gzip" || tool == "zstd" {
			ok(t, err)
		} else if err == nil || !strings.Contains(err.Error(), "compressed with "+tool) || !strings.Contains(err.Error(), tool+" -dc FILE | vnreplay show -") {
			t.Errorf("%s: %v", tool, err)
		}
	}
}
