package vswitch

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A world in real time has no loop. A frame's fate is decided on the goroutine of its
// sender, under the mu of its switch, by the same code; arrivals that are due go into
// the inboxes of their ports (see inbox.go), others wait for a timer. Blocking calls
// are tried on the goroutines that make them. Locks are taken in the order switch,
// world.

const (
	// promptly is how much earlier than planned a frame may arrive: what timers
	// cannot tell apart.
	promptly = 10 * time.Microsecond
	// What connections in mid-close, and frames in flight, get of real time after the
	// last client application has returned.
	liveLastWords = 3 * time.Second
	liveLingering = time.Second
	// leaving is how long applications and endpoints have to return when the run is over.
	leaving = 5 * time.Second
)

// RealTime reports whether the world is one in real time.
func (w *World) RealTime() bool { return w.cfg.RealTime }

// lock takes the switch's mu in a world in real time. In virtual time what it guards
// is the loop's.
func (s *Switch) lock() {
	if s.w.cfg.RealTime {
		s.mu.Lock()
	}
}

func (s *Switch) unlock() {
	if s.w.cfg.RealTime {
		s.mu.Unlock()
	}
}

// sendLive is [Port.SendBatch] in real time.
func (p *Port) sendLive(frames [][]byte) (sent int, err error) {
	s := p.sw
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.w.nowNanos()
	for _, data := range frames {
		if s.waiting >= mayFill && s.awaitRoom(p, data, now) {
			now = s.w.nowNanos()
		}
		if refused := p.admit(data); refused != nil {
			if refused == errClosed {
				return sent, refused
			}
			err = errors.Join(err, refused)
			continue
		}
		if failed := s.enter(p, data, now); failed != nil {
			s.w.fail(failed)
			return sent, errClosed
		}
		sent++
	}
	return sent, err
}

// admit returns why a frame may not enter, and counts it. s.mu is held.
func (p *Port) admit(data []byte) error {
	switch {
	case p.closed:
		return errClosed
	case len(data) < HeaderLen:
		p.counters.Runts++
		return ErrRunt
	case len(data) > p.maxLen(data):
		p.counters.Oversize++
		return &SizeError{Port: p.cfg.Name, Len: len(data), MTU: p.cfg.MTU}
	}
	return p.sw.refuse(p, data)
}

// deliverLive puts into the inboxes what arrives now, and schedules the rest.
// s.mu is held.
func (s *Switch) deliverLive(sent *Sent, now int64) {
	due := now + int64(promptly)
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
		for _, t := range rc.Arrivals {
			at := t.UnixNano()
			q.inFlight++
			s.waiting++
			if hold == nil && at <= due {
				s.landUntil(at) // whose timer is late: this one comes after them
				s.tell(q, sent, at)
				q.put(sent.Data, sent.Hits, rc.pad)
				continue
			}
			data := sent.apply(q, append(make([]byte, 0, len(sent.Data)+rc.pad), sent.Data...))
			q.seq++
			s.flying += len(data)
			ev := &event{at: at, class: classDelivery, owner: q.number, seq: q.seq, port: q, frame: sent.Seq, data: data, held: hold}
			s.flights.push(ev)
			if hold != nil {
				hold.Copies = append(hold.Copies, ev)
			}
		}
		if hold == nil && s.held.Len() > 0 {
			s.passed(&s.flights, on, rc.Arrivals[0].UnixNano())
		}
	}
	if s.flights.len() > 0 {
		s.setLanding()
	}
}

// tell records that a frame arrived at q, for a recorder that wants that.
func (s *Switch) tell(q *Port, sent *Sent, at int64) {
	if !s.delivered {
		return
	}
	data := sent.apply(q, append([]byte(nil), sent.Data...))
	if err := s.record(&Delivered{Time: time.Unix(0, at).UTC(), Port: q, Seq: sent.Seq, Data: data}); err != nil {
		s.w.fail(err)
	}
}

// setLanding sets the timer for the first frame in flight. s.mu is held.
func (s *Switch) setLanding() {
	at := s.flights.first().at
	if s.landing == nil {
		s.landing = time.AfterFunc(time.Duration(at-s.w.nowNanos()), s.land)
		s.landsAt = at
	} else if s.landsAt != at {
		s.landing.Reset(time.Duration(at - s.w.nowNanos()))
		s.landsAt = at
	}
}

// land hands over the frames in flight that are due.
func (s *Switch) land() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.landUntil(s.w.nowNanos())
	s.landsAt = 0
	if s.flights.len() > 0 {
		s.setLanding()
	}
}

// landUntil hands over the frames in flight that arrive up to an instant. They find room
// in any inbox: when they entered it was said that they would arrive. s.mu is held.
func (s *Switch) landUntil(at int64) {
	for s.flights.len() > 0 && s.flights.first().at <= at {
		ev := s.flights.pop()
		s.flying -= len(ev.data)
		s.letGo(ev)
		if s.delivered {
			if err := s.record(&Delivered{Time: time.Unix(0, ev.at).UTC(), Port: ev.port, Seq: ev.frame, Data: ev.data}); err != nil {
				s.w.fail(err)
			}
		}
		ev.port.put(ev.data, nil, 0)
	}
}

// forgetFlights forgets frames in flight. s.mu is held.
func (s *Switch) forgetFlights(which func(*event) bool) {
	s.flights.removeAll(func(ev *event) bool {
		if !which(ev) {
			return false
		}
		s.flying -= len(ev.data)
		s.waiting--
		s.letGo(ev)
		return true
	})
}

// doLive is [Node.Do] in real time: the caller tries, whenever it is woken.
func (n *Node) doLive(op *Op) error {
	w := n.w
	if op.Try() {
		return nil
	}
	w.mu.Lock()
	op.done = make(chan error, 1)
	w.arrivals++
	op.node, op.arrival, op.since, op.active, op.index = n, w.arrivals, w.nowNanos(), true, -1
	w.waiting[op] = struct{}{}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		op.active = false
		delete(w.waiting, op)
	}()
	// Again, since nobody woke it before it was known to wait.
	for !op.Try() {
		select {
		case <-op.done:
		case <-w.ended:
			if op.Kind == OpClose && op.Try() {
				return nil
			}
			return errClosed
		}
	}
	return nil
}

// liveTimer is a [Timer] of real time.
type liveTimer struct{ t *time.Timer }

func (t liveTimer) Stop() bool                 { return t.t.Stop() }
func (t liveTimer) Reset(d time.Duration) bool { return t.t.Reset(d) }

// fail ends the run with an error, such as a recorder's. The first one counts.
func (w *World) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure == nil {
		w.failure = err
	}
	if w.cancel != nil {
		w.cancel(err)
	}
}

// runLive is Run in real time.
func (w *World) runLive(ctx context.Context, main func(context.Context) error) error {
	appCtx, cancel := context.WithCancelCause(context.WithValue(ctx, insideKey{}, w))
	defer cancel(nil)
	w.mu.Lock()
	if w.phase != idle {
		w.mu.Unlock()
		return errors.New("World.Run: a world runs only once")
	}
	w.phase = running
	w.ctx, w.cancel = appCtx, cancel
	if w.failure != nil { // by frames that came before
		cancel(w.failure)
	}
	w.apps = append([]*application{{name: "main", fn: main, client: true}}, w.apps...)
	for _, a := range w.apps {
		w.launch(a)
	}
	w.mu.Unlock()
	defer w.end()

	began := time.Now()
	if limit := w.cfg.WallLimit; limit > 0 {
		defer time.AfterFunc(limit, func() { cancel(fmt.Errorf("%w: %v of real time", ErrLimit, limit)) }).Stop()
	}
	for !w.clientsDone() && appCtx.Err() == nil {
		select {
		case <-w.returned:
		case <-appCtx.Done():
		}
	}
	var harness error
	if appCtx.Err() == nil {
		w.linger(appCtx)
	}
	if cause := context.Cause(appCtx); cause != nil && !errors.Is(cause, ErrStopped) {
		harness = w.explain(cause)
	}
	w.mu.Lock() // ports may be closed by others, too
	w.cut = harness
	w.mu.Unlock()
	portsErr := w.closePorts()
	if errors.Is(harness, portsErr) {
		portsErr = nil
	}
	w.stats.Virtual = time.Since(began)
	w.stats.Wall = w.stats.Virtual
	return w.verdict(harness, portsErr, w.shutdownLive(func() { cancel(nil) }))
}

// linger waits, for a while, for connections in mid-close and frames in flight.
func (w *World) linger(ctx context.Context) {
	began := time.Now()
	for ctx.Err() == nil {
		all := w.midClosing()
		w.mu.Lock()
		switches := w.switches
		w.mu.Unlock()
		under := 0
		for _, s := range switches {
			s.mu.Lock()
			under += s.waiting
			s.mu.Unlock()
		}
		past := time.Since(began)
		if (all.Unacknowledged == 0 || past > liveLastWords) && (all.Waiting == 0 && under == 0 || past > liveLingering) {
			w.stats.CutOff = uint64(all.Unacknowledged)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// shutdownLive lets every parked call return, and waits for the applications.
func (w *World) shutdownLive(cancel func()) error {
	w.mu.Lock()
	w.phase = closing
	close(w.ended)
	w.mu.Unlock()
	cancel()
	late := time.After(leaving)
	for {
		var names []string
		w.mu.Lock()
		for _, a := range w.apps {
			if !a.done {
				names = append(names, a.name)
			}
		}
		w.mu.Unlock()
		if names == nil {
			return nil
		}
		select {
		case <-w.returned:
		case <-late:
			return fmt.Errorf("%w: the run is over and %s did not return within %v", ErrStuck, someOf(names), leaving)
		}
	}
}

// awaitPumps waits for the goroutines of closed ports.
func (w *World) awaitPumps() error {
	gone := make(chan struct{})
	go func() { w.pumps.Wait(); close(gone) }()
	select {
	case <-gone:
		return nil
	case <-time.After(leaving):
		return fmt.Errorf("%w: an endpoint keeps a frame for more than %v after its port was closed", ErrStuck, leaving)
	}
}

// stopLanding forgets all frames in flight.
func (s *Switch) stopLanding() {
	s.lock()
	defer s.unlock()
	s.forgetFlights(func(*event) bool { return true })
	s.flights, s.landsAt = eventQueue{}, 0
	if s.landing != nil {
		s.landing.Stop()
	}
}
