package replay

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// maxStrays bounds how many different things to foreign addresses are reported.
const maxStrays = 32

// watcher sees every frame as it enters the switch. What live hosts send to
// addresses that nobody plays never reaches a station, or concerns none: the
// watcher holds it against the capture. It learns the numbers that frames of
// stations get in a recording, and remembers for each pair of ends what passed
// lately. As a rule it changes nothing.
type watcher struct {
	e        *engine
	hosts    map[*vswitch.Port]*liveHost
	outside  map[*vswitch.Port]*outPort
	stations map[*vswitch.Port]*station
	shown    map[stray]bool      // what live addresses send in the capture
	sought   map[netip.Addr]bool // whom they send to or look for there
	reported map[stray]bool
	trails   map[peerKey]*trail
}

// stray is what a live address sends, for comparison; ports that the sender
// chose itself do not count.
type stray struct {
	src   netip.Addr
	proto uint8
	dst   netip.AddrPort
}

func (e *engine) watch() {
	w := &watcher{e: e, hosts: map[*vswitch.Port]*liveHost{}, outside: map[*vswitch.Port]*outPort{}, stations: map[*vswitch.Port]*station{},
		shown: map[stray]bool{}, sought: map[netip.Addr]bool{}, reported: map[stray]bool{}, trails: map[peerKey]*trail{}}
	for _, h := range e.live {
		w.hosts[h.port] = h
		if h.out != nil {
			w.outside[h.port] = h.out
		}
	}
	for _, s := range e.played {
		w.stations[s.port] = s
	}
	for _, f := range e.a.Capture.Frames {
		switch {
		case f.ARP != nil && e.live[f.ARP.SenderIP] != nil:
			w.sought[f.ARP.TargetIP] = true
		case f.IP != nil && e.live[f.IP.Src] != nil:
			w.sought[f.IP.Dst] = true
			w.shown[strayOf(f.Decoded)] = true
			if f.ICMP != nil && f.ICMP.Target.IsValid() {
				w.sought[f.ICMP.Target] = true
			}
		}
	}
	e.watcher = w
	e.sw.AddRule("watch", vswitch.RuleFunc(w.judge))
}

// judge implements vswitch.Rule.
func (w *watcher) judge(f *vswitch.Frame, to *vswitch.Port) (none vswitch.Verdict) {
	if to != nil {
		return none
	}
	if at := w.e.sinceStart(); w.e.real {
		w.e.turn.glimpsed(f, at)
	} else {
		w.see(f.From, f.Seq, at, f.Data)
	}
	return none
}

// see looks at a frame that entered the switch.
func (w *watcher) see(from *vswitch.Port, number uint64, at time.Duration, data []byte) {
	d := pcap.Decode(data)
	s, live, out := w.stations[from], w.hosts[from] != nil, w.outside[from]
	if t := w.trailOf(d, live); t != nil {
		t.see(d, sighting{number: number, at: at, live: live}, data)
	}
	switch {
	case s != nil:
		s.entered(number)
	case out != nil:
		if out.heard++; !w.belongs(d) {
			w.e.report.other(d, number)
		}
	case live:
		before := w.e.current
		w.e.current = data
		w.live(d)
		w.e.current = before
	}
}

func strayOf(d *pcap.Decoded) stray {
	k := stray{d.IP.Src, d.IP.Protocol, netip.AddrPortFrom(d.IP.Dst, 0)}
	switch {
	case d.TCP != nil:
		k.dst = netip.AddrPortFrom(d.IP.Dst, d.TCP.DstPort)
	case d.UDP != nil:
		k.dst = netip.AddrPortFrom(d.IP.Dst, d.UDP.DstPort)
	}
	return k
}

// live looks at a frame of a live host.
func (w *watcher) live(d *pcap.Decoded) {
	switch {
	case d.ARP != nil:
		if d.ARP.Operation == 1 {
			w.seeks(d.ARP.SenderIP, d.ARP.TargetIP)
		}
	case d.IP == nil || d.Problem != "":
	case d.ICMP != nil && d.ICMP.Version == 6 && d.ICMP.Type == 135:
		w.seeks(d.IP.Src, d.ICMP.Target)
	case housekeeping(d) || w.e.played[d.IP.Dst] != nil || w.e.live[d.IP.Dst] != nil || d.IP.FragOffset > 0:
	default:
		k := strayOf(d)
		if w.shown[k] {
			return
		}
		div := &Divergence{From: netip.AddrPortFrom(k.src, 0), To: k.dst}
		switch {
		case d.TCP != nil:
			div.From = netip.AddrPortFrom(k.src, d.TCP.SrcPort)
			div.Text = fmt.Sprintf("the live side sent a TCP segment to %v, which it does not in the capture", k.dst)
			if d.TCP.Flags.Has(pcap.SYN) {
				div.Text = fmt.Sprintf("the live side opened a connection to %v, which the capture does not have", k.dst)
			}
		case d.UDP != nil:
			div.From, div.Actual = netip.AddrPortFrom(k.src, d.UDP.SrcPort), bytes.Clone(d.Payload)
			div.Text = fmt.Sprintf("the live side sent a datagram to %v, which the capture does not have", k.dst)
		default:
			div.Text = fmt.Sprintf("the live side sent a packet of IP protocol %d to %v, which the capture does not have", k.proto, k.dst.Addr())
		}
		w.report(k, div)
	}
}

// housekeeping reports whether a packet is one of those by which a host keeps its
// place in the network: MLD and neighbour discovery (RFC 2710, 3810, 4861), IGMP.
func housekeeping(d *pcap.Decoded) bool {
	const igmp = 2
	return d.IP.Protocol == igmp || d.ICMP != nil && d.ICMP.Version == 6 &&
		(d.ICMP.Type >= 130 && d.ICMP.Type <= 137 || d.ICMP.Type == 143)
}

// seeks handles that a live host wants the MAC of an address: it is about to send
// to it.
func (w *watcher) seeks(src, target netip.Addr) {
	if w.e.played[target] != nil || w.e.live[target] != nil || w.sought[target] {
		return
	}
	w.report(stray{src, 0, netip.AddrPortFrom(target, 0)}, &Divergence{From: netip.AddrPortFrom(src, 0),
		Text: fmt.Sprintf("the live side looks for %v to send to it, which it does not in the capture", target)})
}

func (w *watcher) report(k stray, d *Divergence) {
	if w.reported[k] || len(w.reported) == maxStrays {
		return
	}
	w.reported[k] = true
	d.Kind, d.Offset = "unexpected", -1
	w.e.report.diverge(w.e, d)
}
