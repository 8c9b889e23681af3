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
	const (
		ours, recorded        = "vnreplay", "vnreplay, recorded"
		veth, sniffed         = "gVisor veth", "gVisor veth, sniffer"
		pipe, vsock, captured = "gVisor pipe", "gvisor-tap-vsock", "kernel bridge, dumpcap"
	)
	type links = [2]stack.LinkEndpoint
	return bench.Group{
		Name:   "tcp",
		Title:  fmt.Sprintf("one TCP connection, %d MB, MTU %d", s.tcpBytes/1e6, ethernetMTU),
		Metric: bench.Gbps,
		Subjects: []bench.Subject{
			&bench.TCP{Label: ours, Size: s.tcpBytes},
			&bench.TCP{Label: recorded, Size: s.tcpBytes, Setting: bench.Setting{Dir: s.dir}},
			gvisor(veth, func() (links, func() error, error) { return vethLinks(ethernetMTU) }),
			gvisor(sniffed, func() (links, func() error, error) { return snifferLinks(ethernetMTU, s.dir) }),
			gvisor(pipe, func() (links, func() error, error) { return pipeLinks(ethernetMTU) }),
			gvisor(vsock, func() (links, func() error, error) { return tapvsockLinks(ethernetMTU) }),
			&bridgeBulk{name: "kernel bridge", bytes: s.tcpBytes},
			&bridgeBulk{name: captured, bytes: s.tcpBytes, capture: dumpcap, dir: s.dir},
			&bridgeBulk{name: "kernel bridge, tcpdump", bytes: s.tcpBytes, capture: tcpdump, dir: s.dir},
		},
		Ratios: []bench.Ratio{
			{Of: recorded, To: sniffed, AtLeast: 1.4},
			{Of: recorded, To: veth, AtLeast: 0.85},
			{Of: recorded, To: pipe, AtLeast: 2.5},
			{Of: recorded, To: vsock, AtLeast: 4},
			{Of: recorded, To: captured, AtLeast: 1.15},
			{Of: recorded, To: ours, AtLeast: 0.8},
			{Of: ours, To: veth},
		},
	}
}
