package replay_test

import (
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/replay"
)

// FuzzReport compares two streams and two datagrams of any bytes: the difference is
// found, and the report, which looks for HTTP, TLS and DNS in them, is printable and
// short.
func FuzzReport(f *testing.F) {
	http := record(f, pair{name: "http", client: asksHTTP(httpRequest), server: answersHTTP(len(httpRequest), httpResponse)}, 11)
	dns := record(f, pair{name: "dns", client: asksDNS(dnsText(1, 0x0100, "www.example")), server: answersDNS(answered, 1)}, 12)
	f.Add([]byte(httpResponse), []byte(strings.ToUpper(httpResponse)))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.0 404 \x1b[31m\r\nX: \u009b\r\n"), []byte("HTTP/1.1 200 OK\n\n"))
	f.Add([]byte("\x16\x03\x03\x00\x2e\x02\x00\x00\x2a\x03\x03abcdefghijklmnopqrstuvwxyz012345\x01q\x00\x00"), []byte("\x16\x03\x03\x00\x04\x02\x00\x00\x2a"))
	f.Add(dnsText(7, answered, "a.b", 1), dnsText(7, nxdomain, "a.c"))
	f.Add([]byte(nil), []byte("x"))
	pattern, err := replay.MaskPattern(`[0-9]{2}|\xff.`)
	if err != nil {
		f.Fatal(err)
	}
	header, err := replay.MaskHeader("X")
	if err != nil {
		f.Fatal(err)
	}
	stream := func(data []byte) *replay.Analysis {
		c, s := *http.Conversations[0], *http.Conversations[0].Streams[1]
		s.Data, c.Streams[1] = data, &s
		return &replay.Analysis{Capture: http.Capture, Conversations: []*replay.Conversation{&c}}
	}
	datagram := func(data []byte) *replay.Analysis {
		c, d := *dns.Conversations[0], *dns.Conversations[0].Datagrams[1]
		d.Payload, c.Datagrams = data, []*replay.Datagram{c.Datagrams[0], &d}
		return &replay.Analysis{Capture: dns.Capture, Conversations: []*replay.Conversation{&c}}
	}
	f.Fuzz(func(t *testing.T, expected, actual []byte) {
		for _, make := range []func([]byte) *replay.Analysis{stream, datagram} {
			for _, masks := range [][]*replay.Mask{nil, {header, pattern}} {
				r, err := replay.Diff(make(expected), make(actual), replay.DiffOptions{Masks: masks})
				if err != nil {
					t.Fatal(err)
				}
				same := string(expected) == string(actual)
				if same && r.Verdict != replay.Same || !same && r.Verdict == replay.Same && len(r.Masked) == 0 {
					t.Errorf("verdict %v, masked %v", r.Verdict, r.Masked)
				}
				s := text(t, r)
				for _, c := range s {
					if c < ' ' && c != '\n' || c == 0x7f || c >= 0x80 && c < 0xa0 {
						t.Errorf("a control character in %q", s)
					}
				}
			}
		}
	})
}
