package replay_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
)

// TestMasks lets a server say something else where masks are, and beside them.
func TestMasks(t *testing.T) {
	a := record(t, pair{name: "http", client: asksHTTP(httpRequest), server: answersHTTP(len(httpRequest), httpResponse)}, 11)
	pattern := func(s string) []*replay.Mask {
		m, err := replay.MaskPattern(s)
		if err != nil {
			t.Fatal(err)
		}
		return []*replay.Mask{m}
	}
	header := func(s string) []*replay.Mask {
		m, err := replay.MaskHeader(s)
		if err != nil {
			t.Fatal(err)
		}
		return []*replay.Mask{m}
	}
	for _, m := range []struct {
		name, old, new string
		masks          []*replay.Mask
		want           string // of the report
	}{
		{"nothing", "", "", nil, "same: "},
		{"a date", "01 Jan 2026 00:00:00", "27 Feb 2031 23:59:59", nil, "masked: http-date 1"},
		{"a wrong day of the week", "Thu, 01 Jan 2026", "Wed, 01 Jan 2026", nil, "mask http-date does not accept"},
		{"another date", "Thu, 01 Jan 2026", "Fri, 02 Jan 2026", nil, "masked: http-date 1"},
		{"no date", "Thu, 01 Jan 2026", "Thu, 99 Jan 2026", nil, "mask http-date does not accept"},
		{"a header", "one/1.0", "two/2.0", header("sErVeR"), "masked: header sErVeR 1"},
		{"a header, unmasked", "one/1.0", "two/2.0", header("ETag"), "stream offset 62"},
		{"a shorter value", "one/1.0", "two/2", header("Server"), "its value is shorter than the 7 bytes"},
		{"a longer value", "one/1.0", "two/2.0.0", header("Server"), "; masks keep lengths"},
		{"a header that is not there", "", "", header("X-Id"), "note: mask header X-Id covers nothing"},
		{"a pattern", `"abcd"`, `"0123"`, pattern(`"[0-9a-z]{4}"`), `masked: pattern "[0-9a-z]{4}" 1`},
		{"a pattern that does not match", `"abcd"`, `"ABCD"`, pattern(`"[0-9a-z]{4}"`), "does not accept what the live side has here"},
		{"a byte behind a pattern", `"abcd"` + "\r\nContent-Length: 12", `"0123"` + "\r\nContent-Length: 21", pattern(`"[0-9a-z]{4}"`), "header Content-Length"},
		{"in the body", "hello, world", "hello, w\x00\xff\xfed", pattern(`w[^q]{3}d`), `masked: pattern w[^q]{3}d 1`},
	} {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			for _, piecewise := range []bool{false, true} {
				response := strings.Replace(httpResponse, m.old, m.new, 1)
				app := answersHTTP(len(httpRequest), response)
				if piecewise {
					app = serves(func(h *vnetif.Host, c *vnetif.Conn) {
						hear(c, len(httpRequest))
						for i := range response {
							c.Write([]byte(response[i : i+1]))
							h.Sleep(time.Millisecond)
						}
						c.Close()
					})
				}
				r := run(t, a, serverAddr, func(o *replay.Options) { o.Live[0].App, o.Masks = app(), m.masks })
				s := text(t, r)
				if !strings.Contains(s, m.want) || strings.HasPrefix(m.want, "masked: ") != (r.Verdict == replay.Same && len(r.Masked) == 1) && m.old != "" {
					t.Errorf("piecewise %v: want %q:\n%s", piecewise, m.want, s)
				}
			}
		})
	}
	for _, bad := range []string{"(", "a*", "", "a|"} {
		if _, err := replay.MaskPattern(bad); err == nil {
			t.Errorf("pattern %q is accepted", bad)
		}
	}
	if _, err := replay.MaskHeader("a b"); err == nil {
		t.Error("a header name with a space is accepted")
	}
}

// TestDNSQueries lets a resolver draw other IDs and ask more or less often.
func TestDNSQueries(t *testing.T) {
	q := func(id uint16, name string) []byte { return dnsText(id, 0x0100, name) }
	one := record(t, pair{name: "one", client: asksDNS(q(1, "www.example")), server: answersDNS(answered, 9)}, 12)
	two := record(t, pair{name: "two", client: asksDNS(q(1, "www.example"), q(1, "www.example")), server: answersDNS(answered, 9)}, 12)
	for _, m := range []struct {
		name    string
		a       *replay.Analysis
		queries [][]byte
		want    string
	}{
		{"the same", one, [][]byte{q(1, "www.example")}, "same: "},
		{"another ID", one, [][]byte{q(0x4321, "www.example")}, "normalised: dns-id 1"},
		{"another name", one, [][]byte{q(0x4321, "www.exampla")}, "hint: the live side's message is about A www.exampla"},
		{"once instead of twice", two, [][]byte{q(7, "www.example")}, "normalised: dns-id 1, dns-retry 1"},
	} {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			r := run(t, m.a, clientAddr, func(o *replay.Options) { o.Live[0].App = asksDNS(m.queries...)() })
			if s := text(t, r); !strings.Contains(s, m.want) || (r.Verdict == replay.Same) == strings.Contains(m.want, "hint") {
				t.Errorf("want %q:\n%s", m.want, s)
			}
		})
	}
}

// TestBudgets holds the live side to bounds.
func TestBudgets(t *testing.T) {
	loss := load(t, "02a-http-loss.a.pcapng")
	zero, hundred, many := new(int), new(int), new(int)
	*hundred, *many = 100, 1000
	for _, m := range []struct {
		name string
		o    replay.Options
		want string
	}{
		{"none", replay.Options{}, ""},
		{"no retransmission", replay.Options{Budget: replay.Budget{Retransmits: zero}}, "retransmits"},
		{"many retransmissions", replay.Options{Budget: replay.Budget{Retransmits: many}}, ""},
		{"no synthetic acknowledgement", replay.Options{Budget: replay.Budget{Synthetic: zero}}, "synthetic"},
		{"as many segments", replay.Options{Budget: replay.Budget{Segments: hundred}}, "segments"},
		{"ten times as many", replay.Options{Budget: replay.Budget{Segments: many}}, ""},
		{"too long", replay.Options{Budget: replay.Budget{Virtual: 100 * time.Millisecond}}, "time"},
		{"long enough", replay.Options{Budget: replay.Budget{Virtual: time.Second}}, ""},
		{"within a second", replay.Options{Within: replay.Tolerance{By: time.Second}}, ""},
		{"within a percent", replay.Options{Within: replay.Tolerance{Percent: 1}}, "time"},
	} {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			r := run(t, loss, "10.77.0.2", func(o *replay.Options) { o.Budget, o.Within = m.o.Budget, m.o.Within })
			s := text(t, r)
			if m.want == "" && r.Verdict != replay.Same || m.want != "" && (r.Verdict != replay.Diverged || r.Divergences[0].Kind != m.want) {
				t.Errorf("want %q:\n%s", m.want, s)
			}
		})
	}
}

// TestCompareFrames compares the frames of recordings with the same application,
// with another, and refuses what it cannot compare.
func TestCompareFrames(t *testing.T) {
	frames := func(seed uint64, app func() replay.App) func(*replay.Options) {
		return func(o *replay.Options) {
			o.Compare, o.Seed = replay.CompareFrames, seed
			if app != nil {
				o.Live[0].App = app()
			}
		}
	}
	for _, p := range []pair{echoPair(5, 300), httpPair(2, 1, 20000, false), udpPair(4, 100), pingPair(3, 100)} {
		a := record(t, p, 0)
		for _, live := range []struct {
			addr string
			app  func() replay.App
		}{{clientAddr, p.client}, {serverAddr, p.server}} {
			r := run(t, a, live.addr, frames(0, live.app))
			if r.Verdict != replay.Same || len(r.Masked) == 0 && strings.HasPrefix(p.name, "http") {
				t.Errorf("%s, live %s: want the same frames:\n%s", p.name, live.addr, text(t, r))
			}
		}
	}
	p := pair{name: "http", client: asksHTTP(httpRequest), server: answersHTTP(len(httpRequest), httpResponse)}
	a := record(t, p, 3)
	// The same bytes in two segments: the same stream, other frames.
	apart := serves(func(h *vnetif.Host, c *vnetif.Conn) {
		hear(c, len(httpRequest))
		c.Write([]byte(httpResponse[:50]))
		h.Sleep(ms)
		c.Write([]byte(httpResponse[50:]))
		c.Close()
	})
	if r := run(t, a, serverAddr, frames(3, apart)); r.Verdict != replay.Diverged || r.Divergences[0].Kind != "frame" || !strings.Contains(text(t, r), "ip.len is 102, in the capture 171") {
		t.Errorf("want another frame:\n%s", text(t, r))
	}
	if r := run(t, a, serverAddr, func(o *replay.Options) { o.Live[0].App = apart() }); r.Verdict != replay.Same {
		t.Errorf("want the same stream:\n%s", text(t, r))
	}
	for _, bad := range []struct {
		a    *replay.Analysis
		live string
	}{{a, serverAddr}, {load(t, "01-http-get-100k.a.pcapng"), "10.77.0.2"}} {
		o := replay.Options{Live: []replay.Live{{}}, Compare: replay.CompareFrames, Seed: 4}
		o.Live[0].Addr = bad.a.Endpoints[0].Addr
		if _, err := replay.Run(t.Context(), bad.a, o); !errors.Is(err, replay.ErrForeign) {
			t.Errorf("error %v", err)
		}
	}
}

// TestCompareNone only plays.
func TestCompareNone(t *testing.T) {
	a := record(t, pair{name: "http", client: asksHTTP(httpRequest), server: answersHTTP(len(httpRequest), httpResponse)}, 11)
	other := answersHTTP(len(httpRequest), strings.ToUpper(httpResponse))
	r := run(t, a, serverAddr, func(o *replay.Options) { o.Live[0].App, o.Compare = other(), replay.CompareNone })
	if s := text(t, r); r.Verdict != replay.Same || !strings.Contains(s, "note: nothing was compared") {
		t.Errorf("want no verdict:\n%s", s)
	}
}
