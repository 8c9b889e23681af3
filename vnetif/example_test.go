package vnetif_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// exampleWorld is a world with one switch and two hosts on it, each 10 ms away.
func exampleWorld() (world *vswitch.World, client, server *vnetif.Host) {
	world = vswitch.NewWorld(vswitch.Config{Seed: 1})
	sw, err := world.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		log.Fatal(err)
	}
	host := func(name, addr string) *vnetif.Host {
		h, err := vnetif.NewHost(sw, vnetif.HostConfig{
			Name:  name,
			Addrs: []netip.Prefix{netip.MustParsePrefix(addr)},
			Port:  vswitch.PortConfig{Latency: 10 * time.Millisecond},
		})
		if err != nil {
			log.Fatal(err)
		}
		return h
	}
	return world, host("client", "10.0.0.1/24"), host("server", "10.0.0.2/24")
}

// Two hosts, a listener and a connection: ordinary blocking code.
func Example() {
	world, client, server := exampleWorld()
	defer world.Close()

	ln, err := server.Listen("tcp", ":7") // may be done before the world runs
	if err != nil {
		log.Fatal(err)
	}
	world.Background("echo", func(context.Context) error {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = io.Copy(conn, conn)
		return err
	})
	err = world.Run(context.Background(), func(ctx context.Context) error {
		conn, err := client.DialContext(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "hello"); err != nil {
			return err
		}
		b := make([]byte, 100)
		n, err := conn.Read(b)
		fmt.Printf("%s from %v, after %v\n", b[:n], conn.RemoteAddr(), client.Now().Sub(world.Start()))
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: hello from 10.0.0.2:7, after 120ms
}

// An unmodified server and client of net/http. The handler takes an hour of
// virtual time and none of yours.
func Example_http() {
	world, client, server := exampleWorld()
	defer world.Close()

	ln, err := server.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	world.Background("http", func(context.Context) error {
		return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := server.Sleep(59 * time.Minute); err != nil {
				return
			}
			fmt.Fprintf(w, "hello %s", r.URL.Path)
		}))
	})
	err = world.Run(context.Background(), func(ctx context.Context) error {
		c := &http.Client{Transport: &http.Transport{DialContext: client.DialContext}}
		resp, err := c.Get("http://server/world")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		fmt.Printf("%s, after %v\n", body, client.Now().Sub(world.Start()))
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: hello /world, after 59m0.12s
}

func ExampleHost_Sleep() {
	world, client, _ := exampleWorld()
	defer world.Close()
	err := world.Run(context.Background(), func(context.Context) error {
		err := client.Sleep(10 * time.Minute)
		fmt.Println(client.Now().Format(time.TimeOnly))
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: 00:10:00
}

func ExampleHost_AfterFunc() {
	world, client, _ := exampleWorld()
	defer world.Close()
	err := world.Run(context.Background(), func(context.Context) error {
		done := make(chan string)
		client.AfterFunc(time.Hour/2, func() { done <- client.Now().Format(time.TimeOnly) })
		fmt.Println(<-done)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: 00:30:00
}

// A context whose deadline is on the world's clock, here for a dial of an
// address that nobody has.
func ExampleHost_WithTimeout() {
	world, client, _ := exampleWorld()
	defer world.Close()
	err := world.Run(context.Background(), func(ctx context.Context) error {
		ctx, cancel := client.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := client.DialContext(ctx, "tcp", "10.0.0.99:80")
		fmt.Println(errors.Is(err, context.DeadlineExceeded), client.Now().Sub(world.Start()))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: true 2s
}

func ExampleHost_ListenPacket() {
	world, client, server := exampleWorld()
	defer world.Close()
	pc, err := server.ListenPacket("udp", ":53")
	if err != nil {
		log.Fatal(err)
	}
	world.Background("udp", func(context.Context) error {
		b := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return err
			}
			if _, err := pc.WriteTo(b[:n], from); err != nil {
				return err
			}
		}
	})
	err = world.Run(context.Background(), func(ctx context.Context) error {
		conn, err := client.DialContext(ctx, "udp", "server:53")
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "datagram"); err != nil {
			return err
		}
		b := make([]byte, 1500)
		n, err := conn.Read(b)
		fmt.Printf("%s\n", b[:n])
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: datagram
}

// An echo request over a socket of ICMP messages. The stack fills in the
// identifier and the checksum.
func ExampleHost_ListenPacket_ping() {
	world, client, _ := exampleWorld()
	defer world.Close()
	err := world.Run(context.Background(), func(context.Context) error {
		pc, err := client.ListenPacket("ip4:icmp", "")
		if err != nil {
			return err
		}
		defer pc.Close()
		request := []byte{8, 0, 0, 0, 0, 0, 0, 1, 'h', 'i'} // sequence number 1
		if _, err := pc.WriteTo(request, &net.IPAddr{IP: net.IPv4(10, 0, 0, 2)}); err != nil {
			return err
		}
		b := make([]byte, 100)
		n, from, err := pc.ReadFrom(b)
		fmt.Printf("type %d, sequence number %d, %q from %v\n", b[0], b[7], b[8:n], from)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: type 0, sequence number 1, "hi" from 10.0.0.2
}

// Answers that carry the world's time instead of the wall clock's.
func ExampleDateHandler() {
	world, client, server := exampleWorld()
	defer world.Close()
	ln, err := server.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	world.Background("http", func(context.Context) error {
		return http.Serve(ln, vnetif.DateHandler(server, http.NotFoundHandler()))
	})
	err = world.Run(context.Background(), func(context.Context) error {
		c := &http.Client{Transport: &http.Transport{DialContext: client.DialContext}}
		resp, err := c.Get("http://server/")
		if err != nil {
			return err
		}
		fmt.Println(resp.Header.Get("Date"))
		return resp.Body.Close()
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: Thu, 01 Jan 2026 00:00:00 GMT
}

// Two interfaces without a stack: what one writes, the other reads.
func ExampleRaw() {
	world := vswitch.NewWorld(vswitch.Config{})
	defer world.Close()
	sw, err := world.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		log.Fatal(err)
	}
	a, err := vnetif.NewRaw(sw, vnetif.RawConfig{Port: vswitch.PortConfig{Name: "a"}})
	if err != nil {
		log.Fatal(err)
	}
	b, err := vnetif.NewRaw(sw, vnetif.RawConfig{Port: vswitch.PortConfig{Name: "b"}})
	if err != nil {
		log.Fatal(err)
	}
	err = world.Run(context.Background(), func(context.Context) error {
		err := a.Write(a.MTU()+vswitch.HeaderLen, func(frame []byte) int {
			dst, src := b.MAC(), a.MAC()
			n := copy(frame, dst[:])
			n += copy(frame[n:], src[:])
			n += copy(frame[n:], "\x88\xb5") // an EtherType for experiments
			return n + copy(frame[n:], "payload")
		})
		if err != nil {
			return err
		}
		frame := make([]byte, b.MTU()+vswitch.HeaderLen)
		n, err := b.ReadFrame(frame)
		fmt.Printf("%x: %s\n", frame[:14], frame[14:n])
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: 02000000000102000000000088b5: payload
}

// A listener is called for each frame; here it answers.
func ExampleRaw_SetListen() {
	world := vswitch.NewWorld(vswitch.Config{})
	defer world.Close()
	sw, err := world.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		log.Fatal(err)
	}
	var raw [2]*vnetif.Raw
	for i := range raw {
		raw[i], err = vnetif.NewRaw(sw, vnetif.RawConfig{
			Monitor: func(dir vnetif.Direction, at time.Time, frame []byte) {
				if dir == vnetif.Transmitted {
					fmt.Printf("%v port%d sends %s\n", at.Sub(world.Start()), i, frame[14:])
				}
			},
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	raw[1].SetListen(func(frame []byte) {
		copy(frame[0:6], frame[6:12])
		mac := raw[1].MAC()
		copy(frame[6:12], mac[:])
		copy(frame[14:], "pong")
		_ = raw[1].WriteFrame(frame)
	})
	err = world.Run(context.Background(), func(context.Context) error {
		src := raw[0].MAC()
		frame := append(append(append([]byte{}, vswitch.Broadcast[:]...), src[:]...), "\x88\xb5ping"...)
		return raw[0].WriteFrame(frame)
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 0s port0 sends ping
	// 50µs port1 sends pong
}

// A connection whose peer has gone without a word fails when its probes are not answered.
func ExampleConn_SetKeepAliveConfig() {
	world, client, server := exampleWorld()
	defer world.Close()
	listener, err := server.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	err = world.Run(context.Background(), func(ctx context.Context) error {
		conn, err := client.DialContext(ctx, "tcp", "server:80")
		if err != nil {
			return err
		}
		if _, err := listener.Accept(); err != nil {
			return err
		}
		err = conn.(*vnetif.Conn).SetKeepAliveConfig(net.KeepAliveConfig{
			Enable: true, Idle: 10 * time.Second, Interval: time.Second, Count: 3,
		})
		if err != nil {
			return err
		}
		server.Port().SetUp(false)
		_, err = conn.Read(make([]byte, 1))
		fmt.Println(errors.Is(err, syscall.ETIMEDOUT))
		return conn.Close()
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: true
}
