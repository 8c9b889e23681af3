package replay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Outside is a port behind which live addresses are that this program does not give a
// stack: those of a kernel, a virtual machine, another machine. With one, a replay is in
// real time.
type Outside struct {
	// Name is what reports call it, such as tap:vnr0.
	Name string
	// Connect plugs it into the switch. The port's address and MTU are for Connect to
	// know. The port is closed when the replay is over; what is behind it is the caller's.
	Connect func(sw *vswitch.Switch, cfg vswitch.PortConfig) (*vswitch.Port, error)
}

// How live addresses behind a port are looked for, in real time.
const (
	// AskFor is how long they have to answer ARP or neighbour discovery.
	AskFor   = 5 * time.Second
	askEvery = 250 * time.Millisecond
)

// ErrNoAnswer: nobody behind a port has a live address. Compare with [errors.Is].
var ErrNoAnswer = errors.New("nobody answers")

// outPort is a port of an [Outside] in a replay.
type outPort struct {
	*Outside
	port  *vswitch.Port
	heard uint64 // frames that came in
}

// addOutside makes a live address that is behind a port.
func (e *engine) addOutside(m *machine) error {
	out := e.outside[m.behind]
	if out == nil {
		out = &outPort{Outside: m.behind}
		var err error
		if out.port, err = m.behind.Connect(e.sw, vswitch.PortConfig{Name: portName("live", m.addrs[0])}); err != nil {
			return err
		}
		e.outside[m.behind], e.outPorts = out, append(e.outPorts, out)
	}
	h := &liveHost{port: out.port, out: out, addrs: m.addrs, tags: m.tags}
	for _, a := range m.addrs {
		e.live[a] = h
	}
	e.awaited = append(e.awaited, h)
	return nil
}

// find learns the MACs of the live addresses outside, as neighbours do: it asks, until
// all have answered. It is called before anything is played.
func (e *engine) find(ctx context.Context) error {
	over := time.Now().Add(AskFor)
	for {
		if !e.enter() {
			return nil
		}
		missing := e.unfound()
		late := missing != nil && !time.Now().Before(over)
		var err error
		if late {
			err = e.nobody(missing)
		} else {
			e.ask()
		}
		e.leave()
		if missing == nil || err != nil {
			return err
		}
		select {
		case <-e.found:
		case <-time.After(askEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// unfound returns the first live address that has not answered, or nil.
func (e *engine) unfound() *liveHost {
	for _, h := range e.awaited {
		if !usable(h.mac) {
			return h
		}
	}
	return nil
}

// ask sends one question for each live address that has not answered, from a played
// one that talks to it.
func (e *engine) ask() {
	for _, h := range e.awaited {
		if usable(h.mac) {
			continue
		}
		if p := e.playedTo(h); p != nil {
			build := pcap.BuildARPRequest
			if h.addrs[0].Is6() {
				build = pcap.BuildNeighborSolicitation
			}
			frame, err := build(p.st.mac, p.local.Addr(), h.addrs[0])
			if err == nil {
				p.st.put(withTags(frame, h.tags))
			}
		}
	}
}

// playedTo returns a conversation that is played to a live address.
func (e *engine) playedTo(h *liveHost) *Played {
	for _, p := range e.report.Conversations {
		if p.host == h {
			return p
		}
	}
	return nil
}

// learn takes the MAC of a live address outside from what it says in ARP or neighbour
// discovery.
func (e *engine) learn(addr netip.Addr, mac vswitch.MAC) {
	h := e.live[addr]
	if h == nil || h.out == nil || !usable(mac) {
		return
	}
	h.mac = mac
	if len(h.tags) > 0 {
		e.tags[mac] = h.tags
	}
	if e.unfound() == nil {
		select {
		case e.found <- struct{}{}:
		default:
		}
	}
}

// nobody says that a live address did not answer, and what to look at.
func (e *engine) nobody(h *liveHost) error {
	addr, out := h.addrs[0], h.out
	how, bits := "ARP", 24
	if addr.Is6() {
		how, bits = "neighbour discovery", 64
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v behind %s: %%w: no reply to %s in %v", addr, out.Name, how, AskFor)
	if len(h.tags) > 0 {
		b.WriteString(", asked with the VLAN tags of the capture")
	}
	from := "a played address"
	if p := e.playedTo(h); p != nil {
		from = p.local.Addr().String()
	}
	if out.heard == 0 {
		fmt.Fprintf(&b, "; nothing at all came from there: is the interface up? (ip link set dev IFACE up)")
	} else {
		fmt.Fprintf(&b, "; %s came from there: does its interface have the address, and is %s on its network? (ip addr add %v/%d dev IFACE; ip route get %s)",
			count(int(out.heard), "other frame"), from, addr, bits, from)
	}
	return fmt.Errorf(b.String(), ErrNoAnswer)
}

// lost notes what a port outside did not take.
func (r *Report) lost(e *engine) {
	for _, out := range e.outPorts {
		c := out.port.Counters()
		for cause, n := range c.RxLost {
			if n > 0 {
				r.note("%s to %s lost: %v", count(int(n), "frame"), out.Name, vswitch.Loss(cause))
			}
		}
	}
}
