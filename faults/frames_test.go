package faults_test

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/switch"
)

// made is a valid frame, and where its headers begin in it.
type made struct {
	data []byte
	at   map[string]int // by the names in fieldSpecs
	sums int            // how many checksums it has that cover nothing but it
}

// recipe is what a frame is made of.
type recipe struct {
	tags    []uint16 // TPIDs, from the outermost
	version int      // 4, 6, or 0 for ARP
	// IPv4: bytes of options. IPv6: extension headers, by their numbers. A fragment
	// header that is the only one is atomic.
	options    []byte
	extensions []byte
	protocol   byte
	icmpType   byte // also of ICMPv6 and IGMP
	tcpOptions []byte
	payload    []byte
	padding    int  // bytes behind the packet
	noSum      bool // UDP over IPv4 without a checksum
	fragment   string
}

const (
	protoICMP, protoIGMP, protoTCP, protoUDP, protoICMPv6, protoSCTP = 1, 2, 6, 17, 58, 132

	extHopByHop, extRouting, extFragment, extAuth, extDestination = 0, 43, 44, 51, 60

	// routing headers with a hop left: RFC 8754, RFC 2460, RFC 6275
	segmentRouting, oldRouting, mobileRouting = 143, 144, 145
)

var (
	mssOption    = []byte{2, 4, 0x05, 0xb4}
	wscaleOption = []byte{1, 3, 3, 7}
	stampOption  = []byte{1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4}
	someOptions  = slices.Concat(mssOption, wscaleOption, stampOption)
)

// make builds the frame, with checksums as receivers compute them.
func (r recipe) make() made {
	m := made{at: map[string]int{"eth": 0}}
	dst, src := vswitch.PortMAC(server), vswitch.PortMAC(client)
	b := append(dst[:], src[:]...)
	if len(r.tags) == 0 {
		m.at["type"] = 12
	} else {
		m.at["type"], m.at["vlan"] = 12, 12
	}
	for i, tpid := range r.tags {
		b = binary.BigEndian.AppendUint16(b, tpid)
		b = binary.BigEndian.AppendUint16(b, uint16(0x6000|100+i))
	}
	etherType := map[int]uint16{0: 0x0806, 4: 0x0800, 6: 0x86dd}[r.version]
	b = binary.BigEndian.AppendUint16(b, etherType)
	start := len(b)
	switch r.version {
	case 0:
		m.at["arp"] = start
		b = append(b, 0, 1, 8, 0, 6, 4, 0, 1)
		b = append(append(b, src[:]...), 10, 0, 0, 1)
		b = append(append(b, make([]byte, 6)...), 10, 0, 0, 2)
	case 4:
		b = r.ipv4(b, &m)
	case 6:
		b = r.ipv6(b, &m)
	}
	m.data = append(b, slices.Repeat([]byte{0xa5}, r.padding)...)
	return m
}

func (r recipe) ipv4(b []byte, m *made) []byte {
	start := len(b)
	m.at["ip"] = start
	flags := map[string]uint16{"": 0x4000, "first": 0x2000, "later": 0x0005}[r.fragment]
	b = append(b, byte(0x45+len(r.options)/4), 0, 0, 0, 0x12, 0x34)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = append(b, 64, r.protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2)
	b = append(b, r.options...)
	segment := r.segment(len(b), m)
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)+len(segment)-start))
	putSum(b[start:], 10)
	m.sums++
	r.seal(segment, slices.Concat(b[start+12:start+20], []byte{0, r.protocol}), m)
	return append(b, segment...)
}

func (r recipe) ipv6(b []byte, m *made) []byte {
	start := len(b)
	m.at["ipv6"] = start
	b = append(b, 0x6a, 0xbc, 0xde, 0xf1, 0, 0, 0, 64)
	b = append(b, unhex("20010db8000000000000000000000001 20010db8000000000000000000000002")...)
	dst := slices.Clone(b[start+24 : start+40])
	final := dst
	next := start + 6 // where the number of the next header goes
	for _, kind := range r.extensions {
		before := next
		b[before], next = kind, len(b)
		switch kind {
		case extHopByHop, extDestination:
			b = append(b, 0, 1, 1, 12) // 16 bytes of padding
			b = append(b, make([]byte, 12)...)
		case extRouting: // of type 0, at its end
			b = append(append(b, 0, 2, 0, 0, 0, 0, 0, 0), dst...)
		case extAuth:
			b = append(append(b, 0, 2), make([]byte, 14)...)
		case extFragment:
			offset := map[string]byte{"first": 1, "later": 8}[r.fragment]
			b = append(b, 0, 0, 0, offset, 0, 0, 0, 7)
		case oldRouting, mobileRouting:
			b[before] = extRouting
			final = unhex("20010db8000000000000000000000099")
			if kind == oldRouting {
				b = append(append(b, 0, 4, 0, 1, 0, 0, 0, 0), dst...)
			} else {
				b = append(b, 0, 2, 2, 1, 0, 0, 0, 0)
			}
			b = append(b, final...)
		case segmentRouting:
			b[before] = extRouting
			final = unhex("20010db8000000000000000000000099")
			b = append(append(append(b, 0, 4, 4, 1, 1, 0, 0, 0), final...), dst...)
		}
	}
	b[next] = r.protocol
	segment := r.segment(len(b), m)
	binary.BigEndian.PutUint16(b[start+4:], uint16(len(b)+len(segment)-start-40))
	r.seal(segment, slices.Concat(b[start+8:start+24], final, []byte{0, r.protocol}), m)
	return append(b, segment...)
}

// segment returns the transport header, which begins at this offset, and payload.
func (r recipe) segment(at int, m *made) []byte {
	if r.fragment == "later" {
		return r.payload
	}
	var b []byte
	switch r.protocol {
	case protoTCP:
		m.at["tcp"] = at
		b = unhex("c000 0050 00000001 00000002 0018 7210 0000 0000")
		b[12] = byte(len(r.tcpOptions)/4+5) << 4
		for name, option := range map[string]string{"mss": "\x02\x04", "wscale": "\x03\x03", "stamp": "\x08\x0a"} {
			if i := strings.Index(string(r.tcpOptions), option); i >= 0 {
				m.at[name] = at + 20 + i
			}
		}
		b = append(b, r.tcpOptions...)
	case protoUDP:
		m.at["udp"] = at
		b = unhex("c000 0035 0000 0000")
		binary.BigEndian.PutUint16(b[4:], uint16(8+len(r.payload)))
	case protoICMP:
		m.at["icmp"] = at
		switch r.icmpType {
		case 0, 8:
			m.at["icmp query"] = at
		case 3:
			m.at["icmp unreachable"] = at
		}
		b = append(unhex("00 04 0000 0102 0304"), r.payload...)
		b[0] = r.icmpType
		return b
	case protoIGMP:
		m.at["igmp"] = at
		if r.icmpType != 0x22 {
			m.at["igmp group"] = at
		}
		b = unhex("00 64 0000 ef010203")
		b[0] = r.icmpType
	case protoICMPv6:
		m.at["icmpv6"] = at
		switch r.icmpType {
		case 128, 129:
			m.at["icmpv6 echo"] = at
		case 2:
			m.at["icmpv6 too big"] = at
		}
		b = unhex("00 00 0000 0102 0304")
		b[0] = r.icmpType
	case protoSCTP:
		m.at["sctp"] = at
		b = unhex("c000 0050 01020304 00000000")
	}
	return append(b, r.payload...)
}

// seal sets the checksum of a transport protocol; pseudo is the pseudo-header but
// for the length.
func (r recipe) seal(segment, pseudo []byte, m *made) {
	if r.fragment != "" {
		return
	}
	length := []byte{0, 0, byte(len(segment) >> 8), byte(len(segment))}
	pseudo = append(pseudo, length...)
	at := 0
	switch r.protocol {
	case protoTCP:
		at = 16
	case protoUDP:
		if r.noSum {
			return
		}
		at = 6
	case protoICMPv6:
		at = 2
	case protoICMP, protoIGMP:
		at, pseudo = 2, nil
	case protoSCTP:
		sum := crc32c(segment)
		copy(segment[8:], []byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)})
		m.sums++
		return
	default:
		return
	}
	m.sums++
	sum := ^onesSum(pseudo, segment)
	if sum == 0 && r.protocol == protoUDP {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(segment[at:], sum)
}

func putSum(b []byte, at int) {
	binary.BigEndian.PutUint16(b[at:], 0)
	binary.BigEndian.PutUint16(b[at:], ^onesSum(b))
}

// onesSum is the one's complement sum of 16-bit words, of pieces that are of even
// length but for the last: RFC 1071, carry by carry.
func onesSum(pieces ...[]byte) uint16 {
	sum := 0
	for _, b := range pieces {
		for i := range b {
			if i%2 == 0 {
				sum += int(b[i]) * 256
			} else {
				sum += int(b[i])
			}
			if sum > 0xffff {
				sum -= 0xffff
			}
		}
	}
	return uint16(sum)
}

// crc32c is bit by bit: RFC 9260, appendix A, in the reflected form.
func crc32c(b []byte) uint32 {
	crc := ^uint32(0)
	for _, c := range b {
		crc ^= uint32(c)
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low == 1 {
				crc ^= 0x82f63b78
			}
		}
	}
	return ^crc
}

func unhex(text string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// Vectors of the helpers themselves: RFC 1071, section 3; RFC 3720, appendix B.4.
func TestChecksumHelpers(t *testing.T) {
	if got := onesSum(unhex("0001 f203 f4f5 f6f7")); got != 0xddf2 {
		t.Errorf("one's complement sum %04x, want ddf2", got)
	}
	if got := crc32c(make([]byte, 32)); got != 0x8a9136aa {
		t.Errorf("CRC32c %08x, want 8a9136aa", got)
	}
}
