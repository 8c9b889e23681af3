package tap_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"os"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/tap"
)

// vm is a peer of datagrams that shares no code with the package.
type vm struct {
	t    *testing.T
	conn net.PacketConn
	to   net.Addr
}

// newVM binds a unix socket that talks to the one at path.
func newVM(t *testing.T, path string) vm {
	t.Helper()
	own := socketPath(t, "vm")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: own})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); os.Remove(own) })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return vm{t, conn, &net.UnixAddr{Net: "unixgram", Name: path}}
}

func (v vm) send(data []byte) {
	v.t.Helper()
	if _, err := v.conn.WriteTo(data, v.to); err != nil {
		v.t.Fatal(err)
	}
}

func (v vm) recv() []byte {
	v.t.Helper()
	buf := make([]byte, 1<<17)
	n, _, err := v.conn.ReadFrom(buf)
	if err != nil {
		v.t.Fatal(err)
	}
	return buf[:n]
}

func TestUnixgramLearnsItsPeer(t *testing.T) {
	path := socketPath(t, "s")
	dev := open(t, "unixgram:%s", path)
	r := read(dev, nil)
	write(t, dev, testFrame(60)) // to nobody
	first := newVM(t, path)
	first.send([]byte("VFKT")) // as vfkit does; it waits for frames from then on
	eventually(t, "the peer is known", func() bool { return counters(dev).Connects == 1 })
	write(t, dev, testFrame(61))
	if got := first.recv(); !bytes.Equal(got, testFrame(61)) {
		t.Errorf("got % x", got)
	}
	first.send([]byte("runt"))
	first.send(testFrame(62))
	if n := len(r.next(t, testType)); n != 62 {
		t.Errorf("got %d bytes", n)
	}
	if c := counters(dev); c != (tap.Counters{TxDown: 1, RxMalformed: 1, Connects: 1}) {
		t.Errorf("counted %+v", c)
	}

	// It goes, and another one comes.
	first.conn.Close()
	write(t, dev, testFrame(63))
	if c := counters(dev); c.TxDown != 2 || c.Disconnects != 1 {
		t.Errorf("counted %+v", c)
	}
	second := newVM(t, path)
	second.send(testFrame(64))
	r.next(t, testType)
	write(t, dev, testFrame(65))
	if n := len(second.recv()); n != 65 {
		t.Errorf("the second peer got %d bytes", n)
	}

	// It is restarted before anybody saw that it was gone.
	third := newVM(t, path)
	third.send([]byte("VFKT"))
	eventually(t, "the new peer is known", func() bool { return counters(dev).Connects == 3 })
	write(t, dev, testFrame(66))
	if n := len(third.recv()); n != 66 {
		t.Errorf("the third peer got %d bytes", n)
	}
}

func TestDatagramsOfOthers(t *testing.T) {
	a, b := socketPath(t, "a"), socketPath(t, "b")
	dev := open(t, "qemu-dgram:local=unix:%s,remote=unix:%s", a, b)
	stranger := newVM(t, a)
	stranger.send(testFrame(60))
	stranger.send([]byte("VFKT"))
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: b})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer := vm{t, conn, &net.UnixAddr{Net: "unixgram", Name: a}}
	peer.send(make([]byte, tap.MaxFrame+1))
	peer.send(testFrame(61))
	// All of them with one call: what is no frame leaves no gap.
	if got := read(dev, nil).next(t, testType); !bytes.Equal(got, testFrame(61)) {
		t.Errorf("got % x", got)
	}
	if c := counters(dev); c != (tap.Counters{RxForeign: 2, RxOversize: 1}) {
		t.Errorf("counted %+v", c)
	}
}

// vtep is a tunnel end that shares no code with the package.
type vtep struct {
	vm
}

func newVTEP(t *testing.T, addr, to string) vtep {
	t.Helper()
	conn, err := net.ListenPacket("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	peer, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		t.Fatal(err)
	}
	return vtep{vm{t, conn, peer}}
}

func (v vtep) encap(flags byte, vni uint32, frame []byte) []byte {
	head := []byte{flags, 0, 0, 0}
	return append(binary.BigEndian.AppendUint32(head, vni<<8|0xee), frame...)
}

func TestVXLANOnTheWire(t *testing.T) {
	one, two := loopbackPair(t)
	dev := open(t, "vxlan:74565@%s,remote=%s", one, two)
	peer := newVTEP(t, two+":4789", one+":4789")
	write(t, dev, testFrame(60))
	// RFC 7348 section 5: flag I, zeros, VNI 0x012345, a zero.
	if got, want := peer.recv(), append([]byte{8, 0, 0, 0, 0x01, 0x23, 0x45, 0}, testFrame(60)...); !bytes.Equal(got, want) {
		t.Errorf("sent % x\nwant % x", got, want)
	}

	flow := newVTEP(t, two+":0", one+":4789") // a port for each flow, as the RFC wants
	stranger := newVTEP(t, "127.0.0.1:0", one+":4789")
	for _, datagram := range [][]byte{
		flow.encap(8, 74566, testFrame(60)),
		flow.encap(0xf7, 74565, testFrame(60)),
		flow.encap(8, 74565, testFrame(13)),
		flow.encap(8, 74565, nil)[:7],
		{},
	} {
		flow.send(datagram)
	}
	stranger.send(stranger.encap(8, 74565, testFrame(60)))
	flow.send(flow.encap(0xff, 74565, testFrame(61))) // what is reserved is not looked at
	// All of them with one call: what is no frame leaves no gap.
	if got := read(dev, nil).next(t, testType); !bytes.Equal(got, testFrame(61)) {
		t.Errorf("got % x", got)
	}
	if c := counters(dev); c != (tap.Counters{RxForeign: 2, RxMalformed: 4}) {
		t.Errorf("counted %+v", c)
	}
}

func TestVXLANLearnsAndFloods(t *testing.T) {
	one, two := loopbackPair(t)
	net3 := two[:len(two)-1] + "3"
	dev := open(t, "vxlan:1@%s,remote=%s,remote=%s:5000", one, two, net3)
	r := read(dev, nil)
	a := newVTEP(t, two+":4789", one+":4789")
	b := newVTEP(t, net3+":5000", one+":4789")

	to := func(mac byte, size int) []byte {
		frame := testFrame(size)
		copy(frame, []byte{2, 0, 0, 0, 0, mac})
		return frame
	}
	from := func(mac byte, size int) []byte {
		frame := testFrame(size)
		copy(frame[6:], []byte{2, 0, 0, 0, 0, mac})
		return frame
	}
	// Nothing is known: to all. Then b is heard with address 9, and a with 7.
	write(t, dev, to(9, 60))
	if x, y := len(a.recv()), len(b.recv()); x != 68 || y != 68 {
		t.Errorf("flooded %d and %d bytes", x, y)
	}
	b.send(b.encap(8, 1, from(9, 60)))
	r.next(t, testType)
	a.send(a.encap(8, 1, from(7, 60)))
	r.next(t, testType)
	// One batch, three ways: each gets its own, in order.
	batch := [][]byte{to(9, 61), to(9, 62), to(7, 63), testFrame(64), to(9, 65), to(8, 66)}
	if n, err := dev.Write(batch); n != len(batch) || err != nil {
		t.Fatalf("wrote %d: %v", n, err)
	}
	for _, c := range []struct {
		peer vtep
		want []int
	}{{a, []int{63, 64, 66}}, {b, []int{61, 62, 64, 65, 66}}} {
		for _, want := range c.want {
			if got := len(c.peer.recv()) - 8; got != want {
				t.Errorf("%s got %d bytes, want %d", c.peer.conn.LocalAddr(), got, want)
			}
		}
	}
	// The station moves.
	a.send(a.encap(8, 1, from(9, 60)))
	r.next(t, testType)
	write(t, dev, to(9, 67))
	if got := len(a.recv()) - 8; got != 67 {
		t.Errorf("got %d bytes", got)
	}
}

func TestVXLANMTU(t *testing.T) {
	if got := open(t, "vxlan:1@127.0.0.1:14789").MTU(); got < 1450 || got > 65535-54 {
		t.Errorf("on the loopback interface: %d", got)
	}
	one, _ := loopbackPair(t)
	if got := open(t, "vxlan:1@%s", one).MTU(); got != 1450 {
		t.Errorf("on no interface: %d", got)
	}
}
