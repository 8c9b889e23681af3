package scenario

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Values with a unit. Each type's String is what the file holds, and its parse
// function reads that back exactly.
type (
	// Number is a whole number.
	Number uint64
	// Duration is a time: 20ms, 1m30s.
	Duration time.Duration
	// Rate is in bits per second: 10mbit, 64kbit.
	Rate int64
	// Queue is a length in frames: 64p.
	Queue int64
	// Size is in bytes: 1MB is 1,000,000 of them, 1MiB is 1,048,576.
	Size int64
	// Instant is a point in time, printed in UTC: 2026-01-01T00:00:00Z.
	Instant struct{ time.Time }
)

// unit is a word and what it stands for.
type unit struct {
	word  string
	value int64
}

var (
	rateUnits = []unit{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}
	sizeUnits = []unit{{"GB", 1e9}, {"GiB", 1 << 30}, {"MB", 1e6}, {"MiB", 1 << 20}, {"kB", 1e3}, {"KiB", 1 << 10}, {"B", 1}}
)

// withUnit reads a decimal number followed by one of the units, exactly.
func withUnit(text, what string, units []unit) (int64, error) {
	n := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if n < 0 {
		return 0, fmt.Errorf("%s needs a unit: %s", what, listUnits(text, units))
	}
	number, word := text[:n], text[n:]
	if number == "" || strings.Count(number, ".") > 1 || strings.HasPrefix(number, ".") || strings.HasSuffix(number, ".") || len(number) > 20 {
		return 0, fmt.Errorf("%s is a number with a unit, such as 10%s", what, units[1].word)
	}
	for _, u := range units {
		if u.word != word {
			continue
		}
		v, _ := new(big.Rat).SetString(number)
		v.Mul(v, new(big.Rat).SetInt64(u.value))
		switch {
		case !v.IsInt():
			return 0, fmt.Errorf("%s is a whole number of %s", what, units[len(units)-1].word)
		case !v.Num().IsInt64():
			return 0, fmt.Errorf("%s is too large", what)
		}
		return v.Num().Int64(), nil
	}
	for _, u := range units {
		if strings.EqualFold(u.word, word) {
			return 0, fmt.Errorf("%s: %q is not a unit; write %s%s", what, word, number, u.word)
		}
	}
	return 0, fmt.Errorf("%s: %q is not a unit; write %s", what, word, listUnits(number, units))
}

func listUnits(number string, units []unit) string {
	var words []string
	for i := len(units) - 1; i >= 0; i-- {
		words = append(words, number+units[i].word)
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// formatUnit writes v in the unit that makes it shortest, the larger unit
// winning a draw.
func formatUnit(v int64, units []unit) string {
	best := ""
	for _, u := range units {
		if v%u.value != 0 {
			continue
		}
		if s := strconv.FormatInt(v/u.value, 10) + u.word; best == "" || len(s) < len(best) {
			best = s
		}
	}
	return best
}

func parseNumber(text string) (Number, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("at most %d", uint64(math.MaxUint64))
	}
	if err != nil {
		return 0, fmt.Errorf("want a whole number, in digits")
	}
	return Number(n), nil
}

func (n Number) String() string { return strconv.FormatUint(uint64(n), 10) }

func parseDuration(text string) (Duration, error) {
	if _, err := strconv.ParseFloat(text, 64); err == nil && text != "0" {
		return 0, fmt.Errorf("a time needs a unit: %sns, %sus, %sms, %ss, %sm or %sh", text, text, text, text, text, text)
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("want a time with its unit, such as 20ms or 1m30s")
	case d < 0:
		return 0, fmt.Errorf("a time cannot be negative")
	}
	return Duration(d), nil
}

// String leaves out the zeros that time.Duration writes behind: 1h, not 1h0m0s.
func (d Duration) String() string {
	s := strings.Replace(time.Duration(d).String(), "µ", "u", 1)
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func parseRate(text string) (Rate, error) {
	if word := strings.TrimLeft(text, "0123456789."); strings.HasSuffix(word, "bps") && word != text {
		return 0, fmt.Errorf("a rate in %q is ambiguous (tc means bytes by it): write %s for bits per second",
			word, listUnits(text[:len(text)-len(word)], rateUnits))
	}
	v, err := withUnit(text, "a rate in bits per second", rateUnits)
	if err == nil && v == 0 {
		err = fmt.Errorf("a rate of 0 sends nothing; leave rate out for no limit")
	}
	return Rate(v), err
}

func (r Rate) String() string { return formatUnit(int64(r), rateUnits) }

func parseQueue(text string) (Queue, error) {
	v, err := strconv.ParseInt(strings.TrimSuffix(text, "p"), 10, 64)
	switch {
	case err != nil || v < 0:
		return 0, fmt.Errorf("want a queue in packets, such as 64p")
	case !strings.HasSuffix(text, "p"):
		return 0, fmt.Errorf("a queue needs its unit, packets: %sp", text)
	case v == 0:
		return 0, fmt.Errorf("a queue has room for at least 1p")
	}
	return Queue(v), nil
}

func (q Queue) String() string { return strconv.FormatInt(int64(q), 10) + "p" }

func parseSize(text string) (Size, error) {
	v, err := withUnit(text, "a size", sizeUnits)
	return Size(v), err
}

// ParseSize reads a size with its unit, such as 500MB.
func ParseSize(text string) (Size, error) { return parseSize(text) }

// ParseDuration reads a time with its unit, such as 20ms.
func ParseDuration(text string) (Duration, error) { return parseDuration(text) }

// ParseRate reads a rate in bits per second with its unit, such as 10mbit.
func ParseRate(text string) (Rate, error) { return parseRate(text) }

// ParseQueue reads a length of a queue with its unit, such as 64p.
func ParseQueue(text string) (Queue, error) { return parseQueue(text) }

// ParsePrefix reads an address with the length of its network's prefix.
func ParsePrefix(text string) (Prefix, error) { return parsePrefix(text) }

// ParseAddr reads an IP address.
func ParseAddr(text string) (Addr, error) { return parseAddr(text) }

func (s Size) String() string { return formatUnit(int64(s), sizeUnits) }

func parseInstant(text string) (Instant, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return Instant{}, fmt.Errorf("want an instant such as 2026-01-01T00:00:00Z")
	}
	return Instant{t.UTC()}, nil
}

func (i Instant) String() string { return i.UTC().Format(time.RFC3339Nano) }

// Equal lets comparisons look through the pointer to a time zone.
func (i Instant) Equal(j Instant) bool { return i.Time.Equal(j.Time) }

func parsePrefix(text string) (Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		if a, aerr := netip.ParseAddr(text); aerr == nil {
			bits := 24
			if a.Is6() {
				bits = 64
			}
			return Prefix{}, fmt.Errorf("an address needs the length of its network's prefix: %s/%d", a, bits)
		}
		return Prefix{}, fmt.Errorf("want an address with its prefix length, such as 10.0.0.1/24 or fd00::1/64")
	}
	if p.Addr().Is4In6() {
		return Prefix{}, fmt.Errorf("write an IPv4 address as %s", p.Addr().Unmap())
	}
	return Prefix{p}, nil
}

func parseAddr(text string) (Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return Addr{}, fmt.Errorf("want an IP address, such as 10.0.0.254 or fd00::ff")
	}
	return Addr{a}, nil
}
