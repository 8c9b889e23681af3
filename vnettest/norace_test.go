//go:build !race

package vnettest_test

const underRace = false
