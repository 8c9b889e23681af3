package vswitch_test

import (
	"context"
	"errors"
	"math"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// world makes a world with one node.
func world(t testing.TB, cfg vswitch.Config) (*vswitch.World, *vswitch.Node) {
	t.Helper()
	w := vswitch.NewWorld(cfg)
	t.Cleanup(func() { _ = w.Close() })
	return w, newNode(t, w, "node")
}

// forever is a call that never can proceed.
func forever(n *vswitch.Node, kind vswitch.OpKind, what string) error {
	return n.Do(&vswitch.Op{Kind: kind, What: func() string { return what }, Try: func() bool { return false }})
}

func nothing(context.Context) error { return nil }

func TestWorldDefaults(t *testing.T) {
	w, _ := world(t, vswitch.Config{Seed: 7})
	equal(t, "seed", w.Seed(), 7)
	equal(t, "start", w.Start(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	equal(t, "now", w.Now(), w.Start())

	elsewhere := time.Date(2020, 2, 29, 1, 2, 3, 4, time.FixedZone("somewhere", 3600))
	w, _ = world(t, vswitch.Config{Start: elsewhere})
	equal(t, "start in UTC", w.Start(), time.Date(2020, 2, 29, 0, 2, 3, 4, time.UTC))
	equal(t, "now in UTC", w.Now(), w.Start())
}

func TestClockMovesWithSleeps(t *testing.T) {
	w, n := world(t, vswitch.Config{})
	began := time.Now()
	must(t, w.Run(context.Background(), func(context.Context) error { return sleep(n, 59*time.Minute) }))
	equal(t, "virtual time", w.Stats().Virtual, 59*time.Minute)
	equal(t, "now", w.Now(), w.Start().Add(59*time.Minute))
	if wall := time.Since(began); wall > 10*time.Second {
		t.Errorf("took %v of real time", wall)
	}
}

func TestAWorldRunsOnce(t *testing.T) {
	w, n := world(t, vswitch.Config{})
	must(t, w.Run(context.Background(), nothing))
	ran := false
	err := w.Run(context.Background(), func(context.Context) error { ran = true; return nil })
	if err == nil || err.Error() != "World.Run: a world runs only once" || ran {
		t.Errorf("second Run: %v, ran %v", err, ran)
	}
	if err := sleep(n, 1); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a call after the run: %v", err)
	}
	if _, err := w.NewSwitch(vswitch.SwitchConfig{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("NewSwitch after the run: %v", err)
	}
	if _, err := w.NewNode("late"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("NewNode after the run: %v", err)
	}
}

func TestCallsBeforeTheRunReturnAtOnce(t *testing.T) {
	_, n := world(t, vswitch.Config{})
	err := sleep(n, 1)
	if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "World.Run") {
		t.Errorf("a call before the run: %v", err)
	}
}

func TestFramesSentBeforeTheRunEnterAtItsStart(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	l.stations["a"].send(vswitch.Broadcast, "early")
	l.run()
	equal(t, "b", l.stations["b"].arrivals(), "50µs early")
}

func TestRunWaitsForClientsAndNotForServers(t *testing.T) {
	w, n := world(t, vswitch.Config{})
	var served error
	w.Go("client", func(context.Context) error { return sleep(n, 3*time.Second) })
	w.Background("server", func(ctx context.Context) error {
		served = forever(n, vswitch.OpAccept, "")
		<-ctx.Done()
		return served
	})
	must(t, w.Run(context.Background(), func(context.Context) error {
		w.Go("late client", func(context.Context) error { return sleep(n, 5*time.Second) })
		return sleep(n, 1*time.Second)
	}))
	equal(t, "virtual time", w.Stats().Virtual, 5*time.Second)
	equal(t, "the server's call", served, net.ErrClosed)
}

func TestRunWaitsForFramesInFlight(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{})
	a := l.connect(vswitch.PortConfig{Name: "a"})
	b := l.connect(vswitch.PortConfig{Name: "b", Latency: 20 * time.Second})
	l.sw.AddRule("", onSender(vswitch.Verdict{Copies: 1, Gap: time.Minute}))
	l.at(0, func() { a.send(b.MAC(), "x") })
	l.run()
	equal(t, "b", b.arrivals(), "20.000025s x, 1m20.000025s x")
}

// Two stations that answer each other without end do not keep a run alive whose
// clients have returned.
func TestEndlessConversationOfServersEndsWithTheRun(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
	a, b := l.stations["a"], l.stations["b"]
	a.on = func([]byte) { _ = a.Send(ether(b.MAC(), a.MAC(), "ping")) }
	b.on = func([]byte) { _ = b.Send(ether(a.MAC(), b.MAC(), "pong")) }
	l.at(0, func() { a.send(b.MAC(), "ping") })
	l.run()
	equal(t, "a second more", l.w.Stats().Virtual, time.Second+50*time.Microsecond)
}

func TestErrorsAreJoinedUnderTheirNames(t *testing.T) {
	w, n := world(t, vswitch.Config{})
	broken := errors.New("broken")
	w.Go("get", func(context.Context) error { return broken })
	w.Go("fine", nothing)
	w.Background("web", func(context.Context) error { return errors.New("no files") })
	w.Background("idle", func(context.Context) error { return forever(n, vswitch.OpAccept, "") })
	err := w.Run(context.Background(), func(context.Context) error { return errors.New("main failed") })
	equal(t, "error", err.Error(), "main failed\nget: broken\nweb: no files")
	equal(t, "is", errors.Is(err, broken), true)
	equal(t, "harness", vswitch.IsHarnessError(err), false)
}

func TestClientsClosedCallIsAnError(t *testing.T) {
	w, _ := world(t, vswitch.Config{})
	w.Go("get", func(context.Context) error { return net.ErrClosed })
	err := w.Run(context.Background(), nothing)
	if !errors.Is(err, net.ErrClosed) || !strings.HasPrefix(err.Error(), "get: ") {
		t.Errorf("Run: %v", err)
	}
}

func TestApplicationsContext(t *testing.T) {
	w, _ := world(t, vswitch.Config{})
	type key struct{}
	var names []string
	see := func(ctx context.Context) error {
		names = append(names, vswitch.Order(ctx))
		equal(t, "a value of the run's context", ctx.Value(key{}), any(1))
		return ctx.Err()
	}
	w.Go("first", see)
	w.Background("second", see)
	must(t, w.Run(context.WithValue(context.Background(), key{}, 1), see))
	equal(t, "in order", strings.Join(names, " "), "main first second")
}

func TestGoAfterTheRunDoesNotRun(t *testing.T) {
	w, _ := world(t, vswitch.Config{})
	must(t, w.Run(context.Background(), nothing))
	w.Go("late", func(context.Context) error { t.Error("ran"); return nil })
	runtime.Gosched()
}

func TestCancelledRun(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		for range 20 { // whatever a select would choose
			w, n := world(t, vswitch.Config{})
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			err := w.Run(ctx, func(context.Context) error { return sleep(n, time.Second) })
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("Run: %v", err)
			}
			equal(t, "error", err.Error(), "context canceled")
		}
	})
	t.Run("during", func(t *testing.T) {
		w, n := world(t, vswitch.Config{})
		ctx, cancel := context.WithCancelCause(context.Background())
		why := errors.New("enough")
		var got error
		err := w.Run(ctx, func(context.Context) error {
			for i := 0; got == nil; i++ {
				if i == 100 {
					cancel(why)
				}
				got = sleep(n, time.Second)
			}
			return got
		})
		if !errors.Is(err, why) || !strings.Contains(err.Error(), "not finished: main; node waits in sleep for 1s") {
			t.Errorf("Run: %v", err)
		}
		equal(t, "the parked call", got, net.ErrClosed)
	})
	t.Run("while a goroutine is busy", func(t *testing.T) {
		w, _ := world(t, vswitch.Config{})
		ctx, cancel := context.WithTimeout(context.Background(), 50*ms)
		defer cancel()
		began := time.Now()
		err := w.Run(ctx, func(ctx context.Context) error {
			for ctx.Err() == nil {
			}
			return nil
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run: %v", err)
		}
		if wall := time.Since(began); wall > 5*time.Second {
			t.Errorf("noticed after %v", wall)
		}
	})
}

func TestShutdownEndsCallsInOrderAndExecutesCloses(t *testing.T) {
	w, n := world(t, vswitch.Config{})
	b := newNode(t, w, "b")
	var order []string
	closed := false
	server := func(name string, n *vswitch.Node, kind vswitch.OpKind) {
		w.Background(name, func(context.Context) error {
			err := forever(n, kind, "")
			order = append(order, name)
			must(t, n.Do(&vswitch.Op{Kind: vswitch.OpClose, Try: func() bool { closed = true; return true }}))
			return err
		})
	}
	server("b reads", b, vswitch.OpRead)
	server("node reads", n, vswitch.OpRead)
	server("node accepts", n, vswitch.OpAccept)
	must(t, w.Run(context.Background(), nothing))
	equal(t, "order", strings.Join(order, ", "), "node accepts, node reads, b reads")
	equal(t, "closed", closed, true)
}

func TestConnectionsInMidCloseGetTheirTime(t *testing.T) {
	waiting := vswitch.MidClose{Waiting: 1}
	unacked := vswitch.MidClose{Unacknowledged: 1}
	for _, tc := range []struct {
		state          vswitch.MidClose
		business, want time.Duration
		cutOff         uint64
	}{
		{waiting, 900 * ms, 900 * ms, 0},
		{waiting, 2 * time.Second, time.Second, 0},
		{unacked, 40 * time.Second, 40 * time.Second, 0},
		{unacked, 2 * time.Minute, time.Minute, 1},
	} {
		w, n := world(t, vswitch.Config{})
		state := tc.state
		n.StackClock().AfterFunc(tc.business, func() { state = vswitch.MidClose{} })
		for at := 100 * ms; at < 3*time.Minute; at += 100 * ms {
			n.StackClock().AfterFunc(at, func() {})
		}
		n.OnMidClose(func() vswitch.MidClose { return state })
		must(t, w.Run(context.Background(), nothing))
		equal(t, "virtual time", w.Stats().Virtual, tc.want)
		equal(t, "cut off", w.Stats().CutOff, tc.cutOff)
	}
}

func TestTheLimitDoesNotTurnAMidCloseIntoAFailure(t *testing.T) {
	w, n := world(t, vswitch.Config{Limit: 10 * time.Second})
	n.StackClock().AfterFunc(20*time.Second, func() {})
	n.OnMidClose(func() vswitch.MidClose { return vswitch.MidClose{Unacknowledged: 2} })
	must(t, w.Run(context.Background(), nothing))
	equal(t, "cut off", w.Stats().CutOff, 2)
}

func TestWhatIsDueWhenTheLastClientReturnsStillHappens(t *testing.T) {
	w, n := world(t, vswitch.Config{})
	fired := false
	must(t, w.Run(context.Background(), func(context.Context) error {
		n.StackClock().AfterFunc(0, func() { fired = true })
		return nil
	}))
	equal(t, "fired", fired, true)
}

func TestGoexitEndsTheRunWithAnError(t *testing.T) {
	w, _ := world(t, vswitch.Config{})
	w.Go("quitter", func(context.Context) error { runtime.Goexit(); return nil })
	err := w.Run(context.Background(), nothing)
	if err == nil || !strings.Contains(err.Error(), "quitter: it ended by runtime.Goexit") {
		t.Errorf("got %v", err)
	}
}

func TestARunWithinARunIsRefused(t *testing.T) {
	w, _ := world(t, vswitch.Config{})
	err := w.Run(context.Background(), func(ctx context.Context) error {
		inner, _ := world(t, vswitch.Config{})
		return inner.Run(ctx, nothing)
	})
	if err == nil || !strings.Contains(err.Error(), "called by an application of a world that runs") {
		t.Errorf("got %v", err)
	}
}

func TestAPanickingRuleLeavesAClosableWorld(t *testing.T) {
	w, n := world(t, vswitch.Config{})
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	must(t, err)
	p, err := sw.Connect(vswitch.PortConfig{}, vswitch.EndpointFunc(func([]byte) {}))
	must(t, err)
	sw.AddRule("bad", vswitch.RuleFunc(func(*vswitch.Frame, *vswitch.Port) vswitch.Verdict { panic("bad rule") }))
	func() {
		defer func() { equal(t, "panic", recover(), any("bad rule")) }()
		w.Run(context.Background(), func(context.Context) error {
			p.Send(make([]byte, 60))
			return sleep(n, time.Second)
		})
	}()
	must(t, w.Close())
}

func TestCloseTellsNodesInOrderOnce(t *testing.T) {
	w, n := world(t, vswitch.Config{})
	var told []string
	newNode(t, w, "b").OnClose(func() { told = append(told, "b") })
	n.OnClose(func() { told = append(told, "node") })
	must(t, w.Run(context.Background(), func(context.Context) error {
		if err := w.Close(); err == nil || err.Error() != "World.Close: the world is running" {
			t.Errorf("Close of a running world: %v", err)
		}
		return nil
	}))
	must(t, w.Close())
	must(t, w.Close())
	equal(t, "told", strings.Join(told, " "), "node b")
}

func TestWorldsRunOneAfterTheOther(t *testing.T) {
	var running atomic.Int32
	done := make(chan error)
	for range 4 {
		w, n := world(t, vswitch.Config{})
		go func() {
			done <- w.Run(context.Background(), func(context.Context) error {
				if running.Add(1) != 1 {
					t.Error("two worlds run at once")
				}
				defer running.Add(-1)
				for range 100 {
					if err := sleep(n, 1*ms); err != nil {
						return err
					}
				}
				return nil
			})
		}()
	}
	for range 4 {
		must(t, <-done)
	}
}

func TestWaitingForAnotherWorldCanBeCancelled(t *testing.T) {
	outer, n := world(t, vswitch.Config{})
	inner, _ := world(t, vswitch.Config{})
	must(t, outer.Run(context.Background(), func(context.Context) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		got := make(chan error, 1)
		go func() { got <- inner.Run(ctx, nothing) }()
		if err := sleep(n, 10*ms); err != nil {
			return err
		}
		cancel()
		if err := sleep(n, 10*ms); err != nil {
			return err
		}
		err := <-got
		if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "waiting for another world of this process to end") {
			t.Errorf("inner Run: %v", err)
		}
		return nil
	}))
	must(t, inner.Run(context.Background(), nothing)) // it has not run yet
}

func TestProcessSettingsAreRestored(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	defer debug.SetGCPercent(debug.SetGCPercent(77))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 40))
	settings := func() [3]int64 {
		gc := debug.SetGCPercent(-1)
		debug.SetGCPercent(gc)
		return [3]int64{int64(runtime.GOMAXPROCS(0)), int64(gc), debug.SetMemoryLimit(-1)}
	}
	before := settings()
	for _, main := range []func(context.Context) error{
		nothing,
		func(context.Context) error { return errors.New("failed") },
	} {
		w, n := world(t, vswitch.Config{})
		_ = w.Run(context.Background(), func(ctx context.Context) error {
			equal(t, "while it runs", settings(), [3]int64{1, -1, math.MaxInt64})
			return errors.Join(sleep(n, time.Second), main(ctx))
		})
		equal(t, "afterwards", settings(), before)
	}
	func() { // a rule that panics does so in Run's caller
		l := newLAN(t, vswitch.SwitchConfig{}, "a", "b")
		l.sw.AddRule("", vswitch.RuleFunc(func(*vswitch.Frame, *vswitch.Port) vswitch.Verdict { panic("rule") }))
		l.at(0, func() { l.stations["a"].send(vswitch.Broadcast, "x") })
		done := make(chan struct{})
		defer func() {
			equal(t, "recovered", recover(), any("rule"))
			equal(t, "afterwards", settings(), before)
			close(done)
		}()
		_ = l.w.Run(context.Background(), func(context.Context) error { <-done; return nil })
	}()
}

func TestSinglePRestores(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	vswitch.SingleP(func() { equal(t, "inside", runtime.GOMAXPROCS(0), 1) })
	equal(t, "afterwards", runtime.GOMAXPROCS(0), 2)
}

func TestNodeAddresses(t *testing.T) {
	_, n := world(t, vswitch.Config{})
	mine := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}
	n.SetAddrs(mine)
	mine[0] = netip.Addr{}
	equal(t, "first", n.Addrs()[0].String(), "10.0.0.1")
	equal(t, "all", len(n.Addrs()), 2)
}
