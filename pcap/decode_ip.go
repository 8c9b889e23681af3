package pcap

import (
	"encoding/binary"
	"net/netip"

	"github.com/gopacket/gopacket/layers"
)

func (d *decoder) ipv4() {
	b := d.Payload
	if len(b) > 0 && b[0]>>4 != 4 {
		d.failf("IPv4 header: version %d", b[0]>>4)
		return
	}
	var h layers.IPv4
	if err := h.DecodeFromBytes(b, d); err != nil {
		d.fail("IPv4 header", err)
		return
	}
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 {
		total = len(b) // a segmentation-offloaded packet, captured before its length was filled in
	}
	d.IP = &IP{
		Version: 4, Src: netip.AddrFrom4([4]byte(h.SrcIP)), Dst: netip.AddrFrom4([4]byte(h.DstIP)),
		Protocol: uint8(h.Protocol), TTL: h.TTL, TOS: h.TOS, ID: uint32(h.Id),
		Dont: h.Flags&layers.IPv4DontFragment != 0, More: h.Flags&layers.IPv4MoreFragments != 0,
		FragOffset: int(h.FragOffset) * 8,
		Offset:     d.PayloadOffset, HeaderLen: int(h.IHL) * 4, TotalLen: total,
	}
	d.limit(total)
	d.take(d.IP.HeaderLen)
	d.transport()
}

// maxExtensions bounds the chain of IPv6 extension headers.
const maxExtensions = 16

func (d *decoder) ipv6() {
	b := d.Payload
	switch {
	case len(b) < 40:
		d.failf("IPv6 header: %d bytes, want 40", len(b))
		return
	case b[0]>>4 != 6:
		d.failf("IPv6 header: version %d", b[0]>>4)
		return
	}
	// Extension headers are walked here, one by one, so that each has its
	// offset and a chain that is cut short is still decoded up to the cut; the
	// fixed header is read on its own for the same reason.
	total := 40 + int(binary.BigEndian.Uint16(b[4:]))
	if total == 40 && len(b) > 40 && b[6] != byte(layers.IPProtocolNoNextHeader) {
		total = len(b) // segmentation offload, as in IPv4
	}
	d.IP = &IP{
		Version: 6, Src: netip.AddrFrom16([16]byte(b[8:24])), Dst: netip.AddrFrom16([16]byte(b[24:40])),
		TTL: b[7], TOS: uint8(binary.BigEndian.Uint16(b) >> 4), FlowLabel: binary.BigEndian.Uint32(b) & 0xfffff,
		Offset: d.PayloadOffset, HeaderLen: 40, TotalLen: total,
	}
	next := layers.IPProtocol(b[6])
	d.limit(total)
	d.take(40)
	for n := 0; ; n++ {
		if n == maxExtensions {
			d.failf("IPv6: more than %d extension headers", maxExtensions)
			return
		}
		d.IP.Protocol = uint8(next)
		if d.IP.FragOffset > 0 {
			break // the rest of the chain is in the first fragment
		}
		var size int
		switch next {
		case layers.IPProtocolIPv6HopByHop, layers.IPProtocolIPv6Routing, layers.IPProtocolIPv6Destination:
			var ext layers.IPv6ExtensionSkipper
			if err := ext.DecodeFromBytes(d.Payload, d); err != nil {
				d.fail("IPv6 extension header", err)
				return
			}
			size, next = len(ext.Contents), ext.NextHeader
		case layers.IPProtocolIPv6Fragment:
			var frag layers.IPv6Fragment
			if err := frag.DecodeFromBytes(d.Payload, d); err != nil {
				d.fail("IPv6 fragment header", err)
				return
			}
			d.IP.ID, d.IP.More, d.IP.FragOffset = frag.Identification, frag.MoreFragments, int(frag.FragmentOffset)*8
			size, next = 8, frag.NextHeader
		default:
			d.transport()
			return
		}
		d.take(size)
		d.IP.HeaderLen += size
	}
}

func (d *decoder) transport() {
	if d.IP.FragOffset > 0 {
		return
	}
	switch d.IP.Protocol {
	case ProtoTCP:
		d.tcp()
	case ProtoUDP:
		d.udp()
	case ProtoICMP:
		if d.IP.Version == 4 {
			d.icmp4()
		}
	case ProtoICMPv6:
		if d.IP.Version == 6 {
			d.icmp6()
		}
	}
}

func (d *decoder) tcp() {
	var h layers.TCP
	b := d.Payload
	if err := h.DecodeFromBytes(b, d); err != nil {
		d.fail("TCP header", err)
		return
	}
	d.TCP = &TCP{
		SrcPort: uint16(h.SrcPort), DstPort: uint16(h.DstPort), Seq: h.Seq, Ack: h.Ack,
		Flags: TCPFlags(b[13]), Window: h.Window, Urgent: h.Urgent,
		Offset: d.PayloadOffset, HeaderLen: int(h.DataOffset) * 4,
	}
	o := &d.TCP.Options
	o.WindowScale = -1
	o.Raw = b[20:d.TCP.HeaderLen]
	for _, opt := range h.Options {
		v := opt.OptionData
		switch {
		case opt.OptionType == layers.TCPOptionKindMSS && len(v) == 2:
			o.MSS = int(binary.BigEndian.Uint16(v))
		case opt.OptionType == layers.TCPOptionKindWindowScale && len(v) == 1:
			o.WindowScale = min(int(v[0]), 14) // RFC 7323, 2.3
		case opt.OptionType == layers.TCPOptionKindSACKPermitted && len(v) == 0:
			o.SACKPermitted = true
		case opt.OptionType == layers.TCPOptionKindTimestamps && len(v) == 8:
			o.Timestamps = true
			o.TSVal, o.TSEcr = binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])
		case opt.OptionType == layers.TCPOptionKindSACK && len(v)%8 == 0:
			for ; len(v) > 0; v = v[8:] {
				o.SACK = append(o.SACK, SACKBlock{binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])})
			}
		}
	}
	d.take(d.TCP.HeaderLen)
}

func (d *decoder) udp() {
	var h layers.UDP
	if err := h.DecodeFromBytes(d.Payload, d); err != nil {
		d.fail("UDP header", err)
		return
	}
	d.UDP = &UDP{
		SrcPort: uint16(h.SrcPort), DstPort: uint16(h.DstPort),
		Length: int(h.Length), Checksum: h.Checksum, Offset: d.PayloadOffset,
	}
	if !d.IP.IsFragment() && d.Missing == 0 && h.Length >= 8 && int(h.Length) < d.PayloadLen {
		d.limit(int(h.Length))
	}
	d.take(8)
}

func (d *decoder) icmp4() {
	var h layers.ICMPv4
	if err := h.DecodeFromBytes(d.Payload, d); err != nil {
		d.fail("ICMP header", err)
		return
	}
	b := d.Payload
	i := &ICMP{Version: 4, Type: h.TypeCode.Type(), Code: h.TypeCode.Code(), ID: h.Id, Seq: h.Seq, Offset: d.PayloadOffset}
	switch {
	case i.Type == layers.ICMPv4TypeDestinationUnreachable && i.Code == layers.ICMPv4CodeFragmentationNeeded:
		i.MTU = uint32(h.Seq)
	case i.Type == layers.ICMPv4TypeRedirect && len(b) >= 28:
		i.Via, i.About = netip.AddrFrom4([4]byte(b[4:8])), netip.AddrFrom4([4]byte(b[24:28]))
	}
	d.ICMP = i
	d.take(8)
}

func (d *decoder) icmp6() {
	var h layers.ICMPv6
	b := d.Payload
	if err := h.DecodeFromBytes(b, d); err != nil {
		d.fail("ICMPv6 header", err)
		return
	}
	d.ICMP = &ICMP{Version: 6, Type: h.TypeCode.Type(), Code: h.TypeCode.Code(), Offset: d.PayloadOffset}
	if len(b) < 8 {
		d.take(4)
		return
	}
	switch i := d.ICMP; i.Type {
	case layers.ICMPv6TypeEchoRequest, layers.ICMPv6TypeEchoReply:
		i.ID, i.Seq = binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	case layers.ICMPv6TypePacketTooBig:
		i.MTU = binary.BigEndian.Uint32(b[4:])
	case layers.ICMPv6TypeNeighborSolicitation, layers.ICMPv6TypeNeighborAdvertisement:
		if len(b) >= 24 {
			i.Target = netip.AddrFrom16([16]byte(b[8:24]))
		}
	case layers.ICMPv6TypeRedirect:
		if len(b) >= 40 {
			i.Via, i.About = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		}
	}
	d.take(8)
}
