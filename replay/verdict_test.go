package replay_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
)

const ms = time.Millisecond

// A said is what one side of a TCP connection does with it.
type said func(h *vnetif.Host, c *vnetif.Conn)

func serves(f said) func() replay.App {
	return func() replay.App {
		return server("80", func(h *vnetif.Host, c net.Conn) error { f(h, c.(*vnetif.Conn)); return nil })
	}
}

func dials(f said) func() replay.App {
	return func() replay.App {
		return func(ctx context.Context, h *vnetif.Host) error {
			c, err := h.DialContext(ctx, "tcp", serverAddr+":80")
			if err == nil {
				f(h, c.(*vnetif.Conn))
			}
			return err
		}
	}
}

func hear(c net.Conn, n int) []byte {
	b := make([]byte, n)
	n, _ = io.ReadFull(c, b)
	return b[:n]
}

func drain(c net.Conn) { io.Copy(io.Discard, c) }

// chunks writes n times 1000 bytes.
func chunks(h *vnetif.Host, c net.Conn, n int, pause time.Duration) {
	for range n {
		c.Write(bytes.Repeat([]byte("u"), 1000))
		h.Sleep(pause)
	}
}

// asks asks three times and waits for each answer.
func asks(h *vnetif.Host, c net.Conn) {
	for i := range 3 {
		fmt.Fprintf(c, "req%d\n", i)
		hear(c, 5)
		h.Sleep(20 * ms)
	}
}

func answers(c net.Conn, n int) {
	for range n {
		c.Write(hear(c, 5))
	}
}

// variant is another application for one side of a recorded pair.
type variant struct {
	name, live string
	app        func() replay.App
	want       string // the kind of the first divergence, "" for none
	text       string // what it says, or a part
}

// TestVerdicts replays recordings with the applications that made them, which
// must be the same; with others that keep to the captured conversation in another
// way, likewise; and with some that do not.
func TestVerdicts(t *testing.T) {
	const c, s = clientAddr, serverAddr
	for _, tt := range []struct {
		name           string
		client, server func() replay.App
		others         []variant
	}{
		{"upload",
			dials(func(h *vnetif.Host, c *vnetif.Conn) { chunks(h, c, 10, 10*ms); drain(c); c.Close() }),
			serves(func(h *vnetif.Host, c *vnetif.Conn) { hear(c, 10000); c.Write([]byte("OK\n")); c.Close() }),
			[]variant{
				{"answer after the first of ten and close", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { hear(c, 1000); c.Write([]byte("OK\n")); c.Close() }), "early", "byte 0 before it had received byte 9999"},
				{"answer after the first of ten and read on", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { hear(c, 1000); c.Write([]byte("OK\n")); hear(c, 9000); c.Close() }), "early", "byte 0 before it had received byte 9999"},
				{"answer after nine of ten", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { hear(c, 9000); c.Write([]byte("OK\n")); hear(c, 1000); c.Close() }), "early", "byte 0 before it had received byte 9999"},
				{"begin the answer after the first", s, serves(func(h *vnetif.Host, c *vnetif.Conn) {
					hear(c, 1000)
					c.Write([]byte("O"))
					hear(c, 9000)
					c.Write([]byte("K\n"))
					c.Close()
				}), "early", "byte 0 before"},
				{"close after the first of ten", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { hear(c, 1000); c.Close() }), "closed-early", ""},
				{"late answer", s, serves(func(h *vnetif.Host, c *vnetif.Conn) {
					hear(c, 10000)
					h.Sleep(time.Second)
					c.Write([]byte("OK\n"))
					c.Close()
				}), "", ""},
				{"close without the answer", c, dials(func(h *vnetif.Host, c *vnetif.Conn) { chunks(h, c, 10, 0); c.Close() }), "reset", "without having acknowledged byte 0"},
				{"upload at once", c, dials(func(h *vnetif.Host, c *vnetif.Conn) { chunks(h, c, 10, 0); drain(c); c.Close() }), "", ""},
				{"half close at once", c, dials(func(h *vnetif.Host, c *vnetif.Conn) { chunks(h, c, 10, 0); c.CloseWrite(); drain(c); c.Close() }), "", ""},
			}},
		{"head and body in two writes",
			dials(func(h *vnetif.Host, c *vnetif.Conn) {
				c.Write([]byte("head\n"))
				c.Write([]byte("body\n"))
				hear(c, 3)
				c.Close()
			}),
			serves(func(h *vnetif.Host, c *vnetif.Conn) { hear(c, 10); h.Sleep(5 * ms); c.Write([]byte("OK\n")); c.Close() }),
			[]variant{
				{"answer to the head", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { hear(c, 5); c.Write([]byte("OK\n")); hear(c, 5); c.Close() }), "early", "before it had received byte 9"},
				{"answer at once", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { hear(c, 10); c.Write([]byte("OK\n")); c.Close() }), "", ""},
				{"head and body at once", c, dials(func(h *vnetif.Host, c *vnetif.Conn) { c.Write([]byte("head\nbody\n")); hear(c, 3); c.Close() }), "", ""},
			}},
		{"three requests in a row, a slow server",
			dials(func(h *vnetif.Host, c *vnetif.Conn) {
				for range 3 {
					c.Write([]byte("what\n"))
				}
				hear(c, 15)
				c.Close()
			}),
			serves(func(h *vnetif.Host, c *vnetif.Conn) {
				for range 3 {
					b := hear(c, 5)
					h.Sleep(30 * ms)
					c.Write(b)
				}
				drain(c)
				c.Close()
			}),
			[]variant{
				{"a fast server", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { answers(c, 3); drain(c); c.Close() }), "", ""},
				{"all answers to the first", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { c.Write(bytes.Repeat(hear(c, 5), 3)); drain(c); c.Close() }), "early", "byte 14 before it had received byte 14"},
			}},
		{"a slow echo of a stream",
			dials(func(h *vnetif.Host, c *vnetif.Conn) { chunks(h, c, 20, 5*ms); c.CloseWrite(); drain(c); c.Close() }),
			serves(func(h *vnetif.Host, c *vnetif.Conn) { h.Sleep(12 * ms); io.Copy(c, c); c.Close() }),
			[]variant{
				{"a fast echo", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { io.Copy(c, c); c.Close() }), "", ""},
				{"a slower echo", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { h.Sleep(time.Second); io.Copy(c, c); c.Close() }), "", ""},
				{"an echo at once", s, serves(func(h *vnetif.Host, c *vnetif.Conn) {
					c.Write([]byte("u"))
					io.Copy(c, io.LimitReader(c, 19999))
					drain(c)
					c.Close()
				}), "early", ""},
			}},
		{"100 continue",
			dials(func(h *vnetif.Host, c *vnetif.Conn) {
				c.Write([]byte("POST\n"))
				c.Write([]byte("Expect\n"))
				hear(c, 4)
				chunks(h, c, 3, 0)
				hear(c, 4)
				c.Close()
			}),
			serves(func(h *vnetif.Host, c *vnetif.Conn) {
				hear(c, 12)
				c.Write([]byte("100\n"))
				hear(c, 3000)
				c.Write([]byte("200\n"))
				c.Close()
			}),
			[]variant{
				{"both at once", s, serves(func(h *vnetif.Host, c *vnetif.Conn) {
					hear(c, 12)
					c.Write([]byte("100\n200\n"))
					hear(c, 3000)
					c.Close()
				}), "early", "byte 4 before"},
				{"the second after part of the body", s, serves(func(h *vnetif.Host, c *vnetif.Conn) {
					hear(c, 12)
					c.Write([]byte("100\n"))
					hear(c, 1000)
					c.Write([]byte("200\n"))
					hear(c, 2000)
					c.Close()
				}), "early", "byte 7 before it had received byte 3011"},
				{"continue after half a head", s, serves(func(h *vnetif.Host, c *vnetif.Conn) {
					hear(c, 5)
					c.Write([]byte("100\n"))
					hear(c, 3007)
					c.Write([]byte("200\n"))
					c.Close()
				}), "early", "byte 3 before it had received byte 11"},
			}},
		{"three answers, then an upload",
			dials(func(h *vnetif.Host, c *vnetif.Conn) { asks(h, c); chunks(h, c, 4, 10*ms); c.Close() }),
			serves(func(h *vnetif.Host, c *vnetif.Conn) { answers(c, 3); drain(c); c.Close() }),
			[]variant{
				{"close after the third", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { answers(c, 3); c.Close() }), "reset", "without having acknowledged byte 15"},
				{"close after a part of the upload", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { answers(c, 3); hear(c, 1000); c.Close() }), "reset", "without having acknowledged byte"},
				{"half close after the third", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { answers(c, 3); c.CloseWrite(); drain(c); c.Close() }), "", ""},
			}},
		{"reset by the server, the upload acknowledged",
			dials(func(h *vnetif.Host, c *vnetif.Conn) { chunks(h, c, 10, 0); drain(c); c.Close() }),
			serves(func(h *vnetif.Host, c *vnetif.Conn) { hear(c, 10000); h.Sleep(100 * ms); c.SetLinger(0); c.Close() }),
			[]variant{
				{"reset in the upload", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { hear(c, 1000); c.SetLinger(0); c.Close() }), "reset", "without having acknowledged byte"},
				{"reset at once", s, serves(func(h *vnetif.Host, c *vnetif.Conn) { hear(c, 10000); c.SetLinger(0); c.Close() }), "", ""},
				{"close first", c, dials(func(h *vnetif.Host, c *vnetif.Conn) { chunks(h, c, 10, 0); c.CloseWrite(); drain(c); c.Close() }), "closed", "does not before the played side resets"},
			}},
		{"closed with FIN, what comes late answered with RST",
			dials(func(h *vnetif.Host, c *vnetif.Conn) {
				c.Write([]byte("12345"))
				hear(c, 5)
				h.Sleep(20 * ms)
				c.Write([]byte("late"))
				h.Sleep(20 * ms)
				c.Close()
			}),
			serves(func(h *vnetif.Host, c *vnetif.Conn) { hear(c, 5); c.Write([]byte("hello")); c.Close() }),
			[]variant{
				{"takes it", s, serves(func(h *vnetif.Host, c *vnetif.Conn) {
					hear(c, 5)
					c.Write([]byte("hello"))
					c.CloseWrite()
					drain(c)
					c.Close()
				}), "", ""},
				{"RST at once", s, serves(func(h *vnetif.Host, c *vnetif.Conn) {
					hear(c, 5)
					c.Write([]byte("hello"))
					h.Sleep(ms)
					c.SetLinger(0)
					c.Close()
				}), "reset", ""},
			}},
	} {
		a := record(t, pair{name: tt.name, client: tt.client, server: tt.server}, 5)
		all := append([]variant{{"the client", c, tt.client, "", ""}, {"the server", s, tt.server, "", ""}}, tt.others...)
		for _, v := range all {
			t.Run(strings.ReplaceAll(tt.name+"/"+v.name, " ", "_"), func(t *testing.T) { v.check(t, a) })
		}
	}
}

func (v variant) check(t *testing.T, a *replay.Analysis) {
	t.Helper()
	r := run(t, a, v.live, func(o *replay.Options) { o.Live[0].App, o.Live[0].Name = v.app(), v.name })
	out := text(t, r)
	same, _, bytes, of := r.Coverage()
	switch {
	case v.want == "" && (r.Verdict != replay.Same || same == 0 || bytes > of):
		t.Errorf("want the same:\n%s", out)
	case v.want != "" && (r.Verdict != replay.Diverged || r.Divergences[0].Kind != v.want || !strings.Contains(r.Divergences[0].Text, v.text)):
		t.Errorf("want a divergence %q, %q:\n%s", v.want, v.text, out)
	case v.want == "reset" && v.text != "" && (bytes == of || !acknowledges(a, r.Divergences[0])):
		t.Errorf("what was not acknowledged counts as covered, or frame %d does not acknowledge it:\n%s", r.Divergences[0].Frame, out)
	}
}

// acknowledges reports whether the frame of a divergence is the live side's and
// acknowledges something.
func acknowledges(a *replay.Analysis, d *replay.Divergence) bool {
	for _, f := range a.Capture.Frames {
		if f.Number == d.Frame {
			return f.TCP != nil && f.IP.Src == d.Conversation.Ends[0].Addr() == (d.From == d.Conversation.Ends[0]) && f.TCP.Flags.Has(pcap.ACK)
		}
	}
	return false
}

// TestRefusedDownload has a client of a real capture close without reading.
func TestRefusedDownload(t *testing.T) {
	a := load(t, "01-http-get-100k.a.pcapng")
	request := a.Conversations[0].Streams[0].Data
	get := func(f func(c *vnetif.Conn)) func() replay.App {
		return func() replay.App {
			return func(ctx context.Context, h *vnetif.Host) error {
				c, err := h.DialContext(ctx, "tcp", "10.77.0.2:8080")
				if err == nil {
					c.Write(request)
					f(c.(*vnetif.Conn))
				}
				return err
			}
		}
	}
	for _, v := range []variant{
		{"reads nothing", "10.77.0.1", get(func(c *vnetif.Conn) { c.Close() }), "reset", "without having acknowledged byte 0 "},
		{"reads some", "10.77.0.1", get(func(c *vnetif.Conn) { hear(c, 1000); c.Close() }), "reset", ""},
		{"half closes, reads all", "10.77.0.1", get(func(c *vnetif.Conn) { c.CloseWrite(); drain(c); c.Close() }), "", ""},
	} {
		t.Run(strings.ReplaceAll(v.name, " ", "_"), func(t *testing.T) { v.check(t, a) })
	}
}

// TestForeignAddresses has the live side also send to addresses that nobody plays.
func TestForeignAddresses(t *testing.T) {
	plain := echoPair(2, 10)
	also := func(f func(h *vnetif.Host)) func() replay.App {
		return func() replay.App {
			return func(ctx context.Context, h *vnetif.Host) error { f(h); return plain.client()(ctx, h) }
		}
	}
	dial := func(network, addr string) func(*vnetif.Host) {
		return func(h *vnetif.Host) {
			h.World().Background("stray "+addr, func(ctx context.Context) error {
				c, err := h.DialContext(ctx, network, addr)
				if err == nil {
					c.Write([]byte("leak"))
				}
				return nil
			})
		}
	}
	broadcast := func(to string) func(*vnetif.Host) {
		return func(h *vnetif.Host) {
			if c, err := h.ListenPacket("udp", ":68"); err == nil {
				c.WriteTo([]byte("DISCOVER"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
				c.Close()
			}
		}
	}
	shows := func(f func(h *vnetif.Host)) *replay.Analysis {
		p := plain
		p.client = also(f)
		return record(t, p, 6)
	}
	a := record(t, plain, 6)
	for _, m := range []struct {
		a *replay.Analysis
		variant
	}{
		{a, variant{"a connection on the network", clientAddr, also(dial("tcp", "10.0.0.99:80")), "unexpected", "looks for 10.0.0.99"}},
		{a, variant{"a datagram on the network", clientAddr, also(dial("udp", "10.0.0.98:53")), "unexpected", "looks for 10.0.0.98"}},
		{a, variant{"a connection elsewhere", clientAddr, also(dial("tcp", "192.0.2.7:443")), "unexpected", "opened a connection to 192.0.2.7:443"}},
		{a, variant{"a datagram elsewhere", clientAddr, also(dial("udp", "192.0.2.7:53")), "unexpected", "sent a datagram to 192.0.2.7:53"}},
		{a, variant{"a broadcast", clientAddr, also(broadcast("255.255.255.255:67")), "unexpected", "sent a datagram to 255.255.255.255:67"}},
		{a, variant{"nothing more", clientAddr, plain.client, "", ""}},
		{shows(dial("udp", "10.0.0.98:53")), variant{"a captured search", clientAddr, also(dial("udp", "10.0.0.98:53")), "", ""}},
		{shows(broadcast("10.0.0.255:67")), variant{"a captured broadcast", clientAddr, also(broadcast("10.0.0.255:67")), "", ""}},
		{shows(broadcast("10.0.0.255:67")), variant{"a captured broadcast to another port", clientAddr, also(broadcast("10.0.0.255:69")), "unexpected", "10.0.0.255:69"}},
	} {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			m.check(t, m.a)
			if m.want == "" {
				return
			}
			r := run(t, m.a, m.live, func(o *replay.Options) { o.Live[0].App = m.app() })
			if len(r.Divergences) != 1 {
				t.Errorf("want it once:\n%s", text(t, r))
			}
		})
	}
	six := load(t, "13-http-ipv6.a.pcapng")
	v := variant{"over IPv6", "fd77::1", func() replay.App {
		return func(ctx context.Context, h *vnetif.Host) error { dial("udp", "[fd77::99]:53")(h); return nil }
	}, "unexpected", "looks for fd77::99"}
	t.Run("over_IPv6", func(t *testing.T) { v.check(t, six) })
}

// TestOrderIsSaid swaps two answers: that is the same, and the report says so.
func TestOrderIsSaid(t *testing.T) {
	serve := func(order ...int) func() replay.App {
		return func() replay.App {
			return func(ctx context.Context, h *vnetif.Host) error {
				c, err := h.ListenPacket("udp", ":53")
				if err != nil {
					return err
				}
				for {
					var heard []string
					var to net.Addr
					for range order {
						b := make([]byte, 100)
						n, from, err := c.ReadFrom(b)
						if err != nil {
							return err
						}
						heard, to = append(heard, string(b[:n])), from
					}
					for _, i := range order {
						c.WriteTo([]byte("answer to "+heard[i]), to)
					}
				}
			}
		}
	}
	a := record(t, pair{name: "two questions", server: serve(0, 1), client: func() replay.App {
		return func(ctx context.Context, h *vnetif.Host) error {
			c, err := h.DialContext(ctx, "udp", serverAddr+":53")
			if err != nil {
				return err
			}
			c.Write([]byte("q1"))
			c.Write([]byte("q2"))
			c.Read(make([]byte, 100))
			c.Read(make([]byte, 100))
			return c.Close()
		}
	}}, 7)
	const line = "order: the live side sent 1 datagram in another order than the capture has\n"
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		r := run(t, a, serverAddr, func(o *replay.Options) { o.Live[0].App = serve(order...)() })
		if out := text(t, r); r.Verdict != replay.Same || strings.Contains(out, line) != (order[0] == 1) {
			t.Errorf("order %v:\n%s", order, out)
		}
	}
}

// TestErrClosedOfItsOwn has an application fail with the error that others
// return when the replay ends.
func TestErrClosedOfItsOwn(t *testing.T) {
	p := echoPair(1, 10)
	a := record(t, p, 8)
	variant{"fails", clientAddr, func() replay.App {
		return func(ctx context.Context, h *vnetif.Host) error {
			if err := p.client()(ctx, h); err != nil {
				return err
			}
			return fmt.Errorf("wrote to the log: %w", net.ErrClosed)
		}
	}, "application", "wrote to the log"}.check(t, a)
	variant{"waits for the end", clientAddr, func() replay.App {
		return func(ctx context.Context, h *vnetif.Host) error {
			p.client()(ctx, h)
			return h.Sleep(time.Hour)
		}
	}, "", ""}.check(t, a)
}
