package replay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/filter"
	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// PortsBy says which port of the switch a frame is fed into.
type PortsBy uint8

// The ways.
const (
	// PortsAuto takes the ports of a recording of this program, and the source
	// addresses of any other capture. A capture that has one address on several
	// interfaces (a tap on both sides of a bridge, say) is [ErrAmbiguous]: it may
	// hold each frame twice.
	PortsAuto PortsBy = iota
	// PortsByMAC makes each source address a port.
	PortsByMAC
	// PortsByInterface makes each interface of the capture a port, for all frames
	// captured on it, in whichever direction.
	PortsByInterface
)

// PortRule feeds the frames that a filter matches into the port Name.
type PortRule struct {
	Name   string
	Filter *filter.Filter
}

// MaxFeedPorts bounds the ports of a feed: every broadcast goes to all of them.
const MaxFeedPorts = 1024

// ErrAmbiguous: it cannot be told which port a frame is to be fed into.
var ErrAmbiguous = errors.New("ambiguous port")

// feedPort is a port to be made.
type feedPort struct {
	cfg   vswitch.PortConfig
	first int // number of the first frame that enters here
}

// feedPlan says which ports there are, and which frame goes where.
type feedPlan struct {
	ports []*feedPort
	real  bool // time
	by    PortsBy
	rules []PortRule
	skip  map[vswitch.MAC]string // addresses whose frames are not fed, and why
	full  bool                   // a recording that has arrivals too
	known bool                   // all ports are
	all   *feedPort              // the one port of all frames; nil: there may be several

	byMAC  map[vswitch.MAC]int
	byIf   []int     // port of each interface, or -1
	start  time.Time // of the first frame
	mtu    int       // for ports of which the capture tells none
	hosts  []*feedHost
	addrs  map[netip.Addr]vswitch.MAC // of those that live hosts may look for
	ifaces []pcap.Interface
}

// planFeed reads the capture once.
func planFeed(open Source, o *FeedOptions) (*feedPlan, error) {
	p := &feedPlan{real: o.RealTime, by: o.Ports, rules: o.PortRules, mtu: o.MTU, byMAC: map[vswitch.MAC]int{}, skip: map[vswitch.MAC]string{},
		addrs: map[netip.Addr]vswitch.MAC{}}
	if o.toOne() {
		p.all = &feedPort{cfg: vswitch.PortConfig{Name: "feed", MTU: o.To[0].MTU}}
		p.ports, p.known = []*feedPort{p.all}, true
		p.name()
		return p, nil
	}
	if len(o.To) > 0 && p.mtu == 0 {
		p.mtu = slices.MinFunc(o.To, func(a, b FeedTo) int { return a.MTU - b.MTU }).MTU
	}
	if err := p.findHosts(open, o.Live); err != nil {
		return nil, err
	}
	limit := o.Limit
	if len(o.Faults) > 0 {
		limit = 0 // a frame that a rule refuses is none of them
	}
	f, err := NewFeeder(open, o.Pace, 1, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if p.by == PortsAuto && len(p.rules) == 0 {
		p.by = PortsByMAC
		if m, ok := f.r.Meta(); ok && (m.View == "wire" || m.View == "full") {
			p.by, p.full = PortsByInterface, m.View == "full"
		}
	}
	on := map[vswitch.MAC]*FeedFrame{} // the first frame of each source address
	var failed error
	auto := o.Ports == PortsAuto && p.by == PortsByMAC
	f.use = func(frame *FeedFrame) (int, string, bool) {
		for len(p.ifaces) <= frame.Interface {
			p.ifaces = append(p.ifaces, f.r.Interface(len(p.ifaces)))
		}
		src := vswitch.MAC(frame.Data[6:12])
		if auto {
			if was := on[src]; was == nil {
				on[src] = &FeedFrame{Number: frame.Number, Interface: frame.Interface}
			} else if was.Interface != frame.Interface && failed == nil {
				failed = fmt.Errorf("%w: %v sends on interface %s (frame %d) and on %s (frame %d): choose ports by mac or by interface",
					ErrAmbiguous, src, p.ifaceName(was.Interface), was.Number, p.ifaceName(frame.Interface), frame.Number)
			}
		}
		port, reason, choice, err := p.find(frame)
		if err != nil && failed == nil {
			failed = err
		}
		return port, reason, choice
	}
	for failed == nil {
		if _, err := f.Next(); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
	}
	if failed != nil {
		return nil, failed
	}
	p.start, p.known = f.first, true
	p.name()
	return p, nil
}

// port is what a feeder asks: where does this frame go?
func (p *feedPlan) port(frame *FeedFrame) (int, string, bool) {
	port, reason, choice, err := p.find(frame)
	if err != nil {
		reason = err.Error()
	}
	return port, reason, choice
}

// find is choose, and checks the frame's size.
func (p *feedPlan) find(frame *FeedFrame) (port int, reason string, choice bool, err error) {
	port, reason, choice, err = p.choose(frame)
	if err != nil || reason != "" {
		return port, reason, choice, err
	}
	most := p.ports[port].cfg.MTU
	if most == 0 {
		most = vswitch.DefaultMTU
	}
	size := len(frame.Data) - vswitch.HeaderLen
	if frame.Data[12] == 0x81 && frame.Data[13] == 0 {
		size -= 4 // a tag does not count, as at a port
	}
	if size > most {
		return 0, refusal(&vswitch.SizeError{MTU: most}), false, nil
	}
	return port, "", false, nil
}

// choose finds the port of a frame, or makes it; or it says why it has none, and
// whether that is by choice.
func (p *feedPlan) choose(frame *FeedFrame) (port int, reason string, choice bool, err error) {
	if p.all != nil {
		if p.all.first == 0 {
			p.all.first = frame.Number
		}
		return 0, "", false, nil
	}
	src := vswitch.MAC(frame.Data[6:12])
	if len(p.skip) > 0 && p.skip[src] != "" {
		return 0, p.skip[src], true, nil
	}
	if p.full && frame.Direction == pcap.Inbound {
		return 0, "an arrival, of a frame that is in the recording as it was sent", true, nil
	}
	switch {
	case len(p.rules) > 0:
		port, err = p.findRule(frame)
		if port < 0 {
			return 0, "no rule for a port is about it", true, nil
		}
		return port, "", false, err
	case p.by == PortsByInterface:
		for len(p.byIf) <= frame.Interface && !p.known {
			p.byIf = append(p.byIf, -1)
		}
		if len(p.byIf) <= frame.Interface {
			return 0, "", false, errChanged
		}
		if p.byIf[frame.Interface] < 0 {
			if p.known {
				return 0, "", false, errChanged
			}
			p.byIf[frame.Interface], err = p.add(frame, p.ofInterface(frame))
		}
		return p.byIf[frame.Interface], "", false, err
	case src.IsGroup():
		return 0, "from a group address, which can be no port's", false, nil
	}
	port, ok := p.byMAC[src]
	if !ok {
		if port, err = p.add(frame, vswitch.PortConfig{MAC: src}); err == nil {
			p.byMAC[src] = port
		}
	}
	return port, "", false, err
}

// findRule finds the port of the one rule that is about the frame; -1: none is.
func (p *feedPlan) findRule(frame *FeedFrame) (int, error) {
	found := -1
	for i := range p.rules {
		if !p.rules[i].Filter.Match(frame.Data) {
			continue
		}
		if found >= 0 && p.rules[i].Name != p.rules[found].Name {
			return 0, fmt.Errorf("%w: frame %d is for port %s (%s) and for port %s (%s)", ErrAmbiguous, frame.Number,
				p.rules[found].Name, p.rules[found].Filter, p.rules[i].Name, p.rules[i].Filter)
		}
		found = i
	}
	if found < 0 {
		return -1, nil
	}
	for i, port := range p.ports {
		if port.cfg.Name == p.rules[found].Name {
			return i, nil
		}
	}
	return p.add(frame, vswitch.PortConfig{Name: p.rules[found].Name})
}

var errChanged = errors.New("the capture has changed since it was opened")

// add plans one more port.
func (p *feedPlan) add(frame *FeedFrame, cfg vswitch.PortConfig) (int, error) {
	if p.known {
		return 0, errChanged
	}
	if len(p.ports) == MaxFeedPorts {
		return 0, fmt.Errorf("%w: frame %d would need one more than %d ports: choose ports by interface, or by rules",
			ErrAmbiguous, frame.Number, MaxFeedPorts)
	}
	if cfg.MTU == 0 || p.mtu != 0 {
		cfg.MTU = p.mtu
	}
	if cfg.MAC == (vswitch.MAC{}) {
		if src := vswitch.MAC(frame.Data[6:12]); usable(src) {
			cfg.MAC = src
		}
	}
	p.ports = append(p.ports, &feedPort{cfg: cfg, first: frame.Number})
	return len(p.ports) - 1, nil
}

// ofInterface is the port that an interface of the capture becomes; one of a
// recording's is what it was.
func (p *feedPlan) ofInterface(frame *FeedFrame) vswitch.PortConfig {
	ifc := &p.ifaces[frame.Interface]
	cfg := vswitch.PortConfig{Name: p.ifaceName(frame.Interface)}
	if ifc.IsPort {
		cfg.MAC, cfg.MTU = ifc.Port.MAC, ifc.Port.MTU
		if !p.real { // there the machine's own latency and speed are the cable's
			cfg.Latency, cfg.Rate, cfg.Queue = ifc.Port.Latency, ifc.Port.Rate, ifc.Port.Queue
		}
	}
	return cfg
}

// ifaceName is what an interface can be called, in a rule for one.
func (p *feedPlan) ifaceName(i int) string {
	if name := portText(p.ifaces[i].Name); name != "" {
		return name
	}
	return fmt.Sprintf("interface%d", i)
}

// portText makes what a port may be called of a stranger's text.
func portText(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '_'
	}, s)
	s = strings.TrimLeft(s, "._-")
	const most = 48 // leaves room for a number
	return s[:min(len(s), most)]
}

// name gives ports without a name that of their address, and makes names and
// addresses different.
func (p *feedPlan) name() {
	var names []string
	var macs []vswitch.MAC
	for _, h := range p.hosts {
		names, macs = append(names, h.name), append(macs, h.mac)
	}
	for _, port := range p.ports {
		c := &port.cfg
		if c.Name == "" {
			c.Name = "mac-" + strings.ReplaceAll(c.MAC.String(), ":", "-")
		}
		base := c.Name
		for n := 2; slices.Contains(names, c.Name); n++ {
			c.Name = fmt.Sprintf("%s-%d", base, n)
		}
		names = append(names, c.Name)
		// The switch learns what addresses send at a port; its own need not be one of them.
		for salt := uint64(0); !usable(c.MAC) || slices.Contains(macs, c.MAC); salt++ {
			c.MAC = derivedMAC(salt, "feed MAC", c.Name)
		}
		macs = append(macs, c.MAC)
	}
}

// derivedMAC is a unicast, locally administered address made of a name.
func derivedMAC(seed uint64, names ...string) vswitch.MAC {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], vswitch.Derive(seed, names...))
	b[0] = b[0]&^1 | 2
	return vswitch.MAC(b[:6])
}
