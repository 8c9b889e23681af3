package replay

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// plan says who is live, who is played, and with which addresses.
type plan struct {
	hosts         []*machine
	stations      []*machine
	conversations []planned
}

// machine is what has one port: the addresses that share a MAC in the capture.
type machine struct {
	mac   vswitch.MAC
	addrs []netip.Addr
	peers []netip.Addr // whom it talks to
	tags  []byte       // of its frames, if it is live

	behind *Outside // nil: it is a host, or a station
}

type planned struct {
	conv *Conversation
	live int // which end is
}

// plan sorts addresses and conversations.
func (e *engine) plan() (*plan, error) {
	p := &plan{}
	isLive := map[netip.Addr]bool{}
	for _, l := range e.o.Live {
		end := e.a.Endpoint(l.Addr)
		if end == nil {
			return nil, fmt.Errorf("%w: %v is not in %s (it has %s)", ErrNotInThere, l.Addr, e.a.Capture.Name, e.a.addresses())
		}
		if isLive[l.Addr] {
			return nil, fmt.Errorf("live address %v is given twice", l.Addr)
		}
		isLive[l.Addr] = true
		if l.Behind != nil { // whose MAC is its own
			p.hosts = append(p.hosts, &machine{mac: end.MAC, addrs: []netip.Addr{l.Addr}, behind: l.Behind})
			continue
		}
		p.hosts = group(p.hosts, end)
	}
	for _, addr := range e.o.Play {
		if e.a.Endpoint(addr) == nil {
			return nil, fmt.Errorf("%w: %v is not in %s (it has %s)", ErrNotInThere, addr, e.a.Capture.Name, e.a.addresses())
		}
		if isLive[addr] {
			return nil, fmt.Errorf("%v is to be live and played", addr)
		}
	}
	e.mtu = vswitch.DefaultMTU
	for _, c := range e.a.Conversations {
		a, b := isLive[c.Ends[0].Addr()], isLive[c.Ends[1].Addr()]
		switch {
		case !a && !b:
			e.report.NoneLive++
			continue
		case a != b && !e.playable(c.Ends[index(a)].Addr()):
			e.report.NotChosen++
			continue
		case c.Reason != "":
			e.report.Unplayable = append(e.report.Unplayable, c)
			continue
		case a && b:
			e.report.BothLive++
			p.acquaint(c.Ends[0].Addr(), c.Ends[1].Addr())
			p.acquaint(c.Ends[1].Addr(), c.Ends[0].Addr())
			continue
		}
		live := index(b)
		p.conversations = append(p.conversations, planned{c, live})
		other := c.Ends[1-live].Addr()
		p.stations = group(p.stations, e.a.Endpoint(other))
		p.acquaint(c.Ends[live].Addr(), other)
		e.mtu = max(e.mtu, c.mtu(live))
	}
	e.mtu = min(e.mtu, vswitch.MaxMTU)
	e.giveMACs(p)
	e.giveTags(p)
	return p, nil
}

// index returns 1 for true.
func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// playable reports whether an address may be played.
func (e *engine) playable(addr netip.Addr) bool {
	return len(e.o.Play) == 0 || slices.Contains(e.o.Play, addr)
}

// acquaint notes that a live address talks to another.
func (p *plan) acquaint(live, other netip.Addr) {
	for _, h := range p.hosts {
		if slices.Contains(h.addrs, live) && !slices.Contains(h.peers, other) {
			h.peers = append(h.peers, other)
		}
	}
}

// group adds an endpoint to the machine with its MAC, or to a new one.
func group(ms []*machine, e *Endpoint) []*machine {
	for _, m := range ms {
		if slices.Contains(m.addrs, e.Addr) {
			return ms
		}
		if m.mac == e.MAC && usable(e.MAC) && m.behind == nil {
			m.addrs = append(m.addrs, e.Addr)
			return ms
		}
	}
	return append(ms, &machine{mac: e.MAC, addrs: []netip.Addr{e.Addr}})
}

func usable(m vswitch.MAC) bool { return m != vswitch.MAC{} && !m.IsGroup() }

// giveMACs makes the machines' MACs usable and different.
func (e *engine) giveMACs(p *plan) {
	taken := map[vswitch.MAC]*machine{}
	for _, m := range slices.Concat(p.hosts, p.stations) {
		if m.behind != nil {
			continue // it has one
		}
		was := m.mac
		for salt := 0; !usable(m.mac) || taken[m.mac] != nil; salt++ {
			var b [8]byte
			binary.BigEndian.PutUint64(b[:], vswitch.Derive(e.o.Seed, "replay MAC", m.addrs[0].String(), fmt.Sprint(salt)))
			m.mac = vswitch.MAC(b[:6])
			m.mac[0] = m.mac[0]&^1 | 2 // unicast, locally administered
		}
		switch {
		case m.mac == was:
		case usable(was):
			e.report.note("%v plays with MAC %v: it shares %v with %v, which is live", m.addrs[0], m.mac, was, taken[was].addrs[0])
		default:
			e.report.note("%v has MAC %v: the capture gives none that can be used", m.addrs[0], m.mac)
		}
		taken[m.mac] = m
	}
}

func (a *Analysis) addresses() string {
	var s []string
	for i, e := range a.Endpoints {
		if i == 8 {
			s = append(s, "…")
			break
		}
		s = append(s, e.Addr.String())
	}
	return strings.Join(s, ", ")
}

// mtu is the MTU that a conversation needs: what the live end's MSS says, and
// what the played end's packets need unless TCP can cut them.
func (c *Conversation) mtu(live int) int {
	n := 0
	if c.Proto == TCP {
		head := 40
		if c.Ends[0].Addr().Is6() {
			head = 60
		}
		if o := c.Streams[live].syn; o != nil {
			n = o.MSS + head
		}
		return n
	}
	for _, d := range c.Datagrams {
		for _, f := range d.frames {
			n = max(n, f.IP.TotalLen)
		}
	}
	return n
}

// portName makes a port name of a role and an address.
func portName(role string, a netip.Addr) string {
	return role + "-" + strings.NewReplacer(":", "-", "%", ".").Replace(a.String())
}

// portConfig is a machine's port, without a name.
func (e *engine) portConfig(m *machine) vswitch.PortConfig {
	return vswitch.PortConfig{MAC: m.mac, MTU: min(e.mtu+e.tagRoom, vswitch.MaxMTU)}
}

func (e *engine) addHost(m *machine) error {
	cfg := vnetif.HostConfig{Name: portName("live", m.addrs[0]), Tags: m.tags, Port: e.portConfig(m)}
	for _, a := range m.addrs {
		cfg.Addrs = append(cfg.Addrs, network(a, m.peers))
	}
	// What an application sends beyond its networks goes to a peer, who does not
	// take it: so it is seen.
	for _, q := range m.peers {
		if !slices.ContainsFunc(cfg.Gateways, func(g netip.Addr) bool { return g.Is4() == q.Is4() }) {
			cfg.Gateways = append(cfg.Gateways, q)
		}
	}
	h, err := vnetif.NewHost(e.sw, cfg)
	if err != nil {
		return err
	}
	lh := &liveHost{Host: h, port: h.Port(), mac: m.mac, addrs: m.addrs, tags: m.tags}
	for _, a := range m.addrs {
		e.live[a] = lh
	}
	return nil
}

// network returns an address with the prefix of a network that all its peers
// are on, so that every one of them is a neighbour: at most a /24 or /64, and
// such that no address is the network's own or its broadcast address.
func network(a netip.Addr, peers []netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() {
		bits = 64
	}
	for ; bits > 0; bits-- {
		p := netip.PrefixFrom(a, bits).Masked()
		fits := !edge(p, a)
		for _, q := range peers {
			if q.Is4() == a.Is4() && (!p.Contains(q) || edge(p, q)) {
				fits = false
			}
		}
		if fits {
			break
		}
	}
	return netip.PrefixFrom(a, bits)
}

// edge reports whether a is the first or last address of an IPv4 network.
func edge(p netip.Prefix, a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	b := a.As4()
	host := binary.BigEndian.Uint32(b[:]) & (1<<(32-p.Bits()) - 1)
	return host == 0 || host == 1<<(32-p.Bits())-1
}

func (e *engine) addStation(m *machine) error {
	s := &station{e: e, mac: m.mac, addrs: m.addrs, peers: map[peerKey]frameTaker{}}
	cfg := e.portConfig(m)
	cfg.Name = portName("played", m.addrs[0])
	var err error
	if s.node, err = e.world.NewNode(cfg.Name); err != nil {
		return err
	}
	if s.port, err = e.sw.Connect(cfg, s); err != nil {
		return err
	}
	for _, a := range m.addrs {
		e.played[a] = s
	}
	return nil
}

// frameTaker is a peer as its station sees it.
type frameTaker interface {
	peer
	// take handles a frame of the live side. d and data are valid during the call.
	take(d *pcap.Decoded, data []byte)
}
