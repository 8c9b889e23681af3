package vnetif_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// This file holds a test for each row of the table in docs/net-http.md.

// hop is how long a frame takes from one host to the other.
const hop = 2 * vswitch.DefaultLatency

// closedAfter opens a connection, says something and waits until the server
// closes it; it returns how long that took, as the server sees it, from the
// instant at which what was said reached it.
func (l *lan) closedAfter(ctx context.Context, say string) (time.Duration, string, error) {
	c, err := l.dial(ctx, "tcp", "server:80")
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	began := l.client.Now()
	if _, err := io.WriteString(c, say); err != nil {
		return 0, "", err
	}
	answer, err := io.ReadAll(c)
	return since(l.client, began) - 2*hop, string(answer), err
}

func TestServerReadHeaderTimeoutClosesASilentConnection(t *testing.T) {
	l := newLAN(t, setup{})
	l.serveHTTP(&http.Server{Handler: hello, ReadHeaderTimeout: 7 * time.Second})
	l.run(func(ctx context.Context) error {
		for _, say := range []string{"", "GET / HTTP/1.1\r\nHost: x"} {
			d, _, err := l.closedAfter(ctx, say)
			// The server accepts when the client's ACK arrives, with its first words.
			equal(t, fmt.Sprintf("%q", say), d, 7*time.Second)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func TestServerReadTimeoutEndsAHandlersRead(t *testing.T) {
	l := newLAN(t, setup{})
	var took time.Duration
	var read error
	l.serveHTTP(&http.Server{ReadTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := l.server.Now()
		_, read = io.ReadAll(r.Body)
		took = since(l.server, began)
	})})
	l.run(func(ctx context.Context) error {
		_, _, err := l.closedAfter(ctx, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
		return err
	})
	wantErr(t, "the handler's read", read, os.ErrDeadlineExceeded)
	equal(t, "after", took, 5*time.Second)
}

func TestServerWriteTimeoutEndsAHandlersWrite(t *testing.T) {
	l := newLAN(t, setup{})
	var took time.Duration
	var write error
	l.serveHTTP(&http.Server{WriteTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := l.server.Now()
		_, write = w.Write(make([]byte, 64<<20))
		took = since(l.server, began)
	})})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:80")
		if err != nil {
			return err
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		return errors.Join(l.client.Sleep(10*time.Second), c.Close()) // without reading
	})
	wantErr(t, "the handler's write", write, os.ErrDeadlineExceeded)
	equal(t, "after", took, 5*time.Second)
}

func TestServerIdleTimeoutClosesAnIdleConnection(t *testing.T) {
	l := newLAN(t, setup{})
	l.serveHTTP(&http.Server{Handler: hello, IdleTimeout: 90 * time.Second})
	l.run(func(ctx context.Context) error {
		d, answer, err := l.closedAfter(ctx, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
		equal(t, "closed after", d, 90*time.Second)
		if !strings.HasSuffix(answer, "hello /x") {
			t.Errorf("answer: %q", answer)
		}
		return err
	})
}

func TestResponseControllerDeadlines(t *testing.T) {
	l := newLAN(t, setup{})
	var took time.Duration
	var read error
	l.serveHTTP(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := l.server.Now()
		must(t, http.NewResponseController(w).SetReadDeadline(time.Now().Add(2*time.Second)))
		_, read = io.ReadAll(r.Body)
		took = since(l.server, began)
	})})
	l.run(func(ctx context.Context) error {
		_, _, err := l.closedAfter(ctx, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
		return err
	})
	wantErr(t, "the handler's read", read, os.ErrDeadlineExceeded)
	equal(t, "after", took, 2*time.Second)
}

// Shutdown closes idle connections and returns; only where it has to wait for
// requests it looks again by the wall clock.
func TestServerShutdownOfIdleConnections(t *testing.T) {
	l := newLAN(t, setup{})
	srv := &http.Server{Handler: hello}
	l.serveHTTP(srv)
	l.run(func(ctx context.Context) error {
		if _, err := get(httpClient(l.client), "/"); err != nil {
			return err
		}
		began := l.client.Now()
		err := srv.Shutdown(ctx)
		equal(t, "took", since(l.client, began), 0)
		_, dial := l.dial(ctx, "tcp", "server:80")
		if dial == nil {
			t.Error("the server still listens")
		}
		return err
	})
}

// slowAnswer is a server whose answers take ten virtual seconds.
func (l *lan) slowAnswer() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := l.server.Sleep(10 * time.Second); err != nil {
			l.t.Error(err)
		}
		fmt.Fprint(w, "late")
	})
}

// Timers of the net/http package that run in real time: the virtual ten seconds
// of the answer pass in no time, so none of them comes.
func TestTimersInRealTimeDoNotCome(t *testing.T) {
	const timeout = 5 * time.Second
	for _, tc := range []struct {
		name   string
		client func(*http.Client, *http.Transport)
		server func(http.Handler) http.Handler
		ctx    func(context.Context) (context.Context, context.CancelFunc)
	}{
		{name: "Client.Timeout", client: func(c *http.Client, _ *http.Transport) { c.Timeout = timeout }},
		{name: "Transport.ResponseHeaderTimeout", client: func(_ *http.Client, tr *http.Transport) { tr.ResponseHeaderTimeout = timeout }},
		{name: "TimeoutHandler", server: func(h http.Handler) http.Handler { return http.TimeoutHandler(h, timeout, "timeout") }},
		{name: "context.WithTimeout", ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, timeout)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLAN(t, setup{})
			handler := l.slowAnswer()
			if tc.server != nil {
				handler = tc.server(handler)
			}
			l.serveHTTP(&http.Server{Handler: handler})
			c := httpClient(l.client)
			if tc.client != nil {
				tc.client(c, c.Transport.(*http.Transport))
			}
			l.run(func(ctx context.Context) error {
				if tc.ctx != nil {
					var cancel context.CancelFunc
					ctx, cancel = tc.ctx(ctx)
					defer cancel()
				}
				req, err := http.NewRequestWithContext(ctx, "GET", "http://server/", nil)
				if err != nil {
					return err
				}
				resp, err := c.Do(req)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				equal(t, "answer", string(body), "late")
				return err
			})
		})
	}
}

// The substitute for all of them: a context on the world's clock.
func TestHostWithTimeoutLimitsARequest(t *testing.T) {
	l := newLAN(t, setup{})
	l.serveHTTP(&http.Server{Handler: l.slowAnswer()})
	l.run(func(ctx context.Context) error {
		began := l.client.Now()
		ctx, cancel := l.client.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", "http://server/", nil)
		if err != nil {
			return err
		}
		_, err = httpClient(l.client).Do(req)
		wantErr(t, "the request", err, context.DeadlineExceeded)
		equal(t, "after", since(l.client, began), 5*time.Second)
		return l.client.Sleep(10 * time.Second) // the handler ends
	})
}

func TestHostWithTimeoutInAHandler(t *testing.T) {
	l := newLAN(t, setup{})
	l.serveHTTP(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := l.server.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		<-ctx.Done() // the work that takes too long
		http.Error(w, ctx.Err().Error(), http.StatusServiceUnavailable)
	})})
	l.run(func(ctx context.Context) error {
		resp, err := httpClient(l.client).Get("http://server/")
		if err != nil {
			return err
		}
		resp.Body.Close()
		equal(t, "status", resp.StatusCode, http.StatusServiceUnavailable)
		equal(t, "after", since(l.client, l.w.Start()), 5*time.Second+6*hop)
		return nil
	})
}

// Idle connections of a client live on, however long the virtual pause; a timer
// of the host can close them.
func TestTransportIdleConnTimeout(t *testing.T) {
	l := newLAN(t, setup{})
	l.serveHTTP(&http.Server{Handler: hello})
	c := httpClient(l.client)
	c.Transport.(*http.Transport).IdleConnTimeout = 30 * time.Second
	l.run(func(ctx context.Context) error {
		for range 2 {
			if _, err := get(c, "/"); err != nil {
				return err
			}
			if err := l.client.Sleep(10 * time.Minute); err != nil {
				return err
			}
		}
		equal(t, "connections", l.connections(), 1)
		l.client.AfterFunc(time.Minute, c.CloseIdleConnections)
		if err := l.client.Sleep(2 * time.Minute); err != nil {
			return err
		}
		_, err := get(c, "/")
		equal(t, "connections after CloseIdleConnections", l.connections(), 2)
		return err
	})
}

// A request whose 100 Continue does not come: the virtual clock does not make
// the client go on. A deadline of the server, or a context, ends it.
func TestTransportExpectContinueTimeout(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":80", func(c *vnetif.Conn) error {
		defer c.Close()
		return l.server.Sleep(time.Minute) // no word
	})
	l.run(func(ctx context.Context) error {
		began := l.client.Now()
		ctx, cancel := l.client.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		c := httpClient(l.client)
		c.Transport.(*http.Transport).ExpectContinueTimeout = 10 * time.Second
		req, err := http.NewRequestWithContext(ctx, "PUT", "http://server/", strings.NewReader("body"))
		if err != nil {
			return err
		}
		req.Header.Set("Expect", "100-continue")
		_, err = c.Do(req)
		wantErr(t, "the request", err, context.DeadlineExceeded)
		equal(t, "after", since(l.client, began), 20*time.Second)
		return nil
	})
	for _, p := range l.wire.tcp("client") {
		if strings.Contains(string(p.payload()), "\r\n\r\nbody") || string(p.payload()) == "body" {
			t.Errorf("the body was sent at %v", p.at)
		}
	}
}

// A server that has refused a body that is too long waits half a second by the
// wall clock before it closes the connection.
func TestServerThatRefusesABodyWaitsInRealTime(t *testing.T) {
	l := newLAN(t, setup{})
	l.serveHTTP(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10)); err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		}
	})})
	err := l.fails(func(ctx context.Context) error {
		resp, err := httpClient(l.client).Post("http://server/", "text/plain", strings.NewReader(strings.Repeat("x", 100_000)))
		if err != nil {
			return err
		}
		return errors.Join(resp.Body.Close(), l.client.Sleep(time.Second))
	})
	wantErr(t, "the run", err, vswitch.ErrRealTime)
	time.Sleep(600 * time.Millisecond) // until the server's goroutine has ended
}

// Where Shutdown has to wait for a request, it looks again by the wall clock:
// the run ends with an error that says so, or that it hangs outside the network.
func TestServerShutdownThatHasToWaitIsCaught(t *testing.T) {
	l := newLAN(t, setup{})
	release, done := make(chan struct{}), make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })}
	l.serveHTTP(srv)
	l.w.Background("get", func(context.Context) error {
		_, err := get(httpClient(l.client), "/")
		return err
	})
	err := l.fails(func(ctx context.Context) error {
		defer close(done)
		if err := l.client.Sleep(time.Second); err != nil {
			return err
		}
		return srv.Shutdown(context.Background())
	})
	close(release)
	<-done
	if !errors.Is(err, vswitch.ErrRealTime) && !errors.Is(err, vswitch.ErrDeadlock) {
		t.Errorf("the run ended with %v", err)
	}
}
