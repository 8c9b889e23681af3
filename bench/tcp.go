package main

import (
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/vnreplay/vnreplay/internal/bench"
)

const ethernetMTU = 1500

// tcpGroup is one connection in bulk, in frames as they are on a wire.
func tcpGroup(s sizes) bench.Group {
	gvisor := func(name string, links func() ([2]stack.LinkEndpoint, func() error, error)) bench.Subject {
		return &gvisorBulk{name: name, bytes: s.tcpBytes, links: links}
	}
	type links = [2]stack.LinkEndpoint
	return bench.Group{
		Name:   "tcp",
		Title:  fmt.Sprintf("one TCP connection, %d MB, MTU %d", s.tcpBytes/1e6, ethernetMTU),
		Metric: bench.Gbps,
		Subjects: []bench.Subject{
			gvisor("gVisor veth", func() (links, func() error, error) { return vethLinks(ethernetMTU) }),
			gvisor("gVisor veth, sniffer", func() (links, func() error, error) { return snifferLinks(ethernetMTU, s.dir) }),
			gvisor("gVisor pipe", func() (links, func() error, error) { return pipeLinks(ethernetMTU) }),
			gvisor("gvisor-tap-vsock", func() (links, func() error, error) { return tapvsockLinks(ethernetMTU) }),
			&bridgeBulk{name: "kernel bridge", bytes: s.tcpBytes},
			&bridgeBulk{name: "kernel bridge, dumpcap", bytes: s.tcpBytes, capture: dumpcap, dir: s.dir},
			&bridgeBulk{name: "kernel bridge, tcpdump", bytes: s.tcpBytes, capture: tcpdump, dir: s.dir},
		},
	}
}
