package apps

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// HTTPGet configures a client that fetches one URL again and again with
// net/http's client.
type HTTPGet struct {
	URL            string
	Times          int           // requests in all; default 1
	Parallel       int           // clients that share them, each with its own connections; default 1
	NewConnections bool          // a connection for each request, instead of keeping it
	Timeout        time.Duration // for one request with its answer; 0: none
	SHA256         *Digest       // what the body must have, if not nil
}

// New makes the application. An operation of its Result is a request.
func (cfg HTTPGet) New() App {
	cfg.Times, cfg.Parallel = max(cfg.Times, 1), max(cfg.Parallel, 1)
	return &httpGet{cfg: cfg}
}

type httpGet struct {
	cfg HTTPGet
	tally
	failures
}

func (g *httpGet) Server() bool { return false }

func (g *httpGet) add(r Result) { g.tally.add(r) }

func (g *httpGet) Run(ctx context.Context, h *vnetif.Host) error {
	name := vswitch.Order(ctx)
	var clients sync.WaitGroup
	for i := range g.cfg.Parallel {
		// The first clients take one request more if the division leaves a rest.
		share := g.cfg.Times / g.cfg.Parallel
		if i < g.cfg.Times%g.cfg.Parallel {
			share++
		}
		if g.cfg.Parallel > 1 {
			ctx := vswitch.WithOrder(ctx, fmt.Sprintf("%s/%04d", name, i))
			clients.Go(func() { g.client(ctx, h, share) })
		} else {
			g.client(ctx, h, share)
		}
	}
	clients.Wait()
	return g.err(g.cfg.Times, "requests")
}

// client makes so many requests, one after the other.
func (g *httpGet) client(ctx context.Context, h *vnetif.Host, requests int) {
	transport := &http.Transport{
		DialContext:        h.DialContext,
		DisableKeepAlives:  g.cfg.NewConnections,
		DisableCompression: true,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for range requests {
		r, err := g.get(ctx, h, client)
		if err != nil {
			r.Failed = 1
			g.failures.add(err)
		}
		g.add(r)
		if err != nil && over(ctx, err) {
			return
		}
	}
}

// get makes one request and reads the whole answer.
func (g *httpGet) get(ctx context.Context, h *vnetif.Host, client *http.Client) (r Result, err error) {
	if g.cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = h.WithTimeout(ctx, g.cfg.Timeout)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.cfg.URL, nil)
	if err != nil {
		return r, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	hash := sha256.New()
	r.Received, err = io.Copy(hash, resp.Body)
	if err != nil {
		return r, fmt.Errorf("GET %s: the body after %d bytes: %w", g.cfg.URL, r.Received, err)
	}
	if resp.StatusCode != http.StatusOK {
		return r, fmt.Errorf("GET %s: %s", g.cfg.URL, resp.Status)
	}
	sum := Digest(hash.Sum(nil))
	r.SHA256 = []Digest{sum}
	if want := g.cfg.SHA256; want != nil && sum != *want {
		return r, fmt.Errorf("GET %s: the body's SHA-256 is %v, not %v", g.cfg.URL, sum, *want)
	}
	r.OK = 1
	return r, nil
}
