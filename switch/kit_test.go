package vswitch_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// No test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lan is a world with one switch and raw stations on it: the kit most tests
// here are built with.
type lan struct {
	t        testing.TB
	w        *vswitch.World
	sw       *vswitch.Switch
	node     *vswitch.Node // the script's own clock
	stations map[string]*station
	horizon  time.Duration // of what the script scheduled
}

// station is a port and what arrived at it.
type station struct {
	*vswitch.Port
	t   testing.TB
	got []arrival
	// on, if set, is called for each arrival.
	on func(data []byte)
}

// arrival is a frame as it reached a station, and when after the world's start.
type arrival struct {
	at   time.Duration
	data string
}

func (a arrival) String() string { return fmt.Sprintf("%v %s", a.at, payload([]byte(a.data))) }

// newLAN makes a world in which every name is a port with default settings.
func newLAN(t testing.TB, cfg vswitch.SwitchConfig, names ...string) *lan {
	t.Helper()
	return newLANIn(t, vswitch.Config{}, cfg, names...)
}

func newLANIn(t testing.TB, world vswitch.Config, cfg vswitch.SwitchConfig, names ...string) *lan {
	t.Helper()
	w := vswitch.NewWorld(world)
	t.Cleanup(func() { _ = w.Close() })
	sw, err := w.NewSwitch(cfg)
	must(t, err)
	node, err := w.NewNode("script")
	must(t, err)
	l := &lan{t: t, w: w, sw: sw, node: node, stations: map[string]*station{}}
	for _, name := range names {
		l.connect(vswitch.PortConfig{Name: name})
	}
	return l
}

func (l *lan) connect(cfg vswitch.PortConfig) *station {
	l.t.Helper()
	s := &station{t: l.t}
	p, err := l.sw.Connect(cfg, vswitch.EndpointFunc(func(data []byte) {
		s.got = append(s.got, arrival{l.w.Now().Sub(l.w.Start()), string(data)})
		if s.on != nil {
			s.on(data)
		}
	}))
	must(l.t, err)
	s.Port = p
	l.stations[p.Name()] = s
	return s
}

// at lets f happen d after the world's start.
func (l *lan) at(d time.Duration, f func()) {
	l.node.StackClock().AfterFunc(d, f)
	l.horizon = max(l.horizon, d)
}

// run runs the world until all that was scheduled has happened and arrived.
func (l *lan) run() {
	l.t.Helper()
	must(l.t, l.tryRun())
}

func (l *lan) tryRun() error {
	return l.w.Run(context.Background(), func(context.Context) error { return sleep(l.node, l.horizon) })
}

// send puts a frame for dst on s's cable, from s's own address.
func (s *station) send(dst vswitch.MAC, text string) {
	s.t.Helper()
	s.sendFrom(s.MAC(), dst, text)
}

func (s *station) sendFrom(src, dst vswitch.MAC, text string) {
	s.t.Helper()
	if err := s.Send(ether(dst, src, text)); err != nil {
		s.t.Errorf("%s: sending %q: %v", s.Name(), text, err)
	}
}

// texts are the payloads that arrived, in order.
func (s *station) texts() string {
	var ts []string
	for _, a := range s.got {
		ts = append(ts, payload([]byte(a.data)))
	}
	return strings.Join(ts, " ")
}

// arrivals are the instants and payloads of what arrived, in order.
func (s *station) arrivals() string {
	var ts []string
	for _, a := range s.got {
		ts = append(ts, a.String())
	}
	return strings.Join(ts, ", ")
}

// ether builds a frame of the EtherType for local experiments.
func ether(dst, src vswitch.MAC, text string) []byte {
	b := append(append([]byte{}, dst[:]...), src[:]...)
	return append(append(b, 0x88, 0xb5), text...)
}

// sized is a frame of n bytes, its header included.
func sized(dst, src vswitch.MAC, n int) []byte {
	return ether(dst, src, strings.Repeat("x", n-vswitch.HeaderLen))
}

func payload(data []byte) string { return string(data[vswitch.HeaderLen:]) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// equal compares what came with what should have.
func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// sleep parks the caller for d on the node's clock.
func sleep(n *vswitch.Node, d time.Duration) error { return sleepKey(n, d, d.String()) }

// sleepKey is sleep with a key for the order of calls.
func sleepKey(n *vswitch.Node, d time.Duration, key string) error {
	var op *vswitch.Op
	var timer vswitch.Timer
	fired := false
	op = &vswitch.Op{
		Kind: vswitch.OpSleep,
		Key:  key,
		What: func() string { return "for " + d.String() },
		Try: func() bool {
			if timer == nil {
				timer = n.AppClock(0).AfterFunc(d, func() { fired = true; n.Wake(op) })
			}
			return fired
		},
	}
	return n.Do(op)
}

// log is a recorder that writes a line of text per event. It is the test double
// of a recording.
type log struct {
	lines      []string
	deliveries bool // also lines for deliveries
	failAt     int  // the line that fails, from 1; 0: none
	err        error
	closed     int
}

func (r *log) WantDeliveries() bool { return r.deliveries }

func (r *log) Record(e vswitch.Event) error {
	r.lines = append(r.lines, describe(e))
	if len(r.lines) == r.failAt {
		return r.err
	}
	return nil
}

func (r *log) Close() error { r.closed++; return nil }

func (r *log) String() string { return strings.Join(r.lines, "\n") }

func describe(e vswitch.Event) string {
	var b strings.Builder
	stamp := func(at time.Time, p *vswitch.Port) time.Duration { return at.Sub(p.Switch().World().Start()) }
	switch e := e.(type) {
	case *vswitch.Connected:
		fmt.Fprintf(&b, "%v connected %s", stamp(e.Time, e.Port), e.Port.Name())
	case *vswitch.Disconnected:
		fmt.Fprintf(&b, "%v disconnected %s", stamp(e.Time, e.Port), e.Port.Name())
	case *vswitch.Changed:
		fmt.Fprintf(&b, "%v %v ", e.Time.Sub(vswitch.DefaultStart), e.What)
		if e.Rule != nil {
			fmt.Fprintf(&b, "rule %d:%s", e.Rule.Number(), e.Rule.Name())
		} else {
			fmt.Fprintf(&b, "port %s", e.Port.Name())
		}
	case *vswitch.Delivered:
		fmt.Fprintf(&b, "%v delivered #%d %s %q", stamp(e.Time, e.Port), e.Seq, e.Port.Name(), e.Data[vswitch.HeaderLen:])
	case *vswitch.Sent:
		fmt.Fprintf(&b, "%v sent #%d %s %q", stamp(e.At, e.From), e.Seq, e.From.Name(), e.Data[vswitch.HeaderLen:])
		if e.Lost != vswitch.NotLost {
			fmt.Fprintf(&b, " lost=%s", e.Lost)
		}
		if e.Simple {
			b.WriteString(" simple")
		}
		if e.All {
			b.WriteString(" all")
		}
		for _, r := range e.Receivers {
			fmt.Fprintf(&b, " %s", r.Port.Name())
			if r.Lost != vswitch.NotLost {
				fmt.Fprintf(&b, "!%s", r.Lost)
			}
			for _, at := range r.Arrivals {
				fmt.Fprintf(&b, "@%v", stamp(at, r.Port))
			}
		}
		for _, h := range e.Hits {
			fmt.Fprintf(&b, " [%d:%s", h.Rule.Number(), h.Rule.Name())
			if h.To != nil {
				fmt.Fprintf(&b, " at %s", h.To.Name())
			}
			if h.Drop {
				b.WriteString(" drop")
			}
			if h.Copies != 0 {
				fmt.Fprintf(&b, " copies=%d gap=%v", h.Copies, h.Gap)
			}
			if h.Delay != 0 {
				fmt.Fprintf(&b, " delay=%v", h.Delay)
			}
			for _, ed := range h.Edits {
				fmt.Fprintf(&b, " @%d:%x>%x", ed.Offset, ed.Old, ed.New)
			}
			if h.Truncate != 0 {
				fmt.Fprintf(&b, " truncate=%d", h.Truncate)
			}
			if h.Pad != 0 {
				fmt.Fprintf(&b, " pad=%d", h.Pad)
			}
			if h.Behind != 0 {
				fmt.Fprintf(&b, " behind=%d within=%v", h.Behind, h.Within)
			}
			if h.Reason != "" {
				fmt.Fprintf(&b, " reason=%s", h.Reason)
			}
			b.WriteString("]")
		}
	}
	return b.String()
}
