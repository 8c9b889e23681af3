package vswitch_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

func TestEventsOfOneInstant(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{Hub: true}, "a", "b", "c")
	n1 := newNode(t, l.w, "n1")
	n2 := newNode(t, l.w, "n2")
	var order []string
	note := func(what string) func() { return func() { order = append(order, what) } }
	const at = 1 * ms
	// Asked for in an order that has nothing to do with what is expected.
	n2.AppClock(0).AfterFunc(at, note("app n2"))
	n1.AppClock(7).AfterFunc(at, note("app n1 object 7"))
	n1.AppClock(2).AfterFunc(at, note("app n1 object 2 first"))
	n1.AppClock(2).AfterFunc(at, note("app n1 object 2 second"))
	n1.AppClock(0).AfterFunc(at, note("app n1"))
	n2.StackClock().AfterFunc(at, note("stack n2"))
	n1.StackClock().AfterFunc(at, note("stack n1 first"))
	n1.StackClock().AfterFunc(at, note("stack n1 second"))
	for _, name := range []string{"a", "b", "c"} {
		s := l.stations[name]
		s.on = func(data []byte) { note("delivery " + s.Name() + " of " + payload(data))() }
	}
	l.at(at-50*time.Microsecond, func() {
		l.stations["c"].send(vswitch.Broadcast, "c1")
		l.stations["c"].send(vswitch.Broadcast, "c2")
		l.stations["a"].send(vswitch.Broadcast, "a1")
	})
	l.at(2*ms, func() {})
	l.run()
	equal(t, "order", "\n"+strings.Join(order, "\n"), `
delivery a of c1
delivery a of c2
delivery b of a1
delivery b of c1
delivery b of c2
delivery c of a1
stack n1 first
stack n1 second
stack n2
app n1
app n1 object 2 first
app n1 object 2 second
app n1 object 7
app n2`)
}

func newNode(t testing.TB, w *vswitch.World, name string) *vswitch.Node {
	t.Helper()
	n, err := w.NewNode(name)
	must(t, err)
	return n
}

func TestTimers(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{})
	clock := l.node.StackClock()
	var fired []string
	note := func(what string) func() {
		return func() { fired = append(fired, fmt.Sprintf("%s@%v", what, clock.Now().Sub(l.w.Start()))) }
	}
	l.at(10*ms, func() {
		stopped := clock.AfterFunc(1*ms, note("stopped"))
		moved := clock.AfterFunc(2*ms, note("moved"))
		inline := true
		now := clock.AfterFunc(-5*ms, func() { note("now")(); equal(t, "called inline", inline, false) })
		inline = false
		never := clock.AfterFunc(math.MaxInt64, note("in 292 years"))
		again := clock.AfterFunc(1*ms, note("again"))
		clock.AfterFunc(2*ms, func() {
			equal(t, "Stop of what has happened", now.Stop(), false)
			equal(t, "Reset of what has happened", again.Reset(4*ms), false)
		})
		equal(t, "Stop", stopped.Stop(), true)
		equal(t, "second Stop", stopped.Stop(), false)
		equal(t, "Reset", moved.Reset(3*ms), true)
		equal(t, "Stop of the far future", never.Stop(), true)
	})
	l.at(20*ms, func() {})
	l.run()
	equal(t, "fired", strings.Join(fired, " "), "now@10ms again@11ms moved@13ms again@16ms")
}

func TestResetPutsATimerBehindOthersOfItsInstant(t *testing.T) {
	l := newLAN(t, vswitch.SwitchConfig{})
	var fired []string
	note := func(what string) func() { return func() { fired = append(fired, what) } }
	clock := l.node.StackClock()
	first := clock.AfterFunc(1*ms, note("first"))
	clock.AfterFunc(1*ms, note("second"))
	first.Reset(1 * ms)
	l.at(2*ms, func() {})
	l.run()
	equal(t, "fired", strings.Join(fired, " "), "second first")
}

func TestCallsThatCanProceedAreExecutedInTheWorldsOrder(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	n1, n2 := newNode(t, w, "n1"), newNode(t, w, "n2")
	var order []string
	want := []struct {
		n      *vswitch.Node
		object uint64
		kind   vswitch.OpKind
		key    string
	}{
		{n1, 0, vswitch.OpDial, "a"},
		{n1, 0, vswitch.OpDial, "b"},
		{n1, 0, vswitch.OpSleep, ""},
		{n1, 1, vswitch.OpAccept, "z"},
		{n1, 1, vswitch.OpDial, ""},
		{n1, 1, vswitch.OpRead, ""},
		{n1, 1, vswitch.OpWrite, ""},
		{n1, 1, vswitch.OpClose, ""},
		{n1, 1, vswitch.OpSleep, ""},
		{n1, 2, vswitch.OpAccept, ""},
		{n2, 0, vswitch.OpAccept, ""},
		{n2, 1, vswitch.OpRead, ""},
	}
	var expected []string
	for _, c := range want {
		expected = append(expected, fmt.Sprint(c.n.Name(), " ", c.object, " ", c.kind, " ", c.key))
	}
	// All are parked, last first, before the first is executed.
	for i := range slices.Backward(want) {
		c := want[i]
		w.Go(fmt.Sprint("app", i), func(context.Context) error {
			return c.n.Do(&vswitch.Op{Object: c.object, Kind: c.kind, Key: c.key, Try: func() bool {
				order = append(order, fmt.Sprint(c.n.Name(), " ", c.object, " ", c.kind, " ", c.key))
				return true
			}})
		})
	}
	must(t, w.Run(context.Background(), func(context.Context) error { return nil }))
	equal(t, "order", strings.Join(order, "\n"), strings.Join(expected, "\n"))
	equal(t, "unordered", w.Stats().Unordered, 0)
}

func TestCallsThatAreAlikeAreCounted(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	n := newNode(t, w, "n")
	var order []string
	for i := range 3 {
		w.Go(fmt.Sprint(i), func(ctx context.Context) error {
			for _, key := range []string{"same", vswitch.Order(ctx)} {
				if err := n.Do(&vswitch.Op{Key: key, Try: func() bool { order = append(order, fmt.Sprint(key, i)); return true }}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(t, w.Run(context.Background(), func(context.Context) error { return nil }))
	// "0" sorts before "same": each application goes on as soon as it was served.
	equal(t, "order", strings.Join(order, " "), "same0 00 same1 11 same2 22")
	equal(t, "unordered", w.Stats().Unordered, 2)
}

func TestWakeTriesAgainAndOnlyThen(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	n := newNode(t, w, "n")
	ready, tries := false, 0
	op := &vswitch.Op{Kind: vswitch.OpRead, Try: func() bool { tries++; return ready }}
	n.Wake(op) // not waiting: nothing happens
	w.Go("reader", func(context.Context) error { return n.Do(op) })
	err := w.Run(context.Background(), func(context.Context) error {
		if err := sleep(n, 1*ms); err != nil {
			return err
		}
		n.Wake(op)
		n.Wake(op)
		if err := sleep(n, 1*ms); err != nil {
			return err
		}
		ready = true
		n.Wake(op)
		return nil
	})
	must(t, err)
	n.Wake(op)
	equal(t, "tries", tries, 3)
}

func TestOpMayBeUsedAgain(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	n := newNode(t, w, "n")
	tries := 0
	op := &vswitch.Op{Try: func() bool { tries++; return true }}
	must(t, w.Run(context.Background(), func(context.Context) error {
		return errors.Join(n.Do(op), n.Do(op), n.Do(op))
	}))
	equal(t, "tries", tries, 3)
}

func TestDoEarlySetsAWorldUp(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	n := newNode(t, w, "n")
	tries := 0
	op := func() *vswitch.Op { return &vswitch.Op{Try: func() bool { tries++; return true }} }
	must(t, n.DoEarly(op()))
	equal(t, "at once", tries, 1)
	must(t, w.Run(context.Background(), func(context.Context) error { return n.DoEarly(op()) }))
	equal(t, "by the loop", tries, 2)
	if err := n.DoEarly(op()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the run: %v", err)
	}
	w2 := vswitch.NewWorld(vswitch.Config{})
	defer w2.Close()
	n2 := newNode(t, w2, "n")
	err := n2.DoEarly(&vswitch.Op{Kind: vswitch.OpDial, Try: func() bool { return false }})
	if !errors.Is(err, net.ErrClosed) || !strings.HasPrefix(err.Error(), "dial before the world runs") {
		t.Errorf("what would block: %v", err)
	}
}

func TestObjectNumbersCountFromOnePerNode(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	a, b := newNode(t, w, "a"), newNode(t, w, "b")
	equal(t, "numbers", fmt.Sprint(a.NextObject(), a.NextObject(), b.NextObject()), "1 2 1")
}

func TestNodeNames(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	a := newNode(t, w, "a")
	for _, bad := range []string{"", ".a", "-", "a b", "ä", "a\n", strings.Repeat("x", 64)} {
		if _, err := w.NewNode(bad); err == nil {
			t.Errorf("NewNode(%q): no error", bad)
		}
	}
	newNode(t, w, "A_1.x-"+strings.Repeat("x", 57))
	if _, err := w.NewNode("a"); err == nil || err.Error() != `node "a": the name is taken` {
		t.Errorf("taken name: %v", err)
	}
	if n, ok := w.Lookup("a"); !ok || n != a {
		t.Error("Lookup(a) does not find it")
	}
	if _, ok := w.Lookup("b"); ok {
		t.Error("Lookup(b) finds it")
	}
	equal(t, "name", a.Name(), "a")
	equal(t, "world", a.World(), w)
}
