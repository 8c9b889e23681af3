package pcap

import (
	"context"
	"time"
)

// The queue of a LiveRecorder, and its other end. Chunks are filled by Record, sealed
// when they are full (or by the writer, when their first frame has waited long enough),
// queued, written, and filled again.

// smallChunk takes what must not be lost when there is no room.
const smallChunk = 4 << 10

// grace is how long Finish waits for a writer whose outputs were aborted.
const grace = 200 * time.Millisecond

// room makes sure that need bytes fit into the current chunk. It reports false if
// there is no room and the recorder drops. r.mu is held, but not while it waits.
func (r *LiveRecorder) room(need int) (bool, error) {
	for {
		switch {
		case r.err != nil:
			return false, r.err
		case r.closing:
			return false, errRecorderClosed
		case r.cur != nil && (len(r.cur.buf) == 0 || len(r.cur.buf)+need <= r.cur.size):
			return true, nil
		case r.cur != nil:
			r.seal()
		}
		if r.fresh() {
			continue
		}
		if r.drop {
			return false, nil
		}
		r.mu.Unlock()
		select {
		case <-r.space:
		case <-r.failed:
		}
		r.mu.Lock()
	}
}

// anyRoom is room for what must not be lost.
func (r *LiveRecorder) anyRoom(need int) error {
	ok, err := r.room(need)
	if !ok && err == nil {
		r.begin(newChunk(smallChunk))
	}
	return err
}

// fresh makes an empty chunk the current one, if one is to be had.
func (r *LiveRecorder) fresh() bool {
	switch n := len(r.free); {
	case n > 0:
		r.begin(r.free[n-1])
		r.free = r.free[:n-1]
	case r.left > 0:
		r.left--
		r.begin(newChunk(chunkSize))
	default:
		return false
	}
	return true
}

func (r *LiveRecorder) begin(c *chunk) {
	c.cut, r.owed = r.owed, nil
	r.cur = c
}

// seal puts the current chunk into the queue.
func (r *LiveRecorder) seal() {
	r.state = r.enc.now(r.state)
	r.cur.after, r.cur.last = r.state, r.enc.last
	r.queue = append(r.queue, r.cur)
	r.cur = nil
	r.wake()
}

// wake tells the writer that there is something to do, if it does not know.
func (r *LiveRecorder) wake() {
	if r.idle {
		r.idle = false
		signal(r.work)
	}
}

// signal puts a token into a channel of capacity 1 unless there is one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// fail keeps the first error, and lets everybody know. r.mu is held.
func (r *LiveRecorder) fail(err error) {
	if r.err == nil {
		r.err = err
		close(r.failed)
	}
}

// write is the writer: it returns when all is written and the outputs are finished,
// or when one of them fails and all are aborted.
func (r *LiveRecorder) write() {
	defer close(r.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c := r.next(timer)
		if c == nil {
			break
		}
		err := r.put(c)
		r.mu.Lock()
		r.writing = nil
		if err != nil {
			r.fail(err)
			r.mu.Unlock()
			break
		}
		r.stats.Bytes += int64(len(c.buf))
		r.recycle(c)
		r.mu.Unlock()
	}
	if err := r.end(); err != nil {
		r.mu.Lock()
		r.fail(err)
		r.mu.Unlock()
	}
}

func (r *LiveRecorder) put(c *chunk) error {
	for _, o := range r.outputs {
		if err := o.put(c); err != nil {
			return err
		}
	}
	return nil
}

// end finishes the outputs, or aborts all if the recording has failed or one cannot
// be finished.
func (r *LiveRecorder) end() error {
	err := r.Err()
	for _, o := range r.outputs {
		if err == nil {
			err = o.finish()
		} else {
			o.abort()
		}
	}
	return err
}

// recycle makes a written chunk free again. r.mu is held.
func (r *LiveRecorder) recycle(c *chunk) {
	switch {
	case c.size != chunkSize:
		return
	case cap(c.buf) > 2*chunkSize: // it grew: its memory is not kept
		r.left++
	default:
		c.reset()
		r.free = append(r.free, c)
	}
	// One who waits for room is woken when there is some, not for every chunk: changing
	// to it and back costs as much as a chunk.
	if len(r.free)+r.left >= r.enough {
		signal(r.space)
	}
}

// next returns the next chunk to be written, or nil when there is nothing more to do.
func (r *LiveRecorder) next(timer *time.Timer) *chunk {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if r.err != nil {
			return nil
		}
		if r.cur != nil && len(r.cur.buf) > 0 && len(r.queue) == 0 && (r.closing || time.Since(r.cur.since) >= r.flush) {
			r.seal()
		}
		if len(r.queue) > 0 {
			c := r.queue[0]
			r.queue = append(r.queue[:0], r.queue[1:]...)
			r.writing = c
			return c
		}
		if r.closing {
			return nil
		}
		// What the current chunk holds may wait until its time has come. Without any,
		// Record will tell.
		wait := time.Hour
		if r.cur != nil && len(r.cur.buf) > 0 {
			wait = r.flush - time.Since(r.cur.since)
		}
		timer.Reset(wait)
		r.idle = true
		r.mu.Unlock()
		select {
		case <-r.work:
		case <-timer.C:
		case <-r.failed:
		}
		r.mu.Lock()
		r.idle = false
	}
}

// finishOnce is Finish, once.
func (r *LiveRecorder) finishOnce(ctx context.Context) error {
	r.mu.Lock()
	r.closing = true
	signal(r.work)
	r.mu.Unlock()
	select {
	case <-r.done:
	case <-r.failed:
		r.giveUp(nil)
	case <-ctx.Done():
		r.giveUp(context.Cause(ctx))
	}
	if r.Err() == nil {
		for _, o := range r.outputs {
			o.drain(ctx)
		}
	}
	return r.Err()
}

// Abort gives the recording up, at once: what waits is lost, files keep their
// provisional names, and Record returns [ErrAborted]. After Close or Finish have
// returned it does nothing.
func (r *LiveRecorder) Abort() {
	r.giveUp(ErrAborted)
	r.finish.Do(func() { r.result = r.Err() })
}

// giveUp ends the recording with err, if it has not ended or failed, and waits a moment
// for the writer.
func (r *LiveRecorder) giveUp(err error) {
	select {
	case <-r.done:
		return
	default:
	}
	r.mu.Lock()
	r.closing = true
	r.fail(err)
	r.mu.Unlock()
	for _, o := range r.outputs {
		o.abort()
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-r.done:
	case <-timer.C:
	}
}
