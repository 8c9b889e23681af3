package replay

import (
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/vnreplay/vnreplay/pcap"
)

// Other is what came from a port outside and belongs to no conversation: a kernel also
// looks for routers, announces its groups, and has programs that want something of
// their own.
type Other struct {
	What string
	N    int
	// First are the numbers of the first few in a recording.
	First []uint64
}

// maxOthers bounds the kinds that are told apart.
const maxOthers = 64

// belongs reports whether a frame from outside is part of what is played: to a played
// address from a live one, or about where these are.
func (w *watcher) belongs(d *pcap.Decoded) bool {
	switch {
	case d.ARP != nil:
		return w.e.played[d.ARP.TargetIP] != nil && w.e.live[d.ARP.SenderIP] != nil
	case d.IP == nil:
		return false
	case d.ICMP != nil && d.ICMP.Version == 6 && (d.ICMP.Type == 135 || d.ICMP.Type == 136):
		return w.e.played[d.ICMP.Target] != nil || d.ICMP.Type == 136 && w.e.live[d.ICMP.Target] != nil
	}
	return w.e.played[d.IP.Dst] != nil && w.e.live[d.IP.Src] != nil
}

// other counts a frame that does not belong.
func (r *Report) other(d *pcap.Decoded, number uint64) {
	what := otherName(d)
	for i := range r.Other {
		if r.Other[i].What != what && (r.Other[i].What != more || len(r.Other) < maxOthers) {
			continue
		}
		o := &r.Other[i]
		if o.N++; len(o.First) < maxFrames {
			o.First = append(o.First, number)
		}
		return
	}
	if len(r.Other) == maxOthers-1 {
		what = more
	}
	r.Other = append(r.Other, Other{what, 1, []uint64{number}})
}

// more is the kind of those beyond maxOthers.
const more = "more kinds"

// services are what well-known ports of UDP are for, among what a host says unasked.
var services = map[uint16]string{
	67: "DHCP", 68: "DHCP", 137: "NetBIOS", 138: "NetBIOS", 546: "DHCPv6", 547: "DHCPv6",
	1900: "SSDP", 5353: "mDNS", 5355: "LLMNR",
}

// otherName says in a few words what a frame is.
func otherName(d *pcap.Decoded) string {
	switch {
	case d.ARP != nil && d.ARP.Operation == 1:
		return fmt.Sprintf("ARP for %v", d.ARP.TargetIP)
	case d.ARP != nil:
		return "ARP reply"
	case d.IP == nil && d.Problem != "":
		return "damaged"
	case d.IP == nil:
		return fmt.Sprintf("EtherType 0x%04x", d.EtherType)
	case d.IP.Protocol == 2:
		return "IGMP"
	case d.ICMP != nil && d.ICMP.Version == 6:
		switch d.ICMP.Type {
		case 130, 131, 132, 143:
			return "MLD"
		case 133:
			return "router solicitation"
		case 134:
			return "router advertisement"
		case 135:
			return fmt.Sprintf("neighbour solicitation for %v", d.ICMP.Target)
		case 136:
			return "neighbour advertisement"
		}
		return fmt.Sprintf("ICMPv6 type %d to %v", d.ICMP.Type, d.IP.Dst)
	case d.ICMP != nil:
		return fmt.Sprintf("ICMP type %d to %v", d.ICMP.Type, d.IP.Dst)
	case d.UDP != nil && services[d.UDP.DstPort] != "":
		return services[d.UDP.DstPort]
	case d.UDP != nil:
		return fmt.Sprintf("UDP to %v", netip.AddrPortFrom(d.IP.Dst, d.UDP.DstPort))
	case d.TCP != nil:
		return fmt.Sprintf("TCP to %v", netip.AddrPortFrom(d.IP.Dst, d.TCP.DstPort))
	}
	return fmt.Sprintf("IP protocol %d to %v", d.IP.Protocol, d.IP.Dst)
}

// printOther says what else came from outside, in a line.
func (r *Report) printOther(p *printer) {
	if len(r.Other) == 0 {
		return
	}
	total, kinds := 0, []string{}
	for _, o := range r.Other {
		total += o.N
		kinds = append(kinds, fmt.Sprintf("%s %d", o.What, o.N))
	}
	if n := max(p.most, 1); len(kinds) > n {
		kinds = append(kinds[:n:n], fmt.Sprintf("and %d more kinds", len(kinds)-n))
	}
	p.line("other: %s from outside in no conversation: %s", count(total, "frame"), strings.Join(kinds, ", "))
}

// PrintOther writes what came from outside and belongs to no conversation, a line for
// each kind, with the numbers that the first few frames have in a recording.
func (r *Report) PrintOther(w io.Writer) error {
	p := &printer{}
	for _, o := range r.Other {
		var at []string
		for _, n := range o.First {
			at = append(at, fmt.Sprint(n))
		}
		if o.N > len(at) {
			at = append(at, "...")
		}
		p.line("other: %s: %s (%s)", o.What, count(o.N, "frame"), strings.Join(at, ", "))
	}
	if len(p.lines) == 0 {
		return nil
	}
	_, err := io.WriteString(w, strings.Join(p.lines, "\n")+"\n")
	return err
}
