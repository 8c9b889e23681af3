package replay

import (
	"bytes"
	"fmt"
	"time"
)

// turn is a place where the live side answered: it sent its byte at only after the
// played byte after had arrived.
type turn struct{ at, after int64 }

const (
	// retransmitted is how late what was lost comes again, at least: stacks wait
	// for 200 ms or more.
	retransmitted = 190 * time.Millisecond
	// thinking is how long a live side may hold what it answers before it does. One
	// that got a part of a run, and more of it that much later, waited for the rest.
	thinking = 20 * time.Millisecond
)

// question is a run of played bytes that the live side has not answered yet.
type question struct {
	at, after int64         // the live side's next byte, the first of the run's
	asked     time.Duration // when its first byte was captured
	clear     bool          // each side had received all that the other had sent
	held      bool          // the live side acknowledged a part of it
	heldAt    time.Duration // when, if held
	waited    bool          // and got more than thinking later
}

// findTurns finds the answers of the live side whose requests are clear: bytes of
// the played side, sent when each side had received all that the other had sent,
// that the live side had acknowledged some of when it went on. What is in flight
// in both directions at once (an echo, a pipeline) may be independent. And what
// follows a full segment may belong to it, and be late because it was lost before
// the place of the capture.
//
// The first byte of an answer needs the first of its request: with requests in a
// row, the captured side may just have been too slow to answer each at once. It
// needs all that was acknowledged with it where that side clearly waited for more
// than the beginning. The last byte needs all of that in any case, if the next
// request is clear again, so that the answer is known to end there.
func (p *tcpPeer) findTurns() {
	var liveHigh, liveAck, high int64 // stream offsets
	var run *question
	needs := int64(0)  // what the answer that is going on needs at its end, 0 for nothing
	last, full := 0, 0 // lengths of live segments: the last one's, the longest
	for _, s := range p.in.segments {
		full = max(full, s.len)
	}
	lossy := p.in.Retransmitted+p.out.Retransmitted > 0
	i := 0
	live := func(before int) {
		for ; i < len(p.in.segments) && p.in.segments[i].frame.Number < before; i++ {
			s := p.in.segments[i]
			from, to := s.seq-1, s.seq-1+int64(s.len)
			if s.len > 0 && to > liveHigh {
				if run != nil {
					needs = 0
					late := s.frame.At-run.asked >= retransmitted && (lossy || last == full)
					if all := min(s.ack-1, high); run.clear && from == run.at && all > run.after && !late {
						k := turn{run.at, run.after}
						if run.waited {
							k.after = all - 1
						} else {
							needs = all
						}
						p.turns = append(p.turns, k)
					}
				}
				liveHigh, run, last = to, nil, s.len
			}
			liveAck = max(liveAck, s.ack-1)
			if run != nil && !run.held && liveAck > run.after {
				run.held, run.heldAt = true, s.frame.At
			}
		}
	}
	ends := func() {
		if needs > 0 {
			p.turns = append(p.turns, turn{liveHigh - 1, needs - 1})
		}
		needs = 0
	}
	for _, s := range p.out.segments {
		live(s.frame.Number)
		if to := s.seq - 1 + int64(s.len); s.len > 0 && to > high {
			if run == nil {
				run = &question{at: liveHigh, after: high, asked: s.frame.At}
				run.clear = s.seq-1 == high && s.ack-1 >= liveHigh && liveAck >= high
				if run.clear {
					ends()
				}
				needs = 0
			}
			run.waited = run.waited || run.held && s.frame.At-run.heldAt >= thinking
			high = to
		}
	}
	live(1 << 62)
	ends()
}

// inTime reports whether none of the bytes before offset is an answer to what
// had not arrived when it was sent.
func (p *tcpPeer) inTime(offset int64) bool {
	for ; len(p.turns) > 0 && p.turns[0].at < offset; p.turns = p.turns[1:] {
		k := p.turns[0]
		if p.acked-1 <= k.after {
			p.failWith(&Divergence{Kind: "early", Offset: k.at, Actual: bytes.Clone(p.in.Data[k.at:]),
				Text: fmt.Sprintf("the live side sent byte %d before it had received byte %d, which it answers in the capture", k.at, k.after)})
			return false
		}
	}
	return true
}
