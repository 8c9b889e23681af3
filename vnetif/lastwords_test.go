package vnetif_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// A client that writes, closes and returns has said all it wanted to say: the
// run goes on until its peer has it, whatever the loss.
func TestWhatWasWrittenBeforeTheLastReturnArrives(t *testing.T) {
	const size = 300_000
	for name, end := range map[string]func(*vnetif.Conn) error{
		"Close":      (*vnetif.Conn).Close,
		"CloseWrite": (*vnetif.Conn).CloseWrite,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(10) {
				l := newLAN(t, setup{world: vswitch.Config{Seed: seed}, quiet: true})
				l.lose(100)
				var got int64
				l.serve("tcp", ":80", func(c *vnetif.Conn) (err error) {
					got, err = io.Copy(io.Discard, c)
					return err
				})
				l.run(func(ctx context.Context) error {
					c, err := l.dial(ctx, "tcp", "server:80")
					if err != nil {
						return err
					}
					if _, err := c.Write(make([]byte, size)); err != nil {
						return err
					}
					return end(c)
				})
				if got != size || l.w.Stats().CutOff != 0 {
					t.Errorf("seed %d: %d of %d bytes arrived, %d connections cut off", seed, got, size, l.w.Stats().CutOff)
				}
			}
		})
	}
}

func TestLastBytesThatNobodyTakesAreCounted(t *testing.T) {
	l := newLAN(t, setup{quiet: true})
	l.serve("tcp", ":80", func(c *vnetif.Conn) error { _, err := io.Copy(io.Discard, c); return err })
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:80")
		if err != nil {
			return err
		}
		l.server.Port().SetUp(false)
		if _, err := c.Write(make([]byte, 100)); err != nil {
			return err
		}
		return c.Close()
	})
	equal(t, "connections cut off", l.w.Stats().CutOff, 1)
}

func TestADatagramSentJustBeforeTheEndArrives(t *testing.T) {
	l := newLAN(t, setup{})
	pc, err := l.server.ListenPacket("udp", ":9")
	must(t, err)
	var got string
	l.w.Background("sink", func(context.Context) error {
		b := make([]byte, 100)
		n, _, err := pc.ReadFrom(b)
		got = string(b[:n])
		return err
	})
	l.run(func(ctx context.Context) error {
		c, err := l.client.DialContext(ctx, "udp", "server:9")
		if err != nil {
			return err
		}
		if _, err := c.Write([]byte("farewell")); err != nil {
			return err
		}
		return c.Close()
	})
	equal(t, "datagram", got, "farewell")
}

func TestConcurrentWritesStayWhole(t *testing.T) {
	const large = 12 << 20
	l := newLAN(t, setup{unrecorded: true})
	var got []byte
	l.serve("tcp", ":80", func(c *vnetif.Conn) (err error) {
		got, err = io.ReadAll(c)
		return err
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:80")
		if err != nil {
			return err
		}
		done := make(chan error)
		go func() {
			_, err := c.Write(bytes.Repeat([]byte("A"), large))
			done <- err
		}()
		if err := l.client.Sleep(time.Microsecond); err != nil { // the other Write comes first
			return err
		}
		_, err = c.Write([]byte("BBBB"))
		return errors.Join(err, <-done, c.Close())
	})
	if len(got) != large+4 || string(got[large:]) != "BBBB" {
		t.Errorf("%d bytes, the first B at %d", len(got), bytes.IndexByte(got, 'B'))
	}
}

// A deadline for a whole exchange, set once and again before each read, as is
// usual, does not move.
func TestADeadlineThatIsSetAgainKeepsItsInstant(t *testing.T) {
	l := newLAN(t, setup{quiet: true})
	l.serve("tcp", ":80", func(c *vnetif.Conn) error {
		for range 100 {
			if _, err := c.Write([]byte{1}); err != nil {
				return err
			}
			if err := l.server.Sleep(time.Second); err != nil {
				return err
			}
		}
		return nil
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:80")
		if err != nil {
			return err
		}
		defer c.Close()
		began := l.client.Now()
		deadline := time.Now().Add(5500 * time.Millisecond)
		for {
			must(t, c.SetReadDeadline(deadline))
			if _, err = c.Read(make([]byte, 1)); err != nil {
				break
			}
		}
		wantTimeout(t, "read", err)
		equal(t, "time until the deadline", since(l.client, began), 5500*time.Millisecond)
		return nil
	})
}

// net/http sets the deadline of the body when the header is there, for an instant
// it computed when the request began. What of it has passed has passed in virtual
// time only, so the body gets the whole timeout: docs/net-http.md says so.
func TestReadTimeoutGivesTheBodyItsWholeTime(t *testing.T) {
	l := newLAN(t, setup{quiet: true})
	ln, err := l.server.Listen("tcp", ":80")
	must(t, err)
	var took time.Duration
	srv := &http.Server{ReadTimeout: 6 * time.Second}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := l.server.Now()
		_, err := io.ReadAll(r.Body)
		wantTimeout(t, "body", err)
		took = since(l.server, began)
	})
	l.w.Background("web", func(context.Context) error { return srv.Serve(ln) })
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:80")
		if err != nil {
			return err
		}
		defer c.Close()
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: server\r\n")
		if err := l.client.Sleep(4 * time.Second); err != nil {
			return err
		}
		fmt.Fprint(c, "Content-Length: 10\r\n\r\n")
		_, err = c.Read(make([]byte, 1000))
		return err
	})
	equal(t, "time until the body timed out", took, 6*time.Second)
}

// A short sleep is seen also while frames keep the world busy.
func TestAShortSleepNextToATransferIsCaught(t *testing.T) {
	l := newLAN(t, setup{unrecorded: true})
	l.serve("tcp", ":80", func(c *vnetif.Conn) error { _, err := io.Copy(io.Discard, c); return err })
	gone := make(chan struct{})
	l.w.Go("sleeper", func(ctx context.Context) error {
		defer close(gone)
		for ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		return nil
	})
	err := l.fails(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:80")
		if err != nil {
			return err
		}
		defer c.Close()
		for range 320 {
			if _, err := c.Write(make([]byte, 64<<10)); err != nil {
				return err
			}
		}
		return nil
	})
	<-gone
	if !errors.Is(err, vswitch.ErrRealTime) || !strings.Contains(err.Error(), "lastwords_test.go") {
		t.Errorf("got %v", err)
	}
}
