package pcap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// DifferenceKind says in what two recordings differ.
type DifferenceKind uint8

// The kinds of differences, in the order in which a frame is checked for them.
const (
	Missing          DifferenceKind = iota // the actual recording has no more frames
	Extra                                  // the expected recording has no more frames
	TimeDiffers                            // the frame was sent at another time
	InterfaceDiffers                       // on another port, or one with another cable
	DirectionDiffers
	BytesDiffer   // data or original length
	FateDiffers   // our comments
	OptionsDiffer // the flags word, the packet id, or what else stands in the packet block
)

// String returns a word or two: "time", "missing frame".
func (k DifferenceKind) String() string {
	return [...]string{"missing frame", "extra frame", "time", "interface", "direction", "bytes", "fate", "options"}[k]
}

// Difference is the first difference between two recordings.
type Difference struct {
	Kind DifferenceKind
	// Frame is the number of the frame: the expected one's, or the actual one's
	// where there is no expected.
	Frame int
	// Expected is nil for an Extra frame, Actual for a Missing one.
	Expected, Actual                   *Packet
	ExpectedInterface, ActualInterface *Interface
	// Detail says what differs in a line: both times, both names, the offset of
	// the first byte, both comments.
	Detail string
}

// String is one line: frame, kind, detail.
func (d *Difference) String() string {
	return fmt.Sprintf("frame %d: %v: %s", d.Frame, d.Kind, d.Detail)
}

// At is when the frame was sent: the earlier one, if there are two times.
func (d *Difference) At() time.Time {
	switch {
	case d.Actual == nil:
		return d.Expected.Time
	case d.Expected == nil || d.Actual.Time.Before(d.Expected.Time):
		return d.Actual.Time
	}
	return d.Expected.Time
}

// Comparison is the result of [Compare].
type Comparison struct {
	// Frames is how many frames are equal, from the first.
	Frames int
	// Difference is nil if there is none.
	Difference *Difference
	// Cut is set if the expected recording is cut, and there is no difference as
	// far as it goes.
	Cut *TruncatedError
	// CutShort is why the expected recording's run was cut short (see
	// [Statistics]), or that its end is missing, printable, if all of its frames are
	// equal and the actual recording goes on. Such a recording ends where a run that is
	// not cut does not, so that is no difference.
	CutShort string
	// Run says in a line what the recordings say differently of their runs: the
	// first of seed, rules and scenario (not versions), or "". Frames decide
	// whether that matters: it is no difference.
	Run string
}

// Equal reports whether the recordings are whole and the same.
func (c *Comparison) Equal() bool {
	return c.Difference == nil && c.Cut == nil && c.CutShort == ""
}

// Compare compares two recordings of what should be the same run, in order:
// times, interfaces (names, descriptions and link types), directions, bytes and
// original lengths, our comments, flags words and packet ids, and the number of
// frames. Any change of a byte in a packet block is found, and its frame named.
//
// It ignores what other programs change when they save a recording: section
// headers, the comments of others, statistics (but see CutShort: where they are
// gone, so is the reason), the numbers of interfaces. Both readers must be at
// their start.
//
// The error is one of reading, of either; of the actual recording also a
// [*TruncatedError], of the expected one that is in the result.
func Compare(expected, actual *Reader) (*Comparison, error) {
	c := &Comparison{Run: runDiffers(expected, actual)}
	for {
		e, eerr := expected.Next()
		if eerr != nil && eerr != io.EOF {
			if errors.As(eerr, &c.Cut) {
				return c, nil
			}
			return c, eerr
		}
		a, aerr := actual.Next()
		if aerr != nil && aerr != io.EOF {
			return c, aerr
		}
		if e == nil && a == nil {
			return c, nil
		}
		if e == nil {
			if c.CutShort = endsEarly(expected); c.CutShort != "" {
				return c, nil
			}
		}
		d := difference(expected, actual, e, a)
		if d != nil {
			c.Difference = d
			return c, nil
		}
		c.Frames++
	}
}

// endsEarly is why a recording that has been read ends before its time, printable, as far as
// can be seen, or "". Every recording that was finished ends with statistics.
func endsEarly(r *Reader) string {
	if why := r.CutShort(); why != "" {
		return Printable(why)
	}
	if slices.ContainsFunc(r.src.interfaces(), func(i *Interface) bool { return i.Stats != nil }) {
		return ""
	}
	return "no statistics follow its last frame: it was never finished, or another program saved it"
}

// difference compares two frames, one of which may be nil.
func difference(expected, actual *Reader, e, a *Packet) *Difference {
	d := &Difference{Expected: e, Actual: a}
	if e != nil {
		d.Frame = e.Number
		d.ExpectedInterface = expected.src.interfaces()[e.Interface]
	}
	if a != nil {
		d.ActualInterface = actual.src.interfaces()[a.Interface]
	}
	switch {
	case a == nil:
		d.Kind = Missing
		d.Detail = fmt.Sprintf("%d bytes on %s at %s are missing, the actual recording ends before",
			len(e.Data), escape(d.ExpectedInterface.Name), formatTime(e))
	case e == nil:
		d.Kind, d.Frame = Extra, a.Number
		d.Detail = fmt.Sprintf("%d bytes on %s at %s are not in the expected recording, which ends before",
			len(a.Data), escape(d.ActualInterface.Name), formatTime(a))
	case !e.Time.Equal(a.Time):
		d.Kind = TimeDiffers
		d.Detail = fmt.Sprintf("expected %s, is %s (%v)", formatTime(e), formatTime(a), a.Time.Sub(e.Time))
	case d.ExpectedInterface.Name != d.ActualInterface.Name:
		d.Kind = InterfaceDiffers
		d.Detail = fmt.Sprintf("expected %s, is %s", escape(d.ExpectedInterface.Name), escape(d.ActualInterface.Name))
	case d.ExpectedInterface.Description != d.ActualInterface.Description:
		d.Kind = InterfaceDiffers
		d.Detail = fmt.Sprintf("%s: expected %q, is %q", escape(d.ExpectedInterface.Name),
			d.ExpectedInterface.Description, d.ActualInterface.Description)
	case e.LinkType != a.LinkType:
		d.Kind = InterfaceDiffers
		d.Detail = fmt.Sprintf("%s: expected link type %d, is %d", escape(d.ExpectedInterface.Name), e.LinkType, a.LinkType)
	case e.Direction != a.Direction:
		d.Kind = DirectionDiffers
		d.Detail = fmt.Sprintf("expected %v, is %v", e.Direction, a.Direction)
	case !bytes.Equal(e.Data, a.Data):
		d.Kind = BytesDiffer
		d.Detail = firstByte(e, a)
	case e.wireLen != a.wireLen:
		d.Kind = BytesDiffer
		d.Detail = fmt.Sprintf("expected an original length of %d bytes, is %d", e.wireLen, a.wireLen)
	default:
		if ours, theirs := fateComments(e), fateComments(a); !slices.Equal(ours, theirs) {
			d.Kind = FateDiffers
			d.Detail = firstComment(ours, theirs)
			return d
		}
		if d.Detail = optionsDiffer(e, a); d.Detail == "" {
			return nil
		}
		d.Kind = OptionsDiffer
	}
	return d
}

// optionsDiffer says in what two packet blocks differ that are equal but for
// their options, or "".
func optionsDiffer(e, a *Packet) string {
	switch {
	case e.Flags != a.Flags:
		return fmt.Sprintf("expected a flags word of %08x, is %08x", e.Flags, a.Flags)
	case e.ID != a.ID:
		return fmt.Sprintf("expected packet id %d, is %d", e.ID, a.ID)
	case e.stray && !a.stray:
		return "the expected frame's block holds bytes without a meaning: it is damaged"
	case a.stray && !e.stray:
		return "the actual frame's block holds bytes without a meaning: it is damaged"
	}
	return ""
}

// runDiffers compares what two recordings say of their runs, if both do.
func runDiffers(expected, actual *Reader) string {
	e, ok := expected.Meta()
	a, also := actual.Meta()
	if !ok || !also {
		return ""
	}
	for i := range max(len(e.Rules), len(a.Rules)) {
		if i >= len(e.Rules) || i >= len(a.Rules) || e.Rules[i] != a.Rules[i] {
			return fmt.Sprintf("rule %d: expected %s, is %s", i+1, at(e.Rules, i), at(a.Rules, i))
		}
	}
	switch {
	case e.Seed != a.Seed:
		return fmt.Sprintf("seed: expected %d, is %d", e.Seed, a.Seed)
	case e.Switch != a.Switch:
		return fmt.Sprintf("switch: expected %s, is %s", clip(e.Switch), clip(a.Switch))
	case e.Scenario == a.Scenario:
		return ""
	}
	x, y := strings.Split(e.Scenario, "\n"), strings.Split(a.Scenario, "\n")
	for i := 0; ; i++ {
		if i >= len(x) || i >= len(y) || x[i] != y[i] {
			return fmt.Sprintf("scenario, line %d: expected %s, is %s", i+1, at(x, i), at(y, i))
		}
	}
}

// at is element i of s, quoted and not too long, or "none".
func at(s []string, i int) string {
	if i < len(s) {
		return clip(s[i])
	}
	return "none"
}

// formatTime is a packet's time to the nanosecond, UTC.
func formatTime(p *Packet) string { return p.Time.Format("2006-01-02T15:04:05.000000000Z") }

// fateComments returns the packet's comments that are ours, in their order.
func fateComments(p *Packet) []string {
	var ours []string
	for _, c := range p.Comments {
		if isFateComment(c) {
			ours = append(ours, c)
		}
	}
	return ours
}

// firstByte says where the bytes of two frames part.
func firstByte(e, a *Packet) string {
	n := min(len(e.Data), len(a.Data))
	for i := range n {
		if e.Data[i] != a.Data[i] {
			s := fmt.Sprintf("at offset %d expected %02x, is %02x", i, e.Data[i], a.Data[i])
			if len(e.Data) != len(a.Data) {
				s += fmt.Sprintf("; expected %d bytes, are %d", len(e.Data), len(a.Data))
			}
			return s
		}
	}
	short, whole := e, "the expected frame"
	if len(a.Data) < len(e.Data) {
		short, whole = a, "the actual frame"
	}
	if e.wireLen == a.wireLen && short.wireLen > len(short.Data) {
		return fmt.Sprintf("%s was captured short: %d of %d bytes, which are equal", whole, len(short.Data), short.wireLen)
	}
	return fmt.Sprintf("expected %d bytes, are %d, equal as far as both go", len(e.Data), len(a.Data))
}

// firstComment says in which comment two frames part.
func firstComment(e, a []string) string {
	for i := 0; ; i++ {
		if i >= len(e) || i >= len(a) || e[i] != a[i] {
			return fmt.Sprintf("expected %s, is %s", at(e, i), at(a, i))
		}
	}
}
