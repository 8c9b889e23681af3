package faults

import (
	"time"

	"github.com/vnreplay/vnreplay/filter"
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
	ever    bool // in force whenever it is on
	timed   bool // its chain goes by time
	odds    bool // it does something to the frames that a mere probability hits, and to no others
	idle    bool
	expr    *filter.Filter // of the frames it is about; nil: all
	passing *reorder       // a "reorder ahead", which does something to frames that are not hit
	unfit   uint64

	start   time.Time // of the world's clock
	traffic traffic
	fit     *fit // shared by the switch's rules with the same expression

	cables  cables
	paths   map[[2]string]*path   // by the ports' names: a port that was closed and connected again goes on where it was
	shapers map[[2]string]*shaper // of a "rate", by cable
	flows   flowTable
	asked   subject // about which the rule is asked now; here, so that it is not allocated for each frame
}

// fit is whether a frame is one that an expression matches: rules are asked about
// several cables.
type fit struct {
	seq uint64
	ok  bool
}

// subject is one frame on one cable.
type subject struct {
	frame *vswitch.Frame
	path  *path
	at    time.Duration // since the world's start, if the rule is timed
	flow  *flowState    // if the rule draws
}

// place is the frame's place on its path, from 1.
func (s *subject) place() uint64 { return s.path.frames }

// word is one of the random words of the frame, if the rule draws.
func (s *subject) word(j uint64) uint64 {
	d := s.draw()
	return d.word(j)
}

func (s *subject) draw() draw { return draw{s.path.key.draw, s.flow.hash, s.flow.n} }

// path is what a rule knows about the frames from one port to another, or to the
// switch.
type path struct {
	number uint64 // among the rule's paths
	key    pathKey
	frames uint64
	flow   *flowState // of the last frame, which is most often that of the next
	rest   uint64     // frames of flows that are not counted apart; see flowTable

	often, jitter memory  // of correlations
	chain         sipKey  // of a Markov chain
	state         int     // ... in which it is
	exit          ahead   // ... and when it leaves that: word 1
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
		ever:  r.when.ever(),
		idle:  r.Idle() || r.sw != "" && r.sw != keys.Switch,
		expr:  r.where.frames,
		fit:   &fit{},
		paths: make(map[[2]string]*path),
	}
	if a, ok := r.what.(*reorder); ok && a.isAhead {
		c.passing = a
	}
	switch f := r.often.(type) {
	case probability:
		c.odds = f.draws() && f.corr.rho == 0 && c.passing == nil
	case *markov:
		c.timed = f.step > 0
	}
	return c
}

// Rule returns the rule that was compiled.
func (c *Compiled) Rule() *Rule { return c.rule }

// String returns the rule's text, which a recorder asks for when the rule is added to a
// running switch.
func (c *Compiled) String() string { return c.rule.String() }

// Matched is how many times the rule was in force where it was about the frame,
// so that its how-often was asked: once per frame, and for a rule about the
// receivers' cables once per frame and receiver. With 0 nothing came of the rule;
// of an idle one ([Rule.Idle]), which is not asked, it is always 0.
// Call it when the world is not running, or from one of its own goroutines.
func (c *Compiled) Matched() (n uint64) {
	for _, p := range c.paths {
		n += p.frames
	}
	return n
}

// Unfit is how many of the frames that were hit were left as they are because
// there was nothing in them to change: nothing behind the Ethernet header, not
// the field, or not the bytes that the rule replaces. To be called when Matched
// may be.
func (c *Compiled) Unfit() uint64 { return c.unfit }

// Judge gives the rule's verdict; see [vswitch.Rule].
func (c *Compiled) Judge(f *vswitch.Frame, to *vswitch.Port, v *vswitch.Verdict) bool {
	p := c.path(f.From, to)
	if p == nil || c.expr != nil && !c.fits(f) {
		return false
	}
	flow := p.flow
	if c.draws {
		if flow == nil || len(f.Data) < markLen || markOf(f.Data) != flow.mark {
			flow = c.flows.of(p, f.Data)
		}
		flow.n++
	}
	if !c.ever && !c.inForce(f) {
		return false
	}
	p.frames++
	if c.odds && flow.n < flow.odds.due {
		return false // which is so for most frames
	}
	s := &c.asked
	s.frame, s.path, s.flow = f, p, flow
	if c.timed {
		s.at = f.At.Sub(c.start)
	}
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

// inForce counts the frame in the rule's traffic, and reports whether it is in force
// for it.
func (c *Compiled) inForce(f *vswitch.Frame) bool {
	in := c.rule.when.inForce(&c.traffic, f.At.Sub(c.start), f.Seq, len(f.Data))
	if a, ok := c.rule.what.(*cut); ok && a.up {
		return !in
	}
	return in
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
	p := c.path(f.From, to)
	if p == nil || c.expr != nil && !c.fits(f) {
		return
	}
	if c.draws {
		c.flows.of(p, f.Data).n++
	}
	if !c.ever {
		c.inForce(f)
	}
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

// fits reports whether the rule's expression, which it has, matches the frame.
func (c *Compiled) fits(f *vswitch.Frame) bool {
	if f.Seq == 0 || f.Seq != c.fit.seq {
		*c.fit = fit{f.Seq, c.expr.Match(f.Data)}
	}
	return c.fit.ok
}

// shareFit makes the rule one of those that ask once for a frame whether it matches
// their expression. They are on one switch.
func (c *Compiled) shareFit(fits map[string]*fit) {
	if c.expr == nil {
		return
	}
	text := c.expr.String()
	if fits[text] == nil {
		fits[text] = c.fit
	}
	c.fit = fits[text]
}

// path returns the state of the path between two ports, or nil if that is none the
// rule is about.
func (c *Compiled) path(from, to *vswitch.Port) *path {
	if l := c.cables.last; l != nil && l.from == from && l.to == to {
		return l.path
	}
	return c.otherPath(from, to)
}

func (c *Compiled) otherPath(from, to *vswitch.Port) *path {
	cable, known := c.cables.find(from, to)
	if !known {
		*cable = cableOf{from: from, to: to, path: c.pathOf(from, to)}
	}
	return cable.path
}

// pathOf is path by the ports' names.
func (c *Compiled) pathOf(from, to *vswitch.Port) *path {
	if c.idle || !c.rule.where.on(from, to) {
		return nil
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
	return p
}

func (c *Compiled) newPath(names [2]string) *path {
	p := &path{number: uint64(len(c.paths)), key: newPathKey(c.keys, c.key, names[0], names[1])}
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
