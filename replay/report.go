package replay

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"errors"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Verdict is the outcome of a replay. Its number is the exit status.
type Verdict uint8

// The verdicts.
const (
	Same          Verdict = 0 // the live side did what the capture says
	Diverged      Verdict = 1 // it did something else
	Partial       Verdict = 2 // nothing, or only part of what its conversations are, could be replayed
	HarnessFailed Verdict = 3 // the replay itself failed
)

// String returns "same", "diverged", "partial" or "harness failed".
func (v Verdict) String() string {
	return [...]string{"same", "diverged", "partial", "harness failed"}[v]
}

// Bounds of what a live side may do without diverging.
const (
	// MaxRetransmits: this, a quarter of its captured segments, and twice what it
	// retransmitted in the capture, per connection, in segments.
	MaxRetransmits = 16
	// MaxSynthetic: this and the number of its captured segments, per connection,
	// in acknowledgements that the capture does not have.
	MaxSynthetic = 16
)

// Report is what came of a replay.
type Report struct {
	Verdict Verdict
	// Err is why the harness failed.
	Err error

	Capture *Capture
	Live    []Live
	Seed    uint64

	// Conversations are those that were played.
	Conversations []*Played
	// Unplayable are those with one live end that cannot be played; Reason says why.
	Unplayable []*Conversation
	// NoneLive and BothLive count the others: no live end, or two.
	NoneLive, BothLive int
	// NotChosen counts those whose other end is not among Options.Play.
	NotChosen int

	// Divergences, in the order of virtual time. Those after the first may be
	// its consequences.
	Divergences []*Divergence

	// Normalised are differences that do no harm, with how often they were met.
	Normalised []Count
	// Notes are what a reader should know.
	Notes []string

	// Retransmits are segments of live sides without anything new; Synthetic,
	// acknowledgements of played sides that are not in the capture; Segments, what
	// live sides sent with data or FIN, and CapturedSegments what the capture has.
	Retransmits, Synthetic, Segments, CapturedSegments int

	// SyntheticFrames are the numbers of the frames in a recording of the replay, as
	// Wireshark shows them, of synthetic acknowledgements and of those that a played
	// side made of what it had itself (ack-own).
	SyntheticFrames []uint64

	// Virtual is how long the conversations took on the world's clock; Captured,
	// how long they took in the capture.
	Virtual, Captured time.Duration
	Stats             vswitch.Stats

	partialOK  bool
	recorded   bool // a recording is made
	transcript bool
	hosts      []*liveHost
	perConv    map[*Played]*budget
}

// budget is what one conversation has used of its bounds.
type budget struct{ retransmits, synthetic int }

// Count is a named number.
type Count struct {
	Name string
	N    int
}

// Divergence is one difference between the live side and the capture.
type Divergence struct {
	// Kind is one word: bytes, extra, missing, early, closed, closed-early, reset,
	// refused, accepted, reopened, unexpected, order, retransmits, synthetic,
	// application, harness.
	Kind         string
	Conversation *Conversation // nil if it belongs to none
	From, To     netip.AddrPort
	At           time.Duration // on the world's clock, from its start
	Frame        int           // of the capture: where it has what was expected; 0 for none
	// Offset is that of the first byte concerned, in the stream or datagram; -1: none.
	Offset           int64
	Expected, Actual []byte // from Offset on
	Text             string // one line: what happened
	Hint             string // "" or a line that helps
}

func newReport(a *Analysis, o Options) *Report {
	r := &Report{Capture: a.Capture, Live: o.Live, Seed: o.Seed, recorded: o.Recorder != nil, partialOK: o.AllowPartial, perConv: map[*Played]*budget{}}
	for _, l := range o.Live {
		r.transcript = r.transcript || l.App == nil
	}
	return r
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// counted returns how often a normalisation was met.
func (r *Report) counted(name string) int {
	for _, c := range r.Normalised {
		if c.Name == name {
			return c.N
		}
	}
	return 0
}

func (r *Report) count(name string) {
	for i := range r.Normalised {
		if r.Normalised[i].Name == name {
			r.Normalised[i].N++
			return
		}
	}
	r.Normalised = append(r.Normalised, Count{name, 1})
	slices.SortFunc(r.Normalised, func(a, b Count) int { return cmp.Compare(a.Name, b.Name) })
}

func (r *Report) diverge(e *engine, d *Divergence) {
	d.At = e.world.Now().Sub(e.world.Start())
	r.Divergences = append(r.Divergences, d)
}

func (r *Report) budget(p *Played) *budget {
	b := r.perConv[p]
	if b == nil {
		b = &budget{}
		r.perConv[p] = b
	}
	return b
}

// segment counts a segment of the live side with data or FIN, and whether its
// boundaries are those of a captured one.
func (r *Report) segment(p *tcpPeer, at int64, n int) {
	r.Segments++
	if n == 0 {
		return
	}
	i, found := slices.BinarySearchFunc(p.in.chunks, at-1, func(k chunk, at int64) int { return cmp.Compare(k.from, at) })
	if !found || p.in.chunks[i].to != at-1+int64(n) {
		r.count("segmentation")
	}
}

// retransmitted counts a segment of the live side that repeats bytes.
func (r *Report) retransmitted(p *tcpPeer, _ int64) {
	r.Retransmits++
	b := r.budget(p.Played)
	b.retransmits++
	most := MaxRetransmits + p.in.Segments/4 + 2*p.in.Retransmitted
	if b.retransmits != most+1 {
		return
	}
	if !p.done {
		p.fail("retransmits", p.got-1, "the live side retransmitted more than %d segments", most)
	} else if p.Same {
		p.Same = false
		r.diverge(p.e, &Divergence{Kind: "retransmits", Conversation: p.Conversation, From: p.Ends[p.Live], To: p.Ends[p.me], Offset: p.got - 1,
			Frame: p.in.frameOf(p.got - 1), Text: fmt.Sprintf("the live side retransmitted more than %d segments", most)})
	}
}

// synthetic counts an acknowledgement that is not in the capture.
func (r *Report) synthetic(p *tcpPeer) {
	r.Synthetic++
	b := r.budget(p.Played)
	b.synthetic++
	most := MaxSynthetic + p.in.Segments
	if b.synthetic == most+1 && !p.done {
		p.fail("synthetic", p.got-1, "the played side had to make up more than %d acknowledgements", most)
	}
}

// own counts an acknowledgement that a played side makes of what it has itself.
func (r *Report) own(p *tcpPeer) {
	r.count("ack-own")
	p.st.mark()
	b := r.budget(p.Played)
	b.synthetic++
	most := MaxSynthetic + p.in.Segments
	if b.synthetic == most+1 && !p.done {
		p.fail("synthetic", p.got-1, "the played side had to make up more than %d acknowledgements", most)
	}
}

func (r *Report) appFailed(e *engine, l Live, err error) {
	r.diverge(e, &Divergence{Kind: "application", Offset: -1, From: netip.AddrPortFrom(l.Addr, 0),
		Text: fmt.Sprintf("the application of %v failed: %v", l.Addr, err)})
}

// finish draws the conclusions.
func (r *Report) finish(e *engine, err error) {
	r.Stats = e.world.Stats()
	if r.Virtual == 0 {
		r.Virtual = r.Stats.Virtual
	}
	frames := e.a.Capture.Frames
	if len(frames) > 0 {
		r.Captured = frames[len(frames)-1].At
	}
	for _, p := range r.Conversations {
		if p.Proto == TCP {
			r.CapturedSegments += len(p.Streams[p.Live].chunks)
		}
	}
	played, same := 0, 0
	for _, p := range r.Conversations {
		played++
		if p.Same {
			same++
		}
	}
	switch {
	case err != nil && !errors.Is(err, net.ErrClosed):
		r.Verdict, r.Err = HarnessFailed, err
	case len(r.Divergences) > 0:
		r.Verdict = Diverged
	case played == 0 || len(r.Unplayable) > 0 && !r.partialOK || same < played:
		r.Verdict = Partial
	default:
		r.Verdict = Same
	}
}

// Coverage returns how many conversations and bytes with one live end there
// are, and how many of them were the same as captured.
func (r *Report) Coverage() (same, conversations int, sameBytes, bytes int64) {
	conversations = len(r.Conversations) + len(r.Unplayable)
	for _, p := range r.Conversations {
		if p.Same {
			same++
		}
		for end := range 2 {
			sameBytes += p.Matched[end]
			bytes += p.Bytes(end)
		}
	}
	for _, c := range r.Unplayable {
		bytes += c.Bytes(0) + c.Bytes(1)
	}
	return same, conversations, sameBytes, bytes
}
