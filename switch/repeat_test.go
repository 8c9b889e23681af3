package vswitch_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

func mainSleep(n *vswitch.Node, d time.Duration) func(context.Context) error {
	return func(context.Context) error { return sleep(n, d) }
}

// chatter runs five stations that talk at random, from goroutines of their own,
// under a rule that loses, copies and delays, and returns the log of the run.
func chatter(t testing.TB, seed uint64) string {
	rec := &log{deliveries: true}
	l := newLANIn(t, vswitch.Config{Seed: seed}, vswitch.SwitchConfig{Recorder: rec})
	l.sw.AddRule("mess", drawnRule(vswitch.Derive(seed, "mess")))
	var names []string
	for i := range 5 {
		name := fmt.Sprintf("s%d", i)
		names = append(names, name)
		s := l.connect(vswitch.PortConfig{Name: name, Rate: int64(i%2) * 1_000_000, Queue: 3})
		s.on = func(data []byte) {
			if len(data) > 20 { // answers shrink, so that the talk ends
				_ = s.Send(ether(vswitch.MAC(data[6:12]), s.MAC(), string(data[20:])))
			}
		}
	}
	for _, name := range names {
		s := l.stations[name]
		n := newNode(t, l.w, name)
		draw := vswitch.NewRand(seed, name)
		l.w.Go(name, func(ctx context.Context) error {
			for range 20 {
				if err := sleepKey(n, time.Duration(draw.IntN(3))*ms, vswitch.Order(ctx)); err != nil {
					return err
				}
				dst := l.stations[names[draw.IntN(len(names))]].MAC()
				if draw.IntN(4) == 0 {
					dst = vswitch.Broadcast
				}
				_ = s.Send(sized(dst, s.MAC(), 14+draw.IntN(40)))
			}
			return nil
		})
	}
	l.run()
	must(t, l.w.Close())
	equal(t, "unordered", l.w.Stats().Unordered, 0)
	return rec.String()
}

func TestSameSeedSameLog(t *testing.T) {
	first := chatter(t, 7)
	if len(first) < 5000 {
		t.Fatalf("hardly anything happened:\n%s", first)
	}
	for i := range 20 {
		if got := chatter(t, 7); got != first {
			t.Fatalf("run %d differs:\n%s", i+2, firstDifference(first, got))
		}
	}
	if chatter(t, 8) == first {
		t.Error("another seed gives the same log")
	}
}

func firstDifference(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	from := max(0, n-200)
	return fmt.Sprintf("…%s\n---\n…%s", a[from:min(len(a), n+200)], b[from:min(len(b), n+200)])
}

// Derived seeds and streams are part of what makes old recordings repeatable:
// they never change.
func TestDeriveIsFixed(t *testing.T) {
	equal(t, "Derive(1)", vswitch.Derive(1), uint64(0xcd2662154e6d76b2))
	equal(t, "names are told apart", vswitch.Derive(1, "ab", "c") == vswitch.Derive(1, "a", "bc"), false)
	equal(t, "seeds are told apart", vswitch.Derive(1, "a") == vswitch.Derive(2, "a"), false)
	r, again := vswitch.NewRand(1, "loss"), vswitch.NewRand(1, "loss")
	_ = vswitch.NewRand(1, "other").Uint64()
	equal(t, "first draw", r.Uint64(), again.Uint64())
	equal(t, "second draw", r.Uint64(), again.Uint64())
}
