package faults

import (
	"bufio"
	"fmt"
	"math"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// splitMix deals words for tests (Steele, Lea, Flood: Fast splittable
// pseudorandom number generators, 2014).
type splitMix uint64

func (s *splitMix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// The checked-in tables are what their formulas say, here with numbers that were
// solved for apart from the generator: where the tail is cut, in the formula's own
// units, and by how much the rest is scaled, follow from the moments alone.
func TestTablesAreTheirFormulas(t *testing.T) {
	normal := func(u float64) float64 { return math.Sqrt2 * math.Erfinv(2*u-1) }
	pareto := func(u float64) float64 { return math.Pow(1-u, -1./3) }
	mixed := func(u float64) float64 { return normal(u)/4 + (pareto(u)-1.5)/math.Sqrt(.75)*3/4 }
	for name, quantile := range map[string]func(float64) float64{"normal": normal, "pareto": pareto, "paretonormal": mixed} {
		t.Run(name, func(t *testing.T) {
			values := findDist(name).values
			if len(values) != 4096 {
				t.Fatalf("%d values", len(values))
			}
			x := make([]float64, len(values))
			for i := range x {
				x[i] = quantile((float64(i) + .5) / 4096)
			}
			mean, deviation := moments(x)
			if highest := x[len(x)-1]; (highest-mean)/deviation > 32767./8192 {
				// Halve the interval in which the tail must be cut for the largest
				// value to be 32767.
				low, high := mean, highest
				cut := make([]float64, len(x))
				for range 100 {
					at := (low + high) / 2
					for i := range x {
						cut[i] = min(x[i], at)
					}
					mean, deviation = moments(cut)
					if (at-mean)/deviation > 32767./8192 {
						high = at
					} else {
						low = at
					}
				}
				x = cut
			}
			sum, squares := int64(0), int64(0)
			for i, v := range values {
				if want := (x[i] - mean) / deviation * 8192; math.Abs(float64(v)-want) > 1 {
					t.Fatalf("value %d is %d, want %.2f", i, v, want)
				}
				sum += int64(v)
				squares += int64(v) * int64(v)
			}
			if sum != 0 || squares != 4096*8192*8192 {
				t.Errorf("sum %d, squares %d", sum, squares)
			}
			if !slices.IsSorted(values) {
				t.Errorf("the values are not in order")
			}
		})
	}
}

func moments(x []float64) (mean, deviation float64) {
	n := float64(len(x))
	for _, v := range x {
		mean += v / n
	}
	for _, v := range x {
		deviation += (v - mean) * (v - mean) / n
	}
	return mean, math.Sqrt(deviation)
}

// Mean and standard deviation of many samples: within four standard errors of the
// distribution's own.
func TestSampleMoments(t *testing.T) {
	const n, jitter = 100_000, 10 * time.Millisecond
	for _, c := range []struct {
		name      string
		deviation float64 // in jitters
		kurtosis  float64 // for the standard error of the deviation
	}{{"uniform", 1 / math.Sqrt(3), 1.8}, {"normal", 1, 3}, {"pareto", 1, 8.2}, {"paretonormal", 1, 6.7}} {
		d, words := findDist(c.name), splitMix(1)
		x := make([]float64, n)
		for i := range x {
			x[i] = float64(d.sample(jitter, words.next())) / float64(jitter)
		}
		mean, deviation := moments(x)
		t.Logf("%s: mean %.5f, deviation %.5f", c.name, mean, deviation)
		if bound := 4 * c.deviation / math.Sqrt(n); math.Abs(mean) > bound {
			t.Errorf("%s: mean %.5f, want 0 ± %.5f", c.name, mean, bound)
		}
		if bound := 4 * c.deviation * math.Sqrt((c.kurtosis-1)/4/n); math.Abs(deviation-c.deviation) > bound {
			t.Errorf("%s: deviation %.5f, want %.5f ± %.5f", c.name, deviation, c.deviation, bound)
		}
	}
}

// Samples are part of what a recording means: they must never change by accident.
// The file has a line for each distribution and jitter: its samples, in ns, for
// the first words of the sequence.
func TestSamplesAreWhatTheyWere(t *testing.T) {
	f, err := os.Open("testdata/samples.golden")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	inline, err := parseDistText("-8192,-1,0,3,8192")
	if err != nil {
		t.Fatal(err)
	}
	want := bufio.NewScanner(f)
	for _, d := range append(builtins(), inline) {
		for _, jitter := range []time.Duration{10 * time.Millisecond, maxJitter} {
			var line strings.Builder
			fmt.Fprintf(&line, "%s %v:", d.text(), jitter)
			words := splitMix(42)
			for range 32 {
				fmt.Fprintf(&line, " %d", d.sample(jitter, words.next()))
			}
			if !want.Scan() {
				t.Errorf("not in the file: %s", line.String())
			} else if want.Text() != line.String() {
				t.Errorf("%s\nwant %s", line.String(), want.Text())
			}
		}
	}
	if want.Scan() {
		t.Errorf("one line too many in the file: %s", want.Text())
	}
}

func builtins() []*dist {
	var all []*dist
	for _, name := range distNames() {
		all = append(all, findDist(name))
	}
	return all
}

func TestSampleAtItsEnds(t *testing.T) {
	table := &dist{values: []int16{math.MinInt16, -3, math.MaxInt16}}
	const top = math.MaxUint64
	for _, c := range []struct {
		d            *dist
		jitter, want time.Duration
		word         uint64
	}{
		{findDist("uniform"), 0, 0, top},
		{findDist("uniform"), 1, -1, 0},
		{findDist("uniform"), 1, -1, top / 3},
		{findDist("uniform"), 1, 0, top/3 + 1},
		{findDist("uniform"), 1, 0, top / 3 * 2},
		{findDist("uniform"), 1, 1, top/3*2 + 1},
		{findDist("uniform"), 1, 1, top},
		{findDist("uniform"), maxJitter, -maxJitter, 0},
		{findDist("uniform"), maxJitter, maxJitter, top},
		{findDist("uniform"), math.MaxInt64, -math.MaxInt64, 0},
		{findDist("uniform"), math.MaxInt64, math.MaxInt64, top},
		{table, 0, 0, 0},
		{table, 1, -4, 0},
		{table, 1, 0, top / 2},
		{table, 1, 4, top}, // 3.9999
		{table, 1365, 0, top / 2},
		{table, 1366, -1, top / 2}, // -0.50024
		{&dist{values: []int16{1}}, 4096, 1, 0},
		{&dist{values: []int16{1}}, 4095, 0, 0},
		{&dist{values: []int16{-1}}, 4096, -1, 0},
		{&dist{values: []int16{-1}}, 4095, 0, 0},
		{&dist{values: []int16{-1}}, 8192 + 4096, -2, 0},
		{table, maxJitter, -4 * maxJitter, 0},
		{table, 1 << 61, -1 << 63, 0},
		{table, 1 << 61, math.MaxInt16 << 48, top},
	} {
		if got := c.d.sample(c.jitter, c.word); got != c.want {
			t.Errorf("%s, jitter %d, word %#x: %d, want %d", c.d.text(), c.jitter, c.word, got, c.want)
		}
	}
}

// anyDist draws a built-in distribution or a table.
func anyDist(t *rapid.T) *dist {
	if i := rapid.IntRange(0, len(builtinDists)).Draw(t, "builtin"); i < len(builtinDists) {
		return builtinDists[i].load()
	}
	return &dist{values: rapid.SliceOfN(rapid.Int16(), 1, 50).Draw(t, "values")}
}

func TestSampleIsExactAndMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDist(t)
		jitter := time.Duration(rapid.Int64Range(0, int64(maxJitter)).Draw(t, "jitter"))
		a, b := rapid.Uint64().Draw(t, "word"), rapid.Uint64().Draw(t, "another")
		x, y := d.sample(jitter, a), d.sample(jitter, b)
		if (d.values == nil || slices.IsSorted(d.values)) && (a < b && x > y || a > b && x < y) {
			t.Fatalf("%d gives %d, %d gives %d", a, x, b, y)
		}

		// The same with numbers of any size.
		n := 2*int64(jitter) + 1
		if d.values != nil {
			n = int64(len(d.values))
		}
		place := new(big.Int).SetUint64(a)
		place.Mul(place, big.NewInt(n)).Rsh(place, 64)
		if d.values == nil {
			if want := place.Int64() - int64(jitter); int64(x) != want {
				t.Fatalf("%d, want %d", x, want)
			}
			return
		}
		product := big.NewInt(int64(d.values[place.Int64()]))
		product.Mul(product, big.NewInt(int64(jitter)))
		if product.Sign() >= 0 {
			product.Add(product, big.NewInt(4096))
		} else {
			product.Sub(product, big.NewInt(4096))
		}
		if want := product.Quo(product, big.NewInt(8192)).Int64(); int64(x) != want {
			t.Fatalf("%d, want %d", x, want)
		}
		if x < -4*jitter || x > 4*jitter {
			t.Fatalf("%d is beyond four jitters of %d", x, jitter)
		}
	})
}

func TestCorrelateIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		edge := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, 1 << 63, math.MaxUint64 - 1, math.MaxUint64}))
		word, last, rho := edge.Draw(t, "word"), edge.Draw(t, "last"), edge.Draw(t, "rho")
		num := func(n uint64) *big.Int { return new(big.Int).SetUint64(n) }
		rest := num(1)
		rest.Lsh(rest, 64).Sub(rest, num(rho)).Mul(rest, num(word))
		want := rest.Add(rest, new(big.Int).Mul(num(last), num(rho)))
		if got := correlate(word, last, rho); want.Rsh(want, 64).Cmp(num(got)) != 0 {
			t.Fatalf("%d, want %v", got, want)
		}
		if correlate(word, last, 0) != word {
			t.Fatalf("without correlation a word is not itself")
		}
		if got := correlate(word, last, math.MaxUint64); got != last && got != last-1 {
			t.Fatalf("with full correlation, %d after %d", got, last)
		}
	})
}

// The correlation of neighbours is as asked for, and the deviation as documented.
func TestCorrelation(t *testing.T) {
	for _, c := range []struct {
		r         ratio
		deviation float64 // of a word's
	}{{ratio{0, 1}, 1}, {ratio{1, 4}, 0.7746}, {ratio{1, 2}, 0.5774}, {ratio{9, 10}, 0.2294}} {
		const n = 200_000
		words := splitMix(1)
		last := words.next()
		x := make([]float64, n)
		for i := range x {
			last = correlate(words.next(), last, c.r.threshold())
			x[i] = float64(last) / (1 << 64)
		}
		mean, deviation := moments(x)
		product := 0.
		for i := range n - 1 {
			product += (x[i] - mean) * (x[i+1] - mean) / (n - 1)
		}
		want := float64(c.r.num) / float64(c.r.den)
		if got := product / deviation / deviation; math.Abs(got-want) > 0.01 {
			t.Errorf("%v: correlation %.4f", c.r, got)
		}
		if got := deviation * math.Sqrt(12); math.Abs(got-c.deviation) > 0.01 {
			t.Errorf("%v: deviation %.4f, want %.4f", c.r, got, c.deviation)
		}
		if math.Abs(mean-0.5) > 0.01 {
			t.Errorf("%v: mean %.4f", c.r, mean)
		}
	}
}

func TestParseDist(t *testing.T) {
	for _, c := range []struct {
		text string
		want []int16
	}{
		{"1", []int16{1}},
		{"# measured\n-32768 32767\n\n\t0\r\n  # more\n5 5 -1", []int16{-32768, 32767, 0, 5, 5, -1}},
		{strings.Repeat("7\n", maxDistValues) + "# the end", slices.Repeat([]int16{7}, maxDistValues)},
	} {
		d, err := parseDist([]byte(c.text))
		if err != nil || !slices.Equal(d.values, c.want) {
			t.Errorf("%.40q: %v, %v", c.text, d, err)
		}
	}
	for text, want := range map[string]string{
		"":                         "line 1: the table ends without a value",
		"# nothing\n\n":            "line 2: the table ends without a value",
		"1 2\n3 x":                 `line 2: "x" is not an integer from -32768 to 32767 in plain digits`,
		"1 # a comment":            `line 1: "#" is not an integer from -32768 to 32767 in plain digits`,
		"#\n#\n32768":              `line 3: "32768" is not an integer from -32768 to 32767 in plain digits`,
		"-32769":                   `line 1: "-32769" is not an integer from -32768 to 32767 in plain digits`,
		"1.5":                      `line 1: "1.5" is not an integer from -32768 to 32767 in plain digits`,
		"1,2":                      `line 1: "1,2" is not an integer from -32768 to 32767 in plain digits`,
		"0x10":                     `line 1: "0x10" is not an integer from -32768 to 32767 in plain digits`,
		"010":                      `line 1: "010" is not an integer from -32768 to 32767 in plain digits`,
		"+1":                       `line 1: "+1" is not an integer from -32768 to 32767 in plain digits`,
		"-0":                       `line 1: "-0" is not an integer from -32768 to 32767 in plain digits`,
		"\xff\x00":                 `line 1: "\xff\x00" is not an integer from -32768 to 32767 in plain digits`,
		strings.Repeat("1", 1<<20): `line 1: "` + strings.Repeat("1", maxQuoted-3) + `..." is not an integer from -32768 to 32767 in plain digits`,
		strings.Repeat("1\n", maxDistValues) + "2": "line 65537: more than 65536 values",
	} {
		if _, err := parseDist([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

func TestDistText(t *testing.T) {
	for _, text := range []string{"uniform", "normal", "pareto", "paretonormal", "0", "-8192,8192", "3,-1,-32768,32767"} {
		d, err := parseDistText(text)
		if err != nil || d.text() != text {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	for text, want := range map[string]string{
		"gauss":      `no such distribution: "gauss"; there are uniform, normal, pareto, paretonormal, and tables of integers such as -8192,0,8192`,
		"Normal":     `no such distribution: "Normal"; there are uniform, normal, pareto, paretonormal, and tables of integers such as -8192,0,8192`,
		"1, 2":       `no such distribution: "1, 2"; there are uniform, normal, pareto, paretonormal, and tables of integers such as -8192,0,8192`,
		"":           `value 1 of the table: "" is not an integer from -32768 to 32767 in plain digits`,
		"1,":         `value 2 of the table: "" is not an integer from -32768 to 32767 in plain digits`,
		"1,2,-":      `value 3 of the table: "-" is not an integer from -32768 to 32767 in plain digits`,
		"1,2,3,4444": "",
		"1,99999":    `value 2 of the table: "99999" is not an integer from -32768 to 32767 in plain digits`,
		strings.Repeat("1,", maxDistValues) + "2": "value 65537 of the table: more than 65536 values",
	} {
		if _, err := parseDistText(text); want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

// Whatever is read is printed and read back as the same table, from either form.
func FuzzDist(f *testing.F) {
	for _, text := range []string{
		"", "uniform", "normal", "-8192,0,8192", "1,,2", "# measured\n-1 0 1\n32767\n", "1\r\n2\t3", "1 x", "32768", "010", "#", "\xff", "-", "0 # no",
	} {
		f.Add(text, uint64(1)<<63, int64(time.Second))
	}
	f.Fuzz(func(t *testing.T, text string, word uint64, jitter int64) {
		for _, parse := range []func() (*dist, error){
			func() (*dist, error) { return parseDist([]byte(text)) },
			func() (*dist, error) { return parseDistText(text) },
		} {
			d, err := parse()
			if err != nil {
				continue
			}
			again, err := parseDistText(d.text())
			if err != nil || again.name != d.name || !slices.Equal(again.values, d.values) {
				t.Fatalf("%q: %v", d.text(), err)
			}
			if d.name == "" {
				lines, err := parseDist([]byte(strings.ReplaceAll(d.text(), ",", "\n")))
				if err != nil || !slices.Equal(lines.values, d.values) {
					t.Fatalf("%q by lines: %v", d.text(), err)
				}
			}
			j := time.Duration(uint64(jitter) % uint64(maxJitter+1))
			if x := d.sample(j, word); x < -4*j || x > 4*j {
				t.Fatalf("%v with jitter %v", x, j)
			}
		}
	})
}

func BenchmarkSample(b *testing.B) {
	for _, d := range builtins() {
		b.Run(d.name, func(b *testing.B) {
			words := splitMix(1)
			b.ReportAllocs()
			for b.Loop() {
				d.sample(10*time.Millisecond, words.next())
			}
		})
	}
}
