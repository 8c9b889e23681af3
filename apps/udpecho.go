package apps

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vnreplay/vnreplay/vnetif"
)

// maxDatagram is more than any UDP datagram over IP carries.
const maxDatagram = 65535

// UDPEchoServer configures a UDP server that sends back each datagram (RFC 862).
type UDPEchoServer struct {
	Port int
}

// New makes the application. An operation of its Result is a datagram.
func (cfg UDPEchoServer) New() App { return &udpEchoServer{cfg: cfg} }

type udpEchoServer struct {
	cfg UDPEchoServer
	tally
}

func (s *udpEchoServer) Server() bool { return true }

func (s *udpEchoServer) Run(_ context.Context, h *vnetif.Host) error {
	c, err := h.ListenPacket("udp", fmt.Sprintf(":%d", s.cfg.Port))
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return err
		}
		r := Result{OK: 1, Received: int64(n), Sent: int64(n)}
		if _, err := c.WriteTo(buf[:n], from); err != nil {
			r.OK, r.Failed, r.Sent = 0, 1, 0
		}
		s.add(r)
	}
}

// UDPEcho configures a client of a UDP echo server: it sends datagrams, one at a
// time, and waits for each to come back.
type UDPEcho struct {
	To       string        // host:port
	Times    int           // datagrams; default 1
	Size     int           // of a datagram, bytes; default 64, at least 8
	Interval time.Duration // between an answer and the next datagram
	Timeout  time.Duration // for one answer; default 1s
	Seed     uint64        // of the datagrams' content
}

// New makes the application. An operation of its Result is a datagram; one
// without an answer is lost, which is no error of the application.
func (cfg UDPEcho) New() App {
	cfg.Times = max(cfg.Times, 1)
	if cfg.Size == 0 {
		cfg.Size = 64
	}
	cfg.Size = max(cfg.Size, 8)
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Second
	}
	return &udpEcho{cfg: cfg}
}

type udpEcho struct {
	cfg UDPEcho
	tally
}

func (e *udpEcho) Server() bool { return false }

func (e *udpEcho) Run(ctx context.Context, h *vnetif.Host) error {
	c, err := h.DialContext(ctx, "udp", e.cfg.To)
	if err != nil {
		return err
	}
	defer c.Close()
	content := Random(e.cfg.Seed, "udp echo", e.cfg.To)
	message, answer := make([]byte, e.cfg.Size), make([]byte, maxDatagram)
	for i := range e.cfg.Times {
		if i > 0 {
			if err := h.Sleep(e.cfg.Interval); err != nil {
				return err
			}
		}
		// A number first, so that a late answer is not taken for another's.
		content.Read(message)
		binary.BigEndian.PutUint64(message, uint64(i))
		began := h.Now()
		if _, err := c.Write(message); err != nil {
			return fmt.Errorf("datagram %d of %d: %w", i+1, e.cfg.Times, err)
		}
		if err := timeLimit(h, e.cfg.Timeout, c.SetReadDeadline); err != nil {
			return err
		}
		for {
			n, err := c.Read(answer)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				e.add(Result{Lost: 1, Sent: int64(len(message))})
				break
			}
			if err != nil {
				return fmt.Errorf("datagram %d of %d: %w", i+1, e.cfg.Times, err)
			}
			if bytes.Equal(answer[:n], message) {
				e.add(answered(len(message), n, h.Now().Sub(began)))
				break
			}
		}
	}
	return nil
}
