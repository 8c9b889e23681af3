//go:build race

package vnetif_test

// raceEnabled: the race detector shuffles runnable goroutines.
const raceEnabled = true
