package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	"gvisor.dev/gvisor/pkg/tcpip/link/sniffer"
	"gvisor.dev/gvisor/pkg/tcpip/link/veth"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/vnreplay/vnreplay/internal/bench"
)

const (
	nic         = 1
	socketBytes = 4 << 20 // of each socket's buffers
)

// The two stacks' addresses.
var bulkAddrs = [2]tcpip.Address{tcpip.AddrFrom4([4]byte{10, 0, 0, 1}), tcpip.AddrFrom4([4]byte{10, 0, 0, 2})}

// gvisorBulk is TCP from one gVisor stack to another, bulk and nothing else, over
// whatever link ends links makes.
type gvisorBulk struct {
	name  string
	bytes int64
	links func() (ends [2]stack.LinkEndpoint, close func() error, err error)

	stacks [2]*stack.Stack
	close  func() error
}

func (g *gvisorBulk) Name() string { return g.name }

func (g *gvisorBulk) Setup(context.Context) error {
	ends, closeLinks, err := g.links()
	if err != nil {
		return err
	}
	g.close = closeLinks
	for i, end := range ends {
		g.stacks[i] = newStack()
		if err := attach(g.stacks[i], end, bulkAddrs[i]); err != nil {
			return errors.Join(err, g.Teardown())
		}
	}
	return nil
}

func (g *gvisorBulk) Teardown() error {
	for i, s := range g.stacks {
		if s != nil {
			s.Destroy()
		}
		g.stacks[i] = nil
	}
	return g.close()
}

func (g *gvisorBulk) Run(ctx context.Context) (bench.Result, error) {
	server := tcpip.FullAddress{NIC: nic, Addr: bulkAddrs[1], Port: 5001}
	l, err := gonet.ListenTCP(g.stacks[1], server, ipv4.ProtocolNumber)
	if err != nil {
		return bench.Result{}, err
	}
	defer l.Close()
	dial := func(ctx context.Context) (net.Conn, error) {
		return gonet.DialContextTCP(ctx, g.stacks[0], server, ipv4.ProtocolNumber)
	}
	return bench.Bulk(ctx, l, dial, g.bytes)
}

// newStack returns a stack whose sockets have the buffers that a long fat
// connection wants, and selective acknowledgements.
func newStack() *stack.Stack {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
		HandleLocal:        true,
	})
	sack := tcpip.TCPSACKEnabled(true)
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack)
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &tcpip.TCPSendBufferSizeRangeOption{Min: 4096, Default: socketBytes, Max: 2 * socketBytes})
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &tcpip.TCPReceiveBufferSizeRangeOption{Min: 4096, Default: socketBytes, Max: 2 * socketBytes})
	return s
}

// attach gives a stack its only interface.
func attach(s *stack.Stack, end stack.LinkEndpoint, addr tcpip.Address) error {
	if err := s.CreateNIC(nic, end); err != nil {
		return fmt.Errorf("gVisor: interface: %s", err)
	}
	pa := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: addr.WithPrefix()}
	pa.AddressWithPrefix.PrefixLen = 24
	if err := s.AddProtocolAddress(nic, pa, stack.AddressProperties{}); err != nil {
		return fmt.Errorf("gVisor: address: %s", err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	return nil
}

// pipeLinks is gVisor's pipe: each packet is delivered on its sender's goroutine.
func pipeLinks(mtu uint32) ([2]stack.LinkEndpoint, func() error, error) {
	a, b := pipe.New(tcpip.LinkAddress("\x02\x00\x00\x00\x00\x01"), tcpip.LinkAddress("\x02\x00\x00\x00\x00\x02"), mtu)
	return [2]stack.LinkEndpoint{a, b}, func() error { return nil }, nil
}

// vethLinks is gVisor's fastest pair: segmentation in software, a queue and a
// goroutine, no checksums and no Ethernet. It drops what its queue has no room for.
func vethLinks(mtu uint32) ([2]stack.LinkEndpoint, func() error, error) {
	a, b := veth.NewPair(mtu, veth.DefaultBacklogSize)
	return [2]stack.LinkEndpoint{a, b}, func() error { a.Close(); return nil }, nil
}

// snifferLinks is that pair, with all packets of one end written to a file in dir.
func snifferLinks(mtu uint32, dir string) ([2]stack.LinkEndpoint, func() error, error) {
	ends, closeLinks, err := vethLinks(mtu)
	if err != nil {
		return ends, nil, err
	}
	file, err := os.Create(filepath.Join(dir, "sniffer.pcap"))
	if err != nil {
		return ends, nil, errors.Join(err, closeLinks())
	}
	out := &lockedWriter{w: bufio.NewWriterSize(file, 1<<20)}
	closeAll := func() error {
		return errors.Join(closeLinks(), out.flush(), file.Close(), os.Remove(file.Name()))
	}
	sniffer.LogPackets.Store(0)
	ends[1], err = sniffer.NewWithWriter(ends[1], out, 1<<16)
	if err != nil {
		return ends, nil, errors.Join(err, closeAll())
	}
	return ends, closeAll, nil
}

// lockedWriter is what the sniffer, which writes from several goroutines, needs.
type lockedWriter struct {
	mu sync.Mutex
	w  *bufio.Writer
}

var _ io.Writer = (*lockedWriter)(nil)

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (l *lockedWriter) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Flush()
}
