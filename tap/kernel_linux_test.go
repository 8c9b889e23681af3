package tap_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vnreplay/vnreplay/tap"
	"github.com/vnreplay/vnreplay/tap/taptest"
	"golang.org/x/sys/unix"
)

// needTUN skips a test where there are no TAP devices.
func needTUN(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		skip(t, "no TAP devices: %v", err)
	}
	f.Close()
}

func TestConformanceOfTAPs(t *testing.T) {
	needTUN(t)
	taptest.Run(t, func(t *testing.T) (a, b tap.Device) {
		ns := newNamespace(t)
		a, b = ns.open("tap:vnr0"), ns.open("tap:vnr1,mtu=1400")
		ns.sh(`ip link add name br0 type bridge
			ip link set vnr0 master br0
			ip link set vnr1 master br0
			ip link set br0 up`)
		return a, b
	})
}

func TestConformanceOfTAPAndPacket(t *testing.T) {
	needTUN(t)
	taptest.Run(t, func(t *testing.T) (a, b tap.Device) {
		ns := newNamespace(t)
		a = ns.open("tap:vnr0,mtu=2000")
		return a, ns.open("packet:vnr0")
	})
}

func TestTAPTellsWhatItIs(t *testing.T) {
	needTUN(t)
	ns := newNamespace(t)
	dev := ns.open("tap:vnr0,mtu=9000")
	if dev.Name() != "vnr0" || dev.MTU() != 9000 {
		t.Errorf("%s with MTU %d", dev.Name(), dev.MTU())
	}
	var i *net.Interface
	var err error
	ns.do(func() { i, err = net.InterfaceByName("vnr0") })
	if err != nil {
		t.Fatal(err)
	}
	if mac := dev.(tap.Addressed).MAC(); mac.String() != i.HardwareAddr.String() {
		t.Errorf("MAC %s, the interface has %s", mac, i.HardwareAddr)
	}
	if i.MTU != 9000 || i.Flags&net.FlagUp == 0 {
		t.Errorf("the interface is %+v", i)
	}
	dev.Close()
	ns.do(func() { i, err = net.InterfaceByName("vnr0") })
	if err == nil {
		t.Error("the interface outlived the device that made it")
	}
}

func TestTAPByDescriptor(t *testing.T) {
	needTUN(t)
	ns := newNamespace(t)
	tun := func(flags uint16) int {
		ifr, err := unix.NewIfreq("vnr%d")
		if err != nil {
			t.Fatal(err)
		}
		ifr.SetUint16(flags)
		var fd int
		ns.do(func() {
			if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR, 0); err == nil {
				err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	for _, c := range []struct {
		flags uint16
		want  string
	}{
		{unix.IFF_TAP, "want IFF_TAP and IFF_NO_PI"},
		{unix.IFF_TUN | unix.IFF_NO_PI, "want IFF_TAP and IFF_NO_PI"},
		{unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR, "not IFF_VNET_HDR"},
	} {
		fd := tun(c.flags)
		_, err := ns.try("tap:fd=" + strconv.Itoa(fd))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("flags %#x: %v, want %q", c.flags, err, c.want)
		}
		if err := unix.Close(fd); err != nil { // it is still ours
			t.Error(err)
		}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if _, err := ns.try("tap:fd=" + strconv.Itoa(int(null.Fd()))); err == nil || !strings.Contains(err.Error(), "is not that of a TAP device") {
		t.Errorf("/dev/null: %v", err)
	}

	fd := tun(unix.IFF_TAP | unix.IFF_NO_PI)
	dev := ns.open("tap:fd=" + strconv.Itoa(fd))
	ns.sh("ip link set " + dev.Name() + " up")
	r := read(dev, nil)
	peer := ns.open("packet:" + dev.Name())
	write(t, peer, testFrame(100))
	if got := r.next(t, testType); !bytes.Equal(got, testFrame(100)) {
		t.Errorf("got % x", got)
	}
}

func TestInterfaceDownAndUp(t *testing.T) {
	needTUN(t)
	ns := newNamespace(t)
	dev, peer := ns.open("tap:vnr0"), ns.open("packet:vnr0")
	rd, rp := read(dev, nil), read(peer, nil)
	ns.sh("ip link set vnr0 down")
	for range 3 {
		write(t, dev, testFrame(60))
		write(t, peer, testFrame(60))
	}
	if d, p := counters(dev), counters(peer); d.TxDown != 3 || p.TxDown != 3 {
		t.Errorf("down: tap counted %+v, packet %+v", d, p)
	}
	ns.sh("ip link set vnr0 up")
	write(t, dev, testFrame(61))
	write(t, peer, testFrame(62))
	if n := len(rp.next(t, testType)); n != 61 {
		t.Errorf("packet got %d bytes", n)
	}
	if n := len(rd.next(t, testType)); n != 62 {
		t.Errorf("tap got %d bytes", n)
	}
}

func TestInterfaceRemoved(t *testing.T) {
	needTUN(t)
	ns := newNamespace(t)
	dev, peer := ns.open("tap:vnr0"), ns.open("packet:vnr0")
	rd, rp := read(dev, nil), read(peer, nil)
	ns.sh("ip link del vnr0")
	for name, r := range map[string]*reader{"tap": rd, "packet": rp} {
		if err := r.failed(t); err == nil || !strings.Contains(err.Error(), "interface vnr0 was removed") || errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, d := range []tap.Device{dev, peer} {
		if n, err := d.Write([][]byte{testFrame(60)}); n != 0 || err == nil || !strings.Contains(err.Error(), "was removed") {
			t.Errorf("write after that: %d, %v", n, err)
		}
		counters(d)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatTheKernelDropped(t *testing.T) {
	needTUN(t)
	ns := newNamespace(t)
	dev := ns.open("tap:vnr0")
	peer := ns.open("packet:vnr0")
	ns.sh("ip link set vnr0 txqueuelen 10")
	for range 30 { // nobody reads
		write(t, peer, testFrame(60))
	}
	sent := 30 - counters(peer).TxDropped
	r := read(dev, nil)
	got := uint64(0)
	eventually(t, "all are read or counted", func() bool {
		for len(r.frames) > 0 {
			if f := <-r.frames; f[12] == testType>>8 && f[13] == testType&0xff {
				got++
			}
		}
		return got+counters(dev).RxDropped >= sent
	})
	if got == sent || got == 0 {
		t.Errorf("%d of %d came: nothing, or nothing was dropped", got, sent)
	}
}

func TestPacketIsASecondParty(t *testing.T) {
	ns := newNamespace(t)
	ns.sh(`ip link add name va type veth peer name vb
		ip link set va up
		ip link set vb up`)
	left, right, local := ns.open("packet:va"), ns.open("packet:vb"), ns.open("packet:va")
	rl, rr, ro := read(left, nil), read(right, nil), read(local, nil)
	// Not to itself, not to others at its own end, but to the wire; whoever it is for.
	frame := testFrame(77)
	copy(frame, []byte{2, 0xaa, 0, 0, 0, 0})
	write(t, left, frame)
	if got := rr.next(t, testType); !bytes.Equal(got, frame) {
		t.Errorf("got % x", got)
	}
	write(t, right, testFrame(99))
	for _, r := range []*reader{rl, ro} {
		if n := len(r.next(t, testType)); n != 99 {
			t.Errorf("got %d bytes, want those of the other end, 99", n)
		}
	}
}

func TestErrorsOfOpen(t *testing.T) {
	needTUN(t)
	ns := newNamespace(t)
	ns.sh(`ip link add name va type veth peer name vb`)
	held := ns.open("tap:vnr0")
	for _, c := range []struct{ spec, want string }{
		{"packet:nosuch", "there is no such interface; ip link shows"},
		{"tap:va", "no TAP device; packet:va uses it as it is"},
		{"tap:" + held.Name(), "another process has the device"},
		{"tap:fd=1000", "is not that of a TAP device"},
	} {
		if dev, err := ns.try(c.spec); err == nil {
			dev.Close()
			t.Errorf("%s: no error", c.spec)
		} else if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), c.spec) {
			t.Errorf("%s: %v, want %q", c.spec, err, c.want)
		}
	}
}

// asNobody has the test binary open devices without any privilege.
func asNobody(t *testing.T, ns *namespace, wrap []string, specs ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "only root can become somebody else")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// nobody may not reach the directory that the test binary is in.
	bin := socketPath(t, "tap.test")
	data, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(bin, data, 0o755)
	}
	if err == nil {
		err = os.Chmod(bin[:strings.LastIndexByte(bin, '/')], 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrap, bin)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), openEnv+"="+strings.Join(specs, " "))
	cmd.Dir = "/"
	if len(wrap) == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	var out []byte
	ns.do(func() { out, err = cmd.CombinedOutput() })
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.ReplaceAll(string(out), bin, "BINARY")
}

func TestMissingPrivilegeNamesTheCommand(t *testing.T) {
	needTUN(t)
	ns := newNamespace(t)
	ns.sh(`ip link add name va type veth peer name vb`)
	info, err := os.Stat("/dev/net/tun")
	if err != nil {
		t.Fatal(err)
	}
	tunWant := "denied: sudo ip tuntap add dev vnr0 mode tap user nobody && sudo ip link set dev vnr0 up\n"
	if info.Mode()&0o006 != 0o006 {
		tunWant = "denied: sudo chmod 0666 /dev/net/tun\n"
	}
	want := "denied: sudo setcap cap_net_raw,cap_net_admin=ep BINARY\n" + tunWant
	if got := asNobody(t, ns, nil, "packet:va", "tap:vnr0"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Everybody may open the file of TAP devices where it is as most systems have it, and
// then the device decides.
func TestTAPOfAUser(t *testing.T) {
	needTUN(t)
	need(t, "unshare", "setpriv")
	ns := newNamespace(t)
	ns.sh(`ip tuntap add dev mine mode tap user nobody
		ip tuntap add dev down mode tap user nobody
		ip tuntap add dev many mode tap user nobody multi_queue
		ip tuntap add dev other mode tap user root
		ip link set mine up
		ip link set many up`)
	// A file of that kind in place of the machine's, for this one process.
	wrap := []string{"unshare", "-m", "sh", "-ec", `mount -t tmpfs tmpfs /dev/net
		mknod -m 0666 /dev/net/tun c 10 200
		exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"`, "sh"}
	got := asNobody(t, ns, wrap, "tap:mine", "tap:many", "tap:down", "tap:down,down", "tap:mine,mtu=9000", "tap:other", "tap:new")
	want := `open: mine
open: many
denied: sudo ip link set dev down up (or give the option down)
open: down
denied: sudo ip link set dev mine up mtu 9000
denied: sudo ip tuntap add dev other mode tap user nobody && sudo ip link set dev other up
denied: sudo ip tuntap add dev new mode tap user nobody && sudo ip link set dev new up
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
