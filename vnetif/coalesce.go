package vnetif

import (
	"bytes"
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/vnreplay/vnreplay/switch"
)

// run is consecutive TCP segments of one direction of a connection, each following on
// the one before, that may be handed to the stack as one: as network cards and kernels
// do (generic receive offload). gVisor's own coalescer takes packets that have been
// made packet buffers already, which is most of what there is to save.
//
// All segments of a run have been found to be whole, with right checksums. Headers are
// those of the first; where they say more than lengths, checksums and identification,
// the others say the same.
type run struct {
	frames   [][]byte
	ipLen    int // of the IP header
	tcpLen   int // of the TCP header with its options
	mss      int // payload of the first: a shorter one ends the run
	size     int // of the frame that the run makes
	next     uint32
	push     bool
	complete bool // takes no more
}

// maxRun is the longest frame made of a run: an IP packet of 64 kB less what keeps it
// in a chunk of gVisor's pools.
const maxRun = buffer.MaxChunkSize

// Offsets in an IPv4 header, an IPv6 header and a TCP header.
const (
	ip4Flags, ip4TTL, ip4Checksum, ip4Src = 6, 8, 10, 12
	ip6Length, ip6Next                    = 4, 6
	tcpSeq, tcpAck, tcpFlags, tcpWindow   = 4, 8, 13, 14
)

// begin starts a run with a frame and reports whether it can be in one: a whole TCP
// segment with data, no options or extension headers of IP, and no flags but ACK and
// PSH.
func (r *run) begin(frame []byte) bool {
	*r = run{frames: r.frames[:0]}
	if len(frame) < vswitch.HeaderLen+header.IPv4MinimumSize+header.TCPMinimumSize {
		return false
	}
	ip := frame[vswitch.HeaderLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case uint16(header.IPv4ProtocolNumber):
		r.ipLen = header.IPv4MinimumSize
		h := header.IPv4(ip)
		if ip[0] != 0x45 || int(h.TotalLength()) != len(ip) || h.Protocol() != uint8(header.TCPProtocolNumber) ||
			binary.BigEndian.Uint16(ip[ip4Flags:])&^(header.IPv4FlagDontFragment<<13) != 0 || !h.IsChecksumValid() {
			return false
		}
	case uint16(header.IPv6ProtocolNumber):
		r.ipLen = header.IPv6MinimumSize
		if len(ip) < r.ipLen+header.TCPMinimumSize || ip[0]>>4 != header.IPv6Version ||
			int(binary.BigEndian.Uint16(ip[ip6Length:])) != len(ip)-r.ipLen || ip[ip6Next] != uint8(header.TCPProtocolNumber) {
			return false
		}
	default:
		return false
	}
	tcp := header.TCP(ip[r.ipLen:])
	r.tcpLen = int(tcp.DataOffset())
	if r.tcpLen < header.TCPMinimumSize || r.tcpLen >= len(tcp) || tcp.Flags()&^header.TCPFlagPsh != header.TCPFlagAck ||
		!checksumHolds(ip, r.ipLen) {
		return false
	}
	r.mss = len(tcp) - r.tcpLen
	r.size = len(frame)
	r.next = tcp.SequenceNumber() + uint32(r.mss)
	r.push = tcp.Flags()&header.TCPFlagPsh != 0
	r.complete = r.push
	r.frames = append(r.frames, frame)
	return true
}

// add adds a frame that follows, and reports whether it does.
func (r *run) add(frame []byte) bool {
	head := vswitch.HeaderLen + r.ipLen + r.tcpLen
	n := len(frame) - head
	if r.complete || n <= 0 || n > r.mss || r.size+n > maxRun {
		return false
	}
	first := r.frames[0]
	ip, ip0 := frame[vswitch.HeaderLen:], first[vswitch.HeaderLen:]
	if !bytes.Equal(frame[:vswitch.HeaderLen], first[:vswitch.HeaderLen]) {
		return false
	}
	if r.ipLen == header.IPv4MinimumSize {
		h := header.IPv4(ip)
		if ip[0] != ip0[0] || ip[1] != ip0[1] || int(h.TotalLength()) != len(ip) ||
			!bytes.Equal(ip[ip4Flags:ip4Checksum], ip0[ip4Flags:ip4Checksum]) ||
			!bytes.Equal(ip[ip4Src:r.ipLen], ip0[ip4Src:r.ipLen]) || !h.IsChecksumValid() {
			return false
		}
	} else if !bytes.Equal(ip[:ip6Length], ip0[:ip6Length]) || int(binary.BigEndian.Uint16(ip[ip6Length:])) != len(ip)-r.ipLen ||
		!bytes.Equal(ip[ip6Next:r.ipLen], ip0[ip6Next:r.ipLen]) {
		return false
	}
	tcp, tcp0 := ip[r.ipLen:], ip0[r.ipLen:]
	const push = uint8(header.TCPFlagPsh)
	if !bytes.Equal(tcp[:tcpSeq], tcp0[:tcpSeq]) || binary.BigEndian.Uint32(tcp[tcpSeq:]) != r.next ||
		!bytes.Equal(tcp[tcpAck:tcpFlags], tcp0[tcpAck:tcpFlags]) || (tcp[tcpFlags]^tcp0[tcpFlags])&^push != 0 ||
		!bytes.Equal(tcp[tcpWindow:tcpWindow+2], tcp0[tcpWindow:tcpWindow+2]) ||
		!bytes.Equal(tcp[header.TCPMinimumSize:r.tcpLen], tcp0[header.TCPMinimumSize:r.tcpLen]) ||
		!checksumHolds(ip, r.ipLen) {
		return false
	}
	r.size += n
	r.next += uint32(n)
	r.push = tcp[tcpFlags]&push != 0
	r.complete = r.push || n < r.mss
	r.frames = append(r.frames, frame)
	return true
}

// checksumHolds reports whether the TCP checksum of a packet is right.
func checksumHolds(ip []byte, ipLen int) bool {
	tcp := ip[ipLen:]
	addrs := ip[ip4Src:ipLen]
	if ipLen == header.IPv6MinimumSize {
		addrs = ip[8:ipLen]
	}
	sum := checksum.Checksum(addrs, uint16(header.TCPProtocolNumber))
	sum = checksum.Combine(sum, uint16(len(tcp)))
	return checksum.Checksum(tcp, sum) == 0xffff
}

// packet makes the packet, whose checksums are not to be looked at.
func (r *run) packet() *stack.PacketBuffer {
	view := buffer.NewViewSize(r.size)
	data := view.AsSlice()
	head := vswitch.HeaderLen + r.ipLen + r.tcpLen
	at := copy(data, r.frames[0])
	for _, frame := range r.frames[1:] {
		at += copy(data[at:], frame[head:])
	}
	ip := data[vswitch.HeaderLen:]
	if r.ipLen == header.IPv4MinimumSize {
		header.IPv4(ip).SetTotalLength(uint16(len(ip)))
	} else {
		header.IPv6(ip).SetPayloadLength(uint16(len(ip) - r.ipLen))
	}
	if r.push {
		ip[r.ipLen+tcpFlags] |= uint8(header.TCPFlagPsh)
	}
	return stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(view)})
}
