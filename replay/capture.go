package replay

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// MaxCaptureBytes bounds the frame bytes that [Load] keeps in memory.
const MaxCaptureBytes = 1 << 30

// MaxCaptureFrames bounds the frames that [Load] keeps, which take memory even where
// they have no bytes. Frames that are skipped are not kept.
const MaxCaptureFrames = 1 << 22

// MaxGap is the longest time between two frames that is taken for true; a stamp
// further ahead is a broken clock's, or a damaged file's.
const MaxGap = 30 * 24 * time.Hour

// maxBack is how far behind the latest frame so far a stamp may be to be taken for
// that of a frame that was written late: interfaces and processors have queues of
// their own. Further back, the clock was set.
const maxBack = time.Second

// maxSpan bounds the length of a capture, so that no sum of gaps overflows.
const maxSpan = 100 * 365 * 24 * time.Hour

// ErrTooLarge: the capture holds more than [MaxCaptureBytes] or [MaxCaptureFrames].
var ErrTooLarge = errors.New("capture too large to replay")

// Capture is a capture in memory.
type Capture struct {
	Name   string // as it was opened
	Format string // see [pcap.Reader.Format]
	Frames []*Frame
	// Backwards is how many frames are stamped earlier than one before them, Ahead
	// how many more than MaxGap later than the one before, Untimed how many have no
	// time; with the numbers of the first of them, 0 for none.
	Backwards, Ahead, Untimed                int
	FirstBackwards, FirstAhead, FirstUntimed int
	// Skipped says, by reason, which frames are not in Frames.
	Skipped []Skip
	// Blocks are the blocks of a pcapng file that are no packets and that nothing
	// was made of.
	Blocks []pcap.BlockCount
	// Cut is why the capture ends before its end, nil for a whole file.
	Cut error
	// Meta is what a recording of this program says of its run; nil for others.
	Meta *pcap.Meta

	short    int // frames that were skipped because they are captured too short
	copies   []*Frame
	clock    time.Time     // the latest stamp since the clock was last set
	clockAt  time.Duration // what that is in Frame.At
	goodFCS  int
	wrongFCS []*Frame
}

// Frame is one captured frame.
type Frame struct {
	Number int // as Wireshark shows it
	Time   time.Time
	// At is how long after the capture's first frame it came; it never
	// decreases: a frame without a time, or stamped earlier than its predecessor, or
	// more than MaxGap later, has the predecessor's. Where the clock was set, time
	// goes on from there.
	At       time.Duration
	LinkType int
	Data     []byte // as captured, without a frame check sequence
	OrigLen  int    // likewise, on the wire
	// Lost is true when a recording of this program says that the frame did not
	// reach its receiver unharmed.
	Lost bool
	// Copy is true for the copies that a recording of this program says arrived
	// there, beside the frame that was sent.
	Copy bool
	*pcap.Decoded
}

// Load reads the capture at path, "-" for standard input.
func Load(path string) (*Capture, error) {
	r, err := pcap.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return Read(r, path)
}

// Read reads all of r. A file that is cut is not an error: what precedes the
// cut is used, and Capture.Cut says so.
func Read(r *pcap.Reader, name string) (*Capture, error) {
	return readUpTo(r, name, MaxCaptureFrames, MaxCaptureBytes)
}

func readUpTo(r *pcap.Reader, name string, maxFrames, maxBytes int) (*Capture, error) {
	c := &Capture{Name: name, Format: r.Format()}
	if m, ok := r.Meta(); ok {
		c.Meta = &m
	}
	total := 0
	for {
		p, err := r.Next()
		if err != nil && err != io.EOF {
			if !isTruncated(err) || len(c.Frames) == 0 {
				return nil, err
			}
			c.Cut = err
		}
		if err != nil {
			c.Blocks = r.OtherBlocks()
			c.dropWrongFCS()
			c.insertCopies()
			return c, nil
		}
		if c.add(p) {
			total += len(p.Data)
		}
		switch {
		case total > maxBytes:
			return nil, fmt.Errorf("%s: frame %d: %w: more than %d bytes of frames; cut it into parts (editcap -c) or filter it first", name, p.Number, ErrTooLarge, maxBytes)
		case len(c.Frames)+len(c.copies) > maxFrames:
			return nil, fmt.Errorf("%s: frame %d: %w: more than %d frames; cut it into parts (editcap -c) or filter it first", name, p.Number, ErrTooLarge, maxFrames)
		}
	}
}

func isTruncated(err error) bool {
	var t *pcap.TruncatedError
	return errors.As(err, &t)
}

// add takes a packet, or skips it; it reports whether it was taken.
func (c *Capture) add(p *pcap.Packet) bool {
	data, length := p.Frame()
	f := &Frame{Number: p.Number, Time: p.Time, LinkType: p.LinkType, Data: data, OrigLen: length}
	copies, gap := 0, time.Duration(0)
	if len(p.Comments) > 0 {
		copies, gap = f.fate(p)
	}
	if reason := f.decode(p); reason != "" {
		c.skip(reason, p.Number)
		if strings.HasPrefix(reason, tooShort) {
			c.short++
		}
		return false
	}
	switch p.FCS() {
	case pcap.SumGood:
		c.goodFCS++
	case pcap.SumBad:
		c.wrongFCS = append(c.wrongFCS, f)
	}
	f.At = c.at(f)
	c.Frames = append(c.Frames, f)
	for k := 1; k <= copies; k++ {
		more := *f
		more.Copy, more.At = true, f.At+time.Duration(k)*gap
		c.copies = append(c.copies, &more)
	}
	return true
}

// tooShort begins the reason of a frame that is skipped because the capture has not
// enough of it.
const tooShort = "captured too short: "

// decode decodes the frame of a packet, or says why it cannot be used.
func (f *Frame) decode(p *pcap.Packet) string {
	if !pcap.Decodes(f.LinkType) {
		return pcap.LinkTypeName(f.LinkType) + " is not supported"
	}
	if e := p.LinkErrors(); e != "" {
		return "received with an error: " + e
	}
	f.Decoded = pcap.DecodeLink(f.LinkType, f.Data)
	switch {
	case f.Problem == "":
		return ""
	case len(f.Data) < f.OrigLen:
		return tooShort + f.Problem
	}
	return "damaged: " + f.Problem
}

// at tells when a frame came, and counts the stamps that cannot be right.
func (c *Capture) at(f *Frame) time.Duration {
	count := func(n, first *int) {
		if *n++; *first == 0 {
			*first = f.Number
		}
	}
	last := time.Duration(0)
	if n := len(c.Frames); n > 0 {
		last = c.Frames[n-1].At
	}
	if f.Time.IsZero() {
		count(&c.Untimed, &c.FirstUntimed)
		return last
	}
	if c.clock.IsZero() {
		c.clock, c.clockAt = f.Time, last
		return last
	}
	switch gap := f.Time.Sub(c.clock); {
	case gap < 0:
		count(&c.Backwards, &c.FirstBackwards)
		if gap < -maxBack {
			c.clock, c.clockAt = f.Time, last
		}
	case gap > MaxGap, last+gap > maxSpan:
		count(&c.Ahead, &c.FirstAhead)
		c.clock, c.clockAt = f.Time, last
	default:
		c.clock, c.clockAt = f.Time, c.clockAt+gap
		return c.clockAt
	}
	return last
}

// dropWrongFCS skips the frames whose frame check sequence is wrong: nobody took
// them. Where most are wrong, the capture was rewritten without them, and they say
// nothing.
func (c *Capture) dropWrongFCS() {
	wrong := c.wrongFCS
	c.wrongFCS = nil
	if len(wrong) == 0 || len(wrong) > c.goodFCS {
		return
	}
	drop := map[*Frame]bool{}
	for _, f := range wrong {
		drop[f] = true
		c.skip("wrong frame check sequence", f.Number)
	}
	c.Frames = slices.DeleteFunc(c.Frames, func(f *Frame) bool { return drop[f] })
}

// insertCopies puts the copies where they arrived.
func (c *Capture) insertCopies() {
	if len(c.copies) > 0 {
		c.Frames = append(c.Frames, c.copies...)
		slices.SortStableFunc(c.Frames, func(a, b *Frame) int { return cmp.Compare(a.At, b.At) })
		c.copies = nil
	}
}

// maxCopies bounds the copies of one datagram that are played.
const maxCopies = 100

// fate learns from a recording's comments whether the receiver got the frame,
// and how many copies of it, and undoes what a fault changed: the sender's bytes
// are what counts.
func (f *Frame) fate(p *pcap.Packet) (copies int, gap time.Duration) {
	fate, err := pcap.ParseFate(p.Comments)
	if err != nil {
		return 0, 0
	}
	f.Lost = len(fate.Lost) > 0
	for i := len(fate.Faults) - 1; i >= 0; i-- {
		x := fate.Faults[i]
		f.Lost = f.Lost || x.Kind == pcap.FaultDrop || x.Kind == pcap.FaultCorrupt || x.Kind == pcap.FaultTruncate
		if x.Kind == pcap.FaultDup && p.Direction == pcap.Outbound {
			// Arrivals stand in the file themselves, where there are some.
			copies, gap = min(copies+x.Copies, maxCopies), x.Gap
		}
		for j := len(x.Edits) - 1; j >= 0; j-- {
			e := x.Edits[j]
			end := e.Offset + len(e.New)
			if e.Offset < 0 || end > len(f.Data) || len(e.Old) != len(e.New) || !bytes.Equal(f.Data[e.Offset:end], e.New) {
				continue // as it was sent
			}
			f.Data = bytes.Clone(f.Data)
			copy(f.Data[e.Offset:], e.Old)
		}
	}
	return copies, gap
}

// start is when the clock of a replay starts, so that the first frame that has a
// time is played at the instant of its capture: what applications say of the date is
// then as in the capture. It is zero if the capture does not tell.
func (c *Capture) start() time.Time {
	for _, f := range c.Frames {
		if f.Time.IsZero() {
			continue
		}
		if f.Time.Year() < 1980 || f.Time.Year() > 2200 {
			break
		}
		return f.Time.Add(-f.At - headStart)
	}
	return time.Time{}
}

// packet returns the IP packet in the frame, without link header and padding.
func (f *Frame) packet() []byte {
	end := min(f.IP.Offset+f.IP.TotalLen, len(f.Data))
	return f.Data[f.IP.Offset:end]
}
