package replay_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
)

// dnsText is a DNS message about the address of a name.
func dnsText(id uint16, flags uint16, name string, addrs ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = append(b, 0, 1, 0, byte(len(addrs)), 0, 0, 0, 0)
	for _, label := range strings.Split(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0, 0, 1, 0, 1)
	for _, a := range addrs {
		b = append(b, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, a)
	}
	return b
}

// asksDNS is a client that sends queries, one after the other, and reads an answer
// to each.
func asksDNS(queries ...[]byte) func() replay.App {
	return func() replay.App {
		return func(ctx context.Context, h *vnetif.Host) error {
			c, err := h.DialContext(ctx, "udp", serverAddr+":53")
			if err != nil {
				return err
			}
			defer c.Close()
			for _, q := range queries {
				c.Write(q)
				b := make([]byte, 512)
				n, err := c.Read(b)
				if err != nil {
					return err
				}
				if !bytes.Equal(b[:2], q[:2]) {
					return fmt.Errorf("answer %x to query %x", b[:min(n, 2)], q[:2])
				}
			}
			return nil
		}
	}
}

// answersDNS is a server that answers every query in one way.
func answersDNS(flags uint16, addrs ...byte) func() replay.App {
	return func() replay.App {
		return func(ctx context.Context, h *vnetif.Host) error {
			c, err := h.ListenPacket("udp", ":53")
			if err != nil {
				return err
			}
			for {
				b := make([]byte, 512)
				n, from, err := c.ReadFrom(b)
				if err != nil || n < 2 {
					return err
				}
				c.WriteTo(dnsText(binary.BigEndian.Uint16(b), flags, "www.example", addrs...), from)
			}
		}
	}
}

const answered, nxdomain = 0x8180, 0x8183

// httpOver is a client that sends one request and reads to the end, and servers
// that answer it with a text.
func asksHTTP(request string) func() replay.App {
	return dials(func(h *vnetif.Host, c *vnetif.Conn) { c.Write([]byte(request)); drain(c); c.Close() })
}

func answersHTTP(request int, response string) func() replay.App {
	return serves(func(h *vnetif.Host, c *vnetif.Conn) { hear(c, request); c.Write([]byte(response)); c.Close() })
}

const (
	httpRequest  = "GET / HTTP/1.1\r\nHost: example\r\n\r\n"
	httpResponse = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: one/1.0\r\nETag: \"abcd\"\r\nContent-Length: 12\r\n\r\nhello, world"
)

// TestDivergenceReports keeps the report of every kind of divergence as a page to
// read.
func TestDivergenceReports(t *testing.T) {
	get := load(t, "01-http-get-100k.a.pcapng")
	request, response := get.Conversations[0].Streams[0].Data, get.Conversations[0].Streams[1].Data
	answer := func(change func(h *vnetif.Host, c net.Conn)) func() replay.App {
		return func() replay.App {
			return server("8080", func(h *vnetif.Host, c net.Conn) error {
				hear(c, len(request))
				change(h, c)
				return nil
			})
		}
	}
	says := func(b []byte) func() replay.App {
		return answer(func(h *vnetif.Host, c net.Conn) { c.Write(b); c.Close() })
	}
	cut := func(b []byte, from, to int) []byte { return append(bytes.Clone(b[:from]), b[to:]...) }
	small := record(t, pair{name: "http.pcapng", client: asksHTTP(httpRequest), server: answersHTTP(len(httpRequest), httpResponse)}, 11)
	instead := func(old, new string) func() replay.App {
		return answersHTTP(len(httpRequest), strings.Replace(httpResponse, old, new, 1))
	}
	query := dnsText(0x1234, 0x0100, "www.example")
	dns := record(t, pair{name: "dns.pcapng", client: asksDNS(query), server: answersDNS(answered, 1, 2)}, 12)
	echo := load(t, "06-udp-echo-dns.a.pcapng")
	none, live := new(int), "10.77.0.2"
	var out strings.Builder
	for _, m := range []struct {
		name string
		a    *replay.Analysis
		live string
		app  func() replay.App
		o    replay.Options
		want []string
	}{
		{"a byte of a body", get, live, says(flipped(response, 70000)), replay.Options{}, []string{"byte 69796 of its body", "hint: 1 bit differs"}},
		{"a byte is missing", get, live, says(cut(response, 70000, 70001)), replay.Options{}, []string{"hint: 1 byte is missing here"}},
		{"twelve bytes too many", get, live, says(append(append(bytes.Clone(response[:70000]), "twelve bytes"...), response[70000:]...)), replay.Options{}, []string{"12 bytes are too many"}},
		{"one byte more", get, live, says(append(bytes.Clone(response), 0)), replay.Options{}, []string{"sent more than the 100204 bytes", "after its end"}},
		{"closed early", get, live, says(response[:5000]), replay.Options{}, []string{"closed after 5000 of 100204"}},
		{"hangs", get, live, answer(func(h *vnetif.Host, c net.Conn) { c.Write(response[:1000]) }), replay.Options{}, []string{"the live side never sent byte", "actual          992  3d8ba0ab 36116380  "}},
		{"resets", get, live, answer(func(h *vnetif.Host, c net.Conn) {
			c.Write(response[:30000])
			h.Sleep(time.Millisecond)
			c.(*vnetif.Conn).SetLinger(0)
			c.Close()
		}), replay.Options{}, []string{"hint: a stack resets where"}},
		{"nobody listens", get, live, func() replay.App { return func(context.Context, *vnetif.Host) error { return nil } }, replay.Options{}, []string{"nothing listens on port 8080"}},
		{"answers before the request", get, live, func() replay.App {
			return server("8080", func(h *vnetif.Host, c net.Conn) error { c.Write(response); drain(c); return c.Close() })
		}, replay.Options{}, []string{"before it had received byte"}},
		{"opens another connection", get, live, func() replay.App {
			return func(ctx context.Context, h *vnetif.Host) error {
				h.Dial("tcp", "10.77.0.1:80")
				return answer(func(h *vnetif.Host, c net.Conn) { c.Write(response); c.Close() })()(ctx, h)
			}
		}, replay.Options{}, []string{"opened a connection that the capture does not have"}},
		{"the application fails", get, live, func() replay.App {
			return func(ctx context.Context, h *vnetif.Host) error {
				l, err := h.Listen("tcp", ":8080")
				if err != nil {
					return err
				}
				c, err := l.Accept()
				if err != nil {
					return err
				}
				hear(c, 10)
				c.Close()
				return errors.New("cannot open the database")
			}
		}, replay.Options{}, []string{"cannot open the database"}},
		{"no synthetic acknowledgement allowed", load(t, "02a-http-loss.a.pcapng"), live, nil, replay.Options{Budget: replay.Budget{Synthetic: none}}, []string{"more than 0 acknowledgements", "hint: its segments end elsewhere"}},
		{"another status", small, serverAddr, instead("200 OK", "404 Not Found"), replay.Options{}, []string{"status line", `hint: the live side says "HTTP/1.1 404 Not Found"`}},
		{"another server", small, serverAddr, instead("one/1.0", "two/2.0"), replay.Options{}, []string{"header Server", "hint: --mask-header Server"}},
		{"a longer header", small, serverAddr, instead("one/1.0", "another/1.0"), replay.Options{}, []string{"has 11 bytes instead of 7"}},
		{"no date", small, serverAddr, instead("Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n", ""), replay.Options{}, []string{"does not send header Date"}},
		{"chunked", small, serverAddr, instead("Content-Length: 12\r\n\r\nhello, world", "Transfer-Encoding: chunked\r\n\r\nc\r\nhello, world\r\n0\r\n\r\n"), replay.Options{}, []string{"Transfer-Encoding: chunked, the capture with Content-Length"}},
		{"NXDOMAIN", dns, serverAddr, answersDNS(nxdomain), replay.Options{}, []string{"the live side answers NXDOMAIN with 0 records, the capture NOERROR with 2"}},
		{"a datagram is missing", echo, live, func() replay.App { return func(context.Context, *vnetif.Host) error { return nil } }, replay.Options{}, []string{"then, which may be its consequences", "nothing listens on port 53"}},
		{"too late", small, serverAddr, serves(func(h *vnetif.Host, c *vnetif.Conn) {
			hear(c, len(httpRequest))
			h.Sleep(30 * ms)
			c.Write([]byte(httpResponse))
			c.Close()
		}), replay.Options{Within: replay.Tolerance{By: 20 * ms}}, []string{"the live side answered after 30."}},
	} {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			r := run(t, m.a, m.live, func(o *replay.Options) {
				l := o.Live
				*o = m.o
				o.Live, o.WallLimit = l, 20*time.Second
				if m.app != nil {
					o.Live[0].App, o.Live[0].Name = m.app(), m.name
				}
			})
			s := text(t, r)
			for _, want := range append(m.want, "diverged: ", "Wireshark: ") {
				if !strings.Contains(s, want) {
					t.Errorf("want %q:\n%s", want, s)
				}
			}
			for line := range strings.Lines(s) {
				if n := utf8.RuneCountInString(line); n > 300 {
					t.Errorf("a line of %d characters: %s", n, line)
				}
			}
			fmt.Fprintf(&out, "== %s\n%s\n", m.name, s)
		})
	}
	golden(t, "divergences.golden", out.String())
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// TestLongReport fills every list of a report, and wants 40 lines.
func TestLongReport(t *testing.T) {
	r := run(t, load(t, "06-udp-echo-dns.a.pcapng"), "10.77.0.2", func(o *replay.Options) {
		o.Live[0].App = func(context.Context, *vnetif.Host) error { return io.ErrShortWrite }
	})
	for i := range 20 {
		r.Notes = append(r.Notes, fmt.Sprintf("note %d", i))
		r.Unplayable = append(r.Unplayable, r.Conversations[0].Conversation)
	}
	r.Versions, r.Recording, r.Again = "v", "out\x1b[31m.pcapng", "again"
	s := text(t, r) // which wants 40 lines at most
	if n := strings.Count(s, "\n"); n < 30 || strings.Contains(s, "\x1b") {
		t.Errorf("%d lines:\n%s", n, s)
	}
}
