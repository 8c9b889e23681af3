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
	Partial       Verdict = 2 // nothing, or only part of what its conversations are, could be replayed, or the capture is cut
	HarnessFailed Verdict = 3 // the replay itself failed
)

// String returns "same", "diverged", "partial" or "harness failed".
func (v Verdict) String() string {
	return [...]string{"same", "diverged", "partial", "harness failed"}[v]
}

// Report is what came of a replay.
type Report struct {
	Verdict Verdict
	// Err is why the harness failed.
	Err error

	Capture *Capture
	Live    []Live
	// Actual is the second file of [Diff]; nil for a replay.
	Actual *Capture
	Seed   uint64

	// Conversations are those that were played.
	Conversations []*Played
	// Unplayable are those with one live end that cannot be played; Reason says why.
	Unplayable []*Conversation
	// NoneLive and BothLive count the others: no live end, or two.
	NoneLive, BothLive int
	// NotChosen counts those whose other end is not among Options.Play.
	NotChosen int

	// Divergences, in the order of the world's time. Those after the first may be
	// its consequences.
	Divergences []*Divergence

	// Normalised are differences that do no harm, with how often they were met.
	Normalised []Count
	// Masked are the differences that a mask left out, by mask.
	Masked []Count
	// Other is what came from ports outside and belongs to no conversation, in the order
	// of its first frames. It is no divergence.
	Other []Other
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

	// Versions, Recording and Again are the caller's to fill in, and are printed
	// if they are not "": what ran, where the recording of the replay is, and the
	// command that repeats it.
	Versions, Recording, Again string

	// Virtual is how long the conversations took on the world's clock; Captured,
	// how long they took in the capture. RealTime is true when that clock was the
	// machine's.
	Virtual, Captured time.Duration
	RealTime          bool
	Stats             vswitch.Stats

	partialOK  bool
	recorded   bool // a recording is made
	transcript bool
	files      bool // two files were compared
	masks      []*Mask
	blind      bool // nothing is compared
	maskUsed   map[*Mask]bool
	perConv    map[*Played]*spent
}

// Count is a named number.
type Count struct {
	Name string
	N    int
}

// Divergence is one difference between the live side and the capture.
type Divergence struct {
	// Kind is one word: bytes, extra, missing, early, closed, closed-early, reset,
	// refused, accepted, reopened, unexpected, order, retransmits, synthetic,
	// segments, time, frame, application, harness.
	Kind         string
	Conversation *Conversation // nil if it belongs to none
	From, To     netip.AddrPort
	At           time.Duration // on the world's clock, from its start
	Frame        int           // of the capture: where it has what was expected; 0 for none
	// Offset is that of the first byte concerned, in the stream or datagram; -1: none.
	Offset           int64
	Expected, Actual []byte // from Offset on
	// Before are up to 8 bytes before Offset, which are the same.
	Before []byte
	Text   string // one line: what happened
	Place  string // what stands at Offset, if that is known: "HTTP response 1 (HTTP/1.1 200 OK), header Date"
	Hint   string // "" or a line that helps

	// Captured and Replayed are the frames around the difference, in the capture
	// and in the replay. Only the first divergence has them.
	Captured, Replayed []Line
	// CapturedAt is when Frame was captured, after the first of the
	// capture; negative: there is no such frame.
	CapturedAt time.Duration
	// Now is the live end as it is in the replay, where its port is not the captured one.
	Now netip.AddrPort

	syns, seen []sighting
	after      int // of seen, how many follow the one in which the difference is
	live       int // which end of Conversation is; in two files, which end it is about

	other      *Conversation // its counterpart in the second file
	otherFrame int
}

func newReport(a *Analysis, o Options) *Report {
	r := &Report{Capture: a.Capture, Live: o.Live, Seed: o.Seed, recorded: o.Recorder != nil, blind: o.Compare == CompareNone, partialOK: o.AllowPartial, perConv: map[*Played]*spent{}, maskUsed: map[*Mask]bool{}}
	for _, l := range o.Live {
		r.transcript = r.transcript || l.App == nil && l.Behind == nil
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
	r.Normalised = add(r.Normalised, name)
}

// add counts a name, and keeps the names in order.
func add(all []Count, name string) []Count {
	for i := range all {
		if all[i].Name == name {
			all[i].N++
			return all
		}
	}
	all = append(all, Count{name, 1})
	slices.SortFunc(all, func(a, b Count) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func (r *Report) diverge(e *engine, d *Divergence) {
	d.At = e.sinceStart()
	if len(r.Divergences) == 0 && e.watcher != nil {
		d.explain(e)
	}
	r.Divergences = append(r.Divergences, d)
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
	r.RealTime = e.real
	r.lost(e)
	r.countQuiet(e)
	e.judgeFrames()
	e.keepTime()
	r.overtime(e)
	r.locate()
	r.unusedMasks()
	r.leaveUnjudged(e)
	if r.Capture.Cut != nil {
		r.note("%v", r.Capture.Cut)
	}
	if s := e.a.leftOut(); s != "" {
		r.note("not replayed, in no conversation: %s", s)
	}
	switch {
	case err != nil && !errors.Is(err, net.ErrClosed):
		r.Verdict, r.Err = HarnessFailed, err
	case len(r.Divergences) > 0:
		r.Verdict = Diverged
	case played == 0 || (len(r.Unplayable) > 0 || e.a.part()) && !r.partialOK || same < played:
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

// leaveUnjudged makes notes of what differs if nothing is to be compared.
func (r *Report) leaveUnjudged(e *engine) {
	if e.o.Compare != CompareNone {
		return
	}
	r.note("nothing was compared, only played")
	for _, d := range r.Divergences {
		r.note("%s: %s", d.direction(), d.Text)
	}
	r.Divergences = nil
}
