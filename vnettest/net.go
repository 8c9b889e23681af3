package vnettest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Net is a network in a test: hosts on a switch in a world of its own, which runs
// once. Its methods end the test (t.Fatal) where they are given what there is not,
// such as the name of no host; in a function that runs in the world they do so like
// t.Fatal there (see [Net.Run]).
type Net struct {
	session
	cfg      Config
	world    *vswitch.World
	switches []*vswitch.Switch
	hosts    []*vnetif.Host // and routers
	rules    []*rule
	apps     atomic.Int32 // given to Go and Background
}

// rule is a fault rule with the text it was given as.
type rule struct {
	faults.InstalledAll
	text string
}

// label is how messages call the rule.
func (r *rule) label() string {
	if name := r.Name(); name != "" {
		return name
	}
	return r.text
}

// New makes a network for a test. It is taken down when the test ends, by a
// cleanup, which also keeps or removes the recording. An error in the Config ends
// the test.
func New(t testing.TB, cfg Config) *Net {
	t.Helper()
	n := &Net{session: session{seed: seedFlag.or(cfg.Seed)}, cfg: cfg}
	n.world = vswitch.NewWorld(vswitch.Config{Seed: n.seed, Start: cfg.Start, Limit: cfg.Limit, WallLimit: cfg.WallLimit})
	n.start(t, n.close)
	if err := n.build(); err != nil {
		t.Fatalf("vnettest.New: %v", err)
	}
	return n
}

func (n *Net) build() error {
	if s := n.cfg.Start; !s.IsZero() && (s.Year() < 1970 || s.Year() > 2200) {
		return fmt.Errorf("Config.Start: %v: want an instant of the years 1970 to 2200", s)
	}
	switches, err := n.cfg.switches()
	if err != nil {
		return err
	}
	for _, s := range switches {
		rec := &recording{several: len(switches) > 1}
		if len(n.cfg.Switches) > 0 {
			rec.sw = s.Name
		}
		sw, err := n.world.NewSwitch(vswitch.SwitchConfig{Name: s.Name, Hub: s.Hub, Recorder: rec})
		if err != nil {
			return err
		}
		n.switches, n.recs = append(n.switches, sw), append(n.recs, rec)
	}
	if err := n.buildHosts(); err != nil {
		return err
	}
	if err := n.install(n.cfg.Faults...); err != nil {
		return err
	}
	for _, name := range n.cfg.MayMiss {
		if n.rule(name) == nil {
			return fmt.Errorf("Config.MayMiss: there is no rule %q; %s", name, n.ruleNames())
		}
	}
	return nil
}

// buildHosts makes the hosts, and the routers after them.
func (n *Net) buildHosts() error {
	hosts, err := n.cfg.hostConfigs()
	if err != nil {
		return err
	}
	owner := owners{}
	for i, cfg := range hosts {
		if err := owner.add(cfg.Name, cfg.Addrs); err != nil {
			return err
		}
		sw, err := n.switchOf(n.cfg.Hosts[i].Switch)
		if err != nil {
			return fmt.Errorf("host %q (Config.Hosts[%d]): %w", cfg.Name, i, err)
		}
		h, err := vnetif.NewHost(sw, cfg)
		if err != nil {
			return err
		}
		n.hosts = append(n.hosts, h)
	}
	for i := range n.cfg.Routers {
		r, err := n.addRouter(i)
		if err != nil {
			return err
		}
		if err := owner.add(r.Name(), r.Addrs()); err != nil {
			return err
		}
		n.hosts = append(n.hosts, r)
	}
	return nil
}

// install adds fault rules to the switches.
func (n *Net) install(texts ...string) error {
	rules, err := faults.ParseAll(texts)
	if err != nil {
		return err
	}
	for i := range rules {
		read := func(file string) ([]byte, error) { return os.ReadFile(absolute(file)) }
		if rules[i], err = rules[i].WithTables(read); err != nil {
			return err
		}
	}
	installed, err := faults.InstallAll(n.switches, rules)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, in := range installed {
		n.rules = append(n.rules, &rule{in, texts[i]})
	}
	return nil
}

// Host returns the host or router with a name.
func (n *Net) Host(name string) *vnetif.Host {
	n.t.Helper()
	var names []string
	for _, h := range n.hosts {
		if h.Name() == name {
			return h
		}
		names = append(names, h.Name())
	}
	n.t.Fatalf("vnettest: no host %q; the hosts are %s", name, strings.Join(names, ", "))
	return nil
}

// Rule returns the fault rule with a name, or, for a rule without one, with the
// text it was given as: to turn it off and on (SetOn), to take it off (Remove), and
// to ask what it did (Counts, Matched); of several switches, on all of them.
func (n *Net) Rule(name string) faults.InstalledAll {
	n.t.Helper()
	if r := n.rule(name); r != nil {
		return r.InstalledAll
	}
	n.t.Fatalf("vnettest: no fault rule %q; %s", name, n.ruleNames())
	return nil
}

func (n *Net) rule(name string) *rule {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.rules {
		if r.label() == name || r.text == name {
			return r
		}
	}
	return nil
}

func (n *Net) ruleNames() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.rules) == 0 {
		return "there are none"
	}
	var names []string
	for _, r := range n.rules {
		names = append(names, fmt.Sprintf("%q", r.label()))
	}
	return "the rules are " + strings.Join(names, ", ")
}

// Fault adds a fault rule, before the run or during it. It is needed for rules
// about ports that New does not make (such as a vnetif.Raw on [Net.Switch]), and
// for those that come in the midst of a run; a recording's header names only those
// that were there when the run began.
func (n *Net) Fault(text string) faults.InstalledAll {
	n.t.Helper()
	if err := n.install(text); err != nil {
		n.t.Fatalf("vnettest: %v", err)
	}
	return n.Rule(text)
}

// Listen announces on a host's address: Listen("server", "tcp", ":80"). It is the
// host's own Listen, without the error.
func (n *Net) Listen(host, network, address string) net.Listener {
	n.t.Helper()
	l, err := n.Host(host).Listen(network, address)
	if err != nil {
		n.t.Fatalf("vnettest: %s: %v", host, err)
	}
	return l
}

// HTTPServer serves HTTP on a host's address until the run ends. Answers are dated
// by the world's clock ([vnetif.DateHandler]).
func (n *Net) HTTPServer(host, address string, handler http.Handler) {
	n.t.Helper()
	l := n.Listen(host, "tcp", address)
	handler = vnetif.DateHandler(n.Host(host), handler)
	n.Background("http "+host+address, func(context.Context) error { return http.Serve(l, handler) })
}

// HTTPClient returns a client on a host. Its Timeout must stay 0, for it is real
// time: give requests a context of [vnetif.Host.WithTimeout] instead.
func (n *Net) HTTPClient(host string) *http.Client {
	n.t.Helper()
	return &http.Client{Transport: &http.Transport{DialContext: n.Host(host).DialContext}}
}

// Go adds an application for which the run waits. Its error fails the test and
// ends the run. Before Run, fn waits for it; during the run it starts at once.
func (n *Net) Go(name string, fn func(ctx context.Context) error) {
	n.apps.Add(1)
	n.world.Go(name, n.guard(name, false, n.elapsed, fn))
}

// Background adds an application for which the run does not wait, such as a
// server. When the run ends, its context is cancelled and its calls return
// net.ErrClosed, which it may return; an error before fails the test and ends the
// run.
func (n *Net) Background(name string, fn func(ctx context.Context) error) {
	n.apps.Add(1)
	n.world.Background(name, n.guard(name, true, n.elapsed, fn))
}

// Run runs the network: main and all applications, each on a goroutine of its own,
// in virtual time, until main and those given to [Net.Go] have returned. See
// [vswitch.World.Run].
//
// Run returns when all is well. An error, a panic or a deadlock ends the test, as
// t.Fatal does, with the cause, the seed and the recording's path. In the functions
// that run there, t.Error, t.Log and so on work as usual; t.Fatal, t.FailNow and
// t.Skip end the function, then the run, and then the test.
//
// It runs once, and on the test's goroutine. Worlds of parallel tests wait for each
// other.
func (n *Net) Run(main func(ctx context.Context) error) {
	n.t.Helper()
	if n.ran {
		n.t.Fatal("vnettest: a network runs once; make another with New")
	}
	var texts []string
	for _, r := range n.rules {
		texts = append(texts, r.Rule().String())
	}
	n.begin(n.cfg.Golden, texts)
	ctx, cancel := context.WithCancelCause(n.t.Context())
	defer cancel(nil)
	n.stop = cancel
	var err error
	n.inTurn(func() { err = n.world.Run(ctx, n.guard("main", false, n.elapsed, main)) })
	n.end(err)
	if err != nil {
		n.t.Fatalf("vnettest: %v", err)
	}
	fmt.Fprintln(n.t.Output(), n.summary())
	if isChild(n.t, n.cfg.Golden) {
		n.handOver()
	}
	n.unmatched()
	if n.cfg.Golden != "" {
		n.golden()
	}
}

// elapsed is the time since the start of the world's clock.
func (n *Net) elapsed() time.Duration { return n.world.Now().Sub(n.world.Start()) }

// summary is a line about the run.
func (n *Net) summary() string {
	stats := n.world.Stats()
	s := fmt.Sprintf("vnettest: seed %d: %d frames, %v of virtual time", n.seed, stats.Frames, stats.Virtual.Round(time.Microsecond))
	for _, r := range n.rules {
		if r.Rule().Idle() {
			s += fmt.Sprintf("; %s: idle", r.label())
			continue
		}
		c := r.Counts()
		s += fmt.Sprintf("; %s: %d of %d", r.label(), c.Frames+c.Refused, r.Matched())
	}
	if stats.Unordered > 0 {
		s += fmt.Sprintf("; the order of %d calls came from the Go scheduler, not from the world", stats.Unordered)
	}
	return s
}

// unmatched fails the test for each rule that met no frame, and could have done
// something to it.
func (n *Net) unmatched() {
	n.t.Helper()
	for _, r := range n.rules {
		may := slices.Contains(n.cfg.MayMiss, r.label()) || slices.Contains(n.cfg.MayMiss, r.text)
		if r.Matched() > 0 || r.Rule().Idle() || may {
			continue
		}
		n.t.Errorf("vnettest: the fault rule %q never met a frame, so nothing was tested with it: in %d frames none came where and when it is about one, and matched its expression (if that is meant, name it in Config.MayMiss)",
			r.text, n.world.Stats().Frames)
	}
}

// World returns the world, for its clock and statistics.
func (n *Net) World() *vswitch.World { return n.world }

// Switch returns the switch, or of several the first, for what else is to be put on it.
// [Net.SwitchNamed] gives the others.
func (n *Net) Switch() *vswitch.Switch { return n.switches[0] }

// SwitchNamed returns the switch of a name.
func (n *Net) SwitchNamed(name string) *vswitch.Switch {
	n.t.Helper()
	for _, s := range n.switches {
		if s.Name() == name {
			return s
		}
	}
	n.t.Fatalf("vnettest: no switch %q; the switches are %s", name, n.switchNames())
	return nil
}

// Recording returns the path of the recording after Run, for tests that look into
// it (package pcap); the file is gone when the test has passed. It is "" before
// Run, and while go test fuzzes. Of several switches it is the first one's; see
// [Net.Recordings].
func (n *Net) Recording() string { return n.recs[0].path }

// Recordings returns the paths of the recordings of all switches, in their order; see
// [Net.Recording].
func (n *Net) Recordings() (paths []string) {
	for _, r := range n.recs {
		paths = append(paths, r.path)
	}
	return paths
}

// close is the test's cleanup.
func (n *Net) close() {
	n.t.Helper()
	if err := n.world.Close(); err != nil && !n.recordingFailed(err) && !n.t.Failed() {
		n.t.Errorf("vnettest: %v", err)
	}
	if !n.ran && n.apps.Load() > 0 && !n.t.Failed() && !n.t.Skipped() {
		n.t.Error("vnettest: the network was never run: call its Run")
	}
	n.finish()
}
