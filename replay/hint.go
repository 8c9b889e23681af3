package replay

import (
	"bytes"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/vnreplay/vnreplay/pcap"
)

// hint says in a line what is known to cause such a divergence, or "".
func (d *Divergence) hint() string {
	switch d.Kind {
	case "refused":
		return nobodyListens(d.From.Port())
	case "reset":
		if d.Conversation != nil && !d.Conversation.Streams[d.live].RST {
			return "a stack resets where its application closes with bytes unread, or without lingering (SO_LINGER 0)"
		}
	case "synthetic":
		return "its segments end elsewhere than the captured ones, so captured acknowledgements come too late for it"
	case "closed-early", "extra", "bytes", "missing":
		return d.hintBytes()
	}
	return ""
}

func nobodyListens(port uint16) string {
	return fmt.Sprintf("nothing listens on port %d of the live side: does its application run, and listen there?", port)
}

// hintBytes looks into what differs.
func (d *Divergence) hintBytes() string {
	want := d.want()
	if want == nil {
		return ""
	}
	c, got := d.Conversation, d.got()
	if c.Proto != TCP {
		if s := hintDNS(want, got, c); s != "" {
			return s
		}
		return d.hintDiff()
	}
	if _, message := tlsPlace(want, d.Offset); message != "" && d.Kind == "bytes" {
		return hintTLS(message, d.live)
	}
	if d.Kind != "missing" {
		if m := messageAt(parseHTTP(want, c.Streams[1-d.live].Data), d.Offset); m != nil && d.Offset < m.body {
			if s := m.hint(got, d.Offset); s != "" {
				return s
			}
		}
	}
	return d.hintDiff()
}

// hintTLS explains why a TLS peer cannot say the same again.
func hintTLS(message string, live int) string {
	side, alone := "server", "its random number and key share"
	if live == 0 {
		side, alone = "client", "its random number, session id and key share"
	}
	switch message {
	case "ServerHello", "ClientHello":
		return fmt.Sprintf("expected: a real TLS %s draws %s anew for each connection, so that no recording of one goes on after its hello; "+
			"the transcript replays the recorded ciphertext", side, alone)
	case "Certificate", "ServerKeyExchange", "CertificateVerify", "EncryptedExtensions":
		return "another certificate or key than in the capture"
	case "Finished", "encrypted handshake message", "application data":
		return "what is encrypted depends on keys that are drawn anew for each connection; the transcript replays the recorded ciphertext"
	case "alert":
		return "the live side's TLS refuses what was played: keys of a recording are not its own"
	}
	return ""
}

func hintDNS(want, got []byte, c *Conversation) string {
	m, ok := parseDNS(want, c.Ends)
	if !ok || c.Proto != UDP {
		return ""
	}
	n, ok := parseDNS(got, c.Ends)
	switch {
	case !ok:
		return ""
	case m.question != n.question:
		return fmt.Sprintf("the live side's message is about %s, the capture's about %s", n.question, m.question)
	case m.response && (m.code != n.code || m.answers != n.answers):
		return fmt.Sprintf("the live side answers %s with %s, the capture %s with %s", n.codeName(), count(n.answers, "record"), m.codeName(), count(m.answers, "record"))
	}
	return ""
}

// hint compares the head of a message with the live side's.
func (m *httpMessage) hint(got []byte, offset int64) string {
	g, ok := parseHead(got, m.at)
	if !ok {
		return ""
	}
	_, length := m.header("Content-Length")
	_, gotLength := g.header("Content-Length")
	te, chunked := m.header("Transfer-Encoding")
	gotTE, gotChunked := g.header("Transfer-Encoding")
	var names, gotNames []string
	for _, h := range m.headers {
		names = append(names, strings.ToLower(h.name))
	}
	for _, h := range g.headers {
		gotNames = append(gotNames, strings.ToLower(h.name))
	}
	switch {
	case m.first != g.first && len(g.headers) > 0:
		return fmt.Sprintf("the live side says %q, the capture %q", clip(g.first, 80), clip(m.first, 80))
	case length && !gotLength && gotChunked:
		return fmt.Sprintf("the live side sends the body with Transfer-Encoding: %s, the capture with Content-Length", clip(gotTE, 40))
	case chunked && !gotChunked && gotLength:
		return fmt.Sprintf("the live side sends the body with Content-Length, the capture with Transfer-Encoding: %s", clip(te, 40))
	}
	if h := m.headerAt(offset); h != nil && offset >= h.value && offset <= h.end {
		if n := int(offset); offset == h.end && n < len(got) && got[n] != '\r' && got[n] != '\n' {
			return fmt.Sprintf("header %s is longer than the %d bytes of the capture, so that all behind it moves; masks keep lengths", h.name, len(h.text))
		}
		i := slices.IndexFunc(g.headers, func(x httpHeader) bool { return x.at == h.at && strings.EqualFold(x.name, h.name) })
		switch {
		case i < 0 || !g.whole && i == len(g.headers)-1:
		case len(g.headers[i].text) != len(h.text):
			return fmt.Sprintf("header %s has %d bytes instead of %d, so that all behind it moves; masks keep lengths", h.name, len(g.headers[i].text), len(h.text))
		default:
			return fmt.Sprintf("--mask-header %s leaves the values of this header out", h.name)
		}
	}
	if !g.whole || !m.whole {
		return ""
	}
	for i, n := range names {
		if !slices.Contains(gotNames, n) {
			return fmt.Sprintf("the live side does not send header %s", m.headers[i].name)
		}
	}
	for i, n := range gotNames {
		if !slices.Contains(names, n) {
			return fmt.Sprintf("the live side sends header %s, which the capture does not have", g.headers[i].name)
		}
	}
	if !slices.Equal(names, gotNames) {
		return "the same headers in another order"
	}
	return ""
}

// Bounds of the search for where two runs of bytes go on alike.
const (
	maxShift = 256
	agree    = 16 // so many alike bytes are no accident
)

// hintDiff compares the bytes as such.
func (d *Divergence) hintDiff() string {
	if d.Kind != "bytes" {
		return ""
	}
	e, a := d.Expected, d.Actual
	n := min(len(e), len(a))
	differ, last, ones := 0, 0, 0
	for i := range n {
		if e[i] != a[i] {
			differ, last = differ+1, i
			ones += bits.OnesCount8(e[i] ^ a[i])
		}
	}
	if after := n - last - 1; after >= agree && differ <= 8 {
		what := fmt.Sprintf("%s in a run of %d differ", count(differ, "byte"), last+1)
		switch {
		case ones == 1:
			what = "1 bit differs"
		case differ == 1:
			what = "1 byte differs"
		case differ == last+1:
			what = fmt.Sprintf("%d bytes in a row differ", differ)
		}
		return fmt.Sprintf("%s; the %d bytes behind are the same, as far as they came", what, after)
	}
	for k := 1; k <= maxShift; k++ {
		switch {
		case len(a) >= agree && len(e) >= k+agree && bytes.Equal(e[k:k+agree], a[:agree]):
			return fmt.Sprintf("%s missing here: what follows is the same", isAre(k))
		case len(e) >= agree && len(a) >= k+agree && bytes.Equal(a[k:k+agree], e[:agree]):
			return fmt.Sprintf("%s too many here: what follows is the same", isAre(k))
		}
	}
	if n > 0 && e[0] == '\r' && a[0] == '\n' {
		return "the live side ends the line with LF, the capture with CR LF"
	}
	return ""
}

func isAre(n int) string {
	if n == 1 {
		return "1 byte is"
	}
	return count(n, "byte") + " are"
}

// hexRows are two runs of bytes from the same offset on, 16 in a row, with what
// differs marked below.
func hexRows(expected, actual []byte, from int64, rows int) (out []string) {
	for row := range rows {
		at := row * 16
		e, a := sixteen(expected, at), sixteen(actual, at)
		if len(e) == 0 && len(a) == 0 {
			break
		}
		out = append(out, hexRow("expected", from+int64(at), e), hexRow("actual", from+int64(at), a))
		if m := marks(e, a); m != "" && (row == 0 || len(e) > 0 && len(a) > 0) {
			out = append(out, strings.Repeat(" ", len("  expected ")+12)+m)
		}
	}
	return out
}

func sixteen(b []byte, at int) []byte { return b[min(at, len(b)):min(at+16, len(b))] }

// hexWidth is how wide 16 bytes are in hexadecimal, in groups of four.
const hexWidth = 35

func hexRow(what string, at int64, b []byte) string {
	if len(b) == 0 {
		return fmt.Sprintf("  %-8s %10d  (nothing)", what, at)
	}
	h, text, _ := strings.Cut(pcap.HexDump(b, 16), " |")
	return fmt.Sprintf("  %-8s %10d  %-*s |%s", what, at, hexWidth, h, text)
}

// marks are carets under the bytes that differ, in the two halves of a row.
func marks(e, a []byte) string {
	h, t := bytes.Repeat([]byte(" "), hexWidth), bytes.Repeat([]byte(" "), 16)
	some := false
	short := min(len(e), len(a))
	for i := range max(len(e), len(a)) {
		if i > short || i < short && e[i] == a[i] {
			continue // the same, or one has ended before
		}
		some = true
		at := 2*i + i/4
		h[at], h[at+1], t[i] = '^', '^', '^'
	}
	if !some {
		return ""
	}
	return strings.TrimRight(string(h)+"  "+string(t), " ")
}
