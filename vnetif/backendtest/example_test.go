package backendtest_test

import (
	"fmt"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
	"github.com/vnreplay/vnreplay/vnetif/backendtest"
)

// A backend is asked for anew in each world that the checks make. That of a test is the
// user's own; here it is a switch.
func ExampleFrames() {
	create := func(w *vswitch.World) (vnetif.Backend[*vswitch.Port], error) {
		return w.NewSwitch(vswitch.SwitchConfig{})
	}
	fmt.Println(backendtest.Frames(vswitch.Config{}, create))
	// Output: <nil>
}

// In virtual time hosts also say whether runs repeat.
func ExampleHosts() {
	create := func(w *vswitch.World) (vnetif.Backend[*vswitch.Port], error) {
		return w.NewSwitch(vswitch.SwitchConfig{Hub: true})
	}
	fmt.Println(backendtest.Hosts(vswitch.Config{}, create))
	// Output: <nil>
}
