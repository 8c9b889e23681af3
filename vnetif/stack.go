package vnetif

import (
	"encoding/binary"
	"math/rand"
	randv2 "math/rand/v2"
	"sync"

	gvrand "gvisor.dev/gvisor/pkg/rand"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/vnreplay/vnreplay/switch"
)

// newStack makes a stack all of whose time is the world's. In virtual time all of its
// randomness comes from the world's seed and the node's name. In real time it is the
// machine's: a peer that remembers connections of the run before, as kernels do, must
// not be asked for the same ones again.
func newStack(w *vswitch.World, node *vswitch.Node) *stack.Stack {
	clock := stackClock{node.StackClock(), w.Start()}
	if w.RealTime() {
		making.Lock()
		defer making.Unlock()
		s := stack.New(stackOptions(clock))
		// Nothing holds a sender of datagrams back. gVisor's 32 KiB are what one in
		// memory sends while its receiver's goroutine is being woken.
		s.SetOption(tcpip.ReceiveBufferSizeOption{Min: 4 << 10, Default: liveBuffer, Max: 8 * liveBuffer})
		return s
	}
	rng := func(purpose string) *lockedReader {
		return &lockedReader{r: vswitch.NewRand(w.Seed(), "host", node.Name(), purpose)}
	}
	var s *stack.Stack
	// TCP starts GOMAXPROCS workers; one keeps the order of segments.
	vswitch.SingleP(func() {
		making.Lock()
		defer making.Unlock()
		global := gvrand.Reader
		gvrand.Reader = rng("ip")
		defer func() { gvrand.Reader = global }()
		opts := stackOptions(clock)
		opts.RandSource, opts.SecureRNG = rng("insecure"), rng("secure")
		s = stack.New(opts)
	})
	return s
}

// making guards gVisor's process-wide source of randomness, from which the IP layers
// seed their tables while the options of a stack are made, and the stack.
var making sync.Mutex

// stackOptions are what is the same for all stacks. Making them draws random numbers: see
// making.
func stackOptions(clock tcpip.Clock) stack.Options {
	return stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			arp.NewProtocol,
			ipv4.NewProtocolWithOptions(ipv4.Options{}),
			// No duplicate address detection, router solicitation or MLD: the
			// addresses are configured, and the wire is silent until someone talks.
			ipv6.NewProtocolWithOptions(ipv6.Options{}),
		},
		TransportProtocols: []stack.TransportProtocolFactory{
			// Reno computes in integers; CUBIC does not.
			tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
		},
		Clock:       clock,
		HandleLocal: true,
	}
}

// lockedReader is a seeded source in the shapes gVisor asks for.
type lockedReader struct {
	mu sync.Mutex
	r  *randv2.Rand
}

var _ rand.Source = (*lockedReader)(nil)

func (l *lockedReader) Int63() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Int64()
}

// Seed does nothing: the stream is the world's.
func (l *lockedReader) Seed(int64) {}

func (l *lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for b := p; len(b) > 0; {
		b = b[copy(b, binary.LittleEndian.AppendUint64(nil, l.r.Uint64())):]
	}
	return len(p), nil
}
