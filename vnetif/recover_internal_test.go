package vnetif

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The duration of a deadline is found again when the process was held up between
// the call of time.Now and that of SetDeadline: a duration of one digit (5s) for
// up to a twelfth of it, one of two (1.5s) for less than its last digit.
func TestTheDurationOfADeadlineIsRecovered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.Int64Range(1, 99).Draw(t, "digits")
		unit := int64(1)
		for range rapid.IntRange(3, 11).Draw(t, "zeros") {
			unit *= 10
		}
		d := time.Duration(digits * unit)
		longest := int64(d) / 12
		if digits > 10 && digits%10 != 0 {
			longest = unit - 1
		}
		held := time.Duration(rapid.Int64Range(0, longest).Draw(t, "held"))
		turn := held + time.Duration(rapid.Int64Range(0, int64(d)/1000).Draw(t, "turn began before"))
		if got := recoverDuration(d-held, turn); got != d {
			t.Fatalf("recoverDuration(%v, %v) = %v, want %v", d-held, turn, got, d)
		}
	})
	for _, test := range []struct{ left, passed, want time.Duration }{
		{0, time.Second, 0},
		{-time.Second, time.Second, 0},
		{4950 * time.Millisecond, time.Microsecond, 5 * time.Second}, // computed in an earlier turn
		{1249999999, time.Microsecond, 1300 * time.Millisecond},      // more digits than can be told
	} {
		if got := recoverDuration(test.left, test.passed); got != test.want {
			t.Errorf("recoverDuration(%v, %v) = %v, want %v", test.left, test.passed, got, test.want)
		}
	}
}
