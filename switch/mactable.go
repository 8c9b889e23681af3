package vswitch

import "time"

// Defaults of a learning switch's address table.
const (
	DefaultMACs   = 8192            // addresses
	DefaultAgeing = 5 * time.Minute // IEEE 802.1D, table 7-5
)

// macTable remembers behind which port an address was last seen. A port remembers
// the entries of the last frame that entered there, so that a conversation costs no
// look-up in the map.
type macTable struct {
	max    int
	ageing int64 // ns
	m      map[MAC]*macEntry
	full   int64 // until this instant no entry of a full table has aged
}

type macEntry struct {
	mac  MAC
	gone bool // not in the table any more
	port *Port
	seen int64
}

// is reports whether e, which may be nil, is the table's entry of a.
func (e *macEntry) is(a MAC) bool { return e != nil && e.mac == a && !e.gone }

// learn notes that a was seen as a source at p. Group addresses are never
// learned. It reports false when the table is full of addresses still in use.
func (t *macTable) learn(a MAC, p *Port, now int64) bool {
	if p.src.is(a) {
		p.src.port, p.src.seen = p, now
		return true
	}
	if a.IsGroup() {
		return true
	}
	e := t.m[a]
	if e == nil {
		if len(t.m) >= t.max && !t.expire(now) {
			return false
		}
		e = &macEntry{mac: a}
		t.m[a] = e
	}
	e.port, e.seen = p, now
	p.src = e
	return true
}

// expire removes aged entries from a full table, and reports whether there were any.
func (t *macTable) expire(now int64) bool {
	if now <= t.full {
		return false
	}
	// The order of a map does not matter here: every aged entry goes.
	oldest := now
	for _, e := range t.m {
		if now-e.seen > t.ageing {
			t.remove(e)
		} else {
			oldest = min(oldest, e.seen)
		}
	}
	t.full = oldest + t.ageing
	return len(t.m) < t.max
}

func (t *macTable) remove(e *macEntry) {
	e.gone = true
	delete(t.m, e.mac)
}

// lookup returns the port behind which a is, for a frame that entered at from, or nil
// if that is not known (any more).
func (t *macTable) lookup(a MAC, from *Port, now int64) *Port {
	e := from.dst
	if !e.is(a) {
		if e = t.m[a]; e == nil {
			return nil
		}
		from.dst = e
	}
	if now-e.seen > t.ageing {
		return nil
	}
	return e.port
}

// forget removes all addresses behind p.
func (t *macTable) forget(p *Port) {
	for _, e := range t.m {
		if e.port == p {
			t.remove(e)
		}
	}
}
