package scenario_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
	"github.com/vnreplay/vnreplay/switch"
)

const example = `
seed: 7
hosts:
  client: {ip: 10.0.0.1/24}
  server: {ip: 10.0.0.2/24}
links:
  client: {latency: 20ms}
faults:
  - "loss: drop nth 3 from server"
apps:
  answer: {host: server, udp-echo-server: {port: 7}}
  ask: {host: client, udp-echo: {to: "server:7", times: 4, timeout: 100ms}}
`

// A scenario is run, and its result is looked at.
func Example() {
	s, err := scenario.Parse([]byte(example), "example.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := scenario.Run(context.Background(), s, scenario.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ask := res.Apps[1]
	fmt.Println(res.OK(), ask.OK, "answered,", ask.Lost, "lost,", res.Rules[0].Dropped, "frame dropped")
	// Output: true 3 answered, 1 lost, 1 frame dropped
}

// A recording carries its scenario: running that again gives the same frames.
func ExampleVerify() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "run.pcapng")

	s, err := scenario.Parse([]byte(example), "example.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := pcap.Create(path, s.Metas()[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := scenario.Run(context.Background(), s, scenario.Options{Recorders: []vswitch.Recorder{rec}}); err != nil {
		fmt.Println(err)
	}
	if err := rec.Close(); err != nil {
		fmt.Println(err)
		return
	}

	v, err := scenario.Verify(context.Background(), path, scenario.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the same:", v.Equal())

	rules, err := scenario.ExtractFaults(func() (*pcap.Reader, error) { return pcap.Open(path) })
	fmt.Println(rules, err)
	// Output:
	// the same: true
	// [loss: drop nth 3 from server] <nil>
}

// The first mistake in a file is shown with its place.
func ExampleError() {
	_, err := scenario.Parse([]byte("hosts:\n  client: {ip: 10.0.0.1/24, mtv: 1400}\n"), "my.yaml")
	e := err.(*scenario.Error)
	fmt.Println(e)
	fmt.Print(e.Excerpt())
	// Output:
	// my.yaml:2:29: unknown key "mtv"; did you mean "mtu"?
	//    2 |   client: {ip: 10.0.0.1/24, mtv: 1400}
	//                                    ^
}
