package vswitch_test

import (
	"testing"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// FuzzFrames sends arbitrary bytes from the ports of a learning switch: nothing
// panics and the books balance. The input is a list of sends: a byte for the
// port, a byte for the length, and so many bytes of frame.
func FuzzFrames(f *testing.F) {
	send := func(port byte, frame []byte) []byte { return append([]byte{port, byte(len(frame))}, frame...) }
	a, b := vswitch.PortMAC(0), vswitch.PortMAC(1)
	f.Add([]byte{})
	f.Add(send(0, make([]byte, 13)))
	f.Add(send(0, ether(vswitch.Broadcast, a, "hello")))
	f.Add(append(send(0, ether(b, a, "1")), send(1, ether(a, b, "2"))...))
	f.Add(append(send(0, ether(a, a, "self")), send(2, ether(a, a, "moved"))...))
	f.Add(send(1, ether(vswitch.MAC{0x01, 0x80, 0xc2}, b, "reserved")))
	f.Add(send(1, ether(a, vswitch.Broadcast, "group source")))
	f.Add(send(1, append(ether(a, b, "")[:12], 0x81, 0x00, 0, 1)))
	f.Fuzz(func(t *testing.T, input []byte) {
		books := newBooks(t)
		w := vswitch.NewWorld(vswitch.Config{})
		defer w.Close()
		sw, err := w.NewSwitch(vswitch.SwitchConfig{MACs: 2, Recorder: books})
		must(t, err)
		var ports []*vswitch.Port
		for i := range 3 {
			p, err := sw.Connect(vswitch.PortConfig{MTU: 100 + 40*i}, vswitch.EndpointFunc(func(data []byte) { clear(data) }))
			must(t, err)
			ports = append(ports, p)
		}
		node := newNode(t, w, "script")
		for at := ms; len(input) >= 2; at += ms {
			p, n := ports[int(input[0])%len(ports)], min(int(input[1]), len(input)-2)
			frame := input[2 : 2+n]
			input = input[2+n:]
			node.StackClock().AfterFunc(at, func() { _ = p.Send(frame) })
		}
		must(t, w.Run(t.Context(), mainSleep(node, 1000*ms)))
		books.finish(w)
	})
}
