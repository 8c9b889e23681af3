package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// ErrNotTCP is what [PatchTCP] answers for a frame without a whole TCP header.
var ErrNotTCP = errors.New("not a whole TCP segment")

// Segment describes a TCP segment to build.
type Segment struct {
	DstMAC, SrcMAC vswitch.MAC
	Src, Dst       netip.AddrPort // both IPv4 or both IPv6
	Seq, Ack       uint32
	Flags          TCPFlags
	Window         uint16 // as it stands in the header, not scaled
	Timestamps     bool   // with a timestamp option (RFC 7323)
	TSVal, TSEcr   uint32
	SACK           []SACKBlock // at most three with timestamps, four without (RFC 2018, 3)
	Payload        []byte
}

// BuildTCP builds the Ethernet frame of a TCP segment, with checksums.
func BuildTCP(s Segment) ([]byte, error) {
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(s.Src.Port()), DstPort: layers.TCPPort(s.Dst.Port()),
		Seq: s.Seq, Ack: s.Ack, Window: s.Window,
		FIN: s.Flags.Has(FIN), SYN: s.Flags.Has(SYN), RST: s.Flags.Has(RST), PSH: s.Flags.Has(PSH),
		ACK: s.Flags.Has(ACK), URG: s.Flags.Has(URG), ECE: s.Flags.Has(ECE), CWR: s.Flags.Has(CWR),
	}
	if s.Timestamps {
		ts := binary.BigEndian.AppendUint32(nil, s.TSVal)
		ts = binary.BigEndian.AppendUint32(ts, s.TSEcr)
		tcp.Options = []layers.TCPOption{
			{OptionType: layers.TCPOptionKindNop, OptionLength: 1},
			{OptionType: layers.TCPOptionKindNop, OptionLength: 1},
			{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: ts},
		}
	}
	if len(s.SACK) > 0 {
		var blocks []byte
		for _, k := range s.SACK {
			blocks = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(blocks, k.Left), k.Right)
		}
		tcp.Options = append(tcp.Options,
			layers.TCPOption{OptionType: layers.TCPOptionKindNop, OptionLength: 1},
			layers.TCPOption{OptionType: layers.TCPOptionKindNop, OptionLength: 1},
			layers.TCPOption{OptionType: layers.TCPOptionKindSACK, OptionLength: uint8(2 + len(blocks)), OptionData: blocks})
	}
	return build(s.DstMAC, s.SrcMAC, s.Src.Addr(), s.Dst.Addr(), ProtoTCP, 64, func(ip gopacket.NetworkLayer) ([]gopacket.SerializableLayer, error) {
		return []gopacket.SerializableLayer{tcp, gopacket.Payload(s.Payload)}, tcp.SetNetworkLayerForChecksum(ip)
	})
}

// BuildIP builds the Ethernet frame of an IP packet that carries one whole
// transport segment, whose checksum it fills in. The segment is copied.
func BuildIP(dstMAC, srcMAC vswitch.MAC, src, dst netip.Addr, proto, ttl uint8, segment []byte) ([]byte, error) {
	segment = append([]byte(nil), segment...)
	FillChecksum(&IP{Src: src, Dst: dst, Protocol: proto}, segment)
	return build(dstMAC, srcMAC, src, dst, proto, ttl, func(gopacket.NetworkLayer) ([]gopacket.SerializableLayer, error) {
		return []gopacket.SerializableLayer{gopacket.Payload(segment)}, nil
	})
}

// build serialises Ethernet, IP and what the transport function gives.
func build(dstMAC, srcMAC vswitch.MAC, src, dst netip.Addr, proto, ttl uint8,
	transport func(gopacket.NetworkLayer) ([]gopacket.SerializableLayer, error)) ([]byte, error) {
	src, dst = src.Unmap(), dst.Unmap()
	if src.Is4() != dst.Is4() {
		return nil, fmt.Errorf("build a frame from %v to %v: addresses of two IP versions", src, dst)
	}
	var ip gopacket.NetworkLayer
	var head gopacket.SerializableLayer
	if src.Is4() {
		h := &layers.IPv4{Version: 4, TTL: ttl, Protocol: layers.IPProtocol(proto), SrcIP: src.AsSlice(), DstIP: dst.AsSlice(), Flags: layers.IPv4DontFragment}
		ip, head = h, h
	} else {
		h := &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: layers.IPProtocol(proto), SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		ip, head = h, h
	}
	upper, err := transport(ip)
	if err != nil {
		return nil, err
	}
	return serialize(dstMAC, srcMAC, append([]gopacket.SerializableLayer{head}, upper...)...)
}

// serialize builds a frame around network layers. It adds the Ethernet header
// itself: gopacket would pad the frame to 60 bytes.
func serialize(dst, src vswitch.MAC, l ...gopacket.SerializableLayer) ([]byte, error) {
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		return nil, fmt.Errorf("build a frame: %w", err)
	}
	return Ethernet(dst, src, buf.Bytes()), nil
}

// BuildARPRequest builds the question of the host sender at mac where target is
// (RFC 826), to all. Both addresses are IPv4.
func BuildARPRequest(mac vswitch.MAC, sender, target netip.Addr) ([]byte, error) {
	src, dst := sender.Unmap(), target.Unmap()
	if !src.Is4() || !dst.Is4() {
		return nil, fmt.Errorf("build an ARP request of %v for %v: want two IPv4 addresses", sender, target)
	}
	frame, err := serialize(vswitch.Broadcast, mac,
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
			SourceHwAddress: mac[:], SourceProtAddress: src.AsSlice(),
			DstHwAddress: make([]byte, 6), DstProtAddress: dst.AsSlice(),
		})
	if err == nil {
		binary.BigEndian.PutUint16(frame[12:], EtherTypeARP)
	}
	return frame, err
}

// BuildNeighborSolicitation builds the question of the host sender at mac where target
// is (RFC 4861, 4.3), to target's solicited-node multicast address. Both addresses are
// IPv6.
func BuildNeighborSolicitation(mac vswitch.MAC, sender, target netip.Addr) ([]byte, error) {
	sender, target = sender.WithZone(""), target.WithZone("")
	if !sender.Is6() || !target.Is6() {
		return nil, fmt.Errorf("build a neighbour solicitation of %v for %v: want two IPv6 addresses", sender, target)
	}
	t := target.As16()
	group := netip.AddrFrom16([16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: t[13], 14: t[14], 15: t[15]})
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: sender.AsSlice(), DstIP: group.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	return serialize(vswitch.MAC{0x33, 0x33, 0xff, t[13], t[14], t[15]}, mac, ip, icmp,
		&layers.ICMPv6NeighborSolicitation{TargetAddress: net.IP(target.AsSlice()), Options: layers.ICMPv6Options{
			{Type: layers.ICMPv6OptSourceAddress, Data: mac[:]},
		}})
}

// BuildARPReply builds the answer "ip is at mac" to an ARP request (RFC 826).
func BuildARPReply(request *ARP, mac vswitch.MAC) ([]byte, error) {
	target, sender := request.TargetIP.As4(), request.SenderIP.As4()
	frame, err := serialize(request.SenderMAC, mac,
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: 2,
			SourceHwAddress: mac[:], SourceProtAddress: target[:],
			DstHwAddress: request.SenderMAC[:], DstProtAddress: sender[:],
		})
	if err == nil {
		binary.BigEndian.PutUint16(frame[12:], EtherTypeARP)
	}
	return frame, err
}

// BuildNeighborAdvertisement builds the answer "ip is at mac" to the neighbour
// solicitation that was decoded (RFC 4861, 4.4): solicited, overriding. A
// solicitation from the unspecified address (duplicate address detection) is
// answered to all nodes.
func BuildNeighborAdvertisement(solicitation *Decoded, mac vswitch.MAC) ([]byte, error) {
	flags, dst, dstMAC := uint8(0x60), solicitation.IP.Src, solicitation.Src
	if dst.IsUnspecified() {
		flags, dst, dstMAC = 0x20, netip.IPv6LinkLocalAllNodes(), vswitch.MAC{0x33, 0x33, 0, 0, 0, 1}
	}
	src := solicitation.ICMP.Target
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborAdvertisement, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	return serialize(dstMAC, mac, ip, icmp,
		&layers.ICMPv6NeighborAdvertisement{Flags: flags, TargetAddress: net.IP(src.AsSlice()), Options: layers.ICMPv6Options{
			{Type: layers.ICMPv6OptTargetAddress, Data: mac[:]},
		}})
}

// Ethernet returns a new untagged frame around an IP packet.
func Ethernet(dst, src vswitch.MAC, packet []byte) []byte {
	f := make([]byte, 14, 14+len(packet))
	copy(f, dst[:])
	copy(f[6:], src[:])
	f[12], f[13] = 0x08, 0x00
	if len(packet) > 0 && packet[0]>>4 == 6 {
		f[12], f[13] = 0x86, 0xdd
	}
	return append(f, packet...)
}

// SetMACs overwrites the addresses of a frame of at least 12 bytes.
func SetMACs(frame []byte, dst, src vswitch.MAC) {
	copy(frame, dst[:])
	copy(frame[6:], src[:])
}

// TCPPatch says what to change in a TCP segment.
type TCPPatch struct {
	SrcPort, DstPort uint16 // 0: keep
	// AddSeq and AddAck are added, modulo 2^32, to the sequence number, and to
	// the acknowledgement number and the SACK blocks. The acknowledgement
	// number of a segment without ACK is kept.
	AddSeq, AddAck uint32
	// Ack, if SetAck, becomes the acknowledgement number of a segment with ACK;
	// AddAck then counts for the SACK blocks only.
	SetAck bool
	Ack    uint32
	// Timestamps replaces the values of the timestamp option, if there is one.
	Timestamps   bool
	TSVal, TSEcr uint32
	// Window, if SetWindow, replaces the window field.
	SetWindow bool
	Window    uint16
	// Blank lists option kinds to overwrite with no-operation options.
	Blank []uint8
}

// PatchTCP changes an unfragmented TCP segment in its Ethernet frame, in place,
// and recomputes its checksum and the IPv4 header's. Its error is [ErrNotTCP].
func PatchTCP(frame []byte, p TCPPatch) error {
	d := Decode(frame)
	if d.TCP == nil || d.Missing > 0 || d.IP.IsFragment() {
		return ErrNotTCP
	}
	h := frame[d.TCP.Offset:d.PayloadOffset]
	if p.SrcPort != 0 {
		binary.BigEndian.PutUint16(h, p.SrcPort)
	}
	if p.DstPort != 0 {
		binary.BigEndian.PutUint16(h[2:], p.DstPort)
	}
	binary.BigEndian.PutUint32(h[4:], d.TCP.Seq+p.AddSeq)
	if d.TCP.Flags.Has(ACK) {
		ack := d.TCP.Ack + p.AddAck
		if p.SetAck {
			ack = p.Ack
		}
		binary.BigEndian.PutUint32(h[8:], ack)
	}
	if p.SetWindow {
		binary.BigEndian.PutUint16(h[14:], p.Window)
	}
	p.options(h[20:])
	FillChecksum(d.IP, frame[d.TCP.Offset:d.PayloadOffset+len(d.Payload)])
	fillIPv4(frame, d.IP)
	return nil
}

// options patches the option bytes of a TCP header. It stops at bytes that are
// no option.
func (p *TCPPatch) options(o []byte) {
	for len(o) > 0 && o[0] != layers.TCPOptionKindEndList {
		if o[0] == layers.TCPOptionKindNop {
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return
		}
		opt := o[:o[1]]
		o = o[o[1]:]
		for _, kind := range p.Blank {
			if opt[0] == kind {
				for i := range opt {
					opt[i] = layers.TCPOptionKindNop
				}
			}
		}
		switch {
		case opt[0] == layers.TCPOptionKindTimestamps && len(opt) == 10 && p.Timestamps:
			binary.BigEndian.PutUint32(opt[2:], p.TSVal)
			binary.BigEndian.PutUint32(opt[6:], p.TSEcr)
		case opt[0] == layers.TCPOptionKindSACK:
			for v := opt[2:]; len(v) >= 4; v = v[4:] {
				binary.BigEndian.PutUint32(v, binary.BigEndian.Uint32(v)+p.AddAck)
			}
		}
	}
}

// fillIPv4 stores the header checksum of an IPv4 packet, and the total length
// if segmentation offload had left it 0.
func fillIPv4(frame []byte, ip *IP) {
	if ip.Version != 4 {
		return
	}
	h := frame[ip.Offset : ip.Offset+ip.HeaderLen]
	binary.BigEndian.PutUint16(h[2:], uint16(ip.TotalLen))
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], gopacket.FoldChecksum(gopacket.ComputeChecksum(h, 0)))
}

// Fragment cuts the IPv4 or IPv6 packet of an untagged Ethernet frame into
// fragments whose packets have at most mtu bytes (without the Ethernet header).
// A frame that fits comes back alone, as it is. id is the IPv6 fragments'
// identification; IPv4's is kept. The don't-fragment bit is cleared.
func Fragment(frame []byte, mtu int, id uint32) ([][]byte, error) {
	d := Decode(frame)
	if d.IP == nil || d.Missing > 0 || d.IP.IsFragment() {
		return nil, errors.New("fragment: not a whole IP packet")
	}
	if d.IP.TotalLen <= mtu {
		return [][]byte{frame}, nil
	}
	// Nothing is put between the IPv6 header and the fragment header: frames
	// with other extension headers are not built here.
	start := d.IP.Offset + d.IP.HeaderLen
	body, ext := frame[start:d.IP.Offset+d.IP.TotalLen], 0
	if d.IP.Version == 6 {
		ext = 8
	}
	step := (mtu - d.IP.HeaderLen - ext) &^ 7
	if step <= 0 || d.IP.Version == 6 && d.IP.HeaderLen != 40 {
		return nil, fmt.Errorf("fragment: IP packet of %d bytes does not fit MTU %d", d.IP.TotalLen, mtu)
	}
	var out [][]byte
	for off := 0; off < len(body); off += step {
		part := body[off:min(off+step, len(body))]
		more := off+len(part) < len(body)
		f := append([]byte(nil), frame[:start]...)
		h := f[d.IP.Offset:]
		if d.IP.Version == 4 {
			flags := uint16(off / 8)
			if more {
				flags |= 0x2000
			}
			binary.BigEndian.PutUint16(h[6:], flags)
			head := *d.IP
			head.TotalLen = head.HeaderLen + len(part)
			f = append(f, part...)
			fillIPv4(f, &head)
		} else {
			binary.BigEndian.PutUint16(h[4:], uint16(8+len(part)))
			h[6] = byte(layers.IPProtocolIPv6Fragment)
			f = append(f, d.IP.Protocol, 0, byte(off>>8), byte(off))
			if more {
				f[len(f)-1] |= 1
			}
			f = binary.BigEndian.AppendUint32(f, id)
			f = append(f, part...)
		}
		out = append(out, f)
	}
	return out, nil
}
