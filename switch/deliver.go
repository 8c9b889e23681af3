package vswitch

import (
	"fmt"
)

// What bounds the frames and copies that are on their way in a world, and so the
// memory they take.
const (
	maxInFlight      = 1 << 20 // a broadcast by each of 1 000 ports
	maxInFlightBytes = 512 << 20
)

// deliver schedules the arrivals, each with its own copy of the bytes; where no
// rule did anything the last one takes the frame's buffer.
func (s *Switch) deliver(sent *Sent) error {
	w := s.w
	left, bytes := 0, 0
	for i := range sent.Receivers {
		rc := &sent.Receivers[i]
		left += len(rc.Arrivals)
		bytes += len(rc.Arrivals) * (cap(sent.Data) + rc.pad)
	}
	if w.inFlight+left > maxInFlight || w.inFlightBytes+bytes > maxInFlightBytes {
		return w.explain(fmt.Errorf("%w: more than %d frames or %d MiB in flight", ErrLimit, maxInFlight, maxInFlightBytes>>20))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	original := sent.Data
	if left == 0 || len(sent.Hits) > 0 {
		// What rules change differs by receiver: it is kept until the last copy is made.
		defer w.release(original)
	}
	for i := range sent.Receivers {
		rc := &sent.Receivers[i]
		if len(rc.Arrivals) == 0 {
			continue
		}
		q, on := rc.Port, path{sent.From.number, rc.Port.number}
		var hold *held
		if rc.behind > 0 {
			hold = s.held.Hold(on, rc.behind)
		}
		for _, at := range rc.Arrivals {
			left--
			data := original
			if left > 0 || len(sent.Hits) > 0 {
				data = append(w.buffer(len(original)+rc.pad), original...)
			}
			data = sent.apply(q, data)
			q.seq++
			q.inFlight++
			w.inFlight++
			w.inFlightBytes += cap(data)
			ev := w.newDelivery()
			*ev = event{at: at.UnixNano(), class: classDelivery, owner: q.number, seq: q.seq, port: q, frame: sent.Seq, data: data, held: hold}
			w.events.push(ev)
			if hold != nil {
				hold.Copies = append(hold.Copies, ev)
			}
			if w.over == never || w.closing || w.nowNanos() <= w.over+int64(lingering) {
				w.lastArrival = max(w.lastArrival, ev.at)
			}
		}
		if hold == nil && s.held.Len() > 0 {
			s.passed(&w.events, on, rc.Arrivals[0].UnixNano())
		}
	}
	return nil
}

// apply does to data, a copy of the frame on its way to q, what the rules do to it
// there; see Verdict.Apply.
func (sent *Sent) apply(q *Port, data []byte) []byte {
	for i := range sent.Hits {
		if to := sent.Hits[i].To; to == nil || to == q {
			data = sent.Hits[i].Apply(data)
		}
	}
	return data
}

// letGo lets a frame that is leaving those in flight, and its copies, wait for no
// others to pass them: its time is up, and nothing moves them now.
func (s *Switch) letGo(ev *event) {
	if h := ev.held; h != nil {
		s.held.Forget(h)
		for _, c := range h.Copies {
			c.held = nil
		}
	}
}

// path is a way from one port to another, by their numbers.
type path struct{ from, to int }

// held is a frame that waits to be passed. Its arrivals are scheduled at the latest
// instant; when the last of the others is on its way, they are moved to right after
// it.
type held = Held[path, *event]

// passed lets a frame that arrives at instant at pass those held on its path, whose
// arrivals are in q. What guards q is held.
func (s *Switch) passed(q *eventQueue, on path, at int64) {
	for h := range s.held.Pass(on) {
		earlier := h.Copies[0].at - (at + 1)
		for _, ev := range h.Copies {
			ev.held = nil
			if earlier > 0 {
				ev.at -= earlier
				q.fix(ev)
			}
		}
	}
}

// arrive hands a delivered frame to the endpoint. The loop calls it without w.mu.
func (w *World) arrive(ev *event) error {
	p := ev.port
	w.inFlight--
	w.inFlightBytes -= cap(ev.data)
	p.sw.letGo(ev)
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
