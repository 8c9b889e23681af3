package replay_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// craft writes a capture frame by frame.
type craft struct {
	t    testing.TB
	file bytes.Buffer
	now  time.Duration
	n    int // frames
	id   uint32
}

// newCraft starts a capture in the classic format, with nanoseconds.
func newCraft(t testing.TB) *craft {
	c := &craft{t: t}
	head := binary.LittleEndian.AppendUint32(nil, 0xa1b23c4d)
	head = binary.LittleEndian.AppendUint16(head, 2)
	head = binary.LittleEndian.AppendUint16(head, 4)
	head = append(head, make([]byte, 8)...)
	head = binary.LittleEndian.AppendUint32(head, 262144)
	c.file.Write(binary.LittleEndian.AppendUint32(head, pcap.LinkEthernet))
	return c
}

// wait lets time pass.
func (c *craft) wait(d time.Duration) { c.now += d }

// frame adds a frame, a tenth of a millisecond after the last.
func (c *craft) frame(data []byte) {
	c.wait(100 * time.Microsecond)
	at := 1767225600*time.Second + c.now
	c.file.Write(binary.LittleEndian.AppendUint32(nil, uint32(at/time.Second)))
	c.file.Write(binary.LittleEndian.AppendUint32(nil, uint32(at%time.Second)))
	for range 2 {
		c.file.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(data))))
	}
	c.file.Write(data)
	c.n++
}

// packet adds an IP packet, in fragments if it is longer than mtu.
func (c *craft) packet(from, to netip.Addr, proto uint8, segment []byte, tos byte, mtu int) {
	f, err := pcap.BuildIP(macOf(to), macOf(from), from, to, proto, 64, segment)
	if err != nil {
		c.t.Fatal(err)
	}
	if tos != 0 {
		f = retos(f, tos)
	}
	parts := [][]byte{f}
	if len(f)-14 > mtu {
		f[20] &^= 0x40 // may be fragmented
		c.id++
		if parts, err = pcap.Fragment(f, mtu, c.id); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, p := range parts {
		c.frame(p)
	}
}

// retos sets the traffic class of an Ethernet frame's IP header.
func retos(f []byte, tos byte) []byte {
	if f[14]>>4 == 6 {
		f[14], f[15] = f[14]&0xf0|tos>>4, f[15]&0x0f|tos<<4
		return f
	}
	f[15] = tos
	f[24], f[25] = 0, 0
	sum := uint32(0)
	for i := 14; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(f[24:], ^uint16(sum))
	return f
}

func macOf(a netip.Addr) vswitch.MAC {
	b := a.AsSlice()
	return vswitch.MAC{2, 0, 0, 0, 0, b[len(b)-1]}
}

// udp adds a datagram.
func (c *craft) udp(from, to string, payload []byte, mtu int) {
	f, t := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	c.packet(f.Addr(), t.Addr(), pcap.ProtoUDP, datagram(f, t, payload), 0, mtu)
}

// datagram is a UDP header, without a checksum, and what follows it.
func datagram(from, to netip.AddrPort, payload []byte) []byte {
	h := binary.BigEndian.AppendUint16(nil, from.Port())
	h = binary.BigEndian.AppendUint16(h, to.Port())
	h = binary.BigEndian.AppendUint16(h, uint16(8+len(payload)))
	return append(append(h, 0, 0), payload...)
}

// closed adds the ICMP error that a datagram's port is closed: of to, about from's.
func (c *craft) closed(from, to string, payload []byte) {
	f, t := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	quote, err := pcap.BuildIP(macOf(t.Addr()), macOf(f.Addr()), f.Addr(), t.Addr(), pcap.ProtoUDP, 64, datagram(f, t, payload))
	if err != nil {
		c.t.Fatal(err)
	}
	c.packet(t.Addr(), f.Addr(), pcap.ProtoICMP, append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, quote[14:]...), 0, 1500)
}

func (c *craft) analysis(name string) *replay.Analysis {
	r, err := pcap.NewReader(&c.file, name)
	if err != nil {
		c.t.Fatal(err)
	}
	capture, err := replay.Read(r, name)
	if err != nil {
		c.t.Fatal(err)
	}
	return replay.Analyse(capture)
}

// conn is a TCP connection to write down. Its side 0 opens.
type conn struct {
	*craft
	ends [2]netip.AddrPort
	next [2]uint32 // sequence numbers
	got  [2]uint32 // what each side has of the other: its next acknowledgement
	win  [2]uint16
	mtu  int
}

func (c *craft) conn(from, to string) *conn {
	k := &conn{craft: c, ends: [2]netip.AddrPort{netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)}, mtu: 1500}
	for i, e := range k.ends {
		k.next[i], k.win[i] = 1000*uint32(e.Port())+uint32(i), 60000
	}
	return k
}

// seg is a segment to write down; the zero value acknowledges.
type seg struct {
	flags   string // letters of SFRPUEC; ACK is there unless "-" is
	data    string
	options []byte
	back    uint32   // how far before the next byte it starts: a retransmission
	ahead   uint32   // how far after it: bytes between are missing
	ack     uint32   // how far behind its acknowledgement is
	sack    []uint32 // left and right edges, after the acknowledgement number
	urgent  uint16
	tos     byte
	unseen  bool // not captured
	lost    bool // captured, and the other side does not get it
}

// say lets a side send a segment.
func (k *conn) say(side int, s seg) {
	flags, letters := byte(0), "FSRPAUEC"
	for i := range letters {
		if bytes.IndexByte([]byte(s.flags), letters[i]) >= 0 {
			flags |= 1 << i
		}
	}
	ack := uint32(0)
	if bytes.IndexByte([]byte(s.flags), '-') < 0 {
		flags |= byte(pcap.ACK)
		ack = k.got[side] - s.ack
	}
	seq := k.next[side] - s.back + s.ahead
	for len(s.sack) > 0 {
		if s.options == nil {
			s.options = []byte{1, 1, 5, byte(2 + 4*len(s.sack))}
		}
		s.options = binary.BigEndian.AppendUint32(s.options, ack+s.sack[0])
		s.sack = s.sack[1:]
	}
	h := binary.BigEndian.AppendUint16(nil, k.ends[side].Port())
	h = binary.BigEndian.AppendUint16(h, k.ends[1-side].Port())
	h = binary.BigEndian.AppendUint32(h, seq)
	h = binary.BigEndian.AppendUint32(h, ack)
	h = append(h, byte(20+len(s.options))/4<<4, flags)
	h = binary.BigEndian.AppendUint16(h, k.win[side])
	h = append(h, 0, 0)
	h = binary.BigEndian.AppendUint16(h, s.urgent)
	h = append(append(h, s.options...), s.data...)
	if !s.unseen {
		k.packet(k.ends[side].Addr(), k.ends[1-side].Addr(), pcap.ProtoTCP, h, s.tos, k.mtu)
	}
	end := seq + uint32(len(s.data))
	if flags&byte(pcap.SYN|pcap.FIN) != 0 {
		end++
	}
	if int32(end-k.next[side]) > 0 {
		k.next[side] = end
	}
	if !s.lost && (seq == k.got[1-side] || flags&byte(pcap.SYN) != 0) {
		k.got[1-side] = end
	}
}

// tooBig tells a side, by a router, that its packet so far before its next byte was
// too big.
func (k *conn) tooBig(side, mtu int, back uint32) {
	src, dst := k.ends[side], k.ends[1-side]
	h := binary.BigEndian.AppendUint16(nil, src.Port())
	h = binary.BigEndian.AppendUint16(h, dst.Port())
	h = binary.BigEndian.AppendUint32(h, k.next[side]-back)
	quote, err := pcap.BuildIP(macOf(dst.Addr()), macOf(src.Addr()), src.Addr(), dst.Addr(), pcap.ProtoTCP, 64, append(h, make([]byte, 1400)...))
	if err != nil {
		k.t.Fatal(err)
	}
	if src.Addr().Is4() {
		m := binary.BigEndian.AppendUint32([]byte{3, 4, 0, 0}, uint32(mtu))
		k.packet(netip.MustParseAddr("10.0.0.254"), src.Addr(), pcap.ProtoICMP, append(m, quote[14:14+28]...), 0, 1500)
		return
	}
	m := binary.BigEndian.AppendUint32([]byte{2, 0, 0, 0}, uint32(mtu))
	k.packet(netip.MustParseAddr("fd00::fe"), src.Addr(), pcap.ProtoICMPv6, append(m, quote[14:14+1200]...), 0, 1500)
}

// fill notes that a side has all that the other sent.
func (k *conn) fill(side int) { k.got[side] = k.next[1-side] }

var mss = []byte{2, 4, 5, 180} // 1460

func (k *conn) open() {
	k.say(0, seg{flags: "S-", options: mss})
	k.say(1, seg{flags: "S", options: mss})
	k.say(0, seg{})
}

// talk is a request and an answer.
func (k *conn) talk() {
	k.say(0, seg{flags: "P", data: "what is it?\n"})
	k.say(1, seg{})
	k.wait(5 * time.Millisecond)
	k.say(1, seg{flags: "P", data: "it is this.\n"})
	k.say(0, seg{})
}

// close closes, side first.
func (k *conn) close(side int) {
	k.say(side, seg{flags: "F"})
	k.say(1-side, seg{flags: "F"})
	k.say(side, seg{})
}

func letters(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyz"[i%26]
	}
	return string(b)
}

// crafted is a conversation that is written down, and what must come of it.
type crafted struct {
	name   string
	write  func(c *craft)
	reason string // why it cannot be replayed; else both sides live must be the same
}

// check returns a line for each side live.
func (x *crafted) check(t *testing.T) (lines string) {
	c := newCraft(t)
	x.write(c)
	a := c.analysis(x.name)
	for i, side := range []string{"client", "server"} {
		r := run(t, a, a.Conversations[0].Ends[i].Addr().String())
		switch {
		case x.reason == "" && r.Verdict != replay.Same:
			t.Errorf("%s live: want the same:\n%s", side, text(t, r))
		case x.reason != "" && (r.Verdict != replay.Partial || len(r.Unplayable) != 1 || r.Unplayable[0].Reason != x.reason):
			t.Errorf("%s live: want %q:\n%s", side, x.reason, text(t, r))
		}
		lines += fmt.Sprintf("%s\t%s\t%v\t%s\n", x.name, side, r.Verdict, why(r))
	}
	return lines
}
