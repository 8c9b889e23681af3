package tap

import (
	"encoding/binary"
	"math/bits"
)

// What a kernel says about a frame before it (struct virtio_net_hdr in
// linux/virtio_net.h): 10 bytes, numbers in the machine's byte order.
const vnetHeaderLen = 10

const (
	vnetNeedsChecksum = 1 // flags: the checksum is the pseudo header's sum so far

	vnetNone   = 0 // kinds of super-frames
	vnetTCP4   = 1
	vnetTCP6   = 4
	vnetUDP    = 5    // one UDP datagram in each segment
	vnetECN    = 0x80 // with TCP: the first segment has CWR set, the others not
	protoTCP   = 6
	protoUDP   = 17
	etherIPv4  = 0x0800
	etherIPv6  = 0x86dd
	tcpCWR     = 0x80
	tcpPSH     = 0x08
	tcpFIN     = 0x01
	flagsAt    = 13 // in a TCP header
	udpHeader  = 8
	tcpLeast   = 20
	ipv4Least  = 20
	ipv6Header = 40
)

type vnetHeader struct {
	flags, kind                   byte
	segment                       int // payload bytes of each frame of a super-frame
	checksumStart, checksumOffset int // what is summed, and where in that the sum goes
}

func parseVnetHeader(b []byte) vnetHeader {
	return vnetHeader{
		flags:          b[0],
		kind:           b[1],
		segment:        int(binary.NativeEndian.Uint16(b[4:])),
		checksumStart:  int(binary.NativeEndian.Uint16(b[6:])),
		checksumOffset: int(binary.NativeEndian.Uint16(b[8:])),
	}
}

// super reports whether the frame has to be cut.
func (h vnetHeader) super() bool { return h.kind != vnetNone }

// complete fills in the checksum that was left to hardware. It reports false, and
// changes nothing, where the head does not fit the frame.
func (h vnetHeader) complete(frame []byte) bool {
	if h.flags&vnetNeedsChecksum == 0 {
		return true
	}
	at := h.checksumStart + h.checksumOffset
	if h.checksumStart < MinFrame || at+2 > len(frame) {
		return false
	}
	sum := ^fold(sum(0, frame[h.checksumStart:]))
	if sum == 0 {
		sum = 0xffff // the same number; in UDP a zero would say that there is none
	}
	binary.BigEndian.PutUint16(frame[at:], sum)
	return true
}

// cutter cuts a super-frame into the frames that hardware would send.
type cutter struct {
	frame   []byte // the super-frame, without the tag
	tag     []byte // to be put in; empty or tagLen bytes
	segment int    // payload bytes of a frame
	ip, tp  int    // where the IP and the TCP or UDP header begin
	head    int    // length of all headers
	six     bool   // IPv6
	proto   byte

	at    int // payload bytes that were cut off
	index int
}

// newCutter looks where to cut. It reports false for what it does not understand:
// tunnels, fragments, headers that are not whole.
func newCutter(h vnetHeader, frame, tag []byte) (c cutter, ok bool) {
	c = cutter{frame: frame, tag: tag, segment: h.segment, ip: MinFrame}
	typ := binary.BigEndian.Uint16(frame[12:])
	for range 2 {
		if isTag(frame[c.ip-2:]) && len(frame) >= c.ip+tagLen {
			c.ip += tagLen
			typ = binary.BigEndian.Uint16(frame[c.ip-2:])
		}
	}
	var proto byte
	switch typ {
	case etherIPv4:
		c.tp, proto, ok = ipv4Payload(frame, c.ip)
	case etherIPv6:
		c.six = true
		c.tp, proto, ok = ipv6Payload(frame, c.ip)
	}
	if !ok || c.segment == 0 {
		return c, false
	}
	c.proto = proto
	switch kind := h.kind &^ vnetECN; {
	case proto == protoTCP && (kind == vnetTCP4 && !c.six || kind == vnetTCP6 && c.six):
		if c.tp+tcpLeast > len(frame) {
			return c, false
		}
		length := int(frame[c.tp+12]>>4) * 4
		if length < tcpLeast {
			return c, false
		}
		c.head = c.tp + length
	case proto == protoUDP && kind == vnetUDP:
		c.head = c.tp + udpHeader
	default:
		return c, false
	}
	// A checksum elsewhere is that of a packet inside of this one.
	if h.flags&vnetNeedsChecksum != 0 && h.checksumStart != c.tp {
		return c, false
	}
	return c, c.head < len(frame)
}

// ipv4Payload returns where the payload of an IPv4 packet begins, and its protocol.
func ipv4Payload(frame []byte, ip int) (at int, proto byte, ok bool) {
	if ip+ipv4Least > len(frame) || frame[ip]>>4 != 4 {
		return 0, 0, false
	}
	length := int(frame[ip]&15) * 4
	fragment := binary.BigEndian.Uint16(frame[ip+6:]) & 0x3fff // offset and more-fragments
	return ip + length, frame[ip+9], length >= ipv4Least && ip+length <= len(frame) && fragment == 0
}

// ipv6Payload walks over the extension headers that may stand before TCP or UDP in a
// packet that is no fragment.
func ipv6Payload(frame []byte, ip int) (at int, proto byte, ok bool) {
	if ip+ipv6Header > len(frame) || frame[ip]>>4 != 6 {
		return 0, 0, false
	}
	const hopByHop, routing, destination = 0, 43, 60
	proto, at = frame[ip+6], ip+ipv6Header
	for proto == hopByHop || proto == routing || proto == destination {
		if at+2 > len(frame) {
			return 0, 0, false
		}
		proto, at = frame[at], at+8+int(frame[at+1])*8
	}
	return at, proto, at <= len(frame)
}

// more reports whether there is another frame.
func (c *cutter) more() bool { return c.head+c.at < len(c.frame) }

// next writes the next frame into buf and returns its length: at most that of the super-frame
// and the tag. It must not be called when there is no more.
func (c *cutter) next(buf []byte) int {
	data := c.frame[c.head+c.at:]
	last := len(data) <= c.segment
	if !last {
		data = data[:c.segment]
	}
	copy(buf, c.frame[:c.head])
	copy(buf[c.head:], data)
	out := buf[:c.head+len(data)]

	if c.six {
		binary.BigEndian.PutUint16(out[c.ip+4:], uint16(len(out)-c.ip-ipv6Header))
	} else {
		ip := out[c.ip:c.tp]
		binary.BigEndian.PutUint16(ip[2:], uint16(len(out)-c.ip))
		binary.BigEndian.PutUint16(ip[4:], binary.BigEndian.Uint16(ip[4:])+uint16(c.index))
		binary.BigEndian.PutUint16(ip[10:], 0)
		binary.BigEndian.PutUint16(ip[10:], ^fold(sum(0, ip)))
	}
	tp := out[c.tp:]
	at := 16 // of the checksum
	if c.proto == protoTCP {
		binary.BigEndian.PutUint32(tp[4:], binary.BigEndian.Uint32(tp[4:])+uint32(c.at))
		if !last {
			tp[flagsAt] &^= tcpFIN | tcpPSH
		}
		if c.index > 0 {
			tp[flagsAt] &^= tcpCWR
		}
	} else {
		binary.BigEndian.PutUint16(tp[4:], uint16(len(tp)))
		at = 6
	}
	binary.BigEndian.PutUint16(tp[at:], 0)
	binary.BigEndian.PutUint16(tp[at:], c.transportSum(out))

	c.at += len(data)
	c.index++
	return insertTag(buf, len(out), c.tag)
}

// transportSum is the checksum of the TCP segment or UDP datagram with its pseudo header.
func (c *cutter) transportSum(out []byte) uint16 {
	addresses := out[c.ip+12 : c.ip+20]
	if c.six {
		addresses = out[c.ip+8 : c.ip+40]
	}
	length := len(out) - c.tp
	s := sum(uint64(c.proto)+uint64(length), addresses)
	if n := ^fold(sum(s, out[c.tp:])); n != 0 || c.proto == protoTCP {
		return n
	}
	return 0xffff
}

// insertTag puts a tag (or nothing) behind the addresses of the frame buf[:n], and
// returns the frame's length then.
func insertTag(buf []byte, n int, tag []byte) int {
	if len(tag) == 0 {
		return n
	}
	const addresses = 12
	copy(buf[addresses+tagLen:n+tagLen], buf[addresses:n])
	copy(buf[addresses:], tag)
	return n + tagLen
}

// sum adds b, as 16-bit big-endian numbers, to a sum of such numbers, with the carry
// coming back at the other end (RFC 1071). An odd byte is the high one of a number.
func sum(s uint64, b []byte) uint64 {
	var carry uint64
	for len(b) >= 8 {
		s, carry = bits.Add64(s, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	for len(b) >= 2 {
		s, carry = bits.Add64(s, uint64(binary.BigEndian.Uint16(b)), carry)
		b = b[2:]
	}
	if len(b) == 1 {
		s, carry = bits.Add64(s, uint64(b[0])<<8, carry)
	}
	s, carry = bits.Add64(s, 0, carry)
	return s + carry
}

// fold brings a sum down to 16 bits.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s&0xffff)
}
