package apps

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/vnreplay/vnreplay/vnetif"
)

// HTTPServer configures a server of files: net/http's own, with its timeouts as
// deadlines on the world's clock and the Date header from it.
type HTTPServer struct {
	Port        int               // default 80
	Files       map[string][]byte // by path of the URL; not changed
	ReadTimeout time.Duration     // for one request; default 10s
	IdleTimeout time.Duration     // between requests on a connection; default 2m
}

// New makes the application. An operation of its Result is a request answered
// with a whole file.
func (cfg HTTPServer) New() App { return &httpServer{cfg: cfg} }

type httpServer struct {
	cfg HTTPServer
	tally
}

func (s *httpServer) Server() bool { return true }

func (s *httpServer) Run(ctx context.Context, h *vnetif.Host) error {
	cfg := s.cfg
	if cfg.Port == 0 {
		cfg.Port = 80
	}
	if cfg.ReadTimeout == 0 {
		cfg.ReadTimeout = 10 * time.Second
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = 2 * time.Minute
	}
	l, err := h.Listen("tcp", fmt.Sprintf(":%d", cfg.Port))
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:     vnetif.DateHandler(h, s),
		ReadTimeout: cfg.ReadTimeout,
		IdleTimeout: cfg.IdleTimeout,
		BaseContext: func(net.Listener) context.Context { return ctx },
		// Connections that a fault broke are the scenario's business.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	defer server.Close()
	return server.Serve(l)
}

// ServeHTTP answers one request.
func (s *httpServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := s.cfg.Files[r.URL.Path]
	if !ok {
		s.add(Result{Failed: 1})
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	// Without a type of ours, the one that comes out depends on the machine's
	// MIME tables.
	w.Header().Set("Content-Type", "application/octet-stream")
	counted := &countingWriter{ResponseWriter: w}
	http.ServeContent(counted, r, "", time.Time{}, bytes.NewReader(body))
	if counted.n < int64(len(body)) && r.Method != http.MethodHead && r.Header.Get("Range") == "" {
		s.add(Result{Failed: 1, Sent: counted.n})
		return
	}
	s.add(Result{OK: 1, Sent: counted.n})
}

// countingWriter counts the bytes of the body.
type countingWriter struct {
	http.ResponseWriter
	n int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n += int64(n)
	return n, err
}
