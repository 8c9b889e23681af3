package replay

import (
	"fmt"
	"net/netip"
	"time"
)

// lead is how many bytes before a difference a report shows.
const lead = 8

// explain notes, at the moment of a divergence, what has passed between its ends.
func (d *Divergence) explain(e *engine) {
	keys := []peerKey{{TCP, d.To, d.From}, {UDP, d.To, d.From}, {Echo, d.To, d.From}}
	for _, p := range e.report.Conversations {
		if p.Conversation == d.Conversation {
			d.live = p.Live
			keys = []peerKey{{p.Proto, p.local, p.remote}}
			if p.remote != d.From {
				d.Now = p.remote
			}
		}
	}
	for _, k := range keys {
		if t := e.watcher.trails[k]; t != nil {
			t.around(d, e.current)
			return
		}
	}
}

// locate says where a divergence is and, for the first, why it may have come to
// be.
func (r *Report) locate() {
	for i, d := range r.Divergences {
		d.locate()
		if i == 0 {
			d.Captured = capturedLines(r.Capture, d.Conversation, d.live, d.Frame)
			if d.Replayed = d.lines(); r.files {
				d.Replayed = capturedLines(r.Actual, d.other, d.live, d.otherFrame)
			}
			d.CapturedAt = r.Capture.when(d.Frame)
		}
		if d.Hint == "" {
			d.Hint = d.hint()
		}
		if r.files {
			d.Hint = inFiles(d.Hint)
		}
	}
	if len(r.Divergences) > 1 {
		r.blameApplication(r.Divergences[0])
	}
}

// blameApplication makes an application that failed later, or at the same time,
// the hint of the first divergence, if that may come of it: that the host said or
// took less than it should.
func (r *Report) blameApplication(first *Divergence) {
	switch first.Kind {
	case "closed-early", "missing", "refused", "reset":
	default:
		return
	}
	for _, d := range r.Divergences[1:] {
		if d.Kind == "application" && d.From.Addr() == first.From.Addr() {
			first.Hint = d.Text
			return
		}
	}
}

// when returns when a frame was captured, or -1.
func (c *Capture) when(number int) time.Duration {
	for _, f := range c.Frames {
		if f.Number == number {
			return f.At
		}
	}
	return -1
}

// want are the bytes that were expected, from the first of the stream or
// datagram; nil if the divergence is not about such.
func (d *Divergence) want() []byte {
	c := d.Conversation
	if c == nil || d.Offset < 0 {
		return nil
	}
	if c.Proto == TCP {
		return c.Streams[d.live].Data
	}
	for _, g := range c.Datagrams {
		if g.Frame == d.Frame && g.From == d.live {
			return g.Payload
		}
	}
	return nil
}

// got are the bytes of the live side as far as they are known.
func (d *Divergence) got() []byte {
	want := d.want()
	n := min(int(max(d.Offset, 0)), len(want))
	return append(want[:n:n], d.Actual...)
}

// locate says what stands at the offset.
func (d *Divergence) locate() {
	c, want := d.Conversation, d.want()
	if want == nil {
		return
	}
	n := min(d.Offset, int64(len(want)))
	d.Before = want[max(n-lead, 0):n]
	if c.Proto != TCP {
		if m, ok := parseDNS(want, c.Ends); ok && c.Proto == UDP {
			d.Place = m.place(d.Offset)
		}
		return
	}
	if d.Place, _ = tlsPlace(want, d.Offset); d.Place != "" {
		return
	}
	if m := messageAt(parseHTTP(want, c.Streams[1-d.live].Data), d.Offset); m != nil {
		d.Place = m.place(d.Offset)
	}
}

// Filter is a display filter of Wireshark's that shows what the divergence is about.
func (d *Divergence) Filter() string {
	switch {
	case d.Conversation != nil:
		return d.Conversation.filter()
	case d.To.Addr().IsValid():
		return addrFilter(d.From.Addr()) + " && " + addrFilter(d.To.Addr())
	case d.From.Addr().IsValid():
		return addrFilter(d.From.Addr())
	}
	return ""
}

func addrFilter(a netip.Addr) string {
	if a.Is6() {
		return fmt.Sprintf("ipv6.addr == %v", a)
	}
	return fmt.Sprintf("ip.addr == %v", a)
}
