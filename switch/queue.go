package vswitch

import "cmp"

// class orders events of one instant.
type class uint8

const (
	classDelivery class = iota // a frame reaches an endpoint
	classStack                 // timers of network stacks
	classApp                   // timers of applications: sleeps, deadlines
)

// event is something that happens at an instant of virtual time: a delivery if
// port is set, a timer otherwise.
type event struct {
	at     int64 // ns since 1970, UTC
	class  class
	owner  int    // node number; for deliveries, port number
	object uint64 // for timers of an object (a connection's deadline): its number
	seq    uint64 // the owner's own sequence
	index  int    // in the queue, of an event that may move; -1 when not queued

	fire func() // timers

	port  *Port // deliveries
	frame uint64
	data  []byte
	held  *held // if it may yet come earlier
}

// mayMove reports whether the event may be moved or taken out before its time. Most cannot:
// a storm of broadcasts is millions of deliveries, each of which will be made.
func (ev *event) mayMove() bool { return ev.port == nil || ev.held != nil }

// eventQueue is a heap of events in the world's order, with four branches at each node. It
// holds what orders most events itself, for when there are very many, each look at one of
// them is a miss of the cache.
type eventQueue struct{ heap []queued }

type queued struct {
	at      int64
	owner   int32
	class   class
	mayMove bool
	ev      *event
}

func (a *queued) before(b *queued) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.class != b.class {
		return a.class < b.class
	}
	if a.owner != b.owner {
		return a.owner < b.owner
	}
	return cmp.Or(cmp.Compare(a.ev.object, b.ev.object), cmp.Compare(a.ev.seq, b.ev.seq)) < 0
}

func (q *eventQueue) len() int { return len(q.heap) }

// first returns the next event, of a queue that is not empty.
func (q *eventQueue) first() *event { return q.heap[0].ev }

func (q *eventQueue) push(ev *event) {
	q.heap = append(q.heap, queued{})
	q.up(len(q.heap)-1, entry(ev))
}

func entry(ev *event) queued {
	return queued{at: ev.at, owner: int32(ev.owner), class: ev.class, mayMove: ev.mayMove(), ev: ev}
}

// pop takes the next event, of a queue that is not empty.
func (q *eventQueue) pop() *event {
	ev := q.heap[0].ev
	q.take(0)
	return ev
}

// remove takes out an event that may move.
func (q *eventQueue) remove(ev *event) { q.take(ev.index) }

// fix gives an event that may move its place after its instant or sequence has changed.
func (q *eventQueue) fix(ev *event) { q.place(ev.index, entry(ev)) }

// take takes out what is at i.
func (q *eventQueue) take(i int) {
	q.heap[i].ev.index = -1
	last := len(q.heap) - 1
	moved := q.heap[last]
	q.heap[last] = queued{}
	q.heap = q.heap[:last]
	if i < last {
		q.place(i, moved)
	}
}

// removeAll takes out all events for which which says so.
func (q *eventQueue) removeAll(which func(*event) bool) {
	all := q.heap
	q.heap = nil
	for _, e := range all {
		if e.ev.index = -1; !which(e.ev) {
			q.push(e.ev)
		}
	}
}

// place puts e where i is free, or where it belongs from there.
func (q *eventQueue) place(i int, e queued) {
	if i > 0 && e.before(&q.heap[parent(i)]) {
		q.up(i, e)
		return
	}
	n := len(q.heap)
	for {
		first := 4*i + 1
		if first >= n {
			break
		}
		least := first
		for k := first + 1; k < min(first+4, n); k++ {
			if q.heap[k].before(&q.heap[least]) {
				least = k
			}
		}
		if !q.heap[least].before(&e) {
			break
		}
		q.set(i, q.heap[least])
		i = least
	}
	q.set(i, e)
}

// up puts e where i is free, or above.
func (q *eventQueue) up(i int, e queued) {
	for i > 0 && e.before(&q.heap[parent(i)]) {
		q.set(i, q.heap[parent(i)])
		i = parent(i)
	}
	q.set(i, e)
}

func (q *eventQueue) set(i int, e queued) {
	q.heap[i] = e
	if e.mayMove {
		e.ev.index = i
	}
}

func parent(i int) int { return (i - 1) / 4 }
