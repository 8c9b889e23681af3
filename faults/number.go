package faults

import (
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// maxNumber bounds every count of frames in a rule, and both parts of a ratio.
const maxNumber = 100_000_000_000_000 // 10^14

// maxGap bounds the time between copies.
const maxGap = time.Hour

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// whole reads t as a whole number from least to most.
func (p *parser) whole(t token, what string, least, most uint64) (uint64, error) {
	if strings.Trim(t.text, "0123456789") != "" {
		return 0, p.errorf(t, "%s is a whole number, in digits", what)
	}
	n, err := strconv.ParseUint(t.text, 10, 64)
	if err != nil || n > most {
		return 0, p.errorf(t, "%s is at most %d", what, most)
	}
	if n < least {
		return 0, p.errorf(t, "%s is at least %d", what, least)
	}
	return n, nil
}

// decimal reads the number at the start of s: its digits as one whole number,
// how many of them stood after the point, and what follows. ok is false if s
// does not begin with a number, or with one of more than 14 digits or places.
func decimal(s string) (digits uint64, places int, unit string, ok bool) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	number, rest := s[:i], s[i:]
	if number == "" {
		return 0, 0, "", false
	}
	if strings.HasPrefix(rest, ".") {
		i = 1
		for i < len(rest) && isDigit(rest[i]) {
			i++
		}
		if i == 1 {
			return 0, 0, "", false
		}
		places = i - 1
		number, rest = number+rest[1:i], rest[i:]
	}
	digits, err := strconv.ParseUint(number, 10, 64)
	if err != nil || digits > maxNumber || places > 14 {
		return 0, 0, "", false
	}
	return digits, places, rest, true
}

// units of time, largest first: a duration is printed in the largest one of
// which it is a whole number.
var units = []struct {
	name  string
	nanos time.Duration
}{
	{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second},
	{"ms", time.Millisecond}, {"us", time.Microsecond}, {"ns", time.Nanosecond},
	{"\u00b5s", time.Microsecond}, {"\u03bcs", time.Microsecond}, // read, not printed: micro sign and Greek mu
}

// duration reads t as a time from 0 to most: one number, one unit. Unlike
// [time.ParseDuration] it is exact, and refuses less than a nanosecond.
func (p *parser) duration(t token, what string, most time.Duration) (time.Duration, error) {
	if strings.HasPrefix(t.text, "-") {
		return 0, p.errorf(t, "%s cannot be negative", what)
	}
	digits, places, unit, ok := decimal(t.text)
	if !ok {
		return 0, p.errorf(t, "%s is a number of at most 14 digits with a unit, such as 10ms", what)
	}
	if unit == "" {
		return 0, p.errorf(t, "%s needs a unit: %sns, %sus, %sms or %ss", what, t.text, t.text, t.text, t.text)
	}
	for _, u := range units {
		if u.name != unit {
			continue
		}
		power := uint64(1)
		for range places {
			power *= 10
		}
		hi, lo := bits.Mul64(digits, uint64(u.nanos))
		if hi >= power {
			return 0, p.errorf(t, "%s is at most %s", what, formatDuration(most))
		}
		nanos, rest := bits.Div64(hi, lo, power)
		if nanos > uint64(most) {
			return 0, p.errorf(t, "%s is at most %s", what, formatDuration(most))
		}
		if rest != 0 {
			return 0, p.errorf(t, "%s is a whole number of nanoseconds", what)
		}
		return time.Duration(nanos), nil
	}
	return 0, p.errorf(t.part(len(t.text)-len(unit), len(t.text)), "not a unit of time; the units are ns, us, ms, s, m and h")
}

// formatDuration writes d in its largest whole unit, as duration reads it.
func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	for _, u := range units {
		if d%u.nanos == 0 {
			return strconv.FormatInt(int64(d/u.nanos), 10) + u.name
		}
	}
	panic("unreachable: every duration is a whole number of nanoseconds")
}

// sizes are the units of bytes.
var sizes = []struct {
	name  string
	bytes uint64
}{
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
}

// scaled reads t as a number with one of the units, exactly.
// most is its bound, and how that is written.
func (p *parser) scaled(t token, what, example, units string, most uint64, bound string, scale func(unit string) (uint64, bool)) (uint64, error) {
	digits, places, unit, ok := decimal(t.text)
	switch {
	case strings.HasPrefix(t.text, "-"):
		return 0, p.errorf(t, "%s cannot be negative", what)
	case !ok:
		return 0, p.errorf(t, "%s is a number of at most 14 digits with a unit, such as %s", what, example)
	case unit == "":
		return 0, p.errorf(t, "%s needs a unit: %s", what, units)
	}
	factor, ok := scale(unit)
	if !ok {
		return 0, p.errorf(t.part(len(t.text)-len(unit), len(t.text)), "not a unit here; the units are %s", units)
	}
	power := uint64(1)
	for range places {
		power *= 10
	}
	hi, lo := bits.Mul64(digits, factor)
	if hi >= power {
		return 0, p.errorf(t, "%s is at most %s", what, bound)
	}
	n, rest := bits.Div64(hi, lo, power)
	if n > most {
		return 0, p.errorf(t, "%s is at most %s", what, bound)
	}
	if rest != 0 {
		return 0, p.errorf(t, "%s is a whole number", what)
	}
	return n, nil
}

// size reads t as a number of bytes.
func (p *parser) size(t token, what string, most uint64) (uint64, error) {
	return p.scaled(t, what, "16kB", "B, kB, MB, GB, KiB, MiB and GiB", most, formatSize(most), func(unit string) (uint64, bool) {
		for _, u := range sizes {
			if u.name == unit {
				return u.bytes, true
			}
		}
		return 0, false
	})
}

func formatSize(n uint64) string { return formatScaled(n, "B", "kB", "MB", "GB") }

// formatScaled writes n in the largest of units, each a thousand times the one
// before, of which it is a whole number.
func formatScaled(n uint64, units ...string) string {
	i := 0
	for n > 0 && n%1000 == 0 && i < len(units)-1 {
		n, i = n/1000, i+1
	}
	return strconv.FormatUint(n, 10) + units[i]
}
