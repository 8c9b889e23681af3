package live_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/live"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// A host that echoes, and a socket at which a virtual machine may come. With a Device of
// "tap:vnr0" the machine's own kernel would be there.
func ExampleStart() {
	s, err := live.Start(context.Background(), live.Config{
		Ports: []live.Port{
			{
				PortConfig: vswitch.PortConfig{Name: "echo"},
				Host: &live.Host{
					Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
					Apps:  []live.App{{Name: "echo", App: apps.EchoServer{Port: 7}.New()}},
				},
			},
			{PortConfig: vswitch.PortConfig{Name: "vm"}, Device: "qemu:tcp:127.0.0.1:0"},
		},
		Limit: live.Limit{Time: 1},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	if _, err := s.AddFault("loss: drop 5% from vm"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(s.Run(context.Background()), s.Status().Ended, s.Status().Rules[0].Text)
	// Output: <nil> time limit loss: drop 5% from vm
}
