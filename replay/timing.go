package replay

import (
	"fmt"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// stopwatch takes the times of one conversation: how long the live end took for
// each answer, and how long all took. An answer begins with the first byte or
// datagram of the live end after one of the played end.
type stopwatch struct {
	first, last time.Duration // of frames with something in them
	started     bool
	asked       time.Duration
	waiting     bool
	isn         uint32 // of the live end
	high        int64  // bytes of the live end so far
	answers     []answer
}

type answer struct {
	offset int64 // of its first byte among all that the live end sent
	took   time.Duration
	at     time.Duration
}

// see takes a frame.
func (w *stopwatch) see(d *pcap.Decoded, live bool, at time.Duration) {
	n := int64(len(d.Payload))
	opens := d.TCP != nil && d.TCP.Flags&(pcap.SYN|pcap.FIN) != 0
	if n == 0 && !opens {
		return
	}
	if !w.started {
		w.first, w.started = at, true
	}
	if !live {
		w.last = at
		w.asked, w.waiting = at, true
		return
	}
	offset := w.high
	if d.TCP != nil {
		if d.TCP.Flags.Has(pcap.SYN) {
			w.isn, w.waiting, w.last = d.TCP.Seq, false, at
			return
		}
		offset = near(w.high, d.TCP.Seq-w.isn-1)
	}
	if offset+n <= w.high && n > 0 {
		return // again
	}
	w.last = at
	if w.waiting && n > 0 {
		w.answers = append(w.answers, answer{w.high, at - w.asked, at})
	}
	w.waiting = false
	w.high = max(w.high, offset+n)
}

// keepTime compares the times of the conversations that are the same otherwise.
func (e *engine) keepTime() {
	if !e.o.Within.set() {
		return
	}
	for _, p := range e.report.Conversations {
		t := e.watcher.trails[peerKey{p.Proto, p.local, p.remote}]
		if !p.Same || t == nil {
			continue
		}
		var w stopwatch
		for _, f := range e.a.Capture.Frames {
			if f.Number >= p.First && f.Number <= p.Last && !f.Copy && p.carries(f) {
				w.see(f.Decoded, f.IP.Src == p.Ends[p.Live].Addr(), f.At)
			}
		}
		if d := compareTimes(&w, &t.clock, e.o.Within); d != nil {
			d.Kind, d.Conversation, d.From, d.To = "time", p.Conversation, p.Ends[p.Live], p.Ends[p.me]
			if d.Offset >= 0 && p.Proto == TCP {
				d.Frame = p.Streams[p.Live].frameOf(d.Offset)
			} else {
				d.Offset = -1
			}
			p.Same = false
			at := d.At
			e.report.diverge(e, d)
			d.At, d.seen = at, nil // what passed lately is not about it
		}
	}
}

// compareTimes returns the first time that differs too much, or nil. Answers that
// begin elsewhere in one of the two have no counterpart.
func compareTimes(captured, actual *stopwatch, within Tolerance) *Divergence {
	took := map[int64]time.Duration{}
	for _, a := range captured.answers {
		took[a.offset] = a.took
	}
	for _, a := range actual.answers {
		if was, ok := took[a.offset]; ok && !within.allows(was, a.took) {
			return &Divergence{Offset: a.offset, At: a.at,
				Text: fmt.Sprintf("the live side answered after %v, in the capture after %v (within %v)", a.took, was, within)}
		}
	}
	if was, is := captured.last-captured.first, actual.last-actual.first; !within.allows(was, is) {
		return &Divergence{Offset: -1, At: actual.last,
			Text: fmt.Sprintf("the conversation took %v, in the capture %v (within %v)", is, was, within)}
	}
	return nil
}
