package vnetif

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/vnreplay/vnreplay/switch"
)

// stackClock gives a gVisor stack the world's clock.
type stackClock struct {
	clock vswitch.Clock
	start time.Time
}

var _ tcpip.Clock = stackClock{}

func (c stackClock) Now() time.Time { return c.clock.Now() }

// NowMonotonic counts from one second before the world's start: gVisor takes the
// zero reading for "never".
func (c stackClock) NowMonotonic() tcpip.MonotonicTime {
	return tcpip.MonotonicTime{}.Add(time.Second + c.clock.Now().Sub(c.start))
}

func (c stackClock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	return stackTimer{c.clock.AfterFunc(d, f)}
}

type stackTimer struct{ t vswitch.Timer }

func (t stackTimer) Stop() bool            { return t.t.Stop() }
func (t stackTimer) Reset(d time.Duration) { t.t.Reset(d) }
