package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Hosts checks that TCP/IP stacks work over the backend: two hosts exchange datagrams
// and streams, over IPv4 and IPv6, and ping each other. In virtual time they do so twice,
// and all that reaches them is the same, to the byte and the nanosecond.
func Hosts[P vnetif.Port](world vswitch.Config, create func(*vswitch.World) (vnetif.Backend[P], error)) error {
	var runs [2]*tap[P]
	for i := range runs {
		err := check(world, create, func(l *lab, on vnetif.Backend[P]) error {
			runs[i] = &tap[P]{Backend: on}
			return hosts(l, runs[i])
		})
		if err != nil {
			return fmt.Errorf("hosts: %w", err)
		}
		if world.RealTime {
			return nil
		}
	}
	for i, a := range runs[0].seen {
		if i == len(runs[1].seen) || a != runs[1].seen[i] {
			return fmt.Errorf("hosts: runs do not repeat: frame %d that arrives (at %v) is another one in a second run, or comes at another time", i+1, a.at)
		}
	}
	if n, m := len(runs[0].seen), len(runs[1].seen); n != m {
		return fmt.Errorf("hosts: runs do not repeat: %d frames arrive, and in a second run %d", n, m)
	}
	return nil
}

// tap is a backend that notes what reaches its endpoints.
type tap[P vnetif.Port] struct {
	vnetif.Backend[P]
	mu   sync.Mutex
	seen []arrival
}

// arrival is a frame that reached a port, and when after the world's start.
type arrival struct {
	port int
	at   time.Duration
	data string
}

func (t *tap[P]) Connect(cfg vswitch.PortConfig, e vswitch.Endpoint) (P, error) {
	w := t.World()
	return t.Backend.Connect(cfg, vswitch.EndpointFunc(func(data []byte) {
		t.mu.Lock()
		if !w.RealTime() {
			t.seen = append(t.seen, arrival{len(cfg.Name), w.Now().Sub(w.Start()), string(data)})
		}
		t.mu.Unlock()
		e.Deliver(data)
	}))
}

// hosts has two hosts talk.
func hosts[P vnetif.Port](l *lab, on vnetif.Backend[P]) error {
	var all [2]*vnetif.Host
	for i, name := range []string{"client", "server-"} {
		var err error
		all[i], err = vnetif.NewHost(on, vnetif.HostConfig{Name: name, Addrs: []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 24),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i + 1)}), 64),
		}})
		if err != nil {
			return err
		}
	}
	client, server := all[0], all[1]
	packets, err := server.ListenPacket("udp", ":7")
	if err != nil {
		return err
	}
	listener, err := server.Listen("tcp", ":7")
	if err != nil {
		return err
	}
	l.world.Background("datagrams", func(context.Context) error {
		for b := make([]byte, 2000); ; {
			n, from, err := packets.ReadFrom(b)
			if err == nil {
				_, err = packets.WriteTo(b[:n], from)
			}
			if err != nil {
				return err
			}
		}
	})
	l.world.Background("streams", func(context.Context) error {
		for {
			c, err := listener.Accept()
			if err != nil {
				return err
			}
			_, err = io.Copy(c, c)
			if err := errors.Join(err, c.Close()); err != nil {
				return err
			}
		}
	})
	return l.world.Run(context.Background(), func(ctx context.Context) error {
		for _, addr := range []string{"10.0.0.2:7", "[fd00::2]:7"} {
			for _, network := range []string{"udp", "tcp"} {
				if err := echo(ctx, client, network, addr); err != nil {
					return fmt.Errorf("%s to %s: %w", network, addr, err)
				}
			}
		}
		return nil
	})
}

// echo sends bytes and wants them back, within a while.
func echo(ctx context.Context, client *vnetif.Host, network, addr string) error {
	ctx, cancel := client.WithTimeout(ctx, 2*patience)
	defer cancel()
	c, err := client.DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(client.Now().Add(2 * patience)); err != nil {
		return err
	}
	sent := bytes.Repeat([]byte("backend "), 150)
	if network == "tcp" {
		sent = bytes.Repeat(sent, 100)
	}
	got := make([]byte, len(sent))
	read := make(chan error, 1)
	client.World().Go("read "+network+addr, func(context.Context) error {
		_, err := io.ReadFull(c, got)
		read <- err
		return nil
	})
	_, err = c.Write(sent)
	if err := errors.Join(err, <-read); err != nil {
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			return fmt.Errorf("no answer within %v (does the backend deliver inside Send?): %w", 2*patience, err)
		}
		return err
	}
	if !bytes.Equal(got, sent) {
		return errors.New("the answer has other bytes than what was sent")
	}
	return nil
}
