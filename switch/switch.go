package vswitch

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
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
	names     map[string]*Port
	owner     map[MAC]*Port
	macs      macTable
	unlearned uint64
	installed []*InstalledRule // all; see setRules
	nrules    int
	force     atomic.Pointer[inForce]
	held      Holds[path, *event]
	delivered bool       // the recorder wants deliveries
	recording sync.Mutex // one call of the recorder at a time, in virtual time; taken after w.mu
	recordErr error      // of the recorder, for good; guarded by recording

	// In real time mu guards what is said to be the loop's, and what follows. It is
	// taken before the world's.
	mu      sync.Mutex
	waiting int         // frames and copies in flights and inboxes, and being handed over
	flights eventQueue  // that do not arrive at once
	flying  int         // bytes in these
	landing *time.Timer // for the first of them
	landsAt int64       // what it is set to; 0: not set

	asked uint64 // questions to rules so far, the loop's

	// Scratch of one frame, the loop's.
	frame     Frame
	sent      Sent
	receivers []Receiver
	arrivals  []time.Time
	fromHits  []fromHit
	verdict   Verdict
}

// inForce is what holds for a frame that enters. It is replaced as a whole, by whoever
// holds the world's mu, and never changed in place: a frame being decided keeps what
// it began with.
type inForce struct {
	ports    []*Port          // open ones, in order of their numbers
	rules    []*InstalledRule // those that are on
	gates    []*InstalledRule // those of these that are a Gate
	watchers []Watcher        // rules that are off and want to see frames
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
		macs: macTable{max: cfg.MACs, ageing: int64(cfg.Ageing), m: map[MAC]*macEntry{}, full: never},
	}
	s.force.Store(&inForce{})
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
func (s *Switch) Ports() []*Port { return slices.Clone(s.force.Load().ports) }

// setPorts replaces the open ports. w.mu is held.
func (s *Switch) setPorts(ports []*Port) {
	force := *s.force.Load()
	force.ports = ports
	s.force.Store(&force)
}

// Unlearned counts the frames whose source address the full table could not take.
func (s *Switch) Unlearned() uint64 {
	s.lock()
	defer s.unlock()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.unlearned
}

// Connect plugs a new port's cable into the switch; e is at its other end. Names
// and addresses are unique on a switch.
func (s *Switch) Connect(cfg PortConfig, e Endpoint) (*Port, error) {
	w := s.w
	s.lock()
	defer s.unlock()
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
		if w.cfg.RealTime {
			cfg.Latency = DefaultLiveLatency
		}
	}
	if cfg.Patience == 0 {
		cfg.Patience = DefaultPatience
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
	s.setPorts(append(slices.Clip(s.force.Load().ports), p))
	if w.cfg.RealTime {
		p.startInbox()
	}
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

// record hands an event to the recorder, if there is one. After its first error a
// recorder is told nothing more: what it wrote ends there.
func (s *Switch) record(e Event) error {
	if s.cfg.Recorder == nil {
		return nil
	}
	if !s.w.cfg.RealTime { // there mu is held
		s.recording.Lock()
		defer s.recording.Unlock()
	}
	if s.recordErr != nil {
		return s.recordErr
	}
	if err := s.cfg.Recorder.Record(e); err != nil {
		s.recordErr = fmt.Errorf("recording %s: %w", s.cfg.Name, err)
	}
	return s.recordErr
}

// Inspect calls f while no frame enters the switch and nothing on it changes: f may
// read the counters of its ports and rules, also while the world runs. It must not call
// anything else of the world, not even Rules, and be quick. It is not for what the world itself calls
// (endpoints, rules, recorders).
func (s *Switch) Inspect(f func()) { s.change("inspect", f) }

// closePort takes p off the switch. The loop calls it, or whoever ends the world.
func (s *Switch) closePort(p *Port) error {
	s.lock()
	defer s.unlock()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	p.closing = true
	if p.closed {
		return nil
	}
	p.closed = true
	p.gone.Store(true)
	if s.w.cfg.RealTime {
		p.shutInbox()
	}
	p.counters.RxInFlight = p.inFlight
	s.setPorts(slices.DeleteFunc(s.Ports(), func(q *Port) bool { return q == p }))
	delete(s.names, p.cfg.Name)
	delete(s.owner, p.cfg.MAC)
	s.macs.forget(p)
	return s.record(&Disconnected{Time: s.w.Now(), Port: p, Cut: s.w.cut})
}
