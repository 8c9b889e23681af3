package scenario

import (
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Options are what a run needs besides the scenario.
type Options struct {
	// Recorders are told what happens on the switches: one for each, in the order of
	// [Scenario.SwitchNames]. Where there is none, or nil, nothing is recorded. Run does
	// not close them.
	Recorders []vswitch.Recorder
	// WallLimit ends a run with an error after so much real time; default
	// vswitch.DefaultWallLimit. It is no part of a scenario: what it does depends
	// on the machine.
	WallLimit time.Duration
	// Strict makes a rule that never matched a failure of the result.
	Strict bool
}

// Metas describe a run of the scenario for its recordings, one for each switch, in the
// order of [Scenario.SwitchNames]: the rules, and the normal form of the scenario. Where
// that exceeds [MaxText] it goes without its rules, which are long then and need not be
// there twice; [ParseEmbedded] puts them back.
func (s *Scenario) Metas() []pcap.Meta {
	text := s.Effective()
	if len(text) > MaxText {
		text = s.withoutFaults().Effective()
	}
	v := Versions()
	var all []pcap.Meta
	for _, name := range s.SwitchNames() {
		m := pcap.Meta{
			Version: v.VNReplay, Stack: v.Stack, Go: v.Go,
			Seed: uint64(s.Seed), Clock: "virtual", View: "wire",
			Rules: s.Faults, Scenario: text,
		}
		if len(s.Switches) > 0 {
			m.Switch = name
		}
		all = append(all, m)
	}
	return all
}

// Run builds the scenario's world, runs it, and checks its expectations. Failed
// applications and expectations, and a run that passes its virtual time limit or
// deadlocks, are Failures of the result, not errors. An error is something that
// keeps the run from being what the scenario says: the scenario itself, the
// recorder, the context, the harness ([vswitch.IsHarnessError]). With an error
// the result holds what there is, or is nil.
//
// Only one run takes place in a process at a time.
func Run(ctx context.Context, s *Scenario, opts Options) (*Result, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	r := &runner{s: s}
	w := vswitch.NewWorld(vswitch.Config{
		Seed: uint64(s.Seed), Start: s.Start.Time,
		Limit: time.Duration(s.Limit), WallLimit: opts.WallLimit,
	})
	defer w.Close()
	if err := r.build(w, opts.Recorders); err != nil {
		return nil, err
	}
	err := w.Run(ctx, func(context.Context) error { return nil })
	if err == nil {
		err = r.scriptErr
	}
	res := r.result(w)
	res.Affected = AffectedOf(r.affected)
	if stopped(w, err, time.Duration(s.Limit)) {
		res.Failures = append(res.Failures, Failure{What: "run", Expected: "it ends", Actual: oneLine(err)})
		err = nil
	}
	if err == nil {
		s.judge(res)
		if opts.Strict {
			res.unmatched()
		}
	}
	return res, err
}

// stopped reports whether the run ended by its own doing: its applications wait
// for each other, or its virtual time is over.
func stopped(w *vswitch.World, err error, limit time.Duration) bool {
	if limit == 0 {
		limit = vswitch.DefaultLimit
	}
	return errors.Is(err, vswitch.ErrDeadlock) ||
		errors.Is(err, vswitch.ErrLimit) && w.Stats().Virtual >= limit
}

// oneLine is an error as one line; several that are joined have one each.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// runner is a scenario with its world.
type runner struct {
	s        *Scenario
	switches []*vswitch.Switch
	hosts    map[string]*vnetif.Host // and routers
	order    []*vnetif.Host
	ports    map[string]*vswitch.Port
	rules    []*ruleRun // by number
	apps     []*running
	files    map[*Entry[File]][]byte

	scriptErr error              // the loop's
	affected  vswitch.RuleCounts // on all switches
}

// running is an application at work. mu guards the rest: one that does not come
// to an end outlives the run that gave up on it.
type running struct {
	app apps.App

	mu           sync.Mutex
	result       AppResult
	began, ended time.Time
}

func (a *running) begin(t time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.began = t
}

func (a *running) end(t time.Time, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended, a.result.err = t, err
}

func (r *runner) build(w *vswitch.World, recorders []vswitch.Recorder) error {
	if err := r.buildNetwork(w, recorders); err != nil {
		return err
	}
	rules, err := faults.ParseAll(r.s.Faults)
	if err != nil {
		return err
	}
	installed, err := faults.InstallAll(r.switches, rules)
	if err != nil {
		return err
	}
	for i, text := range r.s.rules() {
		r.rules = append(r.rules, &ruleRun{text: text})
		if i < len(installed) {
			r.rules[i].installed = installed[i]
		}
	}
	if err := r.play(w); err != nil {
		return err
	}
	r.files = r.s.contents()
	for i := range r.s.Apps {
		r.start(w, &r.s.Apps[i])
	}
	return nil
}

// contents makes the bytes of all files.
func (s *Scenario) contents() map[*Entry[File]][]byte {
	m := map[*Entry[File]][]byte{}
	for i := range s.Apps {
		server := s.Apps[i].Value.HTTPServer
		if server == nil {
			continue
		}
		for j := range server.Files {
			f := &server.Files[j]
			m[f] = f.Value.Data
			if f.Value.Random {
				m[f] = apps.RandomBytes(int64(f.Value.Size), uint64(s.Seed), "file", s.Apps[i].Name, f.Name)
			}
		}
	}
	return m
}

// start gives an application to the world.
func (r *runner) start(w *vswitch.World, e *Entry[App]) {
	kind, config, _ := e.Value.kind()
	a := &running{app: r.app(e.Name, config)}
	a.result = AppResult{Name: e.Name, Host: e.Value.Host, Kind: kind, Server: a.app.Server()}
	r.apps = append(r.apps, a)
	host, at := r.hosts[e.Value.Host], time.Duration(e.Value.At)
	run := func(ctx context.Context) error {
		if at > 0 {
			if err := host.Sleep(at); err != nil {
				return nil // the run is over before the application began
			}
		}
		a.begin(host.Now())
		err := a.app.Run(ctx, host)
		a.end(host.Now(), err)
		return nil
	}
	if a.app.Server() {
		w.Background(e.Name, run)
	} else {
		w.Go(e.Name, run)
	}
}

// app makes an application from its configuration.
func (r *runner) app(name string, config any) apps.App {
	seed := vswitch.Derive(uint64(r.s.Seed), "app", name)
	switch c := config.(type) {
	case *HTTPServer:
		cfg := apps.HTTPServer{Port: int(c.port()), Files: map[string][]byte{},
			ReadTimeout: time.Duration(c.ReadTimeout), IdleTimeout: time.Duration(c.IdleTimeout)}
		for i := range c.Files {
			cfg.Files[c.Files[i].Name] = r.files[&c.Files[i]]
		}
		return cfg.New()
	case *HTTPGet:
		cfg := apps.HTTPGet{URL: c.URL, Times: int(c.Times), Parallel: int(c.Parallel),
			NewConnections: c.NewConnections, Timeout: time.Duration(c.Timeout)}
		// What the scenario itself serves is compared, asked for or not.
		if f := r.s.servedFile(c.URL); f != nil {
			sum := apps.Digest(sha256.Sum256(r.files[f]))
			cfg.SHA256 = &sum
		}
		return cfg.New()
	case *Echo:
		if app, _ := r.s.Apps.Get(name); app.UDPEcho == c {
			return apps.UDPEcho{To: c.To, Times: int(c.Times), Size: int(c.Size),
				Interval: time.Duration(c.Interval), Timeout: time.Duration(c.Timeout), Seed: seed}.New()
		}
		return apps.Echo{To: c.To, Times: int(c.Times), Size: int(c.Size),
			Interval: time.Duration(c.Interval), Timeout: time.Duration(c.Timeout), Seed: seed}.New()
	case *Bulk:
		return apps.Bulk{To: c.To, Bytes: int64(c.Bytes), Parallel: int(c.Parallel), Timeout: time.Duration(c.Timeout), Seed: seed}.New()
	case *Ping:
		return apps.Ping{To: c.To, Times: int(c.Times), Size: int(c.Size),
			Interval: time.Duration(c.Interval), Timeout: time.Duration(c.Timeout), Seed: seed}.New()
	}
	port := config.(*Port)
	switch app, _ := r.s.Apps.Get(name); port {
	case app.EchoServer:
		return apps.EchoServer{Port: int(port.Port)}.New()
	case app.BulkServer:
		return apps.BulkServer{Port: int(port.Port)}.New()
	}
	return apps.UDPEchoServer{Port: int(port.Port)}.New()
}

// result gathers what the world and the applications did.
func (r *runner) result(w *vswitch.World) *Result {
	stats := w.Stats()
	res := &Result{
		Seed: w.Seed(), Frames: stats.Frames, Unordered: stats.Unordered, CutOff: stats.CutOff,
		Virtual: stats.Virtual, Wall: stats.Wall,
		Rules: []RuleResult{}, Apps: []AppResult{}, Failures: []Failure{},
	}
	of := map[*vswitch.Switch]*SwitchResult{}
	if len(r.switches) > 1 {
		res.Switches = make([]SwitchResult, len(r.switches))
		for i, sw := range r.switches {
			res.Switches[i].Name = sw.Name()
			of[sw] = &res.Switches[i]
		}
	}
	for _, h := range r.order {
		for _, p := range h.Ports() {
			c := p.Counters()
			res.Bytes += c.TxBytes
			res.Lost.add(&c)
			if sw := of[p.Switch()]; sw != nil {
				sw.Frames += c.TxFrames
				sw.Bytes += c.TxBytes
			}
		}
		s := h.Stats()
		res.Lost.NotForwarded += s.NotForwarded
		res.TCP.Retransmits += s.TCPRetransmits
		res.TCP.Resets += s.TCPResetsSent
		res.TCP.ChecksumErrors += s.TCPChecksumErrors
	}
	for i, x := range r.rules {
		rule := RuleResult{Number: i + 1, Text: x.text}
		if in := x.installed; in != nil {
			rule.Name, rule.Matched, rule.Affected = in.Name(), in.Matched(), AffectedOf(in.Counts())
			rule.Added, rule.Idle = true, in.Rule().Idle()
		}
		res.Rules = append(res.Rules, rule)
	}
	for _, a := range r.apps {
		res.Apps = append(res.Apps, a.outcome(w))
	}
	return res
}

// outcome is what the application did, in a run that is over.
func (a *running) outcome(w *vswitch.World) AppResult {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.result
	out.Result = a.app.Result()
	out.Finished = !a.ended.IsZero()
	switch {
	case out.Server && (errors.Is(out.err, net.ErrClosed) || errors.Is(out.err, http.ErrServerClosed)):
		out.err = nil // as every run ends
	case !out.Server && errors.Is(out.err, net.ErrClosed):
		out.Finished = false
	}
	if out.err != nil {
		out.Error = oneLine(out.err)
	}
	if !a.began.IsZero() {
		out.Began = a.began.Sub(w.Start())
	}
	if out.Finished {
		out.Took = a.ended.Sub(a.began)
	}
	return out
}
