package live

import (
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// meter is the recorder that the switch knows. It counts, holds the run to its limits
// and passes everything on. The switch's lock guards it, as it does for any recorder.
type meter struct {
	next  vswitch.Recorder
	limit Limit
	stop  func(why string)

	frames, bytes uint64
	affected      vswitch.RuleCounts
	err           error // of next
}

var _ vswitch.DeliveryRecorder = (*meter)(nil)

// Record takes one event.
func (m *meter) Record(e vswitch.Event) error {
	if sent, ok := e.(*vswitch.Sent); ok {
		m.frames++
		m.bytes += uint64(len(sent.Data))
		if len(sent.Hits) > 0 {
			m.affected.Count(sent.Hits)
		}
		switch {
		case m.frames == m.limit.Frames:
			m.stop(EndFrames)
		case m.limit.Bytes > 0 && m.bytes >= m.limit.Bytes:
			m.stop(EndBytes)
		}
	}
	m.err = m.next.Record(e)
	return m.err
}

// WantDeliveries reports false: what arrived is rebuilt from what was sent.
func (m *meter) WantDeliveries() bool { return false }

// Close does nothing; whoever made the next recorder closes it.
func (m *meter) Close() error { return nil }
