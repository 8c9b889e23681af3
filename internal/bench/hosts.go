package bench

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vnreplay/vnreplay/vnetif"
)

// hosts are two hosts on one switch.
type hosts struct {
	*lan
	client, server *vnetif.Host
}

func newHosts(s Setting) (h hosts, err error) {
	if h.lan, err = newLAN(s); err != nil {
		return h, err
	}
	host := func(name, addr string) (*vnetif.Host, error) {
		return vnetif.NewHost(h.sw, vnetif.HostConfig{
			Name: name, Addrs: []netip.Prefix{netip.MustParsePrefix(addr)}, Port: h.port(name),
		})
	}
	if h.client, err = host("client", "10.0.0.1/24"); err == nil {
		h.server, err = host("server", "10.0.0.2/24")
	}
	if err == nil {
		err = h.ready()
	}
	if err != nil {
		h.close()
	}
	return h, err
}

// TCP sends bytes over one connection from one host to another.
type TCP struct {
	Label string
	Size  int64 // bytes
	Setting

	h hosts
}

// Name is the label.
func (t *TCP) Name() string { return t.Label }

// Setup makes the hosts.
func (t *TCP) Setup(context.Context) (err error) {
	t.h, err = newHosts(t.Setting)
	return err
}

// Teardown ends the world and removes the recording.
func (t *TCP) Teardown() error { return t.h.close() }

// Run sends and receives.
func (t *TCP) Run(ctx context.Context) (r Result, err error) {
	l, err := t.h.server.Listen("tcp", ":5001")
	if err != nil {
		return r, err
	}
	err = t.h.w.Run(ctx, func(ctx context.Context) (err error) {
		defer l.Close()
		dial := func(ctx context.Context) (net.Conn, error) { return t.h.client.DialContext(ctx, "tcp", "server:5001") }
		r, err = Bulk(ctx, l, dial, t.Size)
		return err
	})
	if err != nil {
		return r, err
	}
	return r, t.h.finish(&r)
}

// UDP sends datagrams from one host to another, one write for each.
type UDP struct {
	Label   string
	Count   int // of datagrams
	Payload int // bytes of each, at least 1
	Setting

	h hosts
}

// Name is the label.
func (u *UDP) Name() string { return u.Label }

// Setup makes the hosts.
func (u *UDP) Setup(context.Context) (err error) {
	if u.Payload < 1 || u.Count < 1 {
		return fmt.Errorf("%d datagrams of %d bytes: want 1 or more of each", u.Count, u.Payload)
	}
	u.h, err = newHosts(u.Setting)
	return err
}

// Teardown ends the world and removes the recording.
func (u *UDP) Teardown() error { return u.h.close() }

// Run sends all datagrams and then some that say so, until the receiver has seen
// one. What it did not see of the others is lost, by rules or for want of room in
// its socket.
func (u *UDP) Run(ctx context.Context) (r Result, err error) {
	in, err := u.h.server.ListenPacket("udp", ":5002")
	if err != nil {
		return r, err
	}
	err = u.h.w.Run(ctx, func(ctx context.Context) error {
		out, err := u.h.client.DialContext(ctx, "udp", "server:5002")
		if err != nil {
			return err
		}
		defer out.Close()
		stop := context.AfterFunc(ctx, func() { in.Close(); out.Close() })
		defer stop()
		watch := Start()
		seen := make(chan struct{})
		var rerr error
		go func() {
			defer close(seen)
			r.Frames, rerr = u.receive(in)
			r.Elapsed, r.CPU = watch.Stop()
		}()
		werr := u.send(ctx, out, seen)
		<-seen
		in.Close()
		r.Bytes, r.Lost = r.Frames*uint64(u.Payload), uint64(u.Count)-r.Frames
		if rerr != nil {
			return rerr
		}
		return werr
	})
	if err != nil {
		return r, err
	}
	return r, u.h.finish(&r)
}

// overEvery is how often the sender says that it has sent all.
const overEvery = time.Millisecond

// What the first byte of a datagram says.
const (
	datagramOne  = 1 // one of many
	datagramOver = 2 // that all have been sent
)

// send sends all datagrams, and then that this was all until the receiver has seen it.
func (u *UDP) send(ctx context.Context, out net.Conn, seen <-chan struct{}) error {
	b := make([]byte, u.Payload)
	b[0] = datagramOne
	for range u.Count {
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	for b[0] = datagramOver; ; {
		select {
		case <-seen:
			return nil
		default:
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
		if err := u.h.client.Sleep(overEvery); err != nil {
			return err
		}
	}
}

// receive counts datagrams.
func (u *UDP) receive(in net.PacketConn) (n uint64, err error) {
	for b := make([]byte, u.Payload); ; {
		if _, _, err := in.ReadFrom(b); err != nil {
			return n, err
		}
		if b[0] == datagramOver {
			return n, nil
		}
		n++
	}
}
