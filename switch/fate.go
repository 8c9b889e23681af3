package vswitch

import (
	"container/heap"
	"fmt"
	"time"
)

// enter decides the whole fate of a frame that p's endpoint sent: forwarding,
// rules, queues, the state of links. It records it and schedules the arrivals.
// The loop calls it, without w.mu.
func (s *Switch) enter(p *Port, data []byte) error {
	w := s.w
	now := w.nowNanos()
	w.mu.Lock()
	s.inForce, s.present = s.rules, s.ports
	down := p.down
	w.mu.Unlock()
	w.stats.Frames++
	p.counters.TxFrames++
	p.counters.TxBytes += uint64(len(data))

	sent := &s.sent
	s.frame = Frame{Data: data, Seq: w.stats.Frames, At: w.Now(), From: p}
	*sent = Sent{
		Frame:     &s.frame,
		Hits:      sent.Hits[:0],
		Receivers: s.receivers[:0],
	}
	s.arrivals = s.arrivals[:0]
	var atSwitch int64 // when the last bit reached the switch
	switch {
	case down:
		sent.Lost = LostDown
	case p.up.full(now):
		sent.Lost = LostQueue
	default:
		atSwitch = p.up.send(now, now, len(data)) + int64(p.cfg.Latency)
	}
	if sent.Lost == NotLost {
		if err := s.judge(sent, now, atSwitch); err != nil {
			return w.explain(err)
		}
	}
	if sent.Lost != NotLost {
		p.counters.TxLost[sent.Lost]++
	}
	s.receivers = sent.Receivers
	if err := s.record(sent); err != nil {
		return err
	}
	return s.deliver(sent)
}

// What bounds the frames and copies that are on their way in a world, and so the
// memory they take.
const (
	maxInFlight      = 1 << 18
	maxInFlightBytes = 512 << 20
)

// judge asks the rules, forwards the frame, and computes every arrival.
func (s *Switch) judge(sent *Sent, now, atSwitch int64) error {
	f, p := sent.Frame, sent.From
	// First all rules on the sender's cable: what they do decides whether and
	// with which addresses the switch sees the frame.
	froms := s.fromHits[:0]
	dropped := false
	dst, src := f.Dst(), f.Src()
	for _, r := range s.inForce {
		v := r.rule.Judge(f, nil)
		if err := v.check(r, f, nil); err != nil {
			return err
		}
		froms = append(froms, v)
		dropped = dropped || v.Drop
		for _, e := range v.Edits {
			editMAC(&dst, e, 0)
			editMAC(&src, e, 6)
		}
	}
	s.fromHits = froms
	if !dropped && !s.cfg.Hub && !s.macs.learn(src, p, now) {
		s.unlearned++
	}
	s.forward(sent, dst, now)

	for i, r := range s.inForce {
		if v := &froms[i]; !v.IsZero() {
			sent.Hits = append(sent.Hits, Hit{Rule: r, Verdict: *v})
			r.count(f.Seq, v)
		}
		for k := range sent.Receivers {
			q := sent.Receivers[k].Port
			if v := r.rule.Judge(f, q); !v.IsZero() {
				if err := v.check(r, f, q); err != nil {
					return err
				}
				sent.Hits = append(sent.Hits, Hit{Rule: r, To: q, Verdict: v})
				r.count(f.Seq, &v)
			}
		}
	}
	for k := range sent.Receivers {
		if err := s.settleFate(sent, &sent.Receivers[k], now, atSwitch); err != nil {
			return err
		}
	}
	return nil
}

// editMAC applies e to the address that starts at byte off of the frame.
func editMAC(a *MAC, e Edit, off int) {
	for i, b := range e.New {
		if k := e.Offset + i - off; 0 <= k && k < len(a) {
			a[k] = b
		}
	}
}

// forward fills in the receivers of a frame for dst.
func (s *Switch) forward(sent *Sent, dst MAC, now int64) {
	p := sent.From
	if !s.cfg.Hub {
		if dst.isReserved() {
			sent.Lost = LostReserved
			return
		}
		if !dst.IsGroup() {
			if q := s.macs.lookup(dst, now); q != nil {
				if q != p {
					sent.Receivers = append(sent.Receivers, Receiver{Port: q})
				}
				s.describe(sent)
				return
			}
		}
	}
	for _, q := range s.present {
		if q != p && !q.closed {
			sent.Receivers = append(sent.Receivers, Receiver{Port: q})
		}
	}
	s.describe(sent)
}

// describe says in one word, where there is one, who the receivers are.
func (s *Switch) describe(sent *Sent) {
	n := len(sent.Receivers)
	open := 0
	for _, q := range s.present {
		if q != sent.From && !q.closed {
			open++
		}
	}
	sent.Simple = n == 1 && sent.Receivers[0].Port.cfg.MAC == sent.Dst()
	sent.All = n > 0 && n == open
}

// settleFate computes what one receiver gets, and when.
func (s *Switch) settleFate(sent *Sent, rc *Receiver, now, atSwitch int64) error {
	q := rc.Port
	size := len(sent.Data)
	var delay, gap time.Duration
	copies := 0
	for i := range sent.Hits {
		h := &sent.Hits[i]
		if h.To != nil && h.To != q {
			continue
		}
		if h.Drop {
			rc.Lost = DroppedByRule
		}
		delay += h.Delay
		copies += h.Copies
		if h.Gap > 0 {
			gap = h.Gap
		}
	}
	if copies > MaxCopies || delay > MaxDelay {
		return fmt.Errorf("%w: the rules together make %d copies of frame %d to port %s and delay it by %v: want at most %d and %v",
			ErrVerdict, copies, sent.Seq, q.cfg.Name, delay, MaxCopies, MaxDelay)
	}
	at := atSwitch + int64(delay)
	switch {
	case rc.Lost != NotLost:
	case q.isDown():
		rc.Lost = LostDown
	case size > q.maxLen(sent.Data):
		rc.Lost = LostMTU
	case q.downlink.full(at):
		// Copies stand and fall with the frame.
		rc.Lost = LostQueue
	}
	if rc.Lost != NotLost {
		q.counters.RxLost[rc.Lost]++
		return nil
	}
	q.counters.RxCopies += uint64(copies)
	first := len(s.arrivals)
	for k := range copies + 1 {
		left := q.downlink.send(now, at+int64(k)*int64(gap), size)
		s.arrivals = append(s.arrivals, time.Unix(0, left+int64(q.cfg.Latency)).UTC())
	}
	rc.Arrivals = s.arrivals[first:len(s.arrivals):len(s.arrivals)]
	return nil
}

// deliver schedules the arrivals, each with its own copy of the bytes; the last
// one takes the frame's buffer.
func (s *Switch) deliver(sent *Sent) error {
	w := s.w
	left := 0
	for i := range sent.Receivers {
		left += len(sent.Receivers[i].Arrivals)
	}
	if w.inFlight+left > maxInFlight || w.inFlightBytes+left*cap(sent.Data) > maxInFlightBytes {
		return w.explain(fmt.Errorf("%w: more than %d frames or %d MiB in flight", ErrLimit, maxInFlight, maxInFlightBytes>>20))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if left == 0 {
		w.release(sent.Data)
		return nil
	}
	original := sent.Data
	if len(sent.Hits) > 0 {
		// Edits differ by receiver: keep the original until the last copy is made.
		defer w.release(original)
	}
	for i := range sent.Receivers {
		rc := &sent.Receivers[i]
		q := rc.Port
		for _, at := range rc.Arrivals {
			left--
			data := original
			if left > 0 || len(sent.Hits) > 0 {
				data = append(w.buffer(len(original)), original...)
			}
			for h := range sent.Hits {
				if to := sent.Hits[h].To; to == nil || to == q {
					for _, e := range sent.Hits[h].Edits {
						copy(data[e.Offset:], e.New)
					}
				}
			}
			q.seq++
			q.inFlight++
			w.inFlight++
			w.inFlightBytes += cap(data)
			ev := w.newDelivery()
			*ev = event{at: at.UnixNano(), class: classDelivery, owner: q.number, seq: q.seq, port: q, frame: sent.Seq, data: data}
			heap.Push(&w.events, ev)
			if w.over == never || w.closing || w.nowNanos() <= w.over+int64(lingering) {
				w.lastArrival = max(w.lastArrival, ev.at)
			}
		}
	}
	return nil
}

// arrive hands a delivered frame to the endpoint. The loop calls it without w.mu.
func (w *World) arrive(ev *event) error {
	p := ev.port
	w.inFlight--
	w.inFlightBytes -= cap(ev.data)
	if p.closed {
		return nil
	}
	p.inFlight--
	p.counters.RxFrames++
	p.counters.RxBytes += uint64(len(ev.data))
	if p.sw.delivered {
		if err := p.sw.record(&Delivered{Time: w.Now(), Port: p, Seq: ev.frame, Data: ev.data}); err != nil {
			return err
		}
	}
	p.endpoint.Deliver(ev.data)
	w.mu.Lock()
	w.release(ev.data)
	w.freeDelivery(ev)
	w.mu.Unlock()
	return nil
}
