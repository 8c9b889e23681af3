package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
)

// execLive makes a live side of which each connection, and each flow of datagrams,
// is a process that a shell starts with a command: what it reads on its standard
// input is what comes, what it writes to its standard output is said.
//
// Processes run in real time, the world in virtual time. A pacer brings the two
// together: it steps through virtual time, and spends as much real time in each step,
// in a system call that waits for the processes' output. The world takes a goroutine
// in a system call for one that runs, so its clock stands still meanwhile: the
// virtual clock is never ahead of a process by more than a step, and what one writes
// has its effect at once. So a run takes as long as its virtual time is, and does not
// repeat to the byte.
func execLive(live replay.Live, text, command string, a *replay.Analysis) (replay.Live, error) {
	if command == "" {
		return live, usage("--live %s: want a command behind exec:", text)
	}
	live.Name = execPrefix + command
	live.App = func(ctx context.Context, h *vnetif.Host) error {
		b := &execBridge{h: h, command: command, addr: live.Addr, failed: make(chan error, 1)}
		return b.run(ctx, a)
	}
	return live, nil
}

// step is how far virtual time goes before processes get as much real time.
const step = 5 * time.Millisecond

// execBridge runs the processes of one live address.
type execBridge struct {
	h       *vnetif.Host
	command string
	addr    netip.Addr
	start   time.Time
	failed  chan error

	mu    sync.Mutex
	procs []*execProc
	ended bool
	err   error // of the first process that failed
}

// run listens and dials as captured, and paces the world until the replay ends.
func (b *execBridge) run(ctx context.Context, a *replay.Analysis) error {
	b.start = b.h.Now()
	defer b.end()
	listens := map[string]bool{}
	for _, c := range a.Conversations {
		local, proto := c.Ends[1], c.Proto
		key := fmt.Sprint(proto, local.Port())
		switch {
		case c.Reason != "" || proto == replay.Echo:
		case c.Ends[0].Addr() == b.addr && c.Ends[1].Addr() != b.addr:
			b.spawn(fmt.Sprintf("exec %v %d", b.addr, c.Number), func(ctx context.Context) error { return b.dial(ctx, c) })
		case local.Addr() != b.addr || listens[key] || refusedThere(c):
		case proto == replay.TCP:
			listens[key] = true
			l, err := b.h.Listen("tcp", local.String())
			if err != nil {
				return err
			}
			b.spawn("exec listens on "+local.String(), func(context.Context) error { return b.accept(l) })
		default:
			listens[key] = true
			p, err := b.h.ListenPacket("udp", local.String())
			if err != nil {
				return err
			}
			b.spawn("exec listens on "+local.String(), func(context.Context) error { return b.receive(p) })
		}
	}
	return b.pace()
}

func (b *execBridge) spawn(name string, fn func(context.Context) error) {
	b.h.World().Background(name, func(ctx context.Context) error { fn(ctx); return nil })
}

// refusedThere reports whether the capture shows nobody listening.
func refusedThere(c *replay.Conversation) bool {
	if c.Proto == replay.TCP {
		return c.Streams[1].RST && len(c.Streams[1].Data) == 0 && !c.Streams[1].FIN
	}
	return slices.ContainsFunc(c.Datagrams, func(d *replay.Datagram) bool { return d.Unreachable && d.From == 1 })
}

func (b *execBridge) accept(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		b.serve(c)
	}
}

func (b *execBridge) dial(ctx context.Context, c *replay.Conversation) error {
	if err := b.h.Sleep(b.start.Add(c.Start).Sub(b.h.Now())); err != nil {
		return err
	}
	network := "tcp"
	if c.Proto == replay.UDP {
		network = "udp"
	}
	conn, err := b.h.DialFrom(ctx, network, c.Ends[0], c.Ends[1].String())
	if err == nil {
		b.serve(conn)
	}
	return err
}

// serve gives a connection its process.
func (b *execBridge) serve(c net.Conn) {
	_, stream := c.(interface{ CloseWrite() error })
	p := b.begin(c.LocalAddr(), c.RemoteAddr(), !stream)
	if p == nil {
		c.Close()
		return
	}
	b.spawn("exec reads from "+c.RemoteAddr().String(), func(context.Context) error {
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			p.input(buf[:n])
			if err == io.EOF {
				p.inputEnds()
			}
			if err != nil {
				return err
			}
			for p.full() && b.h.Sleep(step) == nil {
			}
		}
	})
	b.spawn("exec writes to "+c.RemoteAddr().String(), func(context.Context) error {
		defer c.Close()
		for data := range p.out {
			if _, err := c.Write(data); err != nil {
				return err
			}
		}
		if cw, ok := c.(interface{ CloseWrite() error }); ok && !p.gone() {
			cw.CloseWrite()
			<-p.done // a process that has closed its output may read on
		}
		return nil
	})
}

// receive gives each peer that sends datagrams a process.
func (b *execBridge) receive(c net.PacketConn) error {
	flows := map[string]*execProc{}
	buf := make([]byte, 64<<10)
	for {
		n, from, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			continue // an ICMP error
		}
		p := flows[from.String()]
		if p == nil || p.gone() {
			if p = b.begin(c.LocalAddr(), from, true); p == nil {
				continue
			}
			flows[from.String()] = p
			b.spawn("exec sends to "+from.String(), func(context.Context) error {
				for data := range p.out {
					c.WriteTo(data, from)
				}
				return nil
			})
		}
		p.input(buf[:n])
	}
}

// begin starts a process; nil if that fails, or the replay is over.
func (b *execBridge) begin(local, remote net.Addr, datagrams bool) *execProc {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return nil
	}
	p, err := startProc(b.command, local, remote, datagrams)
	if err != nil {
		b.fail(err)
		return nil
	}
	b.procs = append(b.procs, p)
	return p
}

// fail notes an error. b.mu is held.
func (b *execBridge) fail(err error) {
	if b.err == nil {
		b.err = fmt.Errorf("exec:%s: %w", b.command, err)
	}
}

// pace goes through virtual time, no faster than real time, and moves what the
// processes read and write.
func (b *execBridge) pace() error {
	virtual, real := b.h.Now(), time.Now()
	for {
		if err := b.h.Sleep(step); err != nil {
			return err
		}
		ahead := b.h.Now().Sub(virtual) - time.Since(real)
		if ahead < -step {
			virtual, real, ahead = b.h.Now(), time.Now(), 0
		}
		b.mu.Lock()
		procs := slices.Clone(b.procs)
		b.mu.Unlock()
		if len(procs) == 0 {
			virtual, real = b.h.Now(), time.Now() // nobody to wait for
			continue
		}
		waitForOutput(procs, max(ahead, 0))
		b.mu.Lock()
		b.procs = b.procs[:0]
		for _, p := range procs {
			alive, err := p.move()
			if err != nil {
				b.fail(err)
			}
			if alive {
				b.procs = append(b.procs, p)
			}
		}
		err := b.err
		b.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// end ends all processes.
func (b *execBridge) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	for _, p := range b.procs {
		p.kill()
	}
	b.procs = nil
}
