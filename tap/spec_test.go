package tap_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/tap"
)

func TestSpecsThatAreRight(t *testing.T) {
	for _, spec := range []string{
		"tap:vnr0", "tap:vnr0,down", "tap:vnr0,mtu=9000,down", "tap:fd=3", "tap:fd=3,mtu=1400", "packet:eth0",
		"qemu:unix:/run/q.sock", "qemu:unix:q,connect", "qemu:tcp::4000", "qemu:tcp:[::1]:4000,connect,mtu=65535",
		"qemu-dgram:local=unix:/a,remote=unix:/b", "qemu-dgram:remote=udp:host:1,local=udp::2", "qemu-dgram:local=unix:/a",
		"unixgram:/run/vm", "unixgram:/run/vm,mtu=68", "stdio:", "stdio:mtu=9000",
		"vxlan:0@192.0.2.1", "vxlan:16777215@192.0.2.1:8472,remote=192.0.2.2,remote=192.0.2.2:1", "vxlan:1@2001:db8::1,remote=[2001:db8::2]:9", "vxlan:1@[::]:9,mtu=1500",
	} {
		if err := tap.Check(spec); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestSpecsThatAreWrong(t *testing.T) {
	for _, c := range []struct{ spec, want string }{
		{"", `port "", column 1, something is missing: no such kind of port; there is tap, packet, qemu, qemu-dgram, unixgram, stdio, vxlan`},
		{"tun:x", `port "tun:x", column 1, "tun": no such kind of port; there is tap, packet, qemu, qemu-dgram, unixgram, stdio, vxlan`},
		{"tap", `port "tap", column 4, something is missing: want a colon after tap`},
		{"tap:", `port "tap:", column 5, something is missing: want an interface's name of 1 to 15 letters, digits, and _ . -`},
		{"tap:averyverylongname", `column 5, "averyverylongname": want an interface's name`},
		{"tap:a/b", `column 5, "a/b": want an interface's name`},
		{"tap:vnr0,up", `column 10, "up": no such option; there is down, mtu=...`},
		{"tap:vnr0,down=1", `column 10, "down=1": want down`},
		{"tap:vnr0,mtu", `column 10, "mtu": want mtu=...`},
		{"tap:vnr0,mtu=67", `column 14, "67": want a number from 68 to 65535`},
		{"tap:vnr0,mtu=01500", `column 14, "01500": want a number`},
		{"tap:fd=x", `column 8, "x": want a number from 0 to 1048576`},
		{"packet:eth0,mtu=9000", `column 13, "mtu=9000": packet has no options`},
		{"qemu:/run/q", `column 6, "/run/q": want unix:PATH or tcp:HOST:PORT`},
		{"qemu:unix:", `column 11, something is missing: want the path of a socket`},
		{"qemu:unix:" + strings.Repeat("ä", 60), `: the path of a socket has at most 103 bytes, this one 120`},
		{"qemu:tcp:localhost", `column 10, "localhost": want HOST:PORT`},
		{"qemu:unix:ä,conect", `column 13, "conect": no such option; there is connect, mtu=...`},
		{"qemu-dgram:remote=unix:/a", `column 26, something is missing: want local=`},
		{"qemu-dgram:local=unix:/a,remote=udp:h:1", `column 33, "udp:h:1": local is unix, remote udp`},
		{"unixgram:", `column 10, something is missing: want the path of a socket`},
		{"stdio:x", `column 7, "x": no such option; there is mtu=...`},
		{"vxlan:42", `column 7, "42": want VNI@LOCAL`},
		{"vxlan:16777216@::1", `column 7, "16777216": want a number from 0 to 16777215`},
		{"vxlan:1@host", `column 9, "host": want an IP address`},
		{"vxlan:1@fe80::1%eth0", `column 9, "fe80::1%eth0": want an IP address`},
		{"vxlan:1@192.0.2.1:0", `column 9, "192.0.2.1:0": want an IP address`},
		{"vxlan:1@192.0.2.1,remote=::1", `column 26, "::1": ::1 and 192.0.2.1 are not of one family`},
		{"vxlan:1@192.0.2.1,remote=239.1.1.1", `column 26, "239.1.1.1": want the address of one remote`},
		{"vxlan:1@192.0.2.1,remote=192.0.2.2,remote=192.0.2.2:4789", `column 43, "192.0.2.2:4789": this remote is there already`},
	} {
		err := tap.Check(c.spec)
		var at *tap.SpecError
		if !errors.As(err, &at) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", c.spec, err, c.want)
			continue
		}
		holdSpecError(t, at)
	}
}

// holdSpecError checks that the error points at what it says.
func holdSpecError(t *testing.T, e *tap.SpecError) {
	t.Helper()
	runes := []rune(e.Spec)
	if e.Column < 1 || e.Column > len(runes)+1 || !strings.HasPrefix(string(runes[e.Column-1:]), string([]rune(e.Token))) {
		t.Errorf("%v: the token does not stand there", e)
	}
	if strings.ContainsFunc(e.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("%q has control characters", e.Error())
	}
}

func FuzzCheck(f *testing.F) {
	for _, spec := range []string{
		"tap:vnr0,down,mtu=1500", "tap:fd=3", "packet:eth0", "qemu:tcp:[::1]:4000,connect", "qemu-dgram:local=unix:/a,remote=unix:/b",
		"unixgram:/run/vm", "stdio:", "vxlan:42@192.0.2.1:4789,remote=192.0.2.2", "vxlan:1@[2001:db8::1]:9", "tap:\xff,\x00",
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		err := tap.Check(spec)
		var at *tap.SpecError
		switch {
		case err == nil:
		case !errors.As(err, &at):
			t.Errorf("%q: %v is no SpecError", spec, err)
		default:
			holdSpecError(t, at)
		}
	})
}
