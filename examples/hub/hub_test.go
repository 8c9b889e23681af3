package hub_test

import (
	"testing"

	"github.com/vnreplay/vnreplay/examples/hub"
	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
	"github.com/vnreplay/vnreplay/vnetif/backendtest"
)

// The hub keeps to the rules of backends, in virtual time and in real time.
func TestHub(t *testing.T) {
	create := func(w *vswitch.World) (vnetif.Backend[*hub.Port], error) { return hub.New(w) }
	for name, world := range map[string]vswitch.Config{"virtual": {}, "real": {RealTime: true}} {
		t.Run(name, func(t *testing.T) {
			if err := backendtest.Frames(world, create); err != nil {
				t.Error(err)
			}
			if err := backendtest.Hosts(world, create); err != nil {
				t.Error(err)
			}
		})
	}
}
