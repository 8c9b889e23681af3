package vnetif_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// serveHTTP runs an unmodified server on the server's port 80.
func (l *lan) serveHTTP(srv *http.Server) {
	l.t.Helper()
	ln, err := l.server.Listen("tcp", ":80")
	must(l.t, err)
	l.w.Background("http", func(context.Context) error {
		if err := srv.Serve(ln); err != http.ErrServerClosed {
			return err
		}
		return nil
	})
}

// httpClient is a client on a host; idle connections are closed with the world.
func httpClient(h *vnetif.Host) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: h.DialContext}}
}

// get fetches a page of the server.
func get(c *http.Client, path string) (string, error) {
	resp, err := c.Get("http://server" + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// hello answers with the path.
var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello %s", r.URL.Path) })

// connections counts the connections that the client opened.
func (l *lan) connections() (n int) {
	for _, p := range l.wire.tcp("client") {
		if p.flags() == tcpSYN {
			n++
		}
	}
	return n
}

func TestHTTPKeepsConnectionsAlive(t *testing.T) {
	l := newLAN(t, setup{})
	l.serveHTTP(&http.Server{Handler: hello})
	l.run(func(ctx context.Context) error {
		c := httpClient(l.client)
		for i := range 10 {
			body, err := get(c, fmt.Sprintf("/%d", i))
			if err != nil {
				return err
			}
			equal(t, "body", body, fmt.Sprintf("hello /%d", i))
			if err := l.client.Sleep(time.Minute); err != nil {
				return err
			}
		}
		return nil
	})
	equal(t, "connections", l.connections(), 1)
	l.checkWire(t)
}

func TestHTTPByFourPlainClientsAtOnce(t *testing.T) {
	l := newLAN(t, setup{})
	l.lose(50)
	page := string(noise(30_000))
	l.serveHTTP(&http.Server{ReadTimeout: 5 * time.Minute, IdleTimeout: 5 * time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.Path, page)
	})})
	c := httpClient(l.client)
	for k := range 4 {
		l.w.Go(fmt.Sprintf("get%d", k), func(context.Context) error {
			for i := range 5 {
				path := fmt.Sprintf("/%d/%d", k, i)
				body, err := get(c, path)
				if err != nil {
					return err
				}
				equal(t, path, sum([]byte(body)), sum([]byte(path+page)))
			}
			return nil
		})
	}
	l.run(func(context.Context) error { return nil })
}

func TestHTTPUploadInChunks(t *testing.T) {
	l := newLAN(t, setup{})
	l.lose(20)
	l.serveHTTP(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, strings.Join(r.TransferEncoding, ","), " ", sum(b), " ", err)
	})})
	data := noise(500_000)
	l.run(func(ctx context.Context) error {
		pr, pw := io.Pipe()
		go func() {
			for b := data; len(b) > 0; b = b[50_000:] {
				_, _ = pw.Write(b[:50_000])
				_ = l.client.Sleep(100 * time.Millisecond)
			}
			pw.Close()
		}()
		resp, err := httpClient(l.client).Post("http://server/", "application/octet-stream", pr)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		equal(t, "what the server saw", string(body), "chunked "+sum(data)+" <nil>")
		return err
	})
	if v := l.w.Stats().Virtual; v < time.Second {
		t.Errorf("ten chunks, one every 100 ms, took %v", v)
	}
}

// The body waits for the server's 100 Continue.
func TestHTTPExpectContinue(t *testing.T) {
	l := newLAN(t, setup{server: vswitch.PortConfig{Latency: 50 * time.Millisecond}})
	l.serveHTTP(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := l.server.Sleep(time.Second); err != nil {
			t.Error(err)
		}
		n, err := io.Copy(io.Discard, r.Body) // asks for the body
		fmt.Fprint(w, n, err)
	})})
	l.run(func(ctx context.Context) error {
		c := httpClient(l.client)
		c.Transport.(*http.Transport).ExpectContinueTimeout = time.Hour // of real time: never
		var continued time.Duration
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got100Continue: func() { continued = since(l.client, l.w.Start()) }})
		req, err := http.NewRequestWithContext(ctx, "PUT", "http://server/", bytes.NewReader(noise(10_000)))
		if err != nil {
			return err
		}
		req.Header.Set("Expect", "100-continue")
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		equal(t, "answer", string(body), "10000 <nil>")
		// Address resolution, connection, request: three round trips; and the handler's second.
		equal(t, "100 Continue came after", continued, time.Second+3*2*(50*time.Millisecond+vswitch.DefaultLatency))
		return err
	})
	for _, p := range l.wire.tcp("client") {
		if len(p.payload()) > 0 && p.at < time.Second && bytes.Contains(p.payload(), noise(100)) {
			t.Errorf("the body was sent at %v", p.at)
		}
	}
}

func TestHTTPHandlerThatTakesItsTime(t *testing.T) {
	l := newLAN(t, setup{})
	l.serveHTTP(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := l.server.Sleep(3 * time.Second); err != nil {
			t.Error(err)
		}
	})})
	l.run(func(ctx context.Context) error {
		_, err := get(httpClient(l.client), "/")
		equal(t, "the answer came after", since(l.client, l.w.Start()), 3*time.Second+3*4*vswitch.DefaultLatency)
		return err
	})
}

// Events arrive one by one, when the handler flushes them.
func TestHTTPStreaming(t *testing.T) {
	l := newLAN(t, setup{})
	l.serveHTTP(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "event %d\n", i)
			if err := errors.Join(http.NewResponseController(w).Flush(), l.server.Sleep(time.Second)); err != nil {
				t.Error(err)
			}
		}
	})})
	l.run(func(ctx context.Context) error {
		resp, err := httpClient(l.client).Get("http://server/")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		began := l.client.Now()
		var got []string
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			got = append(got, fmt.Sprintf("%s at %v", s.Text(), since(l.client, began)))
		}
		equal(t, "events", strings.Join(got, ", "), "event 0 at 0s, event 1 at 1s, event 2 at 2s")
		return nil
	})
}

// A client that goes away cancels the request's context in the handler.
func TestHTTPRequestThatIsCancelled(t *testing.T) {
	l := newLAN(t, setup{})
	var noticed time.Duration
	l.serveHTTP(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		noticed = since(l.server, l.w.Start())
	})})
	l.run(func(ctx context.Context) error {
		ctx, cancel := l.client.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", "http://server/", nil)
		if err != nil {
			return err
		}
		_, err = httpClient(l.client).Do(req)
		wantErr(t, "the request", err, context.DeadlineExceeded)
		wantTimeout(t, "the request", err)
		equal(t, "after", since(l.client, l.w.Start()), 2*time.Second)
		return l.client.Sleep(time.Second)
	})
	equal(t, "the handler noticed", noticed, 2*time.Second+2*vswitch.DefaultLatency)
}

func TestDateHandlerDatesByTheWorldsClock(t *testing.T) {
	start := time.Date(2031, 5, 6, 7, 8, 9, 0, time.FixedZone("", 3600))
	l := newLAN(t, setup{world: vswitch.Config{Start: start}})
	l.serveHTTP(&http.Server{Handler: vnetif.DateHandler(l.server, hello)})
	l.run(func(ctx context.Context) error {
		if err := l.client.Sleep(time.Minute); err != nil {
			return err
		}
		resp, err := httpClient(l.client).Get("http://server/x")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		equal(t, "Date", resp.Header.Get("Date"), "Tue, 06 May 2031 06:09:09 GMT")
		equal(t, "body", string(body), "hello /x")
		return err
	})
}
