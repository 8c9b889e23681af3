package httptest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/vnetif"
	"github.com/vnreplay/vnreplay/vnettest"
)

// document is what the handler under test serves.
var document = bytes.Repeat([]byte("All work and no play makes Jack a dull boy.\n"), 10_000)

// handler is the code under test. It knows nothing of virtual time.
var handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "document.txt", time.Time{}, bytes.NewReader(document))
})

// hosts are a client and a server with 20 ms between them.
func hosts() []vnettest.Host {
	return []vnettest.Host{{Name: "client", Latency: time.Millisecond}, {Name: "server", Latency: 19 * time.Millisecond}}
}

// download gets the document, and wants all of it.
func download(n *vnettest.Net) func(context.Context) error {
	return func(context.Context) error {
		resp, err := n.HTTPClient("client").Get("http://server/document.txt")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err == nil && !bytes.Equal(got, document) {
			err = fmt.Errorf("got %d bytes, not the document's %d", len(got), len(document))
		}
		return err
	}
}

// One frame in twenty is lost, and the document still arrives whole.
func TestDownloadOverALossyLink(t *testing.T) {
	n := vnettest.New(t, vnettest.Config{Seed: 1, Hosts: hosts(), Faults: []string{"loss: drop 5%"}})
	n.HTTPServer("server", ":80", handler)
	n.Run(download(n))
	if n.Rule("loss").Counts().Dropped == 0 {
		t.Error("nothing was lost")
	}
	if took := n.World().Stats().Virtual; took > 30*time.Second {
		t.Errorf("the download took %v of virtual time", took)
	}
}

// Every way of being broken that the handler has to live with, a row each.
func TestDownloadOverBadLinks(t *testing.T) {
	for name, faults := range map[string][]string{
		"the first SYN is lost": {`syn: drop first 1 from client if "tcp[tcpflags] & tcp-syn != 0"`},
		"bursts of loss":        {"loss: drop gemodel 1% 25% from server"},
		"damaged":               {"flip: corrupt every 20 from server"},
		"out of order":          {"late: delay 5ms jitter 4ms from server"},
		"twice":                 {"twice: duplicate 10% from server"},
		"slow":                  {"line: rate 2mbit queue 20p from server"},
		"cut for a second":      {"cut: partition client <-> server after 100kB for 1s"},
		"all of it": {"loss: drop 2%", "flip: corrupt 1% from server", "late: delay 5ms jitter 4ms from server",
			"twice: duplicate 1%", "line: rate 5mbit queue 50p from server"},
	} {
		t.Run(name, func(t *testing.T) {
			n := vnettest.New(t, vnettest.Config{Seed: 1, Hosts: hosts(), Faults: faults})
			n.HTTPServer("server", ":80", handler)
			n.Run(download(n))
		})
	}
}

// go test runs the seeds that are added here; go test -fuzz FuzzDownload looks for
// others with which the download fails, and prints the command that repeats it.
func FuzzDownload(f *testing.F) {
	for seed := range uint64(5) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		n := vnettest.New(t, vnettest.Config{Seed: seed, Faults: []string{"drop 3%", "corrupt 1% from server", "duplicate 1%"}})
		n.HTTPServer("server", ":80", handler)
		n.Run(download(n))
	})
}

// The same frames every time, on every machine: a change of the code that changes
// what is on the wire shows as the first frame that differs. After a change that is
// meant, go test -vnettest.update.
func TestHandshakeOnTheWire(t *testing.T) {
	n := vnettest.New(t, vnettest.Config{Seed: 1, Golden: "testdata/not-found.pcapng"})
	n.HTTPServer("server", ":80", http.NotFoundHandler())
	n.Run(func(context.Context) error {
		resp, err := n.HTTPClient("client").Get("http://server/")
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
}

// A conversation that was captured with tcpdump: its client is played, and the code
// of today has to say what the server of that day said.
func TestCapturedClient(t *testing.T) {
	vnettest.Replay(t, "../../fixtures/captures/10-interactive.a.pcapng", vnettest.Live{
		Addr: "10.77.0.2",
		App: func(ctx context.Context, h *vnetif.Host) error {
			l, err := h.Listen("tcp", ":7010")
			if err != nil {
				return err
			}
			conn, err := l.Accept()
			if err != nil {
				return err
			}
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				fmt.Fprintf(conn, "> %s ok\n", lines.Text())
			}
			return conn.Close()
		},
	})
}

// A client that connects and says nothing is disconnected after exactly ten
// seconds, plus the 40 ms that the news takes there and back.
func TestSilentClientIsDisconnected(t *testing.T) {
	n := vnettest.New(t, vnettest.Config{Seed: 1, Hosts: hosts()})
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	l := n.Listen("server", "tcp", ":80")
	n.Background("http", func(context.Context) error { return srv.Serve(l) })
	n.Run(func(ctx context.Context) error {
		client := n.Host("client")
		conn, err := client.DialContext(ctx, "tcp", "server:80")
		if err != nil {
			return err
		}
		defer conn.Close()
		began := client.Now()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("reading: %v, want EOF", err)
		}
		if took := client.Now().Sub(began); took != 10*time.Second+40*time.Millisecond {
			t.Errorf("disconnected after %v", took)
		}
		return nil
	})
}

// A server whose cable is cut: the request ends when its context does.
func TestRequestToAServerThatIsGone(t *testing.T) {
	n := vnettest.New(t, vnettest.Config{Seed: 1, Hosts: hosts(), Faults: []string{"cut: drop from server"}})
	n.HTTPServer("server", ":80", handler)
	n.Run(func(ctx context.Context) error {
		client := n.Host("client")
		began := client.Now()
		ctx, cancel := client.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", "http://server/", nil)
		if err != nil {
			return err
		}
		if _, err := n.HTTPClient("client").Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the request ended with %v", err)
		}
		if took := client.Now().Sub(began); took != 2*time.Second {
			t.Errorf("after %v", took)
		}
		return nil
	})
}
