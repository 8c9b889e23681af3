package apps_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lan is a world with two hosts, a and b.
type lan struct {
	t     *testing.T
	world *vswitch.World
	sw    *vswitch.Switch
	a, b  *vnetif.Host
}

func newLAN(t *testing.T) *lan {
	t.Helper()
	w := vswitch.NewWorld(vswitch.Config{Seed: 1})
	t.Cleanup(func() { w.Close() })
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	l := &lan{t: t, world: w, sw: sw}
	for i, h := range []**vnetif.Host{&l.a, &l.b} {
		name := string(rune('a' + i))
		*h, err = vnetif.NewHost(sw, vnetif.HostConfig{Name: name, Addrs: []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}), 24),
			netip.MustParsePrefix("fd00::" + string(rune('1'+i)) + "/64"),
		}, Port: vswitch.PortConfig{Latency: time.Millisecond}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// run runs a client on host a and servers on host b. It returns the client's error.
func (l *lan) run(client apps.App, servers ...apps.App) (clientErr error) {
	l.t.Helper()
	for _, s := range servers {
		if !s.Server() {
			l.t.Error("a server that says it is none")
		}
		l.world.Background("server", func(ctx context.Context) error { return s.Run(ctx, l.b) })
	}
	err := l.world.Run(context.Background(), func(ctx context.Context) error {
		clientErr = client.Run(ctx, l.a)
		return nil
	})
	if err != nil {
		l.t.Error(err)
	}
	return clientErr
}

// drop loses the frames for which f returns true.
func (l *lan) rule(f func(f *vswitch.Frame) vswitch.Verdict) {
	l.sw.AddRule("", vswitch.RuleFunc(func(fr *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		if to != nil {
			return vswitch.Verdict{}
		}
		return f(fr)
	}))
}

func TestRandom(t *testing.T) {
	whole := apps.RandomBytes(1000, 7, "x")
	for _, r := range []io.Reader{apps.Random(7, "x"), iotest.OneByteReader(apps.Random(7, "x")), iotest.HalfReader(apps.Random(7, "x"))} {
		got := make([]byte, 1000)
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, whole) {
			t.Errorf("reading in other portions gives other bytes (%v)", err)
		}
	}
	for _, other := range [][]byte{apps.RandomBytes(1000, 8, "x"), apps.RandomBytes(1000, 7, "y"), apps.RandomBytes(1000, 7, "x", "")} {
		if bytes.Equal(other, whole) {
			t.Error("another seed or name gives the same bytes")
		}
	}
}

func TestHTTP(t *testing.T) {
	body := apps.RandomBytes(100_000, 1, "body")
	sum := apps.Digest(sha256.Sum256(body))
	wrong := sum
	wrong[0]++
	for name, test := range map[string]struct {
		get        apps.HTTPGet
		ok, failed int
		err        string
	}{
		"one":             {get: apps.HTTPGet{URL: "http://b/f", SHA256: &sum}, ok: 1},
		"IPv6":            {get: apps.HTTPGet{URL: "http://[fd00::2]/f", SHA256: &sum}, ok: 1},
		"kept":            {get: apps.HTTPGet{URL: "http://b/f", Times: 3}, ok: 3},
		"new connections": {get: apps.HTTPGet{URL: "http://b/f", Times: 3, NewConnections: true}, ok: 3},
		"parallel":        {get: apps.HTTPGet{URL: "http://b/f", Times: 7, Parallel: 3, SHA256: &sum}, ok: 7},
		"wrong hash":      {get: apps.HTTPGet{URL: "http://b/f", Times: 2, SHA256: &wrong}, failed: 2, err: "2 of 2 requests failed, the first: GET http://b/f: the body's SHA-256 is " + sum.String()},
		"not there":       {get: apps.HTTPGet{URL: "http://b/g"}, failed: 1, err: "404 Not Found"},
		"no server":       {get: apps.HTTPGet{URL: "http://b:81/f"}, failed: 1, err: "connection refused"},
		"no such host":    {get: apps.HTTPGet{URL: "http://c/f"}, failed: 1, err: "lookup c"},
		"too slow":        {get: apps.HTTPGet{URL: "http://b/f", Timeout: 7 * time.Millisecond}, failed: 1, err: "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			client := test.get.New()
			server := apps.HTTPServer{Files: map[string][]byte{"/f": body}}.New()
			err := newLAN(t).run(client, server)
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			r := client.Result()
			if r.OK != test.ok || r.Failed != test.failed {
				t.Errorf("%d ok, %d failed; want %d and %d", r.OK, r.Failed, test.ok, test.failed)
			}
			if test.ok > 0 && (r.Received != int64(test.ok*len(body)) || len(r.SHA256) != 1 || r.SHA256[0] != sum) {
				t.Errorf("received %d bytes, hashes %v", r.Received, r.SHA256)
			}
			if s := server.Result(); s.OK != test.ok && test.err == "" {
				t.Errorf("the server says %d ok, want %d", s.OK, test.ok)
			}
		})
	}
}

// A server that closes idle connections does so on the world's clock.
func TestHTTPIdleTimeout(t *testing.T) {
	l := newLAN(t)
	server := apps.HTTPServer{Files: map[string][]byte{"/f": []byte("x")}, IdleTimeout: 30 * time.Second}.New()
	l.world.Background("server", func(ctx context.Context) error { return server.Run(ctx, l.b) })
	var took time.Duration
	err := l.world.Run(context.Background(), func(ctx context.Context) error {
		c, err := l.a.DialContext(ctx, "tcp", "b:80")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET /f HTTP/1.1\r\nHost: b\r\n\r\n"); err != nil {
			return err
		}
		began := l.a.Now()
		_, err = io.ReadAll(c)
		took = l.a.Now().Sub(began)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if took < 30*time.Second || took > 31*time.Second {
		t.Errorf("the connection was closed after %v, want 30s", took)
	}
}

func TestEcho(t *testing.T) {
	client := apps.Echo{To: "b:7", Times: 5, Size: 2000, Interval: 100 * time.Millisecond}.New()
	server := apps.EchoServer{Port: 7}.New()
	l := newLAN(t)
	if err := l.run(client, server); err != nil {
		t.Fatal(err)
	}
	r := client.Result()
	if r.OK != 5 || r.Sent != 10000 || r.Received != 10000 || r.MinRTT < 4*time.Millisecond || r.MaxRTT > 20*time.Millisecond {
		t.Errorf("%+v", r)
	}
	if s := server.Result(); s.OK != 1 || s.Received != 10000 {
		t.Errorf("server: %+v", s)
	}
	if v := l.world.Stats().Virtual; v < 400*time.Millisecond {
		t.Errorf("%v of virtual time for 4 intervals of 100ms", v)
	}
}

func TestEchoTimeout(t *testing.T) {
	l := newLAN(t)
	l.rule(func(f *vswitch.Frame) vswitch.Verdict {
		return vswitch.Verdict{Drop: f.From.Name() == "b" && len(f.Data) > 300}
	})
	client := apps.Echo{To: "b:7", Size: 1000, Timeout: 2 * time.Second}.New()
	err := l.run(client, apps.EchoServer{Port: 7}.New())
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("error %v, want a timeout", err)
	}
}

func TestBulk(t *testing.T) {
	for name, cfg := range map[string]apps.Bulk{
		"nothing": {To: "b:1", Bytes: 0},
		"a byte":  {To: "b:1", Bytes: 1},
		"some":    {To: "b:1", Bytes: 300_001},
		"several": {To: "b:1", Bytes: 100_000, Parallel: 4},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := cfg.New(), apps.BulkServer{Port: 1}.New()
			if err := newLAN(t).run(client, server); err != nil {
				t.Fatal(err)
			}
			n := max(cfg.Parallel, 1)
			if r := client.Result(); r.OK != n || r.Sent != int64(n)*cfg.Bytes {
				t.Errorf("client: %+v", r)
			}
			if r := server.Result(); r.OK != n || r.Received != int64(n)*cfg.Bytes {
				t.Errorf("server: %+v", r)
			}
		})
	}
}

// Bytes that change on the way in spite of TCP's checksum are found by both ends.
func TestBulkFindsWhatTCPDoesNot(t *testing.T) {
	l := newLAN(t)
	done := false
	l.rule(func(f *vswitch.Frame) vswitch.Verdict {
		if done || len(f.Data) < 1000 {
			return vswitch.Verdict{}
		}
		done = true
		// Two neighbouring words swapped: the sum is the same.
		d := f.Data[100:104]
		return vswitch.Verdict{Edits: []vswitch.Edit{{Offset: 100, Old: bytes.Clone(d), New: []byte{d[2], d[3], d[0], d[1]}}}}
	})
	client, server := apps.Bulk{To: "b:1", Bytes: 50_000}.New(), apps.BulkServer{Port: 1}.New()
	if err := l.run(client, server); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("client: error %v", err)
	}
	if r := server.Result(); r.OK != 0 || r.Failed != 1 {
		t.Errorf("server: %+v", r)
	}
}

func TestUDPEcho(t *testing.T) {
	l := newLAN(t)
	n := 0
	l.rule(func(f *vswitch.Frame) vswitch.Verdict {
		v := vswitch.Verdict{}
		if f.From.Name() == "b" && len(f.Data) > 100 {
			n++
			v.Drop = n == 2  // lost
			v.Copies = n % 2 // answered twice
			if n == 3 {      // late: it must not be taken for the next answer
				v.Delay = 150 * time.Millisecond
			}
		}
		return v
	})
	client := apps.UDPEcho{To: "b:7", Times: 6, Size: 200, Timeout: 100 * time.Millisecond}.New()
	if err := l.run(client, apps.UDPEchoServer{Port: 7}.New()); err != nil {
		t.Fatal(err)
	}
	if r := client.Result(); r.OK != 4 || r.Lost != 2 || r.Sent != 1200 || r.Received != 800 || r.MaxRTT > 10*time.Millisecond {
		t.Errorf("%+v", r)
	}
}

func TestPing(t *testing.T) {
	for _, to := range []string{"b", "10.0.0.2", "fd00::2"} {
		for _, size := range []int{1, 56, 4000} {
			l := newLAN(t)
			client := apps.Ping{To: to, Times: 3, Size: size, Interval: 50 * time.Millisecond}.New()
			if err := l.run(client); err != nil {
				t.Fatal(err)
			}
			if r := client.Result(); r.OK != 3 || r.Lost != 0 || r.Received != int64(3*size) {
				t.Errorf("%s, %d bytes: %+v", to, size, r)
			}
			if v := l.world.Stats().Virtual; v < 100*time.Millisecond || v > 200*time.Millisecond {
				t.Errorf("%s: %v of virtual time", to, v)
			}
		}
	}
}

func TestPingLost(t *testing.T) {
	client := apps.Ping{To: "10.0.0.77", Times: 2, Timeout: 300 * time.Millisecond}.New()
	err := newLAN(t).run(client)
	if r := client.Result(); err == nil && (r.OK != 0 || r.Lost != 2) {
		t.Errorf("%v, %+v", err, r)
	}
}

// An answer is the very bytes it is made of.
func TestHTTPAnswers(t *testing.T) {
	const head = "HTTP/1.0 200 OK\r\nServer: SimpleHTTP/0.6 Python/3.11.2\r\nContent-Length: 4\r\n\r\n"
	l := newLAN(t)
	server := apps.HTTPAnswers{Port: 8080, Answers: map[string]apps.HTTPAnswer{
		"/f": {Head: []byte(head), Body: []byte("body"), Close: apps.ClosesAfter([]byte(head))},
		"/k": {Head: []byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"), Body: []byte("k")},
	}}.New()
	l.world.Background("server", func(ctx context.Context) error { return server.Run(ctx, l.b) })
	for request, want := range map[string]string{
		"GET /f HTTP/1.0\r\n\r\n": head + "body",
		"GET /k HTTP/1.1\r\nHost: b\r\n\r\nGET /f HTTP/1.1\r\nHost: b\r\n\r\n": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nk" + head + "body",
	} {
		l.world.Go("client "+request[5:6], func(ctx context.Context) error {
			c, err := l.a.DialContext(ctx, "tcp", "b:8080")
			if err != nil {
				return err
			}
			defer c.Close()
			io.WriteString(c, request)
			got, err := io.ReadAll(c)
			if string(got) != want {
				t.Errorf("%q: got %q, want %q", request, got, want)
			}
			return err
		})
	}
	if err := l.world.Run(context.Background(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
}
