// Package backendtest says whether a backend of one's own, something that raw
// interfaces and hosts are plugged into instead of a switch, keeps to the rules that
// are written down at [vnetif.Backend].
//
//	func TestHub(t *testing.T) {
//		hub := func(w *vswitch.World) (vnetif.Backend[*hub.Port], error) { return hub.New(w) }
//		if err := backendtest.Frames(vswitch.Config{}, hub); err != nil {
//			t.Error(err)
//		}
//		if err := backendtest.Hosts(vswitch.Config{}, hub); err != nil {
//			t.Error(err)
//		}
//	}
//
// # A map of the package
//
//   - [Frames] checks all that can be seen with frames alone: who gets which, how
//     often, in which order, in whose memory; sizes; what Close ends.
//   - [Hosts] checks that TCP/IP stacks find each other over the backend and, in virtual
//     time, that they do so in the same way twice.
//
// Both make worlds as they need them, in virtual time or, with Config.RealTime, in real
// time, and ask for a new backend in each. The error names the rule that is broken, and
// what showed it, one line for each; it is nil where all hold. They return also where a
// backend hangs, but then leave its world behind, running.
package backendtest
