package pcap_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// No test leaves a goroutine behind. Fuzzing has some of its own.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// tb is what the helpers need of a test; a rapid test has it too.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func ok(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tee is a recorder that feeds a wire and a full recorder, and keeps the events.
type tee struct {
	wire, full *pcap.Recorder
	log        *eventLog
}

func (r tee) WantDeliveries() bool { return true }
func (r tee) Close() error         { return nil }
func (r tee) Record(e vswitch.Event) error {
	if err := r.wire.Record(e); err != nil {
		return err
	}
	_ = r.log.Record(e)
	return r.full.Record(e)
}

// lan is a world with one switch whose wire and full recording it keeps.
type lan struct {
	w          *vswitch.World
	sw         *vswitch.Switch
	node       *vswitch.Node
	rec        tee
	log        *eventLog
	wire, full *bytes.Buffer
	horizon    time.Duration
}

var testMeta = pcap.Meta{Version: "v1.2.3", Stack: "none", Go: "go1.26", Seed: 7, Rules: []string{"loss: drop 2% to server"}}

func newLAN(t tb, hub bool) *lan {
	t.Helper()
	l := &lan{wire: &bytes.Buffer{}, full: &bytes.Buffer{}, log: &eventLog{}}
	l.rec.log = l.log
	var err error
	l.rec.wire, err = pcap.NewRecorder(l.wire, testMeta)
	ok(t, err)
	l.rec.full, err = pcap.NewFullRecorder(l.full, testMeta)
	ok(t, err)
	l.w = vswitch.NewWorld(vswitch.Config{Seed: testMeta.Seed})
	l.sw, err = l.w.NewSwitch(vswitch.SwitchConfig{Hub: hub, Recorder: l.rec})
	ok(t, err)
	l.node, err = l.w.NewNode("script")
	ok(t, err)
	return l
}

func (l *lan) connect(t tb, cfg vswitch.PortConfig) *vswitch.Port {
	t.Helper()
	p, err := l.sw.Connect(cfg, vswitch.EndpointFunc(func([]byte) {}))
	ok(t, err)
	return p
}

// at lets f happen d after the world's start.
func (l *lan) at(d time.Duration, f func()) {
	l.node.StackClock().AfterFunc(d, f)
	l.horizon = max(l.horizon, d)
}

// run runs what was scheduled and finishes both recordings.
func (l *lan) run(t tb) {
	t.Helper()
	err := l.w.Run(context.Background(), func(context.Context) error {
		var op *vswitch.Op
		started, fired := false, false
		op = &vswitch.Op{Kind: vswitch.OpSleep, Key: "horizon", What: func() string { return "the end" }, Try: func() bool {
			if !started {
				started = true
				l.node.AppClock(0).AfterFunc(l.horizon, func() { fired = true; l.node.Wake(op) })
			}
			return fired
		}}
		return l.node.Do(op)
	})
	ok(t, err)
	ok(t, l.w.Close())
	ok(t, l.rec.wire.Close())
	ok(t, l.rec.full.Close())
}

// ether is a frame of n bytes for local experiments, EtherType 0x88b5.
func ether(dst, src vswitch.MAC, n int) []byte {
	b := append(append([]byte{}, dst[:]...), src[:]...)
	b = append(b, 0x88, 0xb5)
	for i := len(b); i < n; i++ {
		b = append(b, byte(i))
	}
	return b
}

// script is a rule that does to frame n of the world what the map says.
func script(verdicts map[uint64]map[string]vswitch.Verdict) vswitch.RuleFunc {
	return func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		name := ""
		if to != nil {
			name = to.Name()
		}
		return verdicts[f.Seq][name]
	}
}

func read(t tb, b []byte) *pcap.Reader {
	t.Helper()
	r, err := pcap.NewReader(bytes.NewReader(b), "test.pcapng")
	ok(t, err)
	return r
}

// packets reads all of a capture.
func packets(t tb, r *pcap.Reader) []*pcap.Packet {
	t.Helper()
	var all []*pcap.Packet
	for p, err := range r.Packets() {
		ok(t, err)
		all = append(all, p)
	}
	return all
}

// dump is a recording as text: what a golden holds.
func dump(t tb, b []byte) string {
	t.Helper()
	r := read(t, b)
	var s strings.Builder
	for _, sec := range r.Sections() {
		fmt.Fprintf(&s, "section %q %q %q\n", sec.Hardware, sec.OS, sec.Application)
		for _, c := range sec.Comments {
			s.WriteString(strings.ReplaceAll("  "+strings.TrimSuffix(c, "\n"), "\n", "\n  ") + "\n")
		}
	}
	all := packets(t, r)
	ifaces := r.Interfaces()
	for _, ifc := range ifaces {
		fmt.Fprintf(&s, "interface %d %s %q %q link %d\n", ifc.ID, ifc.Name, ifc.Description, ifc.Comment, ifc.LinkType)
	}
	for _, p := range all {
		fmt.Fprintf(&s, "%d @%d %s %s %v id %d len %d\n", p.Number, p.Offset, p.Time.Format("15:04:05.000000000"),
			ifaces[p.Interface].Name, p.Direction, p.ID, len(p.Data))
		for _, c := range p.Comments {
			s.WriteString("  " + c + "\n")
		}
	}
	for _, ifc := range ifaces {
		if st := ifc.Stats; st != nil {
			fmt.Fprintf(&s, "statistics %s %s..%s received %d dropped %d\n", ifc.Name,
				st.Start.Format("15:04:05.000000000"), st.End.Format("15:04:05.000000000"), st.Received, st.Dropped)
			for _, c := range st.Comments {
				s.WriteString("  " + c + "\n")
			}
		}
	}
	return s.String()
}

// clean runs a tool like runTool and fails if it complains about the file.
func clean(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		runTool(t, name) // skips, or fails
	}
	cmd := exec.Command(name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	complaints := ""
	for line := range strings.Lines(errs.String()) {
		switch {
		case strings.HasPrefix(line, "Running as user"):
		case name == "tcpdump" && strings.HasPrefix(line, "reading from file"):
		default:
			complaints += line
		}
	}
	if err != nil || complaints != "" {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, complaints)
	}
	return out.String()
}

// file writes b into a file of its own.
func file(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	ok(t, os.WriteFile(path, b, 0o600))
	return path
}

// view is ViewAt into memory.
func viewAt(t tb, wire []byte, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	ok(t, pcap.ViewAt(&b, read(t, wire), name))
	return b.Bytes()
}

func viewFull(t tb, wire []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	ok(t, pcap.ViewFull(&b, read(t, wire)))
	return b.Bytes()
}

// everyClause is a world in which every clause of a frame's fate occurs.
func everyClause(t tb) *lan {
	l := newLAN(t, false)
	a := l.connect(t, vswitch.PortConfig{Name: "a"})
	b := l.connect(t, vswitch.PortConfig{Name: "b", Latency: 5 * time.Millisecond, MTU: 400})
	c := l.connect(t, vswitch.PortConfig{Name: "c", Rate: 1_000_000, Queue: 2})
	l.connect(t, vswitch.PortConfig{Name: "d"})
	edit := func(at int, old, now string) vswitch.Edit {
		return vswitch.Edit{Offset: at, Old: []byte(old), New: []byte(now)}
	}
	ms := time.Millisecond
	l.sw.AddRule("", script(map[uint64]map[string]vswitch.Verdict{
		5: {"": {Drop: true, Reason: "5% loss"}},
		6: {"b": {Drop: true}},
		8: {"": {Copies: 2, Gap: ms}},
	}))
	l.sw.AddRule("second", script(map[uint64]map[string]vswitch.Verdict{
		7: {"b": {Edits: []vswitch.Edit{edit(14, "\x0e", "\xff"), edit(20, "\x14\x15", "\x00\x00")}}},
		8: {"": {Delay: 40 * ms}, "b": {Delay: ms, Copies: 1}},
	}))
	send := func(from *vswitch.Port, dst vswitch.MAC, n int) func() {
		return func() { ok(t, from.Send(ether(dst, from.MAC(), n))) }
	}
	l.at(1*ms, send(b, vswitch.Broadcast, 60)) // 1: all learn b
	l.at(10*ms, send(a, b.MAC(), 60))          // 2: untouched, no comment
	l.at(11*ms, send(a, vswitch.MAC{1, 0x80, 0xc2, 0, 0, 0}, 60))
	l.at(12*ms, send(a, c.MAC(), 60)) // 4: unknown, flooded
	l.at(13*ms, send(a, vswitch.Broadcast, 60))
	l.at(14*ms, send(a, vswitch.Broadcast, 60))
	l.at(15*ms, send(a, b.MAC(), 60))
	l.at(20*ms, send(a, b.MAC(), 60))
	l.at(100*ms, send(a, vswitch.Broadcast, 900)) // 9: too big for b
	l.at(200*ms, send(c, a.MAC(), 1000))          // 10..13: 8 ms each on c's cable
	l.at(200*ms, send(c, a.MAC(), 1000))
	l.at(200*ms, send(c, a.MAC(), 1000))
	l.at(200*ms, send(c, a.MAC(), 1000))
	l.at(300*ms, func() { b.SetUp(false) })
	l.at(301*ms, send(a, b.MAC(), 60)) // 14: b is down
	l.at(302*ms, send(b, a.MAC(), 60)) // 15: b is down
	l.at(310*ms, func() { ok(t, c.Close()) })
	l.at(311*ms, func() { l.connect(t, vswitch.PortConfig{Name: "late"}) })
	l.at(320*ms, send(a, vswitch.Broadcast, 60)) // 16: c is gone: names, not "all"
	l.at(400*ms, func() { ok(t, a.Send(ether(a.MAC(), a.MAC(), 60))) })
	l.run(t)
	return l
}

var _ io.Writer = (*pcap.File)(nil)
