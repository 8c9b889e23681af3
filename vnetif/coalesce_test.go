package vnetif

import (
	"bytes"
	"fmt"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"pgregory.net/rapid"
)

// tcpFrame is what the tests draw.
type tcpFrame struct {
	v6       bool
	port     uint16
	seq      uint32
	ack      uint32
	flags    header.TCPFlags
	options  []byte
	tos, ttl uint8
	id       uint16
	payload  []byte
}

var (
	v4a, v4b = tcpip.AddrFrom4([4]byte{10, 0, 0, 1}), tcpip.AddrFrom4([4]byte{10, 0, 0, 2})
	v6a, v6b = tcpip.AddrFrom16([16]byte{0xfd, 15: 1}), tcpip.AddrFrom16([16]byte{0xfd, 15: 2})
)

// bytes is the frame, with right lengths and checksums.
func (f *tcpFrame) bytes() []byte {
	tcpLen := header.TCPMinimumSize + len(f.options)
	ipLen := header.IPv4MinimumSize
	if f.v6 {
		ipLen = header.IPv6MinimumSize
	}
	b := make([]byte, header.EthernetMinimumSize+ipLen+tcpLen+len(f.payload))
	eth := header.EthernetFields{SrcAddr: "\x02\x00\x00\x00\x00\x01", DstAddr: "\x02\x00\x00\x00\x00\x02", Type: header.IPv4ProtocolNumber}
	ip := b[header.EthernetMinimumSize:]
	tcp := header.TCP(ip[ipLen:])
	tcp.Encode(&header.TCPFields{SrcPort: f.port, DstPort: 80, SeqNum: f.seq, AckNum: f.ack, DataOffset: uint8(tcpLen), Flags: f.flags, WindowSize: 1000})
	copy(tcp[header.TCPMinimumSize:], f.options)
	copy(tcp[tcpLen:], f.payload)
	src, dst := v4a, v4b
	if f.v6 {
		src, dst = v6a, v6b
		eth.Type = header.IPv6ProtocolNumber
		header.IPv6(ip).Encode(&header.IPv6Fields{PayloadLength: uint16(len(tcp)), TransportProtocol: header.TCPProtocolNumber, HopLimit: f.ttl, TrafficClass: f.tos, SrcAddr: src, DstAddr: dst})
	} else {
		h := header.IPv4(ip)
		h.Encode(&header.IPv4Fields{TotalLength: uint16(len(ip)), ID: f.id, Flags: header.IPv4FlagDontFragment, TTL: f.ttl, TOS: f.tos, Protocol: uint8(header.TCPProtocolNumber), SrcAddr: src, DstAddr: dst})
		h.SetChecksum(^h.CalculateChecksum())
	}
	header.Ethernet(b).Encode(&eth)
	tcp.SetChecksum(^checksum.Checksum(tcp, header.PseudoHeaderChecksum(header.TCPProtocolNumber, src, dst, uint16(len(tcp)))))
	return b
}

// collapse puts frames together as DeliverBatch does, and returns for each packet its
// frame and how many frames it is made of.
func collapse(frames [][]byte) (packets [][]byte, of []int) {
	var r run
	for len(frames) > 0 {
		first := frames[0]
		frames = frames[1:]
		if !r.begin(first) {
			packets, of = append(packets, first), append(of, 1)
			continue
		}
		n := 1
		for len(frames) > 0 && r.add(frames[0]) {
			frames = frames[1:]
			n++
		}
		pkt := r.packet()
		packets, of = append(packets, bytes.Clone(pkt.ToView().AsSlice())), append(of, n)
		pkt.DecRef()
	}
	return packets, of
}

// Whatever comes, each packet is one frame as it came, or the bytes of consecutive good
// segments that say the same in all that a receiver heeds.
func TestCoalescedSegmentsSayTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := tcpFrame{
			v6: rapid.Bool().Draw(t, "v6"), port: 1000, seq: rapid.Uint32().Draw(t, "seq"), ack: 5, flags: header.TCPFlagAck,
			options: bytes.Repeat([]byte{1}, 4*rapid.IntRange(0, 10).Draw(t, "options")), ttl: 64,
		}
		mss := rapid.IntRange(1, 1460).Draw(t, "mss")
		var frames [][]byte
		var drawn []tcpFrame
		bad := map[int]bool{}
		flips := map[[2]int]bool{} // two that are alike, where no checksum covers them, say the same
		for i := range rapid.IntRange(1, 80).Draw(t, "frames") {
			f := base
			f.id = uint16(i)
			f.payload = make([]byte, mss)
			for k := range f.payload {
				f.payload[k] = byte(i*31 + k)
			}
			switch rapid.SampledFrom([]string{"", "", "", "", "", "", "", "short", "push", "fin", "ack", "port", "gap", "tos", "ttl", "options", "empty", "flip"}).Draw(t, "change") {
			case "short":
				f.payload = f.payload[:rapid.IntRange(0, mss).Draw(t, "length")]
			case "push":
				f.flags |= header.TCPFlagPsh
			case "fin":
				f.flags |= header.TCPFlagFin
			case "ack":
				base.ack++
				f.ack = base.ack
			case "port":
				f.port = 1001
			case "gap":
				f.seq += 7
			case "tos":
				f.tos = 3
			case "ttl":
				f.ttl = 63
			case "options":
				if len(f.options) > 0 {
					f.options = append(bytes.Repeat([]byte{1}, len(f.options)-1), 0)
				}
			case "empty":
				f.payload = nil
			case "flip":
				bad[len(frames)] = true
			}
			base.seq = f.seq + uint32(len(f.payload))
			data := f.bytes()
			if bad[len(frames)] {
				at := rapid.IntRange(header.EthernetMinimumSize, len(data)-1).Draw(t, "at")
				bit := rapid.IntRange(0, 7).Draw(t, "bit")
				if flip := [2]int{at, bit}; flips[flip] {
					delete(bad, len(frames))
				} else {
					flips[flip] = true
					data[at] ^= 1 << bit
				}
			}
			frames, drawn = append(frames, data), append(drawn, f)
		}
		packets, of := collapse(frames)
		at := 0
		for i, p := range packets {
			if of[i] == 1 {
				if !bad[at] && !bytes.Equal(p, frames[at]) {
					t.Fatalf("packet %d is changed frame %d", i, at)
				}
				at++
				continue
			}
			want := drawn[at]
			want.payload = nil
			for k := range of[i] {
				f := drawn[at+k]
				if bad[at+k] { // what no checksum covers is compared
					t.Fatalf("packet %d contains corrupted frame %d", i, at+k)
				}
				if f.seq != want.seq+uint32(len(want.payload)) || f.ack != want.ack || f.port != want.port ||
					f.tos != want.tos || f.ttl != want.ttl || !bytes.Equal(f.options, want.options) ||
					(f.flags^want.flags)&^header.TCPFlagPsh != 0 || want.flags&header.TCPFlagPsh != 0 {
					t.Fatalf("packet %d of frames %d+%d mixes %+v with %+v", i, at, of[i], want, f)
				}
				want.payload = append(want.payload, f.payload...)
				want.flags |= f.flags
			}
			if exp := want.bytes(); !equalButChecksums(p, exp, want.v6) {
				t.Fatalf("packet %d of frames %d+%d is\n%x, want\n%x", i, at, of[i], p[:80], exp[:80])
			}
			at += of[i]
		}
		if at != len(frames) {
			t.Fatalf("%d frames became packets, want %d", at, len(frames))
		}
	})
}

// equalButChecksums compares frames but for what is not looked at in them.
func equalButChecksums(a, b []byte, v6 bool) bool {
	a, b = bytes.Clone(a), bytes.Clone(b)
	if len(a) != len(b) {
		return false
	}
	for _, f := range [][]byte{a, b} {
		ip := f[header.EthernetMinimumSize:]
		tcp := header.TCP(ip[header.IPv6MinimumSize:])
		if !v6 {
			header.IPv4(ip).SetChecksum(0)
			tcp = header.TCP(ip[header.IPv4MinimumSize:])
		}
		tcp.SetChecksum(0)
	}
	return bytes.Equal(a, b)
}

// What is cut up and put together again is what it was.
func TestSegmentsPutTogetherAreTheWhole(t *testing.T) {
	for _, tags := range [][]byte{nil, {0x81, 0, 0, 5}} {
		t.Run(fmt.Sprintf("tags=%x", tags), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				f := tcpFrame{
					v6: rapid.Bool().Draw(t, "v6"), port: 1000, seq: rapid.Uint32().Draw(t, "seq"), flags: header.TCPFlagAck | header.TCPFlagPsh, id: 9, ttl: 64,
					options: bytes.Repeat([]byte{1}, 4*rapid.IntRange(0, 10).Draw(t, "options")),
					payload: make([]byte, rapid.IntRange(1, 60_000).Draw(t, "size")),
				}
				for i := range f.payload {
					f.payload[i] = byte(i * i >> 7)
				}
				mss := rapid.IntRange(100, 9000).Draw(t, "mss")
				whole := f.bytes()
				ipLen, tcpLen := header.IPv4MinimumSize, header.TCPMinimumSize+len(f.options)
				if f.v6 {
					ipLen = header.IPv6MinimumSize
				}
				pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
					ReserveHeaderBytes: header.EthernetMinimumSize + ipLen + tcpLen,
					Payload:            buffer.MakeWithData(f.payload),
				})
				defer pkt.DecRef()
				at := header.EthernetMinimumSize + ipLen
				copy(pkt.TransportHeader().Push(tcpLen), whole[at:])
				copy(pkt.NetworkHeader().Push(ipLen), whole[header.EthernetMinimumSize:])
				copy(pkt.LinkHeader().Push(header.EthernetMinimumSize), whole)
				pkt.GSOOptions = stack.GSO{Type: stack.GSOTCPv4, NeedsCsum: true, MSS: uint16(mss)}

				l := &liveLink{link: link{tags: tags}}
				var o outgoing
				l.frames(&o, pkt)
				var plain [][]byte
				for i, frame := range o.frames {
					if len(tags) > 0 && !bytes.Equal(frame[12:16], tags) {
						t.Fatalf("frame %d bears no tag: %x", i, frame[:18])
					}
					plain = append(plain, untagged(frame))
				}
				if n := (len(f.payload) + mss - 1) / mss; len(plain) != n {
					t.Fatalf("%d frames, want %d", len(plain), n)
				}
				packets, _ := collapse(plain)
				if len(packets) != 1 || !equalButChecksums(packets[0], whole, f.v6) {
					t.Fatalf("%d packets of %d frames", len(packets), len(plain))
				}
			})
		})
	}
}
