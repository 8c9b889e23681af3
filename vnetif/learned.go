package vnetif

import (
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// learned is what routers have told a host about destinations, each for a while only and no
// more than mostLearned of them. The owner guards it, but for some.
type learned[T any] struct {
	lasts time.Duration
	now   func() time.Time

	some atomic.Bool // there has been any: most hosts never learn a thing
	of   map[tcpip.Address]lesson[T]
}

type lesson[T any] struct {
	what  T
	since time.Time
}

const mostLearned = 1024

// get returns what is known of a destination.
func (l *learned[T]) get(to tcpip.Address) (what T, ok bool) {
	known, ok := l.of[to]
	if ok && l.now().Sub(known.since) >= l.lasts {
		delete(l.of, to)
		return what, false
	}
	return known.what, ok
}

// put notes what is known from now on, if there is room.
func (l *learned[T]) put(to tcpip.Address, what T) bool {
	if _, known := l.get(to); !known && len(l.of) >= mostLearned {
		for other := range l.of {
			l.get(other) // and forget it, if its time is over
		}
		if len(l.of) >= mostLearned {
			return false
		}
	}
	if l.of == nil {
		l.of = map[tcpip.Address]lesson[T]{}
	}
	l.of[to] = lesson[T]{what, l.now()}
	l.some.Store(true)
	return true
}

func (l *learned[T]) forget(to tcpip.Address) { delete(l.of, to) }
