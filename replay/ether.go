package replay

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Ethernet returns a frame of the capture as an Ethernet frame without frame check
// sequence, to be sent on a switch. An Ethernet frame is returned as it is, and not
// to be changed. Any other is given an Ethernet header, with the VLAN tags that it
// has behind its own:
//
//   - The source is what a cooked capture says of the sender, if that is a usable
//     address of six bytes; else the MAC that the capture has for the IP address
//     elsewhere; else [DerivedMAC].
//   - The destination is found in the same way, from the IP address alone, and for
//     broadcast and multicast as RFC 1112 and RFC 2464 have it.
//
// It reports false for a frame that Ethernet cannot carry: of a loopback or cooked
// capture, and of another protocol than IP, ARP and those with an EtherType.
func (a *Analysis) Ethernet(f *Frame) ([]byte, bool) {
	var rest []byte // from the first EtherType on
	switch f.LinkType {
	case pcap.LinkEthernet:
		return f.Data, true
	case pcap.LinkSLL:
		rest = f.Data[14:]
	case pcap.LinkSLL2:
		rest = append(binary.BigEndian.AppendUint16(nil, binary.BigEndian.Uint16(f.Data)), f.Data[20:]...)
	default:
		if f.IP == nil {
			return nil, false
		}
		rest = append(binary.BigEndian.AppendUint16(nil, f.EtherType), f.Data[f.IP.Offset:]...)
	}
	if f.EtherType < 0x600 || binary.BigEndian.Uint16(rest) < 0x600 {
		return nil, false
	}
	var dst, src vswitch.MAC
	switch {
	case f.IP != nil:
		dst, src = a.macOf(f.IP.Dst), a.macOf(f.IP.Src)
	case f.ARP != nil && f.ARP.Operation != 1:
		dst, src = f.ARP.TargetMAC, f.ARP.SenderMAC
	case f.ARP != nil:
		dst, src = vswitch.Broadcast, f.ARP.SenderMAC
	default:
		// Nobody is known that it could be meant for.
		dst, src = vswitch.Broadcast, DerivedMAC(netip.Addr{})
	}
	if usable(f.Src) {
		src = f.Src
	}
	frame := make([]byte, 12, 12+len(rest))
	copy(frame, dst[:])
	copy(frame[6:], src[:])
	return append(frame, rest...), true
}

// macOf returns the MAC that frames to or from an IP address have.
func (a *Analysis) macOf(addr netip.Addr) vswitch.MAC {
	addr = addr.Unmap()
	switch b := addr.AsSlice(); {
	case addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return vswitch.Broadcast
	case addr.IsMulticast() && addr.Is4():
		return vswitch.MAC{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]}
	case addr.IsMulticast():
		return vswitch.MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
	}
	if e := a.Endpoint(addr); e != nil && usable(e.MAC) {
		return e.MAC
	}
	return DerivedMAC(addr)
}

// DerivedMAC returns the MAC that an IP address has where the capture tells none: a
// locally administered one, the same for an address in every capture and every run.
func DerivedMAC(addr netip.Addr) vswitch.MAC {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], vswitch.Derive(0, "replay MAC", addr.String(), fmt.Sprint(0)))
	mac := vswitch.MAC(b[:6])
	mac[0] = mac[0]&^1 | 2
	return mac
}
