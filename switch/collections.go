package vswitch

import (
	"reflect"
	"runtime/debug"
	"sync"
)

// collections notices that a garbage collection has begun. Who calls [runtime.GC] waits until
// it is over, which takes real time; but in the counts of goroutines it is one that waits like
// any other, and of collections the runtime counts only those that are over. What can be seen
// of one that has begun is that a [sync.Pool] has lost what it had at hand: so there is one
// here, of which a field is read that Go does not promise. Where it is not as expected,
// nothing is noticed.
type collections struct {
	pool   *sync.Pool    // by itself, as the runtime holds on to it for a while
	atHand reflect.Value // of how many processors the pool has anything, a uintptr
}

func (c *collections) start() {
	c.pool = new(sync.Pool)
	c.atHand = reflect.ValueOf(c.pool).Elem().FieldByName("localSize")
	if !c.atHand.IsValid() || !c.atHand.CanUint() {
		c.atHand = reflect.Value{}
		return
	}
	if c.fill(); c.begun() {
		c.atHand = reflect.Value{}
	}
}

// fill gives the pool something, again and again: under the race detector it throws away at
// random.
func (c *collections) fill() {
	for range 100 {
		if c.pool.Put(c.pool); c.atHand.Uint() > 0 {
			return
		}
	}
}

// begun reports whether one has begun since start or await.
func (c *collections) begun() bool { return c.atHand.IsValid() && c.atHand.Uint() == 0 }

// await returns when the one that has begun is over, and who called for it can run.
func (c *collections) await() {
	debug.SetGCPercent(-1) // which it is; but that waits for a collection
	c.fill()
}
