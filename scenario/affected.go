package scenario

import "github.com/vnreplay/vnreplay/switch"

// counter is a recorder that counts the frames that rules affected, and passes
// everything on to another recorder, if there is one.
type counter struct {
	next   vswitch.Recorder
	counts *vswitch.RuleCounts // shared by the switches of a run
}

var _ vswitch.DeliveryRecorder = (*counter)(nil)

// Record takes one event.
func (c *counter) Record(e vswitch.Event) error {
	if sent, ok := e.(*vswitch.Sent); ok && len(sent.Hits) > 0 {
		c.counts.Count(sent.Hits)
	}
	if c.next == nil {
		return nil
	}
	return c.next.Record(e)
}

// WantDeliveries asks the other recorder.
func (c *counter) WantDeliveries() bool {
	d, ok := c.next.(vswitch.DeliveryRecorder)
	return ok && d.WantDeliveries()
}

// Close does nothing: whoever made the other recorder closes it.
func (c *counter) Close() error { return nil }
