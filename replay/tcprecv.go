package replay

import (
	"slices"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// The receiving half of a played TCP end. It says the captured acknowledgements as
// long as they fit. Those of a gap, duplicates and SACK blocks, fit only where
// the same segments are lost again: so the played end loses, once, what the
// capture shows lost on its way to it, and from the first gap on acknowledges, as
// a receiver does (RFC 5681, 4.2, and RFC 2018, 4), what it has itself.

// dupThresh is how many duplicate acknowledgements, or segments beyond a gap, say
// that the gap was not merely reordered (RFC 5681, 3.2, and RFC 6675, 4).
const dupThresh = 3

// findLosses finds the bytes of the live side that did not reach the played end
// when they were sent first. A recording of this program says so; elsewhere
// the played end's acknowledgements do.
func (p *tcpPeer) findLosses() {
	known := false
	for i, s := range p.in.segments {
		if !s.lost || s.bad || s.end() == s.seq || s.Flags.Has(pcap.RST) {
			continue
		}
		known = true
		again := slices.ContainsFunc(p.in.segments[i+1:], func(x *segment) bool { return !x.lost && x.seq <= s.seq && s.seq < x.end() })
		if again {
			p.losses = append(p.losses, s.seq)
		}
	}
	lost := p.gaps()
	if !known {
		p.losses = lost
	}
	slices.Sort(p.losses)
	p.gappy = p.gappy || len(p.losses) > 0
}

// gaps reads the played end's duplicate acknowledgements and SACK blocks, and
// returns where the segments start that these say were lost.
func (p *tcpPeer) gaps() (lost []int64) {
	full := int64(1)
	for _, s := range p.in.segments {
		full = max(full, int64(s.len))
	}
	var held, told ranges // bytes above the gaps; gaps that count as lost
	var last *segment
	duplicates, ack := 0, int64(0)
	for i, s := range p.segs {
		if s.ack < 0 || s.Flags.Has(pcap.SYN) {
			continue
		}
		if s.ack > ack {
			ack = s.ack
			held.add(0, ack)
		}
		switch {
		case len(s.sack) > 0:
			p.gappy = true
		case last != nil && s.isPureAck() && s.ack == last.ack && s.Window == last.Window && p.seen[i] > s.ack:
			p.gappy = true
			if duplicates++; duplicates == dupThresh && len(told.add(s.ack, s.ack+1)) > 0 {
				lost = append(lost, s.ack)
			}
		default:
			duplicates = 0
		}
		last = s
		for _, k := range s.sack {
			if k.to > ack && k.to-k.from < 1<<30 {
				held.add(max(k.from, ack), k.to)
			}
		}
		at, above := ack, int64(0)
		for _, k := range held {
			above += max(k.to-max(k.from, ack), 0)
		}
		for _, k := range held {
			if k.to <= ack {
				continue
			}
			if above > (dupThresh-1)*full {
				for _, x := range told.add(at, k.from) {
					for from := x.from; from < x.to && int64(len(lost)) <= int64(len(p.in.segments)); from += full {
						lost = append(lost, from)
					}
				}
			}
			above -= k.to - max(k.from, ack)
			at = k.to
		}
	}
	return lost
}

// loses reports whether a segment of the live side is lost, as one that began
// among its bytes was in the capture.
func (p *tcpPeer) loses(t *pcap.TCP, n int) bool {
	if len(p.losses) == 0 || t.Flags.Has(pcap.RST) {
		return false
	}
	from := int64(0)
	if p.open {
		from = near(p.got, t.Seq-p.liveISN)
	} else if !t.Flags.Has(pcap.SYN) {
		return false
	}
	to := from + int64(n)
	if t.Flags.Has(pcap.SYN) {
		to++
	}
	if t.Flags.Has(pcap.FIN) {
		to++
	}
	lost, before := false, int64(-1)
	rest := p.losses[:0]
	for _, at := range p.losses {
		// Of one place that was lost several times, once.
		if at >= from && at < to && at != before {
			lost, before = true, at
			continue
		}
		rest = append(rest, at)
	}
	p.losses = rest
	if lost {
		p.own = true
		p.e.report.count("live-loss")
	}
	return lost
}

// hears places a segment's bytes and acknowledges at once what a receiver does:
// one that came beyond a gap, and one that fills it.
func (p *tcpPeer) hears(at int64, data []byte, fin bool) {
	gap, got := len(p.early) > 0, p.got
	p.place(at, data, fin)
	if p.done || p.sent == 0 || p.ack == 0 {
		return
	}
	if at > p.got || gap && p.got > got {
		p.own = true
		p.ackOwn()
	}
}

// ackOwn acknowledges what has come.
func (p *tcpPeer) ackOwn() {
	p.buildAck()
	p.e.report.own(p)
}

// buildAck sends an acknowledgement that is not in the capture, with up to three
// SACK blocks, the newest first (RFC 2018, 4), if both ends know them.
func (p *tcpPeer) buildAck() {
	seg := pcap.Segment{Seq: p.isn + uint32(p.sent), Flags: pcap.ACK}
	if p.sackOK {
		var held ranges
		for _, e := range p.early {
			held.add(e.at, e.at+int64(len(e.data)))
		}
		i := slices.IndexFunc(held, func(k interval) bool { return k.from <= p.newest && p.newest < k.to })
		if i > 0 {
			k := held[i]
			held = slices.Insert(slices.Delete(held, i, i+1), 0, k)
		}
		for _, k := range held[:min(len(held), 3)] {
			seg.SACK = append(seg.SACK, pcap.SACKBlock{Left: p.liveISN + uint32(k.from), Right: p.liveISN + uint32(k.to)})
		}
	}
	p.buildSegment(seg, p.got)
}

// leavesOut reports whether a captured segment only acknowledges what the played
// end has acknowledged: it would count as a duplicate, of a gap that is not there.
// What it says of the window is said.
func (p *tcpPeer) leavesOut(s *segment) bool {
	if !p.gappy || s.len > 0 || s.Flags&^pcap.PSH != pcap.ACK || s.ack > p.ack || p.sent == 0 || s.seq < p.sent-1 {
		return false
	}
	if len(s.sack) > 0 || s.ack == p.lastAck {
		p.own = true
		p.e.report.count("ack-gap")
	} else {
		p.e.report.count("ack-merged")
	}
	p.lastAck, p.last = s.ack, p.at
	if s.Window != p.lastWin {
		p.lastWin = s.Window
		p.buildAck()
	}
	return true
}

// paced is how long what has come stays unacknowledged by an end that acknowledges
// for itself: not at all if it is two segments (RFC 9293, 3.8.6.3).
func (p *tcpPeer) paced(delay time.Duration) time.Duration {
	if !p.own {
		return delay
	}
	if i, _ := slices.BinarySearch(p.bounds, p.ack+1); len(p.bounds)-i >= 2 {
		return SplitDelay
	}
	return min(delay, StallDelay)
}
