//go:build race

package vswitch_test

const raceDetector = true
