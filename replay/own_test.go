package replay_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// pair is a client and a server to record; both are made anew for each use.
type pair struct {
	name           string
	client, server func() replay.App
	fault          func(f *vswitch.Frame) vswitch.Verdict
	view           string // "" for the wire, or "client" or "server"
}

const clientAddr, serverAddr = "10.0.0.1", "10.0.0.2"

// record runs a client and a server and returns what was recorded, or what
// tcpdump on one of the two would have seen.
func record(t rapid.TB, p pair, seed uint64) *replay.Analysis {
	t.Helper()
	var file bytes.Buffer
	rec, err := pcap.NewRecorder(&file, pcap.Meta{Version: "test", Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	w := vswitch.NewWorld(vswitch.Config{Seed: seed})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{Recorder: rec})
	if err != nil {
		t.Fatal(err)
	}
	host := func(n int, name string) *vnetif.Host {
		h, err := vnetif.NewHost(sw, vnetif.HostConfig{Name: name, Addrs: []netip.Prefix{
			netip.MustParsePrefix(fmt.Sprintf("10.0.0.%d/24", n)), netip.MustParsePrefix(fmt.Sprintf("fd00::%d/64", n))}})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	c, s := host(1, "client"), host(2, "server")
	if p.fault != nil {
		sw.AddRule("fault", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
			if to != nil {
				return vswitch.Verdict{}
			}
			return p.fault(f)
		}))
	}
	w.Background("server", func(ctx context.Context) error { return p.server()(ctx, s) })
	if err := w.Run(context.Background(), func(ctx context.Context) error { return p.client()(ctx, c) }); err != nil {
		t.Fatalf("recording %s: %v", p.name, err)
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := pcap.NewReader(&file, p.name)
	if err != nil {
		t.Fatal(err)
	}
	if p.view != "" {
		var seen bytes.Buffer
		if err := pcap.ViewAt(&seen, r, p.view); err != nil {
			t.Fatal(err)
		}
		if r, err = pcap.NewReader(&seen, p.name); err != nil {
			t.Fatal(err)
		}
	}
	capture, err := replay.Read(r, p.name)
	if err != nil {
		t.Fatal(err)
	}
	return replay.Analyse(capture)
}

func app(a apps.App) replay.App { return a.Run }

func echoPair(times, size int) pair {
	return pair{
		name:   fmt.Sprintf("echo %d x %d", times, size),
		client: func() replay.App { return app(apps.Echo{To: serverAddr + ":7", Times: times, Size: size}.New()) },
		server: func() replay.App { return app(apps.EchoServer{Port: 7}.New()) },
	}
}

func httpPair(times, parallel, size int, fresh bool) pair {
	body := apps.RandomBytes(int64(size), 1, "body")
	return pair{
		name: fmt.Sprintf("http %d by %d x %d fresh=%v", times, parallel, size, fresh),
		client: func() replay.App {
			return app(apps.HTTPGet{URL: "http://" + serverAddr + "/f", Times: times, Parallel: parallel, NewConnections: fresh}.New())
		},
		server: func() replay.App { return app(apps.HTTPServer{Port: 80, Files: map[string][]byte{"/f": body}}.New()) },
	}
}

// streamPair sends size bytes at once to an echo server and reads them back
// while it sends: both directions are full at the same time.
func streamPair(size int) pair {
	data := apps.RandomBytes(int64(size), 2, "stream")
	return pair{
		name: fmt.Sprintf("stream %d", size),
		client: func() replay.App {
			return func(ctx context.Context, h *vnetif.Host) error {
				c, err := h.DialContext(ctx, "tcp", serverAddr+":7")
				if err != nil {
					return err
				}
				defer c.Close()
				done := make(chan error, 1)
				go func() {
					_, err := c.Write(data)
					c.(*vnetif.Conn).CloseWrite()
					done <- err
				}()
				got, err := io.ReadAll(c)
				if err == nil && !bytes.Equal(got, data) {
					err = fmt.Errorf("got %d bytes back", len(got))
				}
				if werr := <-done; err == nil {
					err = werr
				}
				return err
			}
		},
		server: func() replay.App { return app(apps.EchoServer{Port: 7}.New()) },
	}
}

func bulkPair(size int64) pair {
	return pair{
		name:   fmt.Sprintf("bulk %d", size),
		client: func() replay.App { return app(apps.Bulk{To: serverAddr + ":9000", Bytes: size}.New()) },
		server: func() replay.App { return app(apps.BulkServer{Port: 9000}.New()) },
	}
}

func udpPair(times, size int) pair {
	return pair{
		name: fmt.Sprintf("udp %d x %d", times, size),
		client: func() replay.App {
			return app(apps.UDPEcho{To: serverAddr + ":7", Times: times, Size: size, Interval: 10 * time.Millisecond}.New())
		},
		server: func() replay.App { return app(apps.UDPEchoServer{Port: 7}.New()) },
	}
}

func pingPair(times, size int) pair {
	return pair{
		name: fmt.Sprintf("ping %d x %d", times, size),
		client: func() replay.App {
			return app(apps.Ping{To: serverAddr, Times: times, Size: size, Interval: 50 * time.Millisecond}.New())
		},
		server: func() replay.App { return func(context.Context, *vnetif.Host) error { return nil } },
	}
}

// TestRecordReplay records conversations of every built-in application, with and
// without loss, and replays each side live, with its application and with its
// transcript: always the same.
func TestRecordReplay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := func(name string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(rt, name) }
		often := rapid.SampledFrom([]uint32{0, 10, 50}).Draw(rt, "faults per mille")
		var p pair
		switch kind := rapid.SampledFrom([]string{"echo", "http", "stream", "bulk", "udp", "ping"}).Draw(rt, "kind"); kind {
		case "echo":
			p = echoPair(n("times", 1, 20), n("size", 1, 5000))
		case "http":
			parallel := n("parallel", 1, 3)
			if often > 0 {
				// Which of several clients makes which request depends on who is
				// delayed: such a client does not repeat what it did.
				parallel = 1
			}
			p = httpPair(n("times", 1, 6), parallel, n("size", 0, 100000), rapid.Bool().Draw(rt, "fresh"))
		case "stream":
			p = streamPair(n("size", 1, 300000))
		case "bulk":
			p = bulkPair(int64(n("size", 1, 300000)))
		case "udp":
			p = udpPair(n("times", 1, 10), n("size", 1, 4000))
		case "ping":
			p = pingPair(n("times", 1, 5), n("size", 1, 4000))
		}
		seed := rapid.Uint64Range(0, 1<<32).Draw(rt, "seed")
		p.view = rapid.SampledFrom([]string{"", "", "client", "server"}).Draw(rt, "view")
		if often > 0 && (p.view == "" || !strings.HasPrefix(p.name, "udp") && !strings.HasPrefix(p.name, "ping")) { // a view lacks the datagrams that were lost on the way to it
			r := vswitch.NewRand(seed, "test faults")
			p.fault = func(f *vswitch.Frame) (v vswitch.Verdict) {
				if r.Uint32N(1000) >= often || f.Data[12] == 8 && f.Data[13] == 6 {
					return v // ARP is not played: what waits for it in the capture does not now
				}
				switch r.Uint32N(5) {
				case 0, 1:
					v.Drop = true
				case 2:
					v.Copies, v.Gap = 1, time.Millisecond
				case 3:
					v.Delay = 2 * time.Millisecond
				case 4:
					at := 34 + int(r.Uint32N(uint32(len(f.Data)-34)))
					v.Edits = []vswitch.Edit{{Offset: at, Old: f.Data[at : at+1], New: []byte{f.Data[at] ^ 0x10}}}
				}
				return v
			}
		}
		a := record(rt, p, seed)
		for _, side := range []struct {
			addr string
			app  func() replay.App
		}{{clientAddr, p.client}, {serverAddr, p.server}} {
			for _, transcript := range []bool{true, false} {
				r := run(rt, a, side.addr, func(o *replay.Options) {
					o.Seed = seed + 1
					if !transcript {
						o.Live[0].App = side.app()
					}
				})
				if r.Verdict != replay.Same {
					var list strings.Builder
					a.List(&list)
					rt.Fatalf("%s, view %q, %s live, transcript %v:\n%s\n%s\n%s", p.name, p.view, side.addr, transcript, text(rt, r), list.String(), ofConversation(a, r))
				}
			}
		}
	})
}

// ofConversation shows the captured frames of the first conversation that diverged.
func ofConversation(a *replay.Analysis, r *replay.Report) string {
	if len(r.Divergences) == 0 || r.Divergences[0].Conversation == nil {
		return ""
	}
	c, s, b := r.Divergences[0].Conversation, pcap.Describer{}, strings.Builder{}
	port := fmt.Sprint(c.Ends[0].Port())
	for _, f := range a.Capture.Frames {
		if line := s.Frame(f.LinkType, f.Data, f.OrigLen); f.Number >= c.First && f.Number <= c.Last && strings.Contains(line, port) {
			fmt.Fprintf(&b, "%4d %v lost=%v copy=%v %s\n", f.Number, f.At, f.Lost, f.Copy, line)
		}
	}
	return b.String()
}

// TestDivergenceOfAnApplication serves a body with one byte different, at an
// offset that the report must name.
func TestDivergenceOfAnApplication(t *testing.T) {
	a := record(t, httpPair(2, 1, 20000, false), 3)
	response := a.Conversations[0].Streams[1].Data
	body := apps.RandomBytes(20000, 1, "body")
	at := bytes.Index(response, body) + 12345
	body[12345] ^= 1
	r := run(t, a, serverAddr, func(o *replay.Options) {
		o.Live[0].App = app(apps.HTTPServer{Port: 80, Files: map[string][]byte{"/f": body}}.New())
		o.Live[0].Name = "http-server"
	})
	if r.Verdict != replay.Diverged || r.Divergences[0].Kind != "bytes" || r.Divergences[0].Offset != int64(at) {
		t.Errorf("want a difference at offset %d:\n%s", at, text(t, r))
	}
}

// TestReplayIsRepeatable records two replays and compares the recordings.
func TestReplayIsRepeatable(t *testing.T) {
	var files [2]bytes.Buffer
	a := load(t, "02a-http-loss.a.pcapng")
	for i := range files {
		rec, err := pcap.NewRecorder(&files[i], pcap.Meta{Version: "test"})
		if err != nil {
			t.Fatal(err)
		}
		r := run(t, a, "10.77.0.2", func(o *replay.Options) { o.Recorder = rec })
		if err := rec.Close(); err != nil || r.Verdict != replay.Same {
			t.Fatal(r.Verdict, err)
		}
	}
	if !bytes.Equal(files[0].Bytes(), files[1].Bytes()) {
		t.Error("two replays of one capture with one seed differ")
	}
	again, err := pcap.NewReader(&files[0], "replay")
	if err != nil {
		t.Fatal(err)
	}
	c, err := replay.Read(again, "replay")
	if err != nil {
		t.Fatal(err)
	}
	// What the replay recorded is a capture of the same conversation.
	if got := replay.Analyse(c); len(got.Conversations) != 1 || !bytes.Equal(got.Conversations[0].Streams[1].Data, a.Conversations[0].Streams[1].Data) {
		t.Errorf("the recording of the replay holds something else")
	}
}
