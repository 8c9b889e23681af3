package taptest_test

import (
	"io"
	"testing"

	"github.com/vnreplay/vnreplay/tap"
	"github.com/vnreplay/vnreplay/tap/taptest"
)

func ExampleRun() {
	_ = func(t *testing.T) { // TestConformance
		taptest.Run(t, func(t *testing.T) (a, b tap.Device) {
			r1, w1 := io.Pipe()
			r2, w2 := io.Pipe()
			return tap.NewPipe("a", r1, w2, 1500), tap.NewPipe("b", r2, w1, 1500)
		})
	}
	// Output:
}
