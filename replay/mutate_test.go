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
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
)

// changed returns a copy of a capture in whose frame the payload byte at an
// offset is changed. The checksum stays as it was, unless it is to be filled in.
func changed(t rapid.TB, dir, name string, frame, offset int, fill bool) *replay.Analysis {
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
			data := b[bytes.Index(b, f.Data):][:len(f.Data)]
			data[f.PayloadOffset+offset] ^= 0x20
			if fill {
				pcap.FillChecksum(f.IP, data[f.IP.Offset+f.IP.HeaderLen:f.IP.Offset+f.IP.TotalLen])
			}
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
	a := changed(t, t.TempDir(), "01-http-get-100k.a.pcapng", 10, 796, false) // the first frame after the header: stream offset 204
	r := run(t, a, "10.77.0.2", func(o *replay.Options) { o.Live[0].From = original })
	if r.Verdict != replay.Diverged || len(r.Divergences) != 1 || r.Divergences[0].Kind != "bytes" || r.Divergences[0].Offset != 1000 || r.Divergences[0].Frame != 10 {
		t.Errorf("want a divergence at offset 1000 in frame 10")
	}
	golden(t, "changed.golden", text(t, r))
}

// TestEveryChangedByteIsFound does the same for any frame and byte, of TCP, of UDP and
// of pings, whether or not the checksum tells; and compares the two captures.
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
		{"07-ping-frag.a.pcapng", "10.77.0.1"}, {"07-ping-frag.a.pcapng", "fd77::1"},
	} {
		a := load(t, f.name)
		originals[f.name] = a
		for _, fr := range a.Capture.Frames {
			if fr.IP != nil && fr.IP.Src.String() == f.live && len(fr.Payload) > 0 && (fr.TCP != nil || (fr.UDP != nil || fr.ICMP != nil && fr.ICMP.EchoRequest()) && !fr.IP.IsFragment()) {
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
		a := changed(rt, dir, p.file, p.frame, offset, rapid.Bool().Draw(rt, "checksum filled in"))
		r := run(rt, a, p.live, func(o *replay.Options) { o.Live[0].From = originals[p.file] })
		if r.Verdict != replay.Diverged {
			rt.Fatalf("verdict %v", r.Verdict)
		}
		if d := r.Divergences[0]; d.Kind != "bytes" || d.Frame != p.frame || !bytes.Equal(d.Expected[:1], []byte{d.Actual[0] ^ 0x20}) {
			rt.Fatalf("%s", text(t, r))
		}
		r, err := replay.Diff(a, originals[p.file], replay.DiffOptions{})
		if err != nil {
			rt.Fatal(err)
		}
		if r.Verdict != replay.Diverged || r.Divergences[0].Frame != p.frame {
			rt.Fatalf("compared: %s", text(t, r))
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

// httpMutations are applications that do what the server or client of 01 does, or
// something else.
func httpMutations(a *replay.Analysis) []mutation {
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
	list := []mutation{
		{name: "server", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) { c.Write(response); rest(c); c.Close() }), want: ""},
		{name: "server closes at once", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) { c.Write(response); c.Close() }), want: ""},
		{name: "server writes in many pieces", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) {
			for i := 0; i < len(response); i += 333 {
				c.Write(response[i:min(i+333, len(response))])
			}
			c.Close()
		}), want: ""},
		{name: "server is slow", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) {
			h.Sleep(30 * time.Second)
			c.Write(response[:5000])
			h.Sleep(30 * time.Second)
			c.Write(response[5000:])
			c.Close()
		}), want: ""},
		{name: "another date", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) {
			c.Write(bytes.Replace(response, []byte("Date: Sun, 22 Nov 2026 16:27:08 GMT"), []byte("Date: Mon, 23 Nov 2026 09:00:01 GMT"), 1))
			c.Close()
		}), want: ""},
		{name: "a date that is none", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) {
			c.Write(bytes.Replace(response, []byte("Date: Sun, 22 Nov 2026 16:27:08 GMT"), []byte("Date: Sun, 99 Nov 2026 16:27:08 GMT"), 1))
			c.Close()
		}), want: "bytes"},
		{name: "a date of another length", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) {
			c.Write(bytes.Replace(response, []byte("Date: Sun, 22 Nov 2026 16:27:08 GMT"), []byte("Date: Sun, 22 Nov 2026 16:27:08 UTC+1"), 1))
			c.Close()
		}), want: "bytes"},
		{name: "server uses Nagle", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) {
			c.(*vnetif.Conn).SetNoDelay(false)
			c.Write(response)
			c.Close()
		}), want: ""},
		{name: "first byte differs", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) { c.Write(flip(response, 0)); c.Close() }), want: "bytes"},
		{name: "a byte differs", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) { c.Write(flip(response, 50000)); c.Close() }), want: "bytes"},
		{name: "last byte differs", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) { c.Write(flip(response, len(response)-1)); c.Close() }), want: "bytes"},
		{name: "a byte is missing", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) {
			c.Write(append(bytes.Clone(response[:70000]), response[70001:]...))
			c.Close()
		}), want: "bytes"},
		{name: "the last byte is missing", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) { c.Write(response[:len(response)-1]); c.Close() }), want: "closed-early"},
		{name: "one byte more", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) { c.Write(append(bytes.Clone(response), 0)); c.Close() }), want: "extra"},
		{name: "one byte more, later", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) {
			c.Write(response)
			h.Sleep(time.Second)
			c.Write([]byte{0})
			c.Close()
		}), want: "extra"},
		{name: "nothing", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) { c.Close() }), want: "closed-early"},
		{name: "hangs before the answer", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) {}), want: "missing"},
		{name: "hangs in the answer", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) { c.Write(response[:1000]) }), want: "missing"},
		{name: "never closes", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) { c.Write(response) }), want: "missing"},
		{name: "resets for closing", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) {
			c.Write(response)
			h.Sleep(time.Millisecond)
			c.(*vnetif.Conn).SetLinger(0)
			c.Close()
		}), want: "reset"},
		{name: "resets in the answer", live: "10.77.0.2", app: answer(func(h *vnetif.Host, c net.Conn) {
			c.Write(response[:30000])
			h.Sleep(time.Millisecond)
			c.(*vnetif.Conn).SetLinger(0)
			c.Close()
		}), want: "reset"},
		{name: "answers before the request", live: "10.77.0.2", app: server("8080", func(h *vnetif.Host, c net.Conn) error { c.Write(response); rest(c); return c.Close() }), want: "early"},
		{name: "does not accept", live: "10.77.0.2", app: func(ctx context.Context, h *vnetif.Host) error { return nil }, want: "refused"},
		{name: "listens on another port", live: "10.77.0.2", app: server("8081", func(h *vnetif.Host, c net.Conn) error { return nil }), want: "refused"},
		{name: "fails", live: "10.77.0.2", app: func(ctx context.Context, h *vnetif.Host) error { return io.ErrShortWrite }, want: "application"},
		{name: "also opens a connection", live: "10.77.0.2", app: func(ctx context.Context, h *vnetif.Host) error {
			h.Dial("tcp", "10.77.0.1:80")
			return nil
		}, want: "unexpected"},
		{name: "also sends a datagram", live: "10.77.0.2", app: func(ctx context.Context, h *vnetif.Host) error {
			c, err := h.Dial("udp", "10.77.0.1:80")
			if err == nil {
				c.Write([]byte("hello"))
			}
			return err
		}, want: "unexpected"},

		{name: "client", live: "10.77.0.1", app: get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request)
			ask(c, len(response))
			return c.Close()
		}), want: ""},
		{name: "client half closes", live: "10.77.0.1", app: get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request)
			ask(c, len(response))
			c.(*vnetif.Conn).CloseWrite()
			rest(c)
			return c.Close()
		}), want: ""},
		{name: "client writes byte by byte", live: "10.77.0.1", app: get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			for i := range request {
				c.Write(request[i : i+1])
			}
			ask(c, len(response))
			return c.Close()
		}), want: ""},
		{name: "client reads slowly", live: "10.77.0.1", app: get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request)
			for i := 0; i < len(response); i += 10000 {
				h.Sleep(time.Second)
				ask(c, min(10000, len(response)-i))
			}
			return c.Close()
		}), want: ""},
		{name: "client asks for something else", live: "10.77.0.1", app: get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(flip(request, 5))
			rest(c)
			return c.Close()
		}), want: "bytes"},
		{name: "client closes too early", live: "10.77.0.1", app: get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request[:10])
			return c.Close()
		}), want: "closed-early"},
		{name: "client asks again", live: "10.77.0.1", app: get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request)
			ask(c, len(response))
			c.Write(request)
			rest(c)
			return c.Close()
		}), want: "extra"},
		{name: "client connects twice", live: "10.77.0.1", app: get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request)
			ask(c, len(response))
			c.Close()
			h.Dial("tcp", to)
			return nil
		}), want: "unexpected"},
		{name: "client connects to another port", live: "10.77.0.1", app: func(ctx context.Context, h *vnetif.Host) error {
			h.Dial("tcp", "10.77.0.2:8081")
			return nil
		}, want: "unexpected"},
		{name: "client never connects", live: "10.77.0.1", app: func(ctx context.Context, h *vnetif.Host) error { return nil }, want: "missing"},
		{name: "client resets", live: "10.77.0.1", app: get(func(ctx context.Context, h *vnetif.Host, c net.Conn) error {
			c.Write(request)
			ask(c, 5000)
			c.(*vnetif.Conn).SetLinger(0)
			return c.Close()
		}), want: "reset"},
	}
	for i := range list {
		list[i].base = "01"
	}
	return list
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
