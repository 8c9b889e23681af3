package replay

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// maxTags is how many VLAN tags a frame is given at most.
const maxTags = 4

// tagBytes returns tags as they stand on the wire (IEEE 802.1Q, 9.3).
func tagBytes(vlans []pcap.VLAN) (out []byte) {
	for _, v := range vlans {
		tci := uint16(v.Priority)<<13 | v.ID&0xfff
		if v.DEI {
			tci |= 1 << 12
		}
		out = binary.BigEndian.AppendUint16(out, v.TPID)
		out = binary.BigEndian.AppendUint16(out, tci)
	}
	return out
}

// withTags returns a frame with tags behind its addresses.
func withTags(frame, tags []byte) []byte {
	if len(tags) == 0 {
		return frame
	}
	return slices.Concat(frame[:12], tags, frame[12:])
}

// sameVLANs reports whether tags differ in their priorities at most.
func sameVLANs(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i += 4 {
		if a[i] != b[i] || a[i+1] != b[i+1] || a[i+2]&0xf != b[i+2]&0xf || a[i+3] != b[i+3] {
			return false
		}
	}
	return true
}

// tagsOf returns the tags that the frames of live addresses bear in the capture:
// those they sent or, if none of these is there, those sent to them. one is false
// if they differ, as a router's on a trunk do, or are too many.
func (a *Analysis) tagsOf(addrs []netip.Addr) (tags []byte, one bool) {
	var sent, got [][]byte
	note := func(sets *[][]byte, vlans []pcap.VLAN) {
		t := tagBytes(vlans)
		if !slices.ContainsFunc(*sets, func(x []byte) bool { return sameVLANs(x, t) }) {
			*sets = append(*sets, t)
		}
	}
	for _, f := range a.Capture.Frames {
		switch {
		case f.IP == nil:
		case slices.Contains(addrs, f.IP.Src):
			note(&sent, f.VLANs)
		case slices.Contains(addrs, f.IP.Dst):
			note(&got, f.VLANs)
		}
	}
	if len(sent) == 0 {
		sent = got
	}
	if len(sent) == 0 {
		return nil, true
	}
	return sent[0], len(sent) == 1 && len(sent[0]) <= 4*maxTags
}

// giveTags gives the live machines their tags.
func (e *engine) giveTags(p *plan) {
	for _, m := range p.hosts {
		tags, one := e.a.tagsOf(m.addrs)
		switch {
		case !one:
			e.report.note("%v is on several VLANs in the capture: it has no tags", m.addrs[0])
		case len(tags) > 0:
			m.tags = tags
			if m.behind == nil {
				e.tags[m.mac] = tags
			}
			e.tagRoom = max(e.tagRoom, tagRoom(tags))
		}
	}
}

// tagRoom is how much of a frame's tags counts against the MTU of a port: the switch
// allows for one 802.1Q tag, and for none of 802.1ad.
func tagRoom(tags []byte) int {
	if len(tags) >= 4 && tags[0] == 0x81 && tags[1] == 0 {
		return len(tags) - 4
	}
	return len(tags)
}

// send puts a frame that is not of the capture on the cable, with the tags of the
// host that it is for.
func (s *station) send(frame []byte) { s.put(withTags(frame, s.e.tags[vswitch.MAC(frame[:6])])) }

// sendCaptured puts a frame on the cable with the tags of the captured one,
// unless the host that it is for has none.
func (s *station) sendCaptured(frame []byte, f *Frame) {
	if s.e.tags[vswitch.MAC(frame[:6])] != nil {
		if tags := tagBytes(f.VLANs); tagRoom(tags) <= s.e.tagRoom {
			s.put(withTags(frame, tags))
			return
		}
	}
	if len(f.VLANs) > 0 {
		s.e.report.count("vlan")
	}
	s.put(frame)
}
