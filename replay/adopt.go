package replay

import "github.com/vnreplay/vnreplay/pcap"

// adopt looks, when the first bytes of a live client that opens connections come,
// whether they are those of another of its connections to the same port: clients that
// open several at once do so in any order, from any ports. Then the two change what
// they play. It must be known by then: the played end has only answered the SYN, and
// so has that of the other connection, if it is open at all.
func (p *tcpPeer) adopt(data []byte) {
	if p.me != 1 || p.got != 1 || p.next != 1 || p.e.o.Compare != CompareStream || p.says(data) {
		return
	}
	for _, other := range p.e.peers {
		q, ok := other.(*tcpPeer)
		if !ok || q == p || q.done || q.me != 1 || q.local != p.local || q.remote.Addr() != p.remote.Addr() {
			continue
		}
		if q.open && (q.got != 1 || q.next != 1) || !q.open && q.next != 0 || !q.says(data) || !p.alike(q) {
			continue
		}
		p.exchange(q)
		p.e.report.count("open-order")
		return
	}
}

// says reports whether the captured live end begins with such bytes.
func (p *tcpPeer) says(data []byte) bool {
	m := newMatcher(&Report{masks: p.e.report.masks, maskUsed: map[*Mask]bool{}}, p.in.Data, p.out.Data)
	return m.match(0, data) == len(data)
}

// alike reports whether two connections were agreed upon in the same way: what was
// said in the handshake holds for both.
func (p *tcpPeer) alike(q *tcpPeer) bool {
	same := func(a, b *pcap.TCPOptions) bool {
		return a != nil && b != nil && a.MSS == b.MSS && a.WindowScale == b.WindowScale && a.SACKPermitted == b.SACKPermitted && a.Timestamps == b.Timestamps
	}
	return same(p.in.syn, q.in.syn) && same(p.out.syn, q.out.syn)
}

// exchange has two peers play each other's conversation. Each keeps its numbers: the
// live side knows them.
func (p *tcpPeer) exchange(q *tcpPeer) {
	pISN, pTS := p.out.isn, p.out.syn.TSVal+p.tsAdd
	qISN, qTS := q.out.isn, q.out.syn.TSVal+q.tsAdd
	// As captured, not as they may be after another exchange.
	pWas, qWas := p.out.isn-p.seqAdd, q.out.isn-q.seqAdd
	p.Conversation, q.Conversation = q.Conversation, p.Conversation
	p.Matched, q.Matched = q.Matched, p.Matched
	p.out, q.out = q.out, p.out
	p.in, q.in = q.in, p.in
	p.segs, q.segs = q.segs, p.segs
	p.seen, q.seen = q.seen, p.seen
	p.brought, q.brought = q.brought, p.brought
	p.aborts, q.aborts = q.aborts, p.aborts
	p.turns, q.turns = q.turns, p.turns
	p.match, q.match = q.match, p.match
	p.number0(pISN, qWas, pTS)
	if q.open {
		q.number0(qISN, pWas, qTS)
	} else {
		q.number0(pWas, pWas, q.out.syn.TSVal)
		q.remote = q.Ends[q.Live]
	}
}

// number0 makes a peer go on from the initial number and the timestamp that it has
// sent, in place of its conversation's.
func (p *tcpPeer) number0(isn, captured, ts uint32) {
	out := *p.out
	out.isn = isn
	p.out = &out
	p.seqAdd, p.tsAdd = isn-captured, ts-p.out.syn.TSVal
}
