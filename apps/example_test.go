package apps_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Two hosts with 20 ms between them, one of which fetches a file of the other.
func Example() {
	w := vswitch.NewWorld(vswitch.Config{Seed: 1})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		panic(err)
	}
	host := func(name, addr string) *vnetif.Host {
		h, err := vnetif.NewHost(sw, vnetif.HostConfig{Name: name, Addrs: []netip.Prefix{netip.MustParsePrefix(addr)},
			Port: vswitch.PortConfig{Latency: 10 * time.Millisecond}})
		if err != nil {
			panic(err)
		}
		return h
	}
	client, server := host("client", "10.0.0.1/24"), host("server", "10.0.0.2/24")

	web := apps.HTTPServer{Files: map[string][]byte{"/hello": []byte("hello, world\n")}}.New()
	get := apps.HTTPGet{URL: "http://server/hello", Times: 3}.New()
	w.Background("web", func(ctx context.Context) error { return web.Run(ctx, server) })
	err = w.Run(context.Background(), func(ctx context.Context) error { return get.Run(ctx, client) })

	r := get.Result()
	fmt.Println(err, r.OK, "requests,", r.Received, "bytes")
	// Output: <nil> 3 requests, 39 bytes
}
