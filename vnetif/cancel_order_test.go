package vnetif_test

import (
	"context"
	"slices"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Contexts made of one of WithTimeout end in the same order in every run.
func TestDerivedContextsEndInOneOrder(t *testing.T) {
	var first []int
	for range 10 {
		w := vswitch.NewWorld(vswitch.Config{})
		sw, err := w.NewSwitch(vswitch.SwitchConfig{})
		if err != nil {
			t.Fatal(err)
		}
		h, err := vnetif.NewHost(sw, vnetif.HostConfig{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		var order []int
		err = w.Run(context.Background(), func(ctx context.Context) error {
			parent, cancel := h.WithTimeout(ctx, time.Second)
			defer cancel()
			out := make(chan int)
			for i := range 10 {
				go func() {
					ctx, cancel := context.WithCancel(parent)
					defer cancel()
					<-ctx.Done()
					out <- i
				}()
			}
			for range 10 {
				order = append(order, <-out)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = order
		}
		if raceEnabled { // the race detector shuffles goroutines on purpose
			slices.Sort(order)
			slices.Sort(first)
		}
		if !slices.Equal(order, first) {
			t.Errorf("%v, and before that %v", order, first)
		}
	}
}
