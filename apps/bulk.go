package apps

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// A bulk transfer is one TCP connection. The client sends the content and then
// its SHA-256 (32 bytes) and closes its side; the server hashes what came before
// the last 32 bytes, compares, answers with the SHA-256 that it computed (32
// bytes), and closes. So both ends know whether all bytes arrived.

// chunk is how much a bulk client writes at once.
const chunk = 64 << 10

// BulkServer configures the receiving end of bulk transfers.
type BulkServer struct {
	Port int
}

// New makes the application. An operation of its Result is a transfer.
func (cfg BulkServer) New() App { return &bulkServer{cfg: cfg} }

type bulkServer struct {
	cfg BulkServer
	tally
}

func (s *bulkServer) Server() bool { return true }

func (s *bulkServer) Run(_ context.Context, h *vnetif.Host) error {
	return serve(h, s.cfg.Port, func(c net.Conn) {
		r, err := receive(c)
		if err != nil {
			r.OK, r.Failed = 0, 1
		}
		s.add(r)
	})
}

// receive is the server's side of one transfer.
func receive(c net.Conn) (r Result, err error) {
	hash := sha256.New()
	tail := &tailWriter{w: hash, keep: sha256.Size}
	n, err := io.Copy(tail, c)
	r.Received = max(n-sha256.Size, 0)
	if err != nil {
		return r, err
	}
	sum := hash.Sum(nil)
	m, err := c.Write(sum)
	r.Sent = int64(m)
	if err == nil && !bytes.Equal(sum, tail.kept) {
		err = errors.New("the content's SHA-256 differs from the one sent")
	}
	r.OK = 1
	return r, err
}

// tailWriter passes on all but the last keep bytes.
type tailWriter struct {
	w    io.Writer
	keep int
	kept []byte
}

func (t *tailWriter) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if n := len(t.kept) - t.keep; n > 0 {
		if _, err := t.w.Write(t.kept[:n]); err != nil {
			return 0, err
		}
		t.kept = append(t.kept[:0], t.kept[n:]...)
	}
	return len(p), nil
}

// Bulk configures the sending end of bulk transfers.
type Bulk struct {
	To       string        // host:port
	Bytes    int64         // of one connection
	Parallel int           // connections at the same time; default 1
	Timeout  time.Duration // for everything; 0: none
	Seed     uint64        // of the content
}

// New makes the application. An operation of its Result is a transfer.
func (cfg Bulk) New() App {
	cfg.Parallel = max(cfg.Parallel, 1)
	return &bulk{cfg: cfg}
}

type bulk struct {
	cfg Bulk
	tally
	failures
}

func (b *bulk) Server() bool { return false }

func (b *bulk) add(r Result) { b.tally.add(r) }

func (b *bulk) Run(ctx context.Context, h *vnetif.Host) error {
	name := vswitch.Order(ctx)
	var flows sync.WaitGroup
	for i := range b.cfg.Parallel {
		send := func(ctx context.Context) {
			r, err := b.send(ctx, h, i)
			if err != nil {
				r.OK, r.Failed = 0, 1
				b.failures.add(err)
			}
			b.add(r)
		}
		if b.cfg.Parallel == 1 {
			send(ctx)
			break
		}
		flows.Go(func() { send(vswitch.WithOrder(ctx, fmt.Sprintf("%s/%04d", name, i))) })
	}
	flows.Wait()
	return b.err(b.cfg.Parallel, "transfers")
}

// send is the client's side of transfer i.
func (b *bulk) send(ctx context.Context, h *vnetif.Host, i int) (r Result, err error) {
	c, err := h.DialContext(ctx, "tcp", b.cfg.To)
	if err != nil {
		return r, err
	}
	defer c.Close()
	if err := timeLimit(h, b.cfg.Timeout, c.SetDeadline); err != nil {
		return r, err
	}
	content := Random(b.cfg.Seed, "bulk", b.cfg.To, strconv.Itoa(i))
	hash, buf := sha256.New(), make([]byte, chunk)
	for r.Sent < b.cfg.Bytes {
		p := buf[:min(chunk, b.cfg.Bytes-r.Sent)]
		content.Read(p)
		hash.Write(p)
		n, err := c.Write(p)
		r.Sent += int64(n)
		if err != nil {
			return r, fmt.Errorf("after %d of %d bytes: %w", r.Sent, b.cfg.Bytes, err)
		}
	}
	sum := hash.Sum(nil)
	if _, err := c.Write(sum); err != nil {
		return r, err
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return r, err
	}
	answer, err := io.ReadAll(io.LimitReader(c, sha256.Size+1))
	r.Received = int64(len(answer))
	if err != nil {
		return r, fmt.Errorf("waiting for the receiver's SHA-256: %w", err)
	}
	if !bytes.Equal(answer, sum) {
		return r, fmt.Errorf("the receiver's SHA-256 is %x, not %x", answer, sum)
	}
	r.OK = 1
	return r, nil
}
