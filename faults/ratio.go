package faults

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// ratio is a probability, exactly: num/den in lowest terms, 0 <= num <= den,
// den <= maxNumber.
type ratio struct{ num, den uint64 }

func (r ratio) isOne() bool { return r.num == r.den }

// threshold returns num·2^64/den rounded down: of the 2^64 values of a draw, so
// many are hits. For a ratio of 1, which does not fit, it returns the largest
// value there is.
func (r ratio) threshold() uint64 {
	if r.num >= r.den {
		return ^uint64(0)
	}
	quo, _ := bits.Div64(r.num, 0, r.den)
	return quo
}

// maxPlaces is how many digits after the point a percentage is printed with at
// most; what needs more is printed as a fraction.
const maxPlaces = 6

// String writes the ratio as a percentage where that takes few digits, else as
// a fraction. Equal ratios have equal strings.
func (r ratio) String() string {
	scale := uint64(100)
	for places := 0; places <= maxPlaces; places, scale = places+1, scale*10 {
		if scale%r.den != 0 {
			continue
		}
		percent := r.num * (scale / r.den) // at most scale, since num <= den
		s := strconv.FormatUint(percent/(scale/100), 10)
		if places > 0 {
			s += fmt.Sprintf(".%0*d", places, percent%(scale/100))
		}
		return s + "%"
	}
	return strconv.FormatUint(r.num, 10) + "/" + strconv.FormatUint(r.den, 10)
}

// lowest returns num/den in lowest terms. den is not 0.
func lowest(num, den uint64) ratio {
	a, b := num, den
	for b != 0 {
		a, b = b, a%b
	}
	return ratio{num / a, den / a}
}

// ratio reads t as a probability: 2%, 0.5‰, 1/50.
func (p *parser) ratio(t token) (ratio, error) {
	none := ratio{0, 1}
	if numText, denText, isFraction := strings.Cut(t.text, "/"); isFraction {
		if numText == "" || denText == "" {
			return none, p.errorf(t, "a ratio is two whole numbers, such as 1/50")
		}
		num, err := p.whole(t.part(0, len(numText)), "the upper number of a ratio", 0, maxNumber)
		if err != nil {
			return none, err
		}
		den, err := p.whole(t.part(len(numText)+1, len(t.text)), "the lower number of a ratio", 1, maxNumber)
		if err != nil {
			return none, err
		}
		if num > den {
			return none, p.errorf(t, "a probability is at most 1")
		}
		return lowest(num, den), nil
	}

	if strings.HasPrefix(t.text, "-") {
		return none, p.errorf(t, "a probability cannot be negative")
	}
	if strings.HasPrefix(t.text, ".") {
		return none, p.errorf(t, "a number begins with a digit: 0%s", t.text)
	}
	digits, places, unit, ok := decimal(t.text)
	if !ok {
		return none, p.errorf(t, "a probability is a number of at most 14 digits and a unit: 2%%, 0.5‰; or a ratio: 1/50")
	}
	den := uint64(0)
	switch unit {
	case "%":
		den = 100
	case "‰":
		den = 1000
	case "":
		if places == 0 {
			return none, p.errorf(t, `a probability needs a unit (%s%%) or is a ratio (1/%s); single frames are chosen by "nth %s"`, t.text, t.text, t.text)
		}
		return none, p.errorf(t, "a probability needs a unit: %s%% or %s‰; or is a ratio such as 1/50", t.text, t.text)
	default:
		return none, p.errorf(t.part(len(t.text)-len(unit), len(t.text)), "not a unit of probability; the units are %% and ‰")
	}
	for ; places > 0; places-- {
		if den *= 10; den > maxNumber {
			return none, p.errorf(t, "too many digits after the point: at most 12 before %%, 11 before ‰")
		}
	}
	if digits > den {
		return none, p.errorf(t, "a probability is at most 100%%")
	}
	return lowest(digits, den), nil
}
