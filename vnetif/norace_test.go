//go:build !race

package vnetif_test

const raceEnabled = false
