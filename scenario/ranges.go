package scenario

import (
	"fmt"
	"math"
	"strings"
)

// Range is what a value is expected to lie in, its ends included. In the file:
//
//	3   1..200   >=1   >0   <=5   <5
type Range[T ~uint64 | ~int64] struct {
	Min, Max T // Max of a range without an upper end is the type's largest value
}

// The ranges of expectations.
type (
	CountRange    = Range[Number]
	SizeRange     = Range[Size]
	DurationRange = Range[Duration]
)

// Contains reports whether v lies in the range.
func (r Range[T]) Contains(v T) bool { return r.Min <= v && v <= r.Max }

// largest is the largest value of the types that ranges are made of.
func largest[T ~uint64 | ~int64]() T {
	if all := T(0) - 1; all > 0 {
		return all // unsigned
	}
	var most int64 = math.MaxInt64
	return T(most)
}

// String writes the range as the file does.
func (r Range[T]) String() string {
	lo, hi := fmt.Sprint(r.Min), fmt.Sprint(r.Max)
	switch {
	case r.Min == r.Max:
		return lo
	case r.Max == largest[T]():
		return ">=" + lo
	case r.Min == 0:
		return "<=" + hi
	}
	return lo + ".." + hi
}

// parseRange reads a range of values that parse reads.
func parseRange[T ~uint64 | ~int64](text string, parse func(string) (T, error)) (r Range[T], err error) {
	r.Max = largest[T]()
	if lo, hi, ok := strings.Cut(text, ".."); ok {
		if r.Min, err = parse(lo); err == nil {
			r.Max, err = parse(hi)
		}
		if err == nil && r.Min > r.Max {
			err = fmt.Errorf("the lower end of %s is above the upper", text)
		}
		return r, err
	}
	// Longer operators first.
	for _, op := range []string{">=", "<=", ">", "<"} {
		rest, ok := strings.CutPrefix(text, op)
		if !ok {
			continue
		}
		v, err := parse(strings.TrimSpace(rest))
		switch {
		case err != nil:
			return r, err
		case op == ">" && v == largest[T](), op == "<" && v == 0:
			return r, fmt.Errorf("no value is %s", text)
		}
		switch op {
		case ">=":
			r.Min = v
		case ">":
			r.Min = v + 1
		case "<=":
			r.Max = v
		case "<":
			r.Max = v - 1
		}
		return r, nil
	}
	r.Min, err = parse(text)
	r.Max = r.Min
	if err != nil {
		err = fmt.Errorf("%w; or a range such as 1..200, >=1, <5", err)
	}
	return r, err
}
