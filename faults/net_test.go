package faults_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/switch"
)

// lan is a switch with three ports, for frames that are sent without any stack
// ("open loop": what is lost does not change what is sent).
type lan struct {
	t       testing.TB
	world   *vswitch.World
	sw      *vswitch.Switch
	ports   []*vswitch.Port // client, server, spy
	node    *vswitch.Node
	arrived []string
	hits    []string // rule number, frame, cable, what
	extract faults.Extractor
	seq     uint64 // of frames given to judge
	quiet   bool   // keep no notes
}

const (
	client = iota
	server
	spy
)

// newLAN returns a learning switch.
func newLAN(t testing.TB, seed uint64) *lan {
	t.Helper()
	return newNet(t, seed, false)
}

// newHub returns a hub, where nothing is learned: what one rule loses does not
// change where the next frame goes.
func newHub(t testing.TB, seed uint64) *lan {
	t.Helper()
	return newNet(t, seed, true)
}

// newNet returns a switch; cables are those of the ports, in their order, where
// they differ from the default.
func newNet(t testing.TB, seed uint64, hub bool, cables ...vswitch.PortConfig) *lan {
	t.Helper()
	l := &lan{t: t, world: vswitch.NewWorld(vswitch.Config{Seed: seed})}
	t.Cleanup(func() { l.world.Close() })
	var err error
	if l.sw, err = l.world.NewSwitch(vswitch.SwitchConfig{Name: "lan", Hub: hub, Recorder: l}); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"client", "server", "spy"} {
		var cfg vswitch.PortConfig
		if i < len(cables) {
			cfg = cables[i]
		}
		cfg.Name = name
		p, err := l.sw.Connect(cfg, vswitch.EndpointFunc(func(data []byte) {
			if l.quiet {
				return
			}
			l.arrived = append(l.arrived, fmt.Sprintf("%v %s %x", l.now(), name, data))
		}))
		if err != nil {
			t.Fatal(err)
		}
		l.ports = append(l.ports, p)
	}
	if l.node, err = l.world.NewNode("clock"); err != nil {
		t.Fatal(err)
	}
	return l
}

// install puts the rules on the switch.
func (l *lan) install(texts ...string) []*faults.Installed {
	l.t.Helper()
	rules, err := faults.ParseAll(texts)
	if err != nil {
		l.t.Fatal(err)
	}
	installed, err := faults.Install(l.sw, rules)
	if err != nil {
		l.t.Fatal(err)
	}
	return installed
}

// compile gives a rule that can be asked directly.
func (l *lan) compile(text string) *faults.Compiled {
	l.t.Helper()
	return mustParse(l.t, text).Compile(faults.Keys{Seed: l.world.Seed(), Switch: "lan", Occurrence: 1})
}

// judge asks about one frame on one cable; to < 0 is the sender's.
func (l *lan) judge(c *faults.Compiled, data []byte, from, to int) vswitch.Verdict {
	return l.judgeAt(c, data, from, to, 0)
}

// judgeAt is judge at an instant, from the start of the run.
func (l *lan) judgeAt(c *faults.Compiled, data []byte, from, to int, at time.Duration) vswitch.Verdict {
	l.seq++
	f := &vswitch.Frame{Data: data, Seq: l.seq, At: l.world.Start().Add(at), From: l.ports[from]}
	var cable *vswitch.Port
	if to >= 0 {
		cable = l.ports[to]
	}
	v := vswitch.Verdict{}
	if did := c.Judge(f, cable, &v); did == v.IsZero() {
		l.t.Fatalf("%q: it says %v, the verdict is %s", c.Rule(), did, verdictText(v))
	}
	return v
}

// now is the time since the run's start.
func (l *lan) now() time.Duration { return l.world.Now().Sub(l.world.Start()) }

// sent is one frame of open-loop traffic.
type sent struct {
	from int
	data []byte
}

// run sends the frames, a millisecond apart, and returns when all have arrived.
// What a rule refuses inside the write is not there: it goes on.
func (l *lan) run(traffic []sent) {
	l.t.Helper()
	l.script(func() {
		for _, s := range traffic {
			if err := l.ports[s.from].Send(s.data); err != nil && !errors.Is(err, vswitch.ErrTooBig) {
				l.t.Errorf("send: %v", err)
			}
			l.sleep(time.Millisecond)
		}
		l.sleep(time.Minute)
	})
}

// script runs the world with one application, which is fn.
func (l *lan) script(fn func()) {
	l.t.Helper()
	err := l.world.Run(context.Background(), func(context.Context) error {
		fn()
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// send sends one frame at this instant of a script.
func (l *lan) send(from int, data []byte) {
	if err := l.ports[from].Send(data); err != nil {
		l.t.Errorf("send from %s at %v: %v", l.ports[from].Name(), l.now(), err)
	}
}

// until parks a script until an instant, from the run's start.
func (l *lan) until(at time.Duration) { l.sleep(at - l.now()) }

// sleep parks a script for d of virtual time.
func (l *lan) sleep(d time.Duration) {
	var op *vswitch.Op
	started, over := false, false
	op = &vswitch.Op{Kind: vswitch.OpSleep, Try: func() bool {
		if !started {
			started = true
			l.node.AppClock(0).AfterFunc(d, func() { over = true; l.node.Wake(op) })
		}
		return over
	}}
	if err := l.node.Do(op); err != nil {
		l.t.Errorf("sleep: %v", err)
	}
}

// Record makes lan its switch's recorder: it notes what rules did.
func (l *lan) Record(e vswitch.Event) error {
	s, ok := e.(*vswitch.Sent)
	if !ok || l.quiet {
		return nil
	}
	if s.Lost == vswitch.LostQueue || s.Lost == vswitch.LostDown {
		return nil // no rule was asked
	}
	var to []string
	for _, r := range s.Receivers {
		to = append(to, r.Port.Name())
	}
	l.extract.Frame(s.From.Name(), to)
	for _, h := range s.Hits {
		d := faults.Decision{Rule: h.Rule.Number(), Name: h.Rule.Name()}
		if h.To != nil {
			d.To = h.To.Name()
		}
		l.hits = append(l.hits, fmt.Sprintf("rule %d frame %d to %q: %s", d.Rule, s.Seq, d.To, verdictText(h.Verdict)))
		did := func(happened bool, kind faults.Kind, set func(d *faults.Decision)) {
			if !happened {
				return
			}
			d := d
			d.Kind = kind
			if set != nil {
				set(&d)
			}
			l.extract.Did(d)
		}
		did(h.Drop, faults.Dropped, nil)
		did(h.Copies > 0, faults.Duplicated, func(d *faults.Decision) { d.Copies, d.Gap = h.Copies, h.Gap })
		did(len(h.Edits) > 0, faults.Corrupted, func(d *faults.Decision) { d.Edits = h.Edits })
		did(h.Truncate > 0, faults.Truncated, func(d *faults.Decision) { d.Size = h.Truncate })
		did(h.Pad > 0, faults.Padded, func(d *faults.Decision) { d.Size = h.Pad })
		did(h.Delay > 0, faults.Delayed, func(d *faults.Decision) { d.By = h.Delay })
		did(h.Behind > 0, faults.Reordered, func(d *faults.Decision) { d.Behind, d.Within = h.Behind, h.Within })
	}
	return nil
}

func (l *lan) Close() error { return nil }

// verdictText writes a verdict for goldens and comparisons.
func verdictText(v vswitch.Verdict) string {
	var parts []string
	add := func(is bool, format string, args ...any) {
		if is {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(v.Drop, "drop")
	add(v.Copies > 0, "%d copies, gap %v", v.Copies, v.Gap)
	add(v.Delay > 0, "delay %v", v.Delay)
	add(v.Behind > 0, "behind %d within %v", v.Behind, v.Within)
	for _, e := range v.Edits {
		add(true, "@%d:%x>%x", e.Offset, e.Old, e.New)
	}
	add(v.Truncate > 0, "truncate %d", v.Truncate)
	add(v.Pad > 0, "pad %d", v.Pad)
	add(v.Reason != "", "(%s)", v.Reason)
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, " ")
}

// udp builds a frame from one port to another: Ethernet, IPv4, UDP and a payload
// of the given length that starts with the number n. Only what rules look at is
// filled in.
func udp(from, to, port, n, payload int) []byte {
	dst, src := vswitch.PortMAC(to), vswitch.PortMAC(from)
	b := append(dst[:], src[:]...)
	b = append(b, 8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0)
	binary.BigEndian.PutUint16(b[16:], uint16(28+payload))
	b = append(b, 10, 0, 0, byte(1+from), 10, 0, 0, byte(1+to))
	b = binary.BigEndian.AppendUint16(b, uint16(port))
	b = append(b, 0, 53, 0, 0, 0, 0)
	b = append(b, make([]byte, payload)...)
	if payload >= 4 {
		binary.BigEndian.PutUint32(b[42:], uint32(n))
	}
	return b
}

// tagged returns a copy of the frame in a VLAN.
func tagged(frame []byte, vlan int) []byte {
	return slices.Insert(slices.Clone(frame), 12, 0x81, 0x00, byte(vlan>>8), byte(vlan))
}

// broadcast returns a copy of the frame for everybody.
func broadcast(frame []byte) []byte {
	b := slices.Clone(frame)
	copy(b, vswitch.Broadcast[:])
	return b
}
