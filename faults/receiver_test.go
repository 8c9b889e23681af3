package faults_test

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// received is what a receiver that looks at all checksums finds in a frame.
type received struct {
	fields [][2]int // where the checksums that it could look at begin, and end
	wrong  []string
}

func (r *received) check(what string, ok bool, from, to int) {
	r.fields = append(r.fields, [2]int{from, to})
	if !ok {
		r.wrong = append(r.wrong, fmt.Sprintf("%s checksum at byte %d", what, from))
	}
}

// covers reports whether byte i is part of a checksum.
func (r *received) covers(i int) bool {
	return slices.ContainsFunc(r.fields, func(f [2]int) bool { return f[0] <= i && i < f[1] })
}

// receive parses a frame the way a host does: what it would drop before it came
// to a checksum has none.
func receive(data []byte) (r received) {
	at := 12
	for at+2 <= len(data) && (be16(data, at) == 0x8100 || be16(data, at) == 0x88a8) {
		at += 4
	}
	if at+2 > len(data) {
		return r
	}
	etherType := be16(data, at)
	at += 2
	p := data[at:]
	if etherType == 0x0800 && len(p) >= 20 && p[0]>>4 == 4 {
		header := int(p[0]&15) * 4
		if header < 20 || header > len(p) {
			return r
		}
		r.check("IPv4", onesSum(p[:header]) == 0xffff, at+10, at+12)
		total := be16(p, 2)
		if total < header || total > len(p) || be16(p, 6)&0x3fff != 0 {
			return r
		}
		r.transport(at+header, p[header:total], int(p[9]), 4, slices.Concat(p[12:20]))
	}
	if etherType == 0x86dd && len(p) >= 40 && p[0]>>4 == 6 {
		total := 40 + be16(p, 4)
		if total > len(p) {
			return r
		}
		r.extension(at+40, p[40:total], int(p[6]), p[8:24], p[24:40])
	}
	return r
}

func be16(b []byte, at int) int { return int(binary.BigEndian.Uint16(b[at:])) }

// extension goes through one header of IPv6 after the other.
func (r *received) extension(at int, rest []byte, kind int, src, dst []byte) {
	skip := func(length int) {
		if length <= len(rest) {
			r.extension(at+length, rest[length:], int(rest[0]), src, dst)
		}
	}
	switch kind {
	case extHopByHop, extDestination, extRouting, extFragment, extAuth:
		if len(rest) < 8 {
			return
		}
	default:
		r.transport(at, rest, kind, 6, slices.Concat(src, dst))
		return
	}
	switch kind {
	case extFragment:
		if be16(rest, 2)&0xfff9 != 0 {
			return
		}
		skip(8)
	case extAuth:
		skip(8 + int(rest[1])*4)
	case extRouting:
		length := 8 + int(rest[1])*8
		if rest[3] != 0 {
			if length > len(rest) || length < 24 {
				return
			}
			switch rest[2] {
			case 0, 2:
				if rest[1]%2 != 0 {
					return
				}
				dst = rest[length-16 : length]
			case 4:
				dst = rest[8:24]
			default:
				return
			}
		}
		skip(length)
	default:
		skip(8 + int(rest[1])*8)
	}
}

func (r *received) transport(at int, b []byte, protocol, version int, addresses []byte) {
	pseudo := func(length int) []byte {
		return append(slices.Clone(addresses), 0, byte(protocol), byte(length>>8), byte(length))
	}
	switch {
	case protocol == protoTCP && len(b) >= 18:
		r.check("TCP", onesSum(pseudo(len(b)), b) == 0xffff, at+16, at+18)
	case protocol == protoUDP && len(b) >= 8:
		length := be16(b, 4)
		if length < 8 || length > len(b) || version == 4 && be16(b, 6) == 0 {
			return
		}
		r.check("UDP", be16(b, 6) != 0 && onesSum(pseudo(length), b[:length]) == 0xffff, at+6, at+8)
	case protocol == protoICMP && version == 4 && len(b) >= 4:
		r.check("ICMP", onesSum(b) == 0xffff, at+2, at+4)
	case protocol == protoIGMP && version == 4 && len(b) >= 4:
		r.check("IGMP", onesSum(b) == 0xffff, at+2, at+4)
	case protocol == protoICMPv6 && version == 6 && len(b) >= 4:
		r.check("ICMPv6", onesSum(pseudo(len(b)), b) == 0xffff, at+2, at+4)
	case protocol == protoSCTP && len(b) >= 12:
		zeroed := slices.Clone(b)
		clear(zeroed[8:12])
		r.check("SCTP", crc32c(zeroed) == binary.LittleEndian.Uint32(b[8:]), at+8, at+12)
	}
}
