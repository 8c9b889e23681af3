package replay

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// MaxCaptureBytes bounds the frame bytes that [Load] keeps in memory.
const MaxCaptureBytes = 1 << 30

// MaxGap is the longest time between two frames that is taken for true; a stamp
// further ahead is a broken clock's, or a damaged file's.
const MaxGap = 30 * 24 * time.Hour

// ErrTooLarge: the capture holds more than [MaxCaptureBytes].
var ErrTooLarge = errors.New("capture too large to replay")

// Capture is a capture in memory.
type Capture struct {
	Name   string // as it was opened
	Frames []*Frame
	// Backwards is how many frames are stamped earlier than one before them, Ahead
	// how many more than MaxGap later than the one before.
	Backwards, Ahead int
	// Skipped says, by reason, which frames are not in Frames.
	Skipped []Skip
	// Cut is why the capture ends before its end, nil for a whole file.
	Cut error
	// Meta is what a recording of this program says of its run; nil for others.
	Meta *pcap.Meta

	copies []*Frame
}

// Frame is one captured frame.
type Frame struct {
	Number int // as Wireshark shows it
	Time   time.Time
	// At is how long after the capture's first frame it came; it never
	// decreases: a frame stamped earlier than its predecessor, or more than
	// MaxGap later, has the predecessor's.
	At       time.Duration
	LinkType int
	Data     []byte
	OrigLen  int
	// Lost is true when a recording of this program says that the frame did not
	// reach its receiver unharmed.
	Lost bool
	// Copy is true for the copies that a recording of this program says arrived
	// there, beside the frame that was sent.
	Copy bool
	*pcap.Decoded
}

// Skip counts frames that could not be used.
type Skip struct {
	Reason string
	Frames int
	First  int // number of the first of them
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
	c := &Capture{Name: name}
	if m, ok := r.Meta(); ok {
		c.Meta = &m
	}
	total := 0
	for {
		p, err := r.Next()
		if err == io.EOF {
			c.insertCopies()
			return c, nil
		}
		if err != nil {
			if isTruncated(err) && len(c.Frames) > 0 {
				c.Cut = err
				c.insertCopies()
				return c, nil
			}
			return nil, err
		}
		if total += len(p.Data); total > MaxCaptureBytes {
			return nil, fmt.Errorf("%s: frame %d: %w: more than %d bytes of frames", name, p.Number, ErrTooLarge, MaxCaptureBytes)
		}
		c.add(p)
	}
}

func isTruncated(err error) bool {
	var t *pcap.TruncatedError
	return errors.As(err, &t)
}

func (c *Capture) add(p *pcap.Packet) {
	switch p.LinkType {
	case pcap.LinkEthernet, pcap.LinkRaw, pcap.LinkIPv4, pcap.LinkIPv6, pcap.LinkNull, pcap.LinkLoop, pcap.LinkSLL, pcap.LinkSLL2:
	default:
		c.skip(fmt.Sprintf("link type %d is not supported", p.LinkType), p.Number)
		return
	}
	f := &Frame{Number: p.Number, Time: p.Time, LinkType: p.LinkType, Data: p.Data, OrigLen: p.OrigLen}
	copies, gap := 0, time.Duration(0)
	if len(p.Comments) > 0 {
		copies, gap = f.fate(p)
	}
	f.Decoded = pcap.DecodeLink(p.LinkType, f.Data)
	if f.Problem != "" {
		c.skip("damaged: "+f.Problem, p.Number)
		return
	}
	if n := len(c.Frames); n > 0 {
		f.At, f.Time = c.Frames[n-1].At, p.Time
		switch at := p.Time.Sub(c.Frames[0].Time); {
		case p.Time.IsZero() || c.Frames[0].Time.IsZero():
		case at < f.At:
			c.Backwards++
		case at-f.At > MaxGap:
			c.Ahead++
		default:
			f.At = at
		}
	}
	c.Frames = append(c.Frames, f)
	for k := 1; k <= copies; k++ {
		more := *f
		more.Copy, more.At = true, f.At+time.Duration(k)*gap
		c.copies = append(c.copies, &more)
	}
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

// skip counts a frame that is not used.
func (c *Capture) skip(reason string, number int) {
	for i := range c.Skipped {
		if c.Skipped[i].Reason == reason {
			c.Skipped[i].Frames++
			return
		}
	}
	c.Skipped = append(c.Skipped, Skip{reason, 1, number})
}

// start is when the clock of a replay starts, so that the first frame is played
// at the instant of its capture: what applications say of the date is then as in
// the capture. It is zero if the capture does not tell.
func (c *Capture) start() time.Time {
	if len(c.Frames) == 0 || c.Frames[0].Time.Year() < 1980 || c.Frames[0].Time.Year() > 2200 {
		return time.Time{}
	}
	return c.Frames[0].Time.Add(-headStart)
}

// packet returns the IP packet in the frame, without link header and padding.
func (f *Frame) packet() []byte {
	end := min(f.IP.Offset+f.IP.TotalLen, len(f.Data))
	return f.Data[f.IP.Offset:end]
}
