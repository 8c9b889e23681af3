package replay

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// station is a played machine: one port with a MAC and addresses. It answers ARP
// and neighbour solicitations for them and hands frames to its peers.
type station struct {
	e     *engine
	node  *vswitch.Node
	port  *vswitch.Port
	mac   vswitch.MAC
	addrs []netip.Addr
	parts reassembler

	// Frames sent, those of them that entered the switch, and which ones to note
	// the numbers of.
	sent, seen int
	failed     bool // to send one
	marked     []int

	peers map[peerKey]frameTaker
	// waiting are the peers whose live end opens, until it does, in the order of
	// the capture.
	waiting []frameTaker
}

// peerKey finds the peer of a frame that the live side sent.
type peerKey struct {
	proto        Proto
	local, liveP netip.AddrPort // local is the played end; echo's port is the identifier
}

var _ vswitch.Endpoint = (*station)(nil)

// Deliver implements vswitch.Endpoint.
func (s *station) Deliver(data []byte) {
	if !s.e.enter() {
		return
	}
	defer s.e.leave()
	s.e.current = data
	defer func() { s.e.current = nil }()
	d := pcap.Decode(data)
	switch {
	case d.ARP != nil:
		s.e.learn(d.ARP.SenderIP, d.ARP.SenderMAC)
		if d.ARP.Operation == 1 && slices.Contains(s.addrs, d.ARP.TargetIP) {
			if f, err := pcap.BuildARPReply(d.ARP, s.mac); err == nil {
				s.send(f)
			}
		}
		return
	case d.IP == nil || d.Problem != "":
		return
	case d.ICMP != nil && d.ICMP.Version == 6 && d.ICMP.Type == 136:
		s.e.learn(d.ICMP.Target, d.Src)
		return
	case d.ICMP != nil && d.ICMP.Version == 6 && d.ICMP.Type == 135:
		s.e.learn(d.IP.Src, d.Src)
		if slices.Contains(s.addrs, d.ICMP.Target) {
			if f, err := pcap.BuildNeighborAdvertisement(d, s.mac); err == nil {
				s.send(f)
			}
		}
		return
	case !slices.Contains(s.addrs, d.IP.Dst) || s.e.live[d.IP.Src] == nil:
		return
	}
	if d.TransportChecksum(data) == pcap.SumBad || d.IPChecksum(data) == pcap.SumBad {
		s.e.report.count("live-checksum")
		return
	}
	if d.IP.IsFragment() {
		whole := s.parts.add(d.IP, data[d.IP.Offset+d.IP.HeaderLen:d.PayloadOffset+len(d.Payload)], nil)
		if whole == nil {
			return
		}
		d = pcap.DecodeDatagram(whole.head, whole.data)
	}
	switch {
	case d.TCP != nil:
		s.dispatch(TCP, netip.AddrPortFrom(d.IP.Dst, d.TCP.DstPort), netip.AddrPortFrom(d.IP.Src, d.TCP.SrcPort), d, data)
	case d.UDP != nil:
		s.dispatch(UDP, netip.AddrPortFrom(d.IP.Dst, d.UDP.DstPort), netip.AddrPortFrom(d.IP.Src, d.UDP.SrcPort), d, data)
	case d.ICMP != nil && (d.ICMP.EchoRequest() || d.ICMP.EchoReply()):
		s.dispatch(Echo, netip.AddrPortFrom(d.IP.Dst, d.ICMP.ID), netip.AddrPortFrom(d.IP.Src, d.ICMP.ID), d, data)
	case d.ICMP != nil && isPortUnreachable(d.ICMP):
		in := pcap.DecodeLink(pcap.LinkRaw, d.Payload)
		if in.UDP != nil {
			key := peerKey{UDP, netip.AddrPortFrom(in.IP.Src, in.UDP.SrcPort), netip.AddrPortFrom(in.IP.Dst, in.UDP.DstPort)}
			if p := s.peers[key]; p != nil {
				p.take(d, data)
			}
		}
	}
}

// put puts a frame on the cable as it is.
func (s *station) put(frame []byte) {
	switch err := s.port.Send(frame); {
	case err == nil:
		s.sent++
	case !errors.Is(err, net.ErrClosed) && !s.failed:
		// Silence would pass for a captured frame.
		s.failed = true
		s.e.report.diverge(s.e, &Divergence{Kind: "harness", Offset: -1, From: netip.AddrPortFrom(s.addrs[0], 0),
			Text: fmt.Sprintf("a frame of the played side could not be sent: %v", err)})
	}
}

// mark notes that the frame sent last is not of the capture.
func (s *station) mark() { s.marked = append(s.marked, s.sent) }

// entered is told the number of each frame as it enters the switch, in order.
func (s *station) entered(number uint64) {
	s.seen++
	if len(s.marked) > 0 && s.marked[0] == s.seen {
		s.marked = s.marked[1:]
		s.e.report.SyntheticFrames = append(s.e.report.SyntheticFrames, number)
	}
}

// dispatch hands a frame to the peer it is for.
func (s *station) dispatch(proto Proto, local, live netip.AddrPort, d *pcap.Decoded, data []byte) {
	key := peerKey{proto, local, live}
	p := s.peers[key]
	opens := proto != TCP || d.TCP.Flags&(pcap.SYN|pcap.ACK|pcap.RST) == pcap.SYN
	if proto == Echo && d.ICMP.EchoReply() {
		opens = false
	}
	if opens && (p == nil || proto == TCP && p.conversation().done) {
		if q := s.match(key, d); q != nil {
			p = q
			s.peers[key] = p
			c := p.conversation()
			if live != c.remote {
				c.e.report.count(map[Proto]string{TCP: "ephemeral-port", UDP: "ephemeral-port", Echo: "echo-id"}[proto])
				c.remote = live
			}
		}
	}
	if p == nil {
		s.unexpected(proto, local, live, d)
		return
	}
	s.e.frame(p.conversation(), d, data)
	p.take(d, data)
}

// match takes the waiting peer that a first frame of the live side belongs to:
// one with the captured port, else one whose first datagram is the same, else
// the first in the order of the capture.
func (s *station) match(key peerKey, d *pcap.Decoded) frameTaker {
	best, rank, first := -1, 0, -1
	for i, p := range s.waiting {
		c := p.conversation()
		if c.Proto != key.proto || c.remote.Addr() != key.liveP.Addr() || c.local.Addr() != key.local.Addr() ||
			c.Proto != Echo && c.local.Port() != key.local.Port() {
			continue
		}
		r := 1
		if first < 0 {
			first = i
		}
		switch {
		case c.remote.Port() == key.liveP.Port():
			r = 3
		case c.Proto != TCP && bytes.Equal(c.Datagrams[0].Payload, d.Payload):
			r = 2
		}
		if r > rank {
			best, rank = i, r
		}
	}
	if best < 0 {
		return nil
	}
	if best != first {
		s.e.report.count("open-order")
	}
	p := s.waiting[best]
	s.waiting = slices.Delete(s.waiting, best, best+1)
	return p
}

// unexpected reports what belongs to no conversation of the capture.
func (s *station) unexpected(proto Proto, local, live netip.AddrPort, d *pcap.Decoded) {
	div := &Divergence{Kind: "unexpected", Offset: -1, From: live, To: local}
	switch {
	case proto == TCP && d.TCP.Flags.Has(pcap.RST):
		return
	case proto == TCP && d.TCP.Flags&(pcap.SYN|pcap.ACK) == pcap.SYN:
		div.Text = "the live side opened a connection that the capture does not have (any more)"
	case proto == TCP:
		return // of a connection that is over
	case proto == UDP:
		div.Text, div.Actual = "the live side sent a datagram that the capture does not have", slices.Clone(d.Payload)
	default:
		div.Text = "the live side sent an echo message that the capture does not have"
	}
	s.e.report.diverge(s.e, div)
	if proto == TCP {
		reset, err := pcap.BuildTCP(pcap.Segment{
			DstMAC: s.e.live[live.Addr()].mac, SrcMAC: s.mac, Src: local, Dst: live,
			Ack: d.TCP.Seq + 1, Flags: pcap.RST | pcap.ACK,
		})
		if err == nil {
			s.send(reset)
		}
	}
}
