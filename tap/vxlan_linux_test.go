package tap_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// answer makes the answer of a host with an address to an ARP request or a ping, or nil.
func answer(frame []byte, own net.IP) []byte {
	mac := []byte{2, 0, 0, 0, 0, 0x51}
	out := append([]byte(nil), frame...)
	copy(out, frame[6:12])
	copy(out[6:], mac)
	switch p := out[14:]; {
	case binary.BigEndian.Uint16(frame[12:]) == 0x0806 && p[7] == 1 && own.Equal(net.IP(p[24:28])):
		p[7] = 2
		copy(p[18:28], frame[14+8:14+18]) // who asked
		copy(p[8:], mac)
		copy(p[14:], own)
		return out
	case binary.BigEndian.Uint16(frame[12:]) == 0x0800 && p[9] == 1 && p[20] == 8 && own.Equal(net.IP(p[16:20])):
		copy(p[12:16], frame[14+16:14+20])
		copy(p[16:20], frame[14+12:14+16])
		p[20] = 0
		// The type was 8 and is 0: the sum is less by 0x0800, its complement more.
		sum := uint32(binary.BigEndian.Uint16(p[22:])) + 0x0800
		binary.BigEndian.PutUint16(p[22:], uint16(sum+sum>>16))
		return out
	}
	return nil
}

// ping sends an echo request from a namespace and waits for what comes back.
func ping(t *testing.T, ns *namespace, from, to string, seq int, payload []byte) {
	t.Helper()
	var conn *icmp.PacketConn
	var err error
	ns.do(func() { conn, err = icmp.ListenPacket("ip4:icmp", from) })
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	request, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: 77, Seq: seq, Data: payload}}).Marshal(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.WriteTo(request, &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatalf("ping %s from %s: %v", to, from, err)
		}
		m, err := icmp.ParseMessage(1, buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		if echo, ok := m.Body.(*icmp.Echo); ok && m.Type == ipv4.ICMPTypeEchoReply && echo.Seq == seq {
			if !bytes.Equal(echo.Data, payload) {
				t.Errorf("ping %s: %d bytes came back for %d", to, len(echo.Data), len(payload))
			}
			return
		}
	}
}

// A kernel's vxlan device joins from another machine.
func TestVXLANWithTheKernel(t *testing.T) {
	a, b := newNamespace(t), newNamespace(t)
	link(a, b, false)
	dev := a.open("vxlan:42@10.9.0.1,remote=10.9.0.2")
	if dev.MTU() != 1450 {
		t.Errorf("MTU %d over one of 1500", dev.MTU())
	}
	b.sh(`ip link add name vx0 type vxlan id 42 dstport 4789 local 10.9.0.2 remote 10.9.0.1
		ip addr add 10.8.0.2/24 dev vx0
		ip link set vx0 up mtu 1450
		ip link add name vx1 type vxlan id 43 dstport 4789 local 10.9.0.2 remote 10.9.0.1
		ip addr add 10.7.0.2/24 dev vx1
		ip link set vx1 up`)
	read(dev, func(frame []byte) {
		if out := answer(frame, net.IPv4(10, 8, 0, 1).To4()); out != nil {
			dev.Write([][]byte{out})
		}
	})
	for i, size := range []int{0, 56, 1450 - 28} {
		ping(t, b, "10.8.0.2", "10.8.0.1", i, bytes.Repeat([]byte{byte(i + 1)}, size))
	}
	if c := counters(dev); c.TxInvalid+c.TxDown+c.TxDropped+c.RxMalformed != 0 {
		t.Errorf("counted %+v", c)
	}
	// Another network on the same wire is none of ours.
	var conn net.Conn
	var err error
	b.do(func() { conn, err = net.Dial("udp", "10.7.0.9:9") })
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, "frames of the other network are counted", func() bool {
		conn.Write([]byte("x"))
		return counters(dev).RxForeign > 0
	})
}
