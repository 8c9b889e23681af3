package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/pion/logging"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/vnet"

	"github.com/vnreplay/vnreplay/internal/bench"
)

// pionFrames sends UDP datagrams over pion's virtual network, whose frames have no
// Ethernet header: they are as long as a frame's payload.
type pionFrames struct {
	name  string
	count int
	loss  int // percent

	router   *vnet.Router
	out      net.Conn
	in       transport.UDPConn
	received chan error // the end of the reader
	frames   atomic.Uint64
	next     atomic.Int64 // the number behind the last one that arrived
}

const (
	ipHeaders = 28 // bytes of IPv4 and UDP headers
	// pionWindow is how many datagrams may be on the way: pion's sockets hold 1024
	// and drop what is beyond without a word.
	pionWindow = 512
	// pionStall is how long nothing may arrive until what is on the way counts as lost,
	// where something may be.
	pionStall = 100 * time.Millisecond
)

func (p *pionFrames) Name() string { return p.name }

func (p *pionFrames) Setup(context.Context) (err error) {
	p.router, err = vnet.NewRouter(&vnet.RouterConfig{CIDR: "10.0.0.0/24", LoggerFactory: logging.NewDefaultLoggerFactory()})
	if err != nil {
		return err
	}
	var nets [2]*vnet.Net
	for i := range nets {
		if nets[i], err = vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{fmt.Sprintf("10.0.0.%d", i+1)}}); err != nil {
			return err
		}
		nic := vnet.NIC(nets[i])
		if p.loss > 0 && i == 1 {
			if nic, err = vnet.NewLossFilter(nic, p.loss, vnet.WithLossSeed(1)); err != nil {
				return err
			}
		}
		if err := p.router.AddNet(nic); err != nil {
			return err
		}
	}
	if err := p.router.Start(); err != nil {
		return err
	}
	server := &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 5002}
	if p.in, err = nets[1].ListenUDP("udp4", server); err != nil {
		p.router.Stop()
		return err
	}
	if p.out, err = nets[0].DialUDP("udp4", nil, server); err != nil {
		p.in.Close()
		p.router.Stop()
		return err
	}
	p.frames.Store(0)
	p.next.Store(0)
	p.received = make(chan error, 1)
	go func() { p.received <- p.receive() }()
	return nil
}

func (p *pionFrames) Teardown() error {
	p.out.Close()
	p.in.Close()
	<-p.received
	return p.router.Stop()
}

// receive counts, until the socket is closed.
func (p *pionFrames) receive() error {
	for b := make([]byte, bench.FrameSize); ; {
		n, _, err := p.in.ReadFrom(b)
		if err != nil {
			return err
		}
		if n < 8 {
			continue
		}
		number := int64(binary.BigEndian.Uint64(b))
		if number < int64(p.count) {
			p.frames.Add(1)
		}
		p.next.Store(number + 1)
	}
}

func (p *pionFrames) Run(ctx context.Context) (bench.Result, error) {
	b := make([]byte, bench.FrameSize-14-ipHeaders)
	watch := bench.Start()
	forgiven := int64(0) // up to here nothing is waited for
	for i := int64(0); i < int64(p.count) && ctx.Err() == nil; i++ {
		for i-max(forgiven, p.next.Load()) >= pionWindow {
			if ctx.Err() != nil {
				return bench.Result{}, context.Cause(ctx)
			}
			if !p.progress() && p.loss > 0 {
				forgiven = i
			}
		}
		binary.BigEndian.PutUint64(b, uint64(i))
		if _, err := p.out.Write(b); err != nil {
			return bench.Result{}, err
		}
	}
	// One more says that this was all, until one of those arrives.
	for binary.BigEndian.PutUint64(b, uint64(p.count)); p.next.Load() <= int64(p.count) && ctx.Err() == nil; time.Sleep(10 * time.Microsecond) {
		if _, err := p.out.Write(b); err != nil {
			return bench.Result{}, err
		}
	}
	r := bench.Result{Frames: uint64(p.count), Bytes: uint64(p.count) * bench.FrameSize}
	r.Elapsed, r.CPU = watch.Stop()
	if lost := uint64(p.count) - p.frames.Load(); p.loss == 0 {
		r.Frames, r.Lost = r.Frames-lost, lost
	}
	return r, ctx.Err()
}

// progress waits until another datagram has arrived, and reports whether one has.
func (p *pionFrames) progress() bool {
	before := p.next.Load()
	for began := time.Now(); time.Since(began) < pionStall; time.Sleep(time.Microsecond) {
		if p.next.Load() != before {
			return true
		}
	}
	return false
}
