// Lossy sends a megabyte from one TCP/IP stack to another over a switch that
// loses every tenth frame, and records what happened in lossy.pcapng. Open it in
// Wireshark: the frames that were lost say so in their comments.
package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

func main() { fmt.Println(transfer("lossy.pcapng")) }

// transfer records a run to a file and says how it went.
func transfer(path string) string {
	recorder := must(pcap.Create(path, pcap.Meta{Seed: 7}))
	world := vswitch.NewWorld(vswitch.Config{Seed: 7})
	sw := must(world.NewSwitch(vswitch.SwitchConfig{Recorder: recorder}))
	alice := must(vnetif.NewHost(sw, vnetif.HostConfig{Name: "alice", Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}))
	bob := must(vnetif.NewHost(sw, vnetif.HostConfig{Name: "bob", Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}}))
	loss := must(faults.Install(sw, []*faults.Rule{must(faults.Parse("loss: drop 10%"))}))[0]
	listener := must(bob.Listen("tcp", ":9000"))
	var received int64
	world.Go("bob", func(context.Context) (err error) {
		received, err = io.Copy(io.Discard, must(listener.Accept()))
		return err
	})
	check(world.Run(context.Background(), func(ctx context.Context) error {
		conn := must(alice.DialContext(ctx, "tcp", "bob:9000"))
		must(conn.Write(make([]byte, 1<<20)))
		return conn.Close()
	}), recorder.Close(), world.Close())
	return fmt.Sprintf("%d bytes arrived, %d of %d frames were lost, %v of virtual time",
		received, loss.Counts().Dropped, world.Stats().Frames, world.Stats().Virtual)
}
