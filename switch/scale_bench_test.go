package vswitch_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// BenchmarkPorts sends 1514-byte frames round a ring of stations on one learning
// switch, each to its neighbour, in virtual time: what a frame costs must not depend on
// how many ports there are. x-2ports is that cost as a multiple of the one with two
// ports, measured by turns; both are medians of five, and an operation is all of them.
func BenchmarkPorts(b *testing.B) {
	const turns, frames = 5, 50_000
	for _, ports := range []int{10, 100, 1000, 5000} {
		b.Run(fmt.Sprint(ports), func(b *testing.B) {
			for range b.N {
				var costs, ratios []float64
				for range turns {
					two, many := ring(b, 2, frames), ring(b, ports, frames)
					costs = append(costs, float64(many)/frames)
					ratios = append(ratios, float64(many)/float64(two))
				}
				slices.Sort(costs)
				slices.Sort(ratios)
				b.ReportMetric(costs[turns/2], "ns/frame")
				b.ReportMetric(ratios[turns/2], "x-2ports")
			}
		})
	}
}

// ring sends n frames and returns how long they took.
func ring(b *testing.B, ports, n int) time.Duration {
	w := vswitch.NewWorld(vswitch.Config{Limit: 1 << 62, WallLimit: time.Hour})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	must(b, err)
	stations := make([]*vswitch.Port, ports)
	frames := make([][]byte, ports)
	left, arrived := n, 0
	for i := range stations {
		stations[i], err = sw.Connect(vswitch.PortConfig{}, vswitch.EndpointFunc(func([]byte) {
			if arrived++; left > 0 && frames[i] != nil {
				left--
				if err := stations[i].Send(frames[i]); err != nil {
					b.Error(err)
				}
			}
		}))
		must(b, err)
	}
	// Everybody's address is known before it starts.
	node := newNode(b, w, "script")
	var took time.Duration
	must(b, w.Run(context.Background(), func(context.Context) error {
		for _, p := range stations {
			must(b, p.Send(sized(stations[0].MAC(), p.MAC(), 60)))
			if err := sleep(node, time.Millisecond); err != nil {
				return err
			}
		}
		for i, p := range stations {
			frames[i] = sized(stations[(i+1)%ports].MAC(), p.MAC(), 1514)
		}
		arrived = 0
		began := time.Now()
		left--
		must(b, stations[0].Send(frames[0]))
		for left > 0 || arrived < n {
			if err := sleep(node, 60*time.Microsecond*time.Duration(max(n-arrived, 1))); err != nil {
				return err
			}
		}
		took = time.Since(began)
		return nil
	}))
	return took
}
