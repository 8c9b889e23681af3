package replay

import "github.com/vnreplay/vnreplay/pcap"

// countQuiet counts what is normalised without anybody having noticed: checksums that
// were not filled in yet where the capture was made, and how often the live side
// acknowledged without saying anything.
func (r *Report) countQuiet(e *engine) {
	for _, p := range r.Conversations {
		for _, d := range p.Datagrams {
			if d.From == p.me && !d.bad && len(d.frames) == 1 {
				r.countUnfilled(d.frames[0])
			}
		}
		if p.Proto != TCP {
			continue
		}
		for _, s := range p.Streams[p.me].segments {
			if !s.bad && !s.lost {
				r.countUnfilled(s.frame)
			}
		}
		t := e.watcher.trails[peerKey{p.Proto, p.local, p.remote}]
		if t == nil || !p.Same {
			continue
		}
		captured := 0
		for _, s := range p.Streams[p.Live].segments {
			if s.isPureAck() {
				captured++
			}
		}
		for range max(captured-t.acks, t.acks-captured) {
			r.count("delayed-ack")
		}
	}
}

func (r *Report) countUnfilled(f *Frame) {
	if f.TransportChecksum(f.Data) == pcap.SumBad {
		r.count("unfilled-checksum")
	}
}
