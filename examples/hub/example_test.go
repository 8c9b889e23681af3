package hub_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/netip"

	"github.com/vnreplay/vnreplay/examples/hub"
	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Two hosts and a raw interface that overhears them, on a hub instead of a switch.
func Example() {
	world := vswitch.NewWorld(vswitch.Config{})
	defer world.Close()
	h, err := hub.New(world)
	if err != nil {
		log.Fatal(err)
	}
	var hosts [2]*vnetif.Host
	for i, name := range []string{"client", "server"} {
		addr := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 24)
		if hosts[i], err = vnetif.NewHost(h, vnetif.HostConfig{Name: name, Addrs: []netip.Prefix{addr}}); err != nil {
			log.Fatal(err)
		}
	}
	ear, err := vnetif.NewRaw(h, vnetif.RawConfig{})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := hosts[1].Listen("tcp", ":7")
	if err != nil {
		log.Fatal(err)
	}
	world.Go("server", func(context.Context) error {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(conn)
		fmt.Printf("the server read %q\n", text)
		return err
	})
	err = world.Run(context.Background(), func(ctx context.Context) error {
		conn, err := hosts[0].DialContext(ctx, "tcp", "server:7")
		if err != nil {
			return err
		}
		if _, err := io.WriteString(conn, "hello"); err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ear.Stats().RxFrames, "frames were overheard")
	// Output:
	// the server read "hello"
	// 9 frames were overheard
}
