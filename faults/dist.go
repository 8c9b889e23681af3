package faults

import (
	"bytes"
	"embed"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:generate go run dist/gen.go dist

// dist is how a jitter is distributed: evenly, or as a table of quantiles says.
// Tables are those of netem, the network emulator of Linux (tc-netem(8)): integers
// of 16 bits in units of 1/8192 jitter, each as likely as any other. A .dist file
// of iproute2, or one that its maketable made of measurements, means here what it
// means there.
//
// The built-in tables do what their names say more closely than iproute2's: their
// mean is 0 and their standard deviation 8192, that is the jitter, exactly and
// although 16 bits end at 4 deviations. Of iproute2's, as 6.1 ships them, normal
// has -0.0008 and 1.0001 (in jitters), but pareto -0.033 and 0.82, paretonormal
// -0.025 and 0.83. Who needs just those gives the file.
type dist struct {
	name   string  // of one built in, else ""
	values []int16 // nil: uniform
}

const (
	// distScale is what a table has for the jitter itself.
	distScale = 8192
	// maxDistValues bounds a table; iproute2 has 16384 at most.
	maxDistValues = 1 << 16
	// maxJitter is the longest jitter for which sample is meant. It works for
	// any that is not negative and less than 70 years.
	maxJitter = 24 * time.Hour
)

//go:embed dist/*.dist
var distFiles embed.FS

// builtinDists are read when they are first wanted.
var builtinDists = []struct {
	name string
	load func() *dist
}{
	{"uniform", sync.OnceValue(func() *dist { return &dist{name: "uniform"} })},
	{"normal", builtinTable("normal")},
	{"pareto", builtinTable("pareto")},
	{"paretonormal", builtinTable("paretonormal")},
}

func builtinTable(name string) func() *dist {
	return sync.OnceValue(func() *dist {
		text, err := distFiles.ReadFile("dist/" + name + ".dist")
		if err != nil {
			panic(err) // it is in the binary
		}
		d, err := parseDist(text)
		if err != nil {
			panic(err)
		}
		d.name = name
		return d
	})
}

// distNames returns the names of the built-in distributions.
func distNames() []string {
	names := make([]string, len(builtinDists))
	for i, b := range builtinDists {
		names[i] = b.name
	}
	return names
}

// findDist returns the built-in distribution of that name, nil if there is none.
// It is shared.
func findDist(name string) *dist {
	for _, b := range builtinDists {
		if b.name == name {
			return b.load()
		}
	}
	return nil
}

// parseDist reads the text of a table file: 1 to 65536 integers of 16 bits,
// separated by white space, in any order. Lines that start with # are comments.
// An error names the line.
func parseDist(text []byte) (*dist, error) {
	d := &dist{}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
			continue
		}
		for field := range bytes.FieldsSeq(line) {
			if err := d.add(clip(string(field), maxQuoted)); err != nil {
				return nil, fmt.Errorf("line %d: %w", number, err)
			}
		}
	}
	if len(d.values) == 0 {
		return nil, fmt.Errorf("line %d: the table ends without a value", max(number, 1))
	}
	return d, nil
}

// parseDistText reads what text returned: the name of a built-in distribution, or
// the values of a table. An error names the place in the list.
func parseDistText(text string) (*dist, error) {
	if d := findDist(text); d != nil {
		return d, nil
	}
	if strings.Trim(text, "-,0123456789") != "" {
		return nil, fmt.Errorf("no such distribution: %q; there are %s, and tables of integers such as -8192,0,8192",
			clip(text, maxQuoted), strings.Join(distNames(), ", "))
	}
	d := &dist{}
	for field := range strings.SplitSeq(text, ",") {
		if err := d.add(clip(field, maxQuoted)); err != nil {
			return nil, fmt.Errorf("value %d of the table: %w", len(d.values)+1, err)
		}
	}
	return d, nil
}

// text returns the distribution as one word: its name, or its values with commas
// between. It is at most 7 bytes a value.
func (d *dist) text() string {
	if d.name != "" {
		return d.name
	}
	var b []byte
	for i, v := range d.values {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(v), 10)
	}
	return string(b)
}

// add reads one more value. It takes only the usual form of a number: 010 would
// be 8 to tc, which reads C's notations.
func (d *dist) add(text string) error {
	v, err := strconv.ParseInt(text, 10, 16)
	if err != nil || strconv.FormatInt(v, 10) != text {
		return fmt.Errorf("%q is not an integer from %d to %d in plain digits", text, math.MinInt16, math.MaxInt16)
	}
	if len(d.values) == maxDistValues {
		return fmt.Errorf("more than %d values", maxDistValues)
	}
	d.values = append(d.values, int16(v))
	return nil
}

// sample returns by how much a delay deviates, for a word of which all values are
// equally likely. Larger words give larger deviations if the table ascends, as
// quantiles do.
//
//   - uniform: whole nanoseconds from -jitter to jitter, both included. Of the
//     2^64 words each gets as many as any other, or one more. (netem leaves the
//     upper end out.)
//   - a table of n values: the one at word·n/2^64, times jitter/8192, rounded to
//     the nearest nanosecond and half of one away from 0. It lies within 4 jitters.
//
// As in netem there is nothing between the values of a table: one of two values
// gives two delays, not all between them. Unlike in netem, which takes the
// remainder by n, it is the upper bits of the word that choose. So neighbouring
// words have neighbouring deviations, without which correlate would be in vain.
func (d *dist) sample(jitter time.Duration, word uint64) time.Duration {
	if d.values == nil {
		hi, _ := bits.Mul64(word, 2*uint64(jitter)+1)
		return time.Duration(hi) - jitter
	}
	i, _ := bits.Mul64(word, uint64(len(d.values)))
	v := time.Duration(d.values[i])
	// In two steps, of which neither overflows. The first leaves no remainder.
	half := time.Duration(distScale / 2)
	if v < 0 {
		half = -half
	}
	return jitter/distScale*v + (jitter%distScale*v+half)/distScale
}

// correlate mixes a new random word with what it returned last, as netem does
// with 32 bits: (word·(2^64-rho) + last·rho) / 2^64, rounded down. rho is the
// correlation times 2^64: 0 returns word, and what is nearest to 1 returns last or
// one less. The sequence begins with a word of its own as last.
//
// As in netem, the results correlate but are no longer evenly distributed: they
// gather around the middle. For the correlation r their standard deviation is
// √((1-r)/(1+r)) of a word's: 0.77 for 25%, 0.58 for 50%, 0.23 for 90%.
func correlate(word, last, rho uint64) uint64 {
	// word·2^64 - word·rho + last·rho. The sum is less than 2^128.
	subHi, subLo := bits.Mul64(word, rho)
	addHi, addLo := bits.Mul64(last, rho)
	lo, borrow := bits.Sub64(0, subLo, 0)
	hi, _ := bits.Sub64(word, subHi, borrow)
	_, carry := bits.Add64(lo, addLo, 0)
	hi, _ = bits.Add64(hi, addHi, carry)
	return hi
}
