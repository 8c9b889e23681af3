package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/vnreplay/vnreplay/internal/bench"
)

// framesGroup is single frames, from one writer to one listener.
func framesGroup(s sizes) bench.Group {
	const (
		ours, recorded   = "vnreplay", "vnreplay, recorded"
		memcpy, write    = "memcpy", "write(2) of 1 MiB"
		pipe, pion, vfkt = "gVisor pipe", "pion vnet", "gvisor-tap-vsock"
	)
	slow := max(s.frames/10, 1) // frames for what is slower by as much
	return bench.Group{
		Name:   "frames",
		Title:  fmt.Sprintf("frames of %d bytes, one writer, one listener", bench.FrameSize),
		Metric: bench.MillionFrames,
		Subjects: []bench.Subject{
			&bench.Memcpy{Label: memcpy, Count: s.frames},
			&bench.Frames{Label: ours, Count: s.frames},
			&pipeFrames{name: pipe, count: s.frames},
			&pionFrames{name: pion, count: slow},
			&vfkitFrames{name: vfkt, count: slow},
			&bench.FileWrite{Label: write, Count: s.written(), Dir: s.dir},
			&bench.Frames{Label: recorded, Count: s.written(), Setting: bench.Setting{Dir: s.dir}},
		},
		Ratios: []bench.Ratio{
			{Of: ours, To: memcpy, AtLeast: 0.3},
			{Of: recorded, To: write, AtLeast: 0.8},
			{Of: pipe, To: memcpy}, {Of: pion, To: memcpy}, {Of: vfkt, To: memcpy},
			{Of: ours, To: pipe}, {Of: ours, To: pion}, {Of: ours, To: vfkt},
		},
	}
}

// written is how many frames are written to a file: at most 1.5 GB.
func (s sizes) written() int { return min(s.frames, 1_000_000) }

// faultsGroup is the same with rules.
func faultsGroup(s sizes) bench.Group {
	const (
		none, idle, loss = "vnreplay", "vnreplay, all at 0 %", "vnreplay, drop 1 %"
		pion, pionLoss   = "pion vnet", "pion vnet, LossFilter 1 %"
	)
	return bench.Group{
		Name:   "faults",
		Title:  fmt.Sprintf("frames of %d bytes, with fault rules", bench.FrameSize),
		Metric: bench.MillionFrames,
		Subjects: []bench.Subject{
			&bench.Frames{Label: none, Count: s.frames},
			&bench.Frames{Label: idle, Count: s.frames, Setting: bench.Setting{Rules: bench.IdleRules}},
			&bench.Frames{Label: loss, Count: s.frames, Setting: bench.Setting{Rules: []string{"drop 1%"}}},
			&pionFrames{name: pion, count: max(s.frames/10, 1)},
			&pionFrames{name: pionLoss, count: max(s.frames/10, 1), loss: 1},
		},
		Ratios: []bench.Ratio{
			{Of: idle, To: none, AtLeast: 0.97},
			{Of: loss, To: none, AtLeast: 0.95},
			{Of: pionLoss, To: pion},
		},
	}
}

// pipeFrames calls gVisor's pipe, which calls the listener. A frame is copied once,
// into the packet that carries it.
type pipeFrames struct {
	name  string
	count int

	in  stack.LinkEndpoint
	got *packetCounter
}

const pipeBatch = 64 // packets in a call

func (p *pipeFrames) Name() string { return p.name }

func (p *pipeFrames) Setup(context.Context) error {
	ends, _, err := pipeLinks(ethernetMTU)
	if err != nil {
		return err
	}
	p.in, p.got = ends[0], &packetCounter{}
	ends[1].Attach(p.got)
	return nil
}

func (p *pipeFrames) Teardown() error { return nil }

func (p *pipeFrames) Run(ctx context.Context) (bench.Result, error) {
	frame := make([]byte, bench.FrameSize)
	watch := bench.Start()
	for sent := 0; sent < p.count && ctx.Err() == nil; {
		var list stack.PacketBufferList
		for range min(pipeBatch, p.count-sent) {
			list.PushBack(stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)}))
			sent++
		}
		_, err := p.in.WritePackets(list)
		list.Reset()
		if err != nil {
			return bench.Result{}, fmt.Errorf("gVisor: %s", err)
		}
	}
	r := bench.Result{Frames: p.got.n}
	r.Elapsed, r.CPU = watch.Stop()
	r.Bytes = r.Frames * bench.FrameSize
	return r, nil
}

// packetCounter is a listener that does nothing else.
type packetCounter struct{ n uint64 }

func (c *packetCounter) DeliverNetworkPacket(tcpip.NetworkProtocolNumber, *stack.PacketBuffer) {
	c.n++
}
func (c *packetCounter) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *stack.PacketBuffer) {}

// vfkitFrames sends frames through gvisor-tap-vsock's switch.
type vfkitFrames struct {
	name  string
	count int

	sw       *tapvsock
	ends     [2]net.Conn
	frames   atomic.Uint64
	received chan error
}

func (v *vfkitFrames) Name() string { return v.name }

func (v *vfkitFrames) Setup(context.Context) (err error) {
	if v.sw, err = newTapvsock(); err != nil {
		return err
	}
	for i, fd := range v.sw.ends {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return errors.Join(os.NewSyscallError("fcntl", err), v.sw.close())
		}
		file := os.NewFile(uintptr(dup), "client")
		v.ends[i], err = net.FileConn(file)
		file.Close()
		if err != nil {
			return errors.Join(err, v.sw.close())
		}
	}
	v.frames.Store(0)
	v.received = make(chan error, 1)
	go func() { v.received <- v.receive() }()
	// The switch learns where the listener is; it does not flood what it does not know.
	if _, err := v.ends[1].Write(vfkitFrame(broadcast, 2)); err != nil {
		return errors.Join(err, v.Teardown())
	}
	for began := time.Now(); len(v.sw.sw.CAM()) == 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > readyWithin {
			return errors.Join(errors.New("the switch learned no address"), v.Teardown())
		}
	}
	return nil
}

func (v *vfkitFrames) Teardown() error {
	for _, c := range v.ends {
		c.Close()
	}
	<-v.received
	return v.sw.close()
}

func (v *vfkitFrames) receive() error {
	for b := make([]byte, 2*bench.FrameSize); ; {
		if _, err := v.ends[1].Read(b); err != nil {
			return err
		}
		v.frames.Add(1)
	}
}

func (v *vfkitFrames) Run(ctx context.Context) (bench.Result, error) {
	frame := vfkitFrame(2, 1)
	watch := bench.Start()
	for i := 0; i < v.count && ctx.Err() == nil; i++ {
		if err := v.send(frame); err != nil {
			return bench.Result{}, err
		}
	}
	for began := time.Now(); v.frames.Load() < uint64(v.count) && time.Since(began) < readyWithin && ctx.Err() == nil; {
		time.Sleep(10 * time.Microsecond)
	}
	r := bench.Result{Frames: v.frames.Load()}
	r.Elapsed, r.CPU = watch.Stop()
	r.Bytes, r.Lost = r.Frames*bench.FrameSize, uint64(v.count)-r.Frames
	return r, ctx.Err()
}

// send sends a frame when there is room for it.
func (v *vfkitFrames) send(frame []byte) error {
	for {
		_, err := v.ends[0].Write(frame)
		if !errors.Is(err, unix.ENOBUFS) {
			return err
		}
	}
}

// broadcast is the client that all are.
const broadcast = -1

// vfkitFrame is a frame from one client to another.
func vfkitFrame(to, from int) []byte {
	mac := func(client int) tcpip.LinkAddress {
		if client == broadcast {
			return header.EthernetBroadcastAddress
		}
		return tcpip.LinkAddress([]byte{2, 0, 0, 0, 0, byte(client)})
	}
	b := make([]byte, bench.FrameSize)
	header.Ethernet(b).Encode(&header.EthernetFields{SrcAddr: mac(from), DstAddr: mac(to), Type: 0x88b5})
	return b
}
