package vswitch

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// HeaderLen is the length in bytes of an Ethernet header without a VLAN tag:
// destination, source, EtherType. A frame shorter than this is a runt.
const HeaderLen = 14

// vlanTagLen is how much longer than MTU+HeaderLen a frame may be when it
// carries an 802.1Q or 802.1ad tag, as network drivers allow.
const vlanTagLen = 4

// MAC is an Ethernet (EUI-48) address.
type MAC [6]byte

// Broadcast is ff:ff:ff:ff:ff:ff.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// PortMAC returns the address that port number n gets when its configuration
// names none: 02:00 and the number in four bytes, big-endian. It is locally
// administered and depends on nothing else, so it is the same in every run.
func PortMAC(n int) MAC {
	return MAC{0x02, 0x00, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// ParseMAC parses a 48-bit address in any form that [net.ParseMAC] reads.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil {
		return MAC{}, fmt.Errorf("MAC address %q: want six bytes such as 02:00:00:00:00:01", s)
	}
	if len(hw) != 6 {
		return MAC{}, fmt.Errorf("MAC address %q: %d bytes, want 6", s, len(hw))
	}
	return MAC(hw), nil
}

// String writes the address as six lower-case hex bytes with colons.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// IsGroup reports whether the address is a multicast or the broadcast address
// (the low bit of the first byte; IEEE 802).
func (m MAC) IsGroup() bool { return m[0]&1 != 0 }

// isReserved reports whether the address is one of 01-80-c2-00-00-00..0f,
// which a bridge consumes and never forwards (IEEE 802.1D, table 7-10).
func (m MAC) isReserved() bool {
	return m[0] == 0x01 && m[1] == 0x80 && m[2] == 0xc2 && m[3] == 0 && m[4] == 0 && m[5]&0xf0 == 0
}

// Frame is one Ethernet frame that entered a switch.
type Frame struct {
	// Data is the frame from the destination address to the last byte of the
	// payload: with the Ethernet header, without preamble and FCS, at least
	// HeaderLen bytes, not padded. It belongs to the switch: whoever is shown
	// a Frame may read Data during the call and must neither change nor keep it.
	Data []byte

	// Seq numbers the frames of a world in the order in which they entered it,
	// from 1. It is the packet id in a recording.
	Seq uint64

	// At is when the sender sent it, on the world's clock (UTC).
	At time.Time

	// From is the port at which it entered.
	From *Port
}

// Dst returns the destination address.
func (f *Frame) Dst() MAC { return MAC(f.Data[0:6]) }

// Src returns the source address.
func (f *Frame) Src() MAC { return MAC(f.Data[6:12]) }

// Errors of [Port.Send]. Compare with [errors.Is].
var (
	// ErrRunt: the frame is shorter than an Ethernet header.
	ErrRunt = errors.New("frame shorter than its 14-byte Ethernet header")
	// ErrTooBig: the frame exceeds the port's MTU. A [*SizeError] carries the sizes.
	ErrTooBig = errors.New("frame exceeds the port's MTU")
	// ErrQueueFull: the port holds as many unsent frames as it may.
	ErrQueueFull = errors.New("port's transmit queue is full")
)

// SizeError is the [ErrTooBig] of one frame.
type SizeError struct {
	Port string // the port's name
	Len  int    // the frame's length with its Ethernet header, bytes
	MTU  int    // the port's MTU, without the Ethernet header, bytes
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("port %s: frame of %d bytes (%d after the Ethernet header) exceeds MTU %d",
		e.Port, e.Len, e.Len-HeaderLen, e.MTU)
}

// Unwrap returns [ErrTooBig].
func (e *SizeError) Unwrap() error { return ErrTooBig }
