package vnetif_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// realTimeHandler is a handler that waits by the wall clock.
type realTimeHandler struct {
	wait    func(stop <-chan struct{})
	stop    chan struct{}
	stopped chan struct{}
}

func (h *realTimeHandler) ServeHTTP(http.ResponseWriter, *http.Request) {
	defer close(h.stopped)
	h.wait(h.stop)
}

// nextLine is the line after the caller's, as stack traces write it.
func nextLine() string {
	_, file, n, _ := runtime.Caller(1)
	return fmt.Sprintf("%s:%d", file, n+1)
}

// An application that waits by the wall clock ends the run with an error that
// names the line and says what to use instead.
func TestRealTimeInAnHTTPHandlerIsCaught(t *testing.T) {
	var mu sync.Mutex
	var at string // the line that waits
	waitsAt := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		at = line
	}
	for _, tc := range []struct {
		name string
		wait func(stop <-chan struct{})
	}{
		{"time.Sleep", func(stop <-chan struct{}) {
			for {
				select {
				case <-stop:
					return
				default:
				}
				waitsAt(nextLine())
				time.Sleep(300 * time.Millisecond)
			}
		}},
		{"ticker", func(stop <-chan struct{}) {
			ticker := time.NewTicker(200 * time.Microsecond)
			defer ticker.Stop()
			for {
				waitsAt(nextLine())
				select {
				case <-stop:
					return
				case <-ticker.C:
				}
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLAN(t, setup{world: vswitch.Config{WallLimit: 5 * time.Second}})
			h := &realTimeHandler{tc.wait, make(chan struct{}), make(chan struct{})}
			ln, err := l.server.Listen("tcp", ":80")
			must(t, err)
			srv := &http.Server{Handler: h}
			l.w.Background("http", func(context.Context) error { return srv.Serve(ln) })
			err = l.fails(func(ctx context.Context) error {
				cl := &http.Client{Transport: &http.Transport{DialContext: l.client.DialContext}}
				_, err := cl.Get("http://server/")
				if err == nil {
					return errors.New("the handler never answers")
				}
				return nil
			})
			close(h.stop)
			<-h.stopped
			wantErr(t, "the run", err, vswitch.ErrRealTime)
			for _, want := range []string{at, "Sleep, AfterFunc, WithTimeout"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}
