package replay_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
)

// tlsPair is a client and a server of Go's that speak one version of TLS.
func tlsPair(t *testing.T, version uint16) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{"server"},
		NotBefore: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2045, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	config := func(h *vnetif.Host) *tls.Config {
		return &tls.Config{
			MinVersion: version, MaxVersion: version, InsecureSkipVerify: true, ServerName: "server", Time: h.Now,
			Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		}
	}
	return pair{
		name: "tls",
		client: dials(func(h *vnetif.Host, c *vnetif.Conn) {
			s := tls.Client(c, config(h))
			s.Write([]byte("hello"))
			io.ReadFull(s, make([]byte, 5))
			s.Close()
		}),
		server: serves(func(h *vnetif.Host, c *vnetif.Conn) {
			s := tls.Server(c, config(h))
			b := make([]byte, 5)
			io.ReadFull(s, b)
			s.Write(b)
			io.Copy(io.Discard, s)
			s.Close()
		}),
	}
}

// TestTLS replays recorded ciphertext with the transcript, and with real peers, who
// cannot say the same: the report says where they part, and why.
func TestTLS(t *testing.T) {
	for _, v := range []struct {
		name    string
		version uint16
	}{{"1.2", tls.VersionTLS12}, {"1.3", tls.VersionTLS13}} {
		t.Run(v.name, func(t *testing.T) {
			p := tlsPair(t, v.version)
			a := record(t, p, 9)
			if n := a.Conversations[0].Bytes(1); n < 200 {
				t.Fatalf("the server says %d bytes", n)
			}
			for _, live := range []struct {
				addr, place string
				app         func() replay.App
			}{{serverAddr, "TLS record 1, ServerHello, random", p.server}, {clientAddr, "TLS record 1, ClientHello, random", p.client}} {
				if r := run(t, a, live.addr); r.Verdict != replay.Same || !r.StackOnly() {
					t.Errorf("live %s: the transcript diverged:\n%s", live.addr, text(t, r))
				}
				r := run(t, a, live.addr, func(o *replay.Options) { o.Live[0].App = live.app() })
				s := text(t, r)
				if r.Verdict != replay.Diverged || !strings.Contains(s, live.place) || !strings.Contains(s, "hint: expected: a real TLS ") {
					t.Errorf("live %s: want %q:\n%s", live.addr, live.place, s)
				}
			}
			r, err := replay.Diff(a, record(t, p, 10), replay.DiffOptions{})
			if err != nil || r.Verdict != replay.Diverged || r.Divergences[0].Place != "TLS record 1, ClientHello, random" {
				t.Errorf("%v:\n%s", err, text(t, r))
			}
		})
	}
}

// TestTLSPlaces changes one byte of a recorded server's answer, and wants the name
// of the message.
func TestTLSPlaces(t *testing.T) {
	p := tlsPair(t, tls.VersionTLS12)
	a := record(t, p, 9)
	seen := map[string]bool{}
	for at := range a.Conversations[0].Streams[1].Data {
		c, server := *a.Conversations[0], *a.Conversations[0].Streams[1]
		server.Data = flipped(server.Data, at)
		c.Streams[1] = &server
		r, err := replay.Diff(a, &replay.Analysis{Capture: a.Capture, Conversations: []*replay.Conversation{&c}}, replay.DiffOptions{})
		if err != nil || len(r.Divergences) != 1 || r.Divergences[0].Offset != int64(at) {
			t.Fatalf("byte %d: %v", at, err)
		}
		seen[r.Divergences[0].Place] = true
	}
	var all []string
	for s := range seen {
		all = append(all, s)
	}
	list := strings.Join(all, "; ")
	for _, want := range []string{"ServerHello, random", "record header", "Certificate", "ServerKeyExchange", "ServerHelloDone", "ChangeCipherSpec", "encrypted handshake message", "application data"} {
		if !strings.Contains(list, want) {
			t.Errorf("no difference in %s: %s", want, list)
		}
	}
}
