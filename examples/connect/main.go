// Connect is a program that talks to itself: two TCP/IP stacks on one switch, of which
// one listens, and the other connects three seconds later, says something and closes.
// It needs no network and no privilege, and takes milliseconds.
package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

func main() {
	if err := talk(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "connect:", err)
		os.Exit(1)
	}
}

// talk runs the two stacks and writes what they do, with the virtual time.
func talk(w io.Writer) error {
	world := vswitch.NewWorld(vswitch.Config{})
	defer world.Close()
	say := func(who, format string, args ...any) {
		fmt.Fprintf(w, "%8v  %-6s  %s\n", world.Now().Sub(world.Start()).Round(time.Microsecond), who, fmt.Sprintf(format, args...))
	}
	sw, err := world.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		return err
	}
	server, err := stack(sw, "server", "192.168.56.99/24")
	if err != nil {
		return err
	}
	client, err := stack(sw, "client", "192.168.56.98/24")
	if err != nil {
		return err
	}
	for _, h := range []*vnetif.Host{server, client} {
		say(h.Name(), "is on the switch with address %v", h.Port().MAC())
	}
	listener, err := server.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	world.Go("server", func(context.Context) error {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		defer conn.Close()
		say("server", "accepted a connection from %v", conn.RemoteAddr())
		text, err := io.ReadAll(conn)
		if err != nil {
			return err
		}
		say("server", "got %q, and the end", text)
		return nil
	})
	return world.Run(context.Background(), func(ctx context.Context) error {
		if err := client.Sleep(3 * time.Second); err != nil {
			return err
		}
		conn, err := client.DialContext(ctx, "tcp", "192.168.56.99:80")
		if err != nil {
			return err
		}
		say("client", "connected to %v", conn.RemoteAddr())
		if _, err := io.WriteString(conn, "hello world 1 2 3 4 5"); err != nil {
			return err
		}
		say("client", "wrote hello world")
		return conn.Close()
	})
}

// stack puts a TCP/IP stack on the switch.
func stack(sw *vswitch.Switch, name, cidr string) (*vnetif.Host, error) {
	return vnetif.NewHost(sw, vnetif.HostConfig{
		Name:     name,
		Addrs:    []netip.Prefix{netip.MustParsePrefix(cidr)},
		Gateways: []netip.Addr{netip.MustParseAddr("192.168.56.1")},
	})
}
