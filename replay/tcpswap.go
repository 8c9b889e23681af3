package replay

import (
	"slices"

	"github.com/vnreplay/vnreplay/pcap"
)

// resort gives a connection the conversation that its first bytes belong to. A live
// client that opens several connections at once from ports of its own choice may do
// so in another order than in the capture, and a SYN does not tell which it
// is. So the played server takes them in the order of the capture and, when the
// first bytes are those of another that has not come further than its handshake
// either, exchanges the two.
func (p *tcpPeer) resort(data []byte) {
	if p.me != 1 || p.got != 1 || p.sent > 1 || len(data) == 0 {
		return
	}
	if p.e.o.Compare != CompareStream || p.says(data) {
		return
	}
	for _, other := range p.e.peers {
		q, ok := other.(*tcpPeer)
		if !ok || q == p || !p.exchangeable(q) || !q.says(data) {
			continue
		}
		p.part, q.part = q.part, p.part
		p.Conversation, q.Conversation = q.Conversation, p.Conversation
		p.resumed()
		q.resumed()
		p.e.report.count("connection-order")
		if q.open {
			q.advance()
		}
		return
	}
}

// exchangeable reports whether q has the same two hosts and played port, has not
// come further than its handshake, was shaken hands on alike, and was open at the
// same time in the capture: of others the order counts.
func (p *tcpPeer) exchangeable(q *tcpPeer) bool {
	a, b := p.out.syn, q.out.syn
	return !q.done && q.me == 1 && q.local == p.local && q.remote.Addr() == p.remote.Addr() && q.got <= 1 && q.sent <= 1 && len(q.early) == 0 && !q.both &&
		q.First <= p.Last && p.First <= q.Last && a != nil && b != nil && a.MSS == b.MSS && a.WindowScale == b.WindowScale && a.SACKPermitted == b.SACKPermitted && a.Timestamps == b.Timestamps
}

// resumed puts an end that was given another conversation where it stands in it.
func (p *tcpPeer) resumed() {
	if !p.open {
		p.next, p.remote = 0, p.Ends[p.Live]
		return
	}
	if p.sent == 0 {
		p.isn, p.next = p.out.isn+p.e.addSeq, 0
		return
	}
	first := slices.IndexFunc(p.segs, func(s *segment) bool { return !s.Flags.Has(pcap.SYN) })
	if first < 0 {
		first = len(p.segs)
	}
	p.next = first
	if first > 0 {
		// The live side would take an older timestamp for an old segment (RFC 7323, 5).
		p.stamps = p.tsval - p.segs[first-1].Options.TSVal
	}
}

// says reports whether the captured live end begins with such bytes.
func (p *tcpPeer) says(data []byte) bool {
	m := newMatcher(&Report{masks: p.e.report.masks, maskUsed: map[*Mask]bool{}}, p.in.Data, p.out.Data)
	return m.match(0, data) == len(data)
}
