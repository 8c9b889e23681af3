package pcap_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"slices"

	"github.com/vnreplay/vnreplay/pcap"
)

// madeFile is a capture of what the fixtures do not have: ICMP errors of both
// kinds, redirects, router advertisements, fragments, UDP without a checksum, wrong
// and unfinished checksums, tags, frames snapped short and with check sequences.
func madeFile(t tb) []byte {
	var list [][]byte
	build := func(src, dst netip.Addr, proto uint8, segment []byte) []byte {
		f, err := pcap.BuildIP(macB, macA, src, dst, proto, 64, segment)
		ok(t, err)
		list = append(list, f)
		return f
	}
	payload := bytes.Repeat([]byte("payload"), 300)
	for _, a := range [][2]netip.Addr{v4, v6} {
		src, dst := netip.AddrPortFrom(a[0], 1234), netip.AddrPortFrom(a[1], 80)
		tcp, err := pcap.BuildTCP(pcap.Segment{DstMAC: macB, SrcMAC: macA, Src: src, Dst: dst, Seq: 7, Flags: pcap.SYN, Payload: payload[:101]})
		ok(t, err)
		list = append(list, tcp)
		udp := append([]byte{4, 210, 0, 53, 0, 0, 0, 0}, payload...)
		binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
		whole := build(a[0], a[1], pcap.ProtoUDP, udp)
		parts, err := pcap.Fragment(whole, 1280, 99)
		ok(t, err)
		list = append(list, parts...)
		for _, damage := range []func([]byte, *pcap.Decoded){
			func(f []byte, d *pcap.Decoded) { f[len(f)-1] ^= 1 },
			func(f []byte, d *pcap.Decoded) { // as a kernel leaves it to the card
				f[d.TCP.Offset+16], f[d.TCP.Offset+17] = 0, 0
				sum := uint32(0)
				for i := d.IP.Offset + map[int]int{4: 12, 6: 8}[d.IP.Version]; i < d.IP.Offset+map[int]int{4: 20, 6: 40}[d.IP.Version]; i += 2 {
					sum += uint32(binary.BigEndian.Uint16(f[i:]))
				}
				sum += 6 + uint32(len(f)-d.TCP.Offset)
				for sum>>16 != 0 {
					sum = sum&0xffff + sum>>16
				}
				binary.BigEndian.PutUint16(f[d.TCP.Offset+16:], uint16(sum))
			},
		} {
			f := bytes.Clone(tcp)
			damage(f, pcap.Decode(f))
			list = append(list, f)
		}
		proto, kind := uint8(pcap.ProtoICMP), byte(3)
		if a[0].Is6() {
			proto, kind = pcap.ProtoICMPv6, 1
		}
		for _, quoted := range [][]byte{tcp[14:], whole[14:], tcp[14 : 14+48], parts[1][14:]} {
			build(a[1], a[0], proto, append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, quoted...))
		}
		if a[0].Is4() {
			gateway := a[1].As4()
			build(a[1], a[0], proto, append(append([]byte{5, 1, 0, 0}, gateway[:]...), tcp[14:14+28]...))
			none := build(a[0], a[1], pcap.ProtoUDP, bytes.Clone(udp[:100]))
			none[14+20+6], none[14+20+7] = 0, 0
			continue
		}
		target := a[1].AsSlice()
		sourceMAC := append([]byte{1, 1}, macA[:]...)
		targetMAC := append([]byte{2, 1}, macB[:]...)
		prefix := append([]byte{3, 4, 64, 0xc0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0}, netip.MustParseAddr("fd00::").AsSlice()...)
		build(a[0], a[1], proto, slices.Concat([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target, sourceMAC))
		build(a[0], a[1], proto, slices.Concat([]byte{136, 0, 0, 0, 0x60, 0, 0, 0}, target, targetMAC))
		build(a[0], a[1], proto, slices.Concat([]byte{134, 0, 0, 0, 64, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0}, sourceMAC, prefix))
		redirected := append([]byte{4, 7, 0, 0, 0, 0, 0, 0}, tcp[14:14+48]...)
		build(a[0], a[1], proto, slices.Concat([]byte{137, 0, 0, 0, 0, 0, 0, 0}, target, target, targetMAC, redirected))
	}
	for _, f := range list {
		if d := pcap.Decode(f); d.ICMP != nil {
			pcap.FillChecksum(d.IP, f[d.ICMP.Offset:d.PayloadOffset+len(d.Payload)])
		}
	}
	tagged := slices.Concat(list[0][:12], []byte{0x88, 0xa8, 0x20, 7, 0x81, 0, 0xf0, 9}, list[0][12:])
	list = append(list, tagged, ether(macA, macB, 60), list[0][:20])
	return ngFile(list, 0)
}

// ngFile writes frames as pcapng, with what a stranger's file may have: an option
// and a comment on each packet, name resolution, secrets, an unknown block. With
// fcs, each frame has its check sequence.
func ngFile(list [][]byte, fcs byte) []byte {
	var b []byte
	block := func(kind uint32, body ...byte) {
		n := uint32(len(body) + 12)
		b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, kind), n)
		b = binary.LittleEndian.AppendUint32(append(b, body...), n)
	}
	le := binary.LittleEndian
	block(0x0a0d0d0a, append([]byte{0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255},
		[]byte("\x01\x00\x05\x00hello\x00\x00\x00\x03\x00\x02\x00os\x00\x00\x00\x00\x00\x00")...)...)
	block(1, append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0}, 13, 0, 1, 0, fcs, 0, 0, 0, 0, 0, 0, 0)...)
	block(4, []byte{1, 0, 9, 0, 10, 0, 0, 1, 'h', 'o', 's', 't', 0, 0, 0, 0, 0, 0, 0, 0}...)
	block(0xa, []byte("KSLT\x04\x00\x00\x00abcd")...)
	block(0x0bad, 1, 2, 3, 4)
	for i, f := range list {
		orig := len(f)
		switch {
		case fcs > 0:
			f = le.AppendUint32(bytes.Clone(f), crc32.ChecksumIEEE(f))
			orig = len(f)
		case i%4 == 3:
			f = f[:min(len(f), 70)]
		}
		body := le.AppendUint32(le.AppendUint32(make([]byte, 4), 0x17_0000), uint32(i))
		body = le.AppendUint32(le.AppendUint32(body, uint32(len(f))), uint32(orig))
		body = append(append(body, f...), make([]byte, -len(f)&3)...)
		body = append(body, "\x01\x00\x06\x00remark\x00\x00\xad\x0b\x08\x00\x00\x00\x04\xd2 mine"...)
		block(6, append(append(body, make([]byte, -len(body)&3)...), 0, 0, 0, 0)...)
	}
	block(0x0bad, 5, 6, 7, 8)
	block(5, append(make([]byte, 12), "\x01\x00\x03\x00end\x00\x00\x00\x00\x00"...)...)
	return b
}
