package tap_test

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/vnreplay/vnreplay/tap"
	"github.com/vnreplay/vnreplay/tap/taptest"
)

// startQEMU starts QEMU without a machine, with network backends and a hub.
func startQEMU(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("qemu-system-x86_64", append([]string{"-machine", "none", "-nodefaults", "-display", "none"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		err := cmd.Wait()
		if t.Failed() {
			t.Logf("qemu: %v: %s", err, out.Bytes())
		}
	})
}

// The real QEMU stands between the two devices: its hub joins two of its netdevs.
func TestConformanceWithQEMU(t *testing.T) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		skip(t, "qemu-system-x86_64 is not installed; TestConformance has peers that speak its framing")
	}
	hub := []string{"-netdev", "hubport,id=h0,hubid=0,netdev=n0", "-netdev", "hubport,id=h1,hubid=0,netdev=n1"}
	for _, c := range []struct {
		name string
		open func(t *testing.T) (a, b tap.Device)
	}{
		{"stream", func(t *testing.T) (a, b tap.Device) {
			one, two := socketPath(t, "one"), socketPath(t, "two")
			a = open(t, "qemu:unix:%s", one)
			startQEMU(t, append(hub,
				"-netdev", "stream,id=n0,server=off,addr.type=unix,addr.path="+one,
				"-netdev", "stream,id=n1,server=on,addr.type=unix,addr.path="+two)...)
			b = open(t, "qemu:unix:%s,connect", two)
			eventually(t, "QEMU is there", func() bool { return counters(a).Connects+counters(b).Connects == 2 })
			return a, b
		}},
		// Over UDP, because QEMU (7.2) lets frames overtake those that a full unix socket
		// made it keep.
		{"dgram", func(t *testing.T) (a, b tap.Device) {
			one, two := loopbackPair(t)
			startQEMU(t, append(hub,
				"-netdev", "dgram,id=n0,local.type=inet,local.host="+one+",local.port=4000,remote.type=inet,remote.host="+one+",remote.port=5000",
				"-netdev", "dgram,id=n1,local.type=inet,local.host="+two+",local.port=4000,remote.type=inet,remote.host="+two+",remote.port=5000")...)
			return open(t, "qemu-dgram:local=udp:%s:5000,remote=udp:%[1]s:4000", one), open(t, "qemu-dgram:local=udp:%s:5000,remote=udp:%[1]s:4000", two)
		}},
	} {
		t.Run(c.name, func(t *testing.T) { taptest.Run(t, c.open) })
	}
}
