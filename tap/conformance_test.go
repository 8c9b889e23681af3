package tap_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vnreplay/vnreplay/tap"
	"github.com/vnreplay/vnreplay/tap/taptest"
)

// open opens a device and closes it when the test ends.
func open(t *testing.T, format string, args ...any) tap.Device {
	t.Helper()
	dev, err := tap.Open(fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

// socketPath is a path short enough for a socket.
func socketPath(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vnr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, name)
}

func addrOf(dev tap.Device) net.Addr { return dev.(interface{ Addr() net.Addr }).Addr() }

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(t *testing.T) (a, b tap.Device)
	}{
		{"qemu-unix", func(t *testing.T) (a, b tap.Device) {
			path := socketPath(t, "q.sock")
			return open(t, "qemu:unix:%s,connect", path), open(t, "qemu:unix:%s", path)
		}},
		{"qemu-tcp", func(t *testing.T) (a, b tap.Device) {
			a = open(t, "qemu:tcp:127.0.0.1:0,mtu=9000")
			return a, open(t, "qemu:tcp:%s,connect,mtu=9000", addrOf(a))
		}},
		{"qemu-dgram-unix", func(t *testing.T) (a, b tap.Device) {
			one, two := socketPath(t, "one"), socketPath(t, "two")
			return open(t, "qemu-dgram:local=unix:%s,remote=unix:%s", one, two), open(t, "qemu-dgram:remote=unix:%s,local=unix:%s", one, two)
		}},
		{"qemu-dgram-udp", func(t *testing.T) (a, b tap.Device) {
			a = open(t, "qemu-dgram:local=udp:127.0.0.1:0,mtu=4000")
			return a, open(t, "qemu-dgram:local=udp:127.0.0.1:0,remote=udp:%s,mtu=4000", addrOf(a))
		}},
		{"qemu-dgram-udp6", func(t *testing.T) (a, b tap.Device) {
			if c, err := net.ListenPacket("udp6", "[::1]:0"); err != nil {
				skip(t, "no IPv6 here: %v", err)
			} else {
				c.Close()
			}
			a = open(t, "qemu-dgram:local=udp:[::1]:0")
			return a, open(t, "qemu-dgram:local=udp:[::1]:0,remote=udp:%s", addrOf(a))
		}},
		{"unixgram", func(t *testing.T) (a, b tap.Device) {
			path := socketPath(t, "vm")
			return open(t, "unixgram:%s", path), open(t, "qemu-dgram:local=unix:%s,remote=unix:%s", path+"2", path)
		}},
		{"pipe", func(t *testing.T) (a, b tap.Device) {
			r1, w1, err1 := os.Pipe()
			r2, w2, err2 := os.Pipe()
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			return tap.NewPipe("one", r1, w2, tap.DefaultMTU), tap.NewPipe("two", r2, w1, tap.DefaultMTU)
		}},
		{"vxlan", func(t *testing.T) (a, b tap.Device) {
			one, two := loopbackPair(t)
			return open(t, "vxlan:42@%s,remote=%s", one, two), open(t, "vxlan:42@%s,remote=%s", two, one)
		}},
		{"vxlan-learned", func(t *testing.T) (a, b tap.Device) {
			one, two := loopbackPair(t)
			return open(t, "vxlan:16777215@%s:4000,mtu=3000", one), open(t, "vxlan:16777215@%s:4000,remote=%s:4000,mtu=3000", two, one)
		}},
	} {
		t.Run(c.name, func(t *testing.T) { taptest.Run(t, c.open) })
	}
}

// loopbackPair are two addresses that no other test has.
func loopbackPair(t *testing.T) (one, two string) {
	if runtime.GOOS != "linux" {
		skip(t, "only Linux has all of 127.0.0.0/8 on its loopback interface")
	}
	net := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), rand.IntN(256))
	return net + "1", net + "2"
}
