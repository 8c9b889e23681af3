package replay

import (
	"fmt"
	"strings"

	"github.com/vnreplay/vnreplay/pcap"
)

// Skip counts frames that could not be used.
type Skip struct {
	Reason string
	Frames int
	First  int // number of the first of them
	// Numbers are those of the first few.
	Numbers []int
}

// Bounds of what is kept of frames that are not used.
const (
	maxReasons = 64 // the rest is counted under one
	maxNumbers = 8
)

// skip counts a frame that is not used.
func (c *Capture) skip(reason string, number int) { c.Skipped = countSkip(c.Skipped, reason, number) }

// countSkip counts a frame in a list of reasons.
func countSkip(list []Skip, reason string, number int) []Skip {
	if len(list) >= maxReasons {
		known := false
		for i := range list {
			known = known || list[i].Reason == reason
		}
		if !known {
			reason = "for other reasons"
		}
	}
	for i := range list {
		s := &list[i]
		if s.Reason != reason {
			continue
		}
		if s.Frames++; len(s.Numbers) < maxNumbers {
			s.Numbers = append(s.Numbers, number)
		}
		return list
	}
	return append(list, Skip{reason, 1, number, []int{number}})
}

// String is one line: how many frames, which, why.
func (s Skip) String() string {
	var numbers []string
	for _, n := range s.Numbers {
		numbers = append(numbers, fmt.Sprint(n))
	}
	if s.Frames > len(s.Numbers) {
		numbers = append(numbers, "…")
	}
	return fmt.Sprintf("%s (%s): %s", count(s.Frames, "frame"), strings.Join(numbers, ", "), s.Reason)
}

// clockLines say what was wrong with the stamps of the capture.
func (c *Capture) clockLines() []string {
	var lines []string
	for _, x := range []struct {
		n, first int
		what     string
	}{
		{c.Backwards, c.FirstBackwards, "stamped earlier than one before"},
		{c.Ahead, c.FirstAhead, "stamped more than 30 days after the one before"},
		{c.Untimed, c.FirstUntimed, "without a time"},
	} {
		switch {
		case x.n == 1:
			lines = append(lines, fmt.Sprintf("1 frame %s: %d", x.what, x.first))
		case x.n > 1:
			lines = append(lines, fmt.Sprintf("%d frames %s, the first is %d", x.n, x.what, x.first))
		}
	}
	return lines
}

// maxUnusable bounds the lines of a report about frames that are not used.
const maxUnusable = 2

// printUnusable says which frames of the capture could not be used and why, and
// what was wrong with its clock, in at most maxUnusable + 1 lines.
func (r *Report) printUnusable(line func(string, ...any)) {
	for i, s := range r.Capture.Skipped {
		if i == maxUnusable-1 && len(r.Capture.Skipped) > maxUnusable {
			rest := 0
			for _, s := range r.Capture.Skipped[i:] {
				rest += s.Frames
			}
			line("not usable: %s for %d more reasons, which vnreplay replay without --live lists", count(rest, "frame"), len(r.Capture.Skipped)-i)
			break
		}
		line("not usable: %s", clip(s.String(), 200))
	}
	if clock := r.Capture.clockLines(); len(clock) > 0 {
		line("the capture's clock: %s", strings.Join(clock, "; "))
	}
}

// notIP says why a frame that is neither IP nor ARP is part of no conversation.
func (f *Frame) notIP() string {
	switch {
	case f.LinkType == pcap.LinkNull || f.LinkType == pcap.LinkLoop:
		return "not IP: another address family"
	case f.EtherType == 0:
		return "not IP"
	case f.EtherType < 0x600:
		return "not IP: 802.3"
	}
	if name, ok := etherTypeNames[f.EtherType]; ok {
		return fmt.Sprintf("not IP: EtherType %#04x (%s)", f.EtherType, name)
	}
	return fmt.Sprintf("not IP: EtherType %#04x", f.EtherType)
}

// etherTypeNames are of protocols that a reader may wonder about, as they carry IP
// that is not looked at, or are part of what switches say to each other.
var etherTypeNames = map[uint16]string{
	0x0806: "ARP for something else than IPv4 over Ethernet",
	0x8847: "MPLS", 0x8848: "MPLS", 0x8863: "PPPoE discovery", 0x8864: "PPPoE session",
	0x888e: "802.1X", 0x88cc: "LLDP", 0x88e5: "MACsec", 0x88e7: "provider backbone", 0x88f7: "PTP", 0x9100: "a VLAN tag of old",
}
