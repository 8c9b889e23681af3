//go:build !race

package vnettest

const raceEnabled = false
