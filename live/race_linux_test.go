//go:build race

package live_test

// raceEnabled: gVisor's forwarding of IPv4 has a data race.
const raceEnabled = true
