package vnetif_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// A client reaches a server on another switch through a router.
func ExampleNewRouter() {
	world := vswitch.NewWorld(vswitch.Config{})
	defer world.Close()
	lan, _ := world.NewSwitch(vswitch.SwitchConfig{Name: "lan"})
	wan, _ := world.NewSwitch(vswitch.SwitchConfig{Name: "wan"})
	_, err := vnetif.NewRouter(vnetif.RouterConfig{Name: "router", Interfaces: []vnetif.Interface{
		{Switch: lan, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.254/24")}},
		{Switch: wan, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.254/24")}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, _ := vnetif.NewHost(lan, vnetif.HostConfig{
		Name: "client", Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
		Gateways: []netip.Addr{netip.MustParseAddr("10.0.0.254")},
	})
	server, _ := vnetif.NewHost(wan, vnetif.HostConfig{
		Name: "server", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")},
		Gateways: []netip.Addr{netip.MustParseAddr("192.0.2.254")},
	})
	l, _ := server.Listen("tcp", ":7")
	world.Background("server", func(context.Context) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			fmt.Fprintln(c, "hello,", c.RemoteAddr().String()[:8])
			c.Close()
		}
	})
	err = world.Run(context.Background(), func(context.Context) error {
		c, err := client.Dial("tcp", "server:7")
		if err != nil {
			return err
		}
		defer c.Close()
		text, err := io.ReadAll(c)
		fmt.Print(string(text))
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: hello, 10.0.0.1
}
