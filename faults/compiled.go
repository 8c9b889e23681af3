package faults

import (
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
	matched uint64
	unfit   uint64

	// The paths, by the ports' names: a port that was closed and connected again
	// goes on where it was. last is the path of the frame before, which is most
	// often that of the next.
	paths map[[2]string]*path
	last  *path
	flows flowCounters
	asked subject // about which the rule is asked now; here, so that it is not allocated for each frame
}

// subject is one frame on one cable.
type subject struct {
	frame *vswitch.Frame
	path  *path
	draw  draw // if the rule draws
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
}

var _ vswitch.Rule = (*Compiled)(nil)

// Compile makes the rule ready to be added to a switch whose ports need not
// exist yet. [Install] is the usual way: it knows the keys, and refuses ports
// that the switch does not have.
func (r *Rule) Compile(keys Keys) *Compiled {
	return &Compiled{
		rule:  r,
		keys:  keys,
		key:   r.key(),
		draws: r.often.draws() || r.what.draws(),
		paths: make(map[[2]string]*path),
		flows: flowCounters{make(map[uint64]uint64)},
	}
}

// Rule returns the rule that was compiled.
func (c *Compiled) Rule() *Rule { return c.rule }

// Matched is how many times the rule's where applied and its how-often was asked:
// once per frame, and for a rule with "to" once per frame and receiver. A rule
// with 0 watched a cable on which nothing passed. Call it when the world is not
// running, or from one of its own goroutines.
func (c *Compiled) Matched() uint64 { return c.matched }

// Unfit is how many of the frames that were hit were left as they are because
// there was nothing in them to change: nothing behind the Ethernet header, or not
// the bytes that the rule replaces. To be called when Matched may be.
func (c *Compiled) Unfit() uint64 { return c.unfit }

// Judge gives the rule's verdict; see [vswitch.Rule].
func (c *Compiled) Judge(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
	if !c.rule.where.matches(f.From, to) {
		return vswitch.Verdict{}
	}
	c.matched++
	p := c.path(f.From, to)
	p.frames++
	s := &c.asked
	s.frame, s.path = f, p
	if c.draws {
		s.draw.key = p.key.draw
		s.draw.flow = p.key.flow.hash(flowOf(f.Data))
		s.draw.index = c.flows.next(s.draw.flow, &p.rest)
	}
	var v vswitch.Verdict
	hit := c.rule.often.hits(s)
	if hit {
		v = c.rule.what.verdict(s)
	}
	s.frame = nil // the switch's
	if hit && v.IsZero() {
		c.unfit++
	}
	return v
}

// matches reports whether the cable is the one the rule is about.
func (w *where) matches(from, to *vswitch.Port) bool {
	if (to == nil) != (w.to == "") {
		return false
	}
	if w.from != "" && w.from != from.Name() {
		return false
	}
	return to == nil || w.to == everyPort || w.to == to.Name()
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
		p = &path{key: newPathKey(c.keys, c.key, names[0], names[1])}
		c.paths[names] = p
	}
	p.from, p.to = from, to
	c.last = p
	return p
}
