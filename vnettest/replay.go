package vnettest

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Live is one address of a capture at which the code under test is to answer.
type Live struct {
	// Addr is the address: "10.0.0.2".
	Addr string
	// App is the code: it is called when the world starts, with a host that has
	// the address, and may block. When the replay is over, its context is cancelled
	// and its calls return net.ErrClosed, which it may return.
	App func(ctx context.Context, h *vnetif.Host) error
	// Name is how reports call the code. Default "application".
	Name string
}

// ReplayOption changes what [Replay] does: a further [Live], a [Seed],
// [AllowPartial].
type ReplayOption interface{ apply(*replaying) }

// Seed is the seed of a [Replay]'s world; default 0. The flag -vnettest.seed
// overrides it.
type Seed uint64

// AllowPartial accepts conversations of a live address that cannot be replayed,
// such as one whose beginning is not in the capture. The test otherwise fails, and
// says which and why: it would be green without having seen them.
func AllowPartial() ReplayOption { return allowPartial{} }

type allowPartial struct{}

func (l Live) apply(r *replaying)       { r.lives = append(r.lives, l) }
func (s Seed) apply(r *replaying)       { r.seed = uint64(s) }
func (allowPartial) apply(r *replaying) { r.options.AllowPartial = true }

// replaying is a call of Replay.
type replaying struct {
	session
	lives   []Live
	options replay.Options
}

// Replay plays a capture (pcap or pcapng, anybody's) against the code under test:
// each live address gets a host with a real TCP/IP stack and runs its App, those
// that talk to it are played from the capture, and what the code says is compared
// with what the capture says was said there; see package replay.
//
//	vnettest.Replay(t, "testdata/bug.pcapng", vnettest.Live{
//		Addr: "10.0.0.2",
//		App: func(ctx context.Context, h *vnetif.Host) error {
//			l, err := h.Listen("tcp", ":80")
//			if err != nil {
//				return err
//			}
//			return serve(l)
//		},
//	})
//
// A divergence fails the test with the report and keeps the replay's recording;
// the test goes on, and may look at the report that is returned. A capture that
// cannot be read, or has no such address, ends it. Relative paths start in the
// directory of the test's package.
func Replay(t testing.TB, capture string, live Live, more ...ReplayOption) *replay.Report {
	t.Helper()
	r := &replaying{lives: []Live{live}}
	for _, o := range more {
		o.apply(r)
	}
	r.seed = seedFlag.or(r.seed)
	c, err := replay.Load(absolute(capture))
	if err != nil {
		t.Fatalf("vnettest.Replay: %v", err)
	}
	c.Name = capture
	r.start(t, r.finish)
	return r.play(replay.Analyse(c))
}

func (r *replaying) play(a *replay.Analysis) *replay.Report {
	r.t.Helper()
	ctx, cancel := context.WithCancelCause(r.t.Context())
	defer cancel(nil)
	r.stop = cancel
	for _, l := range r.lives {
		r.options.Live = append(r.options.Live, r.live(l))
	}
	r.recs = []*recording{{}}
	r.begin("", nil)
	r.options.Seed, r.options.Recorder = r.seed, r.recs[0]
	var report *replay.Report
	var err error
	r.inTurn(func() { report, err = replay.Run(ctx, a, r.options) })
	if err != nil || len(report.Conversations) == 0 {
		r.ran = false // there was nothing to record
	}
	if err != nil {
		r.t.Fatalf("vnettest.Replay: %s: %v", a.Capture.Name, err)
	}
	r.end(nil)
	if report.Verdict == replay.Same {
		return report
	}
	var text bytes.Buffer
	report.Print(&text)
	r.t.Errorf("vnettest.Replay:\n%s", strings.TrimSuffix(text.String(), "\n"))
	return report
}

// live turns a Live into package replay's.
func (r *replaying) live(l Live) replay.Live {
	r.t.Helper()
	addr, err := netip.ParseAddr(l.Addr)
	switch {
	case err != nil:
		r.t.Fatalf("vnettest.Replay: Live.Addr %q: want an IP address of the capture, such as 10.0.0.2", l.Addr)
	case l.App == nil:
		r.t.Fatalf("vnettest.Replay: the App of %v is nil: say what runs there (what the capture itself says would test the TCP/IP stack only)", addr)
	}
	name := l.Name
	if name == "" {
		name = "application"
	}
	return replay.Live{Addr: addr, Name: name, App: func(ctx context.Context, h *vnetif.Host) error {
		elapsed := func() time.Duration { return h.Now().Sub(h.World().Start()) }
		return r.watch(name+" "+l.Addr, elapsed, func(ctx context.Context) error { return l.App(ctx, h) })(ctx)
	}}
}

// watch guards an application for its ends by panic and t.FailNow only: an error
// that it returns is a divergence, which the report tells, with what else it knows.
func (r *replaying) watch(who string, elapsed func() time.Duration, app func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		gerr := r.guard(who, true, elapsed, func(ctx context.Context) error {
			err = app(ctx)
			return nil
		})(ctx)
		if gerr != nil {
			return gerr
		}
		return err
	}
}
