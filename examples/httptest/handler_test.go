package httptest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// document is what the handler under test serves.
var document = bytes.Repeat([]byte("All work and no play makes Jack a dull boy.\n"), 10_000)

// handler is the code under test. It knows nothing of virtual time.
var handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "document.txt", time.Time{}, bytes.NewReader(document))
})

// serve runs srv on a host called server, behind a cable of 20 ms and the given
// faults, and then main with a client on the same switch.
func serve(t *testing.T, srv *http.Server, rules []string, main func(ctx context.Context, client *vnetif.Host) error) {
	t.Helper()
	world := vswitch.NewWorld(vswitch.Config{Seed: 1})
	defer world.Close()
	sw, err := world.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	host := func(name, addr string, latency time.Duration) *vnetif.Host {
		h, err := vnetif.NewHost(sw, vnetif.HostConfig{
			Name:  name,
			Addrs: []netip.Prefix{netip.MustParsePrefix(addr)},
			Port:  vswitch.PortConfig{Latency: latency},
		})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	client, server := host("client", "10.0.0.1/24", time.Millisecond), host("server", "10.0.0.2/24", 19*time.Millisecond)
	parsed, err := faults.ParseAll(rules)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := faults.Install(sw, parsed); err != nil {
		t.Fatal(err)
	}
	listener, err := server.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	srv.Handler = vnetif.DateHandler(server, srv.Handler) // the Date header by the world's clock
	world.Background("http", func(context.Context) error { return srv.Serve(listener) })
	err = world.Run(t.Context(), func(ctx context.Context) error { return main(ctx, client) })
	if err != nil {
		t.Fatal(err)
	}
}

// One frame in twenty is lost, and the document still arrives whole.
func TestDownloadOverALossyLink(t *testing.T) {
	srv := &http.Server{Handler: handler, ReadTimeout: time.Minute, WriteTimeout: time.Minute}
	serve(t, srv, []string{"loss: drop 5%"}, func(ctx context.Context, client *vnetif.Host) error {
		began := client.Now()
		c := &http.Client{Transport: &http.Transport{DialContext: client.DialContext}}
		resp, err := c.Get("http://server/document.txt")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, document) {
			t.Errorf("got %d bytes, not the document's %d", len(got), len(document))
		}
		if took := client.Now().Sub(began); took > 30*time.Second {
			t.Errorf("the download took %v of virtual time", took)
		}
		return nil
	})
}

// A client that connects and says nothing is disconnected after exactly ten
// seconds, plus the 40 ms that the news takes there and back.
func TestSilentClientIsDisconnected(t *testing.T) {
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	serve(t, srv, nil, func(ctx context.Context, client *vnetif.Host) error {
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
	serve(t, &http.Server{Handler: handler}, []string{"cut: drop from server"}, func(ctx context.Context, client *vnetif.Host) error {
		began := client.Now()
		ctx, cancel := client.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", "http://server/", nil)
		if err != nil {
			return err
		}
		c := &http.Client{Transport: &http.Transport{DialContext: client.DialContext}}
		if _, err := c.Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the request ended with %v", err)
		}
		if took := client.Now().Sub(began); took != 2*time.Second {
			t.Errorf("after %v", took)
		}
		return nil
	})
}
