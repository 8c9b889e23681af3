package vswitch

import "time"

// Defaults of a learning switch's address table.
const (
	DefaultMACs   = 8192            // addresses
	DefaultAgeing = 5 * time.Minute // IEEE 802.1D, table 7-5
)

// macTable remembers behind which port an address was last seen.
type macTable struct {
	max    int
	ageing int64 // ns
	m      map[MAC]macEntry
	full   int64 // until this instant no entry of a full table has aged
}

type macEntry struct {
	port *Port
	seen int64
}

// learn notes that a was seen as a source at p. Group addresses are never
// learned. It reports false when the table is full of addresses still in use.
func (t *macTable) learn(a MAC, p *Port, now int64) bool {
	if a.IsGroup() {
		return true
	}
	if _, known := t.m[a]; !known && len(t.m) >= t.max {
		if now <= t.full {
			return false
		}
		// The order of a map does not matter here: every aged entry goes.
		oldest := now
		for k, e := range t.m {
			if now-e.seen > t.ageing {
				delete(t.m, k)
			} else {
				oldest = min(oldest, e.seen)
			}
		}
		t.full = oldest + t.ageing
		if len(t.m) >= t.max {
			return false
		}
	}
	t.m[a] = macEntry{p, now}
	return true
}

// lookup returns the port behind which a is, or nil if that is not known (any more).
func (t *macTable) lookup(a MAC, now int64) *Port {
	e, ok := t.m[a]
	if !ok || now-e.seen > t.ageing {
		return nil
	}
	return e.port
}

// forget removes all addresses behind p.
func (t *macTable) forget(p *Port) {
	for k, e := range t.m {
		if e.port == p {
			delete(t.m, k)
		}
	}
}
