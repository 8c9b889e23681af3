package replay

import (
	"bytes"
	"fmt"

	"github.com/vnreplay/vnreplay/pcap"
)

// How a played TCP end's conversation ends: by the live side's reset, with success,
// and what follows.

// reset handles a RST of the live side.
func (p *tcpPeer) reset(d *pcap.Decoded) {
	p.rst = true
	if d.TCP.Flags.Has(pcap.ACK) {
		p.acknowledged(d.TCP)
	}
	at := p.got - 1
	switch {
	case p.in.RST && p.in.syn == nil:
		p.progress()
		p.next = len(p.segs)
		p.succeed()
	case p.in.RST && at >= p.in.rst.offset, p.in.FIN && p.fin && at >= int64(len(p.in.Data)):
		if p.refused(at) {
			return
		}
		if !p.in.RST {
			p.e.report.count("reset-after-close")
		}
		p.progress()
		p.next = len(p.segs) // what follows in the capture had been on its way
		p.succeed()
	case p.in.RST:
		p.fail("reset", at, "the live side reset the connection after %d bytes; in the capture it does so after %d (frame %d)", at, p.in.rst.offset, p.in.rst.frame)
	case !p.open && p.me == 0:
		accepts := p.in.segments[0].frame.Number
		p.failWith(&Divergence{Kind: "refused", Offset: -1, Frame: accepts,
			Text: fmt.Sprintf("the live side refused the connection; in the capture it accepts (frame %d)", accepts)})
	default:
		p.fail("reset", at, "the live side reset the connection after %d of %d bytes; the capture has no reset", at, len(p.in.Data))
	}
}

// refused reports whether the live side, which resets the connection where it may,
// does so without having acknowledged what it acknowledges there: a divergence.
func (p *tcpPeer) refused(at int64) bool {
	if !p.out.known || p.acked > p.out.acked {
		return false
	}
	what := "the FIN"
	if n := p.acked - 1; n < int64(len(p.out.Data)) {
		what = fmt.Sprintf("byte %d", n)
	}
	d := &Divergence{Kind: "reset", Offset: at}
	for _, s := range p.in.segments {
		if s.ack > p.acked {
			d.Frame = s.frame.Number
			break
		}
	}
	d.Text = fmt.Sprintf("the live side reset the connection without having acknowledged %s of the played side, as it does in the capture", what)
	p.failWith(d)
	return true
}

func (p *tcpPeer) stop() {
	disarm(p.timer)
	disarm(p.stall)
	disarm(p.patience)
}

// succeed ends the conversation: all was as captured. What was played beyond all
// that the capture has acknowledged came to the same end as there.
func (p *tcpPeer) succeed() {
	p.stop()
	if p.out.known && p.acked > p.out.acked {
		p.Matched[p.me] = min(max(p.acked, p.sent)-1, int64(len(p.out.Data)))
	}
	p.finish(true)
}

// after handles what comes when the conversation is over.
func (p *tcpPeer) after(d *pcap.Decoded) {
	t := d.TCP
	if !p.Same || !p.open || t.Flags.Has(pcap.RST) {
		return
	}
	at := near(p.got, t.Seq-p.liveISN)
	end := at + int64(len(d.Payload))
	switch {
	case len(d.Payload) > 0 && end > p.got && !t.Flags.Has(pcap.SYN):
		if p.aborts || p.in.RST || at+int64(len(d.Payload)) <= int64(len(p.in.Data))+1 {
			return // it had been on its way
		}
		p.Same = false
		p.e.report.diverge(p.e, &Divergence{Kind: "extra", Conversation: p.Conversation, From: p.Ends[p.Live], To: p.Ends[p.me],
			Offset: p.got - 1, Frame: p.in.frameOf(p.got - 1), Actual: bytes.Clone(d.Payload),
			Text: fmt.Sprintf("the live side sent more than the %d bytes of the capture", len(p.in.Data))})
	case len(d.Payload) > 0 && t.Flags&(pcap.SYN|pcap.FIN) == 0:
		p.e.report.retransmitted(p, int64(len(d.Payload)))
	case t.Flags.Has(pcap.FIN) && end == p.got && !p.fin:
		// A server that closes an idle connection, say; it gets its acknowledgement.
		p.e.report.count("closed-after-capture")
		p.fin = true
		p.got++
		p.build(pcap.ACK, p.sent, p.got)
	case t.Flags.Has(pcap.FIN):
		p.e.report.retransmitted(p, 0)
		p.build(pcap.ACK, p.sent, p.got)
	}
}
