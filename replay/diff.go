package replay

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// DiffOptions say how [Diff] compares.
type DiffOptions struct {
	// Masks leave parts out of the comparison.
	Masks []*Mask
	// AllowPartial accepts conversations that cannot be compared, captures that are cut,
	// and frames captured too short; the verdict is otherwise [Partial].
	AllowPartial bool
}

// Diff compares what two captures hold: the streams and datagrams of their
// conversations, what TCP sends again as something else, how its connections open and
// close. Conversations belong together that have the same ends, or the same hosts and the
// same port of the second end, in order; those first whose opener says the same first.
// Order is judged in each direction by itself, and not between conversations. The report
// calls the first capture expected and the second actual. What is of no consequence is
// normalised as in a replay.
//
// A conversation that is not whole in one of the two cannot be compared.
func Diff(expected, actual *Analysis, o DiffOptions) (*Report, error) {
	masks, err := masksOf(o.Masks)
	if err != nil {
		return nil, err
	}
	d := &differ{a: expected, b: actual, r: &Report{
		Capture: expected.Capture, Actual: actual.Capture, files: true, partialOK: o.AllowPartial,
		masks: masks, maskUsed: map[*Mask]bool{},
	}}
	d.run()
	return d.r, nil
}

// differ compares two captures.
type differ struct {
	a, b *Analysis
	r    *Report
}

func (d *differ) run() {
	r := d.r
	pairs, extra := pairUp(d.a.Conversations, d.b.Conversations)
	for i, c := range d.a.Conversations {
		other := pairs[i]
		switch {
		case other == nil && !c.whole():
			r.Unplayable = append(r.Unplayable, c)
		case other == nil:
			r.Conversations = append(r.Conversations, &Played{Conversation: c})
			d.diverge(&Divergence{Kind: "missing", Conversation: c, Offset: -1, Frame: c.First, Text: "the conversation is not in " + d.b.Capture.Name}, 0, nil, 0)
		case !c.whole():
			r.Unplayable = append(r.Unplayable, c)
		case !other.whole():
			r.Unplayable = append(r.Unplayable, other)
		default:
			d.compare(c, other)
		}
	}
	for _, c := range extra {
		d.diverge(&Divergence{Kind: "unexpected", Offset: -1, From: c.Ends[0], To: c.Ends[1],
			Text: fmt.Sprintf("%v is not in %s", c, d.a.Capture.Name)}, 0, c, c.First)
	}
	for _, a := range []*Analysis{d.a, d.b} {
		if a.Capture.Cut != nil {
			r.note("%v", a.Capture.Cut)
		}
		if s := a.leftOut(); s != "" {
			r.note("%s: not compared, in no conversation: %s", a.Capture.Name, s)
		}
	}
	for _, s := range d.b.Capture.Skipped { // of the first, the report says it anyway
		r.note("%s: not usable: %v", d.b.Capture.Name, s)
	}
	// What is first in the first file; then what only the second has.
	slices.SortStableFunc(r.Divergences, func(x, y *Divergence) int {
		return cmp.Or(cmp.Compare(btoi(x.Frame == 0), btoi(y.Frame == 0)), cmp.Compare(x.Frame, y.Frame))
	})
	r.locate()
	for _, m := range r.masks {
		if !r.maskUsed[m] && !m.date {
			r.note("mask %s covers nothing in %s", m.name, d.a.Capture.Name)
		}
	}
	part := d.a.part() || d.b.part()
	switch {
	case len(r.Divergences) > 0:
		r.Verdict = Diverged
	case (len(r.Unplayable) > 0 || part || len(r.Conversations) == 0) && !r.partialOK:
		r.Verdict = Partial
	}
}

// whole reports whether all that a conversation says is known.
func (c *Conversation) whole() bool { return c.Reason == "" || c.Reason == sameAddress }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// pairUp finds for each conversation of a its counterpart in b, and what is left. Ports
// that a system draws may be another conversation's in the second file, so what the opener
// says first counts for more than these.
func pairUp(a, b []*Conversation) (pairs []*Conversation, extra []*Conversation) {
	pairs = make([]*Conversation, len(a))
	taken := make([]bool, len(b))
	begun := func(key func(*Conversation) string) func(*Conversation) string {
		return func(c *Conversation) string { return key(c) + " " + string(c.beginning()) }
	}
	for _, key := range []func(*Conversation) string{
		begun((*Conversation).String), begun((*Conversation).service), (*Conversation).String, (*Conversation).service,
	} {
		left := map[string][]int{}
		for i, y := range b {
			if !taken[i] {
				left[key(y)] = append(left[key(y)], i)
			}
		}
		for i, x := range a {
			if pairs[i] != nil {
				continue
			}
			if k := key(x); len(left[k]) > 0 {
				at := left[k][0]
				pairs[i], taken[at], left[k] = b[at], true, left[k][1:]
			}
		}
	}
	for i, y := range b {
		if !taken[i] {
			extra = append(extra, y)
		}
	}
	return pairs, extra
}

// service names the conversation by its hosts and what the first asks the second for.
func (c *Conversation) service() string {
	to := c.Ends[1]
	if c.Proto == Echo {
		to = netip.AddrPortFrom(to.Addr(), 0) // an identifier is drawn, too
	}
	return fmt.Sprintf("%v %v > %v", c.Proto, c.Ends[0].Addr(), to)
}

// beginning is what the opener says first.
func (c *Conversation) beginning() []byte {
	const most = 256
	var b []byte
	switch {
	case c.Proto == TCP:
		b = c.Streams[0].Data
	case len(c.Datagrams) > 0:
		b = c.Datagrams[0].Payload
	}
	return b[:min(len(b), most)]
}

// diverge adds a divergence of one end of a conversation; frame is that of the
// second file.
func (d *differ) diverge(x *Divergence, end int, other *Conversation, frame int) {
	x.live, x.other, x.otherFrame = end, other, frame
	if x.Conversation != nil {
		x.From, x.To = x.Conversation.Ends[end], x.Conversation.Ends[1-end]
		if other != nil && other.Ends[end] != x.From {
			x.Now = other.Ends[end]
		}
	}
	x.At = max(d.b.Capture.when(frame), 0)
	d.r.Divergences = append(d.r.Divergences, x)
}

// compare compares two conversations.
func (d *differ) compare(c, other *Conversation) {
	p := &Played{Conversation: c}
	d.r.Conversations = append(d.r.Conversations, p)
	before := len(d.r.Divergences)
	if c.Ends != other.Ends {
		d.r.count(map[Proto]string{TCP: "ephemeral-port", UDP: "ephemeral-port", Echo: "echo-id"}[c.Proto])
	}
	for end := range 2 {
		if c.Proto == TCP {
			d.streams(p, other, end)
		} else {
			d.datagrams(p, other, end)
		}
	}
	p.Same = len(d.r.Divergences) == before
}

// streams compares what one end says over TCP.
func (d *differ) streams(p *Played, other *Conversation, end int) {
	c := p.Conversation
	a, b := c.Streams[end], other.Streams[end]
	if a.known && b.known && a.isn != b.isn {
		d.r.count("isn")
	}
	for _, k := range b.chunks {
		if !a.hasChunk(k.from, k.to) {
			d.r.count("segmentation")
		}
	}
	m := newMatcher(d.r, a.Data, c.Streams[1-end].Data)
	same := m.match(0, b.Data)
	at := int64(same)
	p.Matched[end] = at
	x := &Divergence{Conversation: c, Offset: at, Frame: a.frameOf(at), Hint: m.why}
	switch {
	case same < len(b.Data) && same == len(a.Data):
		x.Kind, x.Actual, x.Text = "extra", b.Data[same:], fmt.Sprintf("%v sends more than %s", c.Ends[end], count(len(a.Data), "byte"))
	case same < len(b.Data):
		x.Kind, x.Expected, x.Actual, x.Text = "bytes", a.Data[same:], b.Data[same:], fmt.Sprintf("byte %d differs", at)
	case same < len(a.Data):
		x.Kind, x.Expected, x.Text = "missing", a.Data[same:], fmt.Sprintf("%v sends %d of %d bytes", c.Ends[end], same, len(a.Data))
	case (a.syn == nil) != (b.syn == nil):
		x.Kind, x.Offset, x.Text = "refused", -1, fmt.Sprintf("%v refuses the connection in one of the two only", c.Ends[end])
	case a.RST != b.RST && a.FIN && b.FIN:
		d.r.count("reset-after-close")
		return
	case a.RST != b.RST:
		x.Kind, x.Offset, x.Text = "reset", -1, fmt.Sprintf("%v resets the connection in %s only", c.Ends[end], d.which(b.RST))
	case a.FIN != b.FIN:
		x.Kind, x.Offset, x.Text = "closed", -1, fmt.Sprintf("%v closes (FIN) in %s only", c.Ends[end], d.which(b.FIN))
	default:
		d.contradictions(c, other, end)
		return
	}
	d.diverge(x, end, other, b.frameOf(at))
}

// contradictions compares where an end says other bytes than before when it sends them
// again.
func (d *differ) contradictions(c, other *Conversation, end int) {
	at, frame := c.Streams[end].contradiction()
	otherAt, otherFrame := other.Streams[end].contradiction()
	if at == otherAt {
		return
	}
	second := at < 0 || otherAt >= 0 && otherAt < at
	if second {
		at, frame = otherAt, 0
	} else {
		otherFrame = 0
	}
	d.diverge(&Divergence{Kind: "bytes", Conversation: c, Offset: at, Frame: frame,
		Text: fmt.Sprintf("byte %d differs where it is sent again, in %s only", at, d.which(second))}, end, other, otherFrame)
}

// which names one of the two files.
func (d *differ) which(second bool) string {
	if second {
		return d.b.Capture.Name
	}
	return d.a.Capture.Name
}

// datagrams compares the datagrams of one end. One that is the same counts as come
// wherever it stands among the others.
func (d *differ) datagrams(p *Played, other *Conversation, end int) {
	c := p.Conversation
	a, b := datagramsOf(c, end), datagramsOf(other, end)
	taken := make([]bool, len(b))
	there := map[string][]int{} // what was said, and where in b
	for i, y := range b {
		there[y.said()] = append(there[y.said()], i)
	}
	var rest []*Datagram
	last := -1
	for _, x := range a {
		at := there[x.said()]
		if len(at) == 0 {
			rest = append(rest, x)
			continue
		}
		i := at[0]
		there[x.said()] = at[1:]
		if taken[i] = true; i < last {
			d.r.count("datagram-order")
		}
		last = max(last, i)
		p.Matched[end] += int64(len(x.Payload))
	}
	for i, y := range b {
		if taken[i] {
			continue
		}
		if len(rest) == 0 {
			d.diverge(&Divergence{Kind: "extra", Conversation: c, Offset: -1, Frame: c.Last, Actual: y.Payload,
				Text: fmt.Sprintf("%v sends one more datagram", c.Ends[end])}, end, other, y.Frame)
			return
		}
		x := rest[0]
		rest = rest[1:]
		m := newMatcher(d.r, x.Payload, nil)
		at := m.match(0, y.Payload)
		if at == len(x.Payload) && at == len(y.Payload) && x.Unreachable == y.Unreachable && x.Seq == y.Seq {
			p.Matched[end] += int64(at)
			continue
		}
		d.diverge(&Divergence{Kind: "bytes", Conversation: c, Offset: int64(at), Frame: x.Frame, Expected: x.Payload[at:], Actual: y.Payload[at:],
			Text: fmt.Sprintf("byte %d of a datagram of %v differs", at, c.Ends[end]), Hint: m.why}, end, other, y.Frame)
		return
	}
	if len(rest) > 0 {
		d.diverge(&Divergence{Kind: "missing", Conversation: c, Offset: -1, Frame: rest[0].Frame, Expected: rest[0].Payload,
			Text: fmt.Sprintf("%v does not send %s", c.Ends[end], count(len(rest), "datagram"))}, end, other, other.Last)
	}
}

// said is all of a datagram that is compared.
func (d *Datagram) said() string { return fmt.Sprint(d.Unreachable, d.Seq, " ") + string(d.Payload) }

func datagramsOf(c *Conversation, end int) (out []*Datagram) {
	for _, d := range c.Datagrams {
		if d.From == end && !d.copy {
			out = append(out, d)
		}
	}
	return out
}

// inFiles words what is said of a live side for two files.
func inFiles(s string) string {
	return strings.NewReplacer("the live side's", "the second file's", "the live side", "the second file", "the capture's", "the first's", "the capture", "the first").Replace(s)
}
