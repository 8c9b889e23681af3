//go:build ignore

// Command gen writes the built-in jitter tables, *.dist, into the directory that
// is its argument. "go generate" in package faults runs it.
//
// Each table is the quantiles at (i+½)/4096, i = 0..4095, of a distribution:
//
//	normal        the standard normal distribution
//	pareto        a Pareto distribution of shape 3
//	paretonormal  ¼ normal + ¾ pareto, quantile by quantile, each with mean 0 and
//	              standard deviation 1 beforehand
//
// in units of 1/8192 standard deviation, clamped to 16 bits. Location and scale
// are chosen so that mean and deviation are right after the clamping and rounding
// rather than before: the values sum up to 0 and their squares to 4096·8192²,
// exactly. For that some values are rounded to the integer that is not the
// nearest; each is within 1 of its formula.
//
// The checked-in files are what counts. They need not be made again on another
// machine, where floating point may round differently.
package main

import (
	"bytes"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"slices"
)

const (
	size  = 4096
	scale = 8192 // one standard deviation
	low   = math.MinInt16
	high  = math.MaxInt16
)

func normal(u float64) float64 { return math.Sqrt2 * math.Erfinv(2*u-1) }

// pareto is 1/∛(1-u) less its mean 3/2, in units of its deviation √(3/4).
func pareto(u float64) float64 { return (1/math.Cbrt(1-u) - 1.5) / math.Sqrt(0.75) }

func paretonormal(u float64) float64 { return normal(u)/4 + pareto(u)*3/4 }

func main() {
	log.SetFlags(0)
	log.SetPrefix("gen: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: gen DIRECTORY")
	}
	for _, t := range []struct {
		name, about string
		quantile    func(float64) float64
	}{
		{"normal", "the normal distribution", normal},
		{"pareto", "a Pareto distribution of shape 3", pareto},
		{"paretonormal", "1/4 normal + 3/4 Pareto of shape 3", paretonormal},
	} {
		values := table(t.quantile)
		var b bytes.Buffer
		fmt.Fprintf(&b, "# %d quantiles of %s.\n", size, t.about)
		fmt.Fprintf(&b, "# Mean 0, standard deviation %d. Made by gen.go.\n", scale)
		for i, v := range values {
			separator := " "
			if i%8 == 7 {
				separator = "\n"
			}
			fmt.Fprintf(&b, "%d%s", v, separator)
		}
		if err := os.WriteFile(filepath.Join(os.Args[1], t.name+".dist"), b.Bytes(), 0o666); err != nil {
			log.Fatal(err)
		}
	}
}

// table returns the quantiles as integers with the exact sums.
func table(quantile func(float64) float64) []int {
	want := make([]float64, size)
	for i := range want {
		want[i] = quantile((float64(i) + 0.5) / size)
	}
	standardise(want)
	values := make([]int, size)
	for i, w := range want {
		values[i] = int(math.Round(w))
	}
	fixSum(values, want)
	fixSquares(values, want)
	slices.Sort(values) // which brings no value further from its formula
	for i, v := range values {
		if math.Abs(float64(v)-want[i]) > 1 {
			log.Fatalf("value %d is %d instead of %v", i, v, want[i])
		}
	}
	return values
}

// standardise finds the location and scale with which the clamped values have
// mean 0 and deviation 8192, by repetition: each round clamps a little more.
func standardise(x []float64) {
	raw := slices.Clone(x)
	offset, factor := 0.0, float64(scale)
	for range 1000 {
		sum, squares := 0.0, 0.0
		for i, r := range raw {
			x[i] = min(max(offset+factor*r, low), high)
			sum += x[i]
			squares += x[i] * x[i]
		}
		mean := sum / size
		grow := scale / math.Sqrt(squares/size-mean*mean)
		offset = (offset - mean) * grow
		factor *= grow
	}
}

// fixSum moves values by 1 until they sum up to 0, those first which this brings
// least far from what they should be.
func fixSum(values []int, want []float64) {
	sum := 0
	for _, v := range values {
		sum += v
	}
	for sum != 0 {
		step := 1
		if sum > 0 {
			step = -1
		}
		best := 0
		for i := range values {
			if harm(values, want, i, step) < harm(values, want, best, step) {
				best = i
			}
		}
		values[best] += step
		sum += step
	}
}

// fixSquares moves pairs of values, one up and one down so that the sum stays 0,
// until the sum of squares is right. A pair a, b changes it by 2(a-b+1). What is
// lacking is even, as a sum of squares is even if the sum is.
func fixSquares(values []int, want []float64) {
	lacks := int64(size * scale * scale)
	for _, v := range values {
		lacks -= int64(v) * int64(v)
	}
	for lacks != 0 {
		difference := int(min(max(lacks/2-1, -scale), scale))
		up, down, least := -1, -1, math.Inf(1)
		for i, a := range values {
			for j, b := range values {
				if i == j || a-b != difference {
					continue
				}
				if h := max(harm(values, want, i, 1), harm(values, want, j, -1)); h < least {
					up, down, least = i, j, h
				}
			}
		}
		if up < 0 {
			log.Fatalf("no pair changes the squares by %d", 2*(difference+1))
		}
		values[up]++
		values[down]--
		lacks -= 2 * int64(difference+1)
	}
}

// harm is how far from its formula value i would be one step further. Clamped
// values stay where they are.
func harm(values []int, want []float64, i, step int) float64 {
	if want[i] == low || want[i] == high {
		return math.Inf(1)
	}
	return math.Abs(float64(values[i]+step) - want[i])
}
