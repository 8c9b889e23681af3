//go:build !linux

package main

import "github.com/vnreplay/vnreplay/replay"

// execLive refuses: the world's clock must stand still while a process computes,
// and how to see that is known for Linux only.
func execLive(live replay.Live, _, _ string, _ *replay.Analysis) (replay.Live, error) {
	return live, usage("--live %v=exec: runs on Linux only", live.Addr)
}
