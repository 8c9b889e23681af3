package vnettest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
	"github.com/vnreplay/vnreplay/vnettest"
)

var scenes = map[string]func(t *testing.T){
	"passes": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{Seed: 7, Faults: []string{"loss: drop 10% from server"}})
		n.HTTPServer("server", ":80", handler)
		n.Run(download(n))
		if n.Rule("loss").Counts().Dropped == 0 {
			t.Error("nothing was lost")
		}
	},
	"error": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{Seed: 7, Faults: []string{"late: delay 1ms from client"}})
		n.HTTPServer("server", ":80", handler)
		n.Run(func(ctx context.Context) error {
			return errors.Join(download(n)(ctx), errors.New("the document is dull"))
		})
		t.Error("the test went on")
	},
	// The others would go on for an hour, and fail with what the end of the run does to them.
	"error of one of many": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{})
		n.Background("idle", func(context.Context) error {
			if err := n.Host("server").Sleep(time.Hour); err != nil {
				return fmt.Errorf("idle was woken: %v", err)
			}
			return nil
		})
		n.Go("patient", func(context.Context) error {
			return n.Host("server").Sleep(10 * time.Minute)
		})
		n.Go("hasty", func(context.Context) error {
			n.Host("client").Sleep(time.Second)
			return errors.New("too late")
		})
		n.Run(func(context.Context) error {
			_, err := n.Listen("client", "tcp", ":1").Accept()
			return fmt.Errorf("nobody came: %v", err)
		})
	},
	"later": func(t *testing.T) { // the test fails after the run
		n := vnettest.New(t, vnettest.Config{})
		n.HTTPServer("server", ":80", handler)
		n.Run(download(n))
		t.Error("it is not good enough")
	},
	"fatal": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{})
		n.HTTPServer("server", ":80", handler)
		n.Go("patient", func(context.Context) error { return n.Host("server").Sleep(10 * time.Minute) })
		n.Run(func(ctx context.Context) error {
			if err := download(n)(ctx); err != nil {
				return err
			}
			t.Fatal("enough of it")
			return nil
		})
		t.Error("the test went on")
	},
	"fatal in an application": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{})
		n.Go("app", func(context.Context) error {
			n.Host("no such host")
			return nil
		})
		n.Run(func(ctx context.Context) error { return n.Host("client").Sleep(time.Minute) })
		t.Error("the test went on")
	},
	"skip": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{})
		n.Run(func(context.Context) error {
			t.Skip("not today")
			return nil
		})
		t.Error("the test went on")
	},
	"goexit": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{})
		n.Run(func(context.Context) error {
			runtime.Goexit()
			return nil
		})
		t.Error("the test went on")
	},
	"panic": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{})
		n.HTTPServer("server", ":80", handler)
		n.Go("app", func(ctx context.Context) error {
			if err := download(n)(ctx); err != nil {
				return err
			}
			panic(errors.New("boom"))
		})
		n.Run(func(context.Context) error { return n.Host("server").Sleep(time.Minute) })
		t.Error("the test went on")
	},
	"deadlock": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{})
		n.Run(func(context.Context) error {
			_, err := n.Listen("server", "tcp", ":80").Accept()
			return err
		})
	},
	"limit": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{Limit: time.Second})
		n.Run(func(context.Context) error { return n.Host("client").Sleep(time.Minute) })
	},
	"miss": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{Faults: []string{
			`typo: drop from server if "tcp port 81"`, "drop 1% from client during 1h..2h", "met: delay 1ms from server",
		}})
		n.HTTPServer("server", ":80", handler)
		n.Run(download(n))
	},
	"may miss": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{
			Faults:  []string{`typo: drop from server if "tcp port 81"`, "drop 1% from client during 1h..2h", "drop 0% from server"},
			MayMiss: []string{"typo", "drop 1% from client during 1h..2h"},
		})
		n.HTTPServer("server", ":80", handler)
		n.Run(download(n))
	},
	"never run": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{})
		n.HTTPServer("server", ":80", handler)
	},
	"run twice": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{})
		n.Run(func(context.Context) error { return nil })
		n.Run(func(context.Context) error { return nil })
	},
	"nested": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{})
		n.Run(func(context.Context) error {
			vnettest.New(t, vnettest.Config{}).Run(func(context.Context) error { return nil })
			return nil
		})
		t.Error("the test went on")
	},
	"two worlds": func(t *testing.T) {
		for range 2 {
			n := vnettest.New(t, vnettest.Config{})
			n.HTTPServer("server", ":80", handler)
			n.Run(download(n))
		}
		t.Error("neither is good")
	},
	"seeds": func(t *testing.T) {
		for seed := range uint64(2) {
			n := vnettest.New(t, vnettest.Config{Seed: seed})
			n.Run(func(context.Context) error { return nil })
			t.Logf("the world's seed is %d", n.World().Seed())
		}
	},
	"odd/name 'n [b]$": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{})
		n.Run(func(context.Context) error { return errors.New("odd") })
	},
	"golden": func(t *testing.T) {
		seconds, _ := strconv.Atoi(os.Getenv("VNETTEST_SECONDS"))
		n := vnettest.New(t, vnettest.Config{Seed: 3, Golden: "testdata/golden.pcapng"})
		n.HTTPServer("server", ":80", handler)
		n.Run(func(ctx context.Context) error {
			if err := n.Host("client").Sleep(time.Duration(seconds) * time.Second); err != nil {
				return err
			}
			return download(n)(ctx)
		})
	},
	"golden behind a gateway": func(t *testing.T) {
		cfg := gateway()
		cfg.Golden = "testdata/gateway.pcapng"
		if os.Getenv("VNETTEST_SECONDS") != "" {
			cfg.Faults = append(cfg.Faults, "more: delay 1ms on wan after 20 frames")
		}
		n := vnettest.New(t, cfg)
		n.HTTPServer("server", ":80", handler)
		n.Run(func(ctx context.Context) error {
			if os.Getenv("VNETTEST_SLEEP") != "" && os.Getenv("VNETTEST_GOLDEN_TEST") == "" {
				if err := n.Host("client").Sleep(time.Second); err != nil {
					return err
				}
			}
			return download(n)(ctx)
		})
	},
	"fails behind a gateway": func(t *testing.T) {
		n := vnettest.New(t, gateway())
		n.HTTPServer("server", ":80", handler)
		n.Run(download(n))
		t.Error("it is not good")
	},
	"golden fails": func(t *testing.T) {
		n := vnettest.New(t, vnettest.Config{Golden: "testdata/fails.pcapng"})
		n.Run(func(context.Context) error { return nil })
		t.Error("and now this")
	},
	"golden only here": func(t *testing.T) {
		if os.Getenv("VNETTEST_GOLDEN_TEST") != "" {
			t.Fatal("not in the other process")
		}
		n := vnettest.New(t, vnettest.Config{Golden: "testdata/here.pcapng"})
		n.Run(func(context.Context) error { return nil })
	},
	"two goldens": func(t *testing.T) {
		for _, name := range []string{"first", "second"} {
			n := vnettest.New(t, vnettest.Config{Golden: name + ".pcapng", Hosts: vnettest.Hosts(name, "server", "client")})
			n.HTTPServer("server", ":80", handler)
			n.Run(download(n))
		}
	},
	"parallel goldens": func(t *testing.T) {
		for i := range 3 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				n := vnettest.New(t, vnettest.Config{Seed: uint64(i), Golden: fmt.Sprintf("testdata/%d.pcapng", i), Faults: []string{"drop 10%"}})
				n.HTTPServer("server", ":80", handler)
				n.Run(download(n))
			})
		}
	},
	"replay same": func(t *testing.T) {
		r := vnettest.Replay(t, capture, vnettest.Live{Addr: "10.77.0.2", App: lineServer(nil)})
		if r.Verdict != replay.Same {
			t.Errorf("verdict %v", r.Verdict)
		}
	},
	"replay diverges": func(t *testing.T) {
		vnettest.Replay(t, capture, vnettest.Live{Addr: "10.77.0.2", Name: "line server", App: lineServer(func(line string) string {
			return strings.Replace(line, "uptime", "up time", 1)
		})}, vnettest.Seed(5))
		t.Log("the test went on")
	},
	"replay fatal": func(t *testing.T) {
		vnettest.Replay(t, capture, vnettest.Live{Addr: "10.77.0.2", App: lineServer(func(line string) string {
			t.Fatalf("what is %q?", line)
			return ""
		})})
		t.Log("the test went on")
	},
	"replay panics": func(t *testing.T) {
		vnettest.Replay(t, capture, vnettest.Live{Addr: "10.77.0.2", App: lineServer(func(line string) string {
			panic("what is " + line)
		})})
		t.Log("the test went on")
	},
	"replay error": func(t *testing.T) {
		vnettest.Replay(t, capture, vnettest.Live{Addr: "10.77.0.2", App: func(context.Context, *vnetif.Host) error {
			return errors.New("no configuration")
		}})
	},
	"replay nobody": func(t *testing.T) {
		vnettest.Replay(t, capture, vnettest.Live{Addr: "10.77.0.9", App: lineServer(nil)})
		t.Log("the test went on")
	},
	"replay nothing": func(t *testing.T) {
		vnettest.Replay(t, "missing.pcapng", vnettest.Live{Addr: "10.77.0.2", App: lineServer(nil)})
	},
	"replay no address": func(t *testing.T) {
		vnettest.Replay(t, capture, vnettest.Live{Addr: "server", App: lineServer(nil)})
	},
	"replay no app": func(t *testing.T) {
		vnettest.Replay(t, capture, vnettest.Live{Addr: "10.77.0.2"})
	},
	"replay nothing playable": func(t *testing.T) { // not allowed either: nothing is tested
		vnettest.Replay(t, "beheaded.pcap", vnettest.Live{Addr: "10.77.0.2", App: lineServer(nil)}, vnettest.AllowPartial())
	},
	"replay partial": func(t *testing.T) {
		vnettest.Replay(t, "partly.pcap", vnettest.Live{Addr: "10.77.0.2", App: lineServer(nil)})
	},
	"replay allowed partial": func(t *testing.T) {
		vnettest.Replay(t, "partly.pcap", vnettest.Live{Addr: "10.77.0.2", App: lineServer(nil)}, vnettest.AllowPartial())
	},
}

// capture is a client that says lines to a server, which answers each.
const capture = "talk.pcapng"
