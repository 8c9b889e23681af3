package faults

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vnreplay/vnreplay/switch"
)

// valueKind is how a field's values are written. Every number can be given in
// decimal or, behind 0x, in hexadecimal.
type valueKind int

const (
	asNumber   valueKind = iota // printed in decimal
	asWords                     // a number of 4-byte words
	asEights                    // a number of 8-byte blocks
	asHex                       // printed in hexadecimal, with as many digits as the field has room for
	asChecksum                  // the same
	asTCPFlags                  // the same, or given as names: SYN|ACK
	asMAC                       // 02:00:00:00:00:01
	asIPv4                      // 10.0.0.1
	asIPv6                      // 2001:db8::1, printed as RFC 5952 says
)

// addresses are the kinds that are no numbers, and how people are told of them.
var addresses = map[valueKind]string{
	asMAC:  "a MAC address, such as 02:00:00:00:00:01",
	asIPv4: "an IPv4 address, such as 10.0.0.1",
	asIPv6: "an IPv6 address, such as 2001:db8::1",
}

// unitNames are added where the wire's unit may surprise.
var unitNames = map[valueKind]string{
	asWords:  ", in units of 4 bytes",
	asEights: ", in units of 8 bytes",
}

// flagNames are TCP's flags from the lowest: RFC 9293, RFC 3168.
var flagNames = []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"}

// value is the bits of a field as a number of 128 bits.
type value struct{ hi, lo uint64 }

// ones is the value in which the lowest n bits are set.
func ones(n int) value {
	if n <= 64 {
		return value{0, 1<<n - 1}
	}
	return value{1<<(n-64) - 1, ^uint64(0)}
}

// bytes are the value in network byte order.
func (v value) bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], v.hi)
	binary.BigEndian.PutUint64(b[8:], v.lo)
	return b
}

// valueOf is the number that up to 16 bytes are in network byte order.
func valueOf(b []byte) value {
	var all [16]byte
	copy(all[16-len(b):], b)
	return value{binary.BigEndian.Uint64(all[:]), binary.BigEndian.Uint64(all[8:])}
}

// getBits returns width bits of b; bit 0 is the highest of the first byte.
func getBits(b []byte, bit, width int) (v value) {
	for i := bit; i < bit+width; i++ {
		v.hi = v.hi<<1 | v.lo>>63
		v.lo = v.lo<<1 | uint64(b[i/8]>>(7-i%8)&1)
	}
	return v
}

// putBits sets width bits of b to the lowest ones of v.
func putBits(b []byte, bit, width int, v value) {
	for i := bit + width - 1; i >= bit; i-- {
		mask := byte(1) << (7 - i%8)
		b[i/8] &^= mask
		if v.lo&1 != 0 {
			b[i/8] |= mask
		}
		v.lo = v.lo>>1 | v.hi<<63
		v.hi >>= 1
	}
}

// fieldValue reads a value, or a mask, of the field.
func (p *parser) fieldValue(f *field, t token) (value, error) {
	if what := addresses[f.kind]; what != "" {
		if v, ok := parseAddress(f.kind, t.text); ok {
			return v, nil
		}
		return value{}, p.errorf(t, "%s is %s", f.name, what)
	}
	if f.kind == asTCPFlags && !isDigit(t.text[0]) && t.text[0] != '-' {
		return p.tcpFlags(t)
	}
	digits, base := t.text, 10
	if strings.HasPrefix(digits, "0x") || strings.HasPrefix(digits, "0X") {
		digits, base = digits[2:], 16
	}
	n, err := strconv.ParseUint(digits, base, 64)
	switch {
	case t.text[0] == '-' && isInteger(t.text[1:], 10):
		return value{}, p.errorf(t, "%s is not negative; less than now is written add %s=%s", f.name, f.name, t.text)
	case !isInteger(digits, base):
		return value{}, p.errorf(t, "%s is a number, in decimal or as 0x and hexadecimal digits", f.name)
	case err != nil || n > ones(f.width).lo:
		return value{}, p.errorf(t, "%s is at most %s%s", f.name, f.text(ones(f.width)), unitNames[f.kind])
	}
	return value{0, n}, nil
}

// isInteger reports whether s is one or more digits.
func isInteger(s string, base int) bool {
	return s != "" && strings.Trim(s, "0123456789abcdefABCDEF"[:10+(base-10)*2]) == ""
}

func parseAddress(kind valueKind, s string) (value, bool) {
	if kind == asMAC {
		mac, err := vswitch.ParseMAC(s)
		return valueOf(mac[:]), err == nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4() != (kind == asIPv4) {
		return value{}, false
	}
	return valueOf(a.AsSlice()), true
}

// tcpFlags reads "SYN|ACK".
func (p *parser) tcpFlags(t token) (value, error) {
	var v value
	at := 0
next:
	for name := range strings.SplitSeq(t.text, "|") {
		for i, flag := range flagNames {
			if strings.EqualFold(flag, name) {
				v.lo |= 1 << i
				at += len(name) + 1
				continue next
			}
		}
		if name == "" {
			return value{}, p.errorf(t, "flags are joined without spaces: SYN|ACK")
		}
		return value{}, p.errorf(t.part(at, at+len(name)), "no such flag; flags are %s, joined as SYN|ACK, or a number%s",
			oneOf(flagNames), didYouMean(name, flagNames))
	}
	return v, nil
}

// text writes a value of the field, as fieldValue reads it.
func (f *field) text(v value) string {
	b := v.bytes()
	switch f.kind {
	case asMAC:
		return vswitch.MAC(b[10:]).String()
	case asIPv4:
		return netip.AddrFrom4([4]byte(b[12:])).String()
	case asIPv6:
		return netip.AddrFrom16(b).String()
	case asHex, asChecksum, asTCPFlags:
		return f.hex(v)
	}
	return strconv.FormatUint(v.lo, 10)
}

// mask writes a mask of the field: as a value, but numbers in hexadecimal.
func (f *field) mask(v value) string {
	if addresses[f.kind] != "" {
		return f.text(v)
	}
	return f.hex(v)
}

func (f *field) hex(v value) string { return fmt.Sprintf("0x%0*x", (f.width+3)/4, v.lo) }
