package pcap_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// bomb is a gzip file of head and then n times block.
func bomb(t *testing.T, head []byte, n int, block []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, err := w.Write(head)
	ok(t, err)
	many := bytes.Repeat(block, 50)
	for range n / 50 {
		_, err = w.Write(many)
		ok(t, err)
	}
	ok(t, w.Close())
	return z.Bytes()
}

// What is kept of a file while it is read is bounded, whatever the file repeats.
func TestBombs(t *testing.T) {
	le := binary.LittleEndian
	n := newNg(le)
	head := bytes.Clone(n.section().iface(1).Bytes())
	block := func(f func(n *ng)) []byte {
		n := newNg(le)
		f(n)
		return n.Bytes()
	}
	long := n.option(1, bytes.Repeat([]byte("x"), 60_000))
	stats := n.words(0, 0, 0, bytes.Repeat(n.option(1, nil), 60_000))
	for _, c := range []struct {
		what  string
		n     int
		block []byte
		want  string
	}{
		{"interfaces", 3_000_000, block(func(n *ng) { n.iface(1) }), fmt.Sprintf("at byte %d of the uncompressed data: more than 65536 interfaces", 28+65536*20)},
		{"interfaces and packets", 200_000, block(func(n *ng) { n.iface(1).packet(0, 1, "") }), "after frame 65535: more than 65536 interfaces"},
		{"sections", 200_000, block(func(n *ng) { n.section() }), "more than 65536 sections"},
		{"sections with interfaces", 200_000, block(func(n *ng) { n.section().iface(1) }), "more than 65536 sections"},
		{"descriptions", 2000, block(func(n *ng) { n.iface(1, long) }), "descriptions of sections and interfaces exceed 33554432 bytes"},
		{"sections' comments", 2000, block(func(n *ng) { n.section(long) }), "descriptions of sections and interfaces exceed 33554432 bytes"},
		{"statistics' comments", 100, block(func(n *ng) { n.section().iface(1).block(5, stats) }), "descriptions of sections and interfaces exceed 33554432 bytes"},
		{"replaced statistics", 100, block(func(n *ng) { n.block(5, stats) }), ""},
		{"packets' comments", 50, block(func(n *ng) { n.packet(0, 1, "", bytes.Repeat(n.option(1, nil), 300_000)) }), "packet with more than 262144 comments"},
		{"names", 3_000_000, block(func(n *ng) { n.block(4, n.words("\x01\x00\x06\x00", "\x0a\x00\x00\x01a\x00\x00\x00", 0)) }), ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			z := bomb(t, head, c.n, c.block)
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			r, err := pcap.NewReader(bytes.NewReader(z), "in")
			ok(t, err)
			frames := 0
			for err == nil {
				if _, err = r.Next(); err == nil {
					frames++
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if live := int(after.HeapAlloc) - int(before.HeapAlloc); live > 100<<20 {
				t.Errorf("%d MiB are kept of %d bytes", live>>20, len(z))
			}
			if d := time.Since(began); d > 20*time.Second {
				t.Errorf("took %v", d)
			}
			if err == io.EOF && c.want == "" {
				return
			}
			if c.want == "" || !errors.Is(err, pcap.ErrDamaged) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			runtime.KeepAlive(r)
		})
	}
}
