package replay

import (
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// FeedLive is an address of the capture that gets a real stack.
type FeedLive struct {
	Addr netip.Addr
	// App is its application; with nil the stack answers alone: ARP, pings,
	// resets.
	App App
}

// feedHost is a live host to be made.
type feedHost struct {
	FeedLive
	name  string
	mac   vswitch.MAC
	peers []netip.Addr // that send to it
}

// prefixes are the host's address with a network that all its peers are on.
func (h *feedHost) prefixes() []netip.Prefix {
	return []netip.Prefix{network(h.Addr, h.peers)}
}

// findHosts reads the capture for the live addresses' MACs and peers. What a live
// address's MAC sends is not fed, whichever address it has.
func (p *feedPlan) findHosts(open Source, live []FeedLive) error {
	if len(live) == 0 {
		return nil
	}
	for _, l := range live {
		if slices.ContainsFunc(p.hosts, func(h *feedHost) bool { return h.Addr == l.Addr }) {
			return fmt.Errorf("live address %v is given twice", l.Addr)
		}
		p.hosts = append(p.hosts, &feedHost{FeedLive: l, name: portName("live", l.Addr)})
	}
	f, err := NewFeeder(open, Pace{}, 1, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		frame, err := f.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		p.learn(pcap.Decode(frame.Data))
	}
	for _, h := range p.hosts {
		if h.mac == (vswitch.MAC{}) {
			return fmt.Errorf("%w: no Ethernet frame is from %v", ErrNotInThere, h.Addr)
		}
		if p.skip[h.mac] != "" {
			return fmt.Errorf("%v and another live address share %v: make one of them live", h.Addr, h.mac)
		}
		p.skip[h.mac] = fmt.Sprintf("from %v, which is live", h.Addr)
	}
	return nil
}

// learn takes from a frame what it tells of live addresses and of whom they may
// look for.
func (p *feedPlan) learn(d *pcap.Decoded) {
	var src, dst netip.Addr
	switch {
	case d.ARP != nil:
		src, dst = d.ARP.SenderIP, d.ARP.TargetIP
	case d.IP != nil:
		src, dst = d.IP.Src, d.IP.Dst
	}
	if src.IsValid() && !src.IsUnspecified() && usable(d.Src) {
		if _, known := p.addrs[src]; !known && len(p.addrs) < maxNeighbours {
			p.addrs[src] = d.Src
		}
	}
	for _, h := range p.hosts {
		if src == h.Addr && h.mac == (vswitch.MAC{}) && usable(d.Src) {
			h.mac = d.Src
		}
		if dst == h.Addr && src.IsValid() && !src.IsUnspecified() && len(h.peers) < maxNeighbours && !slices.Contains(h.peers, src) {
			h.peers = append(h.peers, src)
		}
	}
}

// maxNeighbours bounds the addresses that are remembered for live hosts.
const maxNeighbours = 4096

// answer lets a raw interface say where an address is that it is sending from: a
// live host could not answer to it otherwise.
func (r *feed) answer(port int, raw *vnetif.Raw) {
	raw.SetListen(func(data []byte) {
		d := pcap.Decode(data)
		var target netip.Addr
		switch {
		case d.ARP != nil && d.ARP.Operation == 1:
			target = d.ARP.TargetIP
		case d.ICMP != nil && d.ICMP.Version == 6 && d.ICMP.Type == 135:
			target = d.ICMP.Target
		}
		mac, known := r.plan.addrs[target]
		at, here := r.plan.byMAC[mac]
		if !known || r.plan.skip[mac] != "" || here && at != port || !here && r.plan.ports[port].cfg.MAC != mac {
			return
		}
		var reply []byte
		var err error
		if d.ARP != nil {
			reply, err = pcap.BuildARPReply(d.ARP, mac)
		} else {
			reply, err = pcap.BuildNeighborAdvertisement(d, mac)
		}
		if err == nil && raw.WriteFrame(reply) == nil {
			r.fed.Answers++
		}
	})
}
