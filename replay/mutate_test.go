package replay_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
)

// changed returns a copy of a capture in whose frame the payload byte at an
// offset is changed. The checksum stays as it was.
func changed(t rapid.TB, dir, name string, frame, offset int) *replay.Analysis {
	t.Helper()
	b, err := os.ReadFile(captures + name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := replay.Load(captures + name)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Frames {
		if f.Number == frame {
			at := bytes.Index(b, f.Data) + f.PayloadOffset + offset
			b[at] ^= 0x20
		}
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err = replay.Load(path); err != nil {
		t.Fatal(err)
	}
	c.Name = "changed.pcapng"
	return replay.Analyse(c)
}

// TestChangedByteIsFound changes one byte of the live side in a copy of the
// capture, and has the live side say what the original says.
func TestChangedByteIsFound(t *testing.T) {
	original := load(t, "01-http-get-100k.a.pcapng")
	a := changed(t, t.TempDir(), "01-http-get-100k.a.pcapng", 10, 796) // the first frame after the header: stream offset 204
	r := run(t, a, "10.77.0.2", func(o *replay.Options) { o.Live[0].From = original })
	if r.Verdict != replay.Diverged || len(r.Divergences) != 1 || r.Divergences[0].Kind != "bytes" || r.Divergences[0].Offset != 1000 || r.Divergences[0].Frame != 10 {
		t.Errorf("want a divergence at offset 1000 in frame 10")
	}
	golden(t, "changed.golden", text(t, r))
}

// TestEveryChangedByteIsFound does the same for any frame and byte, of TCP and
// of UDP.
func TestEveryChangedByteIsFound(t *testing.T) {
	dir := t.TempDir()
	type place struct {
		file, live  string
		frame, size int
		first       int // 2 behind the ID of a DNS query, which is normalised
	}
	var places []place
	originals := map[string]*replay.Analysis{}
	for _, f := range []struct{ name, live string }{
		{"01-http-get-100k.a.pcapng", "10.77.0.2"}, {"10-interactive.a.pcapng", "10.77.0.1"}, {"13-http-ipv6.a.pcapng", "fd77::1"},
		{"06-udp-echo-dns.a.pcapng", "10.77.0.2"}, {"06-udp-echo-dns.a.pcapng", "10.77.0.1"},
	} {
		a := load(t, f.name)
		originals[f.name] = a
		for _, fr := range a.Capture.Frames {
			if fr.IP != nil && fr.IP.Src.String() == f.live && len(fr.Payload) > 0 && (fr.TCP != nil || fr.UDP != nil && !fr.IP.IsFragment()) {
				p := place{f.name, f.live, fr.Number, len(fr.Payload), 0}
				if fr.UDP != nil && fr.UDP.DstPort == 53 {
					p.first = 2
				}
				places = append(places, p)
			}
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		p := rapid.SampledFrom(places).Draw(rt, "frame")
		offset := rapid.IntRange(p.first, p.size-1).Draw(rt, "offset")
		a := changed(rt, dir, p.file, p.frame, offset)
		r := run(rt, a, p.live, func(o *replay.Options) { o.Live[0].From = originals[p.file] })
		if r.Verdict != replay.Diverged {
			rt.Fatalf("verdict %v", r.Verdict)
		}
		if d := r.Divergences[0]; d.Kind != "bytes" || d.Frame != p.frame || !bytes.Equal(d.Expected[:1], []byte{d.Actual[0] ^ 0x20}) {
			rt.Fatalf("%s", text(t, r))
		}
	})
}

// server serves the connections of one port with a function.
func server(port string, serve func(h *vnetif.Host, c net.Conn) error) replay.App {
	return func(ctx context.Context, h *vnetif.Host) error {
		l, err := h.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			if err := serve(h, c); err != nil {
				return err
			}
		}
	}
}

// TestMutations replays 01 with applications that do what its server or client
// does, or something else, and holds the verdict against what it must be.
func TestMutations(t *testing.T) {
	a := load(t, "01-http-get-100k.a.pcapng")
	request, response := a.Conversations[0].Streams[0].Data, a.Conversations[0].Streams[1].Data
	to := "10.77.0.2:8080"
	ask := func(c net.Conn, n int) { io.ReadFull(c, make([]byte, n)) }
	answer := func(change func(h *vnetif.Host, c net.Conn)) replay.App {
		return server("8080", func(h *vnetif.Host, c net.Conn) error {
			ask(c, len(request))
			change(h, c)
			return nil
		})
	}
	get := func(change func(ctx context.Context, h *vnetif.Host, c net.Conn) error) replay.App {
		return func(ctx context.Context, h *vnetif.Host) error {
			c, err := h.DialContext(ctx, "tcp", to)
			if err != nil {
				return err
			}
			return change(ctx, h, c)
		}
	}
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at]++
		return b
	}
	rest := func(c net.Conn) { io.Copy(io.Discard, c) }
	for _, m := range []struct {
		name, live string
		app        replay.App
		want       string // the kind of the first divergence; "" for none
	}{
		{"server", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) { c.Write(response); rest(c); c.Close() }), ""},
		{"server closes at once", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) { c.Write(response); c.Close() }), ""},
		{"server writes in many pieces", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) {
			for i := 0; i < len(response); i += 333 {
				c.Write(response[i:min(i+333, len(response))])
			}
			c.Close()
		}), ""},
		{"server is slow", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) {
			h.Sleep(30 * time.Second)
			c.Write(response[:5000])
			h.Sleep(30 * time.Second)
			c.Write(response[5000:])
			c.Close()
		}), ""},
		{"server uses Nagle", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) {
			c.(*vnetif.Conn).SetNoDelay(false)
			c.Write(response)
			c.Close()
		}), ""},
		{"first byte differs", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) { c.Write(flip(response, 0)); c.Close() }), "bytes"},
		{"a byte differs", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) { c.Write(flip(response, 50000)); c.Close() }), "bytes"},
		{"last byte differs", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) { c.Write(flip(response, len(response)-1)); c.Close() }), "bytes"},
		{"a byte is missing", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) {
			c.Write(append(bytes.Clone(response[:70000]), response[70001:]...))
			c.Close()
		}), "bytes"},
		{"the last byte is missing", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) { c.Write(response[:len(response)-1]); c.Close() }), "closed-early"},
		{"one byte more", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) { c.Write(append(bytes.Clone(response), 0)); c.Close() }), "extra"},
		{"one byte more, later", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) {
			c.Write(response)
			h.Sleep(time.Second)
			c.Write([]byte{0})
			c.Close()
		}), "extra"},
		{"nothing", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) { c.Close() }), "closed-early"},
		{"hangs before the answer", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) {}), "missing"},
		{"hangs in the answer", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) { c.Write(response[:1000]) }), "missing"},
		{"never closes", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) { c.Write(response) }), "missing"},
		{"resets for closing", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) {
			c.Write(response)
			h.Sleep(time.Millisecond)
			c.(*vnetif.Conn).SetLinger(0)
			c.Close()
		}), "reset"},
		{"resets in the answer", "10.77.0.2", answer(func(h *vnetif.Host, c net.Conn) {
			c.Write(response[:30000])
			h.Sleep(time.Millisecond)
			c.(*vnetif.Conn).SetLinger(0)
			c.Close()
		}), "reset"},
		{"answers before the request", "10.77.0.2", server("8080", func(h *vnetif.Host, c net.Conn) error { c.Write(response); rest(c); return c.Close() }), "early"},
		{"does not accept", "10.77.0.2", func(ctx context.Context, h *vnetif.Host) error { return nil }, "refused"},
		{"listens on another port", "10.77.0.2", server("8081", func(h *vnetif.Host, c net.Conn) error { return nil }), "refused"},
		{"fails", "10.77.0.2", func(ctx context.Context, h *vnetif.Host) error { return io.ErrShortWrite }, "application"},
		{"also opens a connection", "10.77.0.2", func(ctx context.Context, h *vnetif.Host) error {
			h.Dial("tcp", "10.77.0.1:80")
			return nil
		}, "unexpected"},
		{"also sends a datagram", "10.77.0.2", func(ctx context.Context, h *vnetif.Host) error {
			c, err := h.Dial("udp", "10.77.0.1:80")
			if err == nil {
				c.Write([]byte("hello"))
			}
			return err
		}, "unexpected"},

		{"client", "10.77.0.1", get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request)
			ask(c, len(response))
			return c.Close()
		}), ""},
		{"client half closes", "10.77.0.1", get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request)
			ask(c, len(response))
			c.(*vnetif.Conn).CloseWrite()
			rest(c)
			return c.Close()
		}), ""},
		{"client writes byte by byte", "10.77.0.1", get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			for i := range request {
				c.Write(request[i : i+1])
			}
			ask(c, len(response))
			return c.Close()
		}), ""},
		{"client reads slowly", "10.77.0.1", get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request)
			for i := 0; i < len(response); i += 10000 {
				h.Sleep(time.Second)
				ask(c, min(10000, len(response)-i))
			}
			return c.Close()
		}), ""},
		{"client asks for something else", "10.77.0.1", get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(flip(request, 5))
			rest(c)
			return c.Close()
		}), "bytes"},
		{"client closes too early", "10.77.0.1", get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request[:10])
			return c.Close()
		}), "closed-early"},
		{"client asks again", "10.77.0.1", get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request)
			ask(c, len(response))
			c.Write(request)
			rest(c)
			return c.Close()
		}), "extra"},
		{"client connects twice", "10.77.0.1", get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request)
			ask(c, len(response))
			c.Close()
			h.Dial("tcp", to)
			return nil
		}), "unexpected"},
		{"client connects to another port", "10.77.0.1", func(ctx context.Context, h *vnetif.Host) error {
			h.Dial("tcp", "10.77.0.2:8081")
			return nil
		}, "unexpected"},
		{"client never connects", "10.77.0.1", func(ctx context.Context, h *vnetif.Host) error { return nil }, "missing"},
		{"client resets", "10.77.0.1", get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request)
			ask(c, 5000)
			c.(*vnetif.Conn).SetLinger(0)
			return c.Close()
		}), "reset"},
	} {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			r := run(t, a, m.live, func(o *replay.Options) { o.Live[0].App, o.Live[0].Name = m.app, m.name })
			out := text(t, r)
			switch {
			case m.want == "" && r.Verdict != replay.Same:
				t.Errorf("want the same:\n%s", out)
			case m.want != "" && (r.Verdict != replay.Diverged || r.Divergences[0].Kind != m.want):
				t.Errorf("want a divergence %q:\n%s", m.want, out)
			}
			if strings.Contains(out, "tests the stack only") {
				t.Errorf("no transcript was used:\n%s", out)
			}
		})
	}
}

// TestLineServer replays 10 with a server that answers each line, and with
// servers that answer too early or too late.
func TestLineServer(t *testing.T) {
	a := load(t, "10-interactive.a.pcapng")
	answer := func(line string) []byte { return []byte("> " + line + " ok\n") }
	for _, m := range []struct {
		name  string
		serve func(h *vnetif.Host, c net.Conn, lines *bufio.Scanner)
		want  string
	}{
		{"each line", func(h *vnetif.Host, c net.Conn, lines *bufio.Scanner) {
			for lines.Scan() {
				c.Write(answer(lines.Text()))
			}
		}, ""},
		{"the second answer with the first", func(h *vnetif.Host, c net.Conn, lines *bufio.Scanner) {
			lines.Scan()
			c.Write(append(answer(lines.Text()), answer("cd /tmp")...))
			lines.Scan()
			for lines.Scan() {
				c.Write(answer(lines.Text()))
			}
		}, "early"},
		{"the first answer with the second", func(h *vnetif.Host, c net.Conn, lines *bufio.Scanner) {
			lines.Scan()
			first := answer(lines.Text())
			lines.Scan()
			c.Write(append(first, answer(lines.Text())...))
			for lines.Scan() {
				c.Write(answer(lines.Text()))
			}
		}, "missing"},
	} {
		t.Run(m.name, func(t *testing.T) {
			r := run(t, a, "10.77.0.2", func(o *replay.Options) {
				o.Live[0].App = server("7010", func(h *vnetif.Host, c net.Conn) error {
					m.serve(h, c, bufio.NewScanner(c))
					return c.Close()
				})
			})
			if out := text(t, r); m.want == "" && r.Verdict != replay.Same || m.want != "" && (r.Verdict != replay.Diverged || r.Divergences[0].Kind != m.want) {
				t.Errorf("want %q:\n%s", m.want, out)
			}
		})
	}
}

// TestDatagramMutations lets the transcript of 06 leave out, double, swap or add
// datagrams.
func TestDatagramMutations(t *testing.T) {
	const echo = 8 // the conversation with port 7007, ten datagrams each way
	for _, m := range []struct {
		name, live string
		change     func(d []*replay.Datagram) []*replay.Datagram
		want       string
	}{
		{"as it is", "10.77.0.2", func(d []*replay.Datagram) []*replay.Datagram { return d }, ""},
		{"an answer is missing", "10.77.0.2", func(d []*replay.Datagram) []*replay.Datagram { return append(d[:5:5], d[6:]...) }, "missing"},
		{"the last answer is missing", "10.77.0.2", func(d []*replay.Datagram) []*replay.Datagram { return d[:len(d)-1] }, "missing"},
		{"an answer twice", "10.77.0.2", func(d []*replay.Datagram) []*replay.Datagram { return append(d, d[len(d)-1]) }, "extra"},
		{"the next answer first", "10.77.0.2", func(d []*replay.Datagram) []*replay.Datagram {
			d = append([]*replay.Datagram(nil), d...)
			d[1], d[3] = d[3], d[1]
			return d
		}, "order"},
		{"an answer before any request", "10.77.0.2", func(d []*replay.Datagram) []*replay.Datagram { return append(d[1:2:2], d[2:]...) }, "early"},
		{"a request is missing", "10.77.0.1", func(d []*replay.Datagram) []*replay.Datagram { return d[2:] }, "order"},
	} {
		t.Run(m.name, func(t *testing.T) {
			from := load(t, "06-udp-echo-dns.a.pcapng")
			c := from.Conversations[echo]
			c.Datagrams = m.change(c.Datagrams)
			r := run(t, load(t, "06-udp-echo-dns.a.pcapng"), m.live, func(o *replay.Options) { o.Live[0].From = from })
			out := text(t, r)
			if m.want == "" && r.Verdict != replay.Same || m.want != "" && (r.Verdict != replay.Diverged || r.Divergences[0].Kind != m.want) {
				t.Errorf("want %q:\n%s", m.want, out)
			}
		})
	}
}

// TestTwoLive plays nobody when both ends are live, and says so.
func TestTwoLive(t *testing.T) {
	r := run(t, load(t, "01-http-get-100k.a.pcapng"), "10.77.0.2", func(o *replay.Options) {
		o.Live = append(o.Live, replay.Live{Addr: netip.MustParseAddr("10.77.0.1")})
	})
	if r.Verdict != replay.Partial || r.BothLive != 1 {
		t.Errorf("%s", text(t, r))
	}
}
