package tap_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/tap"
	"golang.org/x/sys/unix"
)

// recording collects frames.
type recording struct {
	mu     sync.Mutex
	frames [][]byte
}

func (r *recording) add(frame []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, frame)
}

// all returns the frames when there are as many bytes of payload of a kind as were sent.
func (r *recording) all() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.frames...)
}

// letters are n bytes in which a dissector finds no protocol, as it does in random ones.
func letters(n int) []byte {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(rng.IntN(26))
	}
	return b
}

// link joins two namespaces with a veth: va in the one, vb in the other, with
// addresses .1 and .2, and with VLAN 5 on top if wanted; without VLANs in the kernel, the
// test is skipped then.
func link(a, b *namespace, vlan bool) {
	a.t.Helper()
	a.sh("ip link add name va type veth peer name vb && ip link set vb netns " + b.id())
	for i, ns := range []*namespace{a, b} {
		dev := []string{"va", "vb"}[i]
		n := strconv.Itoa(i + 1)
		ns.sh(`ip addr add 10.9.0.` + n + `/24 dev ` + dev + `
			ip link set ` + dev + ` up
			test ! -e /proc/net/if_inet6 || ip addr add fd00:9::` + n + `/64 dev ` + dev + ` nodad`)
		if vlan {
			addVLAN(ns, dev, "10.9.5."+n)
		}
	}
}

// addVLAN puts VLAN 5 on an interface, with priority 3, or skips the test.
func addVLAN(ns *namespace, dev, addr string) {
	ns.t.Helper()
	var out []byte
	var err error
	ns.do(func() {
		out, err = exec.Command("ip", "link", "add", "link", dev, "name", "v5", "type", "vlan", "id", "5", "egress-qos-map", "0:3").CombinedOutput()
	})
	if err != nil {
		ns.t.Skipf("no VLANs in this kernel: %s", bytes.TrimSpace(out))
	}
	ns.sh("ip addr add " + addr + "/24 dev v5 && ip link set v5 up")
}

// longest watches an interface as any program would, and tells the longest frame.
func longest(t *testing.T, ns *namespace, name string) func() int {
	t.Helper()
	var fd int
	var err error
	ns.do(func() {
		var i *net.Interface
		if i, err = net.InterfaceByName(name); err != nil {
			return
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); err != nil {
			return
		}
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0x0300, Ifindex: i.Index}) // ETH_P_ALL, big-endian
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() (most int) {
		defer unix.Close(fd)
		buf := make([]byte, 1<<17)
		for {
			n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
			if err != nil {
				return most
			}
			most = max(most, n)
		}
	}
}

// sendTCP sends data from one namespace to the other, and waits until it came.
func sendTCP(t *testing.T, from, to *namespace, addr string, data []byte) {
	t.Helper()
	var ln net.Listener
	var conn net.Conn
	var err error
	to.do(func() { ln, err = net.Listen("tcp", net.JoinHostPort(addr, "0")) })
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	from.do(func() { conn, err = net.DialTimeout("tcp", ln.Addr().String(), 10*time.Second) })
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	peer.SetDeadline(time.Now().Add(20 * time.Second))
	var wait sync.WaitGroup
	wait.Go(func() {
		conn.Write(data)
		conn.(*net.TCPConn).CloseWrite()
	})
	got, err := io.ReadAll(peer)
	wait.Wait()
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d of %d bytes came: %v", len(got), len(data), err)
	}
}

// sendUDP sends data in datagrams of a size, which the kernel cuts, and one alone.
func sendUDP(t *testing.T, from, to *namespace, addr string, data []byte, size int) {
	t.Helper()
	var in net.PacketConn
	var out net.Conn
	var err error
	to.do(func() { in, err = net.ListenPacket("udp", net.JoinHostPort(addr, "0")) })
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	from.do(func() { out, err = net.Dial("udp", in.LocalAddr().String()) })
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	raw, err := out.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) })
	if err != nil {
		t.Fatal(err)
	}
	const most = 30 // datagrams at once
	in.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 65536)
	for len(data) > 0 {
		chunk := data[:min(most*size, len(data))]
		if _, err := out.Write(chunk); err != nil {
			t.Fatal(err)
		}
		data = data[len(chunk):]
		for got := 0; got < len(chunk); {
			n, _, err := in.ReadFrom(buf)
			if err != nil || !bytes.Equal(buf[:n], chunk[got:got+n]) {
				t.Fatalf("datagram of %d bytes: %v", n, err)
			}
			got += n
		}
	}
}

// wire is what the frames with data of a transfer carried, as they lie there: without
// what was sent again, by sequence number for TCP.
func wire(frames [][]byte, vlan bool, proto byte) []byte {
	var stream []byte
	var first uint32
	begun := false
	for _, f := range frames {
		at := 12
		if tagged := f[12] == 0x81; tagged != vlan {
			continue
		} else if tagged {
			at = 16
		}
		ip := f[at+2:]
		var tp []byte
		switch binary.BigEndian.Uint16(f[at:]) {
		case 0x0800:
			if ip[9] != proto {
				continue
			}
			tp = ip[int(ip[0]&15)*4 : binary.BigEndian.Uint16(ip[2:])]
		case 0x86dd:
			if ip[6] != proto {
				continue
			}
			tp = ip[40 : 40+binary.BigEndian.Uint16(ip[4:])]
		default:
			continue
		}
		if proto == 17 {
			stream = append(stream, tp[8:]...)
			continue
		}
		seq := binary.BigEndian.Uint32(tp[4:])
		if !begun {
			first, begun = seq+1, true // SYN
			continue
		}
		data := tp[int(tp[12]>>4)*4:]
		if off := int(seq - first); len(data) > 0 {
			if off+len(data) > len(stream) {
				stream = append(stream, make([]byte, off+len(data)-len(stream))...)
			}
			copy(stream[off:], data)
		}
	}
	return stream
}

// looksLikeWire has tshark look at every checksum and length.
func looksLikeWire(t *testing.T, frames [][]byte, mtu int) {
	t.Helper()
	path := pcapFile(t, frames)
	good := tshark(t, path, "ip.checksum.status == 1 || ipv6", "frame.number")
	if len(good) == 0 {
		t.Error("no IP packet in the recording")
	}
	wrong := tshark(t, path, "ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || (tcp && tcp.checksum.status != 1) || (udp && udp.checksum.status != 1)",
		"frame.number", "frame.len", "ip.checksum.status", "tcp.checksum.status", "udp.checksum.status")
	if len(wrong) > 0 {
		t.Errorf("%d frames with wrong checksums, the first (number, length, states): %s", len(wrong), wrong[0])
	}
	for i, f := range frames {
		most := mtu + 14
		if f[12] == 0x81 {
			most += 4
		}
		if len(f) > most {
			t.Fatalf("frame %d has %d bytes on a wire of MTU %d", i+1, len(f), mtu)
		}
	}
}

// What a packet device reads is what a wire would carry, whatever two kernels leave out
// between each other.
func TestPacketUndoesOffloads(t *testing.T) {
	data := letters(300_000)
	for _, c := range []struct {
		name, addr string
		six, vlan  bool
		udp        int
	}{
		{name: "tcp4", addr: "10.9.0.1"},
		{name: "tcp6", addr: "fd00:9::1", six: true},
		{name: "tcp4-vlan", addr: "10.9.5.1", vlan: true},
		{name: "udp4", addr: "10.9.0.1", udp: 1401},
		{name: "udp6", addr: "fd00:9::1", udp: 500, six: true},
		{name: "udp4-vlan", addr: "10.9.5.1", udp: 1400, vlan: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			need(t, "tshark")
			a, b := newNamespace(t), newNamespace(t)
			link(a, b, c.vlan)
			dev := a.open("packet:va")
			var rec recording
			r := read(dev, rec.add)
			most := longest(t, a, "va")
			proto := byte(6)
			if c.udp != 0 {
				proto = 17
				sendUDP(t, b, a, c.addr, data, c.udp)
			} else {
				sendTCP(t, b, a, c.addr, data)
			}
			eventually(t, "all is read", func() bool { return len(wire(rec.all(), c.vlan, proto)) >= len(data) })
			dev.Close()
			r.failed(t)
			if n := most(); n <= 1518 {
				t.Errorf("the longest frame had %d bytes: the kernel left nothing to do, and nothing was tested", n)
			}
			frames := rec.all()
			if got := wire(frames, c.vlan, proto); !bytes.Equal(got, data) {
				t.Errorf("the frames carry %d bytes, not the %d that were sent", len(got), len(data))
			}
			looksLikeWire(t, frames, 1500)
			if c := counters(dev); c != (tap.Counters{}) {
				t.Errorf("counted %+v", c)
			}
			if c.vlan {
				ids := tshark(t, pcapFile(t, frames), "vlan && ip", "vlan.id", "vlan.priority")
				for _, id := range ids {
					if id != "5|3" {
						t.Fatalf("tag %s, want VLAN 5 with priority 3", id)
					}
				}
			}
		})
	}
}

// cable reads each of two devices and writes to the other.
func cable(a, b tap.Device, rec *recording) {
	for _, way := range [][2]tap.Device{{a, b}, {b, a}} {
		read(way[0], func(frame []byte) {
			rec.add(frame)
			way[1].Write([][]byte{frame})
		})
	}
}

// Two kernels that talk over TAP devices leave nothing out.
func TestTAPLeavesNothingToHardware(t *testing.T) {
	needTUN(t)
	need(t, "tshark")
	a, b := newNamespace(t), newNamespace(t)
	devs := []tap.Device{a.open("tap:vnr0"), b.open("tap:vnr0")}
	for i, ns := range []*namespace{a, b} {
		ns.sh("ip addr add 10.9.0." + strconv.Itoa(i+1) + "/24 dev vnr0")
	}
	var rec recording
	cable(devs[0], devs[1], &rec)
	data := letters(200_000)
	sendTCP(t, a, b, "10.9.0.2", data)
	sendTCP(t, b, a, "10.9.0.1", data)
	sendUDP(t, a, b, "10.9.0.2", data[:50_000], 1000)
	for _, d := range devs {
		if c := counters(d); c != (tap.Counters{}) {
			t.Errorf("counted %+v", c)
		}
		d.Close()
	}
	frames := rec.all()
	looksLikeWire(t, frames, 1500)
	if got := wire(frames, false, 17); !bytes.Equal(got, data[:50_000]) {
		t.Errorf("the datagrams carry %d bytes", len(got))
	}
}
