package pcap

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket"
)

// Frame rewrites one captured frame. It returns the frame, which is data itself if
// nothing changes, and how much longer than data it is (less, if below 0).
// fcs is how many bytes at its end are a frame check sequence; one that was right
// is right afterwards. number is what [Rewritten] calls it.
func (r *Rewriter) Frame(linkType int, data []byte, fcs, number int) (out []byte, longer int) {
	r.report.Frames++
	clear(r.hit)
	if fcs > len(data) {
		fcs = 0
	}
	frame := data[:len(data)-fcs]
	d := DecodeLink(linkType, frame)
	if reason := r.untouchable(d, frame); reason != "" {
		r.left(reason, number)
		return data, 0
	}
	w := rewriting{Rewriter: r, was: frame, now: slices.Clone(frame)}
	w.link(linkType, d)
	if d.IP != nil {
		w.packet(d, d.PayloadOffset+len(d.Payload))
	}
	touched := slices.Contains(r.hit, true)
	if r.fix == FixAll || r.fix == FixChanged && touched {
		w.compute(d)
	}
	if linkType == LinkEthernet && len(r.vlans) > 0 {
		w.tags(d)
	}
	for i, hit := range r.hit {
		if hit {
			r.report.Mappings[i].Frames++
		}
	}
	if slices.Equal(w.now, frame) {
		return data, 0
	}
	r.report.Changed++
	return w.closed(data[len(frame):]), len(w.now) - len(frame)
}

// untouchable says why a frame has to be left alone, if so.
func (r *Rewriter) untouchable(d *Decoded, frame []byte) string {
	const authentication, routing = 51, 43
	switch {
	case d.Problem != "":
		return d.Problem
	case d.IP == nil:
		return ""
	case d.IP.Protocol == authentication:
		return "IPsec authentication, which covers the addresses"
	case d.IP.Version == 4:
		if sourceRouted(frame[d.IP.Offset+20 : d.IP.Offset+d.IP.HeaderLen]) {
			return "IPv4 source route with hops left"
		}
		return ""
	}
	// With hops left, the checksum's pseudo-header has an address from the routing
	// header (RFC 8200, 8.1), which is not mapped.
	next, at, end := frame[d.IP.Offset+6], d.IP.Offset+40, d.IP.Offset+d.IP.HeaderLen
	for at+8 <= end {
		if next == routing && frame[at+3] > 0 {
			return "IPv6 routing header with hops left"
		}
		size := 8
		if next != 44 { // all but the fragment header tell their length
			size += int(frame[at+1]) * 8
		}
		next, at = frame[at], at+size
	}
	return ""
}

// sourceRouted reports whether IPv4 options hold a source route with hops left: the
// checksum's pseudo-header then has the last of them (RFC 1122, 4.1.3.3), as with a
// routing header of IPv6.
func sourceRouted(options []byte) bool {
	const end, nop, loose, strict = 0, 1, 131, 137
	for len(options) >= 3 && options[0] != end {
		if options[0] == nop {
			options = options[1:]
			continue
		}
		kind, size, pointer := options[0], int(options[1]), int(options[2])
		if kind == loose || kind == strict {
			return pointer <= size
		}
		if size < 2 || size > len(options) {
			return false
		}
		options = options[size:]
	}
	return false
}

// rewriting is one frame at work: was is what was captured, now the same with the
// changes so far, and of the same length until tags come off and on.
type rewriting struct {
	*Rewriter
	was, now []byte
}

// closed is the frame with its check sequence.
func (w *rewriting) closed(fcs []byte) []byte {
	if len(fcs) == 4 && binary.LittleEndian.Uint32(fcs) == crc32.ChecksumIEEE(w.was) {
		fcs = binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(w.now))
	}
	return append(w.now, fcs...)
}

// link maps the addresses of the link layer, and ARP.
func (w *rewriting) link(linkType int, d *Decoded) {
	switch linkType {
	case LinkEthernet:
		w.mapMAC(w.now[0:6])
		w.mapMAC(w.now[6:12])
	case LinkSLL:
		if binary.BigEndian.Uint16(w.now[4:]) == 6 {
			w.mapMAC(w.now[6:12])
		}
	case LinkSLL2:
		if w.now[11] == 6 {
			w.mapMAC(w.now[12:18])
		}
	}
	if d.ARP != nil {
		arp := w.now[d.ARP.Offset:]
		w.mapMAC(arp[8:14])
		w.mapIP(arp[14:18])
		w.mapMAC(arp[18:24])
		w.mapIP(arp[24:28])
	}
}

// packet maps what an IP packet holds and updates its sums. d is its dissection,
// in which offsets count from the frame; end is where the captured packet ends.
func (w *rewriting) packet(d *Decoded, end int) {
	ip := d.IP
	source, size := ip.Offset+12, 4
	if ip.Version == 6 {
		source, size = ip.Offset+8, 16
	}
	w.mapIP(w.now[source : source+size])
	w.mapIP(w.now[source+size : source+2*size])
	upper, covered := ip.Offset+ip.HeaderLen, 0 // what can change of the bytes that a transport sum covers
	first := ip.FragOffset == 0
	switch {
	case first && (ip.Protocol == ProtoTCP || ip.Protocol == ProtoUDP) && end >= upper+4:
		w.mapPorts(w.now[upper : upper+4])
		covered = 4
	case d.ICMP != nil:
		w.icmp(d.ICMP, end)
		covered = end - upper
	}
	if w.fix == FixNone {
		return
	}
	if at := upper + pseudoSumAt(ip); first && at > upper && at+2 <= end {
		pseudo := uint32(0)
		if ip.Protocol != ProtoICMP {
			pseudo = w.change(source, source+2*size, -1)
		}
		if d.TransportChecksum(w.was) == SumPartial {
			w.updatePartial(at, pseudo)
		} else {
			w.update(at, pseudo+w.change(upper, upper+covered, at), ip.Protocol == ProtoUDP)
		}
	}
	if ip.Version == 4 {
		w.update(ip.Offset+10, w.change(ip.Offset, upper, ip.Offset+10), false)
	}
}

// pseudoSumAt is where a transport protocol has a checksum that counts addresses
// or ports in, or ICMP its own; 0 for none.
func pseudoSumAt(ip *IP) int {
	const dccp, ospf, udpLite = 33, 89, 136
	switch ip.Protocol {
	case dccp, udpLite:
		return 6
	case ospf:
		if ip.Version == 6 {
			return 12
		}
		return 0
	case ProtoICMP, ProtoICMPv6:
		if (ip.Protocol == ProtoICMP) != (ip.Version == 4) {
			return 0
		}
	}
	return max(checksumAt(ip.Protocol), 0)
}

// change is by how much the sum of the 16-bit words from start to end has grown
// (in ones' complement), without the one at the offset except.
func (w *rewriting) change(start, end, except int) uint32 {
	var sum uint64
	for i := start; i < end; i += 2 {
		if i == except {
			continue
		}
		sum += uint64(wordAt(w.now, i, end)) + uint64(^wordAt(w.was, i, end))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint32(sum)
}

func wordAt(b []byte, i, end int) uint16 {
	if i+1 < end {
		return binary.BigEndian.Uint16(b[i:])
	}
	return uint16(b[i]) << 8
}

// update changes the checksum at an offset by delta: RFC 1624, equation 3.
func (w *rewriting) update(at int, delta uint32, udp bool) {
	old := binary.BigEndian.Uint16(w.now[at:])
	if delta = fold(delta); delta == 0 || delta == 0xffff || udp && old == 0 {
		return
	}
	n := ^uint16(fold(uint32(^old) + delta))
	if udp && n == 0 {
		n = 0xffff
	}
	binary.BigEndian.PutUint16(w.now[at:], n)
}

// updatePartial does so with one that a network card was to finish: it holds the
// sum of the pseudo-header alone, not complemented.
func (w *rewriting) updatePartial(at int, delta uint32) {
	if delta = fold(delta); delta != 0 && delta != 0xffff {
		old := binary.BigEndian.Uint16(w.now[at:])
		binary.BigEndian.PutUint16(w.now[at:], uint16(fold(uint32(old)+delta)))
	}
}

func fold(sum uint32) uint32 {
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return sum
}

// icmp maps what ICMP and ICMPv6 messages say of addresses.
func (w *rewriting) icmp(m *ICMP, end int) {
	has := func(n int) bool { return m.Offset+n <= end }
	ip := func(at, size int) {
		if has(at + size) {
			w.mapIP(w.now[m.Offset+at : m.Offset+at+size])
		}
	}
	if m.Version == 4 {
		switch m.Type {
		case 5: // redirect: the gateway
			ip(4, 4)
			w.quoted(m.Offset+8, end)
		case 3, 4, 11, 12:
			w.quoted(m.Offset+8, end)
		}
		return
	}
	switch m.Type { // RFC 4443, RFC 4861
	case 1, 2, 3, 4:
		w.quoted(m.Offset+8, end)
	case 133:
		w.ndOptions(m.Offset+8, end)
	case 134:
		w.ndOptions(m.Offset+16, end)
	case 135, 136:
		ip(8, 16)
		w.ndOptions(m.Offset+24, end)
	case 137:
		ip(8, 16)
		ip(24, 16)
		w.ndOptions(m.Offset+40, end)
	}
}

// ndOptions maps the options of neighbour discovery.
func (w *rewriting) ndOptions(at, end int) {
	for at+8 <= end {
		size := int(w.now[at+1]) * 8
		if size == 0 || at+size > end {
			return
		}
		switch kind := w.now[at]; {
		case (kind == 1 || kind == 2) && size == 8: // link-layer address
			w.mapMAC(w.now[at+2 : at+8])
		case kind == 3 && size == 32: // prefix
			w.mapIP(w.now[at+16 : at+32])
		case kind == 4: // redirected packet
			w.quoted(at+8, at+size)
		}
		at += size
	}
}

// quoted maps the packet that an ICMP error quotes, as far as it does.
func (w *rewriting) quoted(at, end int) {
	if at >= end {
		return
	}
	d := DecodeLink(LinkRaw, w.was[at:end])
	if d.IP == nil || d.IP.HeaderLen > end-at {
		return
	}
	ip := *d.IP
	ip.Offset += at
	w.packet(&Decoded{IP: &ip, Missing: 1}, min(end, ip.Offset+max(ip.TotalLen, ip.HeaderLen)))
}

// compute makes the sums right that are wrong and of which all bytes are there.
func (w *rewriting) compute(d *Decoded) {
	if d.IP == nil {
		return
	}
	now := *d
	ip := *d.IP // with the addresses of now
	size := 4
	at := ip.Offset + 12
	if ip.Version == 6 {
		at, size = ip.Offset+8, 16
	}
	ip.Src, ip.Dst = addrOf(w.now[at:at+size]), addrOf(w.now[at+size:at+2*size])
	now.IP = &ip
	fixed := false
	if now.IPChecksum(w.now) == SumBad {
		h := w.now[ip.Offset : ip.Offset+ip.HeaderLen]
		h[10], h[11] = 0, 0
		binary.BigEndian.PutUint16(h[10:], gopacket.FoldChecksum(gopacket.ComputeChecksum(h, 0)))
		fixed = true
	}
	// An offloaded packet whose length is still to be filled in has no end.
	known := binary.BigEndian.Uint16(w.now[ip.Offset+2:]) != 0
	if ip.Version == 6 {
		known = binary.BigEndian.Uint16(w.now[ip.Offset+4:]) != 0
	}
	if sum := now.TransportChecksum(w.now); known && (sum == SumBad || sum == SumPartial) {
		FillChecksum(&ip, w.now[now.transportOffset():now.PayloadOffset+len(now.Payload)])
		fixed = true
	}
	if fixed {
		w.report.Fixed++
	}
}

// tags maps the VLAN tags of an Ethernet frame.
func (w *rewriting) tags(d *Decoded) {
	const addresses = 12
	out := slices.Clone(w.now[:addresses])
	for k, tag := range d.VLANs {
		raw := slices.Clone(w.now[addresses+4*k : addresses+4*k+4])
		if i, ok := w.vlans[int(tag.ID)]; ok {
			w.hit[i] = true
			to := w.maps[i].vlan[1]
			if to < 0 {
				continue
			}
			raw[2], raw[3] = raw[2]&0xf0|byte(to>>8), byte(to)
		}
		out = append(out, raw...)
	}
	if i, ok := w.vlans[-1]; ok && len(d.VLANs) == 0 {
		w.hit[i] = true
		to := w.maps[i].vlan[1]
		out = append(out, 0x81, 0x00, byte(to>>8), byte(to))
	}
	w.now = append(out, w.now[addresses+4*len(d.VLANs):]...)
}

func addrOf(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}
