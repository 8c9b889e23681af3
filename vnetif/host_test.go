package vnetif_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

type digest struct {
	h      interface{ Write([]byte) (int, error) }
	frames int
}

func (d *digest) Record(e vswitch.Event) error {
	if s, ok := e.(*vswitch.Sent); ok {
		d.frames++
		fmt.Fprintf(d.h, "%d %d %x\n", s.At.UnixNano(), s.From.Number(), s.Data)
	}
	return nil
}
func (d *digest) Close() error { return nil }

func world(t testing.TB, seed uint64, rec vswitch.Recorder) (*vswitch.World, *vswitch.Switch, *vnetif.Host, *vnetif.Host) {
	w := vswitch.NewWorld(vswitch.Config{Seed: seed})
	sw, err := w.NewSwitch(vswitch.SwitchConfig{Recorder: rec})
	if err != nil {
		t.Fatal(err)
	}
	mk := func(name, a, b string) *vnetif.Host {
		h, err := vnetif.NewHost(sw, vnetif.HostConfig{Name: name, Addrs: []netip.Prefix{netip.MustParsePrefix(a), netip.MustParsePrefix(b)}})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	return w, sw, mk("client", "10.0.0.1/24", "fd00::1/64"), mk("server", "10.0.0.2/24", "fd00::2/64")
}

func lossy(seed uint64, permille uint32) vswitch.Rule {
	r := vswitch.NewRand(seed, "loss")
	return vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		return vswitch.Verdict{Drop: to == nil && r.Uint32N(1000) < permille}
	})
}

func bulk(t testing.TB, n int64, permille uint32, rec vswitch.Recorder) vswitch.Stats {
	w, sw, c, s := world(t, 1, rec)
	defer w.Close()
	sw.AddRule("loss", lossy(1, permille))
	l, err := s.Listen("tcp", ":9000")
	if err != nil {
		t.Fatal(err)
	}
	w.Background("sink", func(ctx context.Context) error {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		defer conn.Close()
		got, err := io.Copy(io.Discard, conn)
		if got != n {
			return fmt.Errorf("got %d bytes: %v", got, err)
		}
		return err
	})
	err = w.Run(context.Background(), func(ctx context.Context) error {
		conn, err := c.DialContext(ctx, "tcp", "server:9000")
		if err != nil {
			return err
		}
		buf := make([]byte, 64<<10)
		rand.NewChaCha8([32]byte{}).Read(buf)
		for left := n; left > 0; {
			k := min(left, int64(len(buf)))
			if _, err := conn.Write(buf[:k]); err != nil {
				return err
			}
			left -= k
		}
		return conn.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	return w.Stats()
}

func TestBulkSame(t *testing.T) {
	for i := range 5 {
		d := &digest{h: sha256.New()}
		st := bulk(t, 20e6, 20, d)
		t.Logf("%d: %x frames=%d virtual=%v wall=%v", i, d.h.(interface{ Sum([]byte) []byte }).Sum(nil)[:6], d.frames, st.Virtual, st.Wall)
	}
}

func TestHTTPSame(t *testing.T) {
	for i := range 10 {
		d := &digest{h: sha256.New()}
		w, sw, c, s := world(t, 1, d)
		sw.AddRule("loss", lossy(1, 50))
		l, err := s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{
			ReadTimeout: 5 * time.Second, IdleTimeout: 30 * time.Second,
			Handler: vnetif.DateHandler(s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "hello %s %s", r.URL.Path, make([]byte, 20000))
			})),
		}
		w.Background("http", func(ctx context.Context) error { return srv.Serve(l) })
		for k := range 4 {
			w.Go(fmt.Sprintf("get%d", k), func(ctx context.Context) error {
				cl := &http.Client{Transport: &http.Transport{DialContext: c.DialContext}}
				for j := range 100 {
					resp, err := cl.Get(fmt.Sprintf("http://server/%d/%d", k, j))
					if err != nil {
						return err
					}
					if _, err := io.Copy(io.Discard, resp.Body); err != nil {
						return err
					}
					resp.Body.Close()
				}
				return nil
			})
		}
		err = w.Run(context.Background(), func(ctx context.Context) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		st := w.Stats()
		t.Logf("%d: %x frames=%d virtual=%v wall=%v unordered=%d", i, d.h.(interface{ Sum([]byte) []byte }).Sum(nil)[:6], d.frames, st.Virtual, st.Wall, st.Unordered)
		w.Close()
	}
}

var _ net.Conn
