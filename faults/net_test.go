package faults_test

import (
	"context"
	"encoding/binary"
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

func newNet(t testing.TB, seed uint64, hub bool) *lan {
	t.Helper()
	l := &lan{t: t, world: vswitch.NewWorld(vswitch.Config{Seed: seed})}
	t.Cleanup(func() { l.world.Close() })
	var err error
	if l.sw, err = l.world.NewSwitch(vswitch.SwitchConfig{Name: "lan", Hub: hub, Recorder: l}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"client", "server", "spy"} {
		p, err := l.sw.Connect(vswitch.PortConfig{Name: name}, vswitch.EndpointFunc(func(data []byte) {
			if l.quiet {
				return
			}
			l.arrived = append(l.arrived, fmt.Sprintf("%v %s %x", l.world.Now().Sub(l.world.Start()), name, data))
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
	l.seq++
	f := &vswitch.Frame{Data: data, Seq: l.seq, At: l.world.Start(), From: l.ports[from]}
	if to < 0 {
		return c.Judge(f, nil)
	}
	return c.Judge(f, l.ports[to])
}

// sent is one frame of open-loop traffic.
type sent struct {
	from int
	data []byte
}

// run sends the frames, a millisecond apart, and returns when all have arrived.
func (l *lan) run(traffic []sent) {
	l.t.Helper()
	err := l.world.Run(context.Background(), func(context.Context) error {
		for _, s := range traffic {
			if err := l.ports[s.from].Send(s.data); err != nil {
				return err
			}
			if err := l.sleep(time.Millisecond); err != nil {
				return err
			}
		}
		return l.sleep(time.Minute)
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// runBatches sends n frames, as fast as they are taken.
func (l *lan) runBatches(n int, batch []sent) {
	l.t.Helper()
	err := l.world.Run(context.Background(), func(context.Context) error {
		for ; n > 0; n -= len(batch) {
			for _, s := range batch[:min(n, len(batch))] {
				if err := l.ports[s.from].Send(s.data); err != nil {
					return err
				}
			}
			if err := l.sleep(time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// sleep parks the caller for d of virtual time.
func (l *lan) sleep(d time.Duration) error {
	var op *vswitch.Op
	started, over := false, false
	op = &vswitch.Op{Kind: vswitch.OpSleep, Try: func() bool {
		if !started {
			started = true
			l.node.AppClock(0).AfterFunc(d, func() { over = true; l.node.Wake(op) })
		}
		return over
	}}
	return l.node.Do(op)
}

// Record makes lan its switch's recorder: it notes what rules did.
func (l *lan) Record(e vswitch.Event) error {
	s, ok := e.(*vswitch.Sent)
	if !ok || l.quiet {
		return nil
	}
	var to []string
	for _, r := range s.Receivers {
		to = append(to, r.Port.Name())
	}
	l.extract.Frame(s.From.Name(), to)
	for _, h := range s.Hits {
		d := faults.Decision{Rule: h.Rule.Number()}
		if h.To != nil {
			d.To = h.To.Name()
		}
		l.hits = append(l.hits, fmt.Sprintf("rule %d frame %d to %q: %s", d.Rule, s.Seq, d.To, verdictText(h.Verdict)))
		if h.Drop {
			d.Kind = faults.Dropped
			l.extract.Did(d)
		}
		if h.Copies > 0 {
			d := d
			d.Kind, d.Copies, d.Gap = faults.Duplicated, h.Copies, h.Gap
			l.extract.Did(d)
		}
		if len(h.Edits) > 0 {
			d := d
			d.Kind, d.Edits = faults.Corrupted, h.Edits
			l.extract.Did(d)
		}
	}
	return nil
}

func (l *lan) Close() error { return nil }

// verdictText writes a verdict for goldens and comparisons.
func verdictText(v vswitch.Verdict) string {
	var parts []string
	if v.Drop {
		parts = append(parts, "drop")
	}
	if v.Copies > 0 {
		parts = append(parts, fmt.Sprintf("%d copies, gap %v", v.Copies, v.Gap))
	}
	for _, e := range v.Edits {
		parts = append(parts, fmt.Sprintf("@%d:%x>%x", e.Offset, e.Old, e.New))
	}
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

// broadcast returns a copy of the frame for everybody.
func broadcast(frame []byte) []byte {
	b := slices.Clone(frame)
	copy(b, vswitch.Broadcast[:])
	return b
}
