package replay_test

import (
	"encoding/binary"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

type frameRule func(d *pcap.Decoded, f *vswitch.Frame) vswitch.Verdict

// sent makes a wire that acts on what the live side sends.
func sent(f func() frameRule) func() wire { return func() wire { return wire{sent: f()} } }

// always is a rule without memory.
func always(f frameRule) func() frameRule { return func() frameRule { return f } }

// nth acts on the n-th frame, from 1, for which is holds.
func nth(n int, is func(d *pcap.Decoded) bool, act frameRule) func() frameRule {
	return func() frameRule {
		seen := 0
		return func(d *pcap.Decoded, f *vswitch.Frame) (v vswitch.Verdict) {
			if is(d) {
				if seen++; seen == n {
					return act(d, f)
				}
			}
			return v
		}
	}
}

func drop(*pcap.Decoded, *vswitch.Frame) vswitch.Verdict { return vswitch.Verdict{Drop: true} }

// every acts on all frames for which is holds.
func every(is func(d *pcap.Decoded) bool, act frameRule) func() frameRule {
	return always(func(d *pcap.Decoded, f *vswitch.Frame) (v vswitch.Verdict) {
		if is(d) {
			return act(d, f)
		}
		return v
	})
}

// edits makes a rule that changes a packet.
func edits(change func(ip, transport []byte)) frameRule {
	return func(d *pcap.Decoded, f *vswitch.Frame) vswitch.Verdict {
		return vswitch.Verdict{Edits: rewritten(d, f, change)}
	}
}

func anyIP(d *pcap.Decoded) bool   { return d.IP.Version == 4 && !d.IP.IsFragment() }
func hasData(d *pcap.Decoded) bool { return d.TCP != nil && len(d.Payload) > 0 }
func isFIN(d *pcap.Decoded) bool   { return d.TCP != nil && d.TCP.Flags.Has(pcap.FIN) }
func isSYN(d *pcap.Decoded) bool   { return d.TCP != nil && d.TCP.Flags.Has(pcap.SYN) }
func isAck(d *pcap.Decoded) bool {
	return d.TCP != nil && len(d.Payload) == 0 && d.TCP.Flags == pcap.ACK
}
func isUDP(d *pcap.Decoded) bool    { return d.UDP != nil && !d.IP.IsFragment() }
func isICMP(d *pcap.Decoded) bool   { return d.ICMP != nil }
func isTCP(d *pcap.Decoded) bool    { return d.TCP != nil }
func isEcho(d *pcap.Decoded) bool   { return d.ICMP != nil && !d.IP.IsFragment() && d.IP.Version == 4 }
func isTooBig(d *pcap.Decoded) bool { return d.ICMP != nil && d.ICMP.Type == 3 && d.ICMP.Code == 4 }

// again acts on segments that bring no bytes beyond those sent before.
func again(act frameRule) func() frameRule {
	return func() frameRule {
		high, any := uint32(0), false
		return func(d *pcap.Decoded, f *vswitch.Frame) (v vswitch.Verdict) {
			if !hasData(d) {
				return v
			}
			end := d.TCP.Seq + uint32(len(d.Payload))
			if any && int32(end-high) <= 0 {
				return act(d, f)
			}
			high, any = end, true
			return v
		}
	}
}

// blank replaces options of a SYN by no-operations.
func blank(kinds ...byte) frameRule {
	return edits(func(_, tcp []byte) {
		for at := 20; at < int(tcp[12]>>4)*4 && tcp[at] != 0; {
			if tcp[at] == 1 {
				at++
				continue
			}
			n := int(tcp[at+1])
			for _, k := range kinds {
				if tcp[at] == k {
					for i := range n {
						tcp[at+i] = 1
					}
					break
				}
			}
			at += n
		}
	})
}

// stackMutations are transcripts over stacks that differ, on the wire, from what
// they are.
func stackMutations(bases map[string]*replay.Analysis) []mutation {
	const s, c = "10.77.0.2", "10.77.0.1"
	late := func(d time.Duration) frameRule {
		return func(*pcap.Decoded, *vswitch.Frame) vswitch.Verdict { return vswitch.Verdict{Delay: d} }
	}
	twice := func(*pcap.Decoded, *vswitch.Frame) vswitch.Verdict {
		return vswitch.Verdict{Copies: 1, Gap: 20 * ms}
	}
	seed := func(n uint64) func(o *replay.Options) { return func(o *replay.Options) { o.Seed = n } }
	got := func(f func() frameRule) func() wire { return func() wire { return wire{got: f()} } }
	flipped := func(ip, transport []byte) { transport[len(transport)-1] ^= 1 }
	return []mutation{
		{base: "02a.b", live: s, name: "a stack that never retransmits", wire: sent(again(drop)), want: "missing"},
		{base: "01", live: s, name: "a stack that sends everything twice", wire: sent(every(hasData, twice)), want: "retransmits"},
		{base: "02a.b", live: s, name: "a stack that retransmits other bytes", wire: sent(again(edits(flipped))), want: "bytes"},
		{base: "01", live: s, name: "a stack that loses its FIN", wire: sent(every(isFIN, drop)), want: "missing"},
		{base: "01", live: s, name: "a stack that says RST for FIN", wire: sent(every(isFIN, edits(func(_, tcp []byte) { tcp[13] = tcp[13]&^1 | 4 }))), want: "reset"},
		{base: "01", live: s, name: "a stack that never answers a SYN", wire: sent(every(isSYN, drop)), want: "missing"},
		{base: "01", live: c, name: "a stack that never acknowledges", wire: sent(every(isAck, drop)), want: "missing"},
		{base: "01", live: s, name: "a stack with wrong checksums", wire: sent(every(isTCP, func(d *pcap.Decoded, f *vswitch.Frame) vswitch.Verdict {
			at := d.TCP.Offset + 16
			return vswitch.Verdict{Edits: []vswitch.Edit{{Offset: at, Old: f.Data[at : at+1], New: []byte{f.Data[at] ^ 1}}}}
		})), want: "missing"},
		{base: "01", live: s, name: "a stack that flips a bit", wire: sent(nth(30, hasData, edits(flipped))), want: "bytes"},
		{base: "10", live: c, name: "a stack that sends old bytes as new", wire: sent(nth(5, hasData, edits(func(_, tcp []byte) { tcp[len(tcp)-1] = 'l' }))), want: "bytes"},
		{base: "narrow", live: "10.0.0.1", name: "a stack that is deaf to path MTU", wire: got(every(isTooBig, drop)), want: "missing"},
		{base: "06", live: s, name: "an answer lost", wire: sent(nth(3, isUDP, drop)), want: "missing"},
		{base: "06", live: s, name: "an answer twice", wire: sent(nth(3, isUDP, twice)), want: "extra"},
		{base: "06", live: s, name: "an answer with another byte", wire: sent(nth(3, isUDP, edits(flipped))), want: "bytes"},
		{base: "06", live: s, name: "an answer from the wrong port", wire: sent(nth(3, isUDP, edits(func(_, udp []byte) { binary.BigEndian.PutUint16(udp, 9999) }))), want: "unexpected"},
		{base: "06", live: s, name: "no word of the closed port", wire: sent(every(isICMP, drop)), want: "missing"},
		{base: "07", live: s, name: "an echo lost", wire: sent(nth(2, isEcho, drop)), want: "missing"},
		{base: "07", live: s, name: "an echo with another byte", wire: sent(nth(2, isEcho, edits(flipped))), want: "bytes"},
		{base: "07", live: s, name: "no echo in fragments", wire: sent(every(func(d *pcap.Decoded) bool { return d.IP.FragOffset > 0 }, drop)), want: "missing"},

		{base: "01", live: s, name: "another initial sequence number", change: seed(1)},
		{base: "01", live: c, name: "another initial sequence number of the client", change: seed(2)},
		{base: "01", live: s, name: "an MSS of 536", wire: sent(every(isSYN, edits(func(_, tcp []byte) {
			if tcp[20] == 2 {
				binary.BigEndian.PutUint16(tcp[22:], 536)
			}
		})))},
		{base: "01", live: c, name: "no timestamps", wire: sent(every(isSYN, blank(8)))},
		{base: "01", live: c, name: "no SACK", wire: sent(every(isSYN, blank(4)))},
		{base: "01", live: c, name: "no window scaling", wire: sent(every(isSYN, blank(3)))},
		{base: "01", live: c, name: "no options but the MSS", wire: sent(every(isSYN, blank(3, 4, 8)))},
		{base: "01", live: c, name: "acknowledgements 30 ms late", wire: sent(every(isAck, late(30*ms)))},
		{base: "01", live: s, name: "everything 100 ms late", wire: sent(every(anyIP, late(100*ms)))},
		{base: "01", live: c, name: "every second acknowledgement", wire: sent(func() frameRule {
			n := 0
			return func(d *pcap.Decoded, f *vswitch.Frame) (v vswitch.Verdict) {
				if isAck(d) {
					n++
				}
				v.Drop = isAck(d) && n%2 == 0 && n > 1
				return v
			}
		})},
		{base: "01", live: s, name: "other IP identifiers", wire: sent(every(anyIP, edits(func(ip, _ []byte) { ip[4] ^= 0x55 })))},
		{base: "01", live: s, name: "another TTL", wire: sent(every(anyIP, edits(func(ip, _ []byte) { ip[8] = 255 })))},
		{base: "01", live: s, name: "other ECN bits", wire: sent(every(anyIP, edits(func(ip, _ []byte) { ip[1] |= 2 })))},
		{base: "01", live: s, name: "another class of service", wire: sent(every(anyIP, edits(func(ip, _ []byte) { ip[1] = 0xb8 })))},
		{base: "01", live: s, name: "packets that may be fragmented", wire: sent(every(anyIP, edits(func(ip, _ []byte) { ip[6] &^= 0x40 })))},
		{base: "01", live: s, name: "no PSH", wire: sent(every(isTCP, edits(func(_, tcp []byte) { tcp[13] &^= 8 })))},
		{base: "01", live: s, name: "a segment lost and retransmitted", wire: sent(nth(20, hasData, drop))},
		{base: "01", live: s, name: "a damaged segment, retransmitted", wire: sent(nth(20, hasData, func(d *pcap.Decoded, f *vswitch.Frame) vswitch.Verdict {
			at := d.PayloadOffset
			return vswitch.Verdict{Edits: []vswitch.Edit{{Offset: at, Old: f.Data[at : at+1], New: []byte{f.Data[at] ^ 1}}}}
		}))},
		{base: "01", live: s, name: "a segment twice", wire: sent(nth(20, hasData, twice))},
		{base: "01", live: s, name: "segments out of order", wire: sent(nth(20, hasData, func(*pcap.Decoded, *vswitch.Frame) vswitch.Verdict {
			return vswitch.Verdict{Behind: 2, Within: 10 * ms}
		}))},
		{base: "01", live: s, name: "a FIN lost and sent again", wire: sent(nth(1, isFIN, drop))},
		{base: "01", live: s, name: "an answer to the SYN lost", wire: sent(nth(1, isSYN, drop))},
		{base: "01", live: c, name: "a SYN lost", wire: sent(nth(1, isSYN, drop))},
		{base: "10", live: c, name: "acknowledgements like keepalives", wire: sent(every(isAck, edits(func(_, tcp []byte) {
			binary.BigEndian.PutUint32(tcp[4:], binary.BigEndian.Uint32(tcp[4:])-1)
		})))},
		{base: "06", live: s, name: "no UDP checksums", wire: sent(every(isUDP, func(d *pcap.Decoded, f *vswitch.Frame) (v vswitch.Verdict) {
			if at := d.UDP.Offset + 6; d.IP.Version == 4 {
				v.Edits = []vswitch.Edit{{Offset: at, Old: f.Data[at : at+2], New: []byte{0, 0}}}
			}
			return v
		}))},
		{base: "06", live: s, name: "answers 50 ms late", wire: sent(every(isUDP, late(50*ms)))},
		{base: "06", live: c, name: "another seed of the ports", change: seed(9)},
		{base: "07", live: s, name: "echoes with another TTL", wire: sent(every(isEcho, edits(func(ip, _ []byte) { ip[8] = 63 })))},
		{base: "narrow", live: "10.0.0.1", name: "a stack that heeds path MTU"},
		{base: "02a.b", live: s, name: "a stack that retransmits"},
	}
}
