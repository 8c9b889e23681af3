package vnetif_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/vnreplay/vnreplay/vnetif"
)

// scene is a run that must be the same every time.
type scene struct {
	name string
	run  func(l *lan)
	// concurrent: several goroutines of one host are runnable at a time, which
	// the race detector shuffles.
	concurrent bool
}

var scenes = []scene{
	{name: "echo", run: sceneEcho},
	{name: "bulk", run: sceneBulk},
	{name: "ping", run: scenePing},
	{name: "fragments", run: sceneFragments},
	{name: "http", run: sceneHTTP(1, 40)},
	{name: "http4", run: sceneHTTP(4, 25), concurrent: true},
	{name: "flows", run: sceneFlows, concurrent: true},
}

func sceneNamed(name string) scene {
	for _, s := range scenes {
		if s.name == name {
			return s
		}
	}
	return scene{}
}

// sceneEcho: 100 words over IPv4 and IPv6, with 3 % loss.
func sceneEcho(l *lan) {
	l.lose(30)
	l.serve("tcp", ":7", echo)
	l.run(func(ctx context.Context) error {
		for _, f := range families {
			c, err := l.dial(ctx, f.network, f.address)
			if err != nil {
				return err
			}
			b := make([]byte, 1000)
			for i := range 100 {
				if _, err := c.Write(b[:i*10+1]); err != nil {
					return err
				}
				if _, err := io.ReadFull(c, b[:i*10+1]); err != nil {
					return err
				}
			}
			if err := c.Close(); err != nil {
				return err
			}
		}
		return nil
	})
}

// sceneBulk: 2 MB with 2 % loss.
func sceneBulk(l *lan) {
	bulk(l, 2<<20, 20)
}

// bulk sends n bytes from the client to the server, losing so many frames in a thousand.
func bulk(l *lan, n int, permille uint32) {
	l.t.Helper()
	l.lose(permille)
	got := 0
	l.serve("tcp", ":7", func(c *vnetif.Conn) error {
		n, err := io.Copy(io.Discard, c)
		got = int(n)
		return errors.Join(err, c.Close())
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		chunk := noise(1 << 16)
		for left := n; left > 0; left -= len(chunk) {
			chunk = chunk[:min(left, len(chunk))]
			if _, err := c.Write(chunk); err != nil {
				return err
			}
		}
		err = c.CloseWrite()
		_, _ = c.Read(chunk)
		return errors.Join(err, c.Close())
	})
	equal(l.t, "bytes received", got, n)
}

// scenePing: echo requests over IPv4 and IPv6.
func scenePing(l *lan) {
	l.run(func(ctx context.Context) error {
		for _, to := range []struct {
			network string
			request byte
			ip      net.IP
		}{{"ip4:icmp", 8, net.IPv4(10, 0, 0, 2)}, {"ip6:ipv6-icmp", 128, net.ParseIP("fd00::2")}} {
			pc, err := l.client.ListenPacket(to.network, "")
			if err != nil {
				return err
			}
			for seq := range uint16(20) {
				if _, err := pc.WriteTo(ping(to.request, seq, "payload"), &net.IPAddr{IP: to.ip}); err != nil {
					return err
				}
				if _, _, err := pc.ReadFrom(make([]byte, 100)); err != nil {
					return err
				}
				if err := l.client.Sleep(time.Second); err != nil {
					return err
				}
			}
			pc.Close()
		}
		return nil
	})
}

// sceneFragments: datagrams that do not fit a frame, over IPv4 and IPv6.
func sceneFragments(l *lan) {
	l.serveUDP("udp", ":7")
	l.run(func(ctx context.Context) error {
		for _, address := range []string{"10.0.0.2:7", "[fd00::2]:7"} {
			c, err := l.dialUDP(address)
			if err != nil {
				return err
			}
			for range 5 {
				if _, err := c.Write(make([]byte, 4000)); err != nil {
					return err
				}
				if _, err := c.Read(make([]byte, 4000)); err != nil {
					return err
				}
			}
			c.Close()
		}
		return nil
	})
}

// sceneHTTP: so many plain clients at once, each so many requests, 5 % loss; the
// server has all the timeouts that are deadlines.
func sceneHTTP(clients, requests int) func(*lan) {
	return func(l *lan) {
		l.lose(50)
		page := noise(20_000)
		l.serveHTTP(&http.Server{
			ReadTimeout: 5 * time.Minute, ReadHeaderTimeout: 30 * time.Second, WriteTimeout: 5 * time.Minute, IdleTimeout: 90 * time.Second,
			Handler: vnetif.DateHandler(l.server, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write(binary.BigEndian.AppendUint32(page, uint32(len(r.URL.Path))))
			})),
		})
		c := httpClient(l.client)
		for k := range clients {
			l.w.Go(fmt.Sprintf("get%d", k), func(context.Context) error {
				for i := range requests {
					body, err := get(c, fmt.Sprintf("/%d/%d", k, i))
					if err != nil {
						return err
					}
					if len(body) != len(page)+4 {
						return fmt.Errorf("request %d of client %d: %d bytes", i, k, len(body))
					}
				}
				return nil
			})
		}
		l.run(func(context.Context) error { return nil })
	}
}

// sceneFlows: six transfers at once, three each way, with 3 % loss.
func sceneFlows(l *lan) {
	l.lose(30)
	hosts := []*vnetif.Host{l.client, l.server}
	for i := range 6 {
		from, to := hosts[i%2], hosts[1-i%2]
		address := fmt.Sprintf("%s:%d", to.Name(), 100+i)
		ln, err := to.Listen("tcp", fmt.Sprintf(":%d", 100+i))
		must(l.t, err)
		l.w.Go(fmt.Sprintf("receive%d", i), func(context.Context) error {
			c, err := ln.Accept()
			if err != nil {
				return err
			}
			n, err := io.Copy(io.Discard, c)
			if n != 200_000 {
				err = errors.Join(err, fmt.Errorf("%d bytes", n))
			}
			return errors.Join(err, c.Close())
		})
		l.w.Go(fmt.Sprintf("send%d", i), func(ctx context.Context) error {
			c, err := from.DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			_, err = c.Write(noise(200_000))
			return errors.Join(err, c.Close())
		})
	}
	l.run(func(context.Context) error { return nil })
}
