package replay

import (
	"bytes"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// How many frames a report shows around a difference.
const (
	framesBefore = 3
	framesAfter  = 2
)

// Line is a frame as a report shows it.
type Line struct {
	// Frame is its number in its file, as Wireshark shows it.
	Frame int
	// At is its time: after the capture's first frame, or on the world's clock.
	At time.Duration
	// Live is true for what the live side sent.
	Live bool
	// Here is true for the frame in which the difference is.
	Here bool
	// Text is the frame in tcpdump's grammar, numbers relative, without addresses.
	Text string
}

// sighting is a frame that entered the switch.
type sighting struct {
	number uint64
	at     time.Duration
	live   bool
	here   bool
	head   []byte // the first bytes
	size   int    // of the frame
}

// headSize is enough for all headers of a segment.
const headSize = 14 + 4*4 + 60 + 60

// same reports whether a sighting is of a frame.
func (s sighting) same(frame []byte) bool {
	return s.live && s.size == len(frame) && bytes.HasPrefix(frame, s.head)
}

// onTheWay is how many frames may enter the switch until one of them arrives and is
// looked at, and still be remembered with those before it.
const onTheWay = 64

// trail is what passed lately between a played end and a live one. Frames are
// kept as they are, and described when a difference asks for it.
type trail struct {
	syns   []sighting         // of both, for relative numbers
	recent [onTheWay]sighting // the last ones, in a ring
	n      int                // seen
	asked  []*Divergence      // that want to know what follows
	clock  stopwatch
	acks   int // of the live end that say nothing else
}

// maxTrails bounds the pairs of ends that are watched.
const maxTrails = 1 << 16

// trailOf returns the trail of a frame, nil for one between other ends than a
// played and a live one.
func (w *watcher) trailOf(d *pcap.Decoded, live bool) *trail {
	k, ok := keyOfDecoded(d)
	if !ok {
		return nil
	}
	key := peerKey{k.proto, k.a, k.b}
	// An ICMP error quotes what it is about, with the ends the other way round.
	quotes := k.proto == UDP && d.ICMP != nil
	if live != quotes {
		key.local, key.liveP = k.b, k.a
	}
	t := w.trails[key]
	opens := d.TCP != nil && d.TCP.Flags&(pcap.SYN|pcap.ACK) == pcap.SYN
	if t == nil || opens && t.n > 0 && !t.again(d.TCP.Seq) {
		if len(w.trails) >= maxTrails {
			return nil
		}
		t = &trail{}
		w.trails[key] = t
	}
	return t
}

// again reports whether a SYN is one that was seen.
func (t *trail) again(seq uint32) bool {
	for _, s := range t.syns {
		if d := pcap.Decode(s.head); d.TCP != nil && d.TCP.Seq == seq {
			return true
		}
	}
	return false
}

// see notes a frame.
func (t *trail) see(d *pcap.Decoded, s sighting, frame []byte) {
	slot := &t.recent[t.n%len(t.recent)]
	s.head, s.size = append(slot.head[:0], frame[:min(len(frame), headSize)]...), len(frame)
	*slot = s
	t.n++
	t.clock.see(d, s.live, s.at)
	if s.live && d.TCP != nil && d.TCP.Flags&^pcap.PSH == pcap.ACK && len(d.Payload) == 0 && len(d.TCP.Options.SACK) == 0 {
		t.acks++
	}
	if d.TCP != nil && d.TCP.Flags.Has(pcap.SYN) && len(t.syns) < 2 {
		t.syns = append(t.syns, s.clone())
	}
	for i := 0; i < len(t.asked); i++ {
		a := t.asked[i]
		a.after++
		a.seen = append(a.seen, s.clone())
		if a.after == framesAfter {
			t.asked = append(t.asked[:i], t.asked[i+1:]...)
			i--
		}
	}
}

func (s sighting) clone() sighting {
	s.head = bytes.Clone(s.head)
	return s
}

// around gives a divergence the frames before it, the one in which it is, if it
// is in one, and those that follow.
func (t *trail) around(d *Divergence, current []byte) {
	d.syns = t.syns
	first, end := max(t.n-len(t.recent), 0), t.n
	here := -1
	for i := first; i < end && current != nil; i++ {
		if t.recent[i%len(t.recent)].same(current) {
			here = i
		}
	}
	if here >= 0 {
		first, end = max(first, here-framesBefore), min(end, here+framesAfter+1)
		d.after = end - here - 1
	} else {
		first = max(first, end-framesBefore)
	}
	for i := first; i < end; i++ {
		s := t.recent[i%len(t.recent)].clone()
		s.here = i == here
		d.seen = append(d.seen, s)
	}
	if d.after < framesAfter {
		t.asked = append(t.asked, d)
	}
}

// lines describes what was seen.
func (d *Divergence) lines() (out []Line) {
	var s pcap.Describer
	for _, x := range d.syns {
		if len(d.seen) == 0 || x.number < d.seen[0].number {
			s.Frame(pcap.LinkEthernet, x.head, x.size)
		}
	}
	for _, x := range d.seen {
		out = append(out, Line{int(x.number), x.at, x.live, x.here, withoutEnds(s.Frame(pcap.LinkEthernet, x.head, x.size))})
	}
	return out
}

// withoutEnds leaves the addresses out of a described frame, and how much of it was
// kept.
func withoutEnds(text string) string {
	text, _, _ = strings.Cut(text, " [captured ")
	if _, rest, ok := strings.Cut(text, ": "); ok {
		return rest
	}
	return text
}

// capturedLines describes the frames of a captured conversation around one of
// them: framesBefore, it, and framesAfter.
func capturedLines(c *Capture, conv *Conversation, live, number int) (out []Line) {
	if number == 0 || conv == nil {
		return nil
	}
	var s pcap.Describer
	here := -1
	for _, f := range c.Frames {
		if f.Number < conv.First || f.Number > conv.Last || f.Copy || !conv.carries(f) {
			continue
		}
		text := s.Frame(f.LinkType, f.Data, f.OrigLen)
		out = append(out, Line{f.Number, f.At, f.IP.Src == conv.Ends[live].Addr(), f.Number == number, withoutEnds(text)})
		switch {
		case f.Number == number:
			here = len(out) - 1
		case here < 0 && len(out) > framesBefore:
			out = out[1:]
		case here >= 0 && len(out)-here > framesAfter:
			return out
		}
	}
	return out
}

// carries reports whether a frame goes between the conversation's ends.
func (c *Conversation) carries(f *Frame) bool {
	k, ok := keyOfDecoded(f.Decoded)
	if !ok || k.proto != c.Proto {
		return false
	}
	return k.a == c.Ends[0] && k.b == c.Ends[1] || k.a == c.Ends[1] && k.b == c.Ends[0]
}
