package apps

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/vnreplay/vnreplay/vnetif"
)

// EchoServer configures a TCP server that sends back what it receives (RFC 862).
type EchoServer struct {
	Port int
}

// New makes the application. An operation of its Result is a connection that
// the client ended.
func (cfg EchoServer) New() App { return &echoServer{cfg: cfg} }

type echoServer struct {
	cfg EchoServer
	tally
}

func (s *echoServer) Server() bool { return true }

func (s *echoServer) Run(_ context.Context, h *vnetif.Host) error {
	return serve(h, s.cfg.Port, func(c net.Conn) {
		n, err := io.Copy(c, c)
		r := Result{Sent: n, Received: n, OK: 1}
		if err != nil {
			r.OK, r.Failed = 0, 1
		}
		s.add(r)
	})
}

// Echo configures a client of an echo server: it sends messages on one
// connection, one at a time, and compares what comes back.
type Echo struct {
	To       string        // host:port
	Times    int           // messages; default 1
	Size     int           // of a message, bytes; default 64
	Interval time.Duration // between an answer and the next message
	Timeout  time.Duration // for one message and its answer; 0: none
	Seed     uint64        // of the messages' content
}

// New makes the application. An operation of its Result is a message.
func (cfg Echo) New() App {
	cfg.Times = max(cfg.Times, 1)
	if cfg.Size == 0 {
		cfg.Size = 64
	}
	return &echo{cfg: cfg}
}

type echo struct {
	cfg Echo
	tally
}

func (e *echo) Server() bool { return false }

func (e *echo) Run(ctx context.Context, h *vnetif.Host) error {
	c, err := h.DialContext(ctx, "tcp", e.cfg.To)
	if err != nil {
		e.add(Result{Failed: 1})
		return err
	}
	defer c.Close()
	content := Random(e.cfg.Seed, "echo", e.cfg.To)
	message, answer := make([]byte, e.cfg.Size), make([]byte, e.cfg.Size)
	for i := range e.cfg.Times {
		if i > 0 {
			if err := h.Sleep(e.cfg.Interval); err != nil {
				return err
			}
		}
		content.Read(message)
		began := h.Now()
		err := timeLimit(h, e.cfg.Timeout, c.SetDeadline)
		if err == nil {
			_, err = c.Write(message)
		}
		if err == nil {
			_, err = io.ReadFull(c, answer)
		}
		if err == nil && !bytes.Equal(message, answer) {
			err = fmt.Errorf("other bytes came back")
		}
		if err != nil {
			e.add(Result{Failed: 1})
			return fmt.Errorf("message %d of %d: %w", i+1, e.cfg.Times, err)
		}
		e.add(answered(len(message), len(answer), h.Now().Sub(began)))
	}
	return nil
}
