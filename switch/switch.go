package vswitch

import (
	"container/heap"
	"fmt"
	"slices"
	"sync"
	"time"
)

// SwitchConfig describes a switch. The zero value is a learning switch that
// nobody records.
type SwitchConfig struct {
	// Name of the switch, for messages. Default "switch" and its number.
	Name string
	// Hub makes the switch send every frame to all other ports.
	Hub bool
	// MACs bounds the address table of a learning switch; when it is full, new
	// addresses are not learned, counted in [Switch.Unlearned], and flooded.
	// Default DefaultMACs.
	MACs int
	// Ageing is how long an address is remembered after it was last a source, on
	// the world's clock. Default DefaultAgeing.
	Ageing time.Duration
	// Recorder is told what happens on the switch. The switch does not close it.
	Recorder Recorder
}

// Switch forwards Ethernet frames between its ports. A learning switch (the
// default) sends a frame to the port behind which it last saw the destination,
// and floods unknown unicast, multicast and broadcast to all other ports; never
// back to the ingress. Addresses of group 01-80-c2-00-00-00..0f are not forwarded.
type Switch struct {
	w         *World
	cfg       SwitchConfig
	ports     []*Port // open ones, in order of their numbers
	names     map[string]*Port
	owner     map[MAC]*Port
	macs      macTable
	unlearned uint64
	rules     []*InstalledRule // replaced, never changed in place
	nrules    int
	delivered bool       // the recorder wants deliveries
	recording sync.Mutex // one call of the recorder at a time; taken after w.mu
	recordErr error      // of the recorder, for good; guarded by recording

	// What holds for the frame being decided, the loop's.
	inForce []*InstalledRule
	present []*Port

	// Scratch of one frame, the loop's.
	frame     Frame
	sent      Sent
	receivers []Receiver
	arrivals  []time.Time
	fromHits  []Verdict
}

// NewSwitch adds a switch to the world.
func (w *World) NewSwitch(cfg SwitchConfig) (*Switch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase >= closing {
		return nil, fmt.Errorf("switch %q: %w", cfg.Name, errClosed)
	}
	if cfg.Name == "" {
		cfg.Name = fmt.Sprintf("switch%d", len(w.switches))
	}
	if cfg.MACs == 0 {
		cfg.MACs = DefaultMACs
	}
	if cfg.Ageing == 0 {
		cfg.Ageing = DefaultAgeing
	}
	if cfg.MACs < 0 || cfg.Ageing < 0 {
		return nil, fmt.Errorf("switch %s: address table of %d entries, ageing %v: want positive values", cfg.Name, cfg.MACs, cfg.Ageing)
	}
	s := &Switch{
		w: w, cfg: cfg,
		names: map[string]*Port{}, owner: map[MAC]*Port{},
		macs: macTable{max: cfg.MACs, ageing: int64(cfg.Ageing), m: map[MAC]macEntry{}, full: never},
	}
	if d, ok := cfg.Recorder.(DeliveryRecorder); ok {
		s.delivered = d.WantDeliveries()
	}
	w.switches = append(w.switches, s)
	return s, nil
}

// World returns the world the switch is in.
func (s *Switch) World() *World { return s.w }

// Name returns the switch's name.
func (s *Switch) Name() string { return s.cfg.Name }

// Ports returns the open ports in order of their numbers.
func (s *Switch) Ports() []*Port {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return slices.Clone(s.ports)
}

// Unlearned counts the frames whose source address the full table could not take.
func (s *Switch) Unlearned() uint64 {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.unlearned
}

// Connect plugs a new port's cable into the switch; e is at its other end. Names
// and addresses are unique on a switch.
func (s *Switch) Connect(cfg PortConfig, e Endpoint) (*Port, error) {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase >= closing {
		return nil, fmt.Errorf("port %q: %w", cfg.Name, errClosed)
	}
	n := w.nports
	if cfg.Name == "" {
		cfg.Name = fmt.Sprintf("port%d", n)
	}
	if cfg.MAC == (MAC{}) {
		cfg.MAC = PortMAC(n)
	}
	if cfg.MTU == 0 {
		cfg.MTU = DefaultMTU
	}
	if cfg.Latency == 0 {
		cfg.Latency = DefaultLatency
	}
	if cfg.Queue == 0 {
		cfg.Queue = DefaultQueue
	}
	switch {
	case e == nil:
		return nil, fmt.Errorf("port %s: no endpoint", cfg.Name)
	case !validName(cfg.Name):
		return nil, fmt.Errorf("port name %q: want letters, digits, and _ . - inside", cfg.Name)
	case slices.Contains(reservedNames, cfg.Name):
		return nil, fmt.Errorf("port name %q: the word has a meaning in rules and recordings", cfg.Name)
	case s.names[cfg.Name] != nil:
		return nil, fmt.Errorf("port %s: the name is taken on %s", cfg.Name, s.cfg.Name)
	case cfg.MAC.IsGroup():
		return nil, fmt.Errorf("port %s: %v is a group address", cfg.Name, cfg.MAC)
	case s.owner[cfg.MAC] != nil:
		return nil, fmt.Errorf("port %s: %v already belongs to port %s", cfg.Name, cfg.MAC, s.owner[cfg.MAC].cfg.Name)
	case cfg.MTU < 0 || cfg.MTU > MaxMTU:
		return nil, fmt.Errorf("port %s: MTU %d: want 1 to %d", cfg.Name, cfg.MTU, MaxMTU)
	case cfg.Latency > MaxDelay:
		return nil, fmt.Errorf("port %s: latency %v: want at most %v", cfg.Name, cfg.Latency, MaxDelay)
	case cfg.Latency < 0 || cfg.Rate < 0 || cfg.Queue < 0:
		return nil, fmt.Errorf("port %s: latency %v, rate %d bit/s, queue %d: want positive values", cfg.Name, cfg.Latency, cfg.Rate, cfg.Queue)
	}
	p := &Port{
		sw: s, cfg: cfg, number: n, endpoint: e,
		up:       wire{rate: cfg.Rate, queue: cfg.Queue},
		downlink: wire{rate: cfg.Rate, queue: cfg.Queue},
	}
	if err := s.record(&Connected{Time: w.Now(), Port: p}); err != nil {
		return nil, err
	}
	w.nports++
	s.names[cfg.Name], s.owner[cfg.MAC] = p, p
	s.ports = append(s.ports, p)
	return p, nil
}

// reservedNames cannot be told from the words around them in "drop 2% from client"
// and "vnr.to=all".
var reservedNames = []string{"all", "none", "from", "to", "if", "during", "for", "after", "until"}

// Port returns the open port with the given name.
func (s *Switch) Port(name string) (*Port, bool) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	p, ok := s.names[name]
	return p, ok
}

// AddRule puts r behind the rules the switch has; frames that enter from now on
// are judged by it too. name is what recordings and summaries call it; it may be
// empty.
func (s *Switch) AddRule(name string, r Rule) *InstalledRule {
	if r == nil {
		panic(fmt.Sprintf("vswitch: rule %q is nil", name))
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.nrules++
	in := &InstalledRule{number: s.nrules, name: name, rule: r, sw: s}
	s.rules = append(slices.Clip(s.rules), in)
	return in
}

// Rules returns the rules in force, in order.
func (s *Switch) Rules() []*InstalledRule {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return slices.Clone(s.rules)
}

func (s *Switch) removeRule(r *InstalledRule) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.rules = slices.DeleteFunc(slices.Clone(s.rules), func(in *InstalledRule) bool { return in == r })
}

// record hands an event to the recorder, if there is one. After its first error a
// recorder is told nothing more: what it wrote ends there.
func (s *Switch) record(e Event) error {
	if s.cfg.Recorder == nil {
		return nil
	}
	s.recording.Lock()
	defer s.recording.Unlock()
	if s.recordErr != nil {
		return s.recordErr
	}
	if err := s.cfg.Recorder.Record(e); err != nil {
		s.recordErr = fmt.Errorf("recording %s: %w", s.cfg.Name, err)
	}
	return s.recordErr
}

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

// closePort takes p off the switch. The loop calls it, or whoever ends the world.
func (s *Switch) closePort(p *Port) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	p.closing = true
	if p.closed {
		return nil
	}
	p.closed = true
	p.counters.RxInFlight = p.inFlight
	s.ports = slices.DeleteFunc(slices.Clone(s.ports), func(q *Port) bool { return q == p })
	delete(s.names, p.cfg.Name)
	delete(s.owner, p.cfg.MAC)
	s.macs.forget(p)
	return s.record(&Disconnected{Time: s.w.Now(), Port: p, Cut: s.w.cut})
}
