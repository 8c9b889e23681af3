package vswitch

import (
	"fmt"
	"time"
)

// enter decides the whole fate of a frame that p's endpoint sent: forwarding,
// rules, queues, the state of links. It records it and schedules the arrivals.
// The loop calls it, without w.mu; in real time it is called with s.mu.
func (s *Switch) enter(p *Port, data []byte, now int64) error {
	w := s.w
	force := s.force.Load()
	p.counters.TxFrames++
	p.counters.TxBytes += uint64(len(data))

	sent := &s.sent
	s.frame = Frame{Data: data, Seq: w.frames.Add(1), At: time.Unix(0, now).UTC(), From: p}
	*sent = Sent{
		Frame:     &s.frame,
		Hits:      sent.Hits[:0],
		Receivers: s.receivers[:0],
	}
	s.arrivals = s.arrivals[:0]
	var atSwitch int64 // when the last bit reached the switch
	switch {
	case p.down.Load():
		sent.Lost = LostDown
	case p.up.full(now):
		sent.Lost = LostQueue
	default:
		atSwitch = p.up.send(now, now, len(data)) + int64(p.cfg.Latency)
	}
	if sent.Lost == NotLost {
		if err := s.judge(sent, force, now, atSwitch); err != nil {
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
	if w.cfg.RealTime {
		s.deliverLive(sent, now)
		return nil
	}
	return s.deliver(sent)
}

// judge asks the rules, forwards the frame, and computes every arrival.
func (s *Switch) judge(sent *Sent, force *inForce, now, atSwitch int64) error {
	f, p := sent.Frame, sent.From
	// First all rules on the sender's cable: what they do decides whether and
	// with which addresses the switch sees the frame.
	froms := s.fromHits[:0]
	dropped := false
	dst, src := f.Dst(), f.Src()
	v := &s.verdict // zero, but between an answer and its use
	for i, r := range force.rules {
		if !r.onSenders {
			continue
		}
		hit, err := s.ask(r, nil, v)
		if err != nil {
			return err
		}
		if !hit {
			continue
		}
		froms = append(froms, fromHit{i, *v})
		dropped = dropped || v.Drop
		for _, e := range v.Edits {
			editMAC(&dst, e, 0)
			editMAC(&src, e, 6)
		}
		*v = Verdict{}
	}
	s.fromHits = froms
	if !dropped && !s.cfg.Hub && !s.macs.learn(src, p, now) {
		s.unlearned++
	}
	s.forward(sent, force.ports, dst, now)
	describe(sent, len(force.ports)-1)

	for i, r := range force.rules {
		if len(froms) > 0 && froms[0].rule == i {
			sent.Hits = append(sent.Hits, Hit{Rule: r, Verdict: froms[0].Verdict})
			r.count(f.Seq, &froms[0].Verdict)
			froms = froms[1:]
		}
		if !r.onReceivers {
			continue
		}
		for k := range sent.Receivers {
			q := sent.Receivers[k].Port
			hit, err := s.ask(r, q, v)
			if err != nil {
				return err
			}
			if hit {
				sent.Hits = append(sent.Hits, Hit{Rule: r, To: q, Verdict: *v})
				r.count(f.Seq, v)
				*v = Verdict{}
			}
		}
	}
	for _, r := range force.watchers {
		r.Watch(f, nil)
		for k := range sent.Receivers {
			r.Watch(f, sent.Receivers[k].Port)
		}
	}
	for k := range sent.Receivers {
		if err := s.settleFate(sent, &sent.Receivers[k], now, atSwitch); err != nil {
			return err
		}
	}
	return nil
}

// fromHit is what a rule, by its place among those in force, does on the sender's
// cable.
type fromHit struct {
	rule int
	Verdict
}

// ask asks a rule about the frame that enters. Thousands of rules can take minutes
// for one frame (a chain that has a million steps to make up, each), and the loop
// looks at the limits between frames only: so they are looked at here, too.
func (s *Switch) ask(r *InstalledRule, to *Port, v *Verdict) (hit bool, err error) {
	if s.asked++; s.asked%64 == 0 && !s.w.cfg.RealTime {
		if err := s.w.overdue(s.w.settler.ctx); err != nil {
			return false, err
		}
	}
	return r.judge(&s.frame, to, v)
}

// judge asks the rule, and checks its answer. It reports whether that does anything,
// and leaves v zero if not.
func (r *InstalledRule) judge(f *Frame, to *Port, v *Verdict) (bool, error) {
	if !r.rule.Judge(f, to, v) {
		return false, nil
	}
	err := v.check(r, f, to)
	if v.Truncate >= len(f.Data) {
		v.Truncate = 0
	}
	if v.IsZero() {
		*v = Verdict{}
		return false, err
	}
	return true, err
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
func (s *Switch) forward(sent *Sent, ports []*Port, dst MAC, now int64) {
	p := sent.From
	if !s.cfg.Hub {
		if dst.isReserved() {
			sent.Lost = LostReserved
			return
		}
		if !dst.IsGroup() {
			if q := s.macs.lookup(dst, p, now); q != nil {
				if q != p {
					sent.Receivers = append(sent.Receivers, Receiver{Port: q})
				}
				return
			}
		}
	}
	for _, q := range ports {
		if q != p {
			sent.Receivers = append(sent.Receivers, Receiver{Port: q})
		}
	}
}

// describe says in one word, where there is one, who the receivers are, of so many
// other ports.
func describe(sent *Sent, others int) {
	n := len(sent.Receivers)
	sent.Simple = n == 1 && sent.Receivers[0].Port.cfg.MAC == sent.Dst()
	sent.All = n > 0 && n == others
}

// settleFate computes what one receiver gets, and when.
func (s *Switch) settleFate(sent *Sent, rc *Receiver, now, atSwitch int64) error {
	q := rc.Port
	size := len(sent.Data) // on the cable
	var delay, gap, within time.Duration
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
		if h.Truncate > 0 {
			size = min(size, h.Truncate)
		}
		rc.pad += h.Pad
		if h.Behind > 0 {
			rc.behind, within = h.Behind, h.Within
		}
	}
	if copies > MaxCopies || delay > MaxDelay || rc.pad > MaxPad {
		return fmt.Errorf("%w: the rules together make %d copies of frame %d to port %s, delay it by %v and add %d bytes: want at most %d, %v and %d",
			ErrVerdict, copies, sent.Seq, q.cfg.Name, delay, rc.pad, MaxCopies, MaxDelay, MaxPad)
	}
	at := atSwitch + int64(delay)
	switch {
	case rc.Lost != NotLost:
	case q.down.Load():
		rc.Lost = LostDown
	case size > q.maxLen(sent.Data):
		rc.Lost = LostMTU
	case q.downlink.full(at), s.w.cfg.RealTime && s.crowded(q, copies+1, len(sent.Data)+rc.pad,
		rc.behind > 0 || copies > 0 && gap > 0 || q.cfg.Rate > 0 || at+int64(q.cfg.Latency) > now+int64(promptly)):
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
		s.arrivals = append(s.arrivals, time.Unix(0, left+int64(q.cfg.Latency)+int64(within)).UTC())
	}
	rc.Arrivals = s.arrivals[first:len(s.arrivals):len(s.arrivals)]
	return nil
}

// crowded reports whether n copies of a frame of so many bytes find no place in q's
// inbox or, if they may arrive later, among the frames in flight. They find none there
// either while the inbox is full: they would heap up before an endpoint that takes
// nothing. s.mu is held.
func (s *Switch) crowded(q *Port, n, size int, later bool) bool {
	return q.inbox.full() || s.flying+n*size > maxInFlightBytes || later && s.flights.len()+n > maxInFlight
}
