package replay

import (
	"net/netip"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Played is a conversation that is being played, or was.
type Played struct {
	*Conversation
	// Live is the live end: 0 or 1.
	Live int
	// Matched are the bytes of each end, 0 and 1, that were said again: those of
	// the live end that came as captured, those of the played end that arrived.
	Matched [2]int64
	// Same is true when all of the conversation was as captured.
	Same bool

	e      *engine
	st     *station
	host   *liveHost
	clock  vswitch.Clock
	me     int            // the played end
	local  netip.AddrPort // the played end
	remote netip.AddrPort // the live end, with the port that it uses now
	done   bool           // with it or without success
	since  time.Time      // of the last progress
	last   time.Time      // when the last captured frame was sent
	timed  time.Time      // what the timer for the next one is set to, if it waits for that
	at     time.Time      // when the one that is being sent counts as sent
}

func (p *Played) conversation() *Played { return p }

// progress notes that the live side did something new.
func (p *Played) progress() {
	p.since = p.e.world.Now()
	p.e.recent = p.since
}

// finish ends the conversation.
func (p *Played) finish(same bool) {
	if p.done {
		return
	}
	p.done, p.Same = true, same
	p.e.finished()
}

// diverge reports how the live side differs, and ends the conversation.
func (p *Played) diverge(d *Divergence) {
	d.Conversation = p.Conversation
	if d.From == (netip.AddrPort{}) {
		d.From, d.To = p.Ends[p.Live], p.Ends[p.me]
	}
	p.e.report.diverge(p.e, d)
	p.finish(false)
}

// moment is when a frame that is sent now counts as sent, if it was due then: at that
// instant if a timer was set to it, which in real time comes late. So what follows does
// not come later and later.
func (p *Played) moment(due time.Time) time.Time {
	if p.timed.Equal(due) {
		return due
	}
	return p.e.world.Now()
}

// arm sets a timer that may not exist yet.
func arm(clock vswitch.Clock, t *vswitch.Timer, d time.Duration, f func()) {
	if *t == nil {
		*t = clock.AfterFunc(d, f)
		return
	}
	(*t).Reset(d)
}

// disarm stops a timer that may not exist.
func disarm(t vswitch.Timer) {
	if t != nil {
		t.Stop()
	}
}
