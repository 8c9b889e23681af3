package faults

import (
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// Compiled is a rule at work: a [vswitch.Rule] that counts frames and deals
// draws. It belongs to one switch and, like every rule there, is never asked
// concurrently.
type Compiled struct {
	rule    *Rule
	keys    Keys
	key     string // of the rule
	draws   bool
	idle    bool
	passing *reorder // a "reorder ahead", which does something to frames that are not hit
	matched uint64
	unfit   uint64

	start   time.Time // of the world's clock
	traffic traffic
	fit     fit

	// The paths, by the ports' names: a port that was closed and connected again
	// goes on where it was. last is the path of the frame before, which is most
	// often that of the next.
	paths   map[[2]string]*path
	last    *path
	shapers map[[2]string]*shaper // of a "rate", by cable
	flows   flowCounters
	asked   subject // about which the rule is asked now; here, so that it is not allocated for each frame
}

// fit is whether a frame is one the rule is about: it is asked about several cables.
type fit struct {
	seq uint64
	ok  bool
}

// subject is one frame on one cable.
type subject struct {
	frame *vswitch.Frame
	path  *path
	at    time.Duration // since the world's start
	draw  draw          // if the rule draws
}

// place is the frame's place on its path, from 1.
func (s *subject) place() uint64 { return s.path.frames }

// path is what a rule knows about the frames from one port to another, or to the
// switch.
type path struct {
	from, to *vswitch.Port
	key      pathKey
	frames   uint64
	rest     uint64 // see flowCounters.next

	often, jitter memory  // of correlations
	chain         sipKey  // of a Markov chain
	state         int     // ... in which it is
	steps         uint64  // ... after so many, if it goes by time
	round         uint64  // frames since one was let ahead
	shaper        *shaper // of its cable
}

var (
	_ vswitch.Rule    = (*Compiled)(nil)
	_ vswitch.Watcher = (*Compiled)(nil)
	_ vswitch.Placed  = (*Compiled)(nil)
)

// Compile makes the rule ready to be added to a switch whose ports need not
// exist yet. [Install] is the usual way: it knows the keys, and refuses ports
// that the switch does not have. An "mtu N error" works inside the sender's write
// only when it is installed. A rule whose tables have not been read (see
// [Rule.Tables]) is distributed evenly.
func (r *Rule) Compile(keys Keys) *Compiled {
	c := &Compiled{
		rule:  r,
		keys:  keys,
		key:   r.key(),
		draws: r.often.draws() || r.what.draws(),
		idle:  r.Idle(),
		paths: make(map[[2]string]*path),
		flows: flowCounters{make(map[uint64]uint64)},
	}
	if a, ok := r.what.(*reorder); ok && a.isAhead {
		c.passing = a
	}
	return c
}

// Rule returns the rule that was compiled.
func (c *Compiled) Rule() *Rule { return c.rule }

// Matched is how many times the rule was in force where it was about the frame,
// so that its how-often was asked: once per frame, and for a rule about the
// receivers' cables once per frame and receiver. With 0 nothing came of the rule;
// of an idle one ([Rule.Idle]), which is not asked, it is always 0.
// Call it when the world is not running, or from one of its own goroutines.
func (c *Compiled) Matched() uint64 { return c.matched }

// Unfit is how many of the frames that were hit were left as they are because
// there was nothing in them to change: nothing behind the Ethernet header, not
// the field, or not the bytes that the rule replaces. To be called when Matched
// may be.
func (c *Compiled) Unfit() uint64 { return c.unfit }

// Judge gives the rule's verdict; see [vswitch.Rule].
func (c *Compiled) Judge(f *vswitch.Frame, to *vswitch.Port, v *vswitch.Verdict) bool {
	if c.idle || !c.rule.where.on(f.From, to) || !c.fits(f) {
		return false
	}
	s, in := c.see(f, to)
	if a, ok := c.rule.what.(*cut); ok && a.up {
		in = !in
	}
	if !in {
		return false
	}
	c.matched++
	s.path.frames++
	s.frame = f
	hit := c.rule.often.hits(s)
	switch {
	case c.passing != nil:
		c.passing.pass(s, hit, v)
	case hit:
		c.rule.what.verdict(s, v)
	}
	s.frame = nil // the switch's
	if !v.IsZero() {
		return true
	}
	if hit && changesBytes(c.rule.what) {
		c.unfit++
	}
	return false
}

// Cables says whether the rule is about senders' or receivers' cables; one that is
// idle is about none.
func (c *Compiled) Cables() (sender, receivers bool) {
	if c.idle {
		return false, false
	}
	if w := &c.rule.where; w.at != nil {
		return w.at.cables()
	}
	return c.rule.to == "", c.rule.to != ""
}

// Watch lets the rule see a frame while it is turned off, so that what it draws
// and counts later does not depend on that; see [vswitch.Watcher].
func (c *Compiled) Watch(f *vswitch.Frame, to *vswitch.Port) {
	if !c.idle && c.rule.where.on(f.From, to) && c.fits(f) {
		c.see(f, to)
	}
}

// see gives the frame its place in its flow and in the rule's traffic, and
// reports whether the rule is in force. The subject is good until the next one.
func (c *Compiled) see(f *vswitch.Frame, to *vswitch.Port) (s *subject, inForce bool) {
	p := c.path(f.From, to)
	s = &c.asked
	s.path, s.at = p, f.At.Sub(c.start)
	if c.draws {
		s.draw.key = p.key.draw
		s.draw.flow = p.key.flow.hash(flowOf(f.Data))
		s.draw.index = c.flows.next(s.draw.flow, &p.rest)
	}
	return s, c.rule.when.inForce(&c.traffic, s.at, f.Seq, len(f.Data))
}

// changesBytes reports whether an action that does nothing to a frame found
// nothing in it to change.
func changesBytes(a action) bool {
	switch a.(type) {
	case *corrupt, *truncate:
		return true
	}
	return false
}

// fits reports whether the frame is one the rule is about.
func (c *Compiled) fits(f *vswitch.Frame) bool {
	w := &c.rule.where
	if w.frames == nil {
		return true
	}
	if f.Seq == 0 || f.Seq != c.fit.seq {
		c.fit = fit{f.Seq, w.fits(f.Data)}
	}
	return c.fit.ok
}

// path returns the state of the path between two ports.
func (c *Compiled) path(from, to *vswitch.Port) *path {
	if c.last != nil && c.last.from == from && c.last.to == to {
		return c.last
	}
	names := [2]string{from.Name(), ""}
	if to != nil {
		names[1] = to.Name()
	}
	p := c.paths[names]
	if p == nil {
		p = c.newPath(names)
		c.paths[names] = p
		c.start = from.Switch().World().Start()
	}
	p.from, p.to = from, to
	c.last = p
	return p
}

func (c *Compiled) newPath(names [2]string) *path {
	p := &path{key: newPathKey(c.keys, c.key, names[0], names[1])}
	p.chain = p.key.draw
	if m, ok := c.rule.often.(*markov); ok && m.name != "" {
		// Rules with the same chain are in the same state of it.
		p.chain = newPathKey(Keys{Seed: c.keys.Seed, Switch: c.keys.Switch}, "chain "+m.name, names[0], names[1]).draw
	}
	if r, ok := c.rule.what.(*rate); ok {
		// Those who send over one cable share it.
		cable := names
		if names[1] != "" && c.rule.from == "" {
			cable[0] = ""
		}
		if c.shapers[cable] == nil {
			if c.shapers == nil {
				c.shapers = make(map[[2]string]*shaper)
			}
			c.shapers[cable] = r.newShaper()
		}
		p.shaper = c.shapers[cable]
	}
	return p
}
