package replay

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Ratio is an exact positive number, Num/Den. The zero Ratio is "not given".
type Ratio struct{ Num, Den uint64 }

// Bounds of a [Ratio], so that schedules compute exactly in 128 bits.
const (
	maxNum = 1_000_000_000_000_000
	maxDen = 1_000_000_000
)

// ParseRatio reads a number as people write speeds and rates: 2, 0.5, 1/3, 2x.
// It is above 0, has at most 15 digits before a point and 9 behind it, and a
// denominator of at most 1,000,000,000.
func ParseRatio(text string) (Ratio, error) {
	wrong := fmt.Errorf("%q: want a number above 0, such as 2, 0.5 or 1/3", text)
	s := strings.TrimSuffix(text, "x")
	num, den := s, "1"
	if a, b, ok := strings.Cut(s, "/"); ok {
		num, den = a, b
	} else if whole, part, ok := strings.Cut(s, "."); ok {
		part = strings.TrimRight(part, "0")
		if len(part) > 9 || whole+part == "" {
			return Ratio{}, wrong
		}
		num, den = whole+part, "1"+strings.Repeat("0", len(part))
	}
	n, err := strconv.ParseUint(num, 10, 64)
	if err != nil {
		return Ratio{}, wrong
	}
	d, err := strconv.ParseUint(den, 10, 64)
	if err != nil || n == 0 || d == 0 {
		return Ratio{}, wrong
	}
	r := Ratio{n, d}.reduced()
	if r.Num > maxNum || r.Den > maxDen {
		return Ratio{}, fmt.Errorf("%q: want at most %d, and a denominator of at most %d", text, uint64(maxNum), uint64(maxDen))
	}
	return r, nil
}

func (r Ratio) reduced() Ratio {
	a, b := r.Num, r.Den
	for b != 0 {
		a, b = b, a%b
	}
	return Ratio{r.Num / a, r.Den / a}
}

// String writes the ratio as [ParseRatio] reads it: "2", "1/3".
func (r Ratio) String() string {
	if r.Den == 1 {
		return strconv.FormatUint(r.Num, 10)
	}
	return fmt.Sprintf("%d/%d", r.Num, r.Den)
}

func (r Ratio) given() bool { return r.Num|r.Den != 0 }

// Pace says when the frames of a capture are fed. At most one of Speed, PPS,
// Mbps and TopSpeed may be given; with none of them the time between frames is
// that of the capture.
//
// Each frame has an absolute deadline after the first frame, which is at 0. It is
// computed in integers from the beginning, so that nothing adds up to a drift.
// With k frames and b bits of frames sent before a frame, and t the time in the
// capture between the first frame and it, over all passes, in nanoseconds, rounded
// down:
//
//	Speed     t / Speed
//	PPS       k · 10⁹ / PPS
//	Mbps      b · 10³ / Mbps
//	TopSpeed  ⌊k / 64⌋ · 6,400
//
// What counts for Mbps are the bytes of the frames with their Ethernet headers,
// without preamble, FCS and gap, as in tcpreplay. TopSpeed is 10 million frames
// per second in bursts of 64: in virtual time only the machine limits how fast
// that passes, and frames that are all sent at one instant would all be in flight
// at once.
type Pace struct {
	Speed    Ratio // 2 is twice as fast as captured
	PPS      Ratio // frames per second
	Mbps     Ratio // 10⁶ bits of frames per second
	TopSpeed bool
	// MaxGap is the longest time between two frames; what exceeds it is taken out
	// of the schedule, so that later frames come so much earlier. 0: no limit.
	MaxGap time.Duration
}

// The burst of [Pace].TopSpeed, and the time from one to the next.
const (
	topSpeedBurst = 64
	topSpeedGap   = 6400 * time.Nanosecond
)

// ErrPace: a [Pace] that cannot be, or that would take longer than [MaxFeed].
// Compare with [errors.Is].
var ErrPace = errors.New("no such pace")

// MaxFeed is the longest time that a feed may take, in virtual time.
const MaxFeed = 100 * 365 * 24 * time.Hour

func (p Pace) check() error {
	given := 0
	for _, is := range []bool{p.Speed.given(), p.PPS.given(), p.Mbps.given(), p.TopSpeed} {
		if is {
			given++
		}
	}
	if given > 1 {
		return fmt.Errorf("%w: speed, frames per second, Mbit per second and top speed exclude each other", ErrPace)
	}
	for _, r := range []Ratio{p.Speed, p.PPS, p.Mbps} {
		if r.given() && (r.Num == 0 || r.Den == 0 || r.Num > maxNum || r.Den > maxDen) {
			return fmt.Errorf("%w: %d/%d", ErrPace, r.Num, r.Den)
		}
	}
	if p.MaxGap < 0 {
		return fmt.Errorf("%w: a longest gap of %v", ErrPace, p.MaxGap)
	}
	return nil
}

// schedule computes deadlines.
type schedule struct {
	pace   Pace
	frames uint64        // sent so far
	bits   uint64        // of these
	last   time.Duration // the deadline of the last frame sent
	cut    time.Duration // taken out of the schedule by MaxGap
	asap   bool          // in real time, top speed needs no deadlines
}

// raw is the deadline of the next frame, of which the capture has the time at,
// without regard to MaxGap. ok is false beyond [MaxFeed].
func (s *schedule) raw(at time.Duration) (due time.Duration, ok bool) {
	switch p := &s.pace; {
	case p.PPS.given():
		return scale(s.frames, uint64(time.Second)*p.PPS.Den, p.PPS.Num)
	case p.Mbps.given():
		return scale(s.bits, 1000*p.Mbps.Den, p.Mbps.Num)
	case s.asap:
		return 0, true
	case p.TopSpeed:
		return scale(s.frames/topSpeedBurst, uint64(topSpeedGap), 1)
	case p.Speed.given():
		return scale(uint64(at), p.Speed.Den, p.Speed.Num)
	}
	return at, at <= MaxFeed
}

// due is the deadline of the next frame. It changes nothing: if that frame cannot
// be sent, another takes its place.
func (s *schedule) due(at time.Duration) (due time.Duration, ok bool) {
	due, ok = s.raw(at)
	due -= s.cut
	if gap := s.pace.MaxGap; gap > 0 && s.frames > 0 {
		due = min(due, s.last+gap)
	}
	return due, ok
}

// sent notes that the frame for which due gave a deadline has been sent.
func (s *schedule) sent(at, due time.Duration, size int) {
	if s.pace.MaxGap > 0 {
		raw, _ := s.raw(at)
		s.last, s.cut = due, raw-due
	}
	s.frames++
	s.bits += uint64(size) * 8
}

// scale is ⌊n · mul / div⌋ nanoseconds. ok is false beyond [MaxFeed].
func scale(n, mul, div uint64) (d time.Duration, ok bool) {
	hi, lo := bits.Mul64(n, mul)
	if hi >= div {
		return MaxFeed, false
	}
	q, _ := bits.Div64(hi, lo, div)
	if q > uint64(MaxFeed) || q > math.MaxInt64 {
		return MaxFeed, false
	}
	return time.Duration(q), true
}
