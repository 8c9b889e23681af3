package apps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/vnreplay/vnreplay/vnetif"
)

// Ping configures a sender of ICMP echo requests (RFC 792; for IPv6, RFC 4443).
type Ping struct {
	To       string        // a host's name or an address; of a name, its first address
	Times    int           // default 1
	Size     int           // of the payload, bytes; default 56
	Interval time.Duration // from one request to the next; default 1s
	Timeout  time.Duration // for one answer; default 1s
	Seed     uint64        // of the payloads' content
}

// New makes the application. An operation of its Result is a request; one
// without an answer is lost, which is no error of the application.
func (cfg Ping) New() App {
	cfg.Times = max(cfg.Times, 1)
	if cfg.Size == 0 {
		cfg.Size = 56
	}
	for _, d := range []*time.Duration{&cfg.Interval, &cfg.Timeout} {
		if *d == 0 {
			*d = time.Second
		}
	}
	return &ping{cfg: cfg}
}

type ping struct {
	cfg Ping
	tally
}

func (p *ping) Server() bool { return false }

// resolve finds the address that a name stands for in the host's world.
func resolve(h *vnetif.Host, name string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return a, nil
	}
	if n, ok := h.World().Lookup(name); ok && len(n.Addrs()) > 0 {
		return n.Addrs()[0], nil
	}
	return netip.Addr{}, &net.DNSError{Err: "no host of this world has that name", Name: name, IsNotFound: true}
}

func (p *ping) Run(_ context.Context, h *vnetif.Host) error {
	to, err := resolve(h, p.cfg.To)
	if err != nil {
		return err
	}
	network, protocol := "ip4:icmp", 1
	var kind, reply icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	if to.Is6() {
		network, protocol = "ip6:ipv6-icmp", 58
		kind, reply = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	c, err := h.ListenPacket(network, "")
	if err != nil {
		return err
	}
	defer c.Close()
	content := Random(p.cfg.Seed, "ping", p.cfg.To)
	payload, buf := make([]byte, p.cfg.Size), make([]byte, maxDatagram)
	for i := range p.cfg.Times {
		content.Read(payload)
		// The identifier is the socket's; the number is a circular 16-bit one.
		request := icmp.Message{Type: kind, Body: &icmp.Echo{Seq: (i + 1) & 0xffff, Data: payload}}
		raw, err := request.Marshal(nil)
		if err != nil {
			return err
		}
		began := h.Now()
		if _, err := c.WriteTo(raw, &net.IPAddr{IP: to.AsSlice()}); err != nil {
			return fmt.Errorf("request %d of %d: %w", i+1, p.cfg.Times, err)
		}
		if err := timeLimit(h, p.cfg.Timeout, c.SetReadDeadline); err != nil {
			return err
		}
		r := Result{Lost: 1, Sent: int64(len(payload))}
		for {
			n, _, err := c.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return fmt.Errorf("request %d of %d: %w", i+1, p.cfg.Times, err)
			}
			m, err := icmp.ParseMessage(protocol, buf[:n])
			if err != nil || m.Type != reply {
				continue
			}
			if echo, ok := m.Body.(*icmp.Echo); ok && echo.Seq == (i+1)&0xffff && bytes.Equal(echo.Data, payload) {
				r = answered(len(payload), len(echo.Data), h.Now().Sub(began))
				break
			}
		}
		p.add(r)
		if i+1 < p.cfg.Times {
			if err := h.Sleep(p.cfg.Interval - h.Now().Sub(began)); err != nil {
				return err
			}
		}
	}
	return nil
}
