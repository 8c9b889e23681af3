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
	index  int    // in the heap, -1 when not queued

	fire func() // timers

	port  *Port // deliveries
	frame uint64
	data  []byte
	held  *held // if it may yet come earlier
}

// eventQueue is a binary heap (container/heap) in the world's order of events.
type eventQueue []*event

func (q eventQueue) Len() int { return len(q) }

func (q eventQueue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if a.at != b.at {
		return a.at < b.at
	}
	if c := cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.owner, b.owner),
		cmp.Compare(a.object, b.object)); c != 0 {
		return c < 0
	}
	return a.seq < b.seq
}

func (q eventQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *eventQueue) Push(x any) {
	e := x.(*event)
	e.index = len(*q)
	*q = append(*q, e)
}

func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	e.index = -1
	return e
}
