package vnettest

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The package's flags; the package comment says what they do.
var (
	seedFlag   seedValue
	keepFlag   = flag.Bool("vnettest.keep", false, "keep the recordings of tests that pass, too")
	updateFlag = flag.Bool("vnettest.update", false, "write golden recordings instead of comparing with them")
)

func init() {
	flag.Var(&seedFlag, "vnettest.seed", "give every world the seed `N`")
}

// seedValue is a seed that may not be set.
type seedValue struct {
	set bool
	n   uint64
}

func (v *seedValue) String() string {
	if !v.set {
		return ""
	}
	return strconv.FormatUint(v.n, 10)
}

func (v *seedValue) Set(text string) error {
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return fmt.Errorf("want a whole number from 0 to 18446744073709551615")
	}
	*v = seedValue{true, n}
	return nil
}

// or returns the flag's seed if it is set, and otherwise seed.
func (v *seedValue) or(seed uint64) uint64 {
	if v.set {
		return v.n
	}
	return seed
}

// updating reports whether golden recordings are to be written. A package of tests
// that has goldens of its own usually has a flag -update, which this one cannot
// define a second time; it is looked up when it is needed.
func updating() bool { return *updateFlag || isTrue("update") }

// artifacts reports whether somebody asked for artifacts to be kept.
func artifacts() bool { return isTrue("test.artifacts") }

// fuzzing reports whether this process is a worker of go test -fuzz. It runs the
// target thousands of times, and to make a failing input smaller it fails on purpose.
func fuzzing() bool { return isTrue("test.fuzzworker") }

func isTrue(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() == "true"
}

// startDir is the directory of the test's package, where go test starts the
// binary: a test may change to another one.
var startDir, _ = os.Getwd()

// command is the go test command that runs a test again, with arguments for the
// test binary at its end. It works anywhere in the test's module.
func command(t testing.TB, args ...string) string {
	words := []string{"go", "test"}
	if raceEnabled {
		words = append(words, "-race")
	}
	pkg := "."
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-tags" {
				words = append(words, "-tags", s.Value)
			}
		}
		if p, ok := strings.CutSuffix(info.Path, ".test"); ok && p != "command-line-arguments" {
			pkg = p
		}
	}
	if _, ok := t.(*testing.B); ok {
		words = append(words, "-run", "^$", "-bench", pattern(t.Name()))
	} else {
		words = append(words, "-run", pattern(t.Name()))
	}
	words = slices.Concat(words, []string{"-count=1", pkg}, args, ownFlags())
	for i, w := range words {
		words[i] = quote(w)
	}
	return strings.Join(words, " ")
}

// pattern is the expression of -run that selects a test and, on its way to a
// subtest, nothing else.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// ownFlags are the flags of the test's own package that were set: a run depends on
// them. Whether it is to update something is no part of that.
func ownFlags() []string {
	var args []string
	flag.Visit(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "test.") && !strings.HasPrefix(f.Name, "vnettest.") && f.Name != "update" {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	return args
}

// quote quotes a word for a shell where it has to be.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=./:,@%+", r)
	}
	if word != "" && !slices.ContainsFunc([]rune(word), func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
