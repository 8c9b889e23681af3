package faults

import "github.com/vnreplay/vnreplay/switch"

// cables remembers for the pairs of ports that were met last which path of a rule
// they are, if any. Frames come from the same few ports most of the time; names are
// compared for the others.
type cables struct {
	last   *cableOf
	recent []cableOf // by the ports' numbers; a power of two, or none
}

// cableOf is a frame's sender, and its receiver or nil for the sender's cable.
type cableOf struct {
	from, to *vswitch.Port
	path     *path // nil: the rule is not about it
}

// maxRecent bounds the pairs a rule remembers.
const maxRecent = 256

// find returns where the pair stands, and whether it does.
func (c *cables) find(from, to *vswitch.Port) (at *cableOf, known bool) {
	if len(c.recent) == 0 {
		c.recent = make([]cableOf, 2)
	}
	at = c.at(from, to)
	if at.from != nil && (at.from != from || at.to != to) && len(c.recent) < maxRecent {
		// Two want the same place: more of them keep out of each other's way.
		c.recent = make([]cableOf, 2*len(c.recent))
		at = c.at(from, to)
	}
	c.last = at
	return at, at.from == from && at.to == to
}

func (c *cables) at(from, to *vswitch.Port) *cableOf {
	n := from.Number()
	if to != nil {
		n = 17*n + to.Number() + 1
	}
	return &c.recent[n&(len(c.recent)-1)]
}
