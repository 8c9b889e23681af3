package pcap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
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
	BytesDiffer // data or original length
	FateDiffers // our comments
)

// String returns a word or two: "time", "missing frame".
func (k DifferenceKind) String() string {
	return [...]string{"missing frame", "extra frame", "time", "interface", "direction", "bytes", "fate"}[k]
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

// Comparison is the result of [Compare].
type Comparison struct {
	// Frames is how many frames are equal, from the first.
	Frames int
	// Difference is nil if there is none.
	Difference *Difference
	// Cut is set if the expected recording is cut, and there is no difference as
	// far as it goes.
	Cut *TruncatedError
}

// Equal reports whether the recordings are whole and the same.
func (c *Comparison) Equal() bool { return c.Difference == nil && c.Cut == nil }

// Compare compares two recordings of what should be the same run, in order:
// times, interfaces (names and descriptions), directions, bytes, our comments,
// and the number of frames. It ignores what other programs change when they save
// a recording: section headers, the comments of others, statistics, packet ids,
// the numbers of interfaces. Both readers must be at their start.
//
// The error is one of reading, of either; of the actual recording also a
// [*TruncatedError], of the expected one that is in the result.
func Compare(expected, actual *Reader) (*Comparison, error) {
	c := &Comparison{}
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
		d := difference(expected, actual, e, a)
		if d != nil {
			c.Difference = d
			return c, nil
		}
		c.Frames++
	}
}

// difference compares two frames, one of which may be nil.
func difference(expected, actual *Reader, e, a *Packet) *Difference {
	d := &Difference{Expected: e, Actual: a}
	if e != nil {
		d.Frame = e.Number
		d.ExpectedInterface = &expected.src.interfaces()[e.Interface]
	}
	if a != nil {
		d.ActualInterface = &actual.src.interfaces()[a.Interface]
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
	case e.Direction != a.Direction:
		d.Kind = DirectionDiffers
		d.Detail = fmt.Sprintf("expected %v, is %v", e.Direction, a.Direction)
	case !bytes.Equal(e.Data, a.Data):
		d.Kind = BytesDiffer
		d.Detail = firstByte(e.Data, a.Data)
	case e.OrigLen != a.OrigLen:
		d.Kind = BytesDiffer
		d.Detail = fmt.Sprintf("expected an original length of %d bytes, is %d", e.OrigLen, a.OrigLen)
	default:
		ours, theirs := fateComments(e), fateComments(a)
		if slices.Equal(ours, theirs) {
			return nil
		}
		d.Kind = FateDiffers
		d.Detail = firstComment(ours, theirs)
	}
	return d
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

// firstByte says where two frames part.
func firstByte(e, a []byte) string {
	n := min(len(e), len(a))
	for i := range n {
		if e[i] != a[i] {
			s := fmt.Sprintf("at offset %d expected %02x, is %02x", i, e[i], a[i])
			if len(e) != len(a) {
				s += fmt.Sprintf("; expected %d bytes, are %d", len(e), len(a))
			}
			return s
		}
	}
	return fmt.Sprintf("expected %d bytes, are %d, equal as far as both go", len(e), len(a))
}

// firstComment says in which comment two frames part.
func firstComment(e, a []string) string {
	at := func(s []string, i int) string {
		if i < len(s) {
			return clip(s[i])
		}
		return "none"
	}
	for i := 0; ; i++ {
		if i >= len(e) || i >= len(a) || e[i] != a[i] {
			return fmt.Sprintf("expected %s, is %s", at(e, i), at(a, i))
		}
	}
}
