package vnetif_test

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// ping returns an echo request from the ICMP header on; the stack fills in the
// checksum and the identifier.
func ping(kind byte, seq uint16, payload string) []byte {
	b := []byte{kind, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[6:], seq)
	return append(b, payload...)
}

func TestEchoRequestsAreAnswered(t *testing.T) {
	for _, tc := range []struct {
		network, address string
		to               net.IP
		request, reply   byte
	}{
		{"ip4:icmp", "", net.IPv4(10, 0, 0, 2), 8, 0},
		{"ip4:icmp", "10.0.0.1", net.IPv4(10, 0, 0, 2), 8, 0},
		{"ip4:icmp", "client", net.IPv4(10, 0, 0, 1), 8, 0},
		{"ip6:ipv6-icmp", "", net.ParseIP("fd00::2"), 128, 129},
	} {
		t.Run(tc.network+" "+tc.address+" "+tc.to.String(), func(t *testing.T) {
			l := newLAN(t, setup{client: vswitch.PortConfig{Latency: 10 * time.Millisecond}})
			l.run(func(ctx context.Context) error {
				pc, err := l.client.ListenPacket(tc.network, tc.address)
				if err != nil {
					return err
				}
				defer pc.Close()
				for seq := range uint16(3) {
					began := l.client.Now()
					if _, err := pc.WriteTo(ping(tc.request, seq, "payload"), &net.IPAddr{IP: tc.to}); err != nil {
						return err
					}
					must(t, pc.SetReadDeadline(l.client.Now().Add(time.Second)))
					b := make([]byte, 100)
					n, from, err := pc.ReadFrom(b)
					if err != nil {
						return err
					}
					equal(t, "type", b[0], tc.reply)
					equal(t, "sequence number", binary.BigEndian.Uint16(b[6:]), seq)
					equal(t, "payload", string(b[8:n]), "payload")
					equal(t, "sender", from.String(), tc.to.String())
					if _, ok := from.(*net.IPAddr); !ok {
						t.Errorf("the sender is a %T, want *net.IPAddr", from)
					}
					if seq > 0 && tc.to.String() != "10.0.0.1" { // resolved by now
						equal(t, "round trip", since(l.client, began), 2*(10*time.Millisecond+vswitch.DefaultLatency))
					}
				}
				return nil
			})
			if l.wire.n > 0 {
				l.checkWire(t)
			}
		})
	}
}

func TestEchoRequestToNobodyIsNotAnswered(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		pc, err := l.client.ListenPacket("ip4:icmp", "")
		if err != nil {
			return err
		}
		defer pc.Close()
		if _, err := pc.WriteTo(ping(8, 1, ""), &net.IPAddr{IP: net.IPv4(10, 0, 0, 77)}); err != nil {
			return err
		}
		must(t, pc.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, _, err = pc.ReadFrom(make([]byte, 100))
		wantErr(t, "read", err, os.ErrDeadlineExceeded)
		return nil
	})
}

// Two sockets have two identifiers; each hears its own replies.
func TestPingSocketsDoNotHearEachOther(t *testing.T) {
	l := newLAN(t, setup{})
	l.run(func(ctx context.Context) error {
		a, err := l.client.ListenPacket("ip4:icmp", "")
		if err != nil {
			return err
		}
		defer a.Close()
		b, err := l.client.ListenPacket("ip4:icmp", "")
		if err != nil {
			return err
		}
		defer b.Close()
		if _, err := a.WriteTo(ping(8, 1, "from a"), &net.IPAddr{IP: net.IPv4(10, 0, 0, 2)}); err != nil {
			return err
		}
		buf := make([]byte, 100)
		n, _, err := a.ReadFrom(buf)
		if err != nil {
			return err
		}
		equal(t, "a hears", string(buf[8:n]), "from a")
		must(t, b.SetReadDeadline(time.Now().Add(time.Second)))
		_, _, err = b.ReadFrom(buf)
		wantErr(t, "b hears", err, os.ErrDeadlineExceeded)
		return nil
	})
}
