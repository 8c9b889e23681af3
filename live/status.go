package live

import (
	"time"

	"github.com/vnreplay/vnreplay/apps"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Status is what a switch did until now. Its numbers are of one instant.
type Status struct {
	Began time.Time     `json:"began"`
	Took  time.Duration `json:"took_ns"`         // so far, or until it ended
	Ended string        `json:"ended,omitempty"` // why it ended, such as EndStopped; empty while it runs

	Seed   uint64 `json:"seed"`
	Frames uint64 `json:"frames"` // that entered the switch
	Bytes  uint64 `json:"bytes"`  // of these, with Ethernet headers

	Affected  vswitch.RuleCounts `json:"affected"` // frames that rules affected, each once in each field
	Ports     []PortStatus       `json:"ports"`
	Rules     []RuleStatus       `json:"rules"`
	Recording RecordingStatus    `json:"recording"`
}

// PortStatus is what came and went at a port. In is from the port into the switch.
type PortStatus struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // the device's spec, or the host's addresses
	// Open is false of a port that went away.
	Open bool `json:"open"`
	// Up is false when the cable is pulled out.
	Up        bool   `json:"up"`
	InFrames  uint64 `json:"in_frames"`
	InBytes   uint64 `json:"in_bytes"`
	OutFrames uint64 `json:"out_frames"` // that were handed over
	OutBytes  uint64 `json:"out_bytes"`
	// Lost counts frames that did not reach this port as a receiver, or did not
	// get from it to the switch, by cause: rule, queue, down, mtu, reserved.
	Lost map[string]uint64 `json:"lost,omitempty"`
	// Refused counts frames that the port did not let in: shorter than an Ethernet
	// header or longer than its MTU.
	Refused uint64 `json:"refused,omitempty"`
	// Device is what the device lost, if the port is one.
	Device *DeviceStatus `json:"device,omitempty"`
	Apps   []AppStatus   `json:"apps,omitempty"`
}

// DeviceStatus is [tap.Counters], as JSON.
type DeviceStatus struct {
	RxOversize  uint64 `json:"rx_oversize"`
	RxMalformed uint64 `json:"rx_malformed"`
	RxForeign   uint64 `json:"rx_foreign"`
	RxOffload   uint64 `json:"rx_offload"`
	RxDropped   uint64 `json:"rx_dropped"`

	TxInvalid uint64 `json:"tx_invalid"`
	TxDown    uint64 `json:"tx_down"`
	TxDropped uint64 `json:"tx_dropped"`

	Connects    uint64 `json:"connects"`
	Disconnects uint64 `json:"disconnects"`
	Refused     uint64 `json:"refused"`
}

// AppStatus is what an application of a host did.
type AppStatus struct {
	Name string `json:"name"`
	apps.Result
}

// Status returns what happened so far. It may be called at any time after Start, also
// after Close.
func (s *Switch) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Began: s.began.UTC(), Took: s.took, Ended: s.ended, Seed: s.cfg.Seed,
		Ports: make([]PortStatus, len(s.ports)), Rules: make([]RuleStatus, len(s.rules))}
	if s.ended == "" {
		st.Took = time.Since(s.began)
	}
	st.Recording = s.rec.status()
	s.sw.Inspect(func() {
		st.Frames, st.Bytes, st.Affected = s.meter.frames, s.meter.bytes, s.meter.affected
		for i, p := range s.ports {
			st.Ports[i].count(p.port)
		}
		for i, r := range s.rules {
			st.Rules[i] = r.status()
			st.Affected.Refused += st.Rules[i].Refused
		}
	})
	for i, p := range s.ports {
		st.Ports[i].describe(p)
	}
	return st
}

// count takes the port's counters, inside of Inspect.
func (st *PortStatus) count(p *vswitch.Port) {
	c := p.Counters()
	st.Open, st.Up = !p.Closed(), p.IsUp()
	st.InFrames, st.InBytes = c.TxFrames, c.TxBytes
	st.OutFrames, st.OutBytes = c.RxFrames, c.RxBytes
	st.Refused = c.Runts + c.Oversize
	for i := range c.RxLost {
		if n := c.RxLost[i] + c.TxLost[i]; n > 0 {
			if st.Lost == nil {
				st.Lost = map[string]uint64{}
			}
			st.Lost[vswitch.Loss(i).String()] = n
		}
	}
}

// describe says what hangs at the port, and what that counted.
func (st *PortStatus) describe(p *port) {
	st.Name, st.Kind = p.cfg.Name, p.cfg.Device
	if p.dev != nil {
		c := DeviceStatus(p.counters())
		st.Device = &c
		return
	}
	st.Kind = "host"
	for _, a := range p.cfg.Host.Addrs {
		st.Kind += " " + a.String()
	}
	for _, a := range p.apps {
		st.Apps = append(st.Apps, AppStatus{a.Name, a.Result()})
	}
}
