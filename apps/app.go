package apps

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/vnetif"
)

// App is one application. It is run once.
type App interface {
	// Run runs the application on a host. A client returns when it is done, with
	// an error if one of its operations failed; a server when the run ends.
	Run(ctx context.Context, h *vnetif.Host) error
	// Server reports whether the application is a server: something that a run
	// does not wait for.
	Server() bool
	// Result returns what the application did so far. It may be called at any time.
	Result() Result
}

// Result is what an application did.
type Result struct {
	OK     int `json:"ok"`     // operations that went well: requests, transfers, messages answered
	Failed int `json:"failed"` // operations that did not
	Lost   int `json:"lost"`   // messages that were not answered in time (UDP echo and ping)

	// Application bytes, without headers of HTTP.
	Sent     int64 `json:"sent"`
	Received int64 `json:"received"`

	// SHA256 has, for an HTTP client, the hashes of the bodies it received, each
	// once, in the order in which it first met them.
	SHA256 []Digest `json:"sha256,omitempty"`

	// RTT is the shortest, the sum and the longest of the times from a message to
	// its answer, over the OK ones (echo and ping).
	MinRTT time.Duration `json:"min_rtt_ns,omitempty"`
	SumRTT time.Duration `json:"sum_rtt_ns,omitempty"`
	MaxRTT time.Duration `json:"max_rtt_ns,omitempty"`
}

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// String returns the digest as 64 hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText returns what String does.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// add adds what one goroutine of an application did.
func (r *Result) add(s Result) {
	if s.OK > 0 && (r.MinRTT == 0 || s.MinRTT < r.MinRTT) {
		r.MinRTT = s.MinRTT
	}
	r.MaxRTT = max(r.MaxRTT, s.MaxRTT)
	r.SumRTT += s.SumRTT
	r.OK += s.OK
	r.Failed += s.Failed
	r.Lost += s.Lost
	r.Sent += s.Sent
	r.Received += s.Received
	for _, sum := range s.SHA256 {
		if !slices.Contains(r.SHA256, sum) {
			r.SHA256 = append(r.SHA256, sum)
		}
	}
}

// answered is the Result of one message that got its answer.
func answered(sent, received int, rtt time.Duration) Result {
	return Result{OK: 1, Sent: int64(sent), Received: int64(received), MinRTT: rtt, SumRTT: rtt, MaxRTT: rtt}
}

// tally is the Result of an application whose goroutines add to it.
type tally struct {
	mu sync.Mutex
	r  Result
}

func (t *tally) add(r Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.r.add(r)
}

func (t *tally) Result() Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.r
	r.SHA256 = slices.Clone(r.SHA256)
	return r
}

// failures collects the errors of an application that goes on after one.
type failures struct {
	mu    sync.Mutex
	first error
	n     int
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == 0 {
		f.first = err
	}
	f.n++
}

// err returns nil, or an error that wraps the first failure.
func (f *failures) err(total int, what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.n == 0:
		return nil
	case total == 1:
		return f.first
	}
	return fmt.Errorf("%d of %d %s failed, the first: %w", f.n, total, what, f.first)
}

// over reports whether an operation failed because the run ended.
func over(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, net.ErrClosed)
}

// serve accepts connections and handles each on a goroutine of its own, until
// the listener is closed; then it waits for them.
func serve(h *vnetif.Host, port int, handle func(net.Conn)) error {
	l, err := h.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	defer l.Close()
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		conns.Go(func() {
			defer c.Close()
			handle(c)
		})
	}
}

// timeLimit sets a deadline d from now, if d is not zero.
func timeLimit(h *vnetif.Host, d time.Duration, set func(time.Time) error) error {
	if d == 0 {
		return nil
	}
	return set(h.Now().Add(d))
}
