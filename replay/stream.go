package replay

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// Stream is what one end of a TCP connection sent.
type Stream struct {
	// Data are the bytes, in the order of the stream, as far as the capture has
	// them without a gap.
	Data []byte
	// FIN is true if the end closed its side after Data.
	FIN bool
	// RST is true if the end reset the connection.
	RST bool
	// Segments is how many frames carried it; Retransmitted, how many of them
	// brought nothing new.
	Segments, Retransmitted int

	isn      uint32
	known    bool // isn is
	high     int64
	segments []*segment
	chunks   []chunk
	doubts   []chunk // of segments with wrong checksums
	have     ranges  // of stream offsets
	acked    int64   // stream offset up to which the peer acknowledged
	fin, rst closing
	syn      *pcap.TCPOptions // of the SYN
	tooBig   []tooBig         // what its sender was told of its path
}

// segment is one captured TCP segment. Sequence numbers are relative: a SYN has
// number 0, the first byte 1.
type segment struct {
	frame  *Frame
	packet []byte // the IP packet
	seq    int64
	len    int // payload bytes
	ack    int64
	sack   []interval
	bad    bool // its checksum is wrong, and it has payload
	lost   bool // the other end did not get it
	*pcap.TCP
}

// end is the number after the segment's last byte, SYN and FIN counted.
func (s *segment) end() int64 {
	n := s.seq + int64(s.len)
	if s.Flags.Has(pcap.SYN) {
		n++
	}
	if s.Flags.Has(pcap.FIN) {
		n++
	}
	return n
}

// chunk is a run of stream bytes that one frame brought first.
type chunk struct {
	from, to int64 // stream offsets
	data     []byte
	seg      *segment
	closing  // where it ends
}

// closing is a place in a stream: where a FIN or RST stands, or a chunk ends.
type closing struct {
	offset int64 // -1: there is none
	frame  int
	at     time.Duration // when it was said, as far as can be told
	seen   time.Duration // when it was captured
	// need is how many bytes of the other stream this end had acknowledged when
	// it sent this: it may have read those before.
	need int64
	// needFIN: and the other end's FIN.
	needFIN bool
}

// near returns the number congruent to x modulo 2^32 that is nearest to at.
func near(at int64, x uint32) int64 { return at + int64(int32(x-uint32(at))) }

// tcp takes a TCP segment; whole is its header and payload if it came in
// fragments; bad says that its checksum is wrong.
func (a *analyser) tcp(d *pcap.Decoded, f *Frame, whole []byte, bad bool) {
	src, dst := netip.AddrPortFrom(d.IP.Src, d.TCP.SrcPort), netip.AddrPortFrom(d.IP.Dst, d.TCP.DstPort)
	flags := d.TCP.Flags
	c, from := a.conversation(TCP, src, dst)
	opens := flags.Has(pcap.SYN) && !flags.Has(pcap.ACK)
	if c != nil && opens && c.isNewConnection(from, d.TCP.Seq) {
		c = nil
	}
	if c == nil {
		c, from = a.begin(TCP, src, dst, f), 0
		c.Streams = [2]*Stream{newStream(), newStream()}
		switch {
		case flags.Has(pcap.SYN | pcap.ACK):
			// The answer to a SYN that is missing: the other end opened.
			delete(a.open, convKey{TCP, src, dst})
			c.Ends[0], c.Ends[1], from = dst, src, 1
			a.open[convKey{TCP, dst, src}] = c
			c.cannot("its SYN is not in the capture (frame %d answers it)", f.Number)
		case !opens:
			c.cannot("already open when the capture begins (frame %d is its first)", f.Number)
		}
	}
	c.Last = f.Number
	c.segment(from, d, f, whole, bad)
}

func newStream() *Stream { return &Stream{fin: closing{offset: -1}, rst: closing{offset: -1}} }

// isNewConnection reports whether a SYN opens another connection on the same
// pair of ports, rather than being sent again.
func (c *Conversation) isNewConnection(from int, seq uint32) bool {
	s := c.Streams[from]
	if s.known && s.isn == seq {
		return false
	}
	// The other end's SYN without ACK, before anything else: both opened at once
	// (RFC 9293, 3.5).
	if from == 1 && !s.known && len(s.segments) == 0 && len(c.Streams[0].chunks) == 0 {
		c.both = true
		return false
	}
	return true
}

// segment takes one segment of end from into the conversation.
func (c *Conversation) segment(from int, d *pcap.Decoded, f *Frame, whole []byte, bad bool) {
	s, peer := c.Streams[from], c.Streams[1-from]
	if d.Missing > 0 {
		c.cannot("frame %d was captured short (%d of %d bytes)", f.Number, len(f.Data), max(f.OrigLen, len(f.Data)+d.Missing))
	}
	if d.TCP.Flags.Has(pcap.SYN) && len(d.Payload) > 0 {
		c.cannot("its SYN carries data (frame %d; TCP Fast Open, RFC 7413)", f.Number)
	}
	if d.TCP.Flags.Has(pcap.SYN) && s.syn == nil && (!s.known || d.TCP.Seq == s.isn) {
		s.isn, s.known, s.syn = d.TCP.Seq, true, &d.TCP.Options
		for _, x := range peer.segments { // captured before what they acknowledge
			if x.ack < 0 && x.Flags.Has(pcap.ACK) && x.Ack == s.isn+1 {
				x.ack = 1
			}
		}
	}
	if !s.known && !d.TCP.Flags.Has(pcap.RST) {
		// In the middle: numbers start where they are met.
		s.isn, s.known = d.TCP.Seq-1, true
	}
	seg := &segment{frame: f, seq: -1, ack: -1, len: len(d.Payload), TCP: d.TCP, bad: bad && len(d.Payload) > 0, lost: f.Lost}
	if whole != nil {
		frame, err := pcap.BuildIP(f.Dst, f.Src, d.IP.Src, d.IP.Dst, d.IP.Protocol, d.IP.TTL, whole)
		if err != nil {
			c.cannot("frame %d: %v", f.Number, err)
			return
		}
		seg.packet = frame[14:]
	} else {
		seg.packet = f.packet()
	}
	if seg.bad && (!s.known || !peer.known) {
		return
	}
	if d.TCP.Flags.Has(pcap.SYN) && d.TCP.Seq != s.isn {
		return // the answer to a SYN that came late, after the connection had ended
	}
	s.segments = append(s.segments, seg)
	s.Segments++
	if s.known {
		seg.seq = near(s.high, d.TCP.Seq-s.isn)
		if !seg.bad {
			s.high = max(s.high, seg.end())
		}
	}
	if d.TCP.Flags.Has(pcap.ACK) && peer.known {
		seg.ack = near(peer.high, d.TCP.Ack-peer.isn)
		for _, k := range d.TCP.Options.SACK {
			seg.sack = append(seg.sack, interval{near(peer.high, k.Left-peer.isn), near(peer.high, k.Right-peer.isn)})
		}
		if seg.ack-1 > peer.acked && !seg.bad {
			peer.acked = seg.ack - 1
		}
	}
	s.take(seg, d.Payload, peer)
}

// take notes what a segment brings: bytes, FIN, RST.
func (s *Stream) take(seg *segment, payload []byte, peer *Stream) {
	at := seg.seq - 1 // stream offset of the first byte
	if seg.Flags.Has(pcap.SYN) {
		at = 0
	}
	need := max(seg.ack-1, 0)
	mark := closing{offset: at + int64(len(payload)), frame: seg.frame.Number, at: seg.frame.At, seen: seg.frame.At, need: need}
	mark.needFIN = peer.fin.offset >= 0 && need > peer.fin.offset
	if mark.needFIN {
		mark.need--
	}
	k := chunk{from: at, to: at + int64(len(payload)), data: payload, seg: seg, closing: mark}
	if seg.bad {
		s.doubts = append(s.doubts, k)
		return
	}
	if seg.Flags.Has(pcap.RST) {
		if s.rst.offset < 0 {
			s.RST, s.rst = true, mark
			s.rst.offset = max(mark.offset, 0)
		}
		return
	}
	if !s.known || at < 0 && len(payload) > 0 && at+int64(len(payload)) <= 0 {
		return // a keepalive's byte before the first
	}
	fresh := s.add(k)
	switch {
	case seg.Flags.Has(pcap.FIN) && s.fin.offset < 0:
		s.fin = mark
	case len(payload) > 0 && !fresh, seg.Flags.Has(pcap.FIN):
		s.Retransmitted++
	}
}

// hasChunk reports whether a captured segment brought just these bytes.
func (s *Stream) hasChunk(from, to int64) bool {
	i, found := slices.BinarySearchFunc(s.chunks, from, func(k chunk, at int64) int { return cmp.Compare(k.from, at) })
	return found && s.chunks[i].to == to
}

// dataSegments counts the segments with data or FIN.
func (s *Stream) dataSegments() (n int) {
	for _, g := range s.segments {
		if g.len > 0 || g.Flags.Has(pcap.FIN) {
			n++
		}
	}
	return n
}

// first returns the SYN, or nil.
func (s *Stream) first() *segment {
	for _, g := range s.segments {
		if g.Flags.Has(pcap.SYN) {
			return g
		}
	}
	return nil
}

// add keeps of a run of bytes what is new, and reports whether anything is.
func (s *Stream) add(k chunk) bool {
	fresh := s.have.add(max(k.from, 0), k.to)
	for _, x := range fresh {
		part := k
		part.from, part.to, part.data = x.from, x.to, k.data[x.from-k.from:x.to-k.from]
		s.chunks = append(s.chunks, part)
	}
	return len(fresh) > 0
}

// finishTCP puts the streams in order, once all segments are known, and says
// what speaks against replaying the connection.
func (c *Conversation) finishTCP() {
	a, b := c.Streams[0], c.Streams[1]
	switch {
	case a.syn != nil && !b.known && !b.RST:
		c.cannot("never answered in the capture")
	case a.syn != nil && b.known && b.syn == nil:
		c.cannot("the answer to its SYN is not in the capture (frame %d follows it)", b.segments[0].frame.Number)
	}
	if a.RST && b.RST {
		// The later one answers what had been on its way when the first came.
		if a.rst.frame < b.rst.frame {
			b.RST = b.syn == nil
		} else {
			a.RST = false
		}
	}
	for i, s := range c.Streams {
		// Bytes with a wrong checksum count only where no others are: the receiver
		// did not take them if they were sent again, and got others if not (the
		// file was changed).
		for _, k := range s.doubts {
			if k.seg.lost = !s.add(k); !k.seg.lost && k.seg.Flags.Has(pcap.FIN) && s.fin.offset < 0 {
				s.fin = k.closing
			}
		}
		end := s.have.end(0)
		if s.acked > end && !(s.fin.offset == end && s.acked == end+1) {
			c.cannot("bytes %d..%d that %v sent were acknowledged (frame %d) and are not in the capture", end, s.lastAcked(), c.Ends[i], c.Streams[1-i].acknowledges(end))
		}
		slices.SortFunc(s.chunks, func(x, y chunk) int { return cmp.Compare(x.from, y.from) })
		n := 0
		for n < len(s.chunks) && s.chunks[n].from < end {
			n++
		}
		if to, frame := s.beyond(n, end); to > end && !c.Streams[1-i].asksAgain(end, frame) {
			c.cannot("bytes %d..%d that %v sent are not in the capture (frame %d follows them)", end, to-1, c.Ends[i], frame)
		}
		s.chunks = s.chunks[:n]
		s.Data = make([]byte, 0, end)
		for _, k := range s.chunks {
			s.Data = append(s.Data, k.data...)
		}
		s.FIN = s.fin.offset == end
		// What stands earlier in the stream was written earlier, however late the
		// capture saw it (a retransmission): it needed no more than what follows.
		last := closing{at: 1<<63 - 1, need: 1<<63 - 1, needFIN: true}
		if s.FIN {
			last = s.fin
		}
		for j := n - 1; j >= 0; j-- {
			k := &s.chunks[j].closing
			k.at, k.need, k.needFIN = min(k.at, last.at), min(k.need, last.need), k.needFIN && last.needFIN
			last = *k
		}
	}
	for i, s := range c.Streams {
		peer := c.Streams[1-i]
		for j := range s.chunks {
			s.chunks[j].bound(peer)
		}
		s.fin.bound(peer)
		s.rst.bound(peer)
	}
}

// contradiction returns the first byte that is sent again as another than before, and the
// frame that does so; -1 if there is none. The one byte of a keepalive or window probe may
// be any.
func (s *Stream) contradiction() (offset int64, frame int) {
	offset = -1
	for _, x := range s.segments {
		at := x.seq - 1
		if x.bad || x.len <= 1 || at < 0 || at >= int64(len(s.Data)) || x.Flags.Has(pcap.SYN) || x.Flags.Has(pcap.RST) {
			continue
		}
		said := x.packet[len(x.packet)-x.len:]
		n := min(len(said), len(s.Data[at:]))
		if same := firstDifference(said[:n], s.Data[at:]); same < n && (offset < 0 || at+int64(same) < offset) {
			offset, frame = at+int64(same), x.frame.Number
		}
	}
	return offset, frame
}

// beyond returns where the stream goes on behind a gap at end, and in which frame; -1 if
// it does not. The n-th of its chunks is the first there.
func (s *Stream) beyond(n int, end int64) (at int64, frame int) {
	switch {
	case s.fin.offset == end: // what comes after a FIN is no part of it
	case n < len(s.chunks):
		return s.chunks[n].from, s.chunks[n].frame
	case s.fin.offset > end:
		return s.fin.offset, s.fin.frame
	}
	return -1, 0
}

// asksAgain reports whether an end says once more, after a frame, that the other's byte at
// an offset is what it waits for: what is missing from the capture was lost on its way, too.
func (s *Stream) asksAgain(offset int64, after int) bool {
	asked := false
	for _, x := range s.segments {
		if x.bad || x.ack-1 != offset {
			continue
		}
		if x.frame.Number > after && (asked || len(x.sack) > 0) {
			return true
		}
		asked = true
	}
	return false
}

// lastAcked is the offset of the last byte that was acknowledged.
func (s *Stream) lastAcked() int64 {
	if f := s.fin.offset; f >= 0 && f < s.acked {
		return f - 1
	}
	return s.acked - 1
}

// acknowledges returns the number of the first frame of a stream that acknowledges
// the byte at an offset of the other.
func (s *Stream) acknowledges(offset int64) int {
	for _, x := range s.segments {
		if x.ack-1 > offset && !x.bad {
			return x.frame.Number
		}
	}
	return 0
}

// bound keeps what is needed of the other stream to what is known of it.
func (k *closing) bound(peer *Stream) {
	if n := int64(len(peer.Data)); k.need > n {
		k.need, k.needFIN = n, peer.FIN
	}
	k.needFIN = k.needFIN && peer.FIN
}

// frameOf returns the number of the frame that brought the byte at a stream
// offset, or that of the FIN, the RST or the last byte for offsets after it.
func (s *Stream) frameOf(offset int64) int {
	i, _ := slices.BinarySearchFunc(s.chunks, offset+1, func(k chunk, to int64) int { return cmp.Compare(k.to, to) })
	switch {
	case i < len(s.chunks):
		return s.chunks[i].frame
	case s.FIN:
		return s.fin.frame
	case s.RST:
		return s.rst.frame
	case len(s.chunks) > 0:
		return s.chunks[len(s.chunks)-1].frame
	case len(s.segments) > 0:
		return s.segments[0].frame.Number
	}
	return 0
}
