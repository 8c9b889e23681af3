package replay

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// talker says datagrams on one socket.
type talker struct {
	t              *transcript
	proto          Proto
	network, local string
	c              net.PacketConn

	mu    sync.Mutex
	convs map[netip.AddrPort]*talk // by the peer; for echo by its address and port 0
}

// talk is one conversation of a talker.
type talk struct {
	conv *Conversation
	end  int
	next int // of Datagrams
}

func (k *talker) open(name string) error {
	c, err := k.t.h.ListenPacket(k.network, k.local)
	if err != nil {
		return err
	}
	k.c = c
	k.t.h.World().Background(name, func(context.Context) error {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					return nil
				}
				continue // an ICMP error
			}
			_ = n
			k.heard(peerOf(from))
		}
	})
	return nil
}

// peerOf is the address a datagram came from.
func peerOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.UDPAddr:
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	case *net.IPAddr:
		ip, _ := netip.AddrFromSlice(a.IP)
		return netip.AddrPortFrom(ip.Unmap(), 0)
	}
	return netip.AddrPort{}
}

func (k *talker) peer(c *Conversation, end int) netip.AddrPort {
	if k.proto == Echo {
		return netip.AddrPortFrom(c.Ends[1-end].Addr(), 0)
	}
	return c.Ends[1-end]
}

// add gives the talker a conversation.
func (k *talker) add(c *Conversation, end int) {
	tk := &talk{conv: c, end: end}
	k.mu.Lock()
	k.convs[k.peer(c, end)] = tk
	k.mu.Unlock()
	if c.Datagrams[0].From == end {
		k.t.h.AfterFunc(k.t.start.Add(c.Start).Sub(k.t.h.Now()), func() { k.say(tk, k.t.h.Now()) })
	}
}

// heard notes a datagram of a peer.
func (k *talker) heard(peer netip.AddrPort) {
	k.mu.Lock()
	tk := k.convs[peer]
	k.mu.Unlock()
	if tk == nil {
		return
	}
	k.mu.Lock()
	for tk.next < len(tk.conv.Datagrams) && tk.conv.Datagrams[tk.next].unheard(tk.end) {
		tk.next++
	}
	if tk.next < len(tk.conv.Datagrams) && tk.conv.Datagrams[tk.next].From != tk.end {
		tk.next++
	}
	k.mu.Unlock()
	k.say(tk, k.t.h.Now())
}

// unheard reports whether a datagram is the peer's and does not come to end's socket.
func (d *Datagram) unheard(end int) bool { return d.From != end && (d.lost || d.Unreachable) }

// say says all datagrams that need nothing more.
func (k *talker) say(tk *talk, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	ds := tk.conv.Datagrams
	at := now
	for tk.next < len(ds) && (ds[tk.next].From == tk.end || ds[tk.next].unheard(tk.end)) {
		d := ds[tk.next]
		if tk.next > 0 {
			at = at.Add(min(d.At-ds[tk.next-1].At, maxThink))
		}
		tk.next++
		if d.From != tk.end || d.Unreachable || d.copy {
			continue
		}
		k.after(at.Sub(now), func() { k.send(tk, d) })
	}
	if len(k.convs) == 1 && refuses(ds[tk.next:], tk.end) {
		k.after(at.Sub(now), func() { k.c.Close() }) // not before the last was sent
	}
}

// after does something after a time, if there is one. It is called with the lock held.
func (k *talker) after(wait time.Duration, f func()) {
	if wait > 0 {
		k.t.h.AfterFunc(wait, f)
		return
	}
	k.mu.Unlock()
	f()
	k.mu.Lock()
}

// refuses reports whether the next datagram finds the port of end closed: it is answered
// with that, or all of those that follow are.
func refuses(next []*Datagram, end int) bool {
	came, errors := 0, 0
	for i, d := range next {
		switch {
		case d.From == end && !d.Unreachable:
			return false
		case d.From == end && i == 1:
			return true
		case d.From == end && !d.copy:
			errors++
		case d.From != end && !d.lost:
			came++
		}
	}
	return came > 0 && errors >= came
}

func (k *talker) send(tk *talk, d *Datagram) {
	to := tk.conv.Ends[1-tk.end]
	if k.proto == UDP {
		if _, err := k.c.WriteTo(d.Payload, net.UDPAddrFromAddrPort(to)); err != nil {
			k.c.WriteTo(d.Payload, net.UDPAddrFromAddrPort(to)) // that was an ICMP error's
		}
		return
	}
	kind := byte(8)
	if to.Addr().Is6() {
		kind = 128
	}
	m := append([]byte{kind, 0, 0, 0, 0, 0}, binary.BigEndian.AppendUint16(nil, d.Seq)...)
	k.c.WriteTo(append(m, d.Payload...), &net.IPAddr{IP: to.Addr().AsSlice()})
}
