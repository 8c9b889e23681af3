package vswitch_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// sleep parks the caller for d on the node's clock.
func sleep(n *vswitch.Node, d time.Duration) error {
	var op *vswitch.Op
	var timer vswitch.Timer
	fired := false
	op = &vswitch.Op{Kind: vswitch.OpSleep, Key: d.String(), Try: func() bool {
		if timer == nil {
			timer = n.AppClock(0).AfterFunc(d, func() { fired = true; n.Wake(op) })
		}
		return fired
	}}
	return n.Do(op)
}

func TestClockMovesWithSleeps(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	n, err := w.NewNode("a")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err = w.Run(context.Background(), func(context.Context) error { return sleep(n, 59*time.Minute) })
	if err != nil {
		t.Fatal(err)
	}
	if got := w.Stats().Virtual; got != 59*time.Minute {
		t.Errorf("virtual time %v, want 59m", got)
	}
	if wall := time.Since(began); wall > 10*time.Second {
		t.Errorf("took %v of real time", wall)
	}
}

func TestRealTimeIsCaught(t *testing.T) {
	for name, wait := range map[string]func(){
		"time.Sleep": func() { time.Sleep(20 * time.Second) },
		"ticker": func() {
			tick := time.NewTicker(200 * time.Microsecond)
			defer tick.Stop()
			for end := time.Now().Add(time.Second); time.Now().Before(end); {
				<-tick.C
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := vswitch.NewWorld(vswitch.Config{})
			defer w.Close()
			n, _ := w.NewNode("a")
			stop := make(chan struct{})
			go func() { <-stop }()
			defer close(stop)
			err := w.Run(context.Background(), func(context.Context) error {
				go wait()
				for range 100 {
					if err := sleep(n, time.Second); err != nil {
						return err
					}
				}
				return nil
			})
			if !errors.Is(err, vswitch.ErrRealTime) || !strings.Contains(err.Error(), "world_test.go:") {
				t.Fatalf("got %v", err)
			}
			t.Log(err)
		})
	}
}
